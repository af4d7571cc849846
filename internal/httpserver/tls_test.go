package httpserver_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/gateway/routes"
	"latchkey/internal/httpserver"
	"latchkey/internal/test/certs"
	"latchkey/internal/test/check"
	"latchkey/internal/tlsfiles"
)

// secured is a server with TLS, whose clients come from two authorities.
type secured struct {
	*running
	servers, gateways *certs.Authority
}

func secure(t *testing.T, api http.HandlerFunc, adjust func(*httpserver.Config)) *secured {
	t.Helper()
	s := &secured{servers: certs.NewAuthority(t, "Servers"), gateways: certs.NewAuthority(t, "Gateways")}
	dir := t.TempDir()
	cert, key := s.servers.Issue(t, certs.Options{}).Write(t, dir)
	keeper, err := tlsfiles.NewKeeper(tlsfiles.Paths{Cert: cert, Key: key,
		ClientCA: certs.Write(t, filepath.Dir(cert), "ca.crt", s.gateways.PEM)})
	if err != nil {
		t.Fatal(err)
	}
	s.running = start(t, api, func(c *httpserver.Config) {
		c.TLS, c.HTTPS = keeper.Config(), true
		c.GatewayCert = func(state *tls.ConnectionState) bool { return keeper.Current().Verifies(state, time.Now()) }
		if adjust != nil {
			adjust(c)
		}
	})
	s.public = strings.Replace(s.public, "http://", "https://", 1)
	s.present(t)
	return s
}

// present makes the client present the certificates, over HTTP/2.
func (s *secured) present(t *testing.T, pairs ...certs.Pair) {
	t.Helper()
	s.client.CloseIdleConnections()
	s.client = &http.Client{Timeout: 20 * time.Second,
		Transport: &http.Transport{TLSClientConfig: s.servers.Client(t, pairs...), ForceAttemptHTTP2: true}}
}

// With TLS, clients get HTTP/2, and answers as over HTTP/1.1. Clients without TLS are refused.
func TestHTTP2(t *testing.T) {
	s := secure(t, whoami, nil)
	got := s.api(t, "X-Auth-Token: "+goodToken)
	if got.StatusCode != 200 || got.Proto != "HTTP/2.0" || !strings.HasPrefix(got.text, "127.0.0.1 ") {
		t.Errorf("a request: got %d, %s, %s, want 200 over HTTP/2.0 from 127.0.0.1", got.StatusCode, got.Proto, got.text)
	}
	check.Equal(t, got.Header.Get("Strict-Transport-Security"), "max-age=31536000", "HSTS")
	check.Equal(t, s.api(t).StatusCode, 401, "without a credential")
	plain := s.do(t, "GET", strings.Replace(s.public, "https://", "http://", 1)+apiPath, "")
	check.Equal(t, plain.StatusCode, 400, "plain HTTP")
}

// A body that does not arrive in time is answered with 408 over HTTP/2, too.
func TestSlowBodyOverHTTP2(t *testing.T) {
	s := secure(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			w.WriteHeader(http.StatusRequestTimeout)
		}
	}, func(c *httpserver.Config) { c.Limits.ReadTimeout = 200 * time.Millisecond })
	body, writer := io.Pipe()
	defer writer.Close()
	req, err := http.NewRequest("POST", s.public+apiPath, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", goodToken)
	res, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	check.Equal(t, res.StatusCode, 408, "status")
}

// A stop lets a request over HTTP/2 finish and tells the client to use no more of its connection.
func TestStopWithHTTP2(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	s := secure(t, func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-finish
		_, _ = io.WriteString(w, "finished")
	}, nil)
	answers := make(chan answer, 1)
	go func() { answers <- s.api(t, "X-Auth-Token: "+goodToken) }()
	<-begun
	s.stop()
	eventually(t, "no more connections", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.public, "https://"))
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	close(finish)
	if got := <-answers; got.StatusCode != 200 || got.text != "finished" || got.Proto != "HTTP/2.0" {
		t.Errorf("the request in flight: got %d, %s, %s, want 200, finished over HTTP/2.0", got.StatusCode, got.text,
			got.Proto)
	}
	if err := <-s.ended; err != nil {
		t.Errorf("the stop: got %v, want no error", err)
	}
}

// Failed handshakes are logged once a minute, so that strangers cannot fill the log.
func TestFailedHandshakesAreLoggedOnce(t *testing.T) {
	s := secure(t, whoami, nil)
	for range 3 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.public, "https://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "\x16\x03\x01\x00\x02xx"); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, conn) // until the server closes it
		_ = conn.Close()
	}
	eventually(t, "a log line", func() bool { return strings.Contains(s.log.String(), "TLS handshake error") })
	check.Equal(t, strings.Count(s.log.String(), "TLS handshake error"), 1, "log lines of three failed handshakes")
}

// canaryDesk also knows the key of a canary.
type canaryDesk struct{ *desk }

func (d canaryDesk) VerifyGateway(ctx context.Context, presented string, o auth.Origin) (*access.Record, error) {
	if presented == "canary" {
		return &access.Record{Principal: auth.Principal{Kind: auth.Gateway, Name: "The canary"}}, nil
	}
	return d.desk.VerifyGateway(ctx, presented, o)
}

// Where gateways must present a certificate, the check and introspection refuse those without one, with any key and
// address. Other clients need none.
func TestCertificatesOfGateways(t *testing.T) {
	const challenge, form = `Latchkey-Gateway realm="latchkey"`, "Content-Type: application/x-www-form-urlencoded"
	s := secure(t, nil, func(c *httpserver.Config) {
		c.Verifier, c.Routes, c.Canary = canaryDesk{&desk{}}, routes.Default(), "The canary"
	})
	introspect := func(key string) answer {
		return s.do(t, "POST", s.public+"/oauth2/introspect", "token=store", "X-Latchkey-Gateway: "+key, form)
	}
	refused := func(name string, got answer) {
		t.Helper()
		if got.StatusCode != 401 || !strings.Contains(got.text, "must present a client certificate") {
			t.Errorf("%s: got %d, %s, want 401 and the reason", name, got.StatusCode, got.text)
		}
	}
	got := s.check(t)
	refused("the check without a certificate", got)
	check.Equal(t, got.Header.Get("WWW-Authenticate"), challenge, "challenge")
	refused("introspection without a certificate", introspect("key"))
	check.Equal(t, introspect("canary").StatusCode, 200, "introspection by a canary without a certificate")
	check.Equal(t, introspect("unknown").StatusCode, 401, "introspection with an unknown key")
	itself := s.do(t, "POST", s.public+"/oauth2/introspect", "token=store", "Authorization: Bearer store", form)
	check.Equal(t, itself.StatusCode, 200, "introspection by the token itself")

	s.present(t, s.gateways.Issue(t, certs.Options{}))
	check.Equal(t, s.check(t).StatusCode, 204, "the check with a certificate")
	check.Equal(t, introspect("key").StatusCode, 200, "introspection with a certificate")
	check.Equal(t, s.check(t, "X-Latchkey-Gateway: unknown").StatusCode, 401, "a certificate and an unknown key")
	check.Equal(t, strings.Count(s.log.String(), "a gateway presented no certificate"), 1, "log lines")
}

func TestAddressesOfGatewaysNeedCertificates(t *testing.T) {
	s := secure(t, nil, func(c *httpserver.Config) {
		c.Verifier, c.Routes, c.GatewayAddresses = &desk{}, routes.Default(), prefixes("127.0.0.0/8")
	})
	check.Equal(t, s.check(t, "-X-Latchkey-Gateway").StatusCode, 401, "an address of a gateway, without a certificate")
	s.present(t, s.gateways.Issue(t, certs.Options{}))
	check.Equal(t, s.check(t, "-X-Latchkey-Gateway").StatusCode, 204, "an address of a gateway, with a certificate")
}
