package billing

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/fault"
	"latchkey/internal/test/check"
)

// failures returns errors as text: kind, field and message, in order.
func failures(err error) []string {
	var lines []string
	for _, f := range fault.Flatten(err) {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s: %s", f.Kind, f.Field, f.Message)))
	}
	return lines
}

func TestRedirectURL(t *testing.T) {
	const incomplete = "INVALID redirectUrl: A redirect URL is a complete URL of at most 2048 characters."
	const insecure = "INVALID redirectUrl: A redirect URL uses https. Only localhost can use http."
	for text, want := range map[string]string{
		"https://app.example/welcome?x=1": "https://app.example/welcome?x=1",
		" app.example ":                   "https://app.example",
		"www.app.example/a":               "https://www.app.example/a",
		"app.example:8443/a":              "https://app.example:8443/a",
		"//app.example":                   "https://app.example",
		"localhost:3000/done":             "https://localhost:3000/done",
		"http://localhost:3000/done":      "http://localhost:3000/done",
		"http://127.0.0.1/":               "http://127.0.0.1/",
		"http://[::1]:80/":                "http://[::1]:80/",
		"http://app.example":              insecure,
		"http://localhost.evil.example":   insecure,
		"ftp://app.example":               insecure,
		"javascript:alert(1)":             incomplete,
		"JavaScript://x/%0aalert(1)":      insecure,
		"data:text/html,x":                incomplete,
		"https://\u0430cme.example": "INVALID redirectUrl: Write the host of a redirect URL in ASCII, such as " +
			"xn--mnchen-3ya.example: letters that look alike could mislead the merchant.",
		"https://user:pass@app.example": "INVALID redirectUrl: A redirect URL contains no user name or password.",
		"":                              incomplete,
		"https://":                      incomplete,
		"https://app.example/\n":        "https://app.example/",
		"https://app.example/\u202e":    incomplete,
		"https://a.example/" + strings.Repeat("a", MaxURL): incomplete,
	} {
		got, err := RedirectURL(text)
		if err != nil {
			got = strings.Join(failures(err), "\n")
		}
		check.Equal(t, got, want, "%.60q", text)
	}
}

// The IDs of the tests of requests.
var (
	theMerchant = uuid.UUID{0xc}
	theStore    = StoreOwner{ID: uuid.UUID{0xd}, OwnerID: uuid.UUID{0xe}, Hash: "acme1us", Name: "Acme US"}
	otherStore  = StoreOwner{ID: uuid.UUID{0xf}, OwnerID: uuid.UUID{0x10}, Hash: "acme2us", Name: "Acme EU"}
)

const (
	theApp   = int64(4711)
	theDraft = int64(4712)
)

func ptr[T any](v T) *T { return &v }

// item returns a valid request for a new subscription, after edits.
func item(edits ...func(*ItemRequest)) ItemRequest {
	r := ItemRequest{Description: "Order Sync", RedirectURL: "https://app.example", AppID: ptr(theApp),
		Store: &StoreRef{Hash: theStore.Hash}, Level: ptr("Pro"),
		Plan: PlanRequest{Interval: Month, Price: MoneyRequest{"USD", "29.00"}}}
	for _, edit := range edits {
		edit(&r)
	}
	return r
}

// changing makes the request one for a change of the subscription that stored returns.
func changing(r *ItemRequest) {
	r.SubscriptionID, r.AppID, r.Store = &uuid.UUID{0xa}, nil, nil
}

// decided returns what decide makes of a request at a time, with the subscription.
func decided(req CheckoutRequest, s Subscription, now time.Time) (Checkout, error) {
	o := offer{req: req, partnerID: uuid.UUID{0xb}, drafts: map[int64]bool{theApp: false, theDraft: true}}
	o.items, o.faults = req.check()
	if len(o.items) == 0 {
		return Checkout{}, o.faults.Err()
	}
	if req.MerchantID == theMerchant {
		o.stores = []StoreOwner{theStore, otherStore}
	}
	return o.decide(now, map[uuid.UUID]Subscription{s.ID: s})
}

// running returns a subscription of the store that is active since March.
func running() Subscription {
	s := approved("2026-03-10T09:00:00", Item{StoreID: theStore.ID, StoreHash: theStore.Hash, AppID: theApp,
		Interval: Month, Level: "basic", Price: Money{Minor: 1000}}).Subscription
	return s
}

// Each rule of createCheckout for one item, with its message and field.
func TestRulesOfCheckoutItems(t *testing.T) {
	trial := running()
	trial.TrialEndsAt, trial.ActivatedAt = date("2026-04-01"), date("2026-04-01")
	once := running()
	once.Terms = slices.Clone(once.Terms)
	once.Terms[0].Interval = Once
	suspended := running()
	suspended.Suspensions = []Span{{Start: date("2026-03-12")}}
	cancelled := Cancel(running(), true, date("2026-03-12T10:00:00")).Subscription
	draft := running()
	draft.AppID = theDraft
	const unknown = "NOT_FOUND items.0.subscriptionId: Could not find active subscription."
	const scope = "NOT_FOUND items.0.scope.id: Scope does not belong to account."
	const amount = "An amount in USD is a number with at most 2 decimals, from 0 to 999999.99."
	for _, tc := range []struct {
		name string
		of   Subscription
		edit func(*ItemRequest)
		want []string
	}{
		{"a valid item", running(), func(*ItemRequest) {}, nil},
		{"a store by its ID", running(), func(r *ItemRequest) { r.Store = &StoreRef{ID: theStore.ID} }, nil},
		{"a valid change", running(), changing, nil},
		{"the same product and scope", running(), func(r *ItemRequest) {
			changing(r)
			r.AppID, r.Store = ptr(theApp), &StoreRef{ID: theStore.ID}
		}, nil},
		{"a draft app for 0", running(), func(r *ItemRequest) {
			r.AppID, r.Plan.Price.Value = ptr(theDraft), "0"
		}, nil},

		{"an app of another account", running(), func(r *ItemRequest) { r.AppID = ptr(int64(1)) },
			[]string{"NOT_FOUND items.0.product.id: Product is not supported for your account."}},
		{"no app", running(), func(r *ItemRequest) { r.AppID = nil },
			[]string{"INVALID items.0.product.id: Name the app."}},
		{"a store of another account", running(), func(r *ItemRequest) { r.Store.Hash = "other" }, []string{scope}},
		{"an ID that is none", running(), func(r *ItemRequest) { r.Store = &StoreRef{} }, []string{scope}},
		{"no store", running(), func(r *ItemRequest) { r.Store = nil },
			[]string{"INVALID items.0.scope.id: Name the store."}},
		{"another store in a change", running(), func(r *ItemRequest) {
			changing(r)
			r.Store = &StoreRef{Hash: otherStore.Hash}
		}, []string{"INVALID items.0.scope.id: Scope updates are not allowed for an existing subscription."}},
		{"another app in a change", running(), func(r *ItemRequest) {
			changing(r)
			r.AppID = ptr(theDraft)
		}, []string{"INVALID items.0.product.id: Product updates are not allowed for an existing subscription."}},
		{"trial days in a change", running(), func(r *ItemRequest) {
			changing(r)
			r.Plan.TrialDays = 7
		}, []string{"INVALID items.0.pricingPlan.trialDays: Trial days cannot be added to existing subscriptions."}},
		{"a change in a trial", trial, changing, []string{
			"INVALID items.0.subscriptionId: Checkouts are not available for existing trial subscriptions."}},
		{"a change of a suspended subscription", suspended, changing, []string{unknown}},
		{"a change of an ended subscription", cancelled, changing, []string{unknown}},
		{"a change of an unknown subscription", running(), func(r *ItemRequest) {
			changing(r)
			r.SubscriptionID = &uuid.UUID{}
		}, []string{unknown}},
		{"a change of a one-time subscription", once, changing,
			[]string{"INVALID items.0.subscriptionId: A subscription that is paid once cannot be changed."}},
		{"a change into what is paid once", running(), func(r *ItemRequest) {
			changing(r)
			r.Plan.Interval = Once
		}, []string{"INVALID items.0.pricingPlan.interval: A subscription cannot be changed into one that is paid once."}},

		{"a draft app for money", running(), func(r *ItemRequest) {
			r.AppID, r.Plan.Cap = ptr(theDraft), &MoneyRequest{"USD", "1"}
		}, []string{"INVALID items.0.pricingPlan.price.value: A draft app can only ask for 0.",
			"INVALID items.0.pricingPlan.cappedAmount.value: A draft app can only ask for 0."}},
		{"a change of a draft app for money", draft, changing,
			[]string{"INVALID items.0.pricingPlan.price.value: A draft app can only ask for 0."}},
		{"euros", running(), func(r *ItemRequest) { r.Plan.Price.CurrencyCode = "EUR" },
			[]string{"INVALID items.0.pricingPlan.price.currencyCode: Only USD is billed."}},
		{"a negative price", running(), func(r *ItemRequest) { r.Plan.Price.Value = "-1" },
			[]string{"INVALID items.0.pricingPlan.price.value: " + amount}},
		{"a price that is too high", running(), func(r *ItemRequest) { r.Plan.Price.Value = "1000000" },
			[]string{"INVALID items.0.pricingPlan.price.value: " + amount}},
		{"parts of cents", running(), func(r *ItemRequest) { r.Plan.Cap = &MoneyRequest{"USD", "0.005"} },
			[]string{"INVALID items.0.pricingPlan.cappedAmount.value: " + amount}},
		{"a cap for what is paid once", running(), func(r *ItemRequest) {
			r.Plan.Interval, r.Plan.Cap = Once, &MoneyRequest{"USD", "1"}
		}, []string{"INVALID items.0.pricingPlan.cappedAmount: A subscription that is paid once has no usage to cap."}},
		{"an interval that does not exist", running(), func(r *ItemRequest) { r.Plan.Interval = "WEEK" },
			[]string{`INVALID items.0.pricingPlan.interval: There is no billing interval "WEEK".`}},
		{"a long trial", running(), func(r *ItemRequest) { r.Plan.TrialDays = 1001 },
			[]string{"INVALID items.0.pricingPlan.trialDays: A trial lasts 0 to 1000 days."}},
		{"no description", running(), func(r *ItemRequest) { r.Description = " " },
			[]string{"INVALID items.0.description: A description has 1 to 1000 characters."}},
		{"a level of several lines", running(), func(r *ItemRequest) { r.Level = ptr("a\nb") },
			[]string{"INVALID items.0.product.productLevel: A product level is one line of plain text."}},
		{"http", running(), func(r *ItemRequest) { r.RedirectURL = "http://app.example" }, []string{
			"INVALID items.0.redirectUrl: A redirect URL uses https. Only localhost can use http."}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := decided(CheckoutRequest{MerchantID: theMerchant, Items: []ItemRequest{item(tc.edit)}}, tc.of,
				date("2026-03-20T12:00:00"))
			check.Equal(t, failures(err), tc.want, "the errors")
		})
	}
}

// Everything that a request breaks is said at once, item by item.
func TestCheckoutSaysAllBrokenRules(t *testing.T) {
	at := date("2026-03-20T12:00:00")
	bad := item(func(r *ItemRequest) {
		r.Description, r.RedirectURL, r.AppID, r.Store = "", "ftp://x.example", ptr(int64(1)), &StoreRef{Hash: "other"}
		r.Plan = PlanRequest{Interval: "X", Price: MoneyRequest{"EUR", "1"}, TrialDays: -1}
	})
	_, err := decided(CheckoutRequest{MerchantID: theMerchant, Items: []ItemRequest{item(), bad}, Key: ptr(""),
		AsOf: at.Add(time.Second)}, running(), at)
	check.Equal(t, failures(err), []string{
		`INVALID items.1.pricingPlan.interval: There is no billing interval "X".`,
		"INVALID items.1.pricingPlan.price.currencyCode: Only USD is billed.",
		"INVALID items.1.pricingPlan.trialDays: A trial lasts 0 to 1000 days.",
		"INVALID items.1.description: A description has 1 to 1000 characters.",
		"INVALID items.1.redirectUrl: A redirect URL uses https. Only localhost can use http.",
		"INVALID idempotencyKey: An idempotency key has 1 to 255 characters.",
		"INVALID asOf: The time of a change must not be in the future.",
		"NOT_FOUND items.1.product.id: Product is not supported for your account.",
		"NOT_FOUND items.1.scope.id: Scope does not belong to account.",
	}, "the errors")
}

// The rules that are about the whole checkout.
func TestRulesOfCheckouts(t *testing.T) {
	at := date("2026-03-20T12:00:00")
	inOther := item(func(r *ItemRequest) { r.Store = &StoreRef{ID: otherStore.ID} })
	long := item(func(r *ItemRequest) { r.Description = strings.Repeat("a", 900) })
	for _, tc := range []struct {
		name string
		req  CheckoutRequest
		want []string
	}{
		{"an unknown account", CheckoutRequest{MerchantID: uuid.UUID{1}, Items: []ItemRequest{item()}},
			[]string{"NOT_FOUND items.0.scope.id: Scope does not belong to account."}},
		{"a subscription of another merchant", CheckoutRequest{MerchantID: uuid.UUID{1},
			Items: []ItemRequest{item(changing)}},
			[]string{"NOT_FOUND items.0.subscriptionId: Could not find active subscription."}},
		{"no items", CheckoutRequest{MerchantID: theMerchant},
			[]string{"INVALID items: A checkout has 1 to 50 items."}},
		{"51 items", CheckoutRequest{MerchantID: theMerchant, Items: slices.Repeat([]ItemRequest{item()}, 51)},
			[]string{"INVALID items: A checkout has 1 to 50 items."}},
		{"50 items", CheckoutRequest{MerchantID: theMerchant, Items: slices.Repeat([]ItemRequest{item()}, 50)}, nil},
		{"50 long items", CheckoutRequest{MerchantID: theMerchant, Items: slices.Repeat([]ItemRequest{long}, 50)},
			[]string{"INVALID items: The texts of the items are too long: all items together have 62985 bytes of JSON, " +
				"at most 32000. Shorten the descriptions and URLs, or create several checkouts."}},
		{"stores of two owners", CheckoutRequest{MerchantID: theMerchant, Items: []ItemRequest{item(), inOther}},
			[]string{"INVALID items.1.scope.id: The stores of the items have different owners. Create a checkout for " +
				"each owner."}},
		{"a change for a store of another owner", CheckoutRequest{MerchantID: theMerchant,
			Items: []ItemRequest{inOther, item(changing)}},
			[]string{"INVALID items.1.scope.id: The stores of the items have different owners. Create a checkout for " +
				"each owner."}},
		{"a subscription twice", CheckoutRequest{MerchantID: theMerchant,
			Items: []ItemRequest{item(changing), item(changing)}},
			[]string{"INVALID items.1.subscriptionId: One item at most changes a subscription."}},
		{"an hour ago", CheckoutRequest{MerchantID: theMerchant, Items: []ItemRequest{item(changing)},
			AsOf: at.Add(-time.Hour)}, nil},
		{"more than an hour ago", CheckoutRequest{MerchantID: theMerchant, Items: []ItemRequest{item(changing)},
			AsOf: at.Add(-time.Hour - time.Second)},
			[]string{"INVALID asOf: The preview is older than an hour. Create a new one."}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := decided(tc.req, running(), at)
			check.Equal(t, failures(err), tc.want, "the errors")
		})
	}
}

// A checkout is as it was asked for: trimmed, with whole amounts, and for 24 hours.
func TestCheckoutAsAskedFor(t *testing.T) {
	at := date("2026-03-20T12:00:00")
	first := item(func(r *ItemRequest) {
		r.Description, r.RedirectURL, r.Plan.TrialDays = " Order Sync ", "app.example", 14
		r.Plan.Cap = &MoneyRequest{"USD", "50"}
	})
	c, err := decided(CheckoutRequest{MerchantID: theMerchant, Items: []ItemRequest{first, item(func(r *ItemRequest) {
		changing(r)
		r.Level = nil
	})}}, running(), at)
	if err != nil {
		t.Fatal(err)
	}
	check.Equal(t, c.ExpiresAt, at.Add(24*time.Hour), "when it expires")
	check.Equal(t, c.ID, uuid.Nil, "the ID of an object that is not stored")
	check.Equal(t, *c.Items[0].Cap, 5000, "the cap")
	c.Items[0].Cap = nil
	check.Equal(t, c.Items, []Item{
		{AppID: theApp, StoreID: theStore.ID, StoreHash: theStore.Hash, Level: "Pro", Description: "Order Sync",
			RedirectURL: "https://app.example", Interval: Month, Price: Money{2900, "USD"}, TrialDays: 14},
		{AppID: theApp, StoreID: theStore.ID, StoreHash: theStore.Hash, Level: "basic", Description: "Order Sync",
			RedirectURL: "https://app.example", Interval: Month, Price: Money{2900, "USD"},
			SubscriptionID: uuid.UUID{0xa}, Changes: true},
	}, "the items")
}

// Requests that mean the same have the same digest, and others do not.
func TestRuleIdempotencyDigests(t *testing.T) {
	digest := func(edit func(*CheckoutRequest)) string {
		req := CheckoutRequest{MerchantID: theMerchant, Items: []ItemRequest{item()}}
		edit(&req)
		o := offer{req: req}
		o.items, o.faults = req.check()
		return fmt.Sprintf("%x", o.digest())
	}
	same := digest(func(*CheckoutRequest) {})
	for name, edit := range map[string]func(*CheckoutRequest){
		"other decimals":   func(r *CheckoutRequest) { r.Items[0].Plan.Price.Value = "29" },
		"spaces":           func(r *CheckoutRequest) { r.Items[0].Description = " Order Sync " },
		"a dry run":        func(r *CheckoutRequest) { r.DryRun = true },
		"an https URL":     func(r *CheckoutRequest) { r.Items[0].RedirectURL = "app.example" },
		"the key that was": func(r *CheckoutRequest) { r.Key = ptr("k") },
	} {
		check.Equal(t, digest(edit), same, "the digest with %s", name)
	}
	for name, edit := range map[string]func(*CheckoutRequest){
		"another price":    func(r *CheckoutRequest) { r.Items[0].Plan.Price.Value = "29.01" },
		"another store":    func(r *CheckoutRequest) { r.Items[0].Store = &StoreRef{Hash: "other"} },
		"another app":      func(r *CheckoutRequest) { r.Items[0].AppID = ptr(int64(1)) },
		"a cap":            func(r *CheckoutRequest) { r.Items[0].Plan.Cap = &MoneyRequest{"USD", "0"} },
		"a change":         func(r *CheckoutRequest) { changing(&r.Items[0]) },
		"another merchant": func(r *CheckoutRequest) { r.MerchantID = uuid.UUID{1} },
		"a moment":         func(r *CheckoutRequest) { r.AsOf = date("2026-03-20") },
		"two items":        func(r *CheckoutRequest) { r.Items = append(r.Items, r.Items[0]) },
		"a broken rule":    func(r *CheckoutRequest) { r.Items[0].Plan.Price.Value = "x" },
	} {
		if digest(edit) == same {
			t.Errorf("the digest with %s is the same", name)
		}
	}
}

func TestStanding(t *testing.T) {
	for _, c := range []struct {
		s    Standing
		want fault.Kind
	}{
		{Standing{Open: MaxOpen - 1, OpenForMerchant: MaxOpenForMerchant - 1}, ""},
		{Standing{Open: MaxOpen, OpenForMerchant: 1}, fault.LimitReached},
		{Standing{Open: 20, OpenForMerchant: MaxOpenForMerchant}, fault.LimitReached},
		{Standing{MerchantSuspended: true}, fault.Conflict},
	} {
		got, _ := kind(c.s.check())
		check.Equal(t, got, c.want, "the kind of the error for %+v", c.s)
	}
}
