package promises_test

import (
	"fmt"
	"strings"

	dbtest "latchkey/internal/test/db"
)

// Acme's app charges Acme's own store, so that each actor of the account can be a partner and a merchant.

var (
	dollar = vars{"currencyCode": "USD", "value": 1}
	// newCheckout is the input for a checkout.
	newCheckout = vars{"accountId": acme, "items": []vars{{"description": "Gold", "redirectUrl": "https://app.example",
		"product": vars{"id": "4711", "type": "APPLICATION"}, "scope": vars{"id": "acme1us", "type": "STORE"},
		"pricingPlan": vars{"interval": "MONTH", "price": dollar,
			"cappedAmount": vars{"currencyCode": "USD", "value": 1000}}}}}
)

// newCharge is the input for a charge of a subscription.
func newCharge(subscription, key string) vars {
	return vars{"subscriptionId": subscription, "description": "Mails", "amount": dollar, "idempotencyKey": key}
}

// changing is a write of a group whose input is the ID of the changed object.
func changing(group, name string) write {
	return write{userMutation(group, name), func(p *fixture) vars { return vars{"id": p.billed[name]} }}
}

// made sends a mutation of the account's owner, and returns the ID at the path of its result.
func (c *actors) made(group, name string, in vars, selection, path string) string {
	c.t.Helper()
	query := fmt.Sprintf("mutation($in: %s%sInput!) { %s { %s(input: $in) { %s } } }", strings.ToUpper(name[:1]),
		name[1:], group, name, selection)
	return c.n.must(c.owner, acme, query, vars{"in": in}).text(group + "." + name + "." + path)
}

// subscription returns a new subscription.
func (c *actors) subscription() string {
	c.t.Helper()
	return c.made("checkout", "approveCheckout", vars{"id": c.checkout()},
		"checkout { items { edges { node { subscriptionId } } } }", "checkout.items.edges.0.node.subscriptionId")
}

func (c *actors) checkout() string {
	c.t.Helper()
	return c.made("checkout", "createCheckout", newCheckout, "checkout { id }", "checkout.id")
}

// billingTargets creates what the writes of billing change.
func (c *actors) billingTargets() map[string]string {
	c.t.Helper()
	billed := map[string]string{"approveCheckout": c.checkout(), "declineCheckout": c.checkout()}
	for _, name := range []string{"cancelSubscription", "suspendSubscription", "resumeSubscription", "createCharge"} {
		billed[name] = c.subscription()
	}
	c.made("subscription", "suspendSubscription", vars{"id": billed["resumeSubscription"]}, "subscription { id }",
		"subscription.id")
	for _, name := range []string{"deleteCharge", "creditCharge"} {
		billed[name] = c.made("charge", "createCharge", newCharge(billed["createCharge"], name), "charge { id }",
			"charge.id")
	}
	// Only what is on an invoice is credited, and a month does not end during the test.
	_, key, _ := strings.Cut(billed["creditCharge"], "charge/")
	invoiced := "UPDATE charges SET status = 'INVOICED' WHERE id = '" + key + "'"
	dbtest.Exec(c.t, c.url, invoiced, invoiced)
	return billed
}
