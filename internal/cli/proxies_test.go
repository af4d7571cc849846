package cli_test

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// received is a request as the server behind the gateway received it.
type received struct {
	Method, URI, Body string
	Header            http.Header
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	_ = json.NewEncoder(w).Encode(received{r.Method, r.RequestURI, string(body), r.Header})
}

// edge is a Latchkey and a proxy in front of a server that echoes requests.
type edge struct {
	*server
	session, url string
	env          map[string]string
}

func gatewayOf(t *testing.T, proxy string) *edge {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(api.Close)
	env := environment(t, dbtest.SQLiteURL(t))
	s, session := demo(t, env, "--rate-limits", "on", "--failure-rate", fmt.Sprintf("%d/1h", rate))
	key := strings.TrimSpace(run(t, env, "gateway", "create", "--name", proxy))
	return &edge{s, session, startProxy(t, proxy, key, s.public, api.URL), env}
}

// issue issues an API token and returns its id and access token.
func (e *edge) issue(t *testing.T, more string) (id, token string) {
	t.Helper()
	var made issued
	e.must(t, e.session, issue("Proxied", more), &made)
	return made.APIToken.CreateAPIToken.APIToken.ID, made.APIToken.CreateAPIToken.Credentials.AccessToken
}

// reply is a response whose body has been read.
type reply struct{ *http.Response }

// call sends a request to the API behind the gateway. Headers are "Name:
// value".
func (e *edge) call(t *testing.T, method, uri, token, body string, headers ...string) (reply, received) {
	t.Helper()
	req, err := http.NewRequest(method, e.url+uri, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("X-Auth-Token", token)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got received
	if res.StatusCode == http.StatusOK {
		if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
	}
	return reply{res}, got
}

// rate is the number of failed credentials that a test may send.
const rate = 40

const products = "/stores/acme1us/v3/catalog/products"

func TestProxies(t *testing.T) {
	for proxy := range proxies {
		t.Run(proxy, func(t *testing.T) {
			e := gatewayOf(t, proxy)
			t.Run("allowed", func(t *testing.T) { e.testAllowed(t, proxy == "nginx") })
			t.Run("connection header", e.testConnectionHeader)
			t.Run("refused", e.testRefused)
			t.Run("revoked", e.testRevoked)
			t.Run("address", e.testClientAddress)
			t.Run("legacy", e.testLegacy)
			t.Run("malformed header", e.testMalformed)
			t.Run("rate limit", e.testRateLimit)
		})
	}
}

// Latchkey headers that it does not set itself are forwarded if othersGoOn.
func (e *edge) testAllowed(t *testing.T, forwardsOthers bool) {
	_, token := e.issue(t, `scopes: ["store_v2_products"]`)
	for _, tc := range []struct{ method, uri, body string }{
		{"GET", products + "?limit=5&x=%2e%2e", ""},
		{"POST", products, `{"name": "Socks"}`},
		{"DELETE", products + "/%C3%BC%20x", ""},
	} {
		res, got := e.call(t, tc.method, tc.uri, token, tc.body,
			"X-Latchkey-Account: mallory", "X-Latchkey-Scopes: everything", "X-Latchkey-Gateway: mallory",
			"X-Latchkey-Store: others", "X-Latchkey-Token: another",
			"X-Latchkey-Other: mallory", "X-Latchkey-Kind: LEGACY_ACCOUNT", "X_Latchkey_Account: mallory",
			"X-Latchkey_Store: others",
			"X-HTTP-Method-Override: PUT", "X-Original-Uri: /mallory", "X-Original-Method: PUT",
			"X-Forwarded-Uri: /mallory", "X-Forwarded-Method: PUT",
			"X-Forwarded-Proto: gopher", "X-Forwarded-Host: mallory")
		if res.StatusCode != 200 || got.Method != tc.method || got.URI != tc.uri || got.Body != tc.body {
			t.Fatalf("%s %s: got %d after the API received %s %s %q, want 200 and the request unchanged, with the body %q",
				tc.method, tc.uri, res.StatusCode, got.Method, got.URI, got.Body, tc.body)
		}
		for name, want := range map[string]string{
			"X-Latchkey-Account": acmeID, "X-Latchkey-Store": "acme1us",
			"X-Latchkey-Scopes": "store_v2_products store_v2_products_read_only",
			"X-Forwarded-Proto": "http",
		} {
			if values := got.Header.Values(name); len(values) != 1 || values[0] != want {
				t.Errorf("%s is %q, want %q", name, values, want)
			}
		}
		if kind, there := got.Header["X-Latchkey-Kind"]; there {
			t.Errorf("an API token: got X-Latchkey-Kind %q, want none", kind)
		}
		if id := got.Header.Values("X-Latchkey-Token"); len(id) != 1 || len(id[0]) != 36 {
			t.Errorf("X-Latchkey-Token: got %q, want one UUID", id)
		}
		if got.Header.Get("X-Forwarded-Host") == "mallory" {
			t.Error("X-Forwarded-Host: got the client's, want another or none")
		}
		for _, name := range []string{"X-Original-Uri", "X-Original-Method", "X-Forwarded-Uri", "X-Forwarded-Method",
			"X-Latchkey-Gateway", "X-Http-Method-Override", "X_latchkey_account", "X-Latchkey_store"} {
			check.Equal(t, got.Header.Get(name), "", "%s is forwarded", name)
		}
		if forwarded := got.Header.Get("X-Latchkey-Other") != ""; forwarded != forwardsOthers {
			t.Errorf("X-Latchkey-Other: got it forwarded %t, want %t", forwarded, forwardsOthers)
		}
	}
}

// A client that lists headers in Connection (RFC 9110, section 7.6.1) removes
// none of those for the server or for Latchkey.
func (e *edge) testConnectionHeader(t *testing.T) {
	_, token := e.issue(t, `scopes: ["store_v2_products_read_only"], allowedIpRanges: ["127.0.0.1"]`)
	all := []string{"X-Latchkey-Account", "X-Latchkey-Store", "X-Latchkey-Token", "X-Latchkey-Scopes"}
	for _, names := range []string{strings.Join(all, ", "), "keep-alive, x-latchkey-scopes",
		"close, X-Latchkey-Kind, X-Latchkey-Scopes",
		"X-Auth-Token, X-Latchkey-Gateway, X-Forwarded-Uri, X-Forwarded-Method, X-Original-URI, X-Original-Method, X-Forwarded-For"} {
		res, got := e.call(t, "GET", products, token, "", "Connection: "+names)
		check.Equal(t, res.StatusCode, 200, "Connection: %s", names)
		for _, name := range all {
			check.Equal(t, len(got.Header.Values(name)), 1, "Connection: %s: %s is %q", names, name,
				got.Header.Values(name))
		}
	}
}

func (e *edge) testRefused(t *testing.T) {
	_, reader := e.issue(t, `scopes: ["store_v2_products_read_only"]`)
	for _, tc := range []struct {
		name, method, uri, token string
		headers                  []string
		status                   int
		challenge                string
	}{
		{"no credential", "GET", products, "", nil, 401, `Bearer realm="latchkey"`},
		{"an unknown credential", "GET", products, "lka_dead", nil, 401,
			`Bearer realm="latchkey", error="invalid_token"`},
		{"a missing scope", "POST", products, reader, nil, 403,
			`Bearer realm="latchkey", error="insufficient_scope", scope="store_v2_products"`},
		{"another account's store", "GET", "/stores/others1/v3/catalog/products", reader, nil, 403, ""},
		{"no route", "GET", "/stores/acme1us/v3/nothing", reader, nil, 403, ""},
		{"not in a store", "GET", "/", reader, nil, 403, ""},
		{"encoded dots", "GET", products + "/%2e%2e/%2e%2e/nothing", reader, nil, 403, ""},
		{"an encoded slash", "GET", products + "/..%2f..", reader, nil, 403, ""},
		{"two slashes", "GET", "/stores/acme1us//v3/catalog/products", reader, nil, 403, ""},
		{"double-encoded dots", "GET", products + "/%252e%252e", reader, nil, 403, ""},
		{"another method in a header", "POST", products, reader, []string{"X-Forwarded-Method: GET"}, 403,
			"insufficient_scope"},
		{"another method in another header", "POST", products, reader, []string{"X-Original-Method: GET"}, 403,
			"insufficient_scope"},
		{"another path in a header", "GET", "/stores/acme1us/v2/orders", reader,
			[]string{"X-Forwarded-Uri: " + products}, 403, "insufficient_scope"},
		{"another path in another header", "GET", "/stores/acme1us/v2/orders", reader,
			[]string{"X-Original-URI: " + products}, 403, "insufficient_scope"},
		{"the check itself", "GET", "/gateway/check", reader, nil, 403, ""},
		{"an invalid percent encoding", "GET", products + "?%zz", "lka_dead", nil, 401,
			`Bearer realm="latchkey", error="invalid_token"`},
		{"two credentials", "GET", products, reader, []string{"Authorization: Bearer lka_dead"}, 401,
			`Bearer realm="latchkey", error="invalid_request"`},
		{"Basic beside a token", "GET", products, reader, []string{"Authorization: Basic ZXJwOm9mOm9sZA=="}, 401,
			`Bearer realm="latchkey", error="invalid_request"`},
		{"malformed Basic", "GET", products, "", []string{"Authorization: Basic erp"}, 401, `Basic realm="latchkey"`},
		{"malformed bearer token", "GET", products, "", []string{"Authorization: Bearer a b"}, 401,
			`Bearer realm="latchkey", error="invalid_token"`},
		{"an oversized credential", "GET", products, strings.Repeat("x", 7000), nil, 401,
			`Bearer realm="latchkey", error="invalid_token"`},
		{"more headers than Latchkey reads", "GET", products, reader,
			largeHeaders("X-First", "X-Second", "X-Third", "X-Fourth"), 431, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, _ := e.call(t, tc.method, tc.uri, tc.token, "", tc.headers...)
			if n := len(res.Header.Values("WWW-Authenticate")); n > 1 {
				t.Errorf("challenges: got %d, %q, want at most one", n, res.Header)
			}
			challenge := res.Header.Get("WWW-Authenticate")
			if res.StatusCode != tc.status || !strings.Contains(challenge, tc.challenge) || tc.challenge == "" &&
				challenge != "" {
				t.Errorf("got %d, %q, want %d, %q", res.StatusCode, challenge, tc.status, tc.challenge)
			}
		})
	}
}

// largeHeaders are headers that are each within the limits.
func largeHeaders(names ...string) []string {
	lines := make([]string, len(names))
	for i, name := range names {
		lines[i] = name + ": " + strings.Repeat("x", 7000)
	}
	return lines
}

// A revocation is effective as soon as its response is sent.
func (e *edge) testRevoked(t *testing.T) {
	for range 3 {
		id, token := e.issue(t, `scopes: ["store_v2_products"]`)
		if res, _ := e.call(t, "GET", products, token, ""); res.StatusCode != 200 {
			t.Fatalf("a new token: got %d, want 200", res.StatusCode)
		}
		e.must(t, e.session, revoke(id), &struct{}{})
		if res, _ := e.call(t, "GET", products, token, ""); res.StatusCode != 401 {
			t.Fatalf("revoked: got %d, want 401", res.StatusCode)
		}
	}
}

// The client's address is the one that the proxy saw. Addresses that the client
// sends are ignored.
func (e *edge) testClientAddress(t *testing.T) {
	_, here := e.issue(t, `scopes: ["store_v2_products"], allowedIpRanges: ["127.0.0.1"]`)
	_, elsewhere := e.issue(t, `scopes: ["store_v2_products"], allowedIpRanges: ["192.0.2.0/24"]`)
	for _, claim := range []string{"", "192.0.2.1", "127.0.0.1"} {
		for token, want := range map[string]int{here: 200, elsewhere: 401} {
			var headers []string
			if claim != "" {
				headers = []string{"X-Forwarded-For: " + claim, "X-Real-Ip: " + claim, "Forwarded: for=" + claim}
			}
			if res, _ := e.call(t, "GET", products, token, "", headers...); res.StatusCode != want {
				t.Errorf("claiming %q: got %d, want %d", claim, res.StatusCode, want)
			}
		}
	}
}

// A legacy API account works only in version 2, and gets its sunset date.
func (e *edge) testLegacy(t *testing.T) {
	token := strings.TrimSpace(run(t, e.env, "legacy", "create", "--account", acmeID, "--store", "acme1us",
		"--username", "erp", "--allow-legacy"))
	valid := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("erp:"+token))
	invalid := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("erp:"+strings.Repeat("x", 40)))
	for _, tc := range []struct {
		name, uri, identity string
		status              int
		challenge           string
	}{
		{"served", "/stores/acme1us/v2/orders", valid, 200, ""},
		{"in version 3", products, valid, 403, ""},
		{"no route", "/stores/acme1us/v2/nothing", valid, 403, ""},
		{"another token", "/stores/acme1us/v2/orders", invalid, 401, `Basic realm="latchkey", charset="UTF-8"`},
		{"malformed Basic", "/stores/acme1us/v2/orders", "Authorization: Basic ?", 401,
			`Basic realm="latchkey", charset="UTF-8"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, got := e.call(t, "GET", tc.uri, "", "", tc.identity)
			if res.StatusCode != tc.status || res.Header.Get("WWW-Authenticate") != tc.challenge || tc.status == 200 &&
				(got.Header.Get("X-Latchkey-Store") != "acme1us" ||
					got.Header.Get("X-Latchkey-Kind") != "LEGACY_ACCOUNT") {
				t.Errorf("got %d, %v; the API received %v, want %d, the challenge %q and, if 200, the store and the kind",
					res.StatusCode, res.Header, got.Header, tc.status, tc.challenge)
			}
			if since, until := res.Header.Values("Deprecation"), res.Header.Values("Sunset"); len(since) != 1 ||
				since[0][0] != '@' || len(until) != 1 || !strings.HasSuffix(until[0], "GMT") {
				t.Errorf("dates: got %q and %q, want one Deprecation with @ and one Sunset in GMT", since, until)
			}
		})
	}
	_, other := e.issue(t, `scopes: ["store_v2_products"]`)
	if res, _ := e.call(t, "GET", products, other, ""); res.StatusCode != 200 ||
		res.Header.Values("Deprecation") != nil || res.Header.Values("Sunset") != nil {
		t.Errorf("an API token: got %d, %v, want 200 without Deprecation and Sunset", res.StatusCode, res.Header)
	}
}

// nginx forwards a malformed header to Latchkey; it is the client's error.
func (e *edge) testMalformed(t *testing.T) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn,
		"GET "+products+
			" HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: a\x01b\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	check.Equal(t, res.StatusCode, 400, "status")
}

// A client whose credentials fail too often gets Retry-After. Working
// credentials keep working.
func (e *edge) testRateLimit(t *testing.T) {
	_, token := e.issue(t, `scopes: ["store_v2_products"]`)
	if res, _ := e.call(t, "GET", products, token, ""); res.StatusCode != 200 {
		t.Fatalf("a new token: got %d, want 200", res.StatusCode)
	}
	unknown, err := secret.Generate(rand.Reader, secret.StoreAccessToken)
	if err != nil {
		t.Fatal(err)
	}
	status := 0
	for i := 0; i <= rate && status != 429; i++ {
		res, _ := e.call(t, "GET", products, unknown.Reveal(), "")
		status = res.StatusCode
		if status != 429 {
			continue
		}
		for _, name := range []string{"Retry-After", "X-Rate-Limit-Requests-Quota", "X-Rate-Limit-Requests-Left",
			"X-Rate-Limit-Time-Reset-Ms", "X-Rate-Limit-Time-Window-Ms"} {
			if values := res.Header.Values(name); len(values) != 1 || values[0] == "" {
				t.Errorf("%s: got %q, want one value", name, values)
			}
		}
	}
	check.Equal(t, status, 429, "never limited")
	if res, _ := e.call(t, "GET", products, token, ""); res.StatusCode != 200 {
		t.Errorf("a token that works: got %d, want 200", res.StatusCode)
	}
}
