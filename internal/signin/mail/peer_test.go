package mail_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"latchkey/internal/signin/mail"
)

// serves starts a server on this machine that talks so, and returns a sender to
// it.
func serves(t *testing.T, withTLS bool, talk func(net.Conn)) *mail.Sender {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
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
				talk(c)
			}()
		}
	}()
	at := l.Addr().(*net.TCPAddr) //nolint:forcetypeassert // of TCP
	return mail.New(mail.Config{Host: "127.0.0.1", Port: at.Port, TLS: withTLS, From: "keys@acme.example"})
}

// A server that never stops talking is given up after a bounded part of it.
func TestRepliesAreBounded(t *testing.T) {
	for name, talk := range map[string]func(net.Conn){
		"a line without end": func(c net.Conn) {
			_, _ = c.Write([]byte("220 "))
			for _, err := c.Write(make([]byte, 1<<20)); err == nil; _, err = c.Write(make([]byte, 1<<20)) {
			}
		},
		"lines without end": func(c net.Conn) {
			line := []byte(strings.Repeat("220-more\r\n", 1000))
			for _, err := c.Write(line); err == nil; _, err = c.Write(line) {
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serves(t, false, talk)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := s.Forgot(t.Context(), nora, "https://keys.example/link/abc", until)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), "more than 65536 bytes") {
				t.Errorf("an endless reply: got error %v, want one about more than 65536 bytes", err)
			}
			if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 64 {
				t.Errorf("reading it took %d MiB, want 64 at most", took)
			}
		})
	}
}

// The time for a mail is for all of it: a server that answers each command just
// in time is given up as well.
func TestTimeIsForAllOfAMail(t *testing.T) {
	for name, talk := range map[string]func(net.Conn){
		"a greeting without end": func(c net.Conn) {
			for _, err := c.Write([]byte("220-still\r\n")); err == nil; _, err = c.Write([]byte("220-here\r\n")) {
				time.Sleep(20 * time.Millisecond)
			}
		},
		"a reply to each command": func(c net.Conn) { takesMail(slow{c}, nil) },
	} {
		s := serves(t, false, talk)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		began := time.Now()
		if err := s.Forgot(ctx, nora, "https://keys.example/link/abc", until); err == nil ||
			time.Since(began) > 5*time.Second {
			t.Errorf("%s: got error %v after %s, want an error within 5 seconds", name, err, time.Since(began))
		}
		cancel()
	}
}

// slow is a connection whose replies come late, though each of them in the time
// that there is for the mail.
type slow struct{ net.Conn }

// Write implements net.Conn.
func (c slow) Write(p []byte) (int, error) {
	time.Sleep(45 * time.Millisecond)
	return c.Conn.Write(p)
}

// The certificate of a server on this machine may be self-signed, with STARTTLS
// and with TLS from the first byte on. That of another server may not.
func TestSelfSigned(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	card := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"mail.example"}}
	der, err := x509.CreateCertificate(rand.Reader, card, card, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion: tls.VersionTLS12}
	taken := make(chan bool, 10)
	talk := func(c net.Conn) { taken <- takesMail(c, config) }
	overTLS := func(c net.Conn) { taken <- takesMail(tls.Server(c, config), nil) }
	for name, s := range map[string]*mail.Sender{"STARTTLS": serves(t, false, talk), "TLS": serves(t, true, overTLS)} {
		if err := s.Forgot(t.Context(), nora, "https://keys.example/link/abc", until); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !<-taken {
			t.Errorf("%s: the mail came without TLS, want it with TLS", name)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		if c, err := l.Accept(); err == nil {
			defer c.Close()
			takesMail(c, config)
		}
	}()
	// 0.0.0.0 leads to this machine, and is none of its own addresses.
	elsewhere := mail.New(mail.Config{Host: "0.0.0.0", Port: l.Addr().(*net.TCPAddr).Port, From: "keys@acme.example"}) //nolint:forcetypeassert // of TCP
	if err := elsewhere.Forgot(t.Context(), nora, "https://keys.example/link/abc", until); err == nil ||
		!strings.Contains(err.Error(), "certificate") {
		t.Errorf("another host: got error %v, want one about its certificate", err)
	}
}

// takesMail takes a mail, and reports whether it came over TLS. It offers
// STARTTLS where there is a configuration for it.
func takesMail(c net.Conn, offered *tls.Config) (secured bool) {
	_, secured = c.(*tls.Conn)
	lines := bufio.NewScanner(c)
	say := func(text string) { fmt.Fprintf(c, "%s\r\n", text) }
	say("220 test")
	for lines.Scan() {
		switch verb, _, _ := strings.Cut(strings.ToUpper(lines.Text()), " "); verb {
		case "EHLO":
			if offered != nil && !secured {
				say("250-test")
				say("250 STARTTLS")
				continue
			}
			say("250 test")
		case "STARTTLS":
			say("220 go on")
			c, secured = tls.Server(c, offered), true
			lines = bufio.NewScanner(c)
		case "DATA":
			say("354 go on")
			for lines.Scan() && lines.Text() != "." {
			}
			say("250 taken")
		case "QUIT":
			say("221 good bye")
			return secured
		default:
			say("250 so be it")
		}
	}
	return secured
}
