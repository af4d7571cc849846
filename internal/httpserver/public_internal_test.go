package httpserver

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"latchkey/internal/config"
	"latchkey/internal/panel"
	"latchkey/internal/storeapi"
)

// ways are addresses, and whether their route is found without the mux.
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

func TestStraight(t *testing.T) {
	p := withPanel()
	for target, want := range ways {
		if got := goesStraight(t, p, target); got != want {
			t.Errorf("%q goes straight: %v, want %v", target, got, want)
		}
	}
}

// Whatever is found without the mux, the mux finds, too.
func FuzzStraight(f *testing.F) {
	p := withPanel()
	for target := range ways {
		f.Add(target)
	}
	f.Fuzz(func(t *testing.T, target string) { goesStraight(t, p, target) })
}

func withPanel() *public {
	return newPublic(Config{
		Limits: config.HTTP{MaxBody: 1 << 20, RequestTimeout: time.Second}, Log: slog.New(slog.DiscardHandler),
		Routes: storeapi.Default(), Panel: panel.New(panel.Config{}),
	}, newMetrics(nil), nil)
}

// goesStraight reports whether a route is found without the mux. It fails the
// test if the mux would find another, or the account in another place.
func goesStraight(t *testing.T, p *public, target string) bool {
	t.Helper()
	address, err := url.ParseRequestURI(target)
	if err != nil {
		return false // such a request reaches no handler
	}
	asked := func() *http.Request {
		return &http.Request{Method: http.MethodGet, URL: address, Host: "keys.example", RequestURI: target}
	}
	r := asked()
	found := p.straight(r)
	if found == nil {
		return false
	}
	if _, pattern := p.mux.Handler(asked()); pattern != found.pattern {
		t.Errorf("%q: the route is %s, and by the mux %q", target, found.pattern, pattern)
	}
	reached := false
	mux := http.NewServeMux()
	mux.HandleFunc(found.pattern, func(_ http.ResponseWriter, by *http.Request) {
		reached = true
		if got, want := r.PathValue("account_uuid"), by.PathValue("account_uuid"); got != want {
			t.Errorf("%q: the account is %q, and by the mux %q", target, got, want)
		}
	})
	mux.ServeHTTP(httptest.NewRecorder(), asked())
	if !reached {
		t.Errorf("%q: the mux does not reach the route", target)
	}
	return true
}
