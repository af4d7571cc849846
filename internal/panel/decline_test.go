package panel_test

import (
	"net/http"
	"testing"
)

// A user declines an invitation to another account on the page of accounts. The membership and its link are
// revoked. The log of that account records it; the log of the user's own account does not.
func TestDecline(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		const other = "/accounts/3f1d9f0e-52b4-4c0e-8a6d-2b7c1e9d4c02"
		s.apply(morePeople)
		inviter := s.signedIn("owner@bicycles.example")
		form := inviter.get(other + "/users/invite")
		inviter.submit(form, "Invite", "email", ben, "firstName", "Benny", "lastName", "There", "stores", "bluebike",
			"role.bluebike", "SALES_STAFF").
			wants(http.StatusOK, "Benny There is invited")
		v := s.signedIn(ben)
		page := v.get("/accounts").wants(http.StatusOK, "Blue Bicycles")
		v.get(other+"/stores").wants(http.StatusNotFound, "")
		v.submit(page, "Decline the invitation of Blue Bicycles", "answer",
			"decline").goes("/accounts").notes("declined", 1)
		v.get("/accounts").wants(http.StatusOK, "Acme Retail").lacks("Blue Bicycles")
		v.submit(page, "Decline the invitation of Blue Bicycles", "answer", "decline").wants(http.StatusNotFound, "")
		v.submit(page, "Accept the invitation of Blue Bicycles", "answer", "accept").wants(http.StatusNotFound, "")

		inviter.get(other+"/users").wants(http.StatusOK, "both@agency.example").lacks(ben)
		inviter.get(other+"/audit").wants(http.StatusOK, ben+" declined the invitation to the account")
		s.signedIn(s.OwnerEmail).get(s.page("/audit")).lacks("declined the invitation")
	})
}
