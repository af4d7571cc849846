package httpserver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"latchkey/internal/httpserver"
	"latchkey/internal/test/check"
)

// During the delay of a stop the server is not ready but serves all requests,
// also on new connections. Each connection serves one request.
func TestServesWhileItStops(t *testing.T) {
	server := start(t, whoami, func(c *httpserver.Config) { c.Delay = 2 * time.Second })
	if got := server.api(t, "X-Auth-Token: "+goodToken); got.Close {
		t.Error("before the stop: got a closed connection, want it kept open")
	}
	began := time.Now()
	server.stop()
	eventually(t, "not ready", func() bool { return server.do(t, "GET", server.admin+"/readyz", "").StatusCode == 503 })
	for _, client := range []*http.Client{server.client, {Transport: &http.Transport{}}} {
		for range 2 {
			server.client = client
			if got := server.api(t, "X-Auth-Token: "+goodToken); got.StatusCode != 200 || !got.Close {
				t.Errorf("during the delay: got %d, closed %t, want 200, closed true", got.StatusCode, got.Close)
			}
		}
	}
	if err := <-server.ended; err != nil || time.Since(began) < 2*time.Second {
		t.Errorf("the server ended after %s with %v, want at least 2s and no error", time.Since(began), err)
	}
}

// Every connection that is established before the listener closes gets a
// response and none is reset, with clients that connect all the time.
func TestConnectionsBeforeTheCloseAreAnswered(t *testing.T) {
	const clients = 30
	for round := range 3 {
		server := start(t, whoami, func(c *httpserver.Config) { c.Delay = 20 * time.Millisecond })
		address := strings.TrimPrefix(server.public, "http://")
		var asking sync.WaitGroup
		for range clients {
			asking.Go(func() {
				for {
					refused, err := askOnce(address)
					if err != nil {
						t.Errorf("round %d: an established connection got no response: %v", round, err)
					}
					if refused || err != nil {
						return
					}
				}
			})
		}
		server.stop()
		asking.Wait()
		if strings.Contains(server.log.String(), "cannot be held off") {
			t.Errorf("the log: got %s, want new connections held off", server.log.String())
		}
		if err := <-server.ended; err != nil {
			t.Errorf("it ended with %v", err)
		}
	}
}

// askOnce sends a request on a new connection and reports whether the
// connection was refused. It returns an error if an established connection
// failed.
func askOnce(address string) (refused bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, context.DeadlineExceeded) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return false, err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return false, err
	}
	return false, answer.Body.Close()
}

// The connection of a request with both Content-Length and Transfer-Encoding is
// closed after the response, so that the rest of the body is not read as
// another request.
func TestChunkedRequestEndsItsConnection(t *testing.T) {
	server := start(t, whoami, nil)
	for _, tc := range []struct {
		name, version, headers, body string
		closed                       bool
	}{
		{"both", "1.1", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "2\r\n{}\r\n0\r\n\r\n", true},
		{"length alone", "1.1", "Content-Length: 2\r\n", "{}", false},
		{"both, in HTTP/1.0", "1.0",
			"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n", "{}", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(server.public, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			request := "POST " + apiPath + " HTTP/" + tc.version + "\r\nHost: localhost\r\nX-Auth-Token: " + goodToken +
				"\r\n" + tc.headers + "\r\n" + tc.body
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if answer.StatusCode != 200 || answer.Close != tc.closed {
				t.Errorf("got %d, closed %t, want 200, closed %t", answer.StatusCode, answer.Close, tc.closed)
			}
		})
	}
}

func TestUntrustedForwardingIsToldOnce(t *testing.T) {
	server := start(t, whoami, nil)
	server.api(t, "X-Auth-Token: "+goodToken)
	if strings.Contains(server.log.String(), "X-Forwarded-For") {
		t.Errorf("the log: got %s, want no warning before a header that is not trusted", server.log.String())
	}
	for range 3 {
		server.api(t, "X-Auth-Token: "+goodToken, "X-Forwarded-For: 192.0.2.1")
	}
	check.Equal(t, strings.Count(server.log.String(), "X-Forwarded-For is ignored"), 1, "warnings")
}
