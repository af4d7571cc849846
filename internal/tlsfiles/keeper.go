package tlsfiles

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"os"
	"sync/atomic"
	"time"
)

// Keeper holds the set that is in use. It is safe for concurrent use, except for Changed.
type Keeper struct {
	paths   Paths
	current atomic.Pointer[Set]
	// seen is the state of the files when they were last read.
	seen [3]stamp
}

// stamp is what tells one content of a file from another without reading it.
type stamp struct {
	info os.FileInfo
	size int64
	at   time.Time
}

// NewKeeper returns a keeper that uses the files' content. Its errors are those of Read.
func NewKeeper(p Paths) (*Keeper, error) {
	k := &Keeper{paths: p, seen: stamps(p)}
	s, err := Read(p)
	if err != nil {
		return nil, err
	}
	k.Use(s)
	return k, nil
}

// Current returns the set in use.
func (k *Keeper) Current() *Set { return k.current.Load() }

// Use makes new connections use the set. Connections that exist keep theirs.
func (k *Keeper) Use(s *Set) { k.current.Store(s) }

// Read reads the files anew, without using them. Its errors are those of the function Read.
func (k *Keeper) Read() (*Set, error) {
	k.seen = stamps(k.paths) // before the files are read: a later change is seen by Changed
	return Read(k.paths)
}

// Changed reports whether a file was changed or replaced since it was last read.
func (k *Keeper) Changed() bool {
	for i, now := range stamps(k.paths) {
		if !now.equal(k.seen[i]) {
			return true
		}
	}
	return false
}

func stamps(p Paths) (all [3]stamp) {
	for i, path := range []string{p.Cert, p.Key, p.ClientCA} {
		if path == "" {
			continue
		}
		if info, err := os.Stat(path); err == nil { // a missing file has the zero stamp
			all[i] = stamp{info, info.Size(), info.ModTime()}
		}
	}
	return all
}

func (s stamp) equal(other stamp) bool {
	if s.info == nil || other.info == nil {
		return s.info == nil && other.info == nil
	}
	return os.SameFile(s.info, other.info) && s.size == other.size && s.at.Equal(other.at)
}

// Config returns the TLS settings of a listener. Each connection uses the set of the time at which it begins.
func (k *Keeper) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return k.Current().config, nil },
	}
}

// DialPeer connects to a server that shares the database. Such servers are addressed within the network, often by an
// address that no certificate names. The certificate must therefore be this server's, or have been issued for one of
// its names, or for the host of the address.
func (k *Keeper) DialPeer(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := tls.Dialer{Config: &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: host,
		InsecureSkipVerify: true, // VerifyConnection verifies the certificate, with all names that it may have
		VerifyConnection:   func(state tls.ConnectionState) error { return k.Current().verifyPeer(host, state) },
	}}
	return d.DialContext(ctx, network, address)
}

func (s *Set) verifyPeer(host string, state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the server presented no certificate")
	}
	leaf := state.PeerCertificates[0]
	if leaf.Equal(s.Leaf) {
		return nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(c)
	}
	// The issuers of this server's certificate are trusted, so that an operator's own authority need not be installed.
	for _, raw := range s.pair.Certificate[1:] {
		if issuer, err := x509.ParseCertificate(raw); err == nil {
			roots.AddCert(issuer)
		}
	}
	var failures error
	for _, name := range append([]string{host}, s.Leaf.DNSNames...) {
		options.DNSName = name
		_, err := leaf.Verify(options)
		if err == nil {
			return nil
		}
		failures = errors.Join(failures, err)
	}
	return failures
}

// Covers returns an error if the certificate is not for the host of the URL.
func (s *Set) Covers(publicURL string) error {
	u, err := url.Parse(publicURL)
	if err != nil {
		return err
	}
	return s.Leaf.VerifyHostname(u.Hostname())
}
