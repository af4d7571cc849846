package panel_test

import (
	"bufio"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"latchkey/internal/dbtest"
)

func TestProfile(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		v, other := s.signedIn(s.OwnerEmail), s.signedIn(s.OwnerEmail)
		page := v.open("/profile").wants(http.StatusOK, s.OwnerEmail)
		page = v.submit(page, "Save", "firstName", "", "locale", "?").wants(http.StatusUnprocessableEntity, "Enter the first name: one line of at most 100 characters").
			wants(http.StatusUnprocessableEntity, "Write a language tag")
		v.submit(page, "Save", "firstName", "Ada", "locale", "de").goes("/profile?n=1&notice=profile_saved")
		if page = v.open("/profile"); page.forms()[1].values.Get("firstName") != "Ada" {
			t.Error("the name is not kept")
		}
		v.submit(page, "Change the password", "present", "wrong", "password", "another phrase", "passwordConfirmation", "another phrase").
			wants(http.StatusUnprocessableEntity, "This is not your password.")
		v.submit(page, "Change the password", "present", s.Password, "password", "tiny", "passwordConfirmation", "tiny").
			wants(http.StatusUnprocessableEntity, "A password has 8 to 256 characters.").lacks("tiny")
		v.submit(page, "Change the password", "present", s.Password, "password", "another phrase", "passwordConfirmation", "another phrase").
			goes("/profile?n=1&notice=password_changed")
		v.open("/profile").wants(http.StatusOK, s.OwnerEmail)
		other.get("/profile").goes("/signin?next=%2Fprofile")
		s.visitor().post("/signin", "email", s.OwnerEmail, "password", s.Password).wants(http.StatusUnprocessableEntity, "wrong")
		s.visitor().post("/signin", "email", s.OwnerEmail, "password", "another phrase").goes("/accounts/" + s.Account + "/")
	})
}

func TestSessionsOfOneself(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		v, second, third := s.signedIn(s.OwnerEmail), s.signedIn(s.OwnerEmail), s.signedIn(s.OwnerEmail)
		page := v.open("/profile").wants(http.StatusOK, "This one").wants(http.StatusOK, "Started by the operator").wants(http.StatusOK, "Acme Retail")
		var ids []string
		for _, f := range page.forms() {
			if id := f.values.Get("session"); id != "" && id != "others" {
				ids = append(ids, id)
			}
		}
		if len(ids) != 3 { // newest first: the third, the second, the demo's
			t.Fatalf("%d sessions can be ended", len(ids))
		}
		v.post("/profile/sessions", "session", ids[0]).goes("/profile?n=1&notice=sessions_ended")
		third.get("/profile").goes("/signin?next=%2Fprofile")
		second.get("/profile").wants(http.StatusOK, "This one")
		v.submit(v.open("/profile"), "End all others").goes("/profile?n=2&notice=sessions_ended")
		second.get("/profile").goes("/signin?next=%2Fprofile")
		v.open("/profile").wants(http.StatusOK, "This one").lacks("End all others")
		// Nobody ends somebody else's.
		member := s.signedIn("ana@acme.example")
		_ = member.open("/profile").wants(http.StatusOK, "This one")
		v.post("/profile/sessions", "session", "0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01").wants(http.StatusNotFound, "There is no session")
		v.post("/profile/sessions", "session", s.sessionOf("ana@acme.example"))
		member.open("/profile").wants(http.StatusOK, "This one")
	})
}

// sessionOf is the id of somebody's session.
func (s *server) sessionOf(email string) string {
	s.t.Helper()
	for line := range strings.Lines(s.run("", "session", "list", "--email", email)) {
		if id, _, found := strings.Cut(line, " "); found && id != "ID" {
			return id
		}
	}
	s.t.Fatalf("%s has no session", email)
	return ""
}

// Whoever forgot their password is mailed a link; nobody learns who is known.
func TestForgot(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		post := dbtest.StartSMTP(t)
		s := serve(t, url, fmt.Sprintf("LATCHKEY_SMTP_URL=smtp://%s:%d", post.Host, post.Port), "LATCHKEY_MAIL_FROM=keys@acme.example")
		post.Next(t) // about the password that the demo gave the owner
		v := s.visitor()
		page := v.open("/forgot").wants(http.StatusOK, "we mail you a link")
		v.submit(page, "Mail me a link", "email", "nobody").wants(http.StatusUnprocessableEntity, "This is no e-mail address.")
		unknown := v.submit(page, "Mail me a link", "email", "nobody@acme.example").wants(http.StatusOK, "If nobody@acme.example is somebody's here")
		post.None(t)
		known := v.submit(page, "Mail me a link", "email", s.OwnerEmail).wants(http.StatusOK, "a link is on its way")
		if strings.ReplaceAll(unknown.body, "nobody@acme.example", s.OwnerEmail) != known.body {
			t.Error("the answers differ")
		}
		post.Next(t)
		for range 3 { // of too many for one person the rest are left undone
			v.post("/forgot", "email", s.OwnerEmail).wants(http.StatusOK, "a link is on its way")
		}
		post.Next(t)
		link := linkIn(t, post.Next(t))
		post.None(t)
		page = v.open(link).wants(http.StatusOK, "Choose another password.")
		v.submit(page, "Set the password and sign in", "password", "another phrase", "passwordConfirmation", "another phrase").goes("/accounts/" + s.Account + "/")
		v.open("/profile").wants(http.StatusOK, "This one")
		for _, subject := range []string{"Your password for Latchkey was changed", "New sign-in to Latchkey"} {
			if mail := post.Next(t); !strings.Contains(mail, "Subject: "+subject) || !strings.Contains(mail, "IP address: 198.51.100.") {
				t.Errorf("mailed is, instead of %q:\n%s", subject, mail)
			}
		}
		v.submit(v.open("/accounts"), "Sign out") // the browser is known now
		v.submit(v.open("/signin"), "Sign in", "email", s.OwnerEmail, "password", "another phrase").goes("/accounts/" + s.Account + "/")
		post.None(t)
	})
}

// linkIn is the path of the link in a mail.
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
	t.Fatal("no link in the mail")
	return ""
}

func TestForgotWithoutMail(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		s.visitor().open("/forgot").wants(http.StatusOK, "This server sends no mails.")
		s.visitor().post("/forgot", "email", s.OwnerEmail).wants(http.StatusOK, "This server sends no mails.")
	})
}

// A browser that keeps no cookie but those without TLS is told so.
func TestCookieNotKept(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		v := s.signedIn(s.OwnerEmail)
		v.keep("__Host-latchkey", "")
		v.open("/").wants(http.StatusOK, "your browser did not keep it")
		s.visitor().open("/").lacks("your browser did not keep it")
	})
}

// waits fails the test for a refusal that does not say when to come again, for programs and in words.
func (r *reply) waits() {
	r.t.Helper()
	seconds, err := strconv.Atoi(r.header.Get("Retry-After"))
	said := regexp.MustCompile(`There were too many attempts\. Try again in (1 (second|minute)|[0-9]+ (seconds|minutes))\.`)
	if r.status != http.StatusTooManyRequests || err != nil || seconds < 1 || !said.MatchString(r.text()) {
		r.t.Errorf("%d, to come again after %d seconds: %s", r.status, seconds, r.text())
	}
}

// Too many wrong passwords keep out whoever tries them, and not the person.
func TestTooManyAttempts(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		known, attacker := s.signedIn(s.OwnerEmail), s.visitor()
		known.submit(known.open("/accounts"), "Sign out")
		for range 10 {
			attacker.post("/signin", "email", s.OwnerEmail, "password", "a guess").wants(http.StatusUnprocessableEntity, "wrong")
		}
		refused := attacker.post("/signin", "email", s.OwnerEmail, "password", s.Password).wants(http.StatusTooManyRequests, "There were too many attempts.")
		refused.waits()
		known.post("/profile/password", "present", "a guess").goes("/signin?next=%2Fprofile&unsaved=1")
		s.visitor().post("/signin", "email", s.OwnerEmail, "password", s.Password).wants(http.StatusTooManyRequests, "There were too many attempts.")
		known.post("/signin", "email", s.OwnerEmail, "password", s.Password).goes("/accounts/" + s.Account + "/")
	})
	t.Run("off", func(t *testing.T) {
		eachServer(t, func(t *testing.T, s *server) {
			v := s.visitor()
			for range 12 {
				v.post("/signin", "email", s.OwnerEmail, "password", "a guess").wants(http.StatusUnprocessableEntity, "wrong")
			}
		}, "LATCHKEY_RATE_LIMITS=off")
	})
}
