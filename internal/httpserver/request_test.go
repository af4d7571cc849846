package httpserver_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"latchkey/internal/httpserver"
	"latchkey/internal/test/check"
)

func TestCredentials(t *testing.T) {
	server := start(t, whoami, nil)
	const plain, invalid = `Bearer realm="latchkey"`, `Bearer realm="latchkey", error="invalid_token"`
	for _, tc := range []struct {
		name      string
		headers   []string
		status    int
		challenge string
	}{
		{"none", nil, 401, plain},
		{"the API's own header", []string{"X-Auth-Token: " + goodToken}, 200, ""},
		{"bearer", []string{"Authorization: Bearer " + goodToken}, 200, ""},
		{"scheme in another case", []string{"Authorization: bEARER " + goodToken}, 200, ""},
		{"both alike", []string{"X-Auth-Token: " + goodToken, "Authorization: Bearer " + goodToken}, 200, ""},
		{"both, different", []string{"X-Auth-Token: " + goodToken, "Authorization: Bearer lka_other"}, 400, ""},
		{"two different of one kind", []string{"X-Auth-Token: " + goodToken, "X-Auth-Token: lka_other"}, 400, ""},
		{"two different bearers", []string{"Authorization: Bearer " + goodToken, "Authorization: Bearer lka_other"},
			400, ""},
		{"unknown", []string{"X-Auth-Token: lka_other"}, 401, invalid},
		{"bearer without a token", []string{"Authorization: Bearer"}, 401, invalid},
		{"bearer and a tab", []string{"Authorization: Bearer\t" + goodToken}, 401, invalid},
		{"bearer and a tab, beside a token in its header",
			[]string{"X-Auth-Token: " + goodToken, "Authorization: Bearer\tlka_other"}, 401, invalid},
		{"bearer and a slash", []string{"Authorization: Bearer/" + goodToken}, 401, invalid},
		{"malformed bearer token", []string{"Authorization: Bearer a b"}, 401, invalid},
		{"token without a scheme", []string{"Authorization: " + goodToken}, 401, plain},
		{"another scheme", []string{"Authorization: Basic YTpi"}, 401, plain},
		{"another scheme for a proxy on the way", []string{"Authorization: Basic YTpi", "X-Auth-Token: " + goodToken},
			200, ""},
		{"empty", []string{"X-Auth-Token: "}, 401, plain},
		{"verifier fails", []string{"X-Auth-Token: lka_broken"}, 500, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := server.api(t, tc.headers...)
			if got.StatusCode != tc.status || got.Header.Get("WWW-Authenticate") != tc.challenge {
				t.Errorf("got %d, %q, %s, want %d, %q", got.StatusCode, got.Header.Get("WWW-Authenticate"), got.text,
					tc.status, tc.challenge)
			}
			if tc.status != 200 && !strings.Contains(got.text, `"errors"`) {
				t.Errorf("body: got %s, want errors", got.text)
			}
		})
	}
}

func TestRefusedBeforeTheBodyIsRead(t *testing.T) {
	server := start(t, whoami, nil)
	body, writer := io.Pipe() // never sends a byte
	defer writer.Close()
	req, err := http.NewRequest("POST", server.public+apiPath, body)
	if err != nil {
		t.Fatal(err)
	}
	// net/http drains small bodies to keep the connection.
	req.ContentLength = 1 << 20
	res, err := server.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	check.Equal(t, res.StatusCode, 401, "status")
}

func TestClientAddress(t *testing.T) {
	for _, tc := range []struct {
		name      string
		trusted   []string
		forwarded []string
		want      string
	}{
		{"no proxy is trusted", nil, []string{"198.51.100.7"}, "127.0.0.1"},
		{"the peer is not trusted", []string{"10.0.0.0/8"}, []string{"198.51.100.7"}, "127.0.0.1"},
		{"trusted peer without a word", []string{"127.0.0.0/8"}, nil, "127.0.0.1"},
		{"trusted peer", []string{"127.0.0.0/8"}, []string{"198.51.100.7"}, "198.51.100.7"},
		{"client's own claim before it", []string{"127.0.0.0/8"}, []string{"10.9.9.9, 198.51.100.7"}, "198.51.100.7"},
		{"claim to be a trusted proxy", []string{"127.0.0.0/8", "10.0.0.0/8"}, []string{"10.9.9.9, 198.51.100.7"},
			"198.51.100.7"},
		{"two proxies", []string{"127.0.0.0/8", "10.0.0.0/8"}, []string{"6.6.6.6, 198.51.100.7, 10.1.1.1"},
			"198.51.100.7"},
		{"in two lines", []string{"127.0.0.0/8", "10.0.0.0/8"}, []string{"6.6.6.6, 198.51.100.7", "10.1.1.1"},
			"198.51.100.7"},
		{"trusted all the way", []string{"127.0.0.0/8", "10.0.0.0/8"}, []string{"10.2.2.2, 10.1.1.1"}, "10.2.2.2"},
		{"with a port", []string{"127.0.0.0/8"}, []string{"198.51.100.7:4711"}, "198.51.100.7"},
		{"IPv6", []string{"127.0.0.0/8"}, []string{"2001:db8::7"}, "2001:db8::7"},
		{"IPv6 with a port", []string{"127.0.0.0/8"}, []string{"[2001:db8::7]:4711"}, "2001:db8::7"},
		{"IPv6 in brackets", []string{"127.0.0.0/8"}, []string{"[2001:db8::7]"}, "2001:db8::7"},
		{"IPv4 in IPv6", []string{"127.0.0.0/8"}, []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
		{"no address", []string{"127.0.0.0/8"}, []string{"198.51.100.7, unknown"}, "unknown"},
		{"nonsense left of the client", []string{"127.0.0.0/8"}, []string{"<script>, 198.51.100.7"}, "198.51.100.7"},
		{"empty entry", []string{"127.0.0.0/8"}, []string{"198.51.100.7, "}, "unknown"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := start(t, whoami, func(c *httpserver.Config) { c.TrustedProxies = prefixes(tc.trusted...) })
			headers := []string{"X-Auth-Token: " + goodToken}
			for _, line := range tc.forwarded {
				headers = append(headers, "X-Forwarded-For: "+line)
			}
			got, _, _ := strings.Cut(server.api(t, headers...).text, " ")
			check.Equal(t, got, tc.want, "client address")
		})
	}
}

func TestRequestID(t *testing.T) {
	for _, tc := range []struct {
		name, given string
		trusted     []string
		taken       bool
	}{
		{"from a stranger", "abcdefgh-1", nil, false},
		{"from a trusted proxy", "abcdefgh-1", []string{"127.0.0.1/32"}, true},
		{"too short", "abc", []string{"127.0.0.1/32"}, false},
		{"too long", strings.Repeat("a", 65), []string{"127.0.0.1/32"}, false},
		{"like a credential", "lka_" + strings.Repeat("a", 49), []string{"127.0.0.1/32"}, false},
		{"unfit for a log", "abcdefgh\" evil=\"1", []string{"127.0.0.1/32"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := start(t, whoami, func(c *httpserver.Config) { c.TrustedProxies = prefixes(tc.trusted...) })
			got := server.api(t, "X-Auth-Token: "+goodToken, "X-Request-Id: "+tc.given)
			id := got.Header.Get("X-Request-Id")
			if (id == tc.given) != tc.taken || len(id) < 8 {
				t.Errorf("X-Request-Id: got %q for %q, want the same: %t, of at least 8 letters", id, tc.given,
					tc.taken)
			}
			if _, seen, _ := strings.Cut(got.text, " "); seen != id {
				t.Errorf("request ID: handlers see %q, want %q as the client", seen, id)
			}
		})
	}
}

func TestSecurityHeaders(t *testing.T) {
	for _, https := range []bool{false, true} {
		t.Run(fmt.Sprintf("https %v", https), func(t *testing.T) {
			server := start(t, whoami, func(c *httpserver.Config) { c.HTTPS = https })
			for _, path := range []string{apiPath, "/nowhere"} {
				got := server.do(t, "GET", server.public+path, "", "X-Auth-Token: "+goodToken).Header
				checkSecurityHeaders(t, got, https)
				if got.Get("X-Content-Type-Options") != "nosniff" || got.Get("X-Request-Id") == "" {
					t.Errorf("%s: got %v, want X-Content-Type-Options nosniff and an X-Request-Id", path, got)
				}
			}
			// A refusal has only the headers that its client needs.
			got := server.do(t, "GET", server.public+apiPath, "").Header
			checkSecurityHeaders(t, got, https)
			if got.Get("Www-Authenticate") == "" || got.Get("X-Content-Type-Options") != "" ||
				got.Get("X-Request-Id") != "" {
				t.Errorf("headers of a refusal: got %v, want a challenge, and neither X-Content-Type-Options nor X-Request-Id",
					got)
			}
		})
	}
}

func checkSecurityHeaders(t *testing.T, got http.Header, https bool) {
	t.Helper()
	check.Equal(t, got.Get("Cache-Control"), "no-store", "Cache-Control")
	if (got.Get("Strict-Transport-Security") != "") != https {
		t.Errorf("Strict-Transport-Security: got %q, want it set: %t", got.Get("Strict-Transport-Security"), https)
	}
}

func TestProblems(t *testing.T) {
	server := start(t, whoami, nil)
	for _, tc := range []struct {
		name, method, path, code string
		status                   int
	}{
		{"unknown address", "GET", "/nowhere", "NOT_FOUND", 404},
		{"the API without an account", "POST", "/graphql", "NOT_FOUND", 404},
		{"more behind the API", "POST", apiPath + "/more", "NOT_FOUND", 404},
		{"unknown method", "DELETE", apiPath, "INVALID", 405},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := server.do(t, tc.method, server.public+tc.path, "", "X-Auth-Token: "+goodToken)
			if got.StatusCode != tc.status ||
				!strings.Contains(got.text, `"code":"`+tc.code+`","requestId":"`+got.Header.Get("X-Request-Id")) {
				t.Errorf("got %d, %s, want %d, the code %s and the request ID", got.StatusCode, got.text, tc.status,
					tc.code)
			}
			check.Equal(t, got.Header.Get("Content-Type"), "application/json; charset=utf-8", "content type")
			if tc.status == 405 && got.Header.Get("Allow") != "GET, POST" {
				t.Errorf("Allow: got %q, want \"GET, POST\"", got.Header.Get("Allow"))
			}
		})
	}
}

func TestBodyLimit(t *testing.T) {
	read := func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
	}
	server := start(t, read, nil)
	for _, tc := range []struct {
		name   string
		body   io.Reader
		status int
	}{
		{"at the limit", strings.NewReader(strings.Repeat("x", 1000)), 200},
		{"above it", strings.NewReader(strings.Repeat("x", 1001)), 413},
		{"above it, length unknown", io.LimitReader(neverending('x'), 1001), 413},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req, err := http.NewRequest("POST", server.public+apiPath, tc.body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Auth-Token", goodToken)
			res, err := server.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			check.Equal(t, res.StatusCode, tc.status, "status")
		})
	}
}

type neverending byte

func (n neverending) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(n)
	}
	return len(p), nil
}

func TestHeaderLimit(t *testing.T) {
	server := start(t, whoami, nil)
	if got := server.api(t, "X-Auth-Token: "+goodToken, "X-Long: "+strings.Repeat("x", 16<<10)); got.StatusCode != 431 {
		t.Errorf("a header of 16 KiB: got %d, want 431", got.StatusCode)
	}
}

func TestRequestTimeout(t *testing.T) {
	waits := func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	server := start(t, waits, func(c *httpserver.Config) { c.Limits.RequestTimeout = 20 * time.Millisecond })
	if got := server.api(t, "X-Auth-Token: "+goodToken); got.StatusCode != 503 {
		t.Errorf("a request over its time: got %d, want 503", got.StatusCode)
	}
}

// Reading a body that does not arrive ends at the read timeout, with an error
// that differs from that of a client that disconnected.
func TestReadTimeout(t *testing.T) {
	failed := make(chan error, 1)
	reads := func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		failed <- err
		w.WriteHeader(http.StatusRequestTimeout)
	}
	server := start(t, reads, func(c *httpserver.Config) { c.Limits.ReadTimeout = 50 * time.Millisecond })
	connection, err := net.Dial("tcp", strings.TrimPrefix(server.public, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	fmt.Fprintf(connection, "POST %s HTTP/1.1\r\nHost: x\r\nX-Auth-Token: %s\r\nContent-Length: 10\r\n\r\n{", apiPath,
		goodToken)
	if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("reading the body: got %v, want %v", err, os.ErrDeadlineExceeded)
	}
	answer, err := io.ReadAll(connection)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") {
		t.Errorf("response: got %s, %v, want status 408", answer, err)
	}
}

// The log lines of a stop are readable, including durations.
func TestStopIsLogged(t *testing.T) {
	server := start(t, whoami, nil)
	server.stop()
	if err := <-server.ended; err != nil {
		t.Fatal(err)
	}
	if log := server.log.String(); !strings.Contains(log, `"msg":"stopping","delay":"0s","grace":"5s"`) {
		t.Errorf("the log: got %s, want the delay and the grace period of the stop", log)
	}
}

func TestPanics(t *testing.T) {
	for _, tc := range []struct {
		name  string
		api   http.HandlerFunc
		whole bool
	}{
		{"before the answer", func(http.ResponseWriter, *http.Request) { panic("pass-word") }, true},
		{"of the runtime", func(_ http.ResponseWriter, r *http.Request) { _ = r.Header["None"][len(r.Header)] }, true},
		{"amid the answer", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("x", 100_000))
			panic("pass-word")
		}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := start(t, tc.api, nil)
			req, err := http.NewRequest("GET", server.public+apiPath, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Auth-Token", goodToken)
			res, err := server.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			if tc.whole && (err != nil || res.StatusCode != 500 || !strings.Contains(string(text), `"INTERNAL"`)) {
				t.Errorf("got %d, %s, %v, want 500 INTERNAL", res.StatusCode, text, err)
			}
			if !tc.whole && err == nil {
				t.Errorf("a truncated response: got %s without an error, want an error", text)
			}
			log := server.log.String()
			if !strings.Contains(log, "handler panicked") || !strings.Contains(log, "goroutine") {
				t.Errorf("the log: got %s, want the panic and its stack", log)
			}
			if strings.Contains(log+string(text), "pass-word") {
				t.Errorf("the log and the response: got %s%s, want neither with the value of the panic", log, text)
			}
		})
	}
}
