package tlsfiles_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/internal/fault"
	"latchkey/internal/test/certs"
	"latchkey/internal/test/check"
	"latchkey/internal/tlsfiles"
)

// written returns the paths of a pair in a new directory.
func written(t *testing.T, p certs.Pair) tlsfiles.Paths {
	t.Helper()
	cert, key := p.Write(t, t.TempDir())
	return tlsfiles.Paths{Cert: cert, Key: key}
}

func TestRead(t *testing.T) {
	a := certs.NewAuthority(t, "Test authority")
	until := time.Now().Add(30 * time.Minute).Truncate(time.Second)
	p := a.Issue(t, certs.Options{Serial: 77, Names: []string{"keys.example.com"}, Expires: until})
	p.Cert = append(p.Cert, a.PEM...)
	s, err := tlsfiles.Read(written(t, p))
	if err != nil {
		t.Fatal(err)
	}
	check.Equal(t, s.Leaf.SerialNumber.Int64(), 77, "serial number")
	check.Equal(t, s.Expires.UTC(), until.UTC(), "expiry")
	// The chain begins with its last certificate.
	check.Equal(t, s.Begins.After(s.Leaf.NotBefore), true, "whether the issuer begins later than the certificate")
	if err := s.Covers("https://keys.example.com:8443/path"); err != nil {
		t.Errorf("the host of the certificate: got %v, want no error", err)
	}
	if s.Covers("https://other.example.com") == nil {
		t.Error("another host: got no error, want one")
	}
	// The chain expires with its first certificate.
	p = a.Issue(t, certs.Options{Expires: time.Now().Add(100 * time.Hour)})
	p.Cert = append(p.Cert, a.PEM...)
	if s, err = tlsfiles.Read(written(t, p)); err != nil || s.Expires.After(time.Now().Add(25*time.Hour)) {
		t.Errorf("a chain whose issuer expires first: got %v, %v, want the issuer's expiry", s, err)
	}
	// One file for both.
	both := certs.Write(t, t.TempDir(), "both.pem", append(bytes.Clone(p.Key), p.Cert...))
	if _, err := tlsfiles.Read(tlsfiles.Paths{Cert: both, Key: both}); err != nil {
		t.Errorf("one file with both: got %v, want no error", err)
	}
}

// Each error names the setting's flag and the file, and none contains the key.
func TestReadRefuses(t *testing.T) {
	a := certs.NewAuthority(t, "Test authority")
	pair, other := a.Issue(t, certs.Options{}), a.Issue(t, certs.Options{})
	encrypted := bytes.ReplaceAll(pair.Key, []byte("PRIVATE KEY"), []byte("ENCRYPTED PRIVATE KEY"))
	broken := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("not a certificate")})
	for _, tc := range []struct {
		name, field, want string
		change            func(p *tlsfiles.Paths, dir string)
	}{
		{"no certificate", "tls-cert", "no such file", func(p *tlsfiles.Paths, dir string) { p.Cert = dir + "/none" }},
		{"no key", "tls-key", "no such file", func(p *tlsfiles.Paths, dir string) { p.Key = dir + "/none" }},
		{"a directory", "tls-cert", "is a directory", func(p *tlsfiles.Paths, dir string) { p.Cert = dir }},
		{"an empty certificate", "tls-cert", "no certificate in PEM form", func(p *tlsfiles.Paths, dir string) {
			p.Cert = certs.Write(t, dir, "empty", nil)
		}},
		{"a broken certificate", "tls-cert", "cannot be read", func(p *tlsfiles.Paths, dir string) {
			p.Cert = certs.Write(t, dir, "broken", broken)
		}},
		{"half a certificate", "tls-cert", "no certificate in PEM form", func(p *tlsfiles.Paths, dir string) {
			p.Cert = certs.Write(t, dir, "half", pair.Cert[:len(pair.Cert)/2])
		}},
		{"a chain that is cut", "tls-cert", "not a whole block", func(p *tlsfiles.Paths, dir string) {
			p.Cert = certs.Write(t, dir, "cut", append(bytes.Clone(pair.Cert), a.PEM[:len(a.PEM)/2]...))
		}},
		{"a chain that is cut after a few characters", "tls-cert", "not a whole block",
			func(p *tlsfiles.Paths, dir string) {
				p.Cert = certs.Write(t, dir, "cut", append(bytes.Clone(pair.Cert), a.PEM[:5]...))
			}},
		{"authorities of which one is cut", "tls-client-ca", "not a whole block", func(p *tlsfiles.Paths, dir string) {
			p.ClientCA = certs.Write(t, dir, "ca", append(bytes.Clone(a.PEM), a.PEM[:len(a.PEM)-10]...))
		}},
		{"authorities of which one in between is cut", "tls-client-ca", "not a whole block",
			func(p *tlsfiles.Paths, dir string) {
				half := append(append(bytes.Clone(a.PEM), a.PEM[:len(a.PEM)/2]...), '\n')
				p.ClientCA = certs.Write(t, dir, "ca", append(half, a.PEM...))
			}},
		{"a certificate for clients only", "tls-cert", "is not for server authentication",
			func(p *tlsfiles.Paths, dir string) {
				clients := a.Issue(t, certs.Options{Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
				p.Cert, p.Key = clients.Write(t, dir)
			}},
		{"files exchanged", "tls-cert", "no certificate in PEM form", func(p *tlsfiles.Paths, _ string) {
			p.Cert, p.Key = p.Key, p.Cert
		}},
		{"a key without a key", "tls-key", "no private key in PEM form", func(p *tlsfiles.Paths, dir string) {
			p.Key = certs.Write(t, dir, "cert", pair.Cert)
		}},
		{"an encrypted key", "tls-key", "is encrypted", func(p *tlsfiles.Paths, dir string) {
			p.Key = certs.Write(t, dir, "encrypted", encrypted)
		}},
		{"another certificate's key", "tls-key", "does not belong to the first certificate",
			func(p *tlsfiles.Paths, dir string) { p.Key = certs.Write(t, dir, "other", other.Key) }},
		{"a key that others can read", "tls-key", "accessible to users other than its owner (mode 0640)",
			func(p *tlsfiles.Paths, _ string) {
				if err := os.Chmod(p.Key, 0o640); err != nil {
					t.Fatal(err)
				}
			}},
		{"no authorities", "tls-client-ca", "no certificate in PEM form", func(p *tlsfiles.Paths, dir string) {
			p.ClientCA = certs.Write(t, dir, "ca", []byte("none"))
		}},
		{"a large file", "tls-cert", "larger than", func(p *tlsfiles.Paths, dir string) {
			p.Cert = certs.Write(t, dir, "large", make([]byte, 2<<20))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := written(t, pair)
			tc.change(&p, filepath.Dir(p.Cert))
			_, err := tlsfiles.Read(p)
			if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), tc.want) ||
				!strings.Contains(err.Error(), filepath.Dir(p.Key)) {
				t.Fatalf("got %v, want %q with the file's name", err, tc.want)
			}
			check.Equal(t, fault.Flatten(err)[0].Field, tc.field, "field of %v", err)
		})
	}
	_, err := tlsfiles.Read(tlsfiles.Paths{Cert: "/none/cert", Key: "/none/key", ClientCA: "/none/ca"})
	check.Equal(t, len(fault.Flatten(err)), 3, "errors at once, %v", err)
}

// listen serves HTTPS with the keeper, and returns the URL. Requests are answered with 204 if the set in use accepts
// the client's certificate at the time.
func listen(t *testing.T, k *tlsfiles.Keeper, now func() time.Time) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if k.Current().Verifies(r.TLS, now()) {
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	s.Listener = tls.NewListener(s.Listener, k.Config())
	s.Start()
	t.Cleanup(s.Close)
	return "https://" + s.Listener.Addr().String()
}

func keeper(t *testing.T, p tlsfiles.Paths) *tlsfiles.Keeper {
	t.Helper()
	k, err := tlsfiles.NewKeeper(p)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// get returns the status of a response and the serial number of the server's certificate, or 0 without a connection.
func get(t *testing.T, c *tls.Config, url string) (status int, serial int64) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}}
	return getWith(t, client, url)
}

func getWith(t *testing.T, client *http.Client, url string) (status int, serial int64) {
	t.Helper()
	res, err := client.Get(url)
	if err != nil {
		return 0, 0
	}
	defer res.Body.Close()
	return res.StatusCode, res.TLS.PeerCertificates[0].SerialNumber.Int64()
}

// A replaced certificate is noticed, read and used, and one that is half written is not.
func TestKeeper(t *testing.T) {
	a := certs.NewAuthority(t, "Test authority")
	first, second := a.Issue(t, certs.Options{Serial: 10}), a.Issue(t, certs.Options{Serial: 11})
	p := written(t, first)
	dir := filepath.Dir(p.Cert)
	k := keeper(t, p)
	url := listen(t, k, time.Now)
	serves := func(want int64) {
		t.Helper()
		_, serial := get(t, a.Client(t), url)
		check.Equal(t, serial, want, "serial number that a client sees")
	}
	serves(10)
	check.Equal(t, k.Changed(), false, "changed at first")

	certs.Write(t, dir, "tls.crt", second.Cert)
	check.Equal(t, k.Changed(), true, "changed after the certificate was replaced")
	if _, err := k.Read(); err == nil {
		t.Error("a certificate with the key of another: got no error, want one")
	}
	check.Equal(t, k.Changed(), false, "changed after an attempt to read")
	serves(10)

	certs.Write(t, dir, "tls.key", second.Key)
	check.Equal(t, k.Changed(), true, "changed after the key was replaced")
	next, err := k.Read()
	if err != nil {
		t.Fatal(err)
	}
	serves(10) // until it is used
	check.Equal(t, next.Equal(k.Current()), false, "whether both sets are equal")
	k.Use(next)
	serves(11)

	if err := os.Remove(p.Key); err != nil {
		t.Fatal(err)
	}
	check.Equal(t, k.Changed(), true, "changed after the key was removed")
	if _, err := k.Read(); err == nil {
		t.Error("a missing key: got no error, want one")
	}
	serves(11)
	certs.Write(t, dir, "tls.key", second.Key)
	if next, err = k.Read(); err != nil || !next.Equal(k.Current()) {
		t.Errorf("the same files again: got %v, %v, want an equal set", next, err)
	}
}

// TLS 1.1 is refused, and HTTP/2 is offered.
func TestProtocols(t *testing.T) {
	a := certs.NewAuthority(t, "Test authority")
	url := listen(t, keeper(t, written(t, a.Issue(t, certs.Options{}))), time.Now)
	for version, want := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true,
		tls.VersionTLS13: true} {
		c := a.Client(t)
		c.MinVersion, c.MaxVersion, c.NextProtos = version, version, []string{"h2"}
		conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), c)
		if (err == nil) != want {
			t.Errorf("%s: got %v, want accepted %t", tls.VersionName(version), err, want)
		}
		if err == nil {
			check.Equal(t, conn.ConnectionState().NegotiatedProtocol, "h2", "protocol")
			_ = conn.Close()
		}
	}
}

// A client's certificate counts while it is valid and its authority is in use, even on a connection that is older than
// the present set.
func TestVerifies(t *testing.T) {
	a, gateways, strangers := certs.NewAuthority(t, "Servers"), certs.NewAuthority(t, "Gateways"),
		certs.NewAuthority(t, "Gateways")
	until := time.Now().Add(20 * time.Minute)
	p := written(t, a.Issue(t, certs.Options{}))
	p.ClientCA = certs.Write(t, filepath.Dir(p.Cert), "ca.crt", gateways.PEM)
	k := keeper(t, p)
	now := time.Now()
	url := listen(t, k, func() time.Time { return now })
	status := func(pairs ...certs.Pair) int { got, _ := get(t, a.Client(t, pairs...), url); return got }
	check.Equal(t, status(), 200, "no certificate")
	check.Equal(t, status(gateways.Issue(t, certs.Options{})), 204, "a gateway's certificate")
	check.Equal(t, status(gateways.Issue(t, certs.Options{Expires: time.Now().Add(-time.Minute)})), 0,
		"an expired certificate")
	// Without the list of accepted authorities a client of Go would not send it.
	forged := a.Client(t, strangers.Issue(t, certs.Options{}))
	if got, _ := get(t, forged, url); got == 204 {
		t.Errorf("a certificate of another authority with the same name: got %d, want it refused", got)
	}

	kept := &http.Client{Transport: &http.Transport{
		TLSClientConfig: a.Client(t, gateways.Issue(t, certs.Options{Expires: until}))}}
	defer kept.CloseIdleConnections()
	got, _ := getWith(t, kept, url)
	check.Equal(t, got, 204, "a connection with a certificate")
	now = until.Add(time.Second)
	got, _ = getWith(t, kept, url)
	check.Equal(t, got, 200, "the same connection after the certificate has expired")
	now = time.Now()
	certs.Write(t, filepath.Dir(p.Cert), "ca.crt", strangers.PEM)
	next, err := k.Read()
	if err != nil {
		t.Fatal(err)
	}
	k.Use(next)
	got, _ = getWith(t, kept, url)
	check.Equal(t, got, 200, "the same connection after its authority was removed")
	check.Equal(t, k.Current().Verifies(nil, now), false, "a connection without TLS")
}

// Servers recognize each other's certificates by this server's own, its names and its issuers.
func TestDialPeer(t *testing.T) {
	a, others := certs.NewAuthority(t, "Servers"), certs.NewAuthority(t, "Others")
	named := certs.Options{Names: []string{"keys.example.com"}}
	own := a.Issue(t, named)
	own.Cert = append(own.Cert, a.PEM...)
	k := keeper(t, written(t, own))
	for _, tc := range []struct {
		name string
		peer certs.Pair
		want bool
	}{
		{"this server's certificate", own, true},
		{"another of the same issuer and name", a.Issue(t, named), true},
		{"another for the address", a.Issue(t, certs.Options{}), true},
		{"another name", a.Issue(t, certs.Options{Names: []string{"other.example.com"}}), false},
		{"another issuer", others.Issue(t, named), false},
		{"expired", a.Issue(t, certs.Options{Names: named.Names, Expires: time.Now().Add(-time.Minute)}), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			url := listen(t, keeper(t, written(t, tc.peer)), time.Now)
			conn, err := k.DialPeer(t.Context(), "tcp", strings.TrimPrefix(url, "https://"))
			if (err == nil) != tc.want {
				t.Errorf("got %v, want accepted %t", err, tc.want)
			}
			if err == nil {
				_ = conn.Close()
			}
		})
	}
}
