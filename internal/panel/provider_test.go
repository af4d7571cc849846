package panel_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/internal/signin/openid/openidtest"
	dbtest "latchkey/internal/test/db"
)

// eachWithProvider runs test on servers with an OpenID Connect provider, which has the server's owner and a
// stranger as users.
func eachWithProvider(t *testing.T, test func(t *testing.T, s *server, p *openidtest.Provider), settings ...string) {
	t.Helper()
	dbtest.EachURL(t, func(t *testing.T, database string) {
		p, err := openidtest.Start(openidtest.Person{Subject: "stranger-1", Email: "stranger@elsewhere.example",
			Verified: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		s := serve(t, database, append([]string{
			"LATCHKEY_OIDC_ISSUER=" + p.Issuer(), "LATCHKEY_OIDC_CLIENT_ID=" + openidtest.ClientID,
			"LATCHKEY_OIDC_CLIENT_SECRET=" + p.ClientSecret, "LATCHKEY_OIDC_NAME=Example ID",
		}, settings...)...)
		p.Know(openidtest.Person{Subject: "owner-1", Email: s.OwnerEmail, Verified: true})
		test(t, s, p)
	})
}

// atProvider follows a response to the provider, signs in there and returns the path of the redirect back. The
// provider's cookies are kept with the visitor's.
func (v *visitor) atProvider(r *reply, email string) string {
	v.t.Helper()
	page := v.get(r.header.Get("Location"))
	if page.status == http.StatusOK {
		forms := page.forms()
		if len(forms) != 1 {
			v.t.Fatalf("forms of the provider: got %d, want 1: %s", len(forms), page.text())
		}
		login, err := url.Parse(r.header.Get("Location"))
		if err != nil {
			v.t.Fatal(err)
		}
		page = v.postForm(login.Scheme+"://"+login.Host+"/login",
			url.Values{"request": {forms[0].values.Get("request")}, "email": {email}})
	}
	back, err := url.Parse(page.header.Get("Location"))
	if err != nil || back.Path != "/signin/openid/callback" {
		v.t.Fatalf("the provider: got %d %s, to %s, want a redirect to /signin/openid/callback", page.status,
			page.text(), back)
	}
	return back.RequestURI()
}

func TestProvider(t *testing.T) {
	eachWithProvider(t, func(t *testing.T, s *server, p *openidtest.Provider) {
		v := s.visitor()
		v.get("/signin?next=/accounts").wants(http.StatusOK, "Sign in with Example ID")
		callback := v.atProvider(v.get("/signin/openid?next=/accounts"), s.OwnerEmail)
		thief := s.visitor()
		thief.get(callback).wants(http.StatusUnprocessableEntity, "This took too long")
		flow := v.flowsAtProvider()[0]
		v.get(callback).goes("/accounts")
		v.get("/accounts").wants(http.StatusOK, "You belong to one account.")
		v.get("/profile/security").wants(http.StatusOK, s.OwnerEmail+" Example ID · Linked")

		replayed := s.visitor()
		replayed.keep(flow, "lkf_"+strings.Repeat("0", 49))
		replayed.get(callback).wants(http.StatusUnprocessableEntity, "This took too long")

		// The email address may change at the provider and be reassigned: only the subject identifies the user.
		p.Know(openidtest.Person{Subject: "owner-1", Email: "renamed@elsewhere.example"})
		p.Know(openidtest.Person{Subject: "owner-2", Email: s.OwnerEmail, Verified: true})
		renamed := s.visitor()
		renamed.get(renamed.atProvider(renamed.get("/signin/openid"),
			"renamed@elsewhere.example")).goes("/accounts/" + s.Account + "/")
		heir := s.visitor()
		heir.get(heir.atProvider(heir.get("/signin/openid"), s.OwnerEmail)).wants(http.StatusUnprocessableEntity,
			"This user is linked to another identity at Example ID")
	})
}

func TestProviderRefuses(t *testing.T) {
	eachWithProvider(t, func(t *testing.T, s *server, p *openidtest.Provider) {
		claim := func(name string, value any) openidtest.Behaviour {
			return openidtest.Behaviour{Claims: func(all map[string]any) { all[name] = value }}
		}
		tests := []struct {
			name  string
			be    openidtest.Behaviour
			email string
			want  string
		}{
			{"no user", openidtest.Behaviour{}, "stranger@elsewhere.example", "Ask an owner to invite you"},
			{"address not confirmed", claim("email_verified", false), s.OwnerEmail, "Your address is not confirmed"},
			{"no address", openidtest.Behaviour{Claims: func(all map[string]any) { all["email"] = "" }},
				"stranger@elsewhere.example", "No user has your address"},
			{"other nonce", claim("nonce", "another"), s.OwnerEmail, "The response cannot be trusted"},
			{"other audience", claim("aud", "another"), s.OwnerEmail, "The response cannot be trusted"},
			{"other party of several", claim("aud", []string{openidtest.ClientID, "another"}), s.OwnerEmail,
				"The response cannot be trusted"},
			{"other issuer", claim("iss", "https://another.example"), s.OwnerEmail, "The response cannot be trusted"},
			{"expired", claim("exp", 1), s.OwnerEmail, "The response cannot be trusted"},
			{"unsigned", openidtest.Behaviour{Unsigned: true}, s.OwnerEmail, "The response cannot be trusted"},
			{"other key", openidtest.Behaviour{OtherKey: true}, s.OwnerEmail, "The response cannot be trusted"},
			{"another user's address", openidtest.Behaviour{Apart: true, OtherSubject: true}, s.OwnerEmail,
				"The response cannot be trusted"},
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				p.Behave(test.be)
				v := s.visitor()
				v.t = t
				v.get(v.atProvider(v.get("/signin/openid"), test.email)).wants(http.StatusUnprocessableEntity,
					test.want)
				v.get("/accounts").goes("/signin?next=%2Faccounts")
			})
		}
		p.Know(openidtest.Person{Subject: "ana-1", Email: ana})
		p.Behave(openidtest.Behaviour{Apart: true})
		unconfirmed := s.visitor()
		unconfirmed.get(unconfirmed.atProvider(unconfirmed.get("/signin/openid"),
			ana)).wants(http.StatusUnprocessableEntity, "Your address is not confirmed")
		p.Behave(openidtest.Behaviour{})

		v := s.visitor()
		state := stateOf(t, v.get("/signin/openid"))
		v.get("/signin/openid/callback?state=another&code=x").wants(http.StatusUnprocessableEntity,
			"This sign-in was not started here")
		v.get("/signin/openid/callback?iss=https://another.example&code=x&state="+
			state).wants(http.StatusUnprocessableEntity, "The response cannot be trusted")
		v.get("/signin/openid/callback?code=x&state="+state).wants(http.StatusUnprocessableEntity, "This took too long")
		v.get("/signin/openid/callback?error=access_denied&state="+stateOf(t, v.get("/signin/openid"))).
			wants(http.StatusUnprocessableEntity, "You did not sign in")
		v.get("/signin/openid/callback?error=server_error&state="+stateOf(t, v.get("/signin/openid"))).
			wants(http.StatusUnprocessableEntity, "Example ID refused the sign-in")
		v.get("/signin/openid/callback?code=forged&state="+stateOf(t, v.get("/signin/openid"))).
			wants(http.StatusUnprocessableEntity, "Example ID refused the sign-in")
		s.visitor().get("/signin/openid/callback?code=x").wants(http.StatusUnprocessableEntity, "This took too long")
	})
}

// stateOf returns the state that a response sends to the provider.
func stateOf(t *testing.T, r *reply) string {
	t.Helper()
	to, err := url.Parse(r.header.Get("Location"))
	if err != nil || to.Query().Get("state") == "" {
		t.Fatalf("got %d %s with the location %s, want one with a state", r.status, r.text(), to)
	}
	return to.Query().Get("state")
}

// If the provider is down, everything else works. The next request tries it again.
func TestProviderIsDown(t *testing.T) {
	eachWithProvider(t, func(t *testing.T, s *server, p *openidtest.Provider) {
		p.Down(true)
		v := s.visitor()
		v.get("/signin").wants(http.StatusOK, "Sign in with Example ID")
		v.get("/signin/openid").wants(http.StatusServiceUnavailable, "Example ID cannot be reached")
		s.signedIn(s.OwnerEmail)
		p.Down(false)
		callback := v.atProvider(v.get("/signin/openid"), s.OwnerEmail)
		p.Down(true)
		v.get(callback).wants(http.StatusUnprocessableEntity, "Example ID refused the sign-in")
		p.Down(false)
		v.get(v.atProvider(v.get("/signin/openid"), s.OwnerEmail)).goes("/accounts/" + s.Account + "/")

		// New keys are fetched when they are needed. The email address is requested from the userinfo endpoint.
		if err := p.RotateKeys(); err != nil {
			t.Fatal(err)
		}
		p.Behave(openidtest.Behaviour{Apart: true})
		other := s.visitor()
		other.get(other.atProvider(other.get("/signin/openid"), s.OwnerEmail)).goes("/accounts/" + s.Account + "/")
	})
}

// A user without a password proves their identity at the provider.
func TestProveAgainAtProvider(t *testing.T) {
	eachWithProvider(t, func(t *testing.T, s *server, p *openidtest.Provider) {
		v := s.visitor()
		v.get("/signin").lacks("Password")
		v.post("/signin", "email", s.OwnerEmail, "password", s.Password).wants(http.StatusUnprocessableEntity,
			"Sign-in with a password is turned off here.")
		v.get(v.atProvider(v.get("/signin/openid"), s.OwnerEmail)).goes("/accounts/" + s.Account + "/")
		s.age(time.Hour)
		asked := v.post("/profile/security/app/new", "kept", "this").wants(http.StatusOK, "Confirm at Example ID")
		asked.lacks("Password")
		v.submit(asked, "I have confirmed it, continue").wants(http.StatusOK, "Confirm your identity")

		p.Behave(openidtest.Behaviour{Remembers: true,
			Claims: func(all map[string]any) { all["auth_time"] = time.Now().Add(-time.Hour).Unix() }})
		v.get(v.atProvider(v.get("/signin/again/openid"), s.OwnerEmail)).wants(http.StatusUnprocessableEntity,
			"Example ID did not ask you to sign in again")
		p.Behave(openidtest.Behaviour{Claims: func(all map[string]any) { delete(all, "auth_time") }})
		v.get(v.atProvider(v.get("/signin/again/openid"), s.OwnerEmail)).wants(http.StatusUnprocessableEntity,
			"Example ID did not ask you to sign in again")
		p.Behave(openidtest.Behaviour{})
		v.get(v.atProvider(v.get("/signin/again/openid"),
			"stranger@elsewhere.example")).wants(http.StatusUnprocessableEntity, "You are signed in as another user")
		v.get(v.atProvider(v.get("/signin/again/openid"), s.OwnerEmail)).wants(http.StatusOK,
			"Your identity is confirmed")
		if last := p.Asked()[len(p.Asked())-1]; last.Get("prompt") != "login" || last.Get("max_age") != "0" {
			t.Errorf("asked the provider with %v, want prompt login and max_age 0", last)
		}
		v.submit(asked, "I have confirmed it, continue").goes("/profile/security/app")

		page := v.get("/profile/security")
		v.submit(page, fmt.Sprintf("Unlink %s", s.OwnerEmail)).wants(http.StatusConflict,
			"This is your last way to sign in.")
	}, "LATCHKEY_PASSWORD_SIGN_IN=off")
}

// A signed-in user links their identity at the provider and unlinks it.
func TestLinkProvider(t *testing.T) {
	eachWithProvider(t, func(t *testing.T, s *server, p *openidtest.Provider) {
		v := s.signedIn(s.OwnerEmail)
		link := v.submit(v.get("/profile/security"), "Link Example ID").wants(http.StatusOK, "Go to Example ID")
		var to string
		for _, each := range link.links() {
			if strings.HasPrefix(each, p.Issuer()) {
				to = each
			}
		}
		v.get(v.atProvider(&reply{header: http.Header{"Location": {to}}},
			"stranger@elsewhere.example")).goes("/profile/security").notes("linked", 1)
		page := v.get("/profile/security").wants(http.StatusOK, "stranger@elsewhere.example").lacks("Link Example ID")

		other := s.visitor()
		other.get(other.atProvider(other.get("/signin/openid"),
			"stranger@elsewhere.example")).goes("/accounts/" + s.Account + "/")
		v.submit(page, "Unlink stranger@elsewhere.example").goes("/profile/security").notes("factor_removed", 1)
		gone := s.visitor()
		gone.get(gone.atProvider(gone.get("/signin/openid"),
			"stranger@elsewhere.example")).wants(http.StatusUnprocessableEntity, "Ask an owner to invite you")
	})
}

// If passwords are turned off, no page asks for one: the pages of a forgotten password and of an emailed link lead
// to the provider. The operator's link signs in.
func TestPagesWithoutPasswords(t *testing.T) {
	eachWithProvider(t, func(t *testing.T, s *server, _ *openidtest.Provider) {
		v := s.visitor()
		page := v.get("/forgot").wants(http.StatusOK, "Passwords are turned off here. Sign in with Example ID")
		page.lacks("Send reset link")
		v.post("/forgot", "email", s.OwnerEmail).wants(http.StatusOK, "Passwords are turned off here")
		v.get("/link/lkl_x").wants(http.StatusNotFound, "Passwords are turned off here").lacks("Forgot")
		link := s.invite(s.OwnerEmail)
		page = v.get(link).wants(http.StatusOK, "Passwords are turned off here. This link signs you in once")
		if strings.Contains(page.body, `type="password"`) {
			t.Error("the page of the link: got an input of a password, want none")
		}
		v.submit(page, "Sign in").goes("/accounts/" + s.Account + "/")
		methods := v.get("/profile/security")
		if strings.Contains(methods.body, `type="password"`) {
			t.Error("the sign-in methods: got an input of a password, want none")
		}
		v.post("/profile/security/password", "present", s.Password, "password", "another phrase",
			"passwordConfirmation", "another phrase").
			wants(http.StatusForbidden, "Sign-in with a password is turned off here.")
		v.get(link).wants(http.StatusNotFound, "links sent by email do not sign in")
		v.submit(v.get(s.page("/users/invite")), "Invite", "email", "nell@acme.example", "firstName", "Nell",
			"lastName", "New").
			wants(http.StatusOK, "ask the user to sign in with Example ID, as nell@acme.example")
	}, "LATCHKEY_PASSWORD_SIGN_IN=off")
}

// flowsAtProvider returns the names of the cookies of flows at the provider.
func (v *visitor) flowsAtProvider() []string {
	v.t.Helper()
	at, err := url.Parse(v.server.URL)
	if err != nil {
		v.t.Fatal(err)
	}
	var names []string
	for _, cookie := range v.jar.Cookies(at) {
		if strings.HasPrefix(cookie.Name, "__Host-latchkey-flow-provider-") {
			names = append(names, cookie.Name)
		}
	}
	return names
}

// Flows in several tabs of a browser do not interfere, and a browser that is sent to the provider again and again
// keeps only a few of them.
func TestFlowsDoNotEndEachOther(t *testing.T) {
	eachWithProvider(t, func(t *testing.T, s *server, _ *openidtest.Provider) {
		v := s.visitor()
		first := v.atProvider(v.get("/signin/openid?next=/accounts"), s.OwnerEmail)
		v.atProvider(v.get("/signin/openid"), s.OwnerEmail)
		v.get(first).goes("/accounts")

		other := s.visitor()
		last := ""
		for range 12 {
			last = other.atProvider(other.get("/signin/openid"), s.OwnerEmail)
		}
		if n := len(other.flowsAtProvider()); n > 5 {
			t.Errorf("flows in the browser: got %d, want at most 5", n)
		}
		other.get(last).goes("/accounts/" + s.Account + "/")
	})
}
