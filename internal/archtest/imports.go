package archtest

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// mayImport says which packages of ours some packages may import at most. Paths are relative to the module and stand for
// the packages below them too. The packages of one entry may not import each other unless they list it.
type mayImport struct {
	packages []string
	ours     []string
	reason   string
}

// importedBy says which packages alone may import a package of ours (a path relative to the module, with "./" before it)
// or of others.
type importedBy struct {
	imports []string
	by      []string
	reason  string
}

// vocabulary are the packages that name things and decide nothing for others.
var vocabulary = []string{"internal/fault", "internal/page", "internal/secret", "internal/scope", "internal/audit", "internal/auth", "internal/password", "internal/bulkhead"}

// allowed is design.md's "Imports", bottom up.
var allowed = []mayImport{
	{packages: []string{"internal/fault"},
		reason: "everything returns faults, so they can depend on nothing"},
	{packages: []string{"internal/strictyaml"}, ours: []string{"internal/fault"},
		reason: "it knows of files and not of what stands in them"},
	{packages: []string{"internal/page", "internal/secret", "internal/scope"}, ours: []string{"internal/fault", "internal/strictyaml"},
		reason: "the vocabulary of all capabilities stands below them"},
	{packages: []string{"internal/password/argon2id"},
		reason: "a function of RFC 9106 depends on nothing of ours"},
	{packages: []string{"internal/password"}, ours: []string{"internal/fault", "internal/secret", "internal/password/argon2id"},
		reason: "a password is judged and kept without knowing whose it is"},
	{packages: []string{"internal/audit"}, ours: []string{"internal/fault", "internal/page"},
		reason: "an event must be writable by every capability, whatever it is about"},
	{packages: []string{"internal/auth"}, ours: []string{"internal/fault", "internal/scope"},
		reason: "who somebody is must not depend on what they do"},
	{packages: []string{"internal/account", "internal/token", "internal/user", "internal/billing", "internal/access", "internal/gateway", "internal/oauth", "internal/legacy"},
		ours:   append(slices.Clone(vocabulary), "internal/account"),
		reason: "capabilities do not know each other: work that crosses them is a package of its own above them"},
	{packages: []string{"internal/offboard"}, ours: append(slices.Clone(vocabulary), "internal/user", "internal/token"),
		reason: "it joins two capabilities and needs no others"},
	{packages: []string{"internal/signin"}, ours: append(slices.Clone(vocabulary), "internal/account", "internal/user", "internal/ratelimit"),
		reason: "it starts sessions, which are people's, and knows nothing of pages"},
	{packages: []string{"internal/mail"}, ours: append(slices.Clone(vocabulary), "internal/account", "internal/user", "internal/signin"),
		reason: "it knows what people are told, and not why"},
	{packages: []string{"internal/setup"}, ours: append(slices.Clone(vocabulary), "internal/user", "internal/signin", "internal/manifest"),
		reason: "the first account is a manifest and somebody who signs in"},
	{packages: []string{"internal/openid"}, ours: []string{"internal/signin"},
		reason: "it knows of a provider what everybody does, and of us what it is asked"},
	{packages: []string{"internal/once"}, ours: []string{"internal/fault", "internal/auth"},
		reason: "that a form was sent does not depend on what it is for"},
	{packages: []string{"internal/bulkhead"},
		reason: "bounding work does not depend on what it is"},
	{packages: []string{"internal/ratelimit"},
		reason: "counting is the same whatever is counted"},
	{packages: []string{"internal/storeapi"}, ours: []string{"internal/fault", "internal/strictyaml", "internal/scope"},
		reason: "what a call needs does not depend on who makes it"},
	{packages: []string{"internal/apiclient"}, ours: []string{"internal/fault", "internal/secret"},
		reason: "it knows of a server what its clients know"},
	{packages: []string{"internal/roster"}, ours: []string{"internal/fault", "internal/user", "internal/spreadsheet"},
		reason: "what stands in a file does not depend on what is done with it"},
	{packages: []string{"internal/spreadsheet"},
		reason: "a cell is text, whatever it tells of"},
	{packages: []string{"internal/export"}, ours: append(slices.Clone(vocabulary), "internal/account", "internal/user", "internal/spreadsheet"),
		reason: "who is written down is read through the service of people, or over the API as anybody reads it"},
	{packages: []string{"internal/config"}, ours: []string{"internal/fault"},
		reason: "settings are read before there is anything to set"},
	{packages: []string{"internal/instance"}, ours: []string{"internal/fault"},
		reason: "it knows of a file and its lock, and not what the id is for"},
	{packages: []string{"cmd/latchkey"}, ours: []string{"internal/cli"},
		reason: "main calls cli.Main and nothing else, so that tests can run the whole program"},
}

// reserved keeps libraries and layers where they belong.
var reserved = []importedBy{
	{imports: []string{"gorm.io", "github.com/pressly/goose"}, by: []string{"internal/gormdb"},
		reason: "the schema of the tables is gormdb's secret"},
	{imports: []string{"github.com/jackc/pgx", "modernc.org/sqlite", "database/sql"}, by: []string{"internal/gormdb", "internal/dbtest", "internal/bench"},
		reason: "SQL is gormdb's, and its tests' and yardsticks'"},
	{imports: []string{"github.com/glebarez", "github.com/mattn/go-sqlite3", "gorm.io/driver/sqlite"},
		reason: "modernc.org/sqlite is the one SQLite driver: maintained, and without cgo"},
	{imports: []string{"github.com/99designs/gqlgen", "github.com/vektah"}, by: []string{"graph", "internal/graphgen"},
		reason: "rules must be usable by the commands and the panel, without GraphQL"},
	{imports: []string{"net/http"}, by: []string{"graph", "internal/panel", "internal/httpserver", "internal/canary", "internal/apiclient", "internal/openid", "internal/cli", "internal/bench"},
		reason: "capabilities do not know how they are called"},
	{imports: []string{"./internal/ratelimit"}, by: []string{"internal/httpserver", "internal/signin"},
		reason: "requests are counted where they arrive, and attempts to sign in where they are judged: what the operator's commands do is not limited"},
	{imports: []string{"github.com/wneessen/go-mail"}, by: []string{"internal/mail"}, reason: "how mails are sent is known at one place"},
	{imports: []string{"html/template"}, by: []string{"internal/panel"}, reason: "pages are the panel's"},
	{imports: []string{"github.com/spf13"}, by: []string{"internal/cli"}, reason: "flags are the commands'"},
	{imports: []string{"testing"}, by: []string{"internal/dbtest"}, reason: "what helps tests is not shipped"},

	{imports: []string{"./internal/gormdb"}, by: []string{"internal/gormdb", "internal/cli", "internal/dbtest"},
		reason: "capabilities and transports meet the database through their own interfaces; cli wires the two"},
	{imports: []string{"./graph", "./internal/panel"}, by: []string{"graph", "internal/graphgen", "internal/httpserver", "internal/cli"},
		reason: "nothing stands on a transport but what serves it"},
	{imports: []string{"./internal/httpserver", "./internal/config", "./internal/seed"}, by: []string{"internal/httpserver", "internal/cli"},
		reason: "they are the program's outer layer"},
	{imports: []string{"./internal/cli"}, by: []string{"cmd/latchkey", "internal/cli"}, reason: "cli is the top"},
	{imports: []string{"./internal/dbtest"}, by: []string{"internal/dbtest", "internal/bench"},
		reason: "what helps tests is not shipped"},
	{imports: []string{"./internal/leak"}, by: []string{"internal/dbtest", "tools"},
		reason: "secrets are looked for where none may be, which is no work of the program's"},
	{imports: []string{"./internal/archtest", "./internal/bench", "./tools"}, by: []string{"internal/bench"},
		reason: "they look at the program from outside"},
}

// checkImports holds the files that are shipped to both tables. Tests may import what they need.
func checkImports(m Module) []Finding {
	var findings []Finding
	for _, f := range m.GoFiles {
		if f.Test {
			continue
		}
		imports := m.imports(f)
		for _, name := range slices.Sorted(maps.Keys(imports)) {
			// An import of ours is looked up in both tables by its path in the module.
			key := name
			if own, ok := strings.CutPrefix(name, m.Path+"/"); ok {
				key = "./" + own
			}
			if reason := forbidden(f.dir(), key); reason != "" {
				findings = append(findings, Finding{f.Path, imports[name], fmt.Sprintf("%s must not import %s: %s", f.dir(), name, reason)})
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

// within reports whether name is one of the paths or lies below one.
func within(name string, paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool {
		return name == p || strings.HasPrefix(name, p+"/")
	})
}

// sameTree reports whether both folders lie in the same one of paths: a package may be split below itself.
func sameTree(a, b string, paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool {
		return within(path.Clean(a), []string{p}) && within(path.Clean(b), []string{p})
	})
}
