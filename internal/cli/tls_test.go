package cli_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"latchkey/internal/test/certs"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// fresh returns a client with a new connection for each request, which trusts the authority.
func fresh(t *testing.T, a *certs.Authority) *http.Client {
	t.Helper()
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: a.Client(t),
		DisableKeepAlives: true, ForceAttemptHTTP2: true}}
}

// serial returns the serial number of the certificate that a client sees on a new connection.
func (s *server) serial(t *testing.T, client *http.Client) int64 {
	t.Helper()
	res, err := client.Get(s.public + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.TLS.PeerCertificates[0].SerialNumber.Int64()
}

// logs waits for a text in the log.
func (s *server) logs(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(s.logged(), text); {
		if time.Now().After(deadline) {
			t.Fatalf("the log: got %s within 20s, want it to contain %s", s.logged(), text)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A server with a certificate serves https, takes over a new certificate, and keeps the previous one while only one of
// the two files is new.
func TestServeWithTLS(t *testing.T) {
	a := certs.NewAuthority(t, "Test authority")
	dir := t.TempDir()
	first, second := a.Issue(t, certs.Options{Serial: 0x1001}), a.Issue(t, certs.Options{Serial: 0x1002,
		Expires: time.Unix(4_000_000_000, 0)})
	cert, key := first.Write(t, dir)
	// Gateways need certificates, which the canary has not.
	s := serve(t, environment(t, dbtest.SQLiteURL(t)), "--tls-cert", cert, "--tls-key", key, "--canary-interval",
		"300ms", "--tls-client-ca", certs.Write(t, dir, "ca.crt", a.PEM), "--tls-gateway-certs")
	client := fresh(t, a)
	check.Equal(t, strings.HasPrefix(s.printed(t), s.public+"/setup"), true, "the printed link begins with %s",
		s.public)
	check.Equal(t, strings.Contains(s.logged(), "over plain http"), false, "a warning of plain http is logged")
	s.logs(t, `"serial":"1001"`)
	res, err := client.Get(s.public + "/.well-known/oauth-authorization-server")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var metadata struct{ Issuer string }
	if err := json.NewDecoder(res.Body).Decode(&metadata); err != nil {
		t.Fatal(err)
	}
	check.Equal(t, metadata.Issuer, s.public, "issuer of the OAuth metadata")
	check.Equal(t, res.Proto, "HTTP/2.0", "protocol")
	check.Equal(t, res.Header.Get("Strict-Transport-Security"), "max-age=31536000", "HSTS")
	s.shows(t, "/metrics", `latchkey_revocation_lag_seconds_count{replica="`)

	certs.Write(t, dir, "tls.crt", second.Cert)
	s.logs(t, "does not belong to the first certificate in "+cert)
	check.Equal(t, s.serial(t, client), 0x1001, "serial number while only the certificate is new")
	certs.Write(t, dir, "tls.key", second.Key)
	s.logs(t, `"msg":"the certificate was replaced","subject":"CN=Latchkey's test"`)
	check.Equal(t, s.serial(t, client), 0x1002, "serial number of the new certificate")
	s.shows(t, "/metrics", "latchkey_tls_certificate_expiry_timestamp_seconds 4e+09")
	check.Equal(t, strings.Count(s.logged(), "cannot be used"), 1, "log lines of the half-written pair")
	check.Equal(t, strings.Contains(s.logged(), "the canary could not"), false, "the canary fails")
}

// A certificate that clients will refuse is logged.
func TestUnsuitableCertificate(t *testing.T) {
	a := certs.NewAuthority(t, "Test authority")
	cert, key := a.Issue(t, certs.Options{Expires: time.Now().Add(-time.Hour)}).Write(t, t.TempDir())
	s := serve(t, environment(t, dbtest.SQLiteURL(t)), "--tls-cert", cert, "--tls-key", key, "--public-url",
		"https://keys.example")
	s.logs(t, "not for the host of the public URL")
	s.logs(t, "A certificate of the chain expired at ")
}

// A certificate that is not valid yet is refused at startup and at a reload, and one for other names is logged when it
// is taken over.
func TestUnsuitableReplacements(t *testing.T) {
	a := certs.NewAuthority(t, "Test authority")
	dir := t.TempDir()
	future := a.Issue(t, certs.Options{Begins: time.Now().Add(time.Hour), Expires: time.Now().Add(2 * time.Hour)})
	const refused = "A certificate of the chain is valid only from "
	cert, key := future.Write(t, dir)
	early := launch(t, environment(t, dbtest.SQLiteURL(t)), "--tls-cert", cert, "--tls-key", key)
	check.Equal(t, early.exits(t), 2, "exit status of a start with a certificate that is not valid yet")
	early.logs(t, refused)

	a.Issue(t, certs.Options{Serial: 0x1001}).Write(t, dir)
	s := serve(t, environment(t, dbtest.SQLiteURL(t)), "--tls-cert", cert, "--tls-key", key)
	future.Write(t, dir)
	s.logs(t, refused)
	check.Equal(t, s.serial(t, fresh(t, a)), 0x1001, "serial number after a replacement that is not valid yet")
	a.Issue(t, certs.Options{Names: []string{"other.example"}}).Write(t, dir)
	s.logs(t, "not for the host of the public URL")
}

// Wrong files are refused at startup, all at once, each with its setting.
func TestWrongTLSFiles(t *testing.T) {
	a := certs.NewAuthority(t, "Test authority")
	dir := t.TempDir()
	cert, _ := a.Issue(t, certs.Options{}).Write(t, dir)
	_, other := a.Issue(t, certs.Options{}).Write(t, t.TempDir())
	for _, tc := range []struct {
		args  []string
		wants []string
	}{
		{[]string{"--tls-cert", cert},
			[]string{"--tls-key (LATCHKEY_TLS_KEY): must be given together with --tls-cert"}},
		{[]string{"--tls-cert", cert, "--tls-key", other}, []string{"--tls-key (LATCHKEY_TLS_KEY): The key in " +
			other + " does not belong to the first certificate in " + cert}},
		{[]string{"--tls-cert", dir + "/none", "--tls-key", other, "--tls-client-ca", other}, []string{
			"--tls-cert (LATCHKEY_TLS_CERT): cannot read " + dir + "/none: no such file or directory",
			"--tls-client-ca (LATCHKEY_TLS_CLIENT_CA): " + other + " has no certificate in PEM form"}},
	} {
		s := launch(t, environment(t, dbtest.SQLiteURL(t)), tc.args...)
		check.Equal(t, s.exits(t), 2, "exit status with %q", tc.args)
		for _, want := range tc.wants {
			if !strings.Contains(s.logged(), want) {
				t.Errorf("%q: got %s, want %s", tc.args, s.logged(), want)
			}
		}
	}
}

// codeBlock returns the only block of a language in a page.
func codeBlock(t *testing.T, page, language string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)\n```"+language+"\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 1 {
		t.Fatalf("%s has %d blocks of %s, want 1", page, len(blocks), language)
	}
	return blocks[0][1]
}

// withTLS changes the examples of proxies as docs/gateway.md says.
var withTLS = map[string]func(t *testing.T, files map[string]string){
	"nginx": func(t *testing.T, files map[string]string) {
		replaceOnce(t, files, "latchkey.conf", "        proxy_pass http://latchkey/gateway/check;\n",
			codeBlock(t, "gateway.md", "nginx"))
	},
	"caddy": func(t *testing.T, files map[string]string) {
		replaceOnce(t, files, "Caddyfile", "forward_auth 127.", "forward_auth https://127.")
		replaceOnce(t, files, "Caddyfile", "response_header_timeout 7s\n", "response_header_timeout 7s\n"+
			codeBlock(t, "gateway.md", "caddyfile"))
	},
}

func replaceOnce(t *testing.T, files map[string]string, name, part, by string) {
	t.Helper()
	if n := strings.Count(files[name], part); n != 1 {
		t.Fatalf("%s has %q %d times, want once", name, part, n)
	}
	files[name] = strings.Replace(files[name], part, by, 1)
}

// A gateway with a certificate of the authority passes the check, and one without is not told about the client's
// token.
func TestGatewaysWithCertificates(t *testing.T) {
	servers, gateways := certs.NewAuthority(t, "Servers"), certs.NewAuthority(t, "Gateways")
	dir := t.TempDir()
	cert, key := servers.Issue(t, certs.Options{Names: []string{"keys.example.com"}}).Write(t, dir)
	env := environment(t, dbtest.SQLiteURL(t))
	s, _ := demo(t, env, "--tls-cert", cert, "--tls-key", key, "--tls-client-ca",
		certs.Write(t, dir, "ca.crt", gateways.PEM), "--tls-gateway-certs")
	api := httptest.NewServer(http.HandlerFunc(echo))
	defer api.Close()
	made := run(t, env, "token", "create", "--account", acmeID, "--store", "acme1us", "--name", "Products", "--scope",
		"store_v2_products")
	token := regexp.MustCompile(`(?m)^ACCESS TOKEN: (\S+)$`).FindStringSubmatch(made)[1]
	for proxy := range proxies {
		for name, authority := range map[string]*certs.Authority{"a certificate": gateways, "none": nil} {
			t.Run(proxy+" with "+name, func(t *testing.T) {
				port := dbtest.FreePort(t)
				address := fmt.Sprintf("127.0.0.1:%d", port)
				gatewayKey := strings.TrimSpace(run(t, env, "gateway", "create", "--name", proxy+name))
				d := proxies[proxy](t, gatewayKey, strings.NewReplacer("127.0.0.1:8000", address, "127.0.0.1:8080",
					strings.TrimPrefix(s.public, "https://"), "127.0.0.1:9000", strings.TrimPrefix(api.URL, "http://")),
					port)
				withTLS[proxy](t, d.Files)
				d.Files["latchkey-authority.crt"] = string(servers.PEM)
				want := 200
				if authority != nil {
					pair := authority.Issue(t, certs.Options{Names: []string{"gateway.example.com"}})
					d.Files["latchkey-gateway.crt"] = string(pair.Cert)
					d.Files["latchkey-gateway.key"] = string(pair.Key)
				} else {
					want = 503
					for file, text := range d.Files {
						d.Files[file] = regexp.MustCompile(`(?m)^.*(tls_client_auth|proxy_ssl_certificate).*$`).
							ReplaceAllString(text, "")
					}
				}
				d.Start(t)
				e := &edge{url: "http://" + address}
				res, got := e.call(t, "GET", products, token, "")
				check.Equal(t, res.StatusCode, want, "status")
				if want == 200 {
					check.Equal(t, got.Header.Get("X-Latchkey-Store"), "acme1us", "X-Latchkey-Store")
				}
			})
		}
	}
}
