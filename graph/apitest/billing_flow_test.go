package apitest_test

import (
	"strings"
	"testing"

	"latchkey/internal/test/check"
)

// The documented flow of the original API: create, approve, poll, update, cancel, with its queries unchanged.
func TestDocumentedBillingFlow(t *testing.T) {
	eachBazaar(t, func(t *testing.T, w *bazaar) {
		created := w.as(t, w.robot, client(t, "create-checkout"), map[string]any{"checkout": map[string]any{
			"accountId": "bc/account/account/<away.account.uuid>", "items": []any{item(19.99)}}})
		w.names["<checkout>"] = idIn(t, created, "checkout", "createCheckout", "checkout", "id")
		w.names["<checkout.uuid>"] = strings.TrimPrefix(w.names["<checkout>"], "bc/account/checkout/")
		const node = `"description": "Gold plan", "redirectUrl": "https://partner.example/after?plan=gold",
			"pricingPlan": {"interval": "MONTH", "price": {"currencyCode": "USD", "value": 19.99}, "trialDays": null},
			"product": {"id": "bc/account/product/<app0.number>", "type": "APPLICATION", "productLevel": "Gold"},
			"scope": {"id": "bc/account/scope/<away.store0.hash>", "type": "STORE"}}}]}}}}}`
		w.answers(t, "create", created, `{"checkout": {"createCheckout": {"checkout": {
			"id": "<checkout>", "accountId": "<away.account>", "status": "PENDING",
			"checkoutUrl": "https://api.latchkey.example/accounts/<away.account.uuid>/checkouts/<checkout.uuid>",
			"items": {"edges": [{"node": {"subscriptionId": null, "status": "PENDING", `+node)
		poll := func() answer { return w.as(t, w.robot, client(t, "checkout"), map[string]any{"id": "<checkout>"}) }
		const polled = `{"account": {"checkout": {"id": "<checkout>", "status": "STATUS", "accountId": "<away.account>",
			"checkoutUrl": "https://api.latchkey.example/accounts/<away.account.uuid>/checkouts/<checkout.uuid>",
			"items": {"edges": [{"node": {"status": "STATUS", "subscriptionId": SUBSCRIPTION}}]}}}}`
		w.answers(t, "poll", poll(), strings.NewReplacer("STATUS", "PENDING", "SUBSCRIPTION", "null").Replace(polled))
		w.names["<gold>"] = w.approve(t, w.names["<checkout>"])[0]
		w.answers(t, "poll after the approval", poll(),
			strings.NewReplacer("STATUS", "COMPLETE", "SUBSCRIPTION", `"<gold>"`).Replace(polled))

		list := func(status string) answer {
			return w.as(t, w.robot, client(t, "subscriptions"), map[string]any{"filters": map[string]any{
				"productId": "bc/account/product/<app0.number>", "productType": "APPLICATION",
				"scopeId": "bc/account/scope/<away.store0.hash>", "scopeType": "STORE", "status": status}})
		}
		listed := `{"account": {"subscriptions": {"pageInfo": {"hasNextPage": false, "endCursor": "CURSOR"},
			"edges": [{"node": {"id": "<gold>", "accountId": "<away.account>", "activationDate": "2026-01-31T00:00:00Z",
			"billingInterval": "MONTH", "createdAt": "2026-01-31T09:30:00Z", "currentPeriodEnd": "2026-02-28T00:00:00Z",
			"pricePerInterval": {"currencyCode": "USD", "value": PRICE},
			"product": {"id": "bc/account/product/<app0.number>", "type": "APPLICATION", "productLevel": "LEVEL"},
			"scope": {"id": "bc/account/scope/<away.store0.hash>", "type": "STORE"}, "status": "ACTIVE",
			"updatedAt": "UPDATED"}}]}}}`
		shows := func(what, price, level, updated string) {
			t.Helper()
			got := list("ACTIVE")
			cursor := idIn(t, got, "account", "subscriptions", "pageInfo", "endCursor")
			w.answers(t, what, got, strings.NewReplacer("CURSOR", cursor, "PRICE", price, "LEVEL", level, "UPDATED",
				updated).Replace(listed))
		}
		shows("list", "19.99", "Gold", "2026-01-31T09:30:00Z")

		w.pass(t, day)
		update := w.as(t, w.robot, client(t, "create-checkout"), map[string]any{"checkout": map[string]any{
			"accountId": "bc/account/account/<away.account.uuid>",
			"items":     []any{item(40, with("subscriptionId", "<gold>"), with("product.productLevel", "Platinum"))}}})
		updated := w.approve(t, idIn(t, update, "checkout", "createCheckout", "checkout", "id"))
		check.Equal(t, updated, []string{w.fill("<gold>")}, "the subscription of the update")
		shows("list after the update", "40.00", "Platinum", "2026-02-01T09:30:00Z")

		cancelled := w.as(t, w.robot, client(t, "cancel-subscription"),
			map[string]any{"input": map[string]any{"id": "<gold>"}})
		const cancellation = `{"subscription": {"cancelSubscription": {"subscriptionId": "<gold>",
			"cancelledAt": "2026-02-27T00:00:00Z"}}}`
		w.answers(t, "cancel", cancelled, cancellation)
		w.answers(t, "cancel again", w.as(t, w.robot, client(t, "cancel-subscription"),
			map[string]any{"input": map[string]any{"id": "<gold>"}}), cancellation)
		shows("list before the end", "40.00", "Platinum", "2026-02-01T09:30:00Z")
		w.pass(t, 27*day)
		if got := list("ACTIVE"); strings.Contains(got.data, w.fill("<gold>")) {
			t.Errorf("an ended subscription is listed as active: %s", got.data)
		}
		if got := list("CANCELLED"); !strings.Contains(got.data, `"status":"CANCELLED"`) {
			t.Errorf("an ended subscription is not listed as cancelled: %s", got.data)
		}
	})
}

// The same with literals in the document instead of variables.
func TestDocumentedBillingFlowInline(t *testing.T) {
	eachBazaar(t, func(t *testing.T, w *bazaar) {
		query := strings.NewReplacer("0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01", "<away.account.uuid>", "4711",
			"<app0.number>", "acme1us", "<away.store0.hash>").Replace(client(t, "create-checkout-inline"))
		checkout := idIn(t, w.as(t, w.robot, query, nil), "checkout", "createCheckout", "checkout", "id")
		id := w.approve(t, checkout)[0]
		got := w.as(t, w.robot, `{ account { subscriptions(filters: {ids: ["`+id+`"], status: ACTIVE}) { edges { node {
			activationDate trialEndsAt currentPeriodEnd pricePerInterval { value } } } } } }`, nil)
		w.answers(t, "a trial", got, `{"account": {"subscriptions": {"edges": [{"node": {
			"activationDate": "2026-02-14T00:00:00Z", "trialEndsAt": "2026-02-14T00:00:00Z",
			"currentPeriodEnd": "2026-02-14T00:00:00Z", "pricePerInterval": {"value": 19.99}}}]}}}`)
		got = w.as(t, w.robot, `mutation { subscription { cancelSubscription(input: {id: "`+id+`"}) {
			subscriptionId cancelledAt } } }`, nil)
		w.answers(t, "cancel in the trial", got, `{"subscription": {"cancelSubscription": {
			"subscriptionId": "`+id+`", "cancelledAt": "2026-01-31T00:00:00Z"}}}`)
	})
}
