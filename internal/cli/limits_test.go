package cli_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// The operator can set every limit on requests, and the error names the limit.
func TestLimits(t *testing.T) {
	s, session := demo(t, environment(t, dbtest.SQLiteURL(t)), "--max-body", "2000", "--max-header", "4096",
		"--query-depth", "4", "--query-complexity", "500", "--query-aliases", "3", "--query-directives", "3")
	long := strings.Repeat(" ", 3000)
	for _, tc := range []struct {
		name   string
		body   string
		length int64
		header string
		status int
		code   string
	}{
		{"within all limits", "{ viewer { kind } }", 0, "", 200, ""},
		{"body", long, 0, "", 413, "INVALID"},
		{"body of unknown length", long, -1, "", 413, "INVALID"},
		{"header", "{ viewer { kind } }", 0, strings.Repeat("x", 16<<10), 431, ""},
		{"depth", "{ account { users(first: 1) { edges { node { email } } } } }", 0, "", 200, "COMPLEXITY_LIMIT"},
		{"complexity", "{ account { users(first: 250) { edges { cursor } } stores(first: 250) { edges { cursor } } } }",
			0, "", 200, "COMPLEXITY_LIMIT"},
		{"aliases", "{ a: __typename b: __typename c: __typename d: __typename }", 0, "", 200, "COMPLEXITY_LIMIT"},
		{"directives", "{ viewer { kind " + strings.Repeat("scopes @include(if: true) ", 4) + "} }", 0, "", 200,
			"COMPLEXITY_LIMIT"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			body, err := json.Marshal(map[string]string{"query": tc.body})
			if err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequest("POST", s.public+"/accounts/"+acmeID+"/graphql", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if tc.length != 0 {
				req.ContentLength = tc.length
			}
			req.Header.Set("X-Auth-Token", session)
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("X-Long", tc.header)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != tc.status || !strings.Contains(string(text), tc.code) {
				t.Errorf("got %d, %s, %v, want %d with the code %q", res.StatusCode, text, err, tc.status, tc.code)
			}
			if (tc.code != "") != strings.Contains(string(text), `"errors"`) {
				t.Errorf("body: got %s, want errors: %t", text, tc.code != "")
			}
		})
	}
}

// A body that does not arrive in time gets a response that says so.
func TestSlowBody(t *testing.T) {
	s, session := demo(t, environment(t, dbtest.SQLiteURL(t)), "--read-timeout", "1s")
	connection, err := net.Dial("tcp", strings.TrimPrefix(s.public, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	fmt.Fprintf(connection,
		"POST /accounts/%s/graphql HTTP/1.1\r\nHost: x\r\nX-Auth-Token: %s\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{",
		acmeID, session)
	answer, err := io.ReadAll(connection)
	text := string(answer)
	if err != nil || !strings.HasPrefix(text, "HTTP/1.1 408 ") || !strings.Contains(text, "did not arrive in time") ||
		!strings.Contains(text, "Connection: close") {
		t.Errorf("got %s, %v, want 408 and a closed connection", text, err)
	}
}

// A token with allowed addresses works only from those. A client cannot change
// its address with X-Forwarded-For.
func TestAllowedAddresses(t *testing.T) {
	for _, tc := range []struct {
		name, proxies, forwarded string
		status                   int
	}{
		{"an address outside the range", "", "", 401},
		{"a forged header without a proxy", "", "203.0.113.7", 401},
		{"a header from an untrusted proxy", "10.0.0.0/8", "203.0.113.7", 401},
		{"behind a trusted proxy", "127.0.0.0/8", "203.0.113.7", 200},
		{"a forged entry before the trusted proxy's", "127.0.0.0/8", "203.0.113.7, 198.51.100.1", 401},
		{"behind two trusted proxies", "127.0.0.0/8,10.0.0.0/8", "198.51.100.1, 203.0.113.7, 10.0.0.1", 200},
		{"an entry that is not an address", "127.0.0.0/8", "203.0.113.7, unknown", 401},
	} {
		t.Run(tc.name, func(t *testing.T) {
			env := environment(t, dbtest.SQLiteURL(t))
			env["LATCHKEY_TRUSTED_PROXIES"] = tc.proxies
			s, session := demo(t, env)
			var made issued
			s.must(t, session, issue("Office", `scopes: ["account_read"], allowedIpRanges: ["203.0.113.0/24"]`), &made)
			req, err := http.NewRequest("GET", s.public+"/accounts/"+acmeID+"/graphql?query={viewer{kind}}", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+made.APIToken.CreateAPIToken.Credentials.AccessToken)
			req.Header.Set("X-Forwarded-For", tc.forwarded)
			if tc.forwarded == "" {
				req.Header.Del("X-Forwarded-For")
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			check.Equal(t, res.StatusCode, tc.status, "status")
			if want := `Bearer realm="latchkey", error="invalid_token"`; tc.status == 401 &&
				res.Header.Get("WWW-Authenticate") != want {
				t.Errorf("challenge: got %q, want %q", res.Header["Www-Authenticate"], want)
			}
		})
	}
}

// A request over a limit gets a 429 with Retry-After. A valid credential keeps
// working while others from the same address fail.
func TestRateLimits(t *testing.T) {
	s, session := demo(t, environment(t, dbtest.SQLiteURL(t)), "--rate-limits", "on", "--token-rate", "2/1h",
		"--failure-rate", "1/1h")
	unknown, err := secret.Generate(rand.Reader, secret.UserSession)
	if err != nil {
		t.Fatal(err)
	}
	for i, tc := range []struct {
		name, credential string
		status           int
		left             string
	}{
		{"a valid credential", session, 200, "1"},
		{"a mistyped credential, which does not count", "lku_mistyped", 401, ""},
		{"an unknown credential", unknown.Reveal(), 401, ""},
		{"an unknown credential over the limit", unknown.Reveal(), 429, "0"},
		{"the valid credential, from the same address", session, 200, "0"},
		{"the valid credential over its own limit", session, 429, "0"},
	} {
		req, err := http.NewRequest("GET", s.public+"/accounts/"+acmeID+"/graphql?query={viewer{kind}}", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Auth-Token", tc.credential)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != tc.status || res.Header.Get("X-Rate-Limit-Requests-Left") != tc.left {
			t.Errorf("%d, %s: got %d, %v, %s, %v, want %d with %q requests left", i, tc.name, res.StatusCode,
				res.Header, text, err, tc.status, tc.left)
		}
		if limited := strings.Contains(string(text), `"code":"RATE_LIMITED"`); limited != (tc.status == 429) ||
			limited != (res.Header.Get("Retry-After") != "") {
			t.Errorf("%d, %s: got %v, %s, want RATE_LIMITED and Retry-After: %t", i, tc.name, res.Header, text,
				tc.status == 429)
		}
	}
}

// Expensive operations cost several requests.
func TestOperationsTakeRequests(t *testing.T) {
	s, session := demo(t, environment(t, dbtest.SQLiteURL(t)), "--rate-limits", "on", "--token-rate", "300/24h")
	for _, tc := range []struct{ query, left string }{
		{"{viewer{kind}}", "299"},
		{"{account{users(first:250){edges{cursor node{id email firstName lastName}}}}}", "298"},
		// 81 selections of 150 fields each are 12,150.
		{"{__schema{types{" + strings.Repeat("name ", 80) + "}}}", "275"},
	} {
		body, err := json.Marshal(map[string]string{"query": tc.query})
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequest("POST", s.public+"/accounts/"+acmeID+"/graphql", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Auth-Token", session)
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if left := res.Header.Get("X-Rate-Limit-Requests-Left"); res.StatusCode != 200 || left != tc.left {
			t.Errorf("%.60s: got %d with %s left, want %s", tc.query, res.StatusCode, left, tc.left)
		}
	}
}
