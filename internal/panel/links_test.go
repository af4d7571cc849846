package panel_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/internal/test/check"
)

// invite returns the path of an invitation link that the operator creates.
func (s *server) invite(email string, more ...string) string {
	s.t.Helper()
	printed := s.run("", append([]string{"user", "invite", "--account", s.Account, "--email", email}, more...)...)
	_, secret, found := strings.Cut(printed, "/link/")
	if !found {
		s.t.Fatalf("latchkey user invite: got no link in %d bytes, want one", len(printed))
	}
	return "/link/" + secret
}

// A link sets a password and signs the user in, once.
func TestLink(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		address := s.invite("nora@acme.example", "--first-name", "Nora", "--last-name", "New")
		v := s.visitor()
		for range 2 { // mail scanners open links first
			v.open(address).wants(http.StatusOK, "Acme Retail invited you")
		}
		page := v.open(address)
		check.Equal(t, page.header.Get("Referrer-Policy"), "strict-origin", "Referrer-Policy")
		page = v.submit(page, "Set the password and sign in", "password", "tiny", "passwordConfirmation", "other").
			wants(http.StatusUnprocessableEntity, "Use 8 to 256 characters.").
			wants(http.StatusUnprocessableEntity, "The two passwords differ.").lacks("tiny")
		v.submit(page, "Set the password and sign in", "password", "correct horse battery", "passwordConfirmation",
			"correct horse battery").
			goes("/accounts/" + s.Account + "/")
		v.open("/accounts").wants(http.StatusOK, "Acme Retail")
		v.open(address).wants(http.StatusNotFound, "This link is not valid")
		v.post(address, "password", "another password", "passwordConfirmation", "another password").
			wants(http.StatusNotFound, "This link is not valid")
		s.visitor().post("/signin", "email", "nora@acme.example", "password",
			"correct horse battery").goes("/accounts/" + s.Account + "/")
		if strings.Contains(s.log.String(), strings.TrimPrefix(address, "/link/")) {
			t.Error("the log: got the secret of a link, want it absent")
		}
	})
}

// A form of another site and an invalid link are refused.
func TestLinkRefused(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		address := s.invite(s.OwnerEmail)
		v := s.visitor()
		from := v.request(http.MethodPost, address,
			url.Values{"password": {"correct horse battery"}, "passwordConfirmation": {"correct horse battery"}})
		from.Header.Set("Sec-Fetch-Site", "cross-site")
		v.send(from).wants(http.StatusForbidden, "another site")
		for _, other := range []string{"/link/x", "/link/" + s.SessionToken} {
			v.open(other).wants(http.StatusNotFound, "This link is not valid")
		}
		v.open(address).wants(http.StatusOK, "Set your password")
	})
}
