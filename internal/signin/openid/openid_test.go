package openid_test

import (
	"compress/gzip"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/internal/signin"
	"latchkey/internal/signin/openid"
	"latchkey/internal/signin/openid/openidtest"
	"latchkey/internal/test/check"
)

// client is the code under test, with a provider that has the user Ann.
type client struct {
	*testing.T
	*openid.Provider

	at   *openidtest.Provider
	late atomic.Int64 // how far the client's clock is ahead
}

var (
	ann      = openidtest.Person{Subject: "ann-1", Email: "ann@acme.example", Verified: true}
	question = signin.AuthRequest{State: "state", Nonce: "nonce", Verifier: strings.Repeat("v", 43)}
)

func newClient(t *testing.T) *client {
	t.Helper()
	at, err := openidtest.Start(ann)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(at.Close)
	c := &client{T: t, at: at}
	c.Provider = openid.New(openid.Config{
		Issuer: at.Issuer(), ClientID: openidtest.ClientID, ClientSecret: at.ClientSecret, Name: "Test",
		RedirectURL: "https://keys.example/signin/openid/callback",
		Now:         func() time.Time { return time.Now().Add(time.Duration(c.late.Load())) },
	})
	return c
}

// code goes to the provider as Ann's browser does, and returns the code that
// the provider sends back.
func (c *client) code() string {
	c.Helper()
	address, err := c.Address(c.Context(), question)
	if err != nil {
		c.Fatal(err)
	}
	browser := &http.Client{CheckRedirect: func(*http.Request,
		[]*http.Request) error {
		return http.ErrUseLastResponse
	}}
	page, err := browser.Get(address)
	if err != nil {
		c.Fatal(err)
	}
	defer page.Body.Close()
	text := make([]byte, 4096)
	n, _ := page.Body.Read(text)
	_, id, _ := strings.Cut(string(text[:n]), `name="request" value="`)
	id, _, _ = strings.Cut(id, `"`)
	back, err := browser.PostForm(c.at.Issuer()+"/login", url.Values{"request": {id}, "email": {ann.Email}})
	if err != nil {
		c.Fatal(err)
	}
	defer back.Body.Close()
	to, err := url.Parse(back.Header.Get("Location"))
	if err != nil || to.Query().Get("code") == "" {
		c.Fatalf("the provider answers %d, to %s, want a redirect with a code", back.StatusCode, to)
	}
	return to.Query().Get("code")
}

func (c *client) signsIn() (signin.Claims, error) {
	c.Helper()
	return c.Redeem(c.Context(), c.code(), question)
}

// reason returns the reason of a refusal, or "".
func reason(err error) signin.Reason {
	var refused *signin.Refused
	if errors.As(err, &refused) {
		return refused.Reason
	}
	if err != nil {
		return "another error"
	}
	return ""
}

// Every required claim of an ID token is present, well-formed, and for this
// client.
func TestClaims(t *testing.T) {
	set := func(name string, value any) func(map[string]any) {
		return func(all map[string]any) { all[name] = value }
	}
	drop := func(name string) func(map[string]any) { return func(all map[string]any) { delete(all, name) } }
	rename := func(from, to string) func(map[string]any) {
		return func(all map[string]any) { all[to] = all[from]; delete(all, from) }
	}
	c := newClient(t)
	hour := time.Now().Add(time.Hour).Unix()
	for _, tc := range []struct {
		name   string
		change func(map[string]any)
		good   bool
	}{
		{"unchanged", func(map[string]any) {}, true},
		{"no sub", drop("sub"), false},
		{"empty sub", set("sub", ""), false},
		{"null sub", set("sub", nil), false},
		{"sub that is a number", set("sub", 5), false},
		{"sub of 255 characters", set("sub", strings.Repeat("s", 255)), true},
		{"sub of 256 characters", set("sub", strings.Repeat("s", 256)), false},
		{"sub with NUL", set("sub", "a\x00b"), false},
		{"sub beyond ASCII", set("sub", "änn"), false},
		{"sub by another name", rename("sub", "SUB"), false},
		{"no iat", drop("iat"), false},
		{"iat that is not a date", set("iat", "yesterday"), false},
		{"iat in an hour", set("iat", hour), false},
		{"iat with a fraction", set("iat", float64(time.Now().Unix())+0.5), true},
		{"iat as text", set("iat", "1700000000"), true},
		{"no exp", drop("exp"), false},
		{"exp by another name", rename("exp", "Exp"), false},
		{"exp with a fraction", set("exp", float64(hour)+0.5), true},
		{"no aud", drop("aud"), false},
		{"aud as a list", set("aud", []string{openidtest.ClientID}), true},
		{"aud with another", set("aud", []string{openidtest.ClientID, "another"}), false},
		{"aud by another name", rename("aud", "Aud"), false},
		{"another azp", set("azp", "another"), false},
		{"our azp", set("azp", openidtest.ClientID), true},
		{"azp of two audiences", func(all map[string]any) {
			all["aud"], all["azp"] = []string{openidtest.ClientID, "another"}, openidtest.ClientID
		}, false},
		{"no nonce", drop("nonce"), false},
		{"no iss", drop("iss"), false},
		{"auth_time with a fraction", set("auth_time", 1700000000.25), true},
		{"auth_time as text", set("auth_time", "1700000000"), true},
		{"auth_time that is not a date", set("auth_time", []int{1}), false},
		{"address that is not a string", set("email", 5), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c.T = t
			c.at.Behave(openidtest.Behaviour{Claims: tc.change})
			got, err := c.signsIn()
			check.Equal(t, reason(err), map[bool]signin.Reason{true: "", false: signin.ReasonUntrusted}[tc.good],
				"got %v", err)
			if err == nil && (got.Subject == "" || got.Email != ann.Email || !got.EmailVerified) {
				t.Errorf("the identity: got %+v, want a subject and the verified address %s", got, ann.Email)
			}
		})
	}
}

// An ID token signed with a short RSA key is refused, even if the provider
// publishes the key.
func TestShortRSAKeys(t *testing.T) {
	for bits, want := range map[int]signin.Reason{1024: signin.ReasonUntrusted, 2048: ""} {
		c := newClient(t)
		if err := c.at.SignWithRSA(bits); err != nil {
			t.Fatal(err)
		}
		if _, err := c.signsIn(); reason(err) != want {
			t.Errorf("an RSA key of %d bits: got error %v, want reason %q", bits, err, want)
		}
	}
}

// Claims of the userinfo endpoint are checked by the same rules.
func TestClaimsApart(t *testing.T) {
	c := newClient(t)
	for text, want := range map[string]signin.Reason{
		`{"sub": "ann-1", "email": "ann@acme.example", "email_verified": true}`: "",
		`{"SUB": "ann-1", "email": "ann@acme.example", "email_verified": true}`: signin.ReasonUntrusted,
		`{"sub": "ben-1", "email": "ann@acme.example", "email_verified": true}`: signin.ReasonUntrusted,
		`{"email": "ann@acme.example", "email_verified": true}`:                 signin.ReasonUntrusted,
	} {
		c.at.Behave(openidtest.Behaviour{Apart: true, Intercept: func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/userinfo" {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(text))
			return true
		}})
		if _, err := c.signsIn(); reason(err) != want {
			t.Errorf("%s: got error %v, want reason %q", text, err, want)
		}
	}
}

// Redirects are not followed: the code, the verifier and the client secret stay
// with the provider.
func TestNoRedirects(t *testing.T) {
	var heard atomic.Int64
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		heard.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
	}))
	t.Cleanup(thief.Close)
	for _, path := range []string{"/token", "/keys", "/userinfo", "/.well-known/openid-configuration"} {
		for _, status := range []int{http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
			c := newClient(t)
			code := ""
			if path != "/.well-known/openid-configuration" {
				code = c.code()
			}
			c.at.Behave(openidtest.Behaviour{Apart: true, Intercept: func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == path {
					http.Redirect(w, r, thief.URL+path, status)
				}
				return r.URL.Path == path
			}})
			if _, err := c.Redeem(t.Context(), code, question); err == nil {
				t.Errorf("%s: a redirect by %d is followed, want an error", path, status)
			}
		}
	}
	check.Equal(t, heard.Load(), 0, "another server was asked")
}

// An issuer with TLS must have no endpoint without it.
func TestEndpointsOverTLS(t *testing.T) {
	for _, name := range []string{"authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"} {
		for value, want := range map[string]signin.Reason{"http://id.example/x": signin.ReasonUntrusted,
			"/x": signin.ReasonUntrusted, "": signin.ReasonUntrusted, "https://id.example/x": ""} {
			if name == "userinfo_endpoint" && value == "" {
				continue
			}
			check.Equal(t, reason(openid.CheckMetadata("https://id.example", map[string]string{name: value})), want,
				"%s %q", name, value)
		}
	}
	c := newClient(t)
	c.at.Behave(openidtest.Behaviour{Metadata: func(all map[string]any) {
		all["token_endpoint"] = "ftp://id.example/token"
	}})
	if _, err := c.Address(t.Context(), question); reason(err) != signin.ReasonUntrusted {
		t.Errorf("Address: got error %v, want reason %q", err, signin.ReasonUntrusted)
	}
}

// The client authenticates as the provider's metadata says, on the first try,
// since a code works only once.
func TestClientAuthentication(t *testing.T) {
	for secret, want := range map[string]signin.Reason{"": "", "client_secret_basic": "", "client_secret_post": "",
		"client_secret_jwt": signin.ReasonProvider} {
		c := newClient(t)
		var asked atomic.Int64
		c.at.Behave(openidtest.Behaviour{Secret: secret, Intercept: func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/token" {
				asked.Add(1)
			}
			return false
		}})
		if want != "" {
			if _, err := c.Address(t.Context(), question); reason(err) != want {
				t.Errorf("%s: got error %v, want reason %q", secret, err, want)
			}
			continue
		}
		if _, err := c.signsIn(); err != nil || asked.Load() != 1 {
			t.Errorf("%q: got error %v after %d requests, want success after 1", secret, err, asked.Load())
		}
	}
}

// The metadata is fetched again after an hour, and after a failure.
func TestDiscoveryIsAskedAgain(t *testing.T) {
	c := newClient(t)
	var asked atomic.Int64
	be := openidtest.Behaviour{Intercept: func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/.well-known/") {
			asked.Add(1)
		}
		return false
	}}
	c.at.Behave(be)
	wants := func(n int64) {
		t.Helper()
		if _, err := c.Address(t.Context(), question); err != nil || asked.Load() != n {
			t.Errorf("asked %d times, want %d: %v", asked.Load(), n, err)
		}
	}
	wants(1)
	wants(1)
	c.late.Store(int64(59 * time.Minute))
	wants(1)
	c.late.Store(int64(61 * time.Minute))
	wants(2)
	if _, err := c.Redeem(t.Context(), "no code", question); reason(err) != signin.ReasonProvider {
		t.Errorf("Redeem: got error %v, want reason %q", err, signin.ReasonProvider)
	}
	wants(2) // not after every failure
	c.late.Store(int64(62 * time.Minute))
	wants(3)
	wants(3)
}

// At most one megabyte of a response is read, even if it is compressed.
func TestAnswersAreBounded(t *testing.T) {
	for _, path := range []string{"/token", "/keys", "/userinfo", "/.well-known/openid-configuration"} {
		for _, packed := range []bool{false, true} {
			c := newClient(t)
			code := ""
			if path != "/.well-known/openid-configuration" {
				code = c.code()
			}
			c.at.Behave(openidtest.Behaviour{Apart: true, Intercept: func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != path {
					return false
				}
				flood(w, packed)
				return true
			}})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, err := c.Redeem(t.Context(), code, question); err == nil {
				t.Errorf("%s, packed %t: an endless answer is accepted, want an error", path, packed)
			}
			runtime.ReadMemStats(&after)
			if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 32 {
				t.Errorf("%s, packed %t: reading it took %d MiB, want 32 at most", path, packed, took)
			}
		}
	}
}

// flood responds with 64 MiB of JSON.
func flood(w http.ResponseWriter, packed bool) {
	w.Header().Set("Content-Type", "application/json")
	chunk := []byte(`{"x": "` + strings.Repeat("x", 1<<20) + `"}`)
	if !packed {
		for range 64 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	defer z.Close()
	for range 64 {
		if _, err := z.Write(chunk); err != nil {
			return
		}
	}
}
