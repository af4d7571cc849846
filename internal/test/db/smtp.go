package dbtest

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// SMTP is a mail server on 127.0.0.1 that keeps the mails it receives (RFC 5321). It refuses recipients whose address
// begins with "refused".
type SMTP struct {
	Host string
	Port int

	mails chan string
}

// StartSMTP starts a server that ends with the test.
func StartSMTP(t testing.TB) *SMTP {
	t.Helper()
	s := &SMTP{mails: make(chan string, 100)}
	s.Host, s.Port = listen(t, s.serveConn)
	return s
}

// StartSilent starts a server that accepts connections and sends nothing.
func StartSilent(t testing.TB) *SMTP {
	t.Helper()
	s := &SMTP{}
	ended := make(chan struct{})
	s.Host, s.Port = listen(t, func(net.Conn) { <-ended })
	t.Cleanup(func() { close(ended) })
	return s
}

func listen(t testing.TB, serveConn func(net.Conn)) (host string, port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serveConn(c)
			}()
		}
	}()
	at := l.Addr().(*net.TCPAddr)
	return at.IP.String(), at.Port
}

// Next waits for the next mail, and returns its header and body.
func (s *SMTP) Next(t testing.TB) string {
	t.Helper()
	select {
	case m := <-s.mails:
		return m
	case <-time.After(10 * time.Second):
		t.Fatal("dbtest: got no mail within 10s, want one")
		return ""
	}
}

// None fails the test if a mail arrives.
func (s *SMTP) None(t testing.TB) {
	t.Helper()
	select {
	case m := <-s.mails:
		t.Fatalf("dbtest: an unexpected mail arrived:\n%s", m)
	case <-time.After(300 * time.Millisecond):
	}
}

// serveConn serves one connection.
func (s *SMTP) serveConn(c net.Conn) {
	lines := bufio.NewScanner(c)
	say := func(text string) { fmt.Fprintf(c, "%s\r\n", text) }
	say("220 test")
	for lines.Scan() {
		verb, rest, _ := strings.Cut(lines.Text(), " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			say("250-test")
			say("250 AUTH PLAIN")
		case "AUTH":
			say("235 welcome")
		case "RCPT":
			if strings.Contains(rest, "<refused") {
				say("550 no such mailbox")
				continue
			}
			say("250 OK")
		case "DATA":
			say("354 start mail input")
			s.mails <- readMail(lines)
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 OK")
		}
	}
}

func readMail(lines *bufio.Scanner) string {
	var text strings.Builder
	for lines.Scan() && lines.Text() != "." {
		text.WriteString(strings.TrimPrefix(lines.Text(), ".") + "\r\n")
	}
	return text.String()
}
