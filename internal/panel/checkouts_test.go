package panel_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"latchkey/internal/billing"
	"latchkey/internal/paging"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

const storeOwner = "eu@acme.example"

// The owner of the store comes to the page from the app, signs in, sees what they agree to, approves it, and is sent
// back to the app.
func TestApprovingACheckout(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.biller()
		c := b.asks(item("29", "50"))
		v := s.visitor()
		v.get(c.Path()).goes("/signin?next=" + url.QueryEscape(c.Path()))
		v.post("/signin", "email", storeOwner, "password", s.known(storeOwner), "next", c.Path()).goes(c.Path())
		page := v.get(c.Path())
		for _, want := range []string{"Approve a subscription from Nimbus Apps?",
			"Nimbus Apps, for the app Cloud Stock", "Acme EU acme2eu", "Stock levels from all warehouses",
			"$29.00 every month", "Up to $50.00 per month",
			"When you approve $29.00 for ",
			"Added to your next invoice Subscription: Gold, ", "you'll return to nimbus.example"} {
			page.wants(http.StatusOK, want)
		}
		policy := page.header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "form-action 'self' https:;") {
			t.Errorf("browsers refuse the redirect to the app: %s", policy)
		}
		b.charged(0)
		v.submit(page, "Approve").goes("https://nimbus.example/done")
		b.charged(1)
		check.Equal(t, b.newest().Term().Level, "Gold", "level")
		v.get(c.Path()).wants(http.StatusOK, "Request from Nimbus Apps Approved")
		// Another tab still shows the buttons.
		v.submit(page, "Approve").wants(http.StatusConflict, "The request had already been approved")
		v.submit(page, "Decline").wants(http.StatusConflict, "The request had already been approved")
		b.charged(1)
	})
}

func TestDecliningACheckout(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.biller()
		c := b.asks(item("29", ""))
		v := s.signedIn(storeOwner)
		page := v.get(c.Path()).wants(http.StatusOK, "The app cannot charge more than the price.")
		v.submit(page, "Decline").goes(c.Path())
		v.get(c.Path()).wants(http.StatusOK, "Request from Nimbus Apps Declined").lacks("/approve")
		v.submit(page, "Approve").wants(http.StatusConflict, "The request had already been declined")
		b.charged(0)
	})
}

// A checkout that has expired cannot be approved.
func TestExpiredCheckout(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.biller()
		c := b.asks(item("29", ""))
		v := s.signedIn(storeOwner)
		page := v.get(c.Path()).wants(http.StatusOK, "This request expires on")
		dbtest.Exec(t, s.database, "UPDATE checkouts SET expires_at = created_at",
			"UPDATE checkouts SET expires_at = created_at")
		v.get(c.Path()).wants(http.StatusOK, "Request from Nimbus Apps Expired").lacks("/approve")
		v.submit(page, "Approve").wants(http.StatusConflict, "The request had already expired.")
		v.submit(page, "Decline").wants(http.StatusConflict, "The request had already expired.")
		b.charged(0)
	})
}

// Trials say when the first charge is, and changes show both prices and what is charged at once, which is then what is
// charged.
func TestCheckoutsOfTrialsAndChanges(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.biller()
		v := s.signedIn(storeOwner)
		trial := item("29", "")
		trial.Plan.TrialDays = 14
		page := v.get(b.asks(trial).Path())
		page.wants(http.StatusOK, "Nothing is charged. The first 14 days are free.")
		page.wants(http.StatusOK, "First charge $29.00 on ")
		page.lacks("Added to your next invoice")

		page.lacks("already has an active subscription").lacks("approved or declined together")
		two := v.get(b.asks(item("12", ""), item("40", "")).Path())
		for _, want := range []string{"2 requests from Nimbus Apps", "Approve both", "Decline both",
			"Both requests are approved or declined together.", "Then $12.00 every month from ",
			" and $40.00 every month from "} {
			two.wants(http.StatusOK, want)
		}
		sub := b.subscribed(v, item("10", "5"))
		b.charged(1)
		// A second subscription to the same app is possible, and rarely meant.
		v.get(b.asks(trial).Path()).wants(http.StatusOK,
			"Acme EU already has an active subscription to Cloud Stock, $10.00 every month.")
		elsewhere := item("10", "")
		elsewhere.Store = &billing.StoreRef{Hash: "acme1us"}
		s.signedIn(s.OwnerEmail).get(b.asks(elsewhere).Path()).wants(http.StatusOK, "Acme US").
			lacks("already has an active subscription")
		change := item("40", "")
		change.SubscriptionID, change.AppID, change.Store = &sub.ID, nil, nil
		c := b.asks(change)
		page = v.get(c.Path()).lacks("already has an active subscription")
		for _, want := range []string{"$10.00 → changed to $40.00 every month", "Remaining time on Gold at $40.00",
			"Unused time on Gold at $10.00", "Up to $5.00 per month, as before."} {
			page.wants(http.StatusOK, want)
		}
		shown := page.text()
		v.submit(page, "Approve").goes(change.RedirectURL)
		found, err := b.service.Charges(t.Context(), b.partner, billing.ChargeFilter{SubscriptionID: &sub.ID},
			paging.Request{})
		if err != nil {
			t.Fatal(err)
		}
		check.Equal(t, len(found.Items), 3, "charges")
		for _, each := range found.Items[:2] {
			if amount := strings.Replace(each.Node.Amount.String(), "-", "−", 1); !strings.Contains(shown, amount) {
				t.Errorf("%s is charged and was not shown: %s", amount, shown)
			}
		}
		withdrawing := b.asks(change).Path()
		v.get(withdrawing).lacks("You cancelled this subscription")
		if _, err := b.service.CancelSubscription(t.Context(), b.partner,
			billing.Cancellation{ID: sub.ID}); err != nil {
			t.Fatal(err)
		}
		v.get(withdrawing).wants(http.StatusOK, "You cancelled this subscription, and it ends after")
		late := b.asks(change)
		page = v.get(late.Path())
		if _, err := b.service.CancelSubscription(t.Context(), b.partner,
			billing.Cancellation{ID: sub.ID, Immediately: true}); err != nil {
			t.Fatal(err)
		}
		v.submit(page, "Approve").wants(http.StatusConflict, "Your approval was not recorded").lacks("/approve")
		v.get(late.Path()).wants(http.StatusOK, "This can no longer be approved").lacks("/approve")
	})
}

// Only the owner of the store answers. Others of the account read who does, and strangers learn nothing.
func TestWhoAnswersCheckouts(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.biller()
		c := b.asks(item("29", ""))
		made := s.run("", "token", "create", "--account", s.Account, "--name", "Reader", "--scope",
			"account_checkouts_read", "--output", "json")
		token := regexp.MustCompile(`"accessToken": ?"([^"]+)"`).FindStringSubmatch(made)
		if token == nil {
			t.Fatal("the command printed no access token")
		}
		holder := s.visitor()
		holder.keep(session, token[1])
		for _, each := range []struct {
			who         string
			v           *visitor
			read, write int
			text        string
		}{
			{"the account's owner", s.signedIn(s.OwnerEmail), 200, 403, "Only the owner of the store can approve"},
			{"staff of the store", s.signedIn("chloe@acme.example"), 403, 403, "Only the owner of the store"},
			{"another account's owner", s.signedIn("owner@bicycles.example"), 404, 404, "Page not found"},
			{"the partner's owner", s.signedIn("owner@nimbus.example"), 404, 404, "Page not found"},
			{"a token", holder, 303, 303, ""},
			{"nobody", s.visitor(), 303, 303, ""},
		} {
			each.v.get(c.Path()).wants(each.read, each.text).lacks(c.Path() + "/approve")
			for _, act := range []string{"/approve", "/decline"} {
				r := each.v.post(c.Path()+act, "at", c.CreatedAt.Format("2006-01-02T15:04:05Z"))
				if r.status != each.write {
					t.Errorf("%s: %s answers %d, want %d: %s", each.who, act, r.status, each.write, r.text())
				}
			}
		}
		v := s.signedIn(storeOwner)
		foreign := v.request(http.MethodPost, c.Path()+"/approve", url.Values{"at": {"2026-01-01T00:00:00Z"}})
		foreign.Header.Set("Sec-Fetch-Site", "cross-site")
		foreign.Header.Set("Origin", "https://evil.example")
		v.send(foreign).wants(http.StatusForbidden, "from another site")
		v.post(c.Path()+"/approve").wants(http.StatusUnprocessableEntity, "The form cannot be read.")
		v.post(c.Path()+"/approve", "at", "2026-01-01T00:00:00Z").wants(http.StatusConflict,
			"The amount may have changed")
		b.charged(0)
		v.get(c.Path()).wants(http.StatusOK, "Approve a subscription")
	})
}

// What partners write is text on the page.
func TestCheckoutTextsAreText(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.biller()
		bad := item("29", "")
		level := hostile
		bad.Description, bad.Level = hostile, &level
		bad.RedirectURL = "https://nimbus.example/?a=%27%22%3E%3Cevil%3E"
		v := s.signedIn(storeOwner)
		c := b.asks(bad)
		page := v.get(c.Path()).wants(http.StatusOK, hostile)
		v.submit(page, "Approve").goes(bad.RedirectURL)
		for _, r := range []*reply{page, v.get(c.Path())} {
			if len(r.all("evil")) > 0 || len(r.all("script")) != 2 {
				t.Errorf("a text is an element: %s", r.body)
			}
		}
	})
}
