// Package certs issues certificates for tests.
package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority issues certificates.
type Authority struct {
	// PEM is its certificate.
	PEM  []byte
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Options are the properties of a certificate.
type Options struct {
	// Serial is its serial number; 0 means 2.
	Serial int64
	// Names are its DNS names. Without any it is for localhost and 127.0.0.1.
	Names []string
	// Begins is from when on it is valid; zero means two hours ago. Expires is when it expires; zero means in an hour.
	Begins, Expires time.Time
	// Usages are its extended key usages. Without any it is for servers and clients.
	Usages []x509.ExtKeyUsage
}

// Pair is a certificate with its key, both in PEM form.
type Pair struct{ Cert, Key []byte }

// NewAuthority returns a new authority.
func NewAuthority(t testing.TB, name string) *Authority {
	t.Helper()
	a := &Authority{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.PEM = encode("CERTIFICATE", der)
	return a
}

// Issue issues a certificate.
func (a *Authority) Issue(t testing.TB, o Options) Pair {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(max(o.Serial, 2)), Subject: pkix.Name{CommonName: "Latchkey's test"},
		NotBefore: o.Begins, NotAfter: o.Expires, DNSNames: o.Names, ExtKeyUsage: o.Usages,
	}
	if o.Begins.IsZero() {
		template.NotBefore = time.Now().Add(-2 * time.Hour)
	}
	if len(o.Usages) == 0 {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	if o.Expires.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	if len(o.Names) == 0 {
		template.DNSNames, template.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return Pair{encode("CERTIFICATE", der), encode("PRIVATE KEY", private)}
}

// Client returns the TLS settings of a client that trusts the authority and presents the pairs.
func (a *Authority) Client(t testing.TB, pairs ...Pair) *tls.Config {
	t.Helper()
	c := &tls.Config{RootCAs: x509.NewCertPool()}
	c.RootCAs.AddCert(a.cert)
	for _, p := range pairs {
		pair, err := tls.X509KeyPair(p.Cert, p.Key)
		if err != nil {
			t.Fatal(err)
		}
		c.Certificates = append(c.Certificates, pair)
	}
	return c
}

// Write writes the pair to the directory, and returns the paths of the certificate and the key.
func (p Pair) Write(t testing.TB, dir string) (cert, key string) {
	t.Helper()
	return Write(t, dir, "tls.crt", p.Cert), Write(t, dir, "tls.key", p.Key)
}

// Write replaces a file atomically, readable only by its owner, and returns its path.
func Write(t testing.TB, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return path
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
