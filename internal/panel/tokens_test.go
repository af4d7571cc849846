package panel_test

import (
	"net/http"
	"strings"
	"testing"
)

// tokensOf are the addresses of the lists of both levels: the account's, and
// those of the store Acme US.
func tokensOf(s *server) map[string]string {
	return map[string]string{"account": "/accounts/" + s.Account + "/tokens", "store": "/accounts/" + s.Account + "/stores/acme1us/tokens"}
}

// eachLevel runs test on both levels, as the account's owner.
func eachLevel(t *testing.T, test func(t *testing.T, s *server, owner *visitor, at string)) {
	t.Helper()
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		for level, at := range tokensOf(s) {
			t.Run(level, func(t *testing.T) { test(t, s, owner, at) })
		}
	})
}

// create creates a token with a scope of its level, by the form.
func (v *visitor) create(at, name string, pairs ...string) *reply {
	v.t.Helper()
	page := v.open(at+"/new").wants(http.StatusOK, "Create API token")
	return v.submit(page, "Create API token", append([]string{"name", name, "scopes.store_carts", "store_cart"}, pairs...)...)
}

func TestCreateToken(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *server, owner *visitor, at string) {
		owner.open(at).wants(http.StatusOK, "0 of 50 used")
		page := owner.create(at, "Nightly import")
		page.wants(http.StatusOK, "This is the only time that its secrets are shown.")
		if got := page.header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("kept by the browser: %q", got)
		}
		list := owner.open(at).wants(http.StatusOK, "Nightly import").wants(http.StatusOK, "1 of 50 used").wants(http.StatusOK, "Carts: modify")
		for _, n := range page.all("code") {
			if id, _ := attribute(n, "id"); id == "access_token" || id == "client_secret" {
				list.lacks(textOf(n))
				if strings.Contains(s.log.String(), textOf(n)) {
					t.Errorf("%s is in the log", id)
				}
			}
		}
	})
}
