package deliver_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"latchkey/internal/test/check"
	"latchkey/internal/webhook"
)

// A receiver that hangs, or drips its header or its body, ends with the time. If its status was 2xx, that was success.
func TestSlowReceivers(t *testing.T) {
	f := newFixture(t)
	drip := func(w http.ResponseWriter, req *http.Request) {
		w.WriteHeader(http.StatusOK)
		for req.Context().Err() == nil {
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	}
	const timeout = 300 * time.Millisecond
	for name, tc := range map[string]struct {
		url   func(t *testing.T) (string, *receiver)
		state webhook.DeliveryState
	}{
		"hangs":            {receives(hang(t)), webhook.Pending},
		"drips a body":     {receives(drip), webhook.Delivered},
		"drips a header":   {at("http://" + dripHeader(t)), webhook.Pending},
		"never handshakes": {at("https://" + silent(t)), webhook.Pending},
	} {
		t.Run(name, func(t *testing.T) {
			url, r := tc.url(t)
			s := f.sender(t, timeout)
			if r != nil {
				s = f.sender(t, timeout, r)
			}
			began := time.Now()
			o := attempt(t, s, f.webhook(t, url))
			if took := time.Since(began); took < timeout || took > timeout+5*time.Second {
				t.Errorf("the attempt took %s, want %s", took, timeout)
			}
			check.Equal(t, o.State, tc.state, "the state (%s)", o.Attempt.Error)
			if tc.state == webhook.Pending {
				check.Equal(t, o.Attempt.Error, "no complete answer within 15 seconds", "the error")
			} else if !strings.HasPrefix(o.Attempt.ResponseHead, "xx") {
				t.Errorf("the head of the answer: got %q, want what was read", o.Attempt.ResponseHead)
			}
		})
	}
}

// receives starts a receiver and returns its URL.
func receives(answer http.HandlerFunc) func(t *testing.T) (string, *receiver) {
	return func(t *testing.T) (string, *receiver) {
		r := startReceiver(t, answer)
		return r.URL, r
	}
}

func at(url string) func(*testing.T) (string, *receiver) {
	return func(*testing.T) (string, *receiver) { return url, nil }
}

// serve answers each connection with raw bytes.
func serve(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				answer(c)
			}()
		}
	}()
	return l.Addr().String()
}

func dripHeader(t *testing.T) string {
	return serve(t, func(c net.Conn) {
		read(c)
		_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nX: ")
		for ; err == nil; time.Sleep(10 * time.Millisecond) {
			_, err = io.WriteString(c, "x")
		}
	})
}

func silent(t *testing.T) string {
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended) })
	return serve(t, func(net.Conn) { <-ended })
}

// read reads a request as far as it has come.
func read(c net.Conn) { _, _ = c.Read(make([]byte, 64<<10)) }

// Receivers that break the protocol are failures, in one line that says nothing about the server.
func TestBrokenReceivers(t *testing.T) {
	f := newFixture(t)
	// The receivers of tests have the same certificate.
	untrusted, trusted := startReceiver(t, nil), startReceiver(t, nil)
	_, port, _ := net.SplitHostPort(trusted.Listener.Addr().String())
	closed := serve(t, func(net.Conn) {})
	for name, tc := range map[string]struct{ url, want string }{
		"certificate of an unknown authority": {untrusted.URL, "the certificate is not signed by a known authority"},
		"certificate of another name": {"https://localhost:" + port,
			"the certificate is not valid for this host name"},
		"closes at once": {"http://" + closed, "the "},
		"closes after the request": {"http://" + serve(t, read),
			"the connection was closed before the answer"},
		"closes within the header": {"http://" + serve(t, func(c net.Conn) {
			read(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Le")
		}), "the connection failed, or the answer is not valid HTTP"},
		"no HTTP": {"http://" + serve(t, func(c net.Conn) {
			read(c)
			_, _ = io.WriteString(c, "220 mail.example ESMTP\r\n")
		}), "the connection failed, or the answer is not valid HTTP"},
		"no TLS": {"https://" + closed, "the connection was closed before the answer"},
		"plain HTTP at a port for TLS": {"https://" + serve(t, func(c net.Conn) {
			read(c)
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
		}), "the receiver does not speak TLS at this port"},
		"a header without end": {"http://" + serve(t, func(c net.Conn) {
			read(c)
			_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for err == nil {
				_, err = io.WriteString(c, "X: "+strings.Repeat("x", 1000)+"\r\n")
			}
		}), "the connection failed, or the answer is not valid HTTP"},
		"no such host": {"https://no-such-host.invalid/", "the host name "},
		"no listener":  {"http://" + unused(t), "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			s := f.sender(t, 5*time.Second, trusted)
			if tc.url == untrusted.URL {
				s = f.sender(t, 5*time.Second)
			}
			o := attempt(t, s, f.webhook(t, tc.url))
			if !strings.HasPrefix(o.Attempt.Error, tc.want) {
				t.Errorf("the error: got %q, want %q", o.Attempt.Error, tc.want)
			}
			check.Equal(t, o.State, webhook.Pending, "the state")
			check.Equal(t, o.Attempt.Status, 0, "the status")
			if strings.Contains(o.Attempt.Error, "127.0.0") || strings.Contains(o.Attempt.Error, "\n") {
				t.Errorf("the error: got %q, want one line without an address", o.Attempt.Error)
			}
		})
	}
	check.Equal(t, len(untrusted.received()), 0, "requests at the receiver that is not trusted")
}

// unused returns an address without a listener.
func unused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// An answer that ends early counts by its status.
func TestAnswerThatEndsEarly(t *testing.T) {
	f := newFixture(t)
	address := serve(t, func(c net.Conn) {
		read(c)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nstarted")
	})
	o := attempt(t, f.sender(t, 0), f.webhook(t, "http://"+address))
	check.Equal(t, o.State, webhook.Delivered, "the state (%s)", o.Attempt.Error)
	check.Equal(t, o.Attempt.ResponseHead, "started", "the head")
}

// Of an answer the first KiB is kept, as valid text, and little more is read.
func TestLongAnswers(t *testing.T) {
	f := newFixture(t)
	written := make(chan int64, 1)
	r := startReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		n, _ := io.Copy(w, io.LimitReader(endless("日本\x00\xff"), 64<<20))
		written <- n
		_ = req
	})
	o := attempt(t, f.sender(t, 0, r), f.webhook(t, r.URL))
	check.Equal(t, o.State, webhook.Delivered, "the state (%s)", o.Attempt.Error)
	head := o.Attempt.ResponseHead
	if len(head) > webhook.MaxResponseHead || len(head) < webhook.MaxResponseHead-3 || !utf8.ValidString(head) ||
		!strings.HasPrefix(head, "日本\uFFFD") {
		t.Errorf("the head: got %d bytes, %q…, want valid text of %d bytes, up to 3 fewer",
			len(head), head[:12], webhook.MaxResponseHead)
	}
	if n := <-written; n > 16<<20 {
		t.Errorf("the receiver wrote %d bytes of its answer, want few", n)
	}
}

type endless string

// Read implements io.Reader.
func (e endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		n += copy(p[n:], e)
	}
	return n, nil
}
