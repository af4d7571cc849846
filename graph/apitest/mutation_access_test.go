package apitest_test

import (
	"slices"
	"strings"
	"testing"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// effective are inputs with which mutations have an effect.
var effective = map[string]string{
	"ApiTokenMutations.createApiToken":  `input: {name: "Made", scopes: ["store_cart"], storeId: "<store0>"}`,
	"ApiTokenMutations.updateApiToken":  `input: {id: "<Till>", name: "Narrower"}`,
	"ApiTokenMutations.rotateApiToken":  `input: {id: "<Till>"}`,
	"ApiTokenMutations.revokeApiTokens": `input: {ids: ["<Till>"]}`,

	"AppMutations.createEventSource":       `input: {appId: "<app0>", awsAccount: "123456789012", eventSourceName: "made", eventSourceRegion: US_EAST_1}`,
	"AppMutations.deleteEventSource":       `input: {appId: "<app0>", id: "<orders>"}`,
	"WebhookMutations.createWebhook":       `input: {url: "https://hooks.example/", eventTypes: ["webhook.*"]}`,
	"WebhookMutations.updateWebhook":       `input: {id: "<Hook>", description: "Another"}`,
	"WebhookMutations.rotateWebhookSecret": `input: {id: "<Hook>"}`,
	"WebhookMutations.sendTestEvent":       `input: {id: "<Hook>"}`,
	"WebhookMutations.replayDeliveries":    `input: {webhookId: "<Hook>", since: "2026-01-01T00:00:00Z"}`,
	"WebhookMutations.deleteWebhook":       `input: {id: "<Hook>"}`,

	"CheckoutMutations.createCheckout": `input: {accountId: "<account>", items: [{description: "Gold", redirectUrl: "https://partner.example/",
		product: {id: "<app0>", productLevel: "Gold"}, scope: {id: "<store0>"},
		pricingPlan: {interval: MONTH, price: {currencyCode: USD, value: 10}, cappedAmount: {currencyCode: USD, value: 5}, trialDays: 3}}]}`,
	"CheckoutMutations.approveCheckout":         `input: {id: "<Checkout>"}`,
	"CheckoutMutations.declineCheckout":         `input: {id: "<Checkout>"}`,
	"SubscriptionMutations.cancelSubscription":  `input: {id: "<Subscription>"}`,
	"SubscriptionMutations.previewChange":       `input: {subscriptionId: "<Subscription>", pricingPlan: {interval: MONTH, price: {currencyCode: USD, value: 20}}}`,
	"SubscriptionMutations.suspendSubscription": `input: {id: "<Subscription>"}`,
	"SubscriptionMutations.resumeSubscription":  `input: {id: "<Subscription>"}`,
	"ChargeMutations.createCharge":              `input: {subscriptionId: "<Subscription>", description: "Mails", amount: {currencyCode: USD, value: 0.01}, idempotencyKey: "made"}`,
	"ChargeMutations.deleteCharge":              `input: {id: "<Charge>"}`,
	"ChargeMutations.creditCharge":              `input: {chargeId: "<Charge>", amount: {currencyCode: USD, value: 0.01}, reason: "Wrong", idempotencyKey: "made"}`,
	"SystemMutations.advanceTime":               `input: {seconds: 0}`,

	"AccountMutations.addUserToAccount":     `input: {email: "<away.user0.email>"}`,
	"AccountMutations.transferOwnership":    `input: {userId: "<user2>", storeId: "<store2>"}`,
	"AccountMutations.updateAccount":        `input: {offboardingPolicy: REVOKE_TOKENS}`,
	"StoreMutations.createStore":            `input: {name: "Made"}`,
	"StoreMutations.updateStore":            `input: {storeId: "<store0>", name: "Another"}`,
	"UserMutations.createUser":              `input: {email: "made@acme.example", firstName: "Made", lastName: "Here", locale: "en"}`,
	"UserMutations.createUserWithPassword":  `input: {email: "made@acme.example", firstName: "Made", lastName: "Here", locale: "en", password: "a long sentence", passwordConfirmation: "a long sentence"}`,
	"UserMutations.addUserToStore":          `input: {storeId: "<store0>", user: {id: "<user2>"}}`,
	"UserMutations.removeUserFromStore":     `input: {storeId: "<store1>", userId: "<user1>"}`,
	"UserMutations.updateUser":              `input: {userId: "<user1>", firstName: "Another"}`,
	"UserMutations.setStoreUserPermissions": `input: {storeId: "<store0>", userId: "<user0>", permissions: ["Add_Pages"]}`,
	"UserMutations.setStoreUserStatus":      `input: {storeId: "<store0>", userId: "<user0>", status: INACTIVE}`,
}

func (w *tenants) effect(s step) string {
	if input := effective[s.name()]; input != "" {
		return w.fill(input)
	}
	return w.given(s)
}

// A mutation of whose result something is selected that may not be read has no effect: what it made would be lost.
func TestRefusedResultsHaveNoEffect(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.keep(t)
		before := dbtest.Dump(t, w.URL)
		tried := 0
		for _, f := range guardedFields() {
			mutation := f.route[len(f.route)-1]
			if !isMutation(mutation) {
				continue
			}
			for _, result := range guardedResults(mutation) {
				whole := append(slices.Clone(f.route), result...)
				query := whole.query(1, w.effect)
				lacking, _ := result[len(result)-1].requires()
				got := w.ask(t, w.home.Account.ID, w.holding(without(everyScope(), lacking[0])...), query, nil)
				check.Equal(t, got.failures(), []string{f.String() + ": FORBIDDEN [" + lacking[0] + "]"}, "%s", query)
				tried++
			}
		}
		if tried < 4*7 { // a store below the token that each of the four mutations of API tokens answers
			t.Errorf("tried results: got %d, want at least %d", tried, 4*7)
		}
		check.Equal(t, dbtest.Dump(t, w.URL), before, "the database after a refusal")
		w.haveEffect(t)
	})
}

// guardedResults are the ways below a mutation to the fields of its result that need other scopes than the mutation.
func guardedResults(mutation step) []route {
	own, _ := mutation.requires()
	var results []route
	for _, f := range guardedFields() {
		target := f.route[len(f.route)-1]
		if isMutation(target) || slices.Contains(own, f.scopes[0]) {
			continue
		}
		if way := routeTo(mutation.below(), target, throughNode); way != nil {
			results = append(results, way)
		}
	}
	return results
}

// haveEffect lets the same mutations run. Revoking comes last: what is revoked cannot be changed.
func (w *tenants) haveEffect(t *testing.T) {
	t.Helper()
	for _, name := range []string{"createApiToken", "updateApiToken", "rotateApiToken", "revokeApiTokens"} {
		before := dbtest.Dump(t, w.URL)
		query := "mutation { apiToken { " + name + "(" + w.fill(effective["ApiTokenMutations."+name]) +
			") { __typename } } }"
		if got := w.ask(t, w.home.Account.ID, w.owner, query, nil); len(got.errors) > 0 ||
			dbtest.Dump(t, w.URL) == before {
			t.Errorf("%s: got %q, want no errors and a change of the database", name, got.failures())
		}
	}
}

// What the query leaves out does not count, and neither does a fragment that is not of the result's type.
func TestResultsThatAreLeftOut(t *testing.T) {
	const query = `mutation($show: Boolean!) { apiToken { createApiToken(input: {name: "Made", scopes: ["store_cart"], storeId: "<store0>"}) {
		apiToken { id store @include(if: $show) { name } ...Named @skip(if: true) } } } } fragment Named on ApiToken { store { storeHash } }`
	eachTenants(t, func(t *testing.T, w *tenants) {
		by := w.holding("account_api_tokens_write", "store_cart", "store_cart_read_only")
		w.run(t, []scenario{
			{
				name: "shown", by: by, query: query, variables: map[string]any{"show": true},
				data:   `{"apiToken": {"createApiToken": null}}`,
				errors: []string{"apiToken.createApiToken: FORBIDDEN [account_stores_read]"},
			},
			{
				name: "several that may not be read, and the mutation itself", by: w.holding("store_cart"),
				data: `{"apiToken": {"createApiToken": null}}`,
				query: `mutation { apiToken { createApiToken(input: {name: "Made", scopes: ["store_cart"], storeId: "<store0>"}) {
					apiToken { store { name owner { email } users { edges { node { id } } } } } } } }`,
				errors: []string{"apiToken.createApiToken: FORBIDDEN [account_api_tokens_write account_stores_read account_users_read]"},
			},
			{name: "left out", by: by, query: query, variables: map[string]any{"show": false},
				has: []string{`{"apiToken":{"id":"bc/account/apiToken/`}, lacks: []string{"store"}},
		})
	})
}

// A mutation that is refused does not keep the others of the request from running, in their order.
func TestRefusedMutationAmongOthers(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		got := w.ask(t, w.home.Account.ID, w.holding("account_api_tokens_write", "store_cart", "store_cart_read_only"), w.fill(`mutation { apiToken {
			a: createApiToken(input: {name: "First", scopes: ["store_cart"], storeId: "<store0>"}) { apiToken { name } }
			b: createApiToken(input: {name: "Second", scopes: ["store_cart"], storeId: "<store0>"}) { apiToken { store { name } } }
			c: createApiToken(input: {name: "Third", scopes: ["store_cart"], storeId: "<store0>"}) { apiToken { name } } }
			user { createUser(input: {email: "a@b.example", firstName: "A", lastName: "B", locale: "en"}) { user { id } } } }`), nil)
		const want = `{"apiToken":{"a":{"apiToken":{"name":"First"}},"b":null,"c":{"apiToken":{"name":"Third"}}},"user":{"createUser":null}}`
		failures := []string{"apiToken.b: FORBIDDEN [account_stores_read]",
			"user.createUser: FORBIDDEN [account_users_write]"}
		if got.data != want || !slices.Equal(got.failures(), failures) {
			t.Errorf("got %s, %q, want %s, %q", got.data, got.failures(), want, failures)
		}
		var names struct {
			Account struct {
				Stores struct {
					Edges []struct {
						Node struct {
							APITokens struct {
								Edges []struct{ Node struct{ Name string } }
							}
						}
					}
				}
			}
		}
		w.ask(t, w.home.Account.ID, w.owner,
			`{ account { stores(last: 1) { edges { node { apiTokens { edges { node { name } } } } } } } }`, nil).into(t,
			&names)
		var there []string
		for _, e := range names.Account.Stores.Edges[0].Node.APITokens.Edges {
			there = append(there, e.Node.Name)
		}
		check.Equal(t, strings.Join(there, " "), "Third First", "tokens")
	})
}
