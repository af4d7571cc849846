package httpserver_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/internal/config"
	"latchkey/internal/httpserver"
	"latchkey/internal/test/check"
)

// basicAuth returns the Authorization header line for a user name and a token.
func basicAuth(scheme, username, token string) string {
	return "Authorization: " + scheme + " " + base64.StdEncoding.EncodeToString([]byte(username+":"+token))
}

func legacyGateway(t *testing.T, adjust func(*httpserver.Config)) *running {
	t.Helper()
	server, _ := gateway(t, func(c *httpserver.Config) {
		c.Legacy = config.Legacy{
			DeprecatedAt: time.Date(2023, 6, 30, 23, 59, 59, 0, time.UTC),
			SunsetAt:     time.Date(2027, 12, 31, 0, 0, 0, 0, time.UTC),
		}
		if adjust != nil {
			adjust(c)
		}
	})
	return server
}

func TestGatewayTakesLegacyAccounts(t *testing.T) {
	const (
		orders  = "X-Original-URI: /stores/acme1us/v2/orders"
		invalid = `Basic realm="latchkey", charset="UTF-8"`
		two     = `Bearer realm="latchkey", error="invalid_request", error_description="The request carries two different credentials. Send one."`
	)
	good := basicAuth("Basic", "erp", "of:old")
	malformed := map[string]bool{"no base64": true, "no colon": true, "nothing": true,
		"a tab after the scheme": true, "a comma after the scheme": true}
	server := legacyGateway(t, nil)
	for _, tc := range []struct {
		name      string
		lines     []string
		status    int
		challenge string
	}{
		{"read", []string{good, orders}, 204, ""},
		{"modify", []string{good, orders, "X-Original-Method: DELETE"}, 204, ""},
		{"scheme in another case", []string{basicAuth("bAsIc", "erp", "of:old"), orders}, 204, ""},
		{"version 3", []string{good}, 403, ""},
		{"version 3, by a way round", []string{good, "X-Original-URI: /stores/acme1us/v2/../v3/carts"}, 403, ""},
		{"version 2 in another case", []string{good, "X-Original-URI: /stores/acme1us/V2/orders"}, 403, ""},
		{"no route", []string{good, "X-Original-URI: /stores/acme1us/v2/nothing-like-it"}, 403, ""},
		{"another store", []string{good, "X-Original-URI: /stores/acme2eu/v2/orders"}, 401, invalid},
		{"another token", []string{basicAuth("Basic", "erp", "of:new"), orders}, 401, invalid},
		{"nothing wanted", []string{good, "-X-Original-URI"}, 400, ""},
		{"no base64", []string{"Authorization: Basic erp:of:old", orders}, 401, invalid},
		{"no colon", []string{"Authorization: basic ZXJw", orders}, 401, invalid},
		{"nothing", []string{"Authorization: Basic", orders}, 401, invalid},
		{"a tab after the scheme", []string{strings.Replace(good, "Basic ", "Basic\t", 1), orders}, 401, invalid},
		{"a comma after the scheme", []string{"Authorization: Basic,ZXJwOm9mOm9sZA==", orders}, 401, invalid},
		{"a tab after the scheme, beside a token in its header",
			[]string{strings.Replace(good, "Basic ", "Basic\t", 1), "X-Auth-Token: store", orders}, 401, two},
		{"two of them", []string{good, basicAuth("Basic", "erp", "of:new"), orders}, 401, two},
		{"beside a bearer token", []string{good, "Authorization: Bearer lks_live", orders}, 401, two},
		{"beside a token in its header", []string{good, "X-Auth-Token: store", orders}, 401, two},
		{"cannot be judged", []string{basicAuth("Basic", "broken", "of:old"), orders}, 500, ""},
		{"no key of a gateway", []string{good, orders, "-X-Latchkey-Gateway"}, 401,
			`Latchkey-Gateway realm="latchkey"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if !slices.Contains(tc.lines, "X-Auth-Token: store") {
				tc.lines = append(tc.lines, "-X-Auth-Token")
			}
			got := server.check(t, tc.lines...)
			if got.StatusCode != tc.status || got.Header.Get("WWW-Authenticate") != tc.challenge {
				t.Errorf("got %d, %q, want %d, %q", got.StatusCode, got.Header.Get("WWW-Authenticate"), tc.status,
					tc.challenge)
			}
			h := got.Header
			dated := h.Get("Deprecation") == "@1688169599" && h.Get("Sunset") == "Fri, 31 Dec 2027 00:00:00 GMT"
			told := h.Get("X-Latchkey-Kind") == "LEGACY_ACCOUNT" && h.Get("X-Latchkey-Store") == "acme1us" &&
				h.Get("X-Latchkey-Token") == tokenID.String() && len(h["X-Latchkey-Scopes"]) == 1 &&
				h.Get("X-Latchkey-Scopes") == ""
			// Every response to a gateway has the dates. A caller that is not a
			// gateway does not get them.
			if ofClient := !strings.HasPrefix(tc.challenge, "Latchkey-Gateway"); dated != ofClient ||
				told != (tc.status == 204) {
				t.Errorf("headers: got %v, want dates %t, and the token with empty scopes %t", h, ofClient,
					tc.status == 204)
			}
			if strings.Contains(got.text, "RFC 7617") != malformed[tc.name] {
				t.Errorf("body: got %s, want RFC 7617 mentioned: %t", got.text, malformed[tc.name])
			}
		})
	}
	if text := server.log.String(); strings.Contains(text, "of:old") || strings.Contains(text, "b2Y6") {
		t.Errorf("the log: got %s, want no token", text)
	}
}

func TestLegacyAccountsThatFailAreLimited(t *testing.T) {
	server := legacyGateway(t, func(c *httpserver.Config) {
		c.Rates = config.Rates{
			On: true, Token: config.Rate{Requests: 1, Window: minutes},
			Account: config.Rate{Requests: 1, Window: minutes},
			Failure: config.Rate{Requests: 1, Window: time.Hour},
		}
	})
	for i, tc := range []struct {
		token string
		want  int
	}{{"of:old", 204}, {"wrong", 401}, {"wrong", 429}, {"another", 401}, {"a third", 429}, {"of:old", 204}} {
		got := server.check(t, "-X-Auth-Token", basicAuth("Basic", "erp", tc.token),
			"X-Original-URI: /stores/acme1us/v2/orders", "X-Forwarded-For: 192.0.2.1")
		check.Equal(t, got.StatusCode, tc.want, "request %d", i)
	}
}

// A malformed Basic header is refused without a lookup. It does not count as a
// failure, and its response has the dates.
func TestMalformedBasicIsNotCounted(t *testing.T) {
	server := legacyGateway(t, func(c *httpserver.Config) {
		c.Rates = config.Rates{
			On: true, Token: config.Rate{Requests: 1, Window: minutes},
			Account: config.Rate{Requests: 1, Window: minutes},
			Failure: config.Rate{Requests: 1, Window: time.Hour},
		}
	})
	for _, want := range []int{401, 401, 401} {
		got := server.check(t, "-X-Auth-Token", "Authorization: Basic ?", "X-Forwarded-For: 192.0.2.1")
		if got.StatusCode != want || got.Header.Get("Sunset") == "" {
			t.Errorf("got %d, want %d, %v", got.StatusCode, want, got.Header)
		}
	}
	got := server.check(t, "-X-Auth-Token", basicAuth("Basic", "erp", "wrong"),
		"X-Original-URI: /stores/acme1us/v2/orders", "X-Forwarded-For: 192.0.2.1")
	check.Equal(t, got.StatusCode, 401, "a first failure")
}

func TestTheAccountAPITakesNoBasic(t *testing.T) {
	server := legacyGateway(t, nil)
	if got := server.api(t, basicAuth("Basic", "erp", "of:old")); got.StatusCode != 401 ||
		got.Header.Get("WWW-Authenticate") != `Bearer realm="latchkey"` {
		t.Errorf("got %d, %v, want 401 and the challenge of a Bearer token", got.StatusCode, got.Header)
	}
}
