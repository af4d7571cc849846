package panel_test

import (
	"bufio"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

func TestProfile(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		v, other := s.signedIn(s.OwnerEmail), s.signedIn(s.OwnerEmail)
		page := v.open("/profile").wants(http.StatusOK, s.OwnerEmail)
		page = v.submit(page, "Save", "firstName", "", "locale", "?").wants(http.StatusUnprocessableEntity,
			"Enter the first name: one line of at most 100 characters").
			wants(http.StatusUnprocessableEntity, "Write a language tag")
		v.submit(page, "Save", "firstName", "Ada", "locale", "de").goes("/profile").notes("profile_saved", 1)
		page = v.open("/profile")
		for _, f := range page.forms() {
			if slices.Contains(f.buttons, "Save") {
				check.Equal(t, f.values.Get("firstName"), "Ada", "first name")
			}
		}
		page = v.open("/profile/security").wants(http.StatusOK, s.OwnerEmail)
		v.submit(page, "Change password", "present", "wrong", "password", "another phrase", "passwordConfirmation",
			"another phrase").
			wants(http.StatusUnprocessableEntity, "This is not your password.")
		v.submit(page, "Change password", "present", s.Password, "password", "tiny", "passwordConfirmation", "tiny").
			wants(http.StatusUnprocessableEntity, "Use 8 to 256 characters.").lacks("tiny")
		v.submit(page, "Change password", "present", s.Password, "password", "another phrase", "passwordConfirmation",
			"another phrase").
			goes("/profile/security").notes("password_changed", 1)
		v.open("/profile").wants(http.StatusOK, s.OwnerEmail)
		other.get("/profile").goes("/signin?next=%2Fprofile")
		s.visitor().post("/signin", "email", s.OwnerEmail, "password", s.Password).wants(http.StatusUnprocessableEntity,
			"wrong")
		s.visitor().post("/signin", "email", s.OwnerEmail, "password",
			"another phrase").goes("/accounts/" + s.Account + "/")
	})
}

func TestSessionsOfOneself(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		v, second, third := s.signedIn(s.OwnerEmail), s.signedIn(s.OwnerEmail), s.signedIn(s.OwnerEmail)
		page := v.open("/profile").wants(http.StatusOK, "Current session").wants(http.StatusOK,
			"Started by the operator").wants(http.StatusOK, "Acme Retail").wants(http.StatusOK,
			"Password Set Two-factor authentication Off Passkeys None Manage sign-in methods")
		var ids []string
		for _, f := range page.forms() {
			if id := f.values.Get("session"); id != "" && id != "others" {
				ids = append(ids, id)
			}
		}
		if len(ids) != 3 { // newest first: the third, the second, the demo's
			t.Fatalf("sessions that can be ended: got %d, want 3", len(ids))
		}
		v.post("/profile/sessions", "session", ids[0]).goes("/profile").notes("sessions_ended", 1)
		third.get("/profile").goes("/signin?next=%2Fprofile")
		second.get("/profile").wants(http.StatusOK, "Current session")
		others := v.open("/profile").wants(http.StatusOK, "Revoke these sessions?")
		others.wants(http.StatusOK, "Also revoke the session that the operator started")
		v.submit(others, "Revoke sessions").goes("/profile").notes("sessions_ended", 1)
		second.get("/profile").goes("/signin?next=%2Fprofile")
		kept := v.open("/profile").wants(http.StatusOK, "You are not signed in anywhere else.")
		kept.wants(http.StatusOK, "Started by the operator")
		v.submit(kept, "Revoke sessions", "operators", "yes").goes("/profile").notes("sessions_ended", 1)
		v.open("/profile").wants(http.StatusOK, "Current session").lacks("Revoke all other sessions")
		// A user cannot revoke another user's session.
		member := s.signedIn("ana@acme.example")
		_ = member.open("/profile").wants(http.StatusOK, "Current session")
		v.post("/profile/sessions", "session", "0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01").wants(http.StatusNotFound,
			"There is no session")
		v.post("/profile/sessions", "session", s.sessionOf("ana@acme.example"))
		member.open("/profile").wants(http.StatusOK, "Current session")
	})
}

// sessionOf returns the ID of a user's session.
func (s *server) sessionOf(email string) string {
	s.t.Helper()
	for line := range strings.Lines(s.run("", "session", "list", "--email", email)) {
		if id, _, found := strings.Cut(line, " "); found && id != "ID" {
			return id
		}
	}
	s.t.Fatalf("sessions: got none of %s, want one", email)
	return ""
}

// A user who forgot their password gets an email with a link. The response does not reveal which addresses exist.
func TestForgot(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		post := dbtest.StartSMTP(t)
		s := serve(t, url, fmt.Sprintf("LATCHKEY_SMTP_URL=smtp://%s:%d", post.Host, post.Port),
			"LATCHKEY_MAIL_FROM=keys@acme.example")
		post.Next(t) // the message that the demo gave the owner a password
		v := s.visitor()
		page := v.open("/forgot").wants(http.StatusOK, "we will send you a link")
		v.submit(page, "Send reset link", "email", "nobody").wants(http.StatusUnprocessableEntity,
			"This is not an email address.")
		unknown := v.submit(page, "Send reset link", "email", "nobody@acme.example").wants(http.StatusOK,
			"If nobody@acme.example belongs to a user")
		post.None(t)
		known := v.submit(page, "Send reset link", "email", s.OwnerEmail).wants(http.StatusOK, "we have sent a link")
		check.Equal(t, strings.ReplaceAll(unknown.body, "nobody@acme.example", s.OwnerEmail), known.body,
			"the answers differ")
		post.Next(t)
		for range 3 { // requests over the limit for one user are dropped
			v.post("/forgot", "email", s.OwnerEmail).wants(http.StatusOK, "we have sent a link")
		}
		post.Next(t)
		link := linkIn(t, post.Next(t))
		post.None(t)
		page = v.open(link).wants(http.StatusOK, "Choose a new password.")
		v.submit(page, "Set the password and sign in", "password", "another phrase", "passwordConfirmation",
			"another phrase").goes("/accounts/" + s.Account + "/")
		v.open("/profile").wants(http.StatusOK, "Current session")
		for _, subject := range []string{"Your password for Latchkey was changed", "New sign-in to Latchkey"} {
			if mail := post.Next(t); !strings.Contains(mail, "Subject: "+subject) ||
				!strings.Contains(mail, "IP address: 198.51.100.") {
				t.Errorf("mail: got %s\nwant the subject %q and the IP address", mail, subject)
			}
		}
		v.submit(v.open("/accounts"), "Sign out") // the browser is recognized now
		v.submit(v.open("/signin"), "Sign in", "email", s.OwnerEmail, "password",
			"another phrase").goes("/accounts/" + s.Account + "/")
		post.None(t)
	})
}

// linkIn returns the path of the link in an email.
func linkIn(t *testing.T, mail string) string {
	t.Helper()
	_, body, _ := strings.Cut(mail, "\r\n\r\n")
	text, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(body)))
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	for lines.Scan() {
		if _, value, found := strings.Cut(lines.Text(), "/link/"); found {
			return "/link/" + strings.TrimSpace(value)
		}
	}
	t.Fatal("mail: got no link, want one")
	return ""
}

func TestForgotWithoutMail(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		s.visitor().open("/forgot").wants(http.StatusOK, "This server does not send email.")
		s.visitor().post("/forgot", "email", s.OwnerEmail).wants(http.StatusOK, "This server does not send email.")
	})
}

// A browser that does not keep Secure cookies gets a message.
func TestCookieNotKept(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		v := s.signedIn(s.OwnerEmail)
		v.keep("__Host-latchkey", "")
		v.keep("__Host-latchkey-last", "")
		v.open("/").wants(http.StatusOK, "your browser did not keep the session cookie")
		s.visitor().open("/").lacks("your browser did not keep the session cookie")
	})
}

// waits fails the test unless the response says when to try again, in the Retry-After header and in the text.
func (r *reply) waits() {
	r.t.Helper()
	seconds, err := strconv.Atoi(r.header.Get("Retry-After"))
	said := regexp.MustCompile(`Too many attempts\. Try again in (1 (second|minute)|[0-9]+ (seconds|minutes))\.`)
	if r.status != http.StatusTooManyRequests || err != nil || seconds < 1 || !said.MatchString(r.text()) {
		r.t.Errorf("got %d, Retry-After %d: %s, want 429 with at least one second, and the time in the text", r.status,
			seconds, r.text())
	}
}

// Too many wrong passwords block the client that tries them, and not the user.
func TestTooManyAttempts(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		known, attacker := s.signedIn(s.OwnerEmail), s.visitor()
		known.submit(known.open("/accounts"), "Sign out")
		for range 10 {
			attacker.post("/signin", "email", s.OwnerEmail, "password", "a guess").wants(http.StatusUnprocessableEntity,
				"wrong")
		}
		refused := attacker.post("/signin", "email", s.OwnerEmail, "password",
			s.Password).wants(http.StatusTooManyRequests, "Too many attempts.")
		refused.waits()
		known.post("/profile/security/password", "present", "a guess").goes("/signin?next=%2Fprofile%2Fsecurity")
		s.visitor().post("/signin", "email", s.OwnerEmail, "password", s.Password).wants(http.StatusTooManyRequests,
			"Too many attempts.")
		known.post("/signin", "email", s.OwnerEmail, "password", s.Password).goes("/accounts/" + s.Account + "/")
	})
	t.Run("off", func(t *testing.T) {
		eachServer(t, func(t *testing.T, s *server) {
			v := s.visitor()
			for range 12 {
				v.post("/signin", "email", s.OwnerEmail, "password", "a guess").wants(http.StatusUnprocessableEntity,
					"wrong")
			}
		}, "LATCHKEY_RATE_LIMITS=off")
	})
}
