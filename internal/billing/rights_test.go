package billing

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
)

// reaches reports whether a call of a service without a repository gets as far as the data. It returns the call's error
// otherwise.
func reaches(call func() error) (reached bool, err error) {
	defer func() { reached = recover() != nil }()
	return false, call()
}

// Who may do what (docs/billing.md): a caller who may not is refused before any data is read.
func TestWhoMayDoWhat(t *testing.T) {
	service := NewService(Config{Now: time.Now})
	runner := NewRunner(RunnerConfig{Now: time.Now})
	ctx := t.Context()
	money := MoneyRequest{"USD", "1"}
	id := uuid.UUID{1}
	ids := []uuid.UUID{id}
	calls := map[string]func(*auth.Principal) error{
		"createCheckout": func(by *auth.Principal) error {
			_, _, err := service.CreateCheckout(ctx, by, CheckoutRequest{Items: []ItemRequest{item()}})
			return err
		},
		"approveCheckout": func(by *auth.Principal) error {
			_, err := service.ApproveCheckout(ctx, by, id)
			return err
		},
		"declineCheckout": func(by *auth.Principal) error {
			_, err := service.DeclineCheckout(ctx, by, id)
			return err
		},
		"checkout": func(by *auth.Principal) error { _, err := service.Checkout(ctx, by, id); return err },
		"subscriptions": func(by *auth.Principal) error {
			_, err := service.Subscriptions(ctx, by, SubscriptionFilter{}, paging.Request{})
			return err
		},
		"previewChange": func(by *auth.Principal) error {
			_, err := service.PreviewChange(ctx, by, PreviewRequest{SubscriptionID: id, Plan: item().Plan})
			return err
		},
		"cancelSubscription": func(by *auth.Principal) error {
			_, err := service.CancelSubscription(ctx, by, Cancellation{ID: id})
			return err
		},
		"suspendSubscription": func(by *auth.Principal) error {
			_, err := service.SuspendSubscription(ctx, by, id)
			return err
		},
		"resumeSubscription": func(by *auth.Principal) error {
			_, err := service.ResumeSubscription(ctx, by, id)
			return err
		},
		"charges": func(by *auth.Principal) error {
			_, err := service.Charges(ctx, by, ChargeFilter{}, paging.Request{})
			return err
		},
		"createCharge": func(by *auth.Principal) error {
			_, _, err := service.CreateCharge(ctx, by, ChargeRequest{Description: "a", Amount: money, Key: "k"})
			return err
		},
		"deleteCharge": func(by *auth.Principal) error {
			_, err := service.DeleteCharge(ctx, by, Deletion{ID: id})
			return err
		},
		"creditCharge": func(by *auth.Principal) error {
			_, _, err := service.CreditCharge(ctx, by, CreditRequest{ChargeID: id, Amount: money, Reason: "a",
				Key: "k"})
			return err
		},
		"revenue": func(by *auth.Principal) error {
			_, err := service.Revenue(ctx, by, nil, time.Time{}, time.Time{})
			return err
		},
		"invoices":    func(by *auth.Principal) error { _, err := service.InvoicesByID(ctx, by, ids); return err },
		"advanceTime": func(by *auth.Principal) error { _, err := runner.AdvanceTime(ctx, by, 1); return err },
	}
	all := []string{scope.AccountCheckoutsRead, scope.AccountCheckoutsCreate, scope.AccountSubscriptionsRead,
		scope.AccountSubscriptionsCancel, scope.AccountChargesRead, scope.AccountChargesWrite}
	principal := func(kind auth.Kind, scopes ...string) *auth.Principal {
		return &auth.Principal{Kind: kind, ID: uuid.UUID{2}, AccountID: uuid.UUID{3}, Scopes: scope.NewSet(scopes...)}
	}
	owner := principal(auth.Session, all...)
	owner.AccountOwner = true
	merchant := principal(auth.Session)
	merchant.AccountOwner = true
	storeOwner := principal(auth.Session)
	storeOwner.OwnedStores = ids
	storeToken := principal(auth.APIToken, all...)
	storeToken.StoreID = uuid.UUID{4}
	operator := auth.OperatorPrincipal()
	reads := "checkout subscriptions charges "
	answers := "approveCheckout declineCheckout suspendSubscription resumeSubscription cancelSubscription "
	partner := "createCheckout previewChange createCharge deleteCharge creditCharge revenue "
	for _, tc := range []struct {
		name string
		by   *auth.Principal
		may  string
	}{
		{"a token with every scope", principal(auth.APIToken, all...), partner + reads + "cancelSubscription"},
		{"a token that creates checkouts", principal(auth.APIToken, scope.AccountCheckoutsCreate), "createCheckout"},
		{"a token that reads checkouts", principal(auth.APIToken, scope.AccountCheckoutsRead), "checkout"},
		{"a token that reads subscriptions", principal(auth.APIToken, scope.AccountSubscriptionsRead),
			"subscriptions previewChange"},
		{"a token that cancels", principal(auth.APIToken, scope.AccountSubscriptionsCancel), "cancelSubscription"},
		{"a token that reads charges", principal(auth.APIToken, scope.AccountChargesRead), "charges revenue"},
		{"a token that writes charges", principal(auth.APIToken, scope.AccountChargesWrite),
			"createCharge deleteCharge creditCharge"},
		{"a token with other scopes", principal(auth.APIToken, scope.AccountRead), ""},
		{"a store-level token", storeToken, ""},
		{"the owner of a partner's account", owner, partner + reads + answers + "invoices advanceTime"},
		{"the owner of an account that is not enrolled", merchant, reads + answers + "invoices"},
		{"a store's owner", storeOwner, reads + answers},
		{"a user who owns nothing", principal(auth.Session), ""},
		{"a legacy account", principal(auth.LegacyAccount, all...), ""},
		{"a gateway", principal(auth.Gateway, all...), ""},
		{"the operator", &operator, partner + reads + "cancelSubscription suspendSubscription resumeSubscription " +
			"invoices advanceTime"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for name, call := range calls {
				reached, err := reaches(func() error { return call(tc.by) })
				want := slices.Contains(strings.Fields(tc.may), name)
				if reached != want || !reached && fault.KindOf(err) != fault.Forbidden {
					t.Errorf("%s reaches the data: %t, %v, want %t", name, reached, err, want)
				}
			}
		})
	}
}

// Only the user who owns the stores of all items answers a checkout, and only once, before it expires.
func TestRuleApprovingOnce(t *testing.T) {
	now := date("2026-03-20T12:00:00")
	owner := &auth.Principal{Kind: auth.Session, ID: theStore.OwnerID}
	accountOwner := &auth.Principal{Kind: auth.Session, ID: uuid.UUID{9}, AccountOwner: true}
	token := &auth.Principal{Kind: auth.APIToken, ID: theStore.OwnerID}
	owners := map[uuid.UUID]uuid.UUID{theStore.ID: theStore.OwnerID, otherStore.ID: {9}}
	c := Checkout{State: Open, ExpiresAt: now.Add(time.Second), Items: []Item{{StoreID: theStore.ID}}}
	with := func(edit func(*Checkout)) Checkout {
		changed := c
		edit(&changed)
		return changed
	}
	const denied = "FORBIDDEN : You do not have permission to do this operation."
	for _, tc := range []struct {
		name string
		by   *auth.Principal
		c    Checkout
		want []string
	}{
		{"the store's owner", owner, c, nil},
		{"the account's owner", accountOwner, c, []string{denied}},
		{"a token with the owner's ID", token, c, []string{denied}},
		{"a store of another owner too", owner, with(func(c *Checkout) {
			c.Items = []Item{{StoreID: theStore.ID}, {StoreID: otherStore.ID}}
		}), []string{denied}},
		{"a store that is gone", owner, with(func(c *Checkout) { c.Items = []Item{{StoreID: uuid.UUID{1}}} }),
			[]string{denied}},
		{"approved", owner, with(func(c *Checkout) { c.State = Approved }),
			[]string{"CONFLICT id: The checkout was approved before."}},
		{"declined", owner, with(func(c *Checkout) { c.State = Declined }),
			[]string{"CONFLICT id: The checkout was declined."}},
		{"expired", owner, with(func(c *Checkout) { c.ExpiresAt = now }),
			[]string{"CONFLICT id: The checkout has expired. Ask the app for a new one."}},
	} {
		check.Equal(t, failures(mayAnswer(tc.by, tc.c, owners, now)), tc.want, "%s", tc.name)
	}
}

// A limit of a list to one side never adds a side that the principal may not read.
func TestSidesWithinALimit(t *testing.T) {
	both, partner, merchant := Side{Partner: true, Merchant: true}, Side{Partner: true}, Side{Merchant: true}
	for _, tc := range []struct{ side, limit, want Side }{
		{both, Side{}, both}, {both, partner, partner}, {both, merchant, merchant}, {both, both, both},
		{partner, Side{}, partner}, {partner, partner, partner}, {partner, merchant, Side{}},
		{merchant, merchant, merchant}, {merchant, partner, Side{}}, {Side{}, both, Side{}},
	} {
		check.Equal(t, tc.side.within(tc.limit), tc.want, "%+v within %+v", tc.side, tc.limit)
	}
}
