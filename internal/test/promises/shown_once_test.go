package promises_test

import (
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/leak"
)

// ledger maps every secret that a test has seen to a description of it.
type ledger map[string]string

// add records a secret. It fails the test if the value is not a secret or was seen before.
func (l ledger) add(t *testing.T, what, value string) string {
	t.Helper()
	if _, err := secret.Parse(value); err != nil {
		t.Fatalf("the %s: got another text, want a secret", what)
	}
	if l[value] != "" {
		t.Fatalf("the %s: got the secret that was shown for the %s, want a new one", what, l[value])
	}
	l[value] = what
	return value
}

// wantAbsent fails t for each secret whose random part appears in text: as plain text, in hexadecimal or in base64.
func (l ledger) wantAbsent(t *testing.T, where, text string) {
	t.Helper()
	for value, what := range l {
		const prefix, payload = 4, 43
		random := value[prefix : prefix+payload]
		for _, form := range []string{random, hex.EncodeToString([]byte(random)),
			base64.StdEncoding.EncodeToString([]byte(value))[:64]} {
			if at := strings.Index(text, form); at >= 0 {
				t.Errorf("the %s appears in %s, after %q, want it absent", what, where,
					leak.Redact(text[max(0, at-80):at]))
			}
		}
	}
}

// Every secret is issued and renewed, used correctly and incorrectly, and sent in fields where it does not belong. Then
// no secret appears anywhere else: not in a later response, the log, the metrics, the database's files or a dump
// (docs/promises.md: 1).
func TestASecretIsShownOnceAndNeverStored(t *testing.T) {
	eachDeployment(t, func(t *testing.T, h *deployment) {
		l := ledger{}
		n := h.serve()
		session := h.issueAll(t, l, n)
		for value := range l {
			misuse(t, l, n, session, value)
		}
		readEverything(t, l, n, session)
		n.stop()
		l.wantAbsent(t, "the server's output", n.printed())
		l.wantAbsent(t, "a table", dbtest.Dump(t, h.url))
		for name, content := range h.files(t) {
			l.wantAbsent(t, name, content)
			dbtest.NoSecrets(t, name, []byte(content))
		}
		h.wantKeysAbsent(t, n.printed()+dbtest.Dump(t, h.url))
		if len(l) < 12 {
			t.Errorf("issued secrets: got %d, want at least 12", len(l))
		}
	})
}

// issueAll issues and renews secrets in every possible way, and returns an owner's session.
func (h *deployment) issueAll(t *testing.T, l ledger, n *node) string {
	out, errs := h.run("", "session", "create", "--email", acmeOwner)
	session := l.add(t, "session's token", strings.TrimSpace(out))
	l.wantAbsent(t, "the command's standard error", errs)
	for what, in := range map[string]vars{
		"account-level": {"name": "Provisioning",
			"scopes": []string{"account_api_tokens_write", "account_read", "account_users_read"}},
		"store-level": {"name": "Point of sale", "scopes": []string{"store_v2_orders"},
			"storeId": "bc/account/store/acme1us"},
	} {
		a := n.must(session, acme, create, vars{"in": in})
		const made = "apiToken.createApiToken."
		for _, part := range []string{"accessToken", "clientSecret"} {
			value := l.add(t, what+" "+part, a.text(made+"credentials."+part))
			check.Equal(t, strings.Count(a.body, value), 1, "the %s %s is shown", what, part)
		}
		id := a.text(made + "apiToken.id")
		a = n.must(session, acme, rotate, vars{"in": vars{"id": id, "overlapSeconds": 3600}})
		l.add(t, what+" token's rotated access token", a.text("apiToken.rotateApiToken.accessToken"))
		out, errs = h.run("", "token", "rotate", id, "--account", acme)
		l.add(t, what+" token's access token, rotated by command", strings.TrimSpace(out))
		l.wantAbsent(t, "the command's standard error", errs)
	}
	a := n.must(session, acme, `mutation { apiToken { createApiToken(input: {name: "With a file", scopes: ["account_read"]}) {
		credentials { file { name content } } } } }`, nil)
	file := a.text("apiToken.createApiToken.credentials.file.content")
	out, errs = h.run("", "token", "create", "--account", acme, "--name", "By command", "--scope", "account_read")
	l.wantAbsent(t, "the command's standard error", errs)
	for what, text := range map[string]string{"file's": file, "command's": out} {
		for _, label := range []string{"ACCESS TOKEN", "CLIENT SECRET"} {
			_, rest, _ := strings.Cut(text, label+": ")
			value, _, _ := strings.Cut(rest, "\n")
			l.add(t, what+" "+label, value)
		}
	}
	return session
}

// misuse sends a secret in the right field and in every wrong one. The response may repeat it to its sender, but the
// server must not store or log it.
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
	n.send(http.MethodPost, path, viewer,
		map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("id:"+value))})
	n.send(http.MethodPost, path, viewer, map[string]string{"Authorization": "Bearer " + value + " " + value})
	for _, name := range []string{"User-Agent", "Referer", "Cookie", "Accept", "Content-Type", "X-Forwarded-For",
		"X-Request-Id", "Origin", value} {
		n.send(http.MethodPost, path, viewer, headers(name, value))
	}
	for _, at := range []string{"/" + value, "/accounts/" + value + "/graphql", path + "?access_token=" + value,
		path + "?query=%7B" + value + "%7D", path + "/" + value} {
		n.send(http.MethodGet, at, "", headers("X-Auth-Token", session))
		n.send(http.MethodPost, at, viewer, headers("X-Auth-Token", session))
	}
	n.send(value[:4]+"X", path, "", headers("X-Auth-Token", session))
	for _, body := range []string{value, `"` + value + `"`, `{"query": "` + value + `"}`,
		`{"query": "{ ` + value + ` }"}`, `{"query": "{ viewer(` + value + `: 1) { kind } }"}`,
		`{"query": "{ viewer { kind } }", "operationName": "` + value + `"}`,
		`{"query": "{ viewer { kind } }", "extensions": "` + value + `"}`,
		`{"query": "query($x: Int) { viewer { kind } }", "variables": {"x": "` + value + `", "` + value + `": 1}}`} {
		n.send(http.MethodPost, path, body, headers("X-Auth-Token", session))
	}
	for _, in := range []vars{
		{"name": "Some token", "scopes": []string{value}},
		{"name": "Some token", "scopes": []string{"account_read"}, "storeId": value},
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
	for _, query := range []string{`node(id: $s) { id }`, `account { apiToken(id: $s) { id } }`,
		`account { users(after: $s) { edges { cursor } } }`,
		`account { stores(filter: {storeHashes: [$t], ids: [$s]}) { edges { cursor } } }`,
		`account { apiTokens(filter: {scope: $t}) { edges { cursor } } }`,
		`account { auditEvents(filter: {actions: [$t], actorId: $s, targetId: $s}) { edges { cursor } } }`} {
		for variables, v := range map[string]vars{"($s: ID!, $t: String!)": {"s": value, "t": value},
			"($s: String!, $t: String!)": {"s": value, "t": value}} {
			n.ask(session, acme, "query"+variables+" { "+query+" }", v)
		}
	}
}

// readEverything reads all data that the API returns. No secret may be in it.
func readEverything(t *testing.T, l ledger, n *node, session string) {
	t.Helper()
	const everyToken = `edges { node { id name level apiPath clientId scopes status allowedIpRanges createdAt createdBy { kind id name } expiresAt
		lastUsedAt lastUsedIp revokedAt revocationReason accessTokens { id hint createdAt expiresAt } } }`
	statuses := "(first: 20, filter: {statuses: [ACTIVE, EXPIRED, REVOKED]})"
	a := n.must(session, acme, `{ viewer { kind scopes user { email } } account { accountInfo { name } apiTokens`+statuses+` { `+everyToken+` }
		stores(first: 5) { edges { node { name apiTokens`+statuses+` { `+everyToken+` } } } } } }`, nil)
	l.wantAbsent(t, "the list of tokens", a.body)
	if !strings.Contains(a.body, "lka_…") || !strings.Contains(a.body, "lks_…") {
		t.Errorf("list of tokens: got %s, want hints that begin with lka_ and lks_", a.body)
	}
	a = n.must(session, acme,
		`{ account { auditEvents(first: 200) { edges { node { id action targetId targetName ip requestId actor { name } details { name value } } } } } }`, nil)
	l.wantAbsent(t, "the audit log", a.body)
	if !strings.Contains(a.body, "api_token.rotated") {
		t.Errorf("audit log: got %s, want rotations", a.body)
	}
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		res, err := n.client.Get(n.admin + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d, %v, want 200", path, res.StatusCode, err)
		}
		l.wantAbsent(t, path, string(text))
	}
}

// files returns all bytes that the database has on disk, or a dump of it, as in a backup.
func (h *deployment) files(t *testing.T) map[string]string {
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
			t.Fatalf("pg_dump: got %v and %d bytes, want a dump with Acme Retail", err, len(dump))
		}
		files["pg_dump "+format] = string(dump)
	}
	return files
}

// wantKeysAbsent looks for the server's own keys, which are more valuable than any token.
func (h *deployment) wantKeysAbsent(t *testing.T, text string) {
	t.Helper()
	content, err := os.ReadFile(h.key)
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for i, word := range strings.Fields(string(content)) {
		if len(word) < 40 {
			continue
		}
		checked++
		if strings.Contains(text, word) {
			t.Errorf("word %d of the key file appears in the log or the database, want it absent", i)
		}
	}
	if checked == 0 {
		t.Errorf("the key file has %d bytes and no key, want at least one", len(content))
	}
}
