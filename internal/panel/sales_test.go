package panel_test

import (
	"net/http"
	"strings"
	"testing"

	"latchkey/internal/test/check"
)

// The owner of the partner finds charges and subscriptions by what they are about, and exports the charges that match.
// Deleted charges are listed but not in the sum. Other accounts do not see the charges.
func TestCustomerCharges(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		acme := s.biller().as(s.Account)
		sub := acme.subscribedBy(s.signedIn(bicyclesOwner), bicycles, acmeItem("bluebike", "30"))
		acme.usage(sub, "=250 mails", "2.50")
		owner, at := s.signedIn(s.OwnerEmail), s.page("/billing/charges")
		for query, want := range map[string]string{
			"":                 "2 charges Total $32.50",
			"?kind=USAGE":      "1 charge · Show all Total $2.50",
			"?q=BLUEB":         "2 charges · Show all Total $32.50",
			"?q=nothing":       "No charges match.",
			"?status=INVOICED": "No charges match.",
			"?month=2000-01":   "No charges match.",
		} {
			owner.get(at+query).wants(http.StatusOK, want)
		}
		owner.get(at+"?q="+strings.Repeat("x", 101)).wants(http.StatusUnprocessableEntity,
			"A search has 0 to 100 characters.")
		list := s.page("/billing/subscriptions")
		owner.get(list+"?status=ACTIVE&q=acme+sub").wants(http.StatusOK, "1 subscription · Show all")
		owner.get(linkCalled(t, owner.get(list), "View charges")).wants(http.StatusOK, "2 charges · Show all")
		owner.get(list+"?status=CANCELLED").wants(http.StatusOK, "No subscriptions match.")

		exported := owner.get(at + ".csv?kind=USAGE")
		lines := strings.Split(strings.TrimSpace(exported.body), "\n")
		check.Equal(t, len(lines), 2, "lines of %s", exported.body)
		for _, want := range []string{`"Blue Bicycles","bluebike","Acme Subscriptions",`, `,"USAGE","'=250 mails",`,
			`,"2.50","USD",`} {
			if !strings.Contains(exported.body, want) {
				t.Errorf("export: got %s, want %q in it", exported.body, want)
			}
		}
		s.signedIn(storeOwner).get(at+".csv").wants(http.StatusForbidden, "")
		s.signedIn(bicyclesOwner).get("/accounts/"+bicycles+"/billing/charges.csv").wants(http.StatusForbidden, "")

		page := owner.get(at + "/" + idOf(owner, at, "=250 mails"))
		owner.submit(page, "Delete the charge").goes(at).notes("charge_deleted", 1)
		owner.get(at).wants(http.StatusOK, "2 charges Total $30.00")
		owner.get(at+"?status=DELETED").wants(http.StatusOK, "1 charge · Show all Total $2.50")
	})
}
