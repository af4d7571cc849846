package panel_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/internal/test/check"
)

func TestSignIn(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		v := s.visitor()
		page := v.open("/").wants(http.StatusOK, "Sign in")
		v.submit(page, "Sign in", "email", s.OwnerEmail, "password", "not the one").
			wants(http.StatusUnprocessableEntity, "The email address or the password is wrong.")
		v.submit(page, "Sign in", "email", s.OwnerEmail, "password", s.Password).goes("/accounts/" + s.Account + "/")
		page = v.open("/accounts").wants(http.StatusOK, "Acme Retail")
		v.submit(page, "Sign out").goes("/signin").notes("signed_out", 1)
		v.open("/").wants(http.StatusOK, "Sign in")
		s.age(time.Hour)
	})
}

// Attempts are counted. Refused attempts are logged with the user ID if the user exists, and never with the
// submitted text.
func TestSignInsAreCounted(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		v := s.visitor()
		v.post("/signin", "email", s.OwnerEmail, "password", "not the one").wants(http.StatusUnprocessableEntity,
			"wrong")
		v.post("/signin", "email", "slipped-phrase@acme.example", "password", "x").wants(http.StatusUnprocessableEntity,
			"wrong")
		v.post("/signin", "email", s.OwnerEmail, "password", s.Password).goes("/accounts/" + s.Account + "/")
		_, admin, _ := strings.Cut(s.logs("listening", 1)[0], "admin_address=")
		admin, _, _ = strings.Cut(admin, " ")
		metrics := v.send(v.request(http.MethodGet, "http://"+admin+"/metrics", nil)).body
		for _, line := range []string{`latchkey_sign_ins_total{method="password",result="ok"} 1`,
			`latchkey_sign_ins_total{method="password",result="refused"} 2`} {
			if !strings.Contains(metrics, line+"\n") {
				t.Errorf("metrics: got %s, want %s", metrics, line)
			}
		}
		owner := personAt(t, v.get(s.page("/users")), "Acme Owner")
		lines := s.logs("sign-in refused", 2)
		if len(lines) != 2 || !strings.Contains(lines[0], "user_id="+owner[strings.LastIndex(owner, "/")+1:]) ||
			!strings.Contains(lines[0], "client_ip="+v.from) || !strings.Contains(lines[0], "result=refused") {
			t.Errorf("the log: got %q, want two refused lines, the first with the user and the client's IP", lines)
		}
		if logged := s.log.String(); strings.Contains(logged, "slipped-phrase") ||
			strings.Contains(logged, s.OwnerEmail) {
			t.Error("the log: got the submitted text, want it absent")
		}
	})
}

// logs returns the lines of the log that contain text, and waits until there are n. The log is written
// asynchronously.
func (s *server) logs(text string, n int) []string {
	s.t.Helper()
	var lines []string
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		lines = nil
		for line := range strings.Lines(s.log.String()) {
			if strings.Contains(line, text) {
				lines = append(lines, line)
			}
		}
		if len(lines) >= n {
			return lines
		}
	}
	s.t.Fatalf("the log contains %q %d times, want %d", text, len(lines), n)
	return nil
}

// The secret in a browser's session cookie works only in the control panel: over the API it would bypass the fresh
// proof of identity that the panel requires.
func TestSessionsOfBrowsersAreThePanels(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		v := s.signedIn(s.OwnerEmail)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+s.page("/graphql"),
			strings.NewReader(`{"query":"{ viewer { kind } }"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Auth-Token", v.cookie("__Host-latchkey"))
		s.visitor().send(r).wants(http.StatusUnauthorized, "UNAUTHENTICATED")
		v.get(s.page("/tokens")).wants(http.StatusOK, "Account API tokens")
	})
}

// No user can sign in to a suspended account. A user who is only a member of that account cannot sign in at all.
func TestSuspendedAccount(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		const bicycles = "owner@bicycles.example"
		password := s.known(bicycles)
		s.apply(
			"accounts:\n  - uuid: 3f1d9f0e-52b4-4c0e-8a6d-2b7c1e9d4c02\n    name: Blue Bicycles\n    status: suspended\n    owner: {email: " + bicycles + "}\n")
		v := s.visitor()
		v.post("/signin", "email", bicycles, "password", password).wants(http.StatusUnprocessableEntity,
			"You are not a member of an active account.")
		v.get("/accounts").goes("/signin?next=%2Faccounts")
	})
}

// Granting permissions requires a fresh proof of identity, so that an unattended browser cannot be used to grant
// them.
func TestGivingRightsTakesAProof(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		v := s.signedIn(s.OwnerEmail)
		ben := personAt(t, v.get(s.page("/users")), "Ben Becker")
		s.age(16 * time.Minute)
		before := s.contents()
		for _, to := range []string{
			s.page("/users/invite"), ben + "/invite", ben + "/stores", ben + "/stores/acme1us",
			ben + "/stores/acme1us/status",
			ben + "/owner", ben + "/remove", s.page("/tokens"), s.page("/tokens/delete"),
			"/profile/security/passkeys/new", "/profile/security/passkeys", "/profile/security/passkeys/rename",
		} {
			v.post(to, "permissions", "Create_Store_API_Tokens").wants(http.StatusOK, "Confirm your identity")
		}
		s.unchanged(before)
	})
}

// A form that is sent without a session is not processed, and signing in leads back to its page.
func TestFormsSentAfterSigningOut(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		nobody := s.visitor()
		before := s.contents()
		for _, tc := range []struct{ to, from, next string }{
			{s.page("/tokens"), s.URL + s.page("/tokens/new"), s.page("/tokens/new")},
			{s.page("/tokens/delete"), s.URL + s.page("/tokens/delete?id=a&id=b"), s.page("/tokens/delete?id=a&id=b")},
			{s.page("/tokens/7/rotate"), s.URL + s.page("/tokens/7/rotate"), s.page("/tokens/7")},
			{"/profile/security/password", "https://evil.example/accounts", "/profile/security"},
			{"/profile/security/password", "//evil.example/accounts", "/profile/security"},
		} {
			r := nobody.request(http.MethodPost, tc.to, url.Values{"name": {"Nightly import"}})
			r.Header.Set("Referer", tc.from)
			to := "/signin?" + url.Values{"next": {tc.next}}.Encode()
			nobody.send(r).goes(to)
			nobody.get(to).wants(http.StatusOK, "You are not signed in. The form that you sent was not saved")
			check.Equal(t, nobody.cookie(keptCookie), "", "the kept form of an unknown user")
		}
		s.unchanged(before)
		nobody.post("/accounts").goes("/signin?next=%2Faccounts")
		nobody.post("/signout").goes("/signin").notes("signed_out", 1)
	})
}

// Signing in redirects to a page, never to an address that only accepts forms.
func TestNextIsAPage(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		home := "/accounts/" + s.Account + "/"
		for _, tc := range []struct{ next, to string }{
			{"/signout", home},
			{"/profile/security/password", home},
			{"/nowhere", home},
			{"/signin", home},
			{"/static/panel.css", home},
			{"/profile?a=b", "/profile?a=b"},
			{s.page("/audit"), s.page("/audit")},
		} {
			s.visitor().post("/signin", "email", s.OwnerEmail, "password", s.Password, "next", tc.next).goes(tc.to)
		}
	})
}
