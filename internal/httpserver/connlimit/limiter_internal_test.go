package connlimit

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"latchkey/internal/test/certs"
	"latchkey/internal/test/check"
)

// world is a server whose connections are limited.
type world struct {
	*Limiter

	t       *testing.T
	address string
	mu      sync.Mutex
	closed  map[Reason]int
	// held holds the requests of the path /hold until it is closed.
	held chan struct{}
}

// serving starts a server until the end of the test.
func serving(t *testing.T, c Config, certificate *tls.Config) *world {
	t.Helper()
	w := &world{t: t, closed: map[Reason]int{}, held: make(chan struct{})}
	c.TLS = certificate != nil
	c.Closed = func(r Reason) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.closed[r]++
	}
	w.Limiter = New(c)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.address = inner.Addr().String()
	s := &http.Server{ReadHeaderTimeout: time.Minute, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog:  log.New(io.Discard, "", 0),
		ConnState: w.ConnState, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hold" {
				<-w.held
			}
		})}
	ended := make(chan error, 1)
	go func() {
		if certificate == nil {
			ended <- s.Serve(w.Listener(inner))
			return
		}
		s.TLSConfig = certificate.Clone()
		s.TLSConfig.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			w.ReadHello(h.Conn)
			return certificate, nil
		}
		ended <- s.ServeTLS(w.Listener(inner), "", "")
	}()
	t.Cleanup(func() {
		select {
		case <-w.held:
		default:
			close(w.held)
		}
		_ = s.Close()
		<-ended //nolint:errcheck // it is http.ErrServerClosed
		w.eventually("no connection is counted after the end", func() bool {
			w.Limiter.mu.Lock()
			defer w.Limiter.mu.Unlock()
			return len(w.open) == 0 && len(w.networks) == 0 && w.waiting == 0
		})
	})
	return w
}

// eventually waits until a condition holds.
func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: it does not hold after 20s", what)
		}
	}
}

// count returns how many connections were closed for the reason.
func (w *world) count(r Reason) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed[r]
}

// dial connects from an address of this machine.
func (w *world) dial(from string) net.Conn {
	w.t.Helper()
	c, err := w.connect(from)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) connect(from string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 20 * time.Second}
	c, err := d.DialContext(w.t.Context(), "tcp", w.address)
	if err != nil {
		return nil, err
	}
	w.t.Cleanup(func() { _ = c.Close() })
	return c, c.SetDeadline(time.Now().Add(20 * time.Second))
}

// refused reports whether the server closes a new connection at once.
func (w *world) refused(from string) bool {
	c, err := w.connect(from)
	return errors.Is(err, syscall.ECONNRESET) || err == nil && ended(c)
}

// send sends a text, if the connection is open.
func send(c net.Conn, text string) { _, _ = io.WriteString(c, text) }

// answered sends a request and reports whether the connection answered it with 200.
func answered(c net.Conn, path string) bool {
	send(c, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
	return receives(c)
}

func receives(c net.Conn) bool {
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return false
	}
	return res.Body.Close() == nil && res.StatusCode == 200
}

// ended reports whether the server has closed the connection, without a response.
func ended(c net.Conn) bool {
	n, err := c.Read(make([]byte, 1))
	return n == 0 && err != nil
}

// shortLines is the beginning of a header in short lines.
func shortLines(size int) string {
	var b strings.Builder
	b.WriteString("GET / HTTP/1.1\r\nHost: localhost\r\n")
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "x%03x:\n", i)
	}
	return b.String()
}

func TestConnectionsOfAnAddress(t *testing.T) {
	w := serving(t, Config{PerAddress: 3}, nil)
	var all []net.Conn
	for range 3 {
		c := w.dial("127.0.0.2")
		check.Equal(t, answered(c, "/"), true, "a connection within the limit is answered")
		all = append(all, c)
	}
	check.Equal(t, w.refused("127.0.0.2"), true, "one more is closed at once")
	check.Equal(t, w.count(Address), 1, "refused connections")
	check.Equal(t, answered(w.dial("127.0.0.3"), "/"), true, "another address is answered")
	check.Equal(t, answered(all[0], "/"), true, "those within the limit go on")
	_ = all[0].Close()
	w.eventually("the closed connection is not counted", func() bool { return w.Open() == 3 })
	check.Equal(t, answered(w.dial("127.0.0.2"), "/"), true, "a connection in place of one that was closed")
}

func TestNoLimits(t *testing.T) {
	w := serving(t, Config{}, nil)
	for range 50 {
		check.Equal(t, answered(w.dial("127.0.0.2"), "/"), true, "a connection is answered")
	}
	check.Equal(t, w.Open(), 50, "open connections")
}

func TestExemptAddresses(t *testing.T) {
	w := serving(t, Config{PerAddress: 1, Total: 1, HeaderMemory: 1,
		Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}}, nil)
	for range 5 {
		c := w.dial("127.0.0.2")
		send(c, "GET / HT")
		send(c, "TP/1.1\r\nHost: localhost\r\n\r\n")
		check.Equal(t, receives(c), true, "a connection of a trusted proxy is answered")
	}
	check.Equal(t, w.Open(), 0, "counted connections")
}

// from is a connection with an address.
type from struct {
	net.Conn

	address string
}

func (f from) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(f.address))
}
func (from) Close() error { return nil }

func TestNetworksOfAddresses(t *testing.T) {
	l := New(Config{PerAddress: 1})
	for _, tc := range []struct {
		address  string
		admitted bool
	}{
		{"[2001:db8::1]:1", true}, {"[2001:db8::2]:1", false}, {"[2001:db8:0:1::1]:1", true},
		{"192.0.2.1:1", true}, {"[::ffff:192.0.2.1]:2", false}, {"192.0.2.2:1", true},
		{"[fe80::1%eth0]:1", true}, {"[fe80::2%eth1]:1", false},
	} {
		if got := l.admit(from{nil, tc.address}) != nil; got != tc.admitted {
			t.Errorf("a connection of %s is admitted: got %t, want %t", tc.address, got, tc.admitted)
		}
	}
}

// Headers that are never completed take only so much memory, from however many addresses, and others are answered.
func TestUnfinishedHeaders(t *testing.T) {
	for _, tc := range []struct{ name, sent string }{
		{"nothing", ""}, {"a byte", "G"}, {"short lines", shortLines(18_000)},
		{"a long line", "GET / HTTP/1.1\r\nA: " + strings.Repeat("a", 18_000)},
		{"after a request", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + shortLines(3000)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			const memory = 2 << 20
			w := serving(t, Config{HeaderMemory: memory}, nil)
			for i := range 250 {
				send(w.dial(fmt.Sprintf("127.0.1.%d", i%100+1)), tc.sent)
				if got := w.Waiting(); got > memory {
					t.Fatalf("the memory of unfinished headers: got %d, want at most %d", got, memory)
				}
				if i%50 == 0 {
					check.Equal(t, answered(w.dial("127.0.0.2"), "/"), true, "another client is answered")
				}
			}
			w.eventually("connections were closed", func() bool { return w.count(Header) > 100 })
			check.Equal(t, answered(w.dial("127.0.0.2"), "/"), true, "another client is answered")
		})
	}
}

// A large header that arrives in parts is answered, and those of an address with many do not push out a client that has
// sent nothing yet.
func TestTheLargestAddressGoesFirst(t *testing.T) {
	w := serving(t, Config{HeaderMemory: 2 << 20}, nil)
	silent := w.dial("127.0.0.2")
	for i := range 20 {
		send(w.dial(fmt.Sprintf("127.0.1.%d", i%5+1)), shortLines(18_000))
	}
	for range 200 {
		send(w.dial("127.0.0.3"), "G")
	}
	w.eventually("connections were closed", func() bool { return w.count(Header) > 100 })
	check.Equal(t, answered(silent, "/"), true, "the client that had sent nothing is answered")
	slow, text := w.dial("127.0.0.2"), shortLines(12_000)
	send(slow, text[:6000])
	w.eventually("the part is counted", func() bool {
		w.Limiter.mu.Lock()
		defer w.Limiter.mu.Unlock()
		n := w.networks[netip.MustParseAddr("127.0.0.2")]
		return n != nil && n.waiting.cost > 100_000
	})
	send(slow, text[6000:]+"\r\n\r\n")
	check.Equal(t, receives(slow), true, "the header in parts is answered")
}

func TestIdleConnectionsMakeRoom(t *testing.T) {
	w := serving(t, Config{Total: 10}, nil)
	inState := func(state int32, want int) {
		t.Helper()
		w.eventually("as many connections are in the state", func() bool {
			w.Limiter.mu.Lock()
			defer w.Limiter.mu.Unlock()
			got := 0
			for c := range w.open {
				if c.state.Load() == state {
					got++
				}
			}
			return got == want
		})
	}
	first := w.dial("127.0.0.2")
	check.Equal(t, answered(first, "/"), true, "the first connection is answered")
	inState(idle, 1)
	for i := range 9 {
		c := w.dial(fmt.Sprintf("127.0.1.%d", i+1))
		check.Equal(t, answered(c, "/"), true, "a connection is answered")
	}
	check.Equal(t, answered(w.dial("127.0.0.3"), "/"), true, "one more is answered")
	check.Equal(t, ended(first), true, "the one that was idle for the longest time is closed")
	check.Equal(t, w.count(Idle), 1, "idle connections that were closed")
	check.Equal(t, w.Open(), 10, "open connections")

	inState(idle, 10)
	var holding []net.Conn
	for i := range 10 {
		c := w.dial("127.0.0.4")
		send(c, "GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n")
		holding = append(holding, c)
		inState(active, i+1) // otherwise the next one could take its place
	}
	check.Equal(t, w.refused("127.0.0.5"), true, "one more is refused while all have requests")
	check.Equal(t, w.count(Total), 1, "connections that were refused")
	close(w.held)
	for _, c := range holding {
		check.Equal(t, receives(c), true, "a request in progress is answered")
	}
}

// Requests on a connection that is kept open wait for no other connection: they take no lock.
func TestKeptConnectionsTakeNoLock(t *testing.T) {
	w := serving(t, Config{PerAddress: 10, Total: 10}, nil)
	c := w.dial("127.0.0.2")
	check.Equal(t, answered(c, "/"), true, "the first request is answered")
	w.Limiter.mu.Lock()
	defer w.Limiter.mu.Unlock()
	for range 10 {
		check.Equal(t, answered(c, "/"), true, "a request is answered while the limiter is locked")
	}
}

// secured returns the settings of a server and of its clients.
func secured(t *testing.T, protocol string) (server, client *tls.Config) {
	t.Helper()
	a := certs.NewAuthority(t, "Test authority")
	pair := a.Issue(t, certs.Options{})
	made, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	client = a.Client(t)
	client.ServerName, client.NextProtos = "localhost", strings.Fields(protocol)
	return &tls.Config{Certificates: []tls.Certificate{made}, NextProtos: []string{"h2", "http/1.1"}}, client
}

// Handshakes in progress and headers within TLS are counted, over HTTP/1.1 and HTTP/2.
func TestUnfinishedHeadersOverTLS(t *testing.T) {
	const memory = 2 << 20
	preface := "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	record := "\x16\x03\x01\x40\x00\x01\x00\xff\xff" + strings.Repeat("\x00", 16_380)
	for _, tc := range []struct {
		name, protocol, sent string
		handshake            bool
	}{
		{"nothing", "", "", false}, {"a part of a handshake", "", record, false},
		{"a header", "http/1.1", shortLines(15_000), true},
		{"a frame", "h2", preface + "\x00\x40\x00\x01\x00\x00\x00\x00\x01" + strings.Repeat("\x00", 8000), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server, client := secured(t, tc.protocol)
			w := serving(t, Config{HeaderMemory: memory}, server)
			for i := range 200 {
				c := w.dial(fmt.Sprintf("127.0.1.%d", i%100+1))
				if tc.handshake {
					over := tls.Client(c, client)
					if err := over.HandshakeContext(t.Context()); err != nil {
						t.Fatal(err)
					}
					c = over
				}
				send(c, tc.sent)
				if got := w.Waiting(); got > memory {
					t.Fatalf("the memory of unfinished headers: got %d, want at most %d", got, memory)
				}
			}
			w.eventually("connections were closed", func() bool { return w.count(Header) > 50 })
			over := tls.Client(w.dial("127.0.0.2"), client)
			check.Equal(t, over.HandshakeContext(t.Context()), nil, "another client connects")
			if tc.protocol != "h2" {
				check.Equal(t, answered(over, "/"), true, "another client is answered")
			}
		})
	}
}

// The beginning of a header that arrived together with the request before it is counted.
func TestHeaderBehindARequest(t *testing.T) {
	w := serving(t, Config{}, nil)
	c := w.dial("127.0.0.2")
	send(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"+shortLines(3000))
	check.Equal(t, receives(c), true, "the request is answered")
	w.eventually("the beginning is counted", func() bool { return w.Waiting() > 100_000 })
}
