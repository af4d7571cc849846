package cli_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	dbtest "latchkey/internal/test/db"
)

// If the database does not answer, a request gets a 503 after five seconds,
// also from a server that is stopping. The server then exits with status 0,
// because no request was aborted.
func TestSilentDatabase(t *testing.T) {
	keepRace(t)
	proxy := dbtest.StartProxy(t, dbtest.PostgresDSN(t))
	env := environment(t, proxy.URL)
	run(t, env, "migrate")
	s := serve(t, env, "--demo", "--output", "json", "--shutdown-delay", "3s")
	var welcome struct{ OwnerEmail, Password, SessionToken string }
	if err := json.Unmarshal([]byte(s.printed(t)), &welcome); err != nil {
		t.Fatal(err)
	}
	var made struct {
		APIToken struct {
			CreateAPIToken struct {
				Credentials struct{ ClientID, ClientSecret string }
			} `json:"createApiToken"`
		}
	}
	s.must(t, welcome.SessionToken, `mutation { apiToken { createApiToken(input: {name: "Silent", scopes: ["account_read"]}) {
		credentials { clientId clientSecret } } } }`, &made)
	client := made.APIToken.CreateAPIToken.Credentials
	grant := url.Values{"grant_type": {"client_credentials"}, "client_id": {client.ClientID},
		"client_secret": {client.ClientSecret}}
	signIn := url.Values{"email": {welcome.OwnerEmail}, "password": {welcome.Password}}
	if status, _, _ := s.submit(t, "/oauth2/token", grant, ""); status != http.StatusOK {
		t.Fatalf("granting a token: got %d, want 200", status)
	}
	status, _, cookie := s.submit(t, "/signin", signIn, "")
	if status != http.StatusSeeOther || cookie == "" {
		t.Fatalf("signing in: got %d and a cookie %t, want 303 and true", status, cookie != "")
	}

	proxy.Freeze()
	defer proxy.Thaw()
	var waiting sync.WaitGroup
	for _, tc := range []struct {
		path   string
		form   url.Values
		cookie string
	}{
		{"/oauth2/token", grant, ""},
		{"/oauth2/revoke", url.Values{"client_id": {client.ClientID}, "client_secret": {client.ClientSecret},
			"token": {"unknown"}}, ""},
		{"/signin", signIn, ""},
		{"/signout", nil, cookie},
		{"/profile", url.Values{"first": {"Ann"}, "last": {"Other"}}, cookie},
	} {
		waiting.Go(func() {
			began := time.Now()
			status, retry, _ := s.submit(t, tc.path, tc.form, tc.cookie)
			took := time.Since(began)
			if status != http.StatusServiceUnavailable || retry != "1" || took > 8*time.Second {
				t.Errorf("%s: got %d after %s, Retry-After %q, want 503 within 8s, \"1\"", tc.path, status, took, retry)
			}
		})
	}
	waiting.Go(func() {
		began := time.Now()
		got, err := s.ask(welcome.SessionToken, `{ account { users(first: 1) { edges { node { email } } } } }`)
		if took := time.Since(began); err != nil || got.status != http.StatusServiceUnavailable ||
			took > 8*time.Second {
			t.Errorf("a query: got %d after %s: %v, want 503 within 8s", got.status, took, err)
		}
	})
	// The requests must arrive within the shutdown delay.
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waiting.Wait()
	answered := time.Now()
	code := s.exits(t)
	if took := time.Since(answered); code != 0 || took > 8*time.Second {
		t.Errorf("got exit status %d, %s after the last response, want 0 within 8s: %s", code, took, s.logged())
	}
}

// submit sends a form and returns the status, Retry-After and the session
// cookie of the response.
func (s *server) submit(t *testing.T, path string, form url.Values, cookie string) (status int, retryAfter,
	set string) {
	t.Helper()
	req, err := http.NewRequest("POST", s.public+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Error(err)
		return 0, "", ""
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if cookie != "" {
		req.Header.Set("Cookie", cookie)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Error(err)
		return 0, "", ""
	}
	defer res.Body.Close()
	for _, c := range res.Cookies() {
		if c.Name == "__Host-latchkey" {
			set = c.Name + "=" + c.Value
		}
	}
	return res.StatusCode, res.Header.Get("Retry-After"), set
}
