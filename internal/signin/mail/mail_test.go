package mail_test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"latchkey/internal/audit"
	"latchkey/internal/signin"
	"latchkey/internal/signin/mail"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/user"
)

var (
	nora  = user.User{Email: "nora@acme.example", FirstName: "Nora"}
	until = time.Date(2026, 12, 1, 8, 30, 0, 0, time.UTC)
)

func TestMails(t *testing.T) {
	for _, tc := range []struct {
		name string
		send func(*mail.Sender) error
		want []string
	}{
		{"invitation", func(s *mail.Sender) error {
			return s.Invited(t.Context(), nora, "Acme Retail", "https://keys.example/link/abc", until)
		}, []string{"Subject: Acme Retail invites you to Latchkey", "Hello,", "https://keys.example/link/abc",
			"until 1 December 2026, 08:30 UTC"}},
		{"forgotten password", func(s *mail.Sender) error {
			return s.Forgot(t.Context(), nora, "https://keys.example/link/abc", until)
		}, []string{"Subject: Choose another password for Latchkey", "password for nora@acme.example",
			"https://keys.example/link/abc"}},
		{"failing webhook", func(s *mail.Sender) error {
			return s.WebhookFailing(t.Context(), nora, until, "https://keys.example/webhooks/7")
		}, []string{"Subject: A webhook of your account fails", "1 December 2026, 08:30 UTC. After five days",
			"https://keys.example/webhooks/7", "nora@acme.example"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := dbtest.StartSMTP(t)
			if err := tc.send(mail.New(mail.Config{Host: server.Host, Port: server.Port,
				From: "Latchkey <keys@acme.example>", User: "u", Password: "p"})); err != nil {
				t.Fatal(err)
			}
			got := server.Next(t)
			for _, text := range append(tc.want, "From: \"Latchkey\" <keys@acme.example>", "To: <nora@acme.example>",
				"Auto-Submitted: auto-generated") {
				if !strings.Contains(got, text) {
					t.Errorf("the mail: want it to contain %q, got\n%s", text, got)
				}
			}
			if strings.Contains(got, "{") {
				t.Errorf("the mail: want every placeholder filled in, got\n%s", got)
			}
		})
	}
}

// Mail goes to the composed address at the domain in the form that is looked up (user.Mailbox).
func TestMailGoesToTheMailbox(t *testing.T) {
	server := dbtest.StartSMTP(t)
	to := nora
	to.Email = "nora@\u24d0cme.example"
	sender := mail.New(mail.Config{Host: server.Host, Port: server.Port, From: "keys@acme.example"})
	if err := sender.Forgot(t.Context(), to, "https://keys.example/link/abc", until); err != nil {
		t.Fatal(err)
	}
	if got := server.Next(t); !strings.Contains(got, "To: <nora@acme.example>") {
		t.Errorf("the mail: want it to nora@acme.example, got\n%s", got)
	}
}

// Every notice has a text of its own, with the address, the time, where it came
// from and what to do, and no other input.
func TestNotices(t *testing.T) {
	server := dbtest.StartSMTP(t)
	s := mail.New(mail.Config{Host: server.Host, Port: server.Port, From: "keys@acme.example"})
	subjects := map[string]audit.Action{}
	for i, what := range signin.NoticeActions() {
		n := signin.Notice{Action: what, At: until, IP: netip.MustParseAddr("192.0.2.1"),
			Address: "https://keys.example/profile/security"}
		want := "192.0.2.1"
		if i == 0 {
			n.IP, want = netip.Addr{}, "the operator of the server"
		}
		if err := s.Notify(t.Context(), nora, n); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		got := server.Next(t)
		head, _, _ := strings.Cut(got, "\r\n\r\n")
		for _, text := range []string{"To: <nora@acme.example>", "IP address: " + want,
			"Time: 1 December 2026, 08:30 UTC", "User: nora@acme.example", n.Address, "Latchkey", "If it was not"} {
			if !strings.Contains(got, text) {
				t.Errorf("%s: want it to contain %q, got\n%s", what, text, got)
			}
		}
		if strings.ContainsAny(got, "{}") || strings.Contains(got, nora.FirstName) {
			t.Errorf("%s: want no placeholder and no typed name, got\n%s", what, got)
		}
		_, subject, _ := strings.Cut(head, "Subject: ")
		subject, _, _ = strings.Cut(subject, "\r\n")
		if other, twice := subjects[subject]; twice || subject == "" {
			t.Errorf("%s: got the subject %q, want one of its own, not that of %q", what, subject, other)
		}
		subjects[subject] = what
	}
}

// A name with a line's end cannot add a header.
func TestNoHeaderIsAdded(t *testing.T) {
	server := dbtest.StartSMTP(t)
	s := mail.New(mail.Config{Host: server.Host, Port: server.Port, From: "keys@acme.example"})
	if err := s.Invited(t.Context(), nora, "Acme\r\nBcc: evil@example.com", "https://keys.example/link/abc",
		until); err != nil {
		return // refused is as well
	}
	if got, _, _ := strings.Cut(server.Next(t), "\r\n\r\n"); strings.Contains(got, "\r\nBcc:") {
		t.Errorf("the mail's head: want no Bcc, got\n%s", got)
	}
}

// A server that says nothing, or is not there, is given up.
func TestNoServer(t *testing.T) {
	silent := dbtest.StartSilent(t)
	s := mail.New(mail.Config{Host: silent.Host, Port: silent.Port, From: "keys@acme.example"})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := s.Forgot(ctx, nora, "https://keys.example/link/abc", until); err == nil ||
		time.Since(began) > 5*time.Second {
		t.Errorf("a silent server: got error %v after %s, want an error within 5 seconds", err, time.Since(began))
	}
}

// Without TLS nothing is said to a server elsewhere, for which an address stands here that leads to this machine and is
// not one of its own.
func TestTLSIsRequired(t *testing.T) {
	server := dbtest.StartSMTP(t)
	for host, plain := range map[string]bool{server.Host: true, "localhost": true, "0.0.0.0": false} {
		s := mail.New(mail.Config{Host: host, Port: server.Port, From: "keys@acme.example"})
		err := s.Forgot(t.Context(), nora, "https://keys.example/link/abc", until)
		if (err == nil) != plain || err != nil && !strings.Contains(err.Error(), "STARTTLS") {
			t.Errorf("%s: got error %v, want plain text allowed: %t, else an error about STARTTLS", host, err, plain)
		}
	}
}

// With TLS from the first byte on, that is a handshake (RFC 8446, section 5.1), on this machine as well.
func TestTLSFromTheFirstByte(t *testing.T) {
	here, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	first := make(chan byte, 1)
	go func() {
		defer close(first)
		c, err := here.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		said := make([]byte, 1)
		if _, err := io.ReadFull(c, said); err == nil {
			first <- said[0]
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	at := here.Addr().(*net.TCPAddr) //nolint:forcetypeassert // of TCP
	s := mail.New(mail.Config{Host: "127.0.0.1", Port: at.Port, TLS: true, From: "keys@acme.example"})
	if err := s.Forgot(ctx, nora, "https://keys.example/link/abc", until); err == nil {
		t.Error("a server that says nothing: got no error, want one")
	}
	const handshake = 22
	check.Equal(t, <-first, handshake, "the first byte")
}
