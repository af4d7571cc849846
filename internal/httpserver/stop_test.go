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
)

// While the server waits for load balancers to notice that it stops, it is not
// ready and serves all the same, new connections too, each for one request.
func TestServesWhileItStops(t *testing.T) {
	server := start(t, whoami, func(c *httpserver.Config) { c.Delay = 2 * time.Second })
	if got := server.api(t, "X-Auth-Token: "+goodToken); got.Close {
		t.Error("the connection is closed before the stop")
	}
	began := time.Now()
	server.stop()
	eventually(t, "not ready", func() bool { return server.do(t, "GET", server.admin+"/readyz", "").StatusCode == 503 })
	for _, client := range []*http.Client{server.client, {Transport: &http.Transport{}}} {
		for range 2 {
			server.client = client
			if got := server.api(t, "X-Auth-Token: "+goodToken); got.StatusCode != 200 || !got.Close {
				t.Errorf("answered %d, closed: %v", got.StatusCode, got.Close)
			}
		}
	}
	if err := <-server.ended; err != nil || time.Since(began) < 2*time.Second {
		t.Errorf("it ended after %s with %v", time.Since(began), err)
	}
}

// Every connection that is made before the listener closes is answered, and
// none is reset, with clients that connect all the time.
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
						t.Errorf("round %d: a connection was made and not answered: %v", round, err)
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
			t.Error("new connections are not held off")
		}
		if err := <-server.ended; err != nil {
			t.Errorf("it ended with %v", err)
		}
	}
}

// askOnce asks over a connection of its own and reports whether that was
// refused. An error is one of a connection that was made.
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

// A request with a Content-Length beside Transfer-Encoding is answered, and its
// connection closed, so that the rest of it is not read as another request.
func TestChunkedRequestEndsItsConnection(t *testing.T) {
	server := start(t, whoami, nil)
	for _, tc := range []struct {
		name, headers, body string
		closed              bool
	}{
		{"both", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "2\r\n{}\r\n0\r\n\r\n", true},
		{"length alone", "Content-Length: 2\r\n", "{}", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(server.public, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			request := "POST " + apiPath + " HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: " + goodToken + "\r\n" + tc.headers + "\r\n" + tc.body
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if answer.StatusCode != 200 || answer.Close != tc.closed {
				t.Errorf("answered %d, closed: %v", answer.StatusCode, answer.Close)
			}
		})
	}
}

func TestUntrustedForwardingIsToldOnce(t *testing.T) {
	server := start(t, whoami, nil)
	server.api(t, "X-Auth-Token: "+goodToken)
	if strings.Contains(server.log.String(), "X-Forwarded-For") {
		t.Error("it is told without a cause")
	}
	for range 3 {
		server.api(t, "X-Auth-Token: "+goodToken, "X-Forwarded-For: 192.0.2.1")
	}
	if n := strings.Count(server.log.String(), "X-Forwarded-For is ignored"); n != 1 {
		t.Errorf("it is told %d times", n)
	}
}
