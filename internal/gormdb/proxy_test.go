package gormdb_test

import (
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy stands between a client and PostgreSQL and can stop passing bytes on
// without closing anything, as a broken network does.
type proxy struct {
	url    string
	server atomic.Pointer[string]
	mu     sync.Mutex // held while frozen
	conns  sync.WaitGroup
	// cut closes the listener and the connections of clients, drop those alone.
	cut, drop func()
	clients   sync.Map // of net.Conn
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{}
	host := u.Host
	p.server.Store(&host)
	u.Host = listener.Addr().String()
	p.url = u.String()
	p.cut = func() {
		_ = listener.Close()
		p.drop()
	}
	p.drop = func() {
		p.clients.Range(func(conn, _ any) bool {
			_ = conn.(net.Conn).Close()
			return true
		})
	}
	p.conns.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.conns.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.conns.Wait()
	})
	return p
}

func (p *proxy) freeze() { p.mu.Lock() }
func (p *proxy) thaw()   { p.mu.Unlock() }

// close ends every connection, and lets none be made again.
func (p *proxy) close() { p.cut() }

// leadTo has new connections lead to another server.
func (p *proxy) leadTo(t *testing.T, target string) {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	p.server.Store(&u.Host)
}

func (p *proxy) serve(client net.Conn) {
	p.clients.Store(client, nil)
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", *p.server.Load())
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		p.conns.Go(func() {
			_, _ = io.Copy(way[1], frozen{p, way[0]})
			ended <- struct{}{}
		})
	}
	<-ended
}

// frozen hands on nothing while the proxy is frozen.
type frozen struct {
	p    *proxy
	from io.Reader
}

// Read reads, and then waits until the proxy is not frozen.
func (f frozen) Read(b []byte) (int, error) {
	n, err := f.from.Read(b)
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	return n, err
}
