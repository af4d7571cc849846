package panel_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestSignIn(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		v := s.visitor()
		page := v.open("/").wants(http.StatusOK, "Sign in")
		v.submit(page, "Sign in", "email", s.OwnerEmail, "password", "not the one").
			wants(http.StatusUnprocessableEntity, "The e-mail address or the password is wrong.")
		v.submit(page, "Sign in", "email", s.OwnerEmail, "password", s.Password).goes("/accounts/" + s.Account + "/")
		page = v.open("/accounts").wants(http.StatusOK, "Acme Retail")
		v.submit(page, "Sign out").goes("/signin?n=1&notice=signed_out")
		v.open("/").wants(http.StatusOK, "Sign in")
		s.age(time.Hour)
	})
}

// The secret in a browser's cookie opens the control panel alone: over the API it would do what the panel asks for another
// proof for.
func TestSessionsOfBrowsersAreThePanels(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		v := s.signedIn(s.OwnerEmail)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+s.page("/graphql"), strings.NewReader(`{"query":"{ viewer { kind } }"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Auth-Token", v.cookie("__Host-latchkey"))
		s.visitor().send(r).wants(http.StatusUnauthorized, "UNAUTHENTICATED")
		v.get(s.page("/tokens")).wants(http.StatusOK, "Account API tokens")
	})
}

// Whoever is at a browser that somebody left proves who they are before they give rights, which somebody else could use.
func TestGivingRightsTakesAProof(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		v := s.signedIn(s.OwnerEmail)
		ben := personAt(t, v.get(s.page("/users")), "Ben Becker")
		s.age(16 * time.Minute)
		before := s.contents()
		for _, to := range []string{
			s.page("/users/invite"), ben + "/invite", ben + "/stores", ben + "/stores/acme1us", ben + "/stores/acme1us/status",
			ben + "/owner", ben + "/remove", s.page("/tokens"), s.page("/tokens/delete"),
		} {
			v.post(to, "permissions", "Create_Store_API_Tokens").wants(http.StatusOK, "Is it still you?")
		}
		s.unchanged(before)
	})
}
