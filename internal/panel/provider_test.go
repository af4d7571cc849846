package panel_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/internal/dbtest"
	"latchkey/internal/openid/openidtest"
)

// eachWithProvider runs test on servers that have a provider to sign in at,
// which knows their owner and a stranger.
func eachWithProvider(t *testing.T, test func(t *testing.T, s *server, p *openidtest.Provider), settings ...string) {
	t.Helper()
	dbtest.EachURL(t, func(t *testing.T, database string) {
		p, err := openidtest.Start(openidtest.Person{Subject: "stranger-1", Email: "stranger@elsewhere.example", Verified: true})
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

// atProvider goes to the provider that an answer leads to, says there who it
// is, and returns the path that it sends the visitor back to. The provider's
// cookies are the visitor's.
func (v *visitor) atProvider(r *reply, email string) string {
	v.t.Helper()
	page := v.get(r.header.Get("Location"))
	if page.status == http.StatusOK {
		forms := page.forms()
		if len(forms) != 1 {
			v.t.Fatalf("the provider shows %s", page.text())
		}
		login, err := url.Parse(r.header.Get("Location"))
		if err != nil {
			v.t.Fatal(err)
		}
		page = v.postForm(login.Scheme+"://"+login.Host+"/login", url.Values{"request": {forms[0].values.Get("request")}, "email": {email}})
	}
	back, err := url.Parse(page.header.Get("Location"))
	if err != nil || back.Path != "/signin/openid/callback" {
		v.t.Fatalf("the provider answers %d %s, to %s", page.status, page.text(), back)
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
		v.get("/accounts").wants(http.StatusOK, "Choose an account")
		v.get("/profile/security").wants(http.StatusOK, s.OwnerEmail+" "+p.Issuer())

		replayed := s.visitor()
		replayed.keep(flow, "lkf_"+strings.Repeat("0", 49))
		replayed.get(callback).wants(http.StatusUnprocessableEntity, "This took too long")

		// The address may change there, and go to somebody else: the subject counts.
		p.Know(openidtest.Person{Subject: "owner-1", Email: "renamed@elsewhere.example"})
		p.Know(openidtest.Person{Subject: "owner-2", Email: s.OwnerEmail, Verified: true})
		renamed := s.visitor()
		renamed.get(renamed.atProvider(renamed.get("/signin/openid"), "renamed@elsewhere.example")).goes("/accounts/" + s.Account + "/")
		heir := s.visitor()
		heir.get(heir.atProvider(heir.get("/signin/openid"), s.OwnerEmail)).wants(http.StatusUnprocessableEntity, "This is somebody else at Example ID")
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
			{"nobody here", openidtest.Behaviour{}, "stranger@elsewhere.example", "Ask an owner to invite you"},
			{"address not confirmed", claim("email_verified", false), s.OwnerEmail, "Your address is not confirmed"},
			{"no address", openidtest.Behaviour{Claims: func(all map[string]any) { all["email"] = "" }}, "stranger@elsewhere.example", "Nobody here has your address"},
			{"other nonce", claim("nonce", "another"), s.OwnerEmail, "The answer cannot be trusted"},
			{"other audience", claim("aud", "another"), s.OwnerEmail, "The answer cannot be trusted"},
			{"other party of several", claim("aud", []string{openidtest.ClientID, "another"}), s.OwnerEmail, "The answer cannot be trusted"},
			{"other issuer", claim("iss", "https://another.example"), s.OwnerEmail, "The answer cannot be trusted"},
			{"expired", claim("exp", 1), s.OwnerEmail, "The answer cannot be trusted"},
			{"unsigned", openidtest.Behaviour{Unsigned: true}, s.OwnerEmail, "The answer cannot be trusted"},
			{"other key", openidtest.Behaviour{OtherKey: true}, s.OwnerEmail, "The answer cannot be trusted"},
			{"somebody else's address", openidtest.Behaviour{Apart: true, OtherSubject: true}, s.OwnerEmail, "The answer cannot be trusted"},
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				p.Behave(test.be)
				v := s.visitor()
				v.t = t
				v.get(v.atProvider(v.get("/signin/openid"), test.email)).wants(http.StatusUnprocessableEntity, test.want)
				v.get("/accounts").goes("/signin?next=%2Faccounts")
			})
		}
		p.Know(openidtest.Person{Subject: "ana-1", Email: ana})
		p.Behave(openidtest.Behaviour{Apart: true})
		unconfirmed := s.visitor()
		unconfirmed.get(unconfirmed.atProvider(unconfirmed.get("/signin/openid"), ana)).wants(http.StatusUnprocessableEntity, "Your address is not confirmed")
		p.Behave(openidtest.Behaviour{})

		v := s.visitor()
		state := stateOf(t, v.get("/signin/openid"))
		v.get("/signin/openid/callback?state=another&code=x").wants(http.StatusUnprocessableEntity, "This was not begun here")
		v.get("/signin/openid/callback?iss=https://another.example&code=x&state="+state).wants(http.StatusUnprocessableEntity, "The answer cannot be trusted")
		v.get("/signin/openid/callback?code=x&state="+state).wants(http.StatusUnprocessableEntity, "This took too long")
		v.get("/signin/openid/callback?error=access_denied&state="+stateOf(t, v.get("/signin/openid"))).
			wants(http.StatusUnprocessableEntity, "You did not sign in")
		v.get("/signin/openid/callback?error=server_error&state="+stateOf(t, v.get("/signin/openid"))).
			wants(http.StatusUnprocessableEntity, "Example ID did not let you in")
		v.get("/signin/openid/callback?code=forged&state="+stateOf(t, v.get("/signin/openid"))).
			wants(http.StatusUnprocessableEntity, "Example ID did not let you in")
		s.visitor().get("/signin/openid/callback?code=x").wants(http.StatusUnprocessableEntity, "This took too long")
	})
}

// stateOf is the state that an answer sends to the provider.
func stateOf(t *testing.T, r *reply) string {
	t.Helper()
	to, err := url.Parse(r.header.Get("Location"))
	if err != nil || to.Query().Get("state") == "" {
		t.Fatalf("%d %s leads to %s", r.status, r.text(), to)
	}
	return to.Query().Get("state")
}

// A provider that is down stops nothing else, and is asked anew.
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
		v.get(callback).wants(http.StatusUnprocessableEntity, "Example ID did not let you in")
		p.Down(false)
		v.get(v.atProvider(v.get("/signin/openid"), s.OwnerEmail)).goes("/accounts/" + s.Account + "/")

		// New keys are read when they are needed; an address apart is asked for.
		if err := p.RotateKeys(); err != nil {
			t.Fatal(err)
		}
		p.Behave(openidtest.Behaviour{Apart: true})
		other := s.visitor()
		other.get(other.atProvider(other.get("/signin/openid"), s.OwnerEmail)).goes("/accounts/" + s.Account + "/")
	})
}

// Whoever has no password proves at the provider that it is still them.
func TestProveAgainAtProvider(t *testing.T) {
	eachWithProvider(t, func(t *testing.T, s *server, p *openidtest.Provider) {
		v := s.visitor()
		v.get("/signin").lacks("Password")
		v.post("/signin", "email", s.OwnerEmail, "password", s.Password).wants(http.StatusUnprocessableEntity, "Nobody signs in with a password here.")
		v.get(v.atProvider(v.get("/signin/openid"), s.OwnerEmail)).goes("/accounts/" + s.Account + "/")
		s.age(time.Hour)
		asked := v.post("/profile/security/app/new", "kept", "this").wants(http.StatusOK, "Prove it at Example ID")
		asked.lacks("Password")
		v.submit(asked, "I proved it, go on").wants(http.StatusOK, "Is it still you?")

		p.Behave(openidtest.Behaviour{Remembers: true, Claims: func(all map[string]any) { all["auth_time"] = time.Now().Add(-time.Hour).Unix() }})
		v.get(v.atProvider(v.get("/signin/again/openid"), s.OwnerEmail)).wants(http.StatusUnprocessableEntity, "Example ID did not ask who you are")
		p.Behave(openidtest.Behaviour{Claims: func(all map[string]any) { delete(all, "auth_time") }})
		v.get(v.atProvider(v.get("/signin/again/openid"), s.OwnerEmail)).wants(http.StatusUnprocessableEntity, "Example ID did not ask who you are")
		p.Behave(openidtest.Behaviour{})
		v.get(v.atProvider(v.get("/signin/again/openid"), "stranger@elsewhere.example")).wants(http.StatusUnprocessableEntity, "That is somebody else")
		v.get(v.atProvider(v.get("/signin/again/openid"), s.OwnerEmail)).wants(http.StatusOK, "That is you")
		if last := p.Asked()[len(p.Asked())-1]; last.Get("prompt") != "login" || last.Get("max_age") != "0" {
			t.Errorf("asked %v", last)
		}
		v.submit(asked, "I proved it, go on").goes("/profile/security/app")

		page := v.get("/profile/security")
		v.submit(page, fmt.Sprintf("Unlink %s", s.OwnerEmail)).wants(http.StatusConflict, "This is the last way in which you can sign in.")
	}, "LATCHKEY_PASSWORD_SIGN_IN=off")
}

// Somebody who is signed in links who they are at the provider, and unlinks it.
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
		v.get(v.atProvider(&reply{header: http.Header{"Location": {to}}}, "stranger@elsewhere.example")).goes("/profile/security?n=1&notice=linked")
		page := v.get("/profile/security").wants(http.StatusOK, "stranger@elsewhere.example").lacks("Link Example ID")

		other := s.visitor()
		other.get(other.atProvider(other.get("/signin/openid"), "stranger@elsewhere.example")).goes("/accounts/" + s.Account + "/")
		v.submit(page, "Unlink stranger@elsewhere.example").goes("/profile/security?n=1&notice=factor_removed")
		gone := s.visitor()
		gone.get(gone.atProvider(gone.get("/signin/openid"), "stranger@elsewhere.example")).wants(http.StatusUnprocessableEntity, "Ask an owner to invite you")
	})
}

// Where passwords are off, no page asks for one: whoever forgot theirs, or has a
// link that was mailed, is led to the provider. The operator's link signs in.
func TestPagesWithoutPasswords(t *testing.T) {
	eachWithProvider(t, func(t *testing.T, s *server, _ *openidtest.Provider) {
		v := s.visitor()
		page := v.get("/forgot").wants(http.StatusOK, "Passwords are turned off here. Sign in with Example ID")
		page.lacks("Mail me a link")
		v.post("/forgot", "email", s.OwnerEmail).wants(http.StatusOK, "Passwords are turned off here")
		v.get("/link/lkl_x").wants(http.StatusNotFound, "Passwords are turned off here").lacks("Forgot")
		link := s.invite(s.OwnerEmail)
		page = v.get(link).wants(http.StatusOK, "Passwords are turned off here. This link signs you in once")
		if strings.Contains(page.body, `type="password"`) {
			t.Error("a password is asked for")
		}
		v.submit(page, "Sign in").goes("/accounts/" + s.Account + "/")
		profile := v.get("/profile")
		if strings.Contains(profile.body, `type="password"`) {
			t.Error("the profile asks for a password")
		}
		v.post("/profile/password", "present", s.Password, "password", "another phrase", "passwordConfirmation", "another phrase").
			wants(http.StatusForbidden, "Nobody signs in with a password here.")
		v.get(link).wants(http.StatusNotFound, "no link that was mailed signs anybody in")
		v.submit(v.get(s.page("/users/invite")), "Invite", "email", "nell@acme.example", "firstName", "Nell", "lastName", "New").
			wants(http.StatusOK, "ask them to sign in with Example ID, as nell@acme.example")
	}, "LATCHKEY_PASSWORD_SIGN_IN=off")
}

// flowsAtProvider are the names of the cookies of flows at the provider.
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

// Flows in several tabs of a browser do not end each other, and a browser that is
// sent to the provider again and again keeps few of them.
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
			t.Errorf("the browser keeps %d flows", n)
		}
		other.get(last).goes("/accounts/" + s.Account + "/")
	})
}
