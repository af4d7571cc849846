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
	"strings"
	"testing"

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

// A running server revokes what is reported, by clients and by the scanners of its settings.
func TestLeakReports(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(map[string]any{"public_keys": []any{map[string]any{"key_identifier": "k1",
		"key": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "is_current": true}}})
	if err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(keys, list, 0o600); err != nil {
		t.Fatal(err)
	}
	dbtest.EachURL(t, func(t *testing.T, url string) {
		s, owner := demo(t, environment(t, url), "--leak-report-keys", keys)
		for _, signed := range []bool{false, true} {
			var made issued
			s.must(t, owner, issue("Leaking", `scopes: ["account_read"]`), &made)
			token := made.APIToken.CreateAPIToken.Credentials.AccessToken
			body, headers, want := `[{"token":"`+token+`"}]`, map[string]string{}, http.StatusAccepted
			if signed {
				digest := sha256.Sum256([]byte(body))
				signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
				if err != nil {
					t.Fatal(err)
				}
				headers["Github-Public-Key-Identifier"] = "k1"
				headers["Github-Public-Key-Signature"] = base64.StdEncoding.EncodeToString(signature)
				want = http.StatusOK
			}
			const read = `{ account { leakPolicy } }`
			before, err := s.ask(token, read)
			check.Equal(t, before.status, http.StatusOK, "status before the report: %v", err)
			check.Equal(t, s.report(t, body, headers), want, "status of the report, signed %t", signed)
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
