// Package tlsfiles reads the certificate, the private key and the client authorities of the public listener, checks
// them, and lets them be replaced while the server runs.
package tlsfiles

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"latchkey/internal/fault"
	"latchkey/internal/regularfile"
)

// Names of the files as fields of errors.
const (
	FieldCert     = "tls-cert"
	FieldKey      = "tls-key"
	FieldClientCA = "tls-client-ca"
)

// sizeLimit is the maximum size of a file in bytes.
const sizeLimit = 1 << 20

// Paths are the paths of the files, which are in PEM form.
type Paths struct {
	// Cert has the certificate of the server, followed by the certificates of its issuers. Key has its private key. It
	// can be the same file.
	Cert, Key string
	// ClientCA has the certificates of the authorities whose certificates clients may present. Empty means none.
	ClientCA string
}

// Set is the content of the files. It is immutable.
type Set struct {
	// Leaf is the server's certificate.
	Leaf *x509.Certificate
	// Begins is from when on all certificates of the chain are valid, and Expires is when the first one expires.
	Begins, Expires time.Time

	pair        tls.Certificate
	authorities []*x509.Certificate
	config      *tls.Config
	digest      [sha256.Size]byte
}

// Read reads the files. It returns fault.Invalid with the field and the reason if a file cannot be read or has not what
// it must have, if the key does not belong to the certificate, or if users other than its owner can read the key.
func Read(p Paths) (*Set, error) {
	var faults fault.List
	certs, err := readFile(FieldCert, p.Cert, false)
	faults = append(faults, fault.Flatten(err)...)
	key, err := readFile(FieldKey, p.Key, true)
	faults = append(faults, fault.Flatten(err)...)
	s := &Set{}
	var authorities []byte
	if p.ClientCA != "" {
		authorities, err = readFile(FieldClientCA, p.ClientCA, false)
		if err == nil {
			s.authorities, err = parseCertificates(FieldClientCA, p.ClientCA, authorities)
		}
		faults = append(faults, fault.Flatten(err)...)
	}
	if certs != nil && key != nil {
		faults = append(faults, fault.Flatten(s.usePair(p, certs, key))...)
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	s.digest = digest(certs, key, authorities)
	s.config = s.newConfig()
	return s, nil
}

// usePair parses the certificates and the key.
func (s *Set) usePair(p Paths, certs, key []byte) error {
	chain, err := parseCertificates(FieldCert, p.Cert, certs)
	if err != nil {
		return err
	}
	if err := checkKey(p.Key, key); err != nil {
		return err
	}
	if s.pair, err = tls.X509KeyPair(certs, key); err != nil {
		return wrong(FieldKey, "The key in %s does not belong to the first certificate in %s.", p.Key, p.Cert).
			Because(err)
	}
	s.Leaf, s.Begins, s.Expires = chain[0], chain[0].NotBefore, chain[0].NotAfter
	for _, c := range chain[1:] {
		if c.NotAfter.Before(s.Expires) {
			s.Expires = c.NotAfter
		}
		if c.NotBefore.After(s.Begins) {
			s.Begins = c.NotBefore
		}
	}
	if !forServers(s.Leaf) {
		return wrong(FieldCert, "The first certificate in %s is not for server authentication, so clients would "+
			"refuse it. Request one whose extended key usage includes it (serverAuth).", p.Cert)
	}
	return nil
}

// forServers reports whether a certificate is for server authentication (RFC 5280, section 4.2.1.12). One without
// usages is for any.
func forServers(c *x509.Certificate) bool {
	return len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 ||
		slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) ||
		slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// parseCertificates returns the certificates of a file. It refuses a file with a block that is not whole, which package
// pem skips: the file may have been cut while it was copied, and lack a certificate.
func parseCertificates(field, path string, text []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	broken := bytes.Count(text, []byte("-----BEGIN "))
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		broken--
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, wrong(field, "Certificate %d in %s cannot be read: %v.", len(all)+1, path, err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, wrong(field, "%s has no certificate in PEM form.", path)
	}
	if broken != 0 || bytes.Contains(text, []byte("-----")) {
		return nil, wrong(field, "%s has a part that is not a whole block in PEM form. "+
			"Copy the file again, and end it with the line -----END CERTIFICATE-----.", path)
	}
	return all, nil
}

// checkKey returns an error if the file has no key that can be read. The error has none of the file's content.
func checkKey(path string, text []byte) error {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return wrong(FieldKey, "%s has no private key in PEM form.", path)
		}
		_, encrypted := block.Headers["DEK-Info"]
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY" || encrypted:
			return wrong(FieldKey, "The key in %s is encrypted. Store it without a passphrase.", path)
		case block.Type == "PRIVATE KEY" || bytes.HasSuffix([]byte(block.Type), []byte(" PRIVATE KEY")):
			return nil
		}
	}
}

// readFile reads a file. A private one must be accessible only by its owner.
func readFile(field, path string, private bool) ([]byte, error) {
	file, info, err := regularfile.Open(path)
	if err != nil {
		return nil, cannotRead(field, path, err)
	}
	defer file.Close()
	if mode := info.Mode().Perm(); private && mode&0o077 != 0 {
		return nil, wrong(field, "%s is accessible to users other than its owner (mode %04o). Run \"chmod 600 %s\".",
			path, mode, path)
	}
	text, err := io.ReadAll(io.LimitReader(file, sizeLimit+1))
	if err != nil {
		return nil, cannotRead(field, path, err)
	}
	if len(text) > sizeLimit {
		return nil, wrong(field, "%s is larger than %d bytes.", path, sizeLimit)
	}
	return text, nil
}

func cannotRead(field, path string, err error) error {
	reason := err
	var onPath *fs.PathError
	if errors.As(err, &onPath) {
		reason = onPath.Err
	}
	return wrong(field, "cannot read %s: %v", path, reason).Because(err)
}

func wrong(field, format string, args ...any) *fault.Error {
	return fault.Errorf(fault.Invalid, "%s", fmt.Sprintf(format, args...)).On(field)
}

// digest identifies the content of the files.
func digest(parts ...[]byte) [sha256.Size]byte {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d\n", len(part))
		h.Write(part)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// Equal reports whether both have the same content.
func (s *Set) Equal(other *Set) bool { return s.digest == other.digest }

// newConfig returns the TLS settings. Versions before TLS 1.2 are refused, and cipher suites are Go's, whose order and
// choice for TLS 1.2 are those of Mozilla's intermediate configuration.
func (s *Set) newConfig() *tls.Config {
	c := &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{s.pair},
	}
	if len(s.authorities) > 0 {
		c.ClientAuth, c.ClientCAs = tls.VerifyClientCertIfGiven, x509.NewCertPool()
		for _, a := range s.authorities {
			c.ClientCAs.AddCert(a)
		}
	}
	return c
}

// Verifies reports whether a client has presented a certificate that an authority of the set issued and that is valid
// at the time. The connection may be older than the set.
func (s *Set) Verifies(state *tls.ConnectionState, now time.Time) bool {
	if state == nil {
		return false
	}
	for _, chain := range state.VerifiedChains {
		if s.trusts(chain, now) {
			return true
		}
	}
	return false
}

// trusts reports whether the chain, which the handshake has verified, ends at an authority of the set and no
// certificate of it has expired meanwhile.
func (s *Set) trusts(chain []*x509.Certificate, now time.Time) bool {
	for _, c := range chain {
		if now.Before(c.NotBefore) || now.After(c.NotAfter) {
			return false
		}
	}
	for _, a := range s.authorities {
		if len(chain) > 0 && chain[len(chain)-1].Equal(a) {
			return true
		}
	}
	return false
}
