package cli_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	dbtest "latchkey/internal/test/db"
)

// halfSent returns how many connections send half a header: LATCHKEY_CHAOS_CONNECTIONS, which `make chaos` sets, or as
// many as are opened in some seconds.
func halfSent(t *testing.T) int {
	t.Helper()
	text, set := os.LookupEnv("LATCHKEY_CHAOS_CONNECTIONS")
	if !set {
		return 2000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("LATCHKEY_CHAOS_CONNECTIONS: got %q, want a number of connections", text)
	}
	return n
}

// Connections from one address and from many that send half of a large header and then wait keep the server's memory
// within its limit, and other clients are answered.
func TestHalfSentHeaders(t *testing.T) {
	useWithoutRace(t)
	lines := &strings.Builder{}
	for i := 0; lines.Len() < 19_000; i++ {
		fmt.Fprintf(lines, "x%03x:\n", i)
	}
	for _, tc := range []struct {
		name, header string
		addresses    int
	}{
		{"a long line from one address", "A: " + strings.Repeat("a", 19_000), 1},
		{"short lines from one address", lines.String(), 1},
		{"a long line from many addresses", "A: " + strings.Repeat("a", 19_000), 50},
		{"short lines from many addresses", lines.String(), 50},
		{"a byte from many addresses", "", 50},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := serve(t, environment(t, dbtest.SQLiteURL(t)), "--read-timeout", "1m")
			a := &halfSender{server: s, header: tc.header, addresses: tc.addresses, most: halfSent(t)}
			defer a.close()
			stop := make(chan struct{})
			var asking sync.WaitGroup
			var answered atomic.Int64
			asking.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(10 * time.Millisecond):
					}
					if status, err := a.ask("127.0.0.9"); status != http.StatusNotFound {
						t.Errorf("another client: got %d, %v, want 404", status, err)
						return
					}
					answered.Add(1)
				}
			})
			began := time.Now()
			a.send(t)
			before := answered.Load()
			for deadline := time.Now().Add(30 * time.Second); answered.Load() < before+10 && !t.Failed() &&
				time.Now().Before(deadline); {
				time.Sleep(5 * time.Millisecond)
			}
			close(stop)
			asking.Wait()
			used := s.peakMemory(t)
			t.Logf("the server used up to %d bytes for %d connections in %s, and answered %d requests beside them", used,
				a.most, time.Since(began).Round(time.Millisecond), answered.Load())
			if used > maxMemory || answered.Load() < 10 {
				t.Errorf("got %d bytes and %d answers, want at most %d and at least 10", used, answered.Load(), maxMemory)
			}
		})
	}
}

// halfSender opens connections that send a part of a header.
type halfSender struct {
	*server

	header          string
	addresses, most int
	mu              sync.Mutex
	open            []net.Conn
}

func (a *halfSender) dial(from string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 20 * time.Second}
	return d.Dial("tcp", strings.TrimPrefix(a.public, "http://"))
}

// send opens all connections.
func (a *halfSender) send(t *testing.T) {
	t.Helper()
	const clients = 8
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() {
			for i := client; i < a.most; i += clients {
				c, err := a.dial(fmt.Sprintf("127.0.1.%d", i%a.addresses+1))
				if err != nil {
					continue // refused
				}
				a.mu.Lock()
				a.open = append(a.open, c)
				a.mu.Unlock()
				_ = c.SetWriteDeadline(time.Now().Add(10 * time.Second))
				_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n"+a.header)
			}
		})
	}
	all.Wait()
}

func (a *halfSender) close() {
	for _, c := range a.open {
		_ = c.Close()
	}
}

// ask sends a request on a connection of its own.
func (a *halfSender) ask(from string) (status int, err error) {
	c, err := a.dial(from)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return 0, err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}
