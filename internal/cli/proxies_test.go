package cli_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"latchkey/internal/dbtest"
)

// proxies are those that the examples configure. The configurations are the
// examples themselves, with other addresses.
var proxies = map[string]func(t *testing.T, key string, addresses *strings.Replacer, port int) dbtest.Daemon{
	"nginx": func(t *testing.T, key string, addresses *strings.Replacer, port int) dbtest.Daemon {
		return dbtest.Daemon{
			Program: "nginx", Package: "nginx", Args: []string{"-p", ".", "-c", "nginx.conf", "-e", "stderr"}, Port: port,
			Files: map[string]string{
				"nginx.conf":       nginxAround,
				"latchkey.conf":    addresses.Replace(example(t, "nginx/latchkey.conf")),
				"latchkey-key.inc": fmt.Sprintf("proxy_set_header X-Latchkey-Gateway %q;\n", key),
			},
		}
	},
	"caddy": func(t *testing.T, key string, addresses *strings.Replacer, port int) dbtest.Daemon {
		return dbtest.Daemon{
			Program: "caddy", Package: "caddy", Args: []string{"run", "--config", "Caddyfile", "--adapter", "caddyfile"}, Port: port,
			Env:   []string{"LATCHKEY_GATEWAY_KEY=" + key},
			Files: map[string]string{"Caddyfile": "{\n\tadmin off\n}\n" + addresses.Replace(example(t, "caddy/Caddyfile"))},
		}
	},
}

// nginxAround is what nginx needs besides to run in the foreground, without
// rights and in one folder.
const nginxAround = `daemon off;
worker_processes 1;
error_log stderr;
pid nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include latchkey.conf;
}
`

// example reads a file in examples, which must have the addresses that tests
// put others for.
func example(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../examples/" + name)
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"127.0.0.1:8000", "127.0.0.1:8080", "127.0.0.1:9000"} {
		if strings.Count(string(text), address) != 1 {
			t.Fatalf("%s is not once in %s", address, name)
		}
	}
	return string(text)
}

// seen is what the server behind a gateway got to see.
type seen struct {
	Method, URI, Body string
	Header            http.Header
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	_ = json.NewEncoder(w).Encode(seen{r.Method, r.RequestURI, string(body), r.Header})
}

// edge is a Latchkey with a proxy before a server that echoes.
type edge struct {
	*server
	session, url string
	env          map[string]string
}

func gatewayOf(t *testing.T, proxy string) *edge {
	t.Helper()
	behind := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(behind.Close)
	env := environment(t, dbtest.SQLiteURL(t))
	s, session := demo(t, env, "--rate-limits", "on", "--failure-rate", fmt.Sprintf("%d/1h", rate))
	key := strings.TrimSpace(run(t, env, "gateway", "create", "--name", proxy))
	port := dbtest.FreePort(t)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	proxies[proxy](t, key, strings.NewReplacer("127.0.0.1:8000", address,
		"127.0.0.1:8080", strings.TrimPrefix(s.public, "http://"), "127.0.0.1:9000", strings.TrimPrefix(behind.URL, "http://")), port).Start(t)
	return &edge{s, session, "http://" + address, env}
}

// issue returns the id and access token of a new API token.
func (e *edge) issue(t *testing.T, more string) (id, token string) {
	t.Helper()
	var made issued
	e.must(t, e.session, issue("Proxied", more), &made)
	return made.APIToken.CreateAPIToken.APIToken.ID, made.APIToken.CreateAPIToken.Credentials.AccessToken
}

// reply is an answer whose body is read and closed.
type reply struct{ *http.Response }

// call makes a call of the API behind the gateway. Headers are "Name: value".
func (e *edge) call(t *testing.T, method, uri, token, body string, headers ...string) (reply, seen) {
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
	var got seen
	if res.StatusCode == http.StatusOK {
		if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
	}
	return reply{res}, got
}

// rate is how many calls may fail for their credential while a test runs.
const rate = 40

const products = "/stores/acme1us/v3/catalog/products"

func TestProxies(t *testing.T) {
	for proxy := range proxies {
		t.Run(proxy, func(t *testing.T) {
			e := gatewayOf(t, proxy)
			t.Run("allowed", e.allows)
			t.Run("refused", e.refuses)
			t.Run("revoked", e.forgets)
			t.Run("address", e.minds)
			t.Run("legacy", func(t *testing.T) { e.dates(t, proxy == "nginx") })
			t.Run("too many", e.limits)
		})
	}
}

func (e *edge) allows(t *testing.T) {
	_, token := e.issue(t, `scopes: ["store_v2_products"]`)
	for _, tc := range []struct{ method, uri, body string }{
		{"GET", products + "?limit=5&x=%2e%2e", ""},
		{"POST", products, `{"name": "Socks"}`},
		{"DELETE", products + "/%C3%BC%20x", ""},
	} {
		res, got := e.call(t, tc.method, tc.uri, token, tc.body,
			"X-Latchkey-Account: mallory", "X-Latchkey-Scopes: everything", "X-Latchkey-Gateway: mallory", "X-Latchkey-Store: others", "X-Latchkey-Token: another",
			"X-HTTP-Method-Override: PUT")
		if res.StatusCode != 200 || got.Method != tc.method || got.URI != tc.uri || got.Body != tc.body {
			t.Fatalf("%s %s is answered %d; behind, it is %s %s %q", tc.method, tc.uri, res.StatusCode, got.Method, got.URI, got.Body)
		}
		for name, want := range map[string]string{
			"X-Latchkey-Account": acmeID, "X-Latchkey-Store": "acme1us", "X-Latchkey-Scopes": "store_v2_products store_v2_products_read_only",
		} {
			if values := got.Header.Values(name); len(values) != 1 || values[0] != want {
				t.Errorf("%s is %q, want %q", name, values, want)
			}
		}
		if id := got.Header.Values("X-Latchkey-Token"); len(id) != 1 || len(id[0]) != 36 {
			t.Errorf("X-Latchkey-Token is %q", id)
		}
		for _, name := range []string{"X-Latchkey-Gateway", "X-Http-Method-Override"} {
			if got.Header.Get(name) != "" {
				t.Errorf("%s goes through", name)
			}
		}
	}
}

func (e *edge) refuses(t *testing.T) {
	_, reader := e.issue(t, `scopes: ["store_v2_products_read_only"]`)
	for _, tc := range []struct {
		name, method, uri, token string
		headers                  []string
		status                   int
		challenge                string
	}{
		{"no credential", "GET", products, "", nil, 401, `Bearer realm="latchkey"`},
		{"a dead one", "GET", products, "lka_dead", nil, 401, `Bearer realm="latchkey", error="invalid_token"`},
		{"a missing scope", "POST", products, reader, nil, 403, `Bearer realm="latchkey", error="insufficient_scope", scope="store_v2_products"`},
		{"another's store", "GET", "/stores/others1/v3/catalog/products", reader, nil, 403, ""},
		{"no route", "GET", "/stores/acme1us/v3/nothing", reader, nil, 403, ""},
		{"not in a store", "GET", "/", reader, nil, 403, ""},
		{"encoded dots", "GET", products + "/%2e%2e/%2e%2e/nothing", reader, nil, 403, ""},
		{"an encoded slash", "GET", products + "/..%2f..", reader, nil, 403, ""},
		{"two slashes", "GET", "/stores/acme1us//v3/catalog/products", reader, nil, 403, ""},
		{"encoded twice", "GET", products + "/%252e%252e", reader, nil, 403, ""},
		{"another method in a header", "POST", products, reader, []string{"X-Forwarded-Method: GET"}, 403, "insufficient_scope"},
		{"another method in another header", "POST", products, reader, []string{"X-Original-Method: GET"}, 403, "insufficient_scope"},
		{"another path in a header", "GET", "/stores/acme1us/v2/orders", reader, []string{"X-Forwarded-Uri: " + products}, 403, "insufficient_scope"},
		{"another path in another header", "GET", "/stores/acme1us/v2/orders", reader, []string{"X-Original-URI: " + products}, 403, "insufficient_scope"},
		{"the check itself", "GET", "/gateway/check", reader, nil, 403, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, _ := e.call(t, tc.method, tc.uri, tc.token, "", tc.headers...)
			challenge := res.Header.Get("WWW-Authenticate")
			if res.StatusCode != tc.status || !strings.Contains(challenge, tc.challenge) || tc.challenge == "" && challenge != "" {
				t.Errorf("got %d, %q", res.StatusCode, challenge)
			}
		})
	}
}

// A revocation counts from the moment in which it is answered.
func (e *edge) forgets(t *testing.T) {
	for range 3 {
		id, token := e.issue(t, `scopes: ["store_v2_products"]`)
		if res, _ := e.call(t, "GET", products, token, ""); res.StatusCode != 200 {
			t.Fatalf("got %d", res.StatusCode)
		}
		e.must(t, e.session, revoke(id), &struct{}{})
		if res, _ := e.call(t, "GET", products, token, ""); res.StatusCode != 401 {
			t.Fatalf("revoked, and answered %d", res.StatusCode)
		}
	}
}

// The client's address is the one that the proxy saw, whatever the client says.
func (e *edge) minds(t *testing.T) {
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

// A legacy API account passes in version 2 alone, and nginx hands on until when.
func (e *edge) dates(t *testing.T, handedOn bool) {
	token := strings.TrimSpace(run(t, e.env, "legacy", "create", "--account", acmeID, "--store", "acme1us", "--username", "erp", "--allow-legacy"))
	identity := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("erp:"+token))
	res, got := e.call(t, "GET", "/stores/acme1us/v2/orders", "", "", identity)
	if res.StatusCode != 200 || got.Header.Get("X-Latchkey-Store") != "acme1us" || (res.Header.Get("Sunset") != "") != handedOn {
		t.Errorf("got %d, %v; behind, %v", res.StatusCode, res.Header, got.Header)
	}
	if res, _ := e.call(t, "GET", products, "", "", identity); res.StatusCode != 403 || res.Header.Get("Sunset") != "" {
		t.Errorf("in version 3: got %d, %v", res.StatusCode, res.Header)
	}
}

// A client whose credentials do not work is told when to come back. What works
// goes on.
func (e *edge) limits(t *testing.T) {
	_, token := e.issue(t, `scopes: ["store_v2_products"]`)
	if res, _ := e.call(t, "GET", products, token, ""); res.StatusCode != 200 {
		t.Fatalf("got %d", res.StatusCode)
	}
	status := 0
	for i := 0; i <= rate && status != 429; i++ {
		res, _ := e.call(t, "GET", products, "lks_mistyped", "")
		status = res.StatusCode
		if status == 429 && res.Header.Get("Retry-After") == "" {
			t.Error("there is no Retry-After")
		}
	}
	if status != 429 {
		t.Errorf("it may go on for ever: got %d", status)
	}
	if res, _ := e.call(t, "GET", products, token, ""); res.StatusCode != 200 {
		t.Errorf("a token that works: got %d", res.StatusCode)
	}
}
