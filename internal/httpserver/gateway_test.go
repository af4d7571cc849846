package httpserver_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/config"
	"latchkey/internal/fault"
	"latchkey/internal/gateway/routes"
	"latchkey/internal/httpserver"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
)

var (
	acme   = uuid.MustParse("0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01")
	others = uuid.MustParse("5d1f0a52-0f7c-4d3a-8a52-6f0b6d1c2e02")
)

// desk is a verifier with a few credentials. It records the origin of each
// call.
type desk struct{ from []string }

func (d *desk) Verify(_ context.Context, presented string, origin auth.Origin) (*access.Record, error) {
	d.from = append(d.from, origin.IP.String())
	p := auth.Principal{NoCredential: "a test", Kind: auth.APIToken, ID: tokenID, AccountID: acme,
		Scopes: scope.NewSet("store_cart", "store_v2_products_read_only")}
	r := &access.Record{ScopeText: p.Scopes.String(), AccountText: acme.String(), IDText: tokenID.String()}
	switch presented {
	case "account":
	case "store":
		p.StoreID, r.StoreHash = uuid.Max, "acme1us"
	case "session":
		p.Kind, p.AccountOwner = auth.Session, true
	case "broken":
		return nil, errors.New("no connection")
	case "gone":
		return nil, fmt.Errorf("look up: %w", context.Canceled)
	case "malformed":
		return nil, access.ErrRefused().Because(&access.Refusal{Reason: access.ReasonMalformed})
	case "revoked":
		return nil, access.ErrRefused().Because(&access.Refusal{Reason: access.ReasonRevoked, PrincipalID: tokenID})
	default:
		return nil, access.ErrRefused().Because(&access.Refusal{Reason: access.ReasonUnknown})
	}
	r.Principal = p
	return r, nil
}

func (d *desk) Inspect(ctx context.Context, presented string, origin auth.Origin) (*access.Record, error) {
	return d.Verify(ctx, presented, origin)
}

func (d *desk) VerifyGateway(_ context.Context, presented string, _ auth.Origin) (*access.Record, error) {
	switch presented {
	case "key":
		return &access.Record{Principal: auth.Principal{Kind: auth.Gateway}}, nil
	case "broken":
		return nil, errors.New("no connection")
	}
	return nil, access.ErrRefused().Because(&access.Refusal{Reason: access.ReasonUnknown})
}

func (d *desk) VerifyBasic(_ context.Context, storeHash, username, token string, origin auth.Origin) (*access.Record,
	error) {
	d.from = append(d.from, origin.IP.String())
	switch {
	case username == "broken":
		return nil, errors.New("no connection")
	case storeHash != "acme1us" || username != "erp" || token != "of:old":
		return nil, access.ErrRefused().Because(&access.Refusal{Reason: access.ReasonUnknown})
	}
	return &access.Record{
		Principal:   auth.Principal{Kind: auth.LegacyAccount, ID: tokenID, AccountID: acme, StoreID: uuid.Max},
		AccountText: acme.String(), IDText: tokenID.String(), StoreHash: storeHash,
	}, nil
}

func (d *desk) Store(_ context.Context, hash string) (*access.Store, error) {
	stores := map[string]access.Store{
		"acme1us": {AccountID: acme}, "acme2eu": {AccountID: acme}, "closed1": {AccountID: acme, Suspended: true},
		"others1": {AccountID: others},
	}
	if hash == "broken1" {
		return nil, errors.New("no connection")
	}
	s, ok := stores[hash]
	if !ok {
		return nil, fault.Errorf(fault.NotFound, "none")
	}
	return &s, nil
}

// check is the headers of a gateway's request. "-Name" removes one of the
// default headers.
func (r *running) check(t *testing.T, lines ...string) answer {
	t.Helper()
	usual := []string{"X-Latchkey-Gateway: key", "X-Auth-Token: store", "X-Original-URI: /stores/acme1us/v3/carts",
		"X-Original-Method: GET"}
	for _, line := range lines {
		name, _, _ := strings.Cut(strings.TrimPrefix(line, "-"), ":")
		usual = slices.DeleteFunc(usual, func(one string) bool { return strings.HasPrefix(one, name+":") })
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, "-") {
			usual = append(usual, line)
		}
	}
	return r.do(t, "GET", r.public+"/gateway/check", "", usual...)
}

func gateway(t *testing.T, adjust func(*httpserver.Config)) (*running, *desk) {
	t.Helper()
	d := &desk{}
	return start(t, nil, func(c *httpserver.Config) {
		c.Verifier, c.Routes = d, routes.Default()
		if adjust != nil {
			adjust(c)
		}
	}), d
}

func TestGatewayCheck(t *testing.T) {
	const (
		ofGateway = `Latchkey-Gateway realm="latchkey"`
		none      = `Bearer realm="latchkey"`
		invalid   = `Bearer realm="latchkey", error="invalid_token"`
		two       = `Bearer realm="latchkey", error="invalid_request", error_description="The request carries two different credentials. Send one."`
		lacks     = `Bearer realm="latchkey", error="insufficient_scope", scope=`
	)
	server, _ := gateway(t, nil)
	for _, tc := range []struct {
		name      string
		lines     []string
		status    int
		challenge string
	}{
		{"allowed", nil, 204, ""},
		{"bearer", []string{"-X-Auth-Token", "Authorization: Bearer store"}, 204, ""},
		{"headers of another proxy", []string{"-X-Original-URI", "-X-Original-Method",
			"X-Forwarded-Uri: /stores/acme1us/v3/carts?a=b", "X-Forwarded-Method: POST"}, 204, ""},
		{"both, and the same", []string{"X-Forwarded-Uri: /stores/acme1us/v3/carts", "X-Forwarded-Method: GET"}, 204,
			""},
		{"account level", []string{"X-Auth-Token: account"}, 204, ""},
		{"account level, another store", []string{"X-Auth-Token: account", "X-Original-URI: /stores/acme2eu/v3/carts"},
			204, ""},
		{"no scope needed", []string{"X-Original-URI: /stores/acme1us/v3/hooks", "X-Original-Method: POST"}, 204, ""},

		{"no key", []string{"-X-Latchkey-Gateway"}, 401, ofGateway},
		{"no key and no credential", []string{"-X-Latchkey-Gateway", "-X-Auth-Token"}, 401, ofGateway},
		{"no key and a bad credential", []string{"-X-Latchkey-Gateway", "X-Auth-Token: bad"}, 401, ofGateway},
		{"a bad key", []string{"X-Latchkey-Gateway: bad"}, 401, ofGateway},
		{"two keys", []string{"X-Latchkey-Gateway: bad", "X-Latchkey-Gateway: key"}, 401, ofGateway},
		{"an empty key", []string{"X-Latchkey-Gateway: "}, 401, ofGateway},
		{"a token for a key", []string{"X-Latchkey-Gateway: store"}, 401, ofGateway},
		{"a key that cannot be judged", []string{"X-Latchkey-Gateway: broken"}, 500, ""},

		{"no credential", []string{"-X-Auth-Token"}, 401, none},
		{"a dead credential", []string{"X-Auth-Token: dead"}, 401, invalid},
		{"two credentials", []string{"Authorization: Bearer account"}, 401, two},
		{"two tokens in one header", []string{"X-Auth-Token: store", "X-Auth-Token: account"}, 401, two},
		{"two bearer tokens", []string{"-X-Auth-Token", "Authorization: Bearer account", "Authorization: Bearer store"},
			401, two},
		{"a bearer token that is none", []string{"-X-Auth-Token", "Authorization: Bearer a b"}, 401, invalid},
		{"bearer alone", []string{"-X-Auth-Token", "Authorization: Bearer"}, 401, invalid},
		{"a scheme that is not ours", []string{"-X-Auth-Token", `Authorization: Digest username="erp"`}, 401, none},
		{"an oversized credential", []string{"X-Auth-Token: " + strings.Repeat("x", 7000)}, 401, invalid},
		{"a credential that cannot be judged", []string{"X-Auth-Token: broken"}, 500, ""},

		{"nothing wanted", []string{"-X-Original-URI", "-X-Original-Method"}, 400, ""},
		{"no method", []string{"-X-Original-Method"}, 400, ""},
		{"no URI", []string{"-X-Original-URI"}, 400, ""},
		{"two URIs", []string{"X-Forwarded-Uri: /stores/acme1us/v3/hooks"}, 403, ""},
		{"two methods", []string{"X-Forwarded-Method: POST"}, 403, ""},
		{"the same header twice", []string{"X-Original-URI: /stores/acme1us/v3/hooks",
			"X-Original-URI: /stores/acme1us/v3/carts"}, 403, ""},
		{"no route", []string{"X-Original-URI: /stores/acme1us/v9/carts"}, 403, ""},
		{"a target that does not decode", []string{"X-Original-URI: /stores/acme1us/v3/%zz"}, 403, ""},
		{"a preflight, where the token may modify",
			[]string{"X-Original-URI: /stores/acme1us/v3/hooks", "X-Original-Method: OPTIONS"}, 204, ""},
		{"a preflight, which carries no credential",
			[]string{"-X-Auth-Token", "X-Original-URI: /stores/acme1us/v3/hooks", "X-Original-Method: OPTIONS"}, 401,
			none},
		{"a target that is not a path", []string{"X-Original-URI: *", "X-Original-Method: OPTIONS"}, 403, ""},
		{"encoded dots", []string{"X-Original-URI: /stores/acme1us/v3/hooks/%2e%2e/carts"}, 403, ""},

		{"a session", []string{"X-Auth-Token: session"}, 403, ""},
		{"store level, another store", []string{"X-Original-URI: /stores/acme2eu/v3/carts"}, 403, ""},
		{"account level, another's store", []string{"X-Auth-Token: account",
			"X-Original-URI: /stores/others1/v3/carts"}, 403, ""},
		{"account level, a suspended store", []string{"X-Auth-Token: account",
			"X-Original-URI: /stores/closed1/v3/carts"}, 403, ""},
		{"account level, no store", []string{"X-Auth-Token: account", "X-Original-URI: /stores/nowhere/v3/carts"}, 403,
			""},
		{"account level, a store that cannot be found out",
			[]string{"X-Auth-Token: account", "X-Original-URI: /stores/broken1/v3/carts"}, 500, ""},
		{"another's store where no scope is needed",
			[]string{"X-Auth-Token: account", "X-Original-URI: /stores/others1/v3/hooks"}, 403, ""},
		{"the scope to read is missing", []string{"X-Original-URI: /stores/acme1us/v2/orders"}, 403,
			lacks + `"store_v2_orders_read_only"`},
		{"the scope to modify is missing", []string{"X-Original-URI: /stores/acme1us/v3/catalog/products",
			"X-Original-Method: PUT"}, 403, lacks + `"store_v2_products"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := server.check(t, tc.lines...)
			if got.StatusCode != tc.status || got.Header.Get("WWW-Authenticate") != tc.challenge {
				t.Errorf("got %d, %q, want %d, %q", got.StatusCode, got.Header.Get("WWW-Authenticate"), tc.status,
					tc.challenge)
			}
			found := 0
			for name := range got.Header {
				if strings.HasPrefix(name, "X-Latchkey-") {
					found++
				}
			}
			switch {
			case tc.status == 204 && (found != 4 || got.text != ""):
				t.Errorf("got %d of the principal's headers in %v, body %q, want 4 and no body", found, got.Header,
					got.text)
			case tc.status != 204 && (found > 0 || !strings.Contains(got.text, "message")):
				t.Errorf("the refusal has headers %v, body %q, want none of the principal's and a message", got.Header,
					got.text)
			}
		})
	}
}

func TestGatewayHearsWhoItIs(t *testing.T) {
	server, _ := gateway(t, nil)
	got := server.check(t, "X-Auth-Token: account", "X-Original-URI: /stores/acme2eu/v3/carts",
		"X-Latchkey-Account: mallory")
	for name, want := range map[string]string{
		"Account": acme.String(), "Store": "acme2eu", "Token": tokenID.String(),
		"Scopes": "store_cart store_v2_products_read_only",
	} {
		if values := got.Header.Values("X-Latchkey-" + name); len(values) != 1 || values[0] != want {
			t.Errorf("X-Latchkey-%s is %q, want %q", name, values, want)
		}
	}
}

func TestGatewayAnswersEveryMethod(t *testing.T) {
	server, _ := gateway(t, nil)
	for _, method := range []string{"HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PURGE"} {
		got := server.do(t, method, server.public+"/gateway/check", "", "X-Latchkey-Gateway: key",
			"X-Auth-Token: store",
			"X-Original-URI: /stores/acme1us/v3/carts", "X-Original-Method: "+method)
		check.Equal(t, got.StatusCode, 204, "%s", method)
	}
}

// Only this path is the check, in any spelling.
func TestGatewayHasOneAddress(t *testing.T) {
	server, _ := gateway(t, nil)
	for path, want := range map[string]int{
		"/gateway/check": 204, "/gateway/check?a=b": 204, "/gateway%2Fcheck": 404, "/gateway/check/": 404,
		"/gateway/Check": 404, "/gateway": 404,
	} {
		got := server.do(t, http.MethodGet, server.public+path, "", "X-Latchkey-Gateway: key", "X-Auth-Token: store",
			"X-Original-URI: /stores/acme1us/v3/carts", "X-Original-Method: GET")
		check.Equal(t, got.StatusCode, want, "%s", path)
	}
}

func TestGatewayByAddress(t *testing.T) {
	for _, tc := range []struct {
		name, of, trusted, line string
		want                    int
	}{
		{"its own", "127.0.0.1/32", "192.0.2.0/24", "-X-Forwarded-For", 204},
		{"another's", "192.0.2.0/24", "10.0.0.0/8", "-X-Forwarded-For", 401},
		{"named by a trusted proxy, and so a client's", "192.0.2.0/24", "127.0.0.1/32", "X-Forwarded-For: 192.0.2.1",
			401},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server, _ := gateway(t, func(c *httpserver.Config) {
				c.GatewayAddresses, c.TrustedProxies = prefixes(tc.of), prefixes(tc.trusted)
			})
			if got := server.check(t, "-X-Latchkey-Gateway", tc.line); got.StatusCode != tc.want {
				t.Errorf("got %d, want %d", got.StatusCode, tc.want)
			}
		})
	}
}

func TestGatewaysClient(t *testing.T) {
	server, d := gateway(t, func(c *httpserver.Config) { c.TrustedProxies = prefixes("10.0.0.0/8") })
	for _, tc := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"none", nil, "invalid IP"},
		{"one", []string{"X-Forwarded-For: 192.0.2.1"}, "192.0.2.1"},
		{"the client's own claim", []string{"X-Forwarded-For: 198.51.100.1, 192.0.2.1"}, "192.0.2.1"},
		{"on two lines", []string{"X-Forwarded-For: 198.51.100.1", "X-Forwarded-For: 192.0.2.1"}, "192.0.2.1"},
		{"behind a trusted proxy", []string{"X-Forwarded-For: 198.51.100.1, 192.0.2.1, 10.1.1.1"}, "192.0.2.1"},
		{"no address", []string{"X-Forwarded-For: 192.0.2.1, unknown"}, "invalid IP"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d.from = nil
			if got := server.check(t, tc.lines...); got.StatusCode != 204 || len(d.from) != 1 || d.from[0] != tc.want {
				t.Errorf("got %d from %v, want %s", got.StatusCode, d.from, tc.want)
			}
		})
	}
}

// Requests per token are limited by the platform's APIs, not here. Failed
// credentials are limited here.
func TestGatewayIsLimited(t *testing.T) {
	server, _ := gateway(t, func(c *httpserver.Config) {
		c.Rates = config.Rates{
			On: true, Token: config.Rate{Requests: 2, Window: minutes},
			Account: config.Rate{Requests: 9, Window: minutes},
			Failure: config.Rate{Requests: 1, Window: time.Hour},
		}
	})
	for i, want := range []int{204, 204, 204} {
		if got := server.check(t, "X-Forwarded-For: 192.0.2.1"); got.StatusCode != want {
			t.Errorf("request %d: got %d, want %d", i, got.StatusCode, want)
		}
	}
	for _, tc := range []struct {
		client string
		want   int
	}{{"192.0.2.7", 401}, {"192.0.2.7", 429}, {"192.0.2.8", 401}} {
		got := server.check(t, "X-Auth-Token: bad", "X-Forwarded-For: "+tc.client)
		check.Equal(t, got.StatusCode, tc.want, "failures of %s", tc.client)
	}
	for i, want := range []int{http.StatusUnauthorized, http.StatusTooManyRequests} {
		got := server.check(t, "X-Latchkey-Gateway: bad")
		if got.StatusCode != want || got.Header.Get("WWW-Authenticate") != `Latchkey-Gateway realm="latchkey"` {
			t.Errorf("bad key %d: got %d, want %d, %v", i, got.StatusCode, want, got.Header)
		}
	}
}
