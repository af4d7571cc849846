package cli_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	dbtest "latchkey/internal/test/db"
)

const oldAccount = oneAccount + `    stores:
      - {hash: acme1us, name: Acme US, legacy_api_accounts: [{username: erp, token: 0123456789abcdef0123456789abcdef}]}
`

// A legacy API account from a manifest passes a gateway until it is converted
// to an API token, which then passes.
func TestLegacyAccountAtAGateway(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		file := filepath.Join(t.TempDir(), "acme.yaml")
		if err := os.WriteFile(file, []byte(oldAccount), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, env, "apply", "-f", file)
		key := strings.TrimSpace(run(t, env, "gateway", "create", "--name", "edge"))
		s := serve(t, env, "--legacy-deprecated-at", "2023-06-30T23:59:59Z")
		post := func(path string, identify func(*http.Request)) (int, http.Header) {
			t.Helper()
			req, err := http.NewRequest("GET", s.public+"/gateway/check", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Latchkey-Gateway", key)
			req.Header.Set("X-Original-URI", path)
			req.Header.Set("X-Original-Method", "GET")
			identify(req)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			return res.StatusCode, res.Header
		}
		old := func(req *http.Request) { req.SetBasicAuth("erp", "0123456789abcdef0123456789abcdef") }
		status, header := post("/stores/acme1us/v2/orders", old)
		if status != 204 || header.Get("Deprecation") != "@1688169599" ||
			header.Get("Sunset") != "Fri, 31 Dec 2027 00:00:00 GMT" {
			t.Fatalf("a legacy account: got %d, %v, want 204 with Deprecation and Sunset", status, header)
		}
		if status, _ := post("/stores/acme1us/v3/orders", old); status != 403 {
			t.Errorf("a legacy account in version 3: got %d, want 403", status)
		}
		id := strings.Fields(strings.Split(run(t, env, "legacy", "list", "--account", acmeID), "\n")[1])[0]
		credentials := run(t, env, "legacy", "convert", id, "--account", acmeID, "--name", "The ERP", "--scope",
			"store_v2_orders_read_only")
		secret := strings.Fields(credentials)[2]
		status, header = post("/stores/acme1us/v2/orders",
			func(req *http.Request) { req.Header.Set("X-Auth-Token", secret) })
		if status != 204 || header.Get("Deprecation") != "" {
			t.Errorf("the new token: got %d, %v, want 204 without Deprecation", status, header)
		}
		deadline := time.Now().Add(2 * time.Second)
		for status, _ = post("/stores/acme1us/v2/orders",
			old); status != 401; status, _ = post("/stores/acme1us/v2/orders", old) {
			if time.Now().After(deadline) {
				t.Fatalf("the deleted account: got %d after 2s, want 401", status)
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
}
