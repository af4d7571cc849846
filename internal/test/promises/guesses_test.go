package promises_test

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/internal/secret"
	"latchkey/internal/test/check"
)

// TestGuessesDoNotLockOutIssuedCredentials checks that credentials that the server issues work from an address that
// guesses credentials, and that guesses are refused.
func TestGuessesDoNotLockOutIssuedCredentials(t *testing.T) {
	eachDeployment(t, func(t *testing.T, h *deployment) {
		h.settings = map[string]string{"LATCHKEY_RATE_LIMITS": "on", "LATCHKEY_FAILURE_RATE": "3/30m"}
		n := h.serve()
		owner := h.session(acmeOwner)
		const email, password = "ann@acme.example", "correct horse 8c1f battery"
		n.must(owner, acme, userMutation("user", "createUserWithPassword"), vars{"in": vars{
			"email": email, "firstName": "Ann", "lastName": "Ames", "locale": "en", "password": password,
			"passwordConfirmation": password,
		}})
		guess := func(credential string) int { return n.ask(credential, acme, "{ viewer { kind } }", nil).status }
		guesses := func(what string) (last string) {
			t.Helper()
			for i := range 3 {
				last = generated(t)
				if status := guess(last); status != http.StatusUnauthorized {
					t.Fatalf("%s: guess %d: got %d, want 401", what, i, status)
				}
			}
			return last
		}
		repeated := guesses("up to the rate")
		for range 20 {
			if status := guess(repeated); status != http.StatusTooManyRequests {
				t.Fatalf("a guess that is repeated over the rate: got %d, want 429", status)
			}
		}
		if !n.works(h.session(acmeOwner), acme) {
			t.Error("a session that a command started: got it refused, want it accepted")
		}
		guesses("on trial")
		check.Equal(t, guess(generated(t)), http.StatusTooManyRequests, "a guess with no trial left")

		token := n.issue(owner, acme, vars{"name": "Made under attack", "scopes": []string{"account_users_read"}})
		rotated := n.must(owner, acme, rotate,
			vars{"in": vars{"id": token.id}}).text("apiToken.rotateApiToken.accessToken")
		for what, credential := range map[string]string{
			"created token": token.access, "rotated token": rotated, "token granted to a client": n.granted(token),
		} {
			if !n.works(credential, acme) {
				t.Errorf("a %s: got it refused, want it accepted", what)
			}
		}
		n.signIn(email, password)
	})
}

// generated returns a well-formed credential that was never issued.
func generated(t *testing.T) string {
	t.Helper()
	s, err := secret.Generate(rand.Reader, secret.AccountAccessToken)
	if err != nil {
		t.Fatal(err)
	}
	return s.Reveal()
}

// signIn signs in to the panel, and opens a page in the session.
func (n *node) signIn(email, password string) {
	n.t.Helper()
	browser := &http.Client{
		Transport:     n.client.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	send := func(method, path, body string, cookies []*http.Cookie) (int, []*http.Cookie) {
		req, err := http.NewRequestWithContext(n.t.Context(), method, n.public+path, strings.NewReader(body))
		if err != nil {
			n.t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for _, c := range cookies {
			req.AddCookie(c)
		}
		res, err := browser.Do(req)
		if err != nil {
			n.t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode, res.Cookies()
	}
	status, session := send(http.MethodPost, "/signin", url.Values{"email": {email}, "password": {password}}.Encode(),
		nil)
	if status != http.StatusSeeOther {
		n.t.Fatalf("signing in: got status %d, want 303", status)
	}
	if status, _ := send(http.MethodGet, "/profile/security", "", session); status != http.StatusOK {
		n.t.Errorf("a page in the new session: got status %d, want 200", status)
	}
}
