package panel_test

import (
	"crypto/rand"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/internal/panel"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

const keptCookie = "__Host-latchkey-form"

// endElsewhere ends all sessions of a user from another browser.
func (s *server) endElsewhere(email string) {
	s.t.Helper()
	s.signedIn(email).post("/profile/sessions", "session", "others").wants(http.StatusSeeOther, "")
}

// A form whose session ended elsewhere has no effect. It is filled in again, once, for the user who signs in again.
func TestFormsAreKept(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		page := owner.get(s.page("/tokens/new"))
		s.endElsewhere(s.OwnerEmail)
		before := s.contents()
		name := `Nightly "import" </input><evil>`
		sent := owner.submit(page, "Create API token", "name", name, "scopes.account_users", "account_users_read",
			"expiresIn", "week", "allowedIpRanges", "203.0.113.7\n198.51.100.0/24")
		sent.goes("/signin?next=" + url.QueryEscape(s.page("/tokens/new")))
		s.unchanged(before)
		if text := owner.cookie(keptCookie); text == "" || strings.Contains(text, "Nightly") {
			t.Errorf("the cookie: got %q, want the form encrypted", text)
		}
		asked := owner.get(sent.header.Get("Location")).wants(http.StatusOK,
			"Your session was ended, from another device").wants(http.StatusOK, "it is kept for an hour")
		asked.lacks("did not keep the session cookie") // although the user signed in just now
		owner.submit(asked, "Sign in", "email", s.OwnerEmail, "password", s.Password).goes(s.page("/tokens/new"))
		page = owner.get(s.page("/tokens/new")).wants(http.StatusOK, "What you entered is filled in again")
		if len(page.all("evil")) > 0 {
			t.Errorf("the page: got a value as an element, want it as text: %s", page.body)
		}
		for _, f := range page.forms() {
			if slices.Contains(f.buttons, "Create API token") {
				for field, want := range map[string]string{"name": name, "scopes.account_users": "account_users_read",
					"expiresIn": "week", "allowedIpRanges": "203.0.113.7 198.51.100.0/24"} {
					check.Equal(t, f.values.Get(field), want, "%s in the form that is filled in", field)
				}
			}
		}
		check.Equal(t, owner.cookie(keptCookie), "", "the cookie after the page")
		owner.get(s.page("/tokens/new")).lacks("filled in again")
		owner.submit(page, "Create API token", "name", "Nightly import", "allowedIpRanges",
			"").wants(http.StatusOK, "shown only once")
		owner.open(s.page("/tokens")).wants(http.StatusOK, "Nightly import")
	})
}

// A form is kept whether or not it names the address that it is sent to.
func TestFormsWithoutAnActionAreKept(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		for at, button := range map[string]string{"/stores/new": "Add store", "/stores/acme2eu/settings": "Rename"} {
			owner := s.signedIn(s.OwnerEmail)
			page := owner.get(s.page(at))
			s.endElsewhere(s.OwnerEmail)
			sent := owner.submit(page, button, "name", "Kept over signing in").wants(http.StatusSeeOther, "")
			asked := owner.get(sent.header.Get("Location"))
			owner.submit(asked, "Sign in", "email", s.OwnerEmail, "password", s.Password)
			page = owner.get(s.page(at)).wants(http.StatusOK, "What you entered is filled in again")
			if !slices.ContainsFunc(page.forms(), func(f formOnPage) bool {
				return f.values.Get("name") == "Kept over signing in"
			}) {
				t.Errorf("%s: got no form with the name that was sent: %s", at, page.body)
			}
		}
	})
}

// A form is kept only for its user and account, and never its secrets.
func TestFormsAreKeptForOneUser(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		s.apply(morePeople)
		const both, other = "both@agency.example", "3f1d9f0e-52b4-4c0e-8a6d-2b7c1e9d4c02"
		v := s.signedIn(both)
		v.post("/accounts", "account", s.Account)
		profile, methods := v.get("/profile"), v.get("/profile/security")
		s.endElsewhere(both)
		v.submit(methods, "Change password", "present", "old", "password", "new-phrase", "passwordConfirmation",
			"new-phrase").goes("/signin?next=%2Fprofile%2Fsecurity")
		check.Equal(t, v.cookie(keptCookie), "", "the kept form that sets a password")
		v.get("/signin").wants(http.StatusOK, "The form that you sent was not saved, and nothing was changed.")
		v.submit(profile, "Save", "firstName", "Kept").goes("/signin?next=%2Fprofile")
		text := v.cookie(keptCookie)
		signIn := func(email, account string) *visitor {
			own := s.signedIn(email)
			own.post("/accounts", "account", account)
			own.keep(keptCookie, text)
			return own
		}
		stranger := signIn(s.OwnerEmail, s.Account)
		stranger.get("/profile").wants(http.StatusOK, "Your profile").lacks("filled in again").lacks("Kept")
		check.Equal(t, stranger.cookie(keptCookie), "", "the cookie after another user signed in")
		elsewhere := signIn(both, other)
		elsewhere.get("/profile").lacks("filled in again")
		elsewhere.post("/accounts", "account", s.Account)
		elsewhere.get("/accounts").lacks("filled in again")
		elsewhere.get("/profile").wants(http.StatusOK, "filled in again")
		out := signIn(both, s.Account)
		out.post("/signout")
		check.Equal(t, out.cookie(keptCookie), "", "the cookie after signing out")
	})
}

// A form that is too large for a cookie is not kept, and the page says so.
func TestLargeFormsAreNotKept(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		page := owner.get(s.page("/tokens/new"))
		s.endElsewhere(s.OwnerEmail)
		noise := make([]byte, 4<<10)
		_, _ = rand.Read(noise)
		owner.submit(page, "Create API token", "name", hex.EncodeToString(noise)).wants(http.StatusSeeOther, "")
		check.Equal(t, owner.cookie(keptCookie), "", "the cookie of a large form")
		owner.get("/signin").wants(http.StatusOK, "The form that you sent was not saved, and nothing was changed.")
	})
}

// The sign-in page says how the session ended, also within a minute of signing in.
func TestHowASessionEnded(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		for says, end := range map[string]func(v *visitor){
			"Your session was ended, from another device": func(*visitor) { s.endElsewhere(s.OwnerEmail) },
			"your session reached its time limit": func(*visitor) {
				dbtest.Exec(t, s.database, "UPDATE sessions SET expires_at = created_at + 1",
					"UPDATE sessions SET expires_at = created_at + interval '1 microsecond'")
				time.Sleep(remembered + 50*time.Millisecond)
			},
			"Your session is no longer valid.": func(v *visitor) { v.keep(session, "nonsense") },
		} {
			v := s.signedIn(s.OwnerEmail)
			end(v)
			v.get("/accounts").goes("/signin?next=%2Faccounts")
			v.get("/signin").wants(http.StatusOK, says).lacks("did not keep the session cookie").lacks("The form that")
			v.get("/signin").lacks(says)
		}
		v := s.signedIn(s.OwnerEmail)
		page := v.get("/profile")
		v.post("/signout")
		v.get("/accounts").goes("/signin?next=%2Faccounts")
		v.get("/signin").lacks("another tab")
		v.submit(page, "Save", "firstName", "Kept").goes("/signin?next=%2Fprofile")
		check.Equal(t, v.cookie(keptCookie), "", "the cookie of a form that was sent after signing out")
		v.get("/signin").wants(http.StatusOK,
			"You signed out in another tab. The form that you sent was not saved, and nothing was changed.")
		lost := s.visitor()
		lost.keep("latchkey-arriving", "1")
		lost.get("/signin").wants(http.StatusOK, "did not keep the session cookie")
	})
}

var (
	secretInput = regexp.MustCompile(`<input [^>]*(?:type="password"|autocomplete="(?:one-time-code|current-password)")`)
	secretField = regexp.MustCompile(`"text-field" \(args [^)]*"id" "(\w+)"[^\n]*(?:"type" "password"|"one-time-code")`)
	inputName   = regexp.MustCompile(` name="(\w+)"`)
	scriptField = regexp.MustCompile(`data-field="(\w+)"|"field" "(\w+)"`)
)

// Every field for a password, a code or a passkey is among those that are never kept.
func TestSecretFieldsAreKnown(t *testing.T) {
	found := map[string]bool{}
	for file, source := range sources(t) {
		if !strings.HasSuffix(file, ".html") {
			continue
		}
		for _, input := range secretInput.FindAllString(source, -1) {
			found[inputName.FindStringSubmatch(input)[1]] = true
		}
		for _, match := range append(secretField.FindAllStringSubmatch(source, -1),
			scriptField.FindAllStringSubmatch(source, -1)...) {
			found[strings.Join(match[1:], "")] = true // one of them is empty
		}
	}
	check.Equal(t, len(found) > 4, true, "fields for secrets were found")
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if !slices.Contains(panel.SecretFields(), name) {
			t.Errorf("the field %s: got it among those that are kept, want it in secretFields", name)
		}
	}
}
