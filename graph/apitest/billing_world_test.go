package apitest_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"latchkey/internal/auth"
	dbtest "latchkey/internal/test/db"
)

// began is when billing begins in these tests: the 31st of a month, so that periods end on days that months lack.
var began = time.Date(2026, 1, 31, 9, 30, 0, 0, time.UTC)

// bazaar is a partner, home, and a merchant, away, which is not enrolled in automated billing. Billing goes by the test
// clock.
type bazaar struct {
	*tenants

	// merchant is the session of the owner of the merchant's account, who owns its only store.
	merchant *auth.Principal
}

func eachBazaar(t *testing.T, test func(t *testing.T, w *bazaar)) {
	t.Helper()
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.startClock(t)
		test(t, &bazaar{w, w.session(t, w.away, w.away.Owner)})
	})
}

// startClock starts the test clock of billing.
func (w *tenants) startClock(t *testing.T) {
	t.Helper()
	if _, err := w.Runner.StartClock(t.Context(), began); err != nil {
		t.Fatal(err)
	}
}

// pass moves the test clock.
func (w *tenants) pass(t *testing.T, d time.Duration) {
	t.Helper()
	operator := auth.OperatorPrincipal()
	if _, err := w.Runner.AdvanceTime(t.Context(), &operator, int64(d/time.Second)); err != nil {
		t.Fatal(err)
	}
}

const day = 24 * time.Hour

// as sends a request to the principal's own account.
func (w *tenants) as(t *testing.T, by *auth.Principal, query string, variables map[string]any) answer {
	t.Helper()
	return w.ask(t, by.AccountID, by, w.fill(query), w.fillAll(variables))
}

// client returns the query of a program that was written for the Account API.
func client(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../testdata/compat/" + name + ".graphql")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// item is the input of an item for the merchant's store, with changes.
func item(price any, changes ...func(map[string]any)) map[string]any {
	input := map[string]any{
		"description": "Gold plan", "redirectUrl": "https://partner.example/after?plan=gold",
		"product": map[string]any{"id": "bc/account/product/<app0.number>", "type": "APPLICATION",
			"productLevel": "Gold"},
		"scope": map[string]any{"id": "bc/account/scope/<away.store0.hash>", "type": "STORE"},
		"pricingPlan": map[string]any{"interval": "MONTH", "price": map[string]any{"currencyCode": "USD",
			"value": price}},
	}
	for _, change := range changes {
		change(input)
	}
	return input
}

// with sets the value at a path of an item: "pricingPlan.trialDays". Nil removes it.
func with(path string, value any) func(map[string]any) {
	return func(input map[string]any) {
		at := strings.Split(path, ".")
		for _, name := range at[:len(at)-1] {
			input = input[name].(map[string]any)
		}
		if last := at[len(at)-1]; value == nil {
			delete(input, last)
		} else {
			input[last] = value
		}
	}
}

// usd is the input of an amount.
func usd(value any) map[string]any { return map[string]any{"currencyCode": "USD", "value": value} }

// changing makes an item one that changes a subscription.
func changing(subscription string) func(map[string]any) {
	return func(input map[string]any) {
		delete(input, "product")
		delete(input, "scope")
		input["subscriptionId"] = subscription
	}
}

const createQuery = `mutation($input: CreateCheckoutInput!) { checkout { createCheckout(input: $input) {
	replayed checkout { id status checkoutUrl expiresAt items { edges { node { subscriptionId } } } } } } }`

// offer creates a checkout of the partner for the merchant and returns its ID.
func (w *bazaar) offer(t *testing.T, items ...map[string]any) string {
	t.Helper()
	list := make([]any, len(items))
	for i, each := range items {
		list[i] = each
	}
	return idIn(t, w.as(t, w.robot, createQuery, map[string]any{"input": map[string]any{
		"accountId": "<away.account>", "items": list}}), "checkout", "createCheckout", "checkout", "id")
}

// approve approves a checkout for the merchant, and returns the IDs of its subscriptions.
func (w *bazaar) approve(t *testing.T, checkout string) []string {
	t.Helper()
	got := w.as(t, w.merchant, `mutation { checkout { approveCheckout(input: {id: "`+checkout+`"}) { checkout {
		items(first: 50) { edges { node { subscriptionId } } } } } } }`, nil)
	var data struct {
		Checkout struct {
			ApproveCheckout struct {
				Checkout struct {
					Items struct {
						Edges []struct {
							Node struct{ SubscriptionID string }
						}
					}
				}
			}
		}
	}
	got.into(t, &data)
	var ids []string
	for _, e := range data.Checkout.ApproveCheckout.Checkout.Items.Edges {
		ids = append(ids, e.Node.SubscriptionID)
	}
	return ids
}

// subscribe returns the ID of a subscription to an item that was approved, and names it.
func (w *bazaar) subscribe(t *testing.T, name string, items ...map[string]any) string {
	t.Helper()
	id := w.approve(t, w.offer(t, items...))[0]
	w.names["<"+name+">"], w.names["<"+name+".uuid>"] = id, id[strings.LastIndexByte(id, '/')+1:]
	return id
}

// idIn returns the text at the path of the data of an answer without errors.
func idIn(t *testing.T, got answer, path ...string) string {
	t.Helper()
	var data any
	got.into(t, &data)
	for _, name := range path {
		object, is := data.(map[string]any)
		if !is {
			t.Fatalf("no %s in %s", strings.Join(path, "."), got.data)
		}
		data = object[name]
	}
	text, is := data.(string)
	if !is {
		t.Fatalf("no %s in %s", strings.Join(path, "."), got.data)
	}
	return text
}

// answers compares the data of an answer without errors.
func (w *tenants) answers(t *testing.T, what string, got answer, want string) {
	t.Helper()
	if want = compact(t, []byte(w.fill(want))); got.data != want || len(got.errors) > 0 {
		t.Errorf("%s:\ngot  %s %q\nwant %s", what, got.data, got.failures(), want)
	}
}

// refuses compares the errors of an answer.
func (w *tenants) refuses(t *testing.T, what string, got answer, want ...string) {
	t.Helper()
	filled := make([]string, len(want))
	for i, line := range want {
		filled[i] = w.fill(line)
	}
	if strings.Join(got.failures(), "\n") != strings.Join(filled, "\n") {
		t.Errorf("%s:\ngot  %q\nwant %q", what, got.failures(), filled)
	}
}

// draft makes an app a draft.
func (w *tenants) draft(t *testing.T, app string) {
	t.Helper()
	statement := w.fill("UPDATE apps SET status = 'draft' WHERE id = " + app)
	dbtest.Exec(t, w.URL, statement, statement)
}
