package mail

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// maxReplies is what is read of a server at most while one mail is sent, in
// bytes, TLS included.
const maxReplies = 64 << 10

// dial connects to a server for one mail, which ends when the context does.
func (s *Sender) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	ends, _ := ctx.Deadline() // send sets one
	guarded := &conn{Conn: c, ends: ends, left: maxReplies}
	if err := guarded.SetDeadline(ends); err != nil {
		return nil, fmt.Errorf("%w, %w", err, c.Close())
	}
	if !s.tls {
		return guarded, nil
	}
	secured := tls.Client(guarded, s.trust())
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = c.Close() // the handshake's error says more
		return nil, err
	}
	return secured, nil
}

// trust is how the server's certificate is judged. That of a server on this
// machine is not: no network is in between, and it is often self-signed.
func (s *Sender) trust() *tls.Config {
	return &tls.Config{ServerName: s.host, MinVersion: tls.VersionTLS12, InsecureSkipVerify: loopback(s.host)} //nolint:gosec // on this machine only
}

// conn is a connection of which a bounded part is read, and whose deadline is
// not extended.
type conn struct {
	net.Conn

	ends time.Time
	left int
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, fmt.Errorf("the mail server says more than %d bytes", maxReplies)
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error { return c.Conn.SetDeadline(c.within(t)) }

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { return c.Conn.SetReadDeadline(c.within(t)) }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.Conn.SetWriteDeadline(c.within(t)) }

func (c *conn) within(t time.Time) time.Time {
	if t.IsZero() || t.After(c.ends) {
		return c.ends
	}
	return t
}
