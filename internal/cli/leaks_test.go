package cli_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"latchkey/internal/test/certs"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// report posts a body to /leaks and returns the status.
func (s *server) report(t *testing.T, body string, headers map[string]string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.public+"/leaks", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

// scannerKeys returns a file of a scanner's key in the form of GitHub's list, and the private key.
func scannerKeys(t *testing.T, id string) (string, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(map[string]any{"public_keys": []any{map[string]any{"key_identifier": id,
		"key": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "is_current": true}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(list), key
}

// signedReport returns the headers of a report that a scanner signed.
func signedReport(t *testing.T, id string, key *ecdsa.PrivateKey, body string) map[string]string {
	t.Helper()
	digest := sha256.Sum256([]byte(body))
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"Github-Public-Key-Identifier": id,
		"Github-Public-Key-Signature": base64.StdEncoding.EncodeToString(signature)}
}

// SIGHUP makes a server use another file of scanners' keys, if it is valid.
func TestReloadOfLeakKeys(t *testing.T) {
	handleHangUp(t)
	dir := t.TempDir()
	write := func(name, text string) string { t.Helper(); return certs.Write(t, dir, name, []byte(text)) }
	first, firstKey := scannerKeys(t, "k1")
	second, secondKey := scannerKeys(t, "k2")
	other, otherKey := scannerKeys(t, "k2")
	keys := write("keys.json", first)
	settings := write("latchkey.conf", "LATCHKEY_LEAK_REPORT_KEYS="+keys+"\n")
	s := serve(t, environment(t, dbtest.SQLiteURL(t)), "--config", settings)
	const body = `[{"token":"a text that is no secret"}]`
	accepted := func() (statuses []int) {
		t.Helper()
		return []int{s.report(t, body, signedReport(t, "k1", firstKey, body)),
			s.report(t, body, signedReport(t, "k2", secondKey, body)),
			s.report(t, body, signedReport(t, "k2", otherKey, body))}
	}
	check.Equal(t, accepted(), []int{200, 401, 401}, "reports before the reload")
	s.reload(t, `"msg":"reloaded, and nothing has changed"`)
	write("keys.json", second)
	const changed = `"msg":"the keys of secret scanners were changed",`
	s.reload(t, changed+`"added":1,"added_keys":["k2"],"removed":1,"removed_keys":["k1"],"changed":0`)
	check.Equal(t, accepted(), []int{401, 200, 401}, "reports after the reload")
	write("keys.json", other)
	s.reload(t, changed+`"added":0,"added_keys":null,"removed":0,"removed_keys":null,"changed":1,"changed_keys":["k2"]`)
	check.Equal(t, accepted(), []int{401, 401, 200}, "reports after another key got the identifier")
	for name, tc := range map[string]struct{ file, text, was, want string }{
		"no list":             {"keys.json", `{"public_keys": []}`, other, "with at least one key"},
		"a file that was cut": {"keys.json", other[:len(other)/2], other, "keys.json"},
		"no setting": {"latchkey.conf", "# none\n", "LATCHKEY_LEAK_REPORT_KEYS=" + keys + "\n",
			"Restart the server to refuse signed reports"},
	} {
		write(tc.file, tc.text)
		s.reload(t, `"msg":"the reload failed and changed nothing"`)
		lines := strings.Split(strings.TrimSpace(s.logged()), "\n")
		check.Equal(t, slices.ContainsFunc(lines, func(line string) bool {
			return strings.Contains(line, "the reload failed") && strings.Contains(line, tc.want)
		}), true, "%s: the log has %s: %s", name, tc.want, s.logged())
		check.Equal(t, accepted(), []int{401, 401, 200}, "%s: reports after the reload", name)
		write(tc.file, tc.was)
		s.reload(t, `"msg":"reloaded, and nothing has changed"`)
	}
}

// A running server revokes what is reported, by clients and by the scanners of its settings.
func TestLeakReports(t *testing.T) {
	list, key := scannerKeys(t, "k1")
	keys := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(keys, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	dbtest.EachURL(t, func(t *testing.T, url string) {
		s, owner := demo(t, environment(t, url), "--leak-report-keys", keys)
		for _, isSigned := range []bool{false, true} {
			var made issued
			s.must(t, owner, issue("Leaking", `scopes: ["account_read"]`), &made)
			token := made.APIToken.CreateAPIToken.Credentials.AccessToken
			body, headers, want := `[{"token":"`+token+`"}]`, map[string]string{}, http.StatusAccepted
			if isSigned {
				headers, want = signedReport(t, "k1", key, body), http.StatusOK
			}
			const read = `{ account { leakPolicy } }`
			before, err := s.ask(token, read)
			check.Equal(t, before.status, http.StatusOK, "status before the report: %v", err)
			check.Equal(t, s.report(t, body, headers), want, "status of the report, signed %t", isSigned)
			after, err := s.ask(token, read)
			check.Equal(t, after.status, http.StatusUnauthorized, "status after the report: %v", err)
		}
	})
	// A file without keys is refused at the start.
	dir := t.TempDir()
	env := map[string]string{"LATCHKEY_DATABASE_URL": "sqlite:" + filepath.Join(dir, "a.db"),
		"LATCHKEY_LEAK_REPORT_KEYS": filepath.Join(dir, "keys.json")}
	if err := os.WriteFile(env["LATCHKEY_LEAK_REPORT_KEYS"], nil, 0o600); err != nil {
		t.Fatal(err)
	}
	expectRefusal(t, env, 2, "--leak-report-keys (LATCHKEY_LEAK_REPORT_KEYS): The file must have the form", "serve")
}
