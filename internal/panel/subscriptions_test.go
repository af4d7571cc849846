package panel_test

import (
	"net/http"
	"testing"

	"latchkey/internal/test/check"
)

// The owner of the store sees the subscription and its charges, suspends, resumes and cancels it. The account's owner
// only sees it, and no other user does.
func TestSubscriptions(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.biller()
		v := s.signedIn(storeOwner)
		waiting := b.asks(item("7", ""))
		sub := b.subscribed(v, item("29", "50"))
		at := s.page("/subscriptions/" + sub.ID.String())
		list := v.get(s.page("/subscriptions")).wants(http.StatusOK, "1 request is waiting for your approval")
		list.wants(http.StatusOK, "$29.00 every month")
		list.wants(http.StatusOK, "Cloud Stock New subscription · Gold · $7.00 every month · Acme EU Review")
		check.Equal(t, v.get(waiting.Path()).status, http.StatusOK, "the request that waits")
		page := v.get(at).wants(http.StatusOK, "Subscription fee")
		page.wants(http.StatusOK, "Up to $50.00 per month")

		owner := s.signedIn(s.OwnerEmail)
		owner.get(s.page("/subscriptions")).wants(http.StatusOK, "$29.00").lacks("waiting for your approval")
		owner.get(at).wants(http.StatusOK, "Only the owner of Acme EU can suspend or cancel this subscription: ").
			wants(http.StatusOK, storeOwner).lacks(at + "/cancel")
		v.get(at).lacks("can suspend or cancel this subscription")
		owner.get(at+"/cancel").wants(http.StatusForbidden, "Only the owner of the store")
		staff := s.signedIn("chloe@acme.example")
		for _, act := range []string{"/cancel", "/suspend", "/resume"} {
			status := owner.post(at+act, "when", "now").status
			check.Equal(t, status, http.StatusForbidden, "the owner: %s", act)
			check.Equal(t, staff.post(at+act, "when", "now").status, http.StatusForbidden, "staff: %s", act)
		}
		staff.get(s.page("/subscriptions")).wants(http.StatusForbidden, "")
		staff.get(s.page("/stores")).lacks("/subscriptions")

		v.submit(page, "Suspend").goes(at).notes("subscription_suspended", 1)
		page = v.get(at).wants(http.StatusOK, "Nothing is charged while the subscription is suspended.")
		v.submit(page, "Resume").goes(at).notes("subscription_resumed", 1)
		v.submit(v.get(at+"/cancel"), "Cancel subscription", "when", "end").goes(at).notes("subscription_cancelled", 1)
		v.get(at).wants(http.StatusOK, "Last day")
		seller := s.signedIn("owner@nimbus.example")
		for _, each := range []struct {
			who *visitor
			at  string
		}{{v, s.page("/subscriptions")}, {v, at}, {seller, "/accounts/" + nimbus + "/billing/subscriptions"}} {
			each.who.get(each.at).wants(http.StatusOK, "Cancels on ").lacks(`badge good">Active<`)
		}
		v.submit(v.get(at+"/cancel").wants(http.StatusOK, "is credited on your next invoice."), "Cancel subscription").
			goes(at).notes("subscription_cancelled", 1)
		v.get(at).wants(http.StatusOK, "Cancelled").lacks(at + "/cancel")
		b.charged(2)
		owner.get(s.page("/invoices")).wants(http.StatusOK, "No invoices yet.")
		v.get(s.page("/invoices")).wants(http.StatusForbidden, "")
	})
}
