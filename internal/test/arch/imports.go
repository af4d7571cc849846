package arch

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// mayImport lists the internal packages that some packages may import. Paths are relative to the module and include the
// packages below them. The packages of one entry may not import each other unless they list it.
type mayImport struct {
	packages []string
	ours     []string
	reason   string
}

// importedBy lists the only packages that may import certain packages: internal ones (a path relative to the module,
// with "./" before it) or external ones.
type importedBy struct {
	imports []string
	by      []string
	reason  string
}

// vocabulary lists the packages of basic types that all capabilities use.
var vocabulary = []string{"internal/fault", "internal/paging", "internal/secret", "internal/scope", "internal/audit",
	"internal/auth", "internal/secret/password", "internal/bulkhead", "internal/clock", "internal/plaintext"}

// allowed is the table of imports in docs/architecture.md, bottom up.
var allowed = []mayImport{
	{packages: []string{"internal/fault"},
		reason: "every package returns faults, so fault can import no other"},
	{packages: []string{"internal/clock"},
		reason: "the time depends on nothing"},
	{packages: []string{"internal/plaintext"},
		reason: "which characters a text may have does not depend on where it stands"},
	{packages: []string{"internal/regularfile"},
		reason: "opening a file does not depend on its content"},
	{packages: []string{"internal/strictyaml"}, ours: []string{"internal/fault"},
		reason: "it reads files and does not depend on their content"},
	{packages: []string{"internal/paging", "internal/secret", "internal/scope"},
		ours:   []string{"internal/fault", "internal/strictyaml", "internal/regularfile"},
		reason: "basic types are below the capabilities that use them"},
	{packages: []string{"internal/secret/password/argon2id"},
		reason: "an implementation of RFC 9106 needs no other package"},
	{packages: []string{"internal/secret/password"},
		ours:   []string{"internal/fault", "internal/secret", "internal/secret/password/argon2id"},
		reason: "checking and hashing a password does not depend on its user"},
	{packages: []string{"internal/audit"}, ours: []string{"internal/fault", "internal/paging"},
		reason: "every capability must be able to write events"},
	{packages: []string{"internal/chain"},
		ours:   []string{"internal/fault", "internal/clock", "internal/secret", "internal/audit"},
		reason: "the chain covers events of every kind"},
	{packages: []string{"internal/retention"}, ours: []string{"internal/fault", "internal/clock"},
		reason: "it decides when rows are removed, and the repository which"},
	{packages: []string{"internal/auth"}, ours: []string{"internal/fault", "internal/scope"},
		reason: "authentication must not depend on what the principal does"},
	{packages: []string{"internal/account", "internal/token", "internal/user", "internal/billing", "internal/access",
		"internal/gateway/keys", "internal/oauth", "internal/legacy", "internal/webhook"},
		ours:   append(slices.Clone(vocabulary), "internal/account"),
		reason: "capabilities are independent: work that spans several is in a package above them"},
	{packages: []string{"internal/webhook/deliver/egress"}, ours: []string{"internal/fault"},
		reason: "which addresses are allowed does not depend on what is sent there"},
	{packages: []string{"internal/eventsource"}, ours: append(slices.Clone(vocabulary), "internal/account",
		"internal/webhook"),
		reason: "an event source receives events as a webhook of a kind of its own"},
	{packages: []string{"internal/feed"},
		ours:   []string{"internal/fault", "internal/clock", "internal/secret", "internal/access"},
		reason: "it gets its connections from outside and keeps caches valid"},
	{packages: []string{"internal/membership"},
		ours:   append(slices.Clone(vocabulary), "internal/account", "internal/user", "internal/token"),
		reason: "it spans two capabilities and needs no others"},
	{packages: []string{"internal/leaks"},
		ours: append(slices.Clone(vocabulary), "internal/account", "internal/access", "internal/token",
			"internal/oauth", "internal/user", "internal/ratelimit"),
		reason: "it handles secrets of every kind"},
	{packages: []string{"internal/scim"}, ours: []string{"internal/fault", "internal/user"},
		reason: "reading a request of SCIM depends neither on the database nor on HTTP"},
	{packages: []string{"internal/directory"},
		ours:   append(slices.Clone(vocabulary), "internal/user", "internal/membership", "internal/scim"),
		reason: "it translates between SCIM and the users of an account"},
	{packages: []string{"internal/httpserver/connlimit"}, ours: []string{"internal/ratelimit"},
		reason: "limiting connections does not depend on requests"},
	{packages: []string{"internal/httpserver/scimapi"},
		ours:   []string{"internal/fault", "internal/auth", "internal/scim", "internal/directory"},
		reason: "a transport decodes, calls a service and encodes"},
	{packages: []string{"internal/signin"}, ours: append(slices.Clone(vocabulary), "internal/account", "internal/user",
		"internal/ratelimit"),
		reason: "it starts users' sessions and does not depend on the panel"},
	{packages: []string{"internal/signin/mail"},
		ours:   append(slices.Clone(vocabulary), "internal/account", "internal/user", "internal/signin"),
		reason: "it writes mails and does not decide when to send them"},
	{packages: []string{"internal/manifest/setup"},
		ours:   append(slices.Clone(vocabulary), "internal/user", "internal/signin", "internal/manifest"),
		reason: "it applies a manifest and signs in a user"},
	{packages: []string{"internal/signin/openid"}, ours: []string{"internal/clock", "internal/signin"},
		reason: "it implements the protocol with a provider for signin only"},
	{packages: []string{"internal/signin/formtoken"},
		ours:   []string{"internal/fault", "internal/clock", "internal/auth"},
		reason: "a form token does not depend on the form"},
	{packages: []string{"internal/bulkhead"},
		reason: "limiting concurrency does not depend on the work"},
	{packages: []string{"internal/ratelimit"},
		reason: "counting does not depend on what is counted"},
	{packages: []string{"internal/gateway/routes"},
		ours:   []string{"internal/fault", "internal/strictyaml", "internal/scope"},
		reason: "the scope of a route does not depend on the caller"},
	{packages: []string{"internal/bulk/client"}, ours: []string{"internal/fault", "internal/secret"},
		reason: "it is a client and uses the API only"},
	{packages: []string{"internal/bulk/file"},
		ours:   []string{"internal/fault", "internal/account", "internal/user", "internal/membership"},
		reason: "reading a file does not depend on its use"},
	{packages: []string{"internal/bulk/export"},
		ours: append(slices.Clone(vocabulary), "internal/account", "internal/user", "internal/webhook",
			"internal/bulk/file"),
		reason: "users are read through their service or over the API"},
	{packages: []string{"graph/plain"},
		reason: "writing JSON does not depend on the schema"},
	{packages: []string{"graph/scalar"}, ours: []string{"internal/fault", "internal/account"},
		reason: "reading a scalar does not depend on the field"},
	{packages: []string{"graph/server"}, ours: []string{"internal/fault", "graph/plain"},
		reason: "it serves any schema: what depends on the schema or the caller is in its Config"},
	{packages: []string{"internal/config"}, ours: []string{"internal/fault", "internal/regularfile"},
		reason: "settings are read before any other package starts"},
	{packages: []string{"internal/tlsfiles"}, ours: []string{"internal/fault", "internal/regularfile"},
		reason: "it manages files and does not depend on the listener"},
	{packages: []string{"internal/scan"}, ours: []string{"internal/fault", "internal/secret"},
		reason: "the form of secrets is known without a server"},
	{packages: []string{"internal/tracing"},
		ours:   []string{"internal/fault", "internal/secret", "internal/regularfile"},
		reason: "where spans go does not depend on what they record"},
	{packages: []string{"internal/instance"}, ours: []string{"internal/fault"},
		reason: "it manages a file and its lock and does not depend on the use of the ID"},
	{packages: []string{"cmd/latchkey"}, ours: []string{"internal/cli"},
		reason: "main calls only cli.Main, so that tests can run the whole program"},
}

// reserved restricts libraries and layers to the packages that may use them.
var reserved = []importedBy{
	{imports: []string{"gorm.io", "github.com/pressly/goose"}, by: []string{"internal/gormdb"},
		reason: "only gormdb knows the tables"},
	{imports: []string{"github.com/jackc/pgx", "modernc.org/sqlite", "database/sql"},
		by:     []string{"internal/gormdb", "internal/feed", "internal/test/db", "tools/bench"},
		reason: "SQL is used in gormdb, the feed, their tests and the benchmarks only"},
	{imports: []string{"github.com/glebarez", "github.com/mattn/go-sqlite3", "gorm.io/driver/sqlite"},
		reason: "modernc.org/sqlite is the one SQLite driver: maintained, and without cgo"},
	{imports: []string{"github.com/99designs/gqlgen", "github.com/vektah"}, by: []string{"graph", "tools/graphgen"},
		reason: "rules must be usable by the commands and the panel, without GraphQL"},
	{imports: []string{"net/http"}, by: []string{"graph", "internal/panel", "internal/httpserver",
		"internal/test/bridge",
		"internal/gateway/canary", "internal/bulk/client", "internal/signin/openid", "internal/webhook/deliver",
		"internal/tracing",
		"internal/cli", "tools/bench", "examples"},
		reason: "capabilities do not depend on the transport"},
	{imports: []string{"./internal/webhook/deliver"}, by: []string{"internal/webhook", "internal/gormdb",
		"internal/cli", "internal/test", "tools/bench"},
		reason: "cli connects the dispatcher to the database"},
	{imports: []string{"./internal/ratelimit"},
		by:     []string{"internal/httpserver", "internal/signin", "internal/leaks"},
		reason: "requests are counted in httpserver, sign-in attempts in signin, reports in leaks; commands are not limited"},
	{imports: []string{"github.com/wneessen/go-mail"}, by: []string{"internal/signin/mail"},
		reason: "mails are sent in one place"},
	{imports: []string{"github.com/aws"}, by: []string{"internal/eventsource/eventbridge",
		"internal/test/bridge"},
		reason: "AWS is called in one place"},
	{imports: []string{"go.opentelemetry.io/otel/sdk", "go.opentelemetry.io/otel/exporters",
		"go.opentelemetry.io/proto"},
		by:     []string{"internal/tracing"},
		reason: "one package exports traces; the others only record spans"},
	{imports: []string{"go.opentelemetry.io"},
		by: []string{"internal/tracing", "internal/httpserver", "graph", "internal/gormdb",
			"internal/webhook/deliver", "internal/cli"},
		reason: "spans are recorded where work comes in and goes out; capabilities only pass the context on"},
	{imports: []string{"html/template"}, by: []string{"internal/panel"}, reason: "only the panel renders pages"},
	{imports: []string{"github.com/spf13"}, by: []string{"internal/cli"}, reason: "only commands have flags"},
	{imports: []string{"testing"}, by: []string{"internal/test"}, reason: "test helpers are not shipped"},

	{imports: []string{"./internal/feed"}, by: []string{"internal/feed", "internal/gormdb", "internal/cli"},
		reason: "cli connects the feed to the database and to the caches"},
	{imports: []string{"./internal/gormdb"}, by: []string{"internal/gormdb", "internal/cli", "internal/test"},
		reason: "capabilities and transports use the database through interfaces that cli connects"},
	{imports: []string{"./graph", "./internal/panel"},
		by:     []string{"graph", "tools/graphgen", "internal/httpserver", "internal/cli"},
		reason: "a transport is imported only by the packages that serve it"},
	{imports: []string{"./internal/httpserver", "./internal/config", "./internal/manifest/demo"},
		by:     []string{"internal/httpserver", "internal/cli"},
		reason: "they are the program's outer layer"},
	{imports: []string{"./internal/cli"}, by: []string{"cmd/latchkey", "internal/cli"}, reason: "cli is the top"},
	{imports: []string{"./internal/test/check", "./internal/test/db", "./internal/test/world",
		"./internal/test/bridge", "./internal/test/certs"},
		by:     []string{"internal/test", "tools/bench"},
		reason: "test helpers are not shipped"},
	{imports: []string{"./internal/test/leak"}, by: []string{"internal/test/db", "tools"},
		reason: "only tests and tools search for leaked secrets"},
	{imports: []string{"./internal/test/arch", "./tools"}, by: []string{"tools"},
		reason: "they are tools, not part of the program"},
}

// checkImports checks the imports of shipped files against both tables. Tests may import any package.
func checkImports(m Module) []Finding {
	var findings []Finding
	for _, f := range m.GoFiles {
		if f.Test {
			continue
		}
		imports := m.imports(f)
		for _, name := range slices.Sorted(maps.Keys(imports)) {
			// Both tables list internal packages by their path in the module.
			key := name
			if own, ok := strings.CutPrefix(name, m.Path+"/"); ok {
				key = "./" + own
			}
			if reason := forbidden(f.dir(), key); reason != "" {
				findings = append(findings, Finding{f.Path, imports[name],
					fmt.Sprintf("%s must not import %s: %s", f.dir(), name, reason)})
			}
		}
	}
	return findings
}

// forbidden returns why the package in dir may not import key, or "" if it may.
func forbidden(dir, key string) string {
	for _, r := range reserved {
		if within(key, r.imports) && !within(dir, r.by) {
			return r.reason
		}
	}
	own, ours := strings.CutPrefix(key, "./")
	for _, a := range allowed {
		if ours && within(dir, a.packages) && !within(own, a.ours) && !sameTree(dir, own, a.packages) {
			return a.reason
		}
	}
	return ""
}

// within reports whether name is one of the paths or below one.
func within(name string, paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool {
		return name == p || strings.HasPrefix(name, p+"/")
	})
}

// sameTree reports whether both directories are within the same one of paths, because a package may be split below
// itself.
func sameTree(a, b string, paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool {
		return within(path.Clean(a), []string{p}) && within(path.Clean(b), []string{p})
	})
}
