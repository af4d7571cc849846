package httpserver

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/config"
	"latchkey/internal/gateway/routes"
	"latchkey/internal/panel"
	"latchkey/internal/test/check"
)

// ways maps paths to whether fastRoute finds their route.
var ways = map[string]bool{
	"/gateway/check":     true,
	"/gateway/check?a=b": true,
	"/accounts/0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01/graphql":     true,
	"/accounts/0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01/graphql?a=b": true,
	"/accounts/0B2C1A6E-6A7E-4F4E-9C1F-0A1F4F4B7A01/graphql":     true,
	"/accounts/this-is-no-account-but-as-long-as-on/graphql":     true,
	"/gateway%2Fcheck": false,
	"/gateway//check":  false,
	"/gateway/check/":  false,
	"/accounts/0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01/graphql/":  false,
	"/accounts/0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01/Graphql":   false,
	"/accounts/0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01%2Fgraphql": false,
	"/accounts/0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01":           false,
	"/accounts/0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a0/graphql":    false,
	"/accounts/0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a011/graphql":  false,
	"/accounts/0b2c1a6e-6a7e/4f4e-9c1f-0a1f4f4b7a01/graphql":   false,
	"/accounts/0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b/../../graphql": false,
	"/accounts//b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01/graphql":   false,
	"/Accounts/0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01/graphql":   false,
	"/accounts/%30b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01/graphql": false,
	"/accounts/0b2c1a6e%2D6a7e-4f4e-9c1f-0a1f4f4b7a01/graphql": false,
	"/accounts/%2Fb2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01/graphql": false,
	"/":                 false,
	"":                  false,
	"/accounts/graphql": false,
}

func TestFastRoute(t *testing.T) {
	p := withPanel()
	for target, want := range ways {
		if got := goesStraight(t, p, target); got != want {
			t.Errorf("fastRoute(%q): %v, want %v", target, got, want)
		}
	}
}

// For every path, fastRoute finds nothing or the same route as the mux.
func FuzzFastRoute(f *testing.F) {
	p := withPanel()
	for target := range ways {
		f.Add(target)
	}
	f.Fuzz(func(t *testing.T, target string) { goesStraight(t, p, target) })
}

func withPanel() *public {
	return newPublic(Config{
		Limits: config.HTTP{MaxBody: 1 << 20, RequestTimeout: time.Second}, Log: slog.New(slog.DiscardHandler),
		Routes: routes.Default(), Panel: panel.New(panel.Config{}),
	}, newMetrics(nil), nil)
}

// goesStraight reports whether fastRoute finds a route. It fails the test if the
// mux finds another route or account.
func goesStraight(t *testing.T, p *public, target string) bool {
	t.Helper()
	address, err := url.ParseRequestURI(target)
	if err != nil {
		return false // net/http rejects such a request
	}
	asked := func() *http.Request {
		return &http.Request{Method: http.MethodGet, URL: address, Host: "keys.example", RequestURI: target}
	}
	found, account := p.fastRoute(address)
	if found == nil {
		return false
	}
	if _, pattern := p.mux.Handler(asked()); pattern != found.pattern {
		t.Errorf("%q: got the route %s, want %q as by the mux", target, found.pattern, pattern)
	}
	reached := false
	mux := http.NewServeMux()
	mux.HandleFunc(found.pattern, func(_ http.ResponseWriter, by *http.Request) {
		reached = true
		check.Equal(t, account, by.PathValue("account_uuid"), "%q: the account, and by the mux", target)
	})
	mux.ServeHTTP(httptest.NewRecorder(), asked())
	if !reached {
		t.Errorf("%q: the mux reached another handler, want the route %s", target, found.pattern)
	}
	return true
}

// The Account API gets the account in the path, whether fastRoute or the mux
// found the route.
func TestAccountReachesTheAPI(t *testing.T) {
	const account = "0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01"
	heard := ""
	p := newPublic(Config{
		Limits: config.HTTP{MaxBody: 1, RequestTimeout: time.Second}, Log: slog.New(slog.DiscardHandler),
		Verifier: anybody{record: &access.Record{}},
		API: http.HandlerFunc(func(_ http.ResponseWriter,
			r *http.Request) {
			heard = r.PathValue("account_uuid")
		}),
	}, newMetrics(nil), nil)
	for target, straight := range map[string]bool{
		"/accounts/" + account + "/graphql":                           true,
		"/accounts/%30" + account[1:] + "/graphql":                    false,
		"/accounts/" + account[:8] + "%2D" + account[9:] + "/graphql": false,
	} {
		r := httptest.NewRequest(http.MethodGet, target, http.NoBody)
		r.Header.Set("X-Auth-Token", "any")
		if rt, _ := p.fastRoute(r.URL); (rt != nil) != straight {
			t.Errorf("fastRoute(%s): %v, want %v", target, !straight, straight)
		}
		heard = ""
		if p.ServeHTTP(httptest.NewRecorder(), r); heard != account {
			t.Errorf("%s: the API gets account %q, want %s", target, heard, account)
		}
	}
}
