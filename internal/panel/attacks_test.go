package panel_test

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"latchkey/internal/panel"
	"latchkey/internal/test/check"
)

// session is the name of the session cookie.
const session = "__Host-latchkey"

var wildcard = regexp.MustCompile(`\{[^}]+\}`)

// address fills in a pattern: the demo's account and store, and IDs that do not exist for everything else.
func (s *server) address(pattern string) string {
	filled := strings.NewReplacer("{account}", s.Account, "{store}", "acme1us", "{$}", "").Replace(pattern)
	return wildcard.ReplaceAllString(filled, "0b2c1a6e-6a7e-4f4e-9c1f-000000000000")
}

// Cross-site requests have no effect (http.CrossOriginProtection).
func TestCrossSiteRequestsAreRefused(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		before := s.contents()
		for _, route := range panel.Routes() {
			if route.Method == http.MethodGet {
				continue
			}
			for name, headers := range map[string]map[string]string{
				"another site":            {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
				"another site, no origin": {"Sec-Fetch-Site": "cross-site", "Origin": ""},
				"another host of a site":  {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"},
				"an old browser":          {"Sec-Fetch-Site": "", "Origin": "https://evil.example"},
				"an opaque origin":        {"Sec-Fetch-Site": "", "Origin": "null"},
			} {
				r := owner.request(route.Method, s.address(route.Pattern),
					url.Values{"email": {s.OwnerEmail}, "password": {s.Password}, "account": {s.Account}})
				for header, value := range headers {
					r.Header.Set(header, value)
					if value == "" {
						r.Header.Del(header)
					}
				}
				answer := owner.send(r)
				if answer.status != http.StatusForbidden || answer.header.Get("Set-Cookie") != "" ||
					!strings.Contains(answer.text(), "The form was sent from another site Nothing was changed") {
					t.Errorf("%s %s from %s: got %d %s, want 403 without a cookie", route.Method, route.Pattern, name,
						answer.status, answer.text())
				}
			}
		}
		s.unchanged(before)
		owner.post("/signout").wants(http.StatusSeeOther, "")
	})
}

// Every sign-in creates a new session secret and revokes the browser's previous session (no session fixation).
func TestSessionsCannotBePlanted(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		s.known("eu@acme.example")
		attacker := s.signedIn("eu@acme.example")
		planted := attacker.cookie(session)
		victim := s.visitor()
		victim.keep(session, planted)
		victim.post("/signin", "email", s.OwnerEmail, "password", s.Password).wants(http.StatusSeeOther, "")
		own := victim.cookie(session)
		if own == planted || own == "" {
			t.Errorf("session after signing in: got the planted one %t and none %t, want a new one", own == planted,
				own == "")
		}
		attacker.get("/accounts").goes("/signin?next=%2Faccounts")

		victim.post("/signin", "email", s.OwnerEmail, "password", s.Password).wants(http.StatusSeeOther, "")
		if victim.cookie(session) == own {
			t.Error("session after signing in again: got the same, want a new one")
		}
		old := s.visitor()
		old.keep(session, own)
		old.get("/accounts").goes("/signin?next=%2Faccounts")

		unknown := s.visitor()
		unknown.keep(session, "chosen-by-an-attacker")
		unknown.post("/signin", "email", s.OwnerEmail, "password", s.Password).wants(http.StatusSeeOther, "")
		if unknown.cookie(session) == "chosen-by-an-attacker" {
			t.Error("session after signing in: got the chosen one, want a new one")
		}
	})
}

// After signing out, the session's secret is invalid.
func TestSignedOutSessionsEnd(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		v, thief := s.signedIn(s.OwnerEmail), s.visitor()
		thief.keep(session, v.cookie(session))
		thief.get("/accounts").wants(http.StatusOK, "Acme Retail")
		gone := v.post("/signout").goes("/signin").notes("signed_out", 1)
		if got := gone.header.Get("Set-Cookie"); !strings.Contains(got, "Max-Age=0") || v.cookie(session) != "" {
			t.Errorf("Set-Cookie: got %s, want the cookie deleted", got)
		}
		thief.get("/accounts").goes("/signin?next=%2Faccounts")
	})
}

// The server's cookies are bound to this host and to TLS, hidden from scripts, and not sent with forms of other
// sites.
func TestCookies(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		v := s.visitor()
		answer := v.post("/signin", "email", s.OwnerEmail, "password", s.Password)
		kept := (&http.Response{Header: answer.header}).Cookies()
		if len(kept) == 0 {
			t.Fatal("signing in: got no cookie, want one")
		}
		for _, c := range kept {
			// The exception checks whether the browser keeps secure cookies. It holds no secret.
			secure := strings.HasPrefix(c.Name, "__Host-") && c.Secure || c.Name == "latchkey-arriving" &&
				len(c.Value) < 5
			if !secure || c.Path != "/" || c.Domain != "" || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode {
				t.Errorf("cookie: got %s, want it secure, for / of this host, HttpOnly and SameSite=Lax",
					strings.ReplaceAll(c.String(), c.Value, "…"))
			}
			if left := time.Until(c.Expires); c.Name == session && (left < 11*time.Hour || left > 12*time.Hour) {
				t.Errorf("session cookie: got an expiration in %s, want from 11h to 12h", left)
			}
		}
	})
}

// Every response has the headers that protect it from framing, caching and content sniffing.
func TestEveryAnswerIsProtected(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, staff, nobody := s.signedIn(s.OwnerEmail), s.signedIn("chloe@acme.example"), s.visitor()
		for _, v := range []*visitor{owner, staff, nobody} {
			for _, r := range []*reply{
				v.get("/"), v.get("/accounts"), v.get("/signin"), v.get("/nowhere"),
				v.get("/accounts/" + s.Account + "/nowhere"), v.get("/accounts/nonsense/stores"),
				v.get("/signout"), v.post("/nowhere"), v.post("/accounts/" + s.Account + "/stores"),
				v.get("/accounts?a=%00"), v.get("/%00"),
				v.send(v.request(http.MethodDelete, "/accounts", nil)), v.post("/accounts", "account", "nonsense"),
			} {
				for _, each := range flaws(r) {
					t.Errorf("%s %s (%d) %s, want no flaws", r.method, r.url, r.status, each)
				}
			}
		}
		owner.get("/signout").wants(http.StatusMethodNotAllowed, "Acme Retail") // they see where they are
		owner.get("/nowhere").wants(http.StatusNotFound, "Acme Retail")
		check.Equal(t, owner.get("/signout").header.Get("Allow"), http.MethodPost, "allowed")
	})
}

// elsewheres are addresses that an attacker would try as redirect targets.
var elsewheres = []string{
	"//evil.example", "///evil.example", "////evil.example", "https://evil.example", "HTTPS:evil.example",
	"https:/evil.example", "http:evil.example",
	`\\evil.example`, `/\evil.example`, `\/evil.example`, `/\/evil.example`, "/\t/evil.example", "/\n/evil.example",
	"/\r/evil.example", "\t//evil.example",
	" //evil.example", "/ /evil.example", "javascript:alert(1)", "JaVaScRiPt:alert(1)",
	"data:text/html,<script>alert(1)</script>", "vbscript:x",
	"/%2f/evil.example", "/%5cevil.example", "%2f%2fevil.example", "/.//evil.example", "/..//evil.example",
	"/./\\evil.example", "//evil.example@127.0.0.1",
	"//127.0.0.1@evil.example", "/@evil.example", ".evil.example", "@evil.example", "/\x00/evil.example",
	"/\u2028/evil.example", "/\uff0fevil.example",
	"?//evil.example", "#//evil.example", "", "accounts", "/accounts\r\nSet-Cookie: evil=1",
	"/accounts%0d%0aSet-Cookie: evil=1", "/;//evil.example",
}

// Signing in and switching accounts never redirect to another server, as browsers resolve addresses.
func TestNobodyIsSentElsewhere(t *testing.T) {
	inBrowser(t, func(t *testing.T, s *server) {
		s.apply(morePeople)
		v, b := s.signedIn("both@agency.example"), s.browser(t)
		b.open("/signin")
		stays := func(what string, r *reply) {
			t.Helper()
			to := r.header.Get("Location")
			if r.status == http.StatusUnprocessableEntity {
				return
			}
			origin := evaluate[string](b, "new URL("+quoted(to)+", location.href).origin")
			if r.status != http.StatusSeeOther || origin != s.URL || r.header.Get("Set-Cookie") == "evil=1" {
				t.Errorf("%s: got %d to %q, which is at %s, want 303 to %s without the cookie evil", what, r.status, to,
					origin, s.URL)
			}
		}
		for i, next := range elsewheres {
			stays("signed in, next="+next, v.get("/signin?next="+url.QueryEscape(next)))
			account := []string{s.Account, "3f1d9f0e-52b4-4c0e-8a6d-2b7c1e9d4c02"}[i%2]
			stays("switching, next="+next, v.post("/accounts", "account", account, "next", next))
			page := s.visitor().get("/signin?next=" + url.QueryEscape(next))
			if page.status == http.StatusOK {
				stays("the form to sign in, next="+next,
					&reply{t: t, status: http.StatusSeeOther,
						header: http.Header{"Location": {page.forms()[0].values.Get("next")}}})
			}
		}
		for _, next := range []string{"//evil.example", "/accounts"} {
			stays("signing in, next="+next, s.visitor().post("/signin", "email", s.OwnerEmail, "password", s.Password,
				"next", next))
		}
	})
}

func FuzzLocalPath(f *testing.F) {
	for _, each := range append(elsewheres, "/accounts", "/accounts?a=b&c=//d", "/a/b%2Fc") {
		f.Add(each)
	}
	base, err := url.Parse("https://latchkey.example/signin")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := panel.LocalPath(text)
		if got != "/" && got != text {
			t.Fatalf("LocalPath(%q) = %q, want it unchanged or /", text, got)
		}
		// Browsers strip these characters or treat them as a slash (URL Standard, section 4.4).
		plain := strings.ReplaceAll(strings.Trim(strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(got),
			"\x00 "), `\`, "/")
		if !strings.HasPrefix(plain, "/") || strings.HasPrefix(plain, "//") {
			t.Fatalf("LocalPath(%q) = %q, want a path of this host", text, got)
		}
		to, err := base.Parse(got)
		if err != nil || to.Host != base.Host || to.Scheme != base.Scheme {
			t.Fatalf("LocalPath(%q) = %q, which leads to %v, %v, want %s", text, got, to, err, base)
		}
	})
}

// No page repeats the Host header.
func TestHostHeadersAreNotRepeated(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		for _, v := range []*visitor{s.visitor(), s.signedIn(s.OwnerEmail)} {
			for _, address := range []string{"/", "/signin", "/accounts", "/nowhere",
				"/accounts/" + s.Account + "/stores"} {
				r := v.request(http.MethodGet, address, nil)
				r.Host = "evil.example"
				maps.Copy(r.Header, http.Header{"X-Forwarded-Host": {"evil.example"},
					"Forwarded": {"host=evil.example"}, "X-Original-Url": {"/evil.example"}})
				answer := v.send(r)
				if strings.Contains(answer.body, "evil.example") ||
					strings.Contains(answer.header.Get("Location"), "evil.example") {
					t.Errorf("%s: got %s, want it without the host that the request names", address, answer.body)
				}
			}
		}
	})
}

// After signing out, the browser's Back button does not show the page.
func TestBackAfterSigningOut(t *testing.T) {
	inBrowser(t, func(t *testing.T, s *server) {
		b := s.browser(t)
		b.signIn(s.OwnerEmail)
		b.open("/accounts")
		b.see("Acme Retail")
		b.signOut()
		b.see("You are signed out.")
		b.back()
		b.see("Password")
		b.miss("Acme Retail")
	})
}
