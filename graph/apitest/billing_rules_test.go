package apitest_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"latchkey/internal/auth"
	"latchkey/internal/test/check"
)

// create asks for a checkout with one item.
func (w *bazaar) create(t *testing.T, items ...any) answer {
	t.Helper()
	return w.as(t, w.robot, createQuery, map[string]any{"input": map[string]any{"accountId": "<away.account>",
		"items": items}})
}

// Every message of the original API, on the field that it is about.
func TestCheckoutMessages(t *testing.T) {
	const at = "checkout.createCheckout: "
	const noProduct, noScope = "Product is not supported for your account.", "Scope does not belong to account."
	eachBazaar(t, func(t *testing.T, w *bazaar) {
		w.subscribe(t, "gold", item(30))
		w.subscribe(t, "trial", item(30, with("pricingPlan.trialDays", 3)))
		w.draft(t, "<app1.number>")
		for _, tc := range []struct {
			name string
			item map[string]any
			want []string
		}{
			{"another account's app", item(1, with("product.id", "<away.app0>")),
				[]string{"NOT_FOUND input.items.0.product.id: " + noProduct}},
			{"an app that does not exist", item(1, with("product.id", "1")),
				[]string{"NOT_FOUND input.items.0.product.id: " + noProduct}},
			{"no number", item(1, with("product.id", "x")),
				[]string{"NOT_FOUND input.items.0.product.id: " + noProduct}},
			{"the partner's own store", item(1, with("scope.id", "<store0>")),
				[]string{"NOT_FOUND input.items.0.scope.id: " + noScope}},
			{"no store", item(1, with("scope.id", "none")),
				[]string{"NOT_FOUND input.items.0.scope.id: " + noScope}},
			{"another scope in a change", item(1, with("subscriptionId", "<gold>"), with("scope.id", "<store0>")),
				[]string{"INVALID input.items.0.scope.id: Scope updates are not allowed for an existing subscription."}},
			{"another product in a change", item(1, with("subscriptionId", "<gold>"), with("product.id", "<app1>")),
				[]string{"INVALID input.items.0.product.id: Product updates are not allowed for an existing subscription."}},
			{"a trial in a change", item(1, with("subscriptionId", "<gold>"), with("pricingPlan.trialDays", 3)),
				[]string{"INVALID input.items.0.pricingPlan.trialDays: Trial days cannot be added to existing subscriptions."}},
			{"a change in a trial", item(1, with("subscriptionId", "<trial>")),
				[]string{"INVALID input.items.0.subscriptionId: Checkouts are not available for existing trial subscriptions."}},
			{"a subscription that does not exist",
				item(1, with("subscriptionId", "bc/account/subscription/<account.uuid>")),
				[]string{"NOT_FOUND input.items.0.subscriptionId: Could not find active subscription."}},
			{"no ID of a subscription", item(1, with("subscriptionId", "x")),
				[]string{"NOT_FOUND input.items.0.subscriptionId: Could not find active subscription."}},
			{"a draft app", item(1, with("product.id", "<app1>")),
				[]string{"INVALID input.items.0.pricingPlan.price.value: A draft app can only ask for 0."}},
			{"another currency", item(1, with("pricingPlan.price.currencyCode", "EUR")),
				[]string{"INVALID input.items.0.pricingPlan.price.currencyCode: Only USD is billed."}},
		} {
			want := make([]string, len(tc.want))
			for i, line := range tc.want {
				want[i] = at + line
			}
			w.refuses(t, tc.name, w.create(t, tc.item), want...)
		}
		free := w.create(t, item(0, with("product.id", "<app1>")))
		check.Equal(t, free.failures(), []string{}, "a draft app that asks for 0")
	})
}

// Amounts are exact, as literals and as variables.
func TestAmountsAreExact(t *testing.T) {
	eachBazaar(t, func(t *testing.T, w *bazaar) {
		id := w.subscribe(t, "gold", item(1))
		const amounts = "An amount in USD is a number with at most 2 decimals, from 0 to 999999.99."
		preview := func(value string) answer {
			return w.as(t, w.robot, `mutation { subscription { previewChange(input: {subscriptionId: "`+id+`", pricingPlan: {
				interval: ANNUAL, price: {currencyCode: USD, value: `+value+`}}}) { charges { amount { value } } } } }`, nil)
		}
		for value, shown := range map[string]string{"999999.99": "999999.99", "0.01": "0.01", "19.90": "19.90",
			"7": "7.00", `"0.10"`: "0.10", "19.9000000000000000000000": "19.90"} {
			if got := preview(value); !strings.Contains(got.data, `{"amount":{"value":`+shown+`}}]`) {
				t.Errorf("%s: got %s %q, want the charge %s", value, got.data, got.failures(), shown)
			}
		}
		for _, value := range []string{"0.001", "19.990000000000000000001", "1000000.00", "-1"} {
			w.refuses(t, value, preview(value), "subscription.previewChange: INVALID input.pricingPlan.price.value: "+amounts)
		}
	})
}

// IDs are read in each form in which clients send them.
func TestFormsOfBillingIDs(t *testing.T) {
	eachBazaar(t, func(t *testing.T, w *bazaar) {
		for _, tc := range []struct{ account, product, scope string }{
			{"<away.account>", "bc/account/product/<app0.number>", "bc/account/scope/<away.store0.hash>"},
			{"<away.account.uuid>", "<app0>", "<away.store0.hash>"},
			{"<away.account>", "<app0.number>", "<away.store0>"},
			{"<away.account>", "<app0.number>", "<away.store0.uuid>"},
			{"<away.account>", "<app0.number>", "bc/account/store/<away.store0.hash>"},
		} {
			got := w.as(t, w.robot, createQuery, map[string]any{"input": map[string]any{"accountId": tc.account,
				"items": []any{item(1, with("product.id", tc.product), with("scope.id", tc.scope))}}})
			check.Equal(t, got.failures(), []string{}, "%v", tc)
		}
		w.subscribe(t, "gold", item(1))
		for _, filter := range []string{`ids: ["<gold>"]`, `ids: ["<gold.uuid>"]`, `productId: "<app0>"`,
			`productId: "<app0.number>"`, `productId: "bc/account/product/<app0.number>"`, `scopeId: "<away.store0>"`,
			`scopeId: "<away.store0.uuid>"`, `scopeId: "<away.store0.hash>"`,
			`scopeId: "bc/account/scope/<away.store0.hash>"`, `status: ACTIVE`, `updatedAfter: "2026-01-31T09:29:59Z"`,
			`productType: APPLICATION, scopeType: STORE`} {
			for who, by := range map[string]*auth.Principal{"partner": w.robot, "merchant": w.merchant} {
				w.answers(t, who+" filters by "+filter, w.as(t, by, `{ account { subscriptions(filters: {`+filter+
					`}) { edges { node { id } } } } }`, nil),
					`{"account": {"subscriptions": {"edges": [{"node": {"id": "<gold>"}}]}}}`)
			}
		}
		for _, filter := range []string{`ids: []`, `productId: "<app1>"`, `scopeId: "none"`, `status: SUSPENDED`,
			`status: CANCELLED`, `updatedAfter: "2026-01-31T09:30:00Z"`, `productType: NONE`} {
			w.answers(t, "filter by "+filter, w.as(t, w.robot, `{ account { subscriptions(filters: {`+filter+
				`}) { edges { node { id } } } } }`, nil), `{"account": {"subscriptions": {"edges": []}}}`)
		}
		for _, id := range []string{"<gold>", "<gold.uuid>"} {
			got := w.as(t, w.robot, `mutation { subscription { cancelSubscription(input: {id: "`+id+
				`", dryRun: true}) { subscriptionId } } }`, nil)
			w.answers(t, "cancel by "+id, got, `{"subscription": {"cancelSubscription": {"subscriptionId": "<gold>"}}}`)
		}
	})
}

// What a change is previewed to be charged is what it is charged.
func TestPreviewIsWhatIsCharged(t *testing.T) {
	eachBazaar(t, func(t *testing.T, w *bazaar) {
		id := w.subscribe(t, "gold", item(30))
		w.pass(t, 14*day)
		const fields = `kind amount { currencyCode value } periodStart periodEnd description`
		got := w.as(t, w.robot, `mutation { subscription { previewChange(input: {subscriptionId: "`+id+`",
			pricingPlan: {interval: MONTH, price: {currencyCode: USD, value: 60}}}) { at charges { `+fields+` } } } }`, nil)
		at := idIn(t, got, "subscription", "previewChange", "at")
		check.Equal(t, at, "2026-02-14T09:30:00Z", "at")
		_, charges, _ := strings.Cut(got.data[:strings.LastIndex(got.data, "]")], `"charges":[`)
		w.pass(t, 30*time.Minute)
		checkout := idIn(t, w.as(t, w.robot, createQuery, map[string]any{"input": map[string]any{
			"accountId": "<away.account>", "asOf": at, "items": []any{item(60, changing(id))}}}),
			"checkout", "createCheckout", "checkout", "id")
		w.approve(t, checkout)
		made := w.as(t, w.robot, `{ account { charges(first: 2) { nodes { `+fields+` } } } }`, nil)
		for _, charge := range strings.SplitAfter(charges, `"},`) {
			if charge = strings.TrimSuffix(charge, ","); !strings.Contains(made.data, charge) {
				t.Errorf("the previewed charge %s is not in %s", charge, made.data)
			}
		}
		w.pass(t, 2*time.Hour)
		w.refuses(t, "an old preview", w.as(t, w.robot, createQuery, map[string]any{"input": map[string]any{
			"accountId": "<away.account>", "asOf": at, "items": []any{item(70, changing(id))}}}),
			"checkout.createCheckout: INVALID input.asOf: The preview is older than an hour. Create a new one.")
	})
}

// Usage is charged within the cap, once for each key, and is invoiced at the end of the month.
func TestUsageToInvoice(t *testing.T) {
	eachBazaar(t, func(t *testing.T, w *bazaar) {
		id := w.subscribe(t, "gold", item(30, with("pricingPlan.cappedAmount", usd(10))))
		charge := func(amount, key string) answer {
			return w.as(t, w.robot, `mutation { charge { createCharge(input: {subscriptionId: "`+id+`", description: "Mails",
				amount: {currencyCode: USD, value: `+amount+`}, idempotencyKey: "`+key+`"}) {
				replayed charge { kind status amount { value } } } } }`, nil)
		}
		const made = `{"charge": {"createCharge": {"replayed": REPLAYED, "charge": {"kind": "USAGE", "status": "PENDING",
			"amount": {"value": 9.50}}}}}`
		w.answers(t, "usage", charge("9.50", "a"), strings.Replace(made, "REPLAYED", "false", 1))
		w.answers(t, "usage again", charge("9.50", "a"), strings.Replace(made, "REPLAYED", "true", 1))
		check.Equal(t, charge("1", "a").errors[0].Extensions.Code, "CONFLICT", "another amount with the key")
		limit := charge("0.51", "b").errors[0].Extensions
		check.Equal(t, limit.Code+" "+limit.Field+" "+limit.Remaining.String(), "LIMIT_REACHED input.amount.value 0.50",
			"more than the cap")
		w.pass(t, day)
		w.answers(t, "invoices", w.as(t, w.merchant, `{ account { invoices { totalCount nodes { month number currency
			total { value } lines { totalCount nodes { kind status amount { value } } } } } } }`, nil),
			`{"account": {"invoices": {"totalCount": 1, "nodes": [{"month": "2026-01", "number": 1, "currency": "USD",
			"total": {"value": 39.50}, "lines": {"totalCount": 2, "nodes": [
			{"kind": "RECURRING", "status": "INVOICED", "amount": {"value": 30.00}},
			{"kind": "USAGE", "status": "INVOICED", "amount": {"value": 9.50}}]}}]}}}`)
		w.answers(t, "revenue", w.as(t, w.robot, `{ account { revenue(from: "2026-01-01T00:00:00Z",
			to: "2026-03-01T00:00:00Z") { month amount { value } charges } } }`, nil),
			`{"account": {"revenue": [{"month": "2026-01", "amount": {"value": 39.50}, "charges": 2}]}}`)
	})
}

// Who may do what: the partner's token with the scope, the session of the partner's owner, that of the merchant's owner
// and of a store's owner.
func TestBillingAccess(t *testing.T) {
	eachBazaar(t, func(t *testing.T, w *bazaar) {
		w.subscribe(t, "gold", item(30))
		w.names["<waiting>"] = w.offer(t, item(30))
		const price = `pricingPlan: {interval: MONTH, price: {currencyCode: USD, value: 1}}`
		for _, tc := range []struct {
			query, scope string
			// merchant says that the merchant's owner may.
			merchant bool
		}{
			{`{ account { checkout(id: "<waiting>") { id } } }`, "account_checkouts_read", true},
			{`{ account { subscriptions { edges { cursor } } } }`, "account_subscriptions_read", true},
			{`{ account { charges { edges { cursor } } } }`, "account_charges_read", true},
			{`{ account { revenue(from: "2026-01-01T00:00:00Z", to: "2026-03-01T00:00:00Z") { month } } }`,
				"account_charges_read", false},
			{`{ node(id: "<waiting>") { id } }`, "account_checkouts_read", true},
			{`{ node(id: "<gold>") { id } }`, "account_subscriptions_read", true},
			{`mutation { subscription { previewChange(input: {subscriptionId: "<gold>", ` + price + `}) { at } } }`,
				"account_subscriptions_read", false},
			{`mutation { subscription { cancelSubscription(input: {id: "<gold>", dryRun: true}) { cancelledAt } } }`,
				"account_subscriptions_cancel", true},
			{`{ account { invoices { totalCount } } }`, "", true},
			{`mutation { subscription { suspendSubscription(input: {id: "<gold>"}) { subscription { status } } } }`, "", true},
			{`mutation { subscription { resumeSubscription(input: {id: "<gold>"}) { subscription { status } } } }`, "", true},
			{`mutation { checkout { declineCheckout(input: {id: "<waiting>"}) { checkout { declinedAt } } } }`, "", true},
		} {
			allowed := func(who string, by *auth.Principal, want bool) {
				t.Helper()
				got := w.as(t, by, tc.query, nil)
				if is := len(got.errors) == 0; is != want {
					t.Errorf("%s, %s: allowed %t, want %t: %q", who, tc.query, is, want, got.failures())
				}
			}
			if tc.scope != "" {
				allowed("the partner's token with the scope", w.holding(tc.scope), true)
				allowed("the partner's owner", w.owner, true)
			}
			allowed("the partner's token without the scope", w.holding(without(everyScope(), tc.scope)...), false)
			allowed("the merchant's owner", w.merchant, tc.merchant)
		}
		w.refuses(t, "the merchant as a partner", w.as(t, w.merchant, createQuery, map[string]any{
			"input": map[string]any{"accountId": "<account>", "items": []any{item(1)}}}),
			"checkout.createCheckout: FORBIDDEN [account_checkouts_create]")
	})
}

// Without a test clock, time cannot be moved.
func TestAdvanceTimeWithoutTestClock(t *testing.T) {
	const query = `mutation { system { advanceTime(input: {seconds: 60}) { now } } }`
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.refuses(t, "without a test clock", w.as(t, w.owner, query, nil), "system.advanceTime: FORBIDDEN: "+
			"The server has no test clock. Start it with latchkey serve --test-clock.")
		w.startClock(t)
		w.answers(t, "with one", w.as(t, w.owner, query, nil),
			`{"system": {"advanceTime": {"now": "2026-01-31T09:31:00Z"}}}`)
		w.refuses(t, "a token", w.as(t, w.robot, query, nil), "system.advanceTime: FORBIDDEN")
	})
}

// The lists of billing are walked page by page in both directions, and refuse pages of more than 50.
func TestBillingPages(t *testing.T) {
	eachBazaar(t, func(t *testing.T, w *bazaar) {
		items := make([]map[string]any, 7)
		for i := range items {
			items[i] = item(i, with("description", "Item "+strconv.Itoa(i)))
		}
		checkout := w.offer(t, items...)
		w.approve(t, checkout)
		w.pass(t, 6*31*day)
		for name, list := range map[string]struct {
			by           *auth.Principal
			query, field string
			largest      int
		}{
			"subscriptions": {w.robot, `{ account { subscriptions PAGE } }`, "id", 50},
			"charges":       {w.robot, `{ account { charges PAGE } }`, "id", 50},
			"invoices":      {w.merchant, `{ account { invoices PAGE } }`, "id", 50},
			"lines":         {w.merchant, `{ account { invoices(first: 1) { edges { node { lines PAGE } } } } }`, "id", 250},
			"items": {w.robot, `{ account { checkout(id: "` + checkout + `") { items PAGE } } }`, "id: description",
				250},
		} {
			query := strings.Replace(pageQuery(list.query), "node { id }", "node { "+list.field+" }", 1)
			p := pages{tenants: &tenants{api: w.api, home: w.home}, by: list.by, query: list.query, end: noKey}
			if list.by == w.merchant {
				p.home = w.away
			}
			if list.field == "id" {
				all := p.get(t, map[string]any{"first": 50})
				if len(all.Edges) < 6 {
					t.Fatalf("%s: only %d entries", name, len(all.Edges))
				}
				if !all.PageInfo.HasNextPage {
					check.Equal(t, p.forward(t, 3), all.ids(), "%s forward", name)
					check.Equal(t, p.backward(t, 3), all.ids(), "%s backward", name)
				}
			} else {
				got := w.as(t, list.by, query, map[string]any{"first": 3})
				if !strings.Contains(got.data, `"Item 0"`) || !strings.Contains(got.data, `"Item 2"`) ||
					strings.Contains(got.data, `"Item 3"`) || !strings.Contains(got.data, `"hasNextPage":true`) {
					t.Errorf("%s: the first three are %s", name, got.text)
				}
				got = w.as(t, list.by, query, map[string]any{"last": 2})
				if !strings.Contains(got.data, `"Item 5"`) || strings.Contains(got.data, `"Item 4"`) {
					t.Errorf("%s: the last two are %s", name, got.text)
				}
			}
			got := w.as(t, list.by, query, map[string]any{"first": list.largest + 1})
			if len(got.errors) != 1 || got.errors[0].Extensions.Field != "first" {
				t.Errorf("%s: a page of %d is answered %s", name, list.largest+1, got.text)
			}
		}
	})
}
