package cli_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// proxies are the proxies in examples. The configurations are the examples
// themselves with other addresses.
var proxies = map[string]func(t *testing.T, key string, addresses *strings.Replacer, port int) dbtest.Daemon{
	"nginx": func(t *testing.T, key string, addresses *strings.Replacer, port int) dbtest.Daemon {
		return dbtest.Daemon{
			Program: "nginx", Package: "nginx", Args: []string{"-p", ".", "-c", "nginx.conf", "-e", "stderr"},
			Port: port,
			Files: map[string]string{
				"nginx.conf":       nginxAround,
				"latchkey.conf":    addresses.Replace(example(t, "nginx/latchkey.conf")),
				"latchkey-key.inc": fmt.Sprintf("proxy_set_header X-Latchkey-Gateway %q;\n", key),
			},
		}
	},
	"caddy": func(t *testing.T, key string, addresses *strings.Replacer, port int) dbtest.Daemon {
		return dbtest.Daemon{
			Program: "caddy", Package: "caddy",
			Args: []string{"run", "--config", "Caddyfile", "--adapter", "caddyfile"}, Port: port,
			Env: []string{"LATCHKEY_GATEWAY_KEY=" + key},
			Files: map[string]string{"Caddyfile": "{\n\tadmin off\n}\n" + addresses.Replace(example(t,
				"caddy/Caddyfile"))},
		}
	},
}

// nginxAround is the configuration that nginx needs to run in the foreground,
// without privileges and in one directory.
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

// example reads a file in examples. It must contain the addresses that tests
// replace.
func example(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../examples/" + name)
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"127.0.0.1:8000", "127.0.0.1:8080", "127.0.0.1:9000"} {
		if strings.Count(string(text), address) != 1 {
			t.Fatalf("%s occurs %d times in %s, want once", address, strings.Count(string(text), address), name)
		}
	}
	return string(text)
}

// startProxy starts a proxy in front of a server, with Latchkey as its gateway
// check, and returns its URL.
func startProxy(t *testing.T, proxy, key, latchkey, api string) string {
	t.Helper()
	port := dbtest.FreePort(t)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	proxies[proxy](t, key, strings.NewReplacer("127.0.0.1:8000", address,
		"127.0.0.1:8080", strings.TrimPrefix(latchkey, "http://"), "127.0.0.1:9000",
		strings.TrimPrefix(api, "http://")), port).Start(t)
	return "http://" + address
}

// Errors of the gateway or of Latchkey are not the client's: the client gets a
// 5xx and no request passes.
func TestProxiesHideGatewayErrors(t *testing.T) {
	const keyChallenge = `Latchkey-Gateway realm="latchkey"`
	answers := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.Header.Get("X-Original-Uri") + r.Header.Get("X-Forwarded-Uri") // a proxy sends one of them
		if path == "/silent" {
			<-r.Context().Done() // until the proxy gives up
			return
		}
		status, err := strconv.Atoi(strings.Trim(path, "/"))
		if err != nil {
			status = http.StatusTeapot
		}
		if status == 401 || status == 429 {
			w.Header().Set("WWW-Authenticate", keyChallenge)
		}
		if status == 400 {
			w.Header().Set("X-Request-Id", "of-latchkey")
		}
		if status == 302 {
			w.Header().Set("Location", "/204")
		}
		if status == 503 {
			w.Header().Set("Retry-After", "1")
		}
		w.WriteHeader(status)
	})
	var passed atomic.Int32
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed.Add(1) }))
	defer api.Close()
	for proxy := range proxies {
		t.Run(proxy, func(t *testing.T) {
			latchkey := httptest.NewServer(answers)
			defer latchkey.Close()
			e := &edge{url: startProxy(t, proxy, "key", latchkey.URL, api.URL)}
			for _, status := range []int{400, 401, 429, 302, 404, 405, 408, 418, 500, 501, 503, 504} {
				res, _ := e.call(t, "GET", fmt.Sprintf("/%d", status), "", "")
				if res.StatusCode < 500 || status == 503 && res.Header.Get("Retry-After") != "1" {
					t.Errorf("Latchkey answered %d: the client got %d, %v, want 5xx, with Retry-After 1 for 503",
						status, res.StatusCode, res.Header)
				}
			}
			began := time.Now()
			if res, _ := e.call(t, "GET", "/silent", "", ""); res.StatusCode < 500 ||
				time.Since(began) > 10*time.Second {
				t.Errorf("Latchkey does not answer: got %d after %s, want 5xx within 10s", res.StatusCode,
					time.Since(began))
			}
			latchkey.Close()
			if res, _ := e.call(t, "GET", "/204", "", ""); res.StatusCode < 500 {
				t.Errorf("Latchkey is down: got %d, want 5xx", res.StatusCode)
			}
			check.Equal(t, passed.Load(), 0, "requests that reached the API")
		})
	}
}
