package cli_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// check sends a gateway check and returns the status.
func (s *server) check(t *testing.T, key, token, method, uri string) int {
	t.Helper()
	req, err := http.NewRequest("GET", s.public+"/gateway/check", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"X-Latchkey-Gateway": key, "X-Auth-Token": token, "X-Original-Method": method, "X-Original-URI": uri,
	} {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

// eventually waits until a check returns the status.
func (s *server) eventually(t *testing.T, want int, key, token, method, uri string) {
	t.Helper()
	got := 0
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if got = s.check(t, key, token, method, uri); got == want {
			return
		}
	}
	t.Fatalf("%s %s: got %d, want %d", method, uri, got, want)
}

// The gateway check reflects changes of tokens, stores and keys.
func TestGateway(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		env := environment(t, url)
		if !strings.HasPrefix(url, "sqlite:") {
			run(t, env, "migrate")
		}
		s, session := demo(t, env)
		key := strings.TrimSpace(run(t, env, "gateway", "create", "--name", "edge"))
		var made issued
		s.must(t, session, issue("Carts", `scopes: ["store_cart"]`), &made)
		token := made.APIToken.CreateAPIToken.Credentials.AccessToken

		const carts = "/stores/acme1us/v3/carts"
		for _, step := range []struct {
			name, key, token, method, uri string
			want                          int
		}{
			{"allowed", key, token, "POST", carts, 204},
			{"another scope", key, token, "GET", "/stores/acme1us/v2/orders", 403},
			{"a session", key, session, "GET", carts, 403},
			{"an unknown store", key, token, "GET", "/stores/acmenew/v3/carts", 403},
			{"a token as the gateway key", token, token, "GET", carts, 401},
			{"a gateway key as the token", key, key, "GET", carts, 401},
		} {
			check.Equal(t, s.check(t, step.key, step.token, step.method, step.uri), step.want, "%s", step.name)
		}

		file := filepath.Join(t.TempDir(), "more.yaml")
		more := strings.Replace(oneAccount, "Acme Retail\n", "Acme Retail\n    stores: [{hash: acmenew, name: New}]\n",
			1)
		if err := os.WriteFile(file, []byte(more), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, env, "apply", "-f", file)
		s.eventually(t, 204, key, token, "GET", "/stores/acmenew/v3/carts")

		var revoked any
		s.must(t, session, revoke(made.APIToken.CreateAPIToken.APIToken.ID), &revoked)
		check.Equal(t, s.check(t, key, token, "POST", carts), 401, "revoked")
		s.must(t, session, issue("Others", `scopes: ["store_cart"]`), &made)
		token = made.APIToken.CreateAPIToken.Credentials.AccessToken
		check.Equal(t, s.check(t, key, token, "POST", carts), 204, "another token")
		id := strings.Fields(strings.Split(run(t, env, "gateway", "list"), "\n")[1])[0]
		run(t, env, "gateway", "revoke", id)
		s.eventually(t, 401, key, token, "POST", carts)
	})
}

func TestOwnRoutes(t *testing.T) {
	env := environment(t, dbtest.SQLiteURL(t))
	file := filepath.Join(t.TempDir(), "routes.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("routes:\n  - paths: [/v3/carts, carts]\n    read: store_everything\n")
	_, errs, code := attempt(t, env, "serve", "--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--routes", file)
	if code != 2 || !strings.Contains(errs, `--routes (LATCHKEY_ROUTES): line 2: a path "carts"`) ||
		!strings.Contains(errs, `--routes (LATCHKEY_ROUTES): line 3: read "store_everything" is not in the catalogue`) {
		t.Errorf("latchkey serve: got exit status %d, %s, want 2 and the errors of lines 2 and 3", code, errs)
	}
	write("routes:\n  - paths: ['/x/{id}']\n    read: any\n")
	for _, tc := range []struct {
		file string
		want map[string]int
	}{
		{file, map[string]int{"/stores/acme1us/x/1": 204, "/stores/acme1us/v3/carts": 403}},
		{"../../examples/routes.yaml", map[string]int{"/stores/acme1us/v3/carts": 204, "/stores/acme1us/v3/hooks": 204,
			"/stores/acme1us/v2/orders": 403, "/stores/acme1us/x/1": 403}},
	} {
		t.Run(filepath.Base(filepath.Dir(tc.file)), func(t *testing.T) {
			s, session := demo(t, environment(t, dbtest.SQLiteURL(t)), "--routes", tc.file,
				"--gateway-addresses", "127.0.0.0/8")
			var made issued
			s.must(t, session, issue("Carts", `scopes: ["store_cart"]`), &made)
			token := made.APIToken.CreateAPIToken.Credentials.AccessToken
			for uri, want := range tc.want {
				check.Equal(t, s.check(t, "", token, "GET", uri), want, "%s", uri)
			}
		})
	}
}
