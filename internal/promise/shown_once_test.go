package promise_test

import (
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"latchkey/internal/dbtest"
	"latchkey/internal/leak"
	"latchkey/internal/secret"
)

// ledger is every secret that a test has seen, with what it was shown for.
type ledger map[string]string

// add notes a secret, which must be one.
func (l ledger) add(t *testing.T, what, value string) string {
	t.Helper()
	if _, err := secret.Parse(value); err != nil {
		t.Fatalf("the %s is no secret", what)
	}
	if l[value] != "" {
		t.Fatalf("the %s was shown before, for the %s", what, l[value])
	}
	l[value] = what
	return value
}

// absent fails t for each secret whose random part stands in text, as it is, in hexadecimal or in base64.
func (l ledger) absent(t *testing.T, where, text string) {
	t.Helper()
	for value, what := range l {
		const prefix, payload = 4, 43
		random := value[prefix : prefix+payload]
		for _, form := range []string{random, hex.EncodeToString([]byte(random)), base64.StdEncoding.EncodeToString([]byte(value))[:64]} {
			if at := strings.Index(text, form); at >= 0 {
				t.Errorf("the %s stands in %s, after %q", what, where, leak.Redact(text[max(0, at-80):at]))
			}
		}
	}
}

// Everything is issued and renewed, used rightly and wrongly and put where it does not belong; then no secret is found
// anywhere: not in a later answer, the log, the metrics, the database's files or a dump (mission: promise 1).
func TestASecretIsShownOnceAndKeptNowhere(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		l := ledger{}
		n := h.serve()
		session := h.issueAll(t, l, n)
		for value := range l {
			misuse(t, l, n, session, value)
		}
		readEverything(t, l, n, session)
		n.stop()
		l.absent(t, "the server's output", n.printed())
		l.absent(t, "a table", dbtest.Dump(t, h.url))
		for name, content := range h.files(t) {
			l.absent(t, name, content)
			dbtest.NoSecrets(t, name, []byte(content))
		}
		h.keysAreSecret(t, n.printed()+dbtest.Dump(t, h.url))
		if len(l) < 12 {
			t.Errorf("only %d secrets were issued", len(l))
		}
	})
}

// issueAll issues and renews by every way there is, and returns an owner's session.
func (h *house) issueAll(t *testing.T, l ledger, n *node) string {
	out, errs := h.run("", "session", "create", "--email", acmeOwner)
	session := l.add(t, "session's token", strings.TrimSpace(out))
	l.absent(t, "what the command says to people", errs)
	for what, in := range map[string]vars{
		"account-level": {"name": "Provisioning", "scopes": []string{"account_api_tokens_write", "account_read", "account_users_read"}},
		"store-level":   {"name": "Point of sale", "scopes": []string{"store_v2_orders"}, "storeId": "bc/account/store/acme1us"},
	} {
		a := n.must(session, acme, create, vars{"in": in})
		const made = "apiToken.createApiToken."
		for _, part := range []string{"accessToken", "clientSecret"} {
			value := l.add(t, what+" "+part, a.text(made+"credentials."+part))
			if shown := strings.Count(a.body, value); shown != 1 {
				t.Errorf("the %s %s is shown %d times in one answer", what, part, shown)
			}
		}
		id := a.text(made + "apiToken.id")
		a = n.must(session, acme, rotate, vars{"in": vars{"id": id, "overlapSeconds": 3600}})
		l.add(t, what+" token's rotated access token", a.text("apiToken.rotateApiToken.accessToken"))
		out, errs = h.run("", "token", "rotate", id, "--account", acme)
		l.add(t, what+" token's access token, rotated by command", strings.TrimSpace(out))
		l.absent(t, "what the command says to people", errs)
	}
	a := n.must(session, acme, `mutation { apiToken { createApiToken(input: {name: "With a file", scopes: ["account_read"]}) {
		credentials { file { name content } } } } }`, nil)
	file := a.text("apiToken.createApiToken.credentials.file.content")
	out, errs = h.run("", "token", "create", "--account", acme, "--name", "By command", "--scope", "account_read")
	l.absent(t, "what the command says to people", errs)
	for what, text := range map[string]string{"file's": file, "command's": out} {
		for _, label := range []string{"ACCESS TOKEN", "CLIENT SECRET"} {
			_, rest, _ := strings.Cut(text, label+": ")
			value, _, _ := strings.Cut(rest, "\n")
			l.add(t, what+" "+label, value)
		}
	}
	return session
}

// misuse presents a secret in the right and in every wrong place. Whoever sends one may read it in the answer; the server
// must not write it down.
func misuse(t *testing.T, l ledger, n *node, session, value string) {
	t.Helper()
	mistyped := value[:52] + string("01"[strings.Count(value[52:], "0")])
	for _, token := range []string{value, mistyped, value + " ", value[:40], value + value} {
		n.ask(token, acme, "{ viewer { kind scopes } account { accountInfo { name } } }", nil)
	}
	headers := func(name, text string) map[string]string {
		return map[string]string{"X-Auth-Token": session, name: text}
	}
	const path = "/accounts/" + acme + "/graphql"
	viewer := `{"query": "{ viewer { kind } }"}`
	n.send(http.MethodPost, path, viewer, map[string]string{"Authorization": "Bearer " + value})
	n.send(http.MethodPost, path, viewer, map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("id:"+value))})
	n.send(http.MethodPost, path, viewer, map[string]string{"Authorization": "Bearer " + value + " " + value})
	for _, name := range []string{"User-Agent", "Referer", "Cookie", "Accept", "Content-Type", "X-Forwarded-For", "X-Request-Id", "Origin", value} {
		n.send(http.MethodPost, path, viewer, headers(name, value))
	}
	for _, at := range []string{"/" + value, "/accounts/" + value + "/graphql", path + "?access_token=" + value, path + "?query=%7B" + value + "%7D", path + "/" + value} {
		n.send(http.MethodGet, at, "", headers("X-Auth-Token", session))
		n.send(http.MethodPost, at, viewer, headers("X-Auth-Token", session))
	}
	n.send(value[:4]+"X", path, "", headers("X-Auth-Token", session))
	for _, body := range []string{value, `"` + value + `"`, `{"query": "` + value + `"}`, `{"query": "{ ` + value + ` }"}`, `{"query": "{ viewer(` + value + `: 1) { kind } }"}`,
		`{"query": "{ viewer { kind } }", "operationName": "` + value + `"}`, `{"query": "{ viewer { kind } }", "extensions": "` + value + `"}`,
		`{"query": "query($x: Int) { viewer { kind } }", "variables": {"x": "` + value + `", "` + value + `": 1}}`} {
		n.send(http.MethodPost, path, body, headers("X-Auth-Token", session))
	}
	for _, in := range []vars{
		{"name": "Some token", "scopes": []string{value}}, {"name": "Some token", "scopes": []string{"account_read"}, "storeId": value},
		{"name": "Some token", "scopes": []string{"account_read"}, "allowedIpRanges": []string{value}},
		{"name": "Some token", "scopes": []string{"account_read"}, "expiresAt": value},
	} {
		n.ask(session, acme, create, vars{"in": in})
	}
	for _, name := range []string{value, "My token " + value, value + "!"} {
		n.ask(session, acme, create, vars{"in": vars{"name": name, "scopes": []string{"account_read"}}})
		n.ask(session, acme, revoke, vars{"in": vars{"ids": []string{"bc/account/apiToken/" + acme}, "reason": name}})
	}
	n.ask(session, acme, revoke, vars{"in": vars{"ids": []string{value}}})
	n.ask(session, acme, rotate, vars{"in": vars{"id": "bc/account/apiToken/" + value}})
	for _, query := range []string{`node(id: $s) { id }`, `account { apiToken(id: $s) { id } }`, `account { users(after: $s) { edges { cursor } } }`,
		`account { stores(filter: {storeHashes: [$t], ids: [$s]}) { edges { cursor } } }`, `account { apiTokens(filter: {scope: $t}) { edges { cursor } } }`,
		`account { auditEvents(filter: {actions: [$t], actorId: $s, targetId: $s}) { edges { cursor } } }`} {
		for variables, v := range map[string]vars{"($s: ID!, $t: String!)": {"s": value, "t": value}, "($s: String!, $t: String!)": {"s": value, "t": value}} {
			n.ask(session, acme, "query"+variables+" { "+query+" }", v)
		}
	}
}

// readEverything reads all that can be read back, in which no secret is.
func readEverything(t *testing.T, l ledger, n *node, session string) {
	t.Helper()
	const everyToken = `edges { node { id name level apiPath clientId scopes status allowedIpRanges createdAt createdBy { kind id name } expiresAt
		lastUsedAt lastUsedIp revokedAt revocationReason accessTokens { id hint createdAt expiresAt } } }`
	statuses := "(first: 20, filter: {statuses: [ACTIVE, EXPIRED, REVOKED]})"
	a := n.must(session, acme, `{ viewer { kind scopes user { email } } account { accountInfo { name } apiTokens`+statuses+` { `+everyToken+` }
		stores(first: 5) { edges { node { name apiTokens`+statuses+` { `+everyToken+` } } } } } }`, nil)
	l.absent(t, "the list of tokens", a.body)
	if !strings.Contains(a.body, "lka_…") || !strings.Contains(a.body, "lks_…") {
		t.Errorf("no hints in %s", a.body)
	}
	a = n.must(session, acme, `{ account { auditEvents(first: 200) { edges { node { id action targetId targetName ip requestId actor { name } details { name value } } } } } }`, nil)
	l.absent(t, "the audit log", a.body)
	if !strings.Contains(a.body, "api_token.rotated") {
		t.Errorf("no rotations in %s", a.body)
	}
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		res, err := n.client.Get(n.admin + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d, %v", path, res.StatusCode, err)
		}
		l.absent(t, path, string(text))
	}
}

// files are all the bytes that the database has on disk, or a dump of it, as a backup would have it.
func (h *house) files(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	if path, is := strings.CutPrefix(h.url, "sqlite:"); is {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			content, err := os.ReadFile(path + suffix)
			if err != nil && (suffix == "" || !os.IsNotExist(err)) {
				t.Fatal(err)
			}
			files["the file "+path+suffix] = string(content)
		}
		return files
	}
	program, err := dbtest.PostgresProgram("pg_dump")
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"--inserts", "--format=plain"} {
		dump, err := exec.CommandContext(t.Context(), program, format, h.url).Output()
		if err != nil || !strings.Contains(string(dump), "Acme Retail") {
			t.Fatalf("pg_dump: %v", err)
		}
		files["pg_dump "+format] = string(dump)
	}
	return files
}

// keysAreSecret looks for the server's own keys, which are worth more than any token.
func (h *house) keysAreSecret(t *testing.T, text string) {
	t.Helper()
	content, err := os.ReadFile(h.key)
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	for i, word := range strings.Fields(string(content)) {
		if len(word) < 40 {
			continue
		}
		looked++
		if strings.Contains(text, word) {
			t.Errorf("word %d of the key file stands in the log or the database", i)
		}
	}
	if looked == 0 {
		t.Errorf("the key file has %d bytes and no key", len(content))
	}
}
