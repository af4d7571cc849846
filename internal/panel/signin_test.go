package panel_test

import (
	"net/http"
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
