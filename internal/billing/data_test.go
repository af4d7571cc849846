package billing

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/test/check"
)

// shape returns the names of all fields of a JSON object, also of those within it, in order. A list counts as its first
// element.
func shape(t *testing.T, path string, value any) []string {
	t.Helper()
	switch v := value.(type) {
	case map[string]any:
		var names []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			names = append(append(names, path+name), shape(t, path+name+".", v[name])...)
		}
		return names
	case []any:
		if len(v) == 0 {
			t.Fatalf("%s is empty", path)
		}
		return shape(t, path, v[0])
	}
	return nil
}

func decodedShape(t *testing.T, data []byte) []string {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal(data, &object); err != nil {
		t.Fatal(err)
	}
	return shape(t, "", object)
}

// The documented example of each event of billing has the fields of its data.
func TestExamplesOfEvents(t *testing.T) {
	limit := int64(5000)
	s := approved("2026-03-10T09:20:00", Item{StoreHash: "acme1us", AppID: theApp, Interval: Month, Level: "Pro",
		Price: Money{Minor: 2900}, Cap: &limit}).Subscription
	c := Checkout{Items: []Item{{Price: Money{2900, "USD"}, Cap: &limit}}}
	data := map[string]json.RawMessage{
		"checkout":     c.Data(),
		"subscription": s.Data(date("2026-03-20")),
		"charge":       Charge{Amount: Money{1200, "USD"}}.Data(),
		"invoice":      Invoice{Total: Money{4100, "USD"}}.Data(),
	}
	seen := 0
	for _, info := range audit.Catalogue() {
		if of, known := data[audit.Action(info.Name).Thing()]; known {
			check.Equal(t, decodedShape(t, []byte(info.Example)), decodedShape(t, of), "the example of %s", info.Name)
			seen++
		}
	}
	check.Equal(t, seen, 13, "types of events of billing")
}

// The data of an event has the form of the API's objects.
func TestDataOfEvents(t *testing.T) {
	s := approved("2026-03-10T09:20:00", Item{StoreHash: "acme1us", AppID: theApp, Interval: Month, Level: "Pro",
		Price: Money{Minor: 2900}}).Subscription
	s.Suspensions = []Span{{Start: date("2026-03-12")}}
	changed := s
	changed.Terms = nil
	for n := range 7 {
		changed.Terms = append(changed.Terms, Term{Level: fmt.Sprintf("Level %d", n), Price: s.Term().Price})
	}
	check.Equal(t, strings.Count(string(changed.Data(date("2026-03-20"))), `"productLevel":"Level`), 6,
		"the level and the newest five terms in the data of a subscription with seven")
	for name, tc := range map[string]struct {
		data json.RawMessage
		want []string
	}{
		"a subscription": {s.Data(date("2026-03-20")), []string{`"status":"SUSPENDED"`, `"trialEndsAt":null`,
			`"currentPeriodEnd":"2026-04-10T00:00:00Z"`, `"suspendedAt":"2026-03-12T00:00:00Z"`,
			`"pricePerInterval":{"currencyCode":"USD","value":29.00}`, `"cappedAmount":null`,
			`"product":{"id":"bc/account/product/4711","productLevel":"Pro","type":"APPLICATION"}`,
			`"scope":{"id":"bc/account/scope/acme1us","type":"STORE"}`,
			`"accountId":"bc/account/account/0c000000-0000-0000-0000-000000000000"`}},
		"a declined checkout": {Checkout{State: Declined, DeclinedAt: date("2026-03-12"),
			Items: []Item{{Price: Money{0, "USD"}}}}.Data(), []string{`"status":"PENDING"`,
			`"declinedAt":"2026-03-12T00:00:00Z"`, `"subscriptionId":null`, `"value":0.00`, `"trialDays":null`}},
		"an approved checkout": {Checkout{State: Approved, Items: []Item{{Price: Money{5, "USD"}, TrialDays: 14,
			SubscriptionID: uuid.UUID{0xa}}}}.Data(), []string{`"status":"COMPLETE"`, `"trialDays":14`, `"value":0.05`,
			`"subscriptionId":"bc/account/subscription/0a000000-0000-0000-0000-000000000000"`}},
		"a credit": {Charge{Kind: Credit, Amount: Money{-150, "USD"}, CreditOf: uuid.UUID{1}}.Data(),
			[]string{`"value":-1.50`, `"creditOf":"bc/account/charge/01000000-0000-0000-0000-000000000000"`,
				`"invoiceId":null`, `"periodStart":null`}},
	} {
		for _, want := range tc.want {
			if !strings.Contains(string(tc.data), want) {
				t.Errorf("the data of %s is %s, want %s in it", name, tc.data, want)
			}
		}
	}
}

// An account's log does not show who acts in another account, nor from where.
func TestAuthorInOtherLogs(t *testing.T) {
	own, other := uuid.UUID{1}, uuid.UUID{2}
	a := author{actor: audit.Actor{Kind: audit.ActorUser, ID: uuid.UUID{3}, Name: "ann@acme.example"}, accountID: own,
		accountName: "Acme", ip: "192.0.2.1", requestID: "r-1", at: time.Unix(1, 0)}
	target := audit.Target{Kind: audit.TargetCheckout, Key: "k"}
	events := a.both(own, other, audit.CheckoutCreated, target, nil, nil)
	check.Equal(t, len(events), 2, "events")
	check.Equal(t, fmt.Sprint(events[0].AccountID, events[0].Actor, events[0].IP, events[0].RequestID),
		fmt.Sprint(own, a.actor, "192.0.2.1", "r-1"), "the event of the own log")
	check.Equal(t, fmt.Sprint(events[1].AccountID, events[1].Actor, events[1].IP, events[1].RequestID),
		fmt.Sprint(other, audit.Actor{Kind: audit.ActorUser, Name: "Acme"}, "", ""), "the event of the other log")
	check.Equal(t, len(a.both(own, own, audit.CheckoutCreated, target, nil, nil)), 1, "events of one account")
	carried := Charge{MerchantID: other, Kind: Carried, Amount: Money{1, "USD"}}
	check.Equal(t, a.charge(audit.ChargeCreated, carried).AccountID, other, "the log of carried charges")
}
