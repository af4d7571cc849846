package dbtest

import (
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy forwards TCP connections to PostgreSQL. It can stop forwarding without closing any connection, as a broken
// network does. Its methods are safe for concurrent use.
type Proxy struct {
	// URL is the target's URL with the proxy's address in it.
	URL      string
	listener net.Listener
	target   atomic.Pointer[string] // host:port
	frozen   sync.Mutex             // held while frozen
	running  sync.WaitGroup
	clients  sync.Map // of net.Conn
}

// StartProxy starts a proxy in front of a database. It runs until the test ends, and must not be frozen then.
func StartProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	p := &Proxy{listener: listener}
	p.target.Store(&u.Host)
	through := *u
	through.Host = listener.Addr().String()
	p.URL = through.String()
	p.running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.forward(client) })
		}
	})
	t.Cleanup(func() {
		p.Close()
		p.running.Wait()
	})
	return p
}

// Freeze stops forwarding until Thaw. Connections stay open, and new ones are accepted.
func (p *Proxy) Freeze() { p.frozen.Lock() }

// Thaw forwards again, including the data received while frozen.
func (p *Proxy) Thaw() { p.frozen.Unlock() }

// Close closes all connections and the listener.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.Drop()
}

// Drop closes all connections. New ones are accepted.
func (p *Proxy) Drop() {
	p.clients.Range(func(conn, _ any) bool {
		_ = conn.(net.Conn).Close()
		return true
	})
}

// Redirect forwards new connections to the server of another URL.
func (p *Proxy) Redirect(t testing.TB, target string) {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	p.target.Store(&u.Host)
}

func (p *Proxy) forward(client net.Conn) {
	p.clients.Store(client, nil)
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", *p.target.Load())
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		p.running.Go(func() {
			_, _ = io.Copy(way[1], unfrozen{p, way[0]})
			ended <- struct{}{}
		})
	}
	<-ended
}

// unfrozen delays reads until the proxy is not frozen.
type unfrozen struct {
	p    *Proxy
	from io.Reader
}

func (r unfrozen) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	r.p.frozen.Lock()
	defer r.p.frozen.Unlock()
	return n, err
}
