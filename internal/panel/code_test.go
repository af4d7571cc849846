package panel_test

import (
	"encoding/base32"
	"encoding/hex"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// app is an authenticator app.
type app struct {
	t      *testing.T
	secret string
	// used is the code that was entered when the app was added.
	used string
}

// newApp adds an app for the signed-in user and returns it with the recovery codes.
func newApp(t *testing.T, v *visitor) (*app, []string) {
	t.Helper()
	v.post("/profile/security/app/new").goes("/profile/security/app")
	page := v.get("/profile/security/app").wants(http.StatusOK, "Add an authenticator app")
	secret := spaceless(regexp.MustCompile(`[A-Z2-7]{4}( [A-Z2-7]{4}){7}`).FindString(page.text()))
	if raw, err := base32.StdEncoding.DecodeString(secret); err != nil || len(raw) != 20 {
		t.Fatalf("the secret of the app: got %d bytes, %v, want 20", len(raw), err)
	}
	a := &app{t: t, secret: secret}
	v.submit(page, "Add the app", "code", "000000").wants(http.StatusUnprocessableEntity,
		"This is not the code that the app shows now.")
	a.used = a.code(0)
	page = v.submit(page, "Add the app", "code", a.used).wants(http.StatusOK, "Your recovery codes")
	for _, each := range flaws(page) {
		t.Errorf("the page of the recovery codes %s, want no flaws", each)
	}
	codes := recoveryCodes(page.text())
	if len(codes) != 10 {
		t.Fatalf("recovery codes: got %d, want 10: %s", len(codes), page.text())
	}
	return a, codes
}

func spaceless(text string) string { return strings.ReplaceAll(text, " ", "") }

// recoveryCodes returns the recovery codes in a text.
func recoveryCodes(text string) []string {
	return regexp.MustCompile(`\b[0-9a-z]{4}-[0-9a-z]{4}-[0-9a-z]{4}\b`).FindAllString(text, -1)
}

// code returns the app's code a number of time steps from now.
func (a *app) code(steps int) string {
	a.t.Helper()
	code, err := totp.GenerateCode(a.secret, time.Now().Add(time.Duration(steps)*30*time.Second))
	if err != nil {
		a.t.Fatal(err)
	}
	return code
}

// isNowhere checks that the database holds neither the app's secret nor a recovery code in readable form.
func (a *app) isNowhere(s *server, recovery []string) {
	a.t.Helper()
	raw, err := base32.StdEncoding.DecodeString(a.secret)
	if err != nil {
		a.t.Fatal(err)
	}
	kept := strings.ToLower(dbtest.Dump(a.t, s.database))
	if !strings.Contains(kept, "totp_secrets ") {
		a.t.Error("the dump of the database: got no app, want one")
	}
	for _, text := range append([]string{a.secret, string(raw), strings.ReplaceAll(recovery[0], "-", "")},
		recovery...) {
		if strings.Contains(kept, strings.ToLower(text)) || strings.Contains(kept, hex.EncodeToString([]byte(text))) {
			a.t.Error("the dump of the database: got a secret of an app, or a recovery code, want neither")
		}
	}
}

func TestCodes(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		v := s.signedIn(s.OwnerEmail)
		app, recovery := newApp(t, v)
		v.get("/profile/security").wants(http.StatusOK, "10 codes left")
		app.isNowhere(s, recovery)
		v.post("/profile/security/app/new").wants(http.StatusConflict, "You have an authenticator app already")

		owes := s.visitor()
		owes.post("/signin", "email", s.OwnerEmail, "password", s.Password, "next", "/accounts").goes("/signin/code")
		check.Equal(t, owes.cookie("__Host-latchkey"), "", "a session began with half of the proof")
		flow := owes.cookie("__Host-latchkey-flow-code")
		page := owes.get("/signin/code").wants(http.StatusOK, "Two-factor authentication")
		owes.submit(page, "Sign in", "code", app.used).wants(http.StatusUnprocessableEntity,
			"This code is wrong or already used.")
		next := app.code(1)
		owes.submit(page, "Sign in", "code", " "+next[:3]+" "+next[3:]).goes("/accounts")
		owes.get("/accounts").wants(http.StatusOK, "You belong to one account.")

		thief := s.visitor()
		thief.keep("__Host-latchkey-flow-code", flow)
		thief.post("/signin/code", "code", recovery[0]).wants(http.StatusUnprocessableEntity, "This took too long")

		again := s.visitor()
		again.post("/signin", "email", s.OwnerEmail, "password", s.Password).goes("/signin/code")
		again.post("/signin/code", "code", strings.ToUpper(recovery[0])).goes("/accounts/" + s.Account + "/")
		once := s.visitor()
		once.post("/signin", "email", s.OwnerEmail, "password", s.Password)
		once.post("/signin/code", "code", recovery[0]).wants(http.StatusUnprocessableEntity,
			"This code is wrong or already used.")
		again.get("/profile/security").wants(http.StatusOK, "9 codes left")

		page = again.get("/profile/security")
		for _, button := range []string{"Regenerate recovery codes", "Remove the app"} {
			again.submit(page, button, "code", "").wants(http.StatusUnprocessableEntity,
				"This code is wrong or already used.")
			refused := again.submit(page, button, "code", recovery[0]).wants(http.StatusUnprocessableEntity,
				"This code is wrong or already used.")
			for _, each := range flaws(refused) {
				t.Errorf("the page of a wrong code %s, want no flaws", each)
			}
		}
		renewed := recoveryCodes(again.submit(page, "Regenerate recovery codes", "code",
			recovery[2]).wants(http.StatusOK, "Your recovery codes").text())
		once.post("/signin/code", "code", recovery[1]).wants(http.StatusUnprocessableEntity,
			"This code is wrong or already used.")

		s.age(time.Hour)
		asked := again.submit(page, "Remove the app", "code", renewed[0]).wants(http.StatusOK, "Confirm your identity")
		again.submit(asked, "Continue", "password_again", s.Password).goes("/profile/security").notes("app_removed", 1)
		s.visitor().post("/signin", "email", s.OwnerEmail, "password", s.Password).goes("/accounts/" + s.Account + "/")
	})
}

// Knowing the password does not give more attempts at the code.
func TestCodesAreTriedSeldom(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		newApp(t, s.signedIn(s.OwnerEmail))
		var last *reply
		for range 12 {
			v := s.visitor()
			v.post("/signin", "email", s.OwnerEmail, "password", s.Password).goes("/signin/code")
			last = v.post("/signin/code", "code", "123456")
		}
		last.waits()
	})
}

// The operator can restore access for a user who lost all factors.
func TestResetFactors(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		newApp(t, s.signedIn(s.OwnerEmail))
		v := s.visitor()
		v.post("/signin", "email", s.OwnerEmail, "password", s.Password).goes("/signin/code")
		check.Equal(t, s.run("", "user", "reset-factors", "--email", s.OwnerEmail),
			"authenticator app, with recovery codes: 10", "the command printed")
		v.post("/signin", "email", s.OwnerEmail, "password", s.Password).goes("/accounts/" + s.Account + "/")
	})
}
