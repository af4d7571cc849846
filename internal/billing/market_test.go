package billing_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/billing"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/manifest"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/world"
	"latchkey/internal/user"
)

// market is a database with a partner, who has a published app and a draft, a merchant whose first store has an owner
// of its own, and a stranger. Billing goes by a test clock.
type market struct {
	*billing.Service
	*billing.Runner

	t                           *testing.T
	db                          *gormdb.DB
	partner, merchant, stranger dbtest.World
	// app is published, and draft is not.
	app, draft int64
	// robot is an API token of the partner with every scope of billing.
	robot *auth.Principal
	// storeOwner owns the merchant's first store.
	storeOwner *auth.Principal
}

// everyScope are the scopes of billing.
var everyScope = []string{scope.AccountCheckoutsRead, scope.AccountCheckoutsCreate, scope.AccountSubscriptionsRead,
	scope.AccountSubscriptionsCancel, scope.AccountChargesRead, scope.AccountChargesWrite}

// eachMarket runs test on each database. The test clock shows the time.
func eachMarket(t *testing.T, at string, test func(*testing.T, *market)) {
	t.Helper()
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) { test(t, newMarket(t, db, at)) })
}

func newMarket(t *testing.T, db *gormdb.DB, at string) *market {
	t.Helper()
	enrolled := []scope.Feature{scope.FeatureAutomatedBilling}
	m := &market{
		t: t, db: db,
		partner:  dbtest.Seed{Apps: 2, Features: enrolled}.Make(t, db),
		merchant: dbtest.Seed{Stores: 2, StoreOwner: true, Users: 1}.Make(t, db),
		stranger: dbtest.Seed{Apps: 1, StoreOwner: true, Features: enrolled}.Make(t, db),
		Service: billing.NewService(billing.Config{Repository: gormdb.Billing(db), Accounts: db.Accounts(),
			Now: clock.System}),
		Runner: billing.NewRunner(billing.RunnerConfig{Repository: gormdb.Billing(db), Ledger: gormdb.Ledger(db),
			Now: clock.System}),
	}
	m.app, m.draft = m.partner.Apps[0].ID, m.partner.Apps[1].ID
	unpublished := m.partner.Apps[1]
	unpublished.Status = account.AppDraft
	if err := db.Manifest().Atomically(t.Context(), func(r manifest.Repository) error {
		return r.SaveApp(t.Context(), unpublished)
	}); err != nil {
		t.Fatal(err)
	}
	m.robot = robot(m.partner)
	m.storeOwner = m.session(m.merchant, m.merchant.StoreOwner, m.merchant.Stores[0].ID)
	if _, err := m.StartClock(t.Context(), moment(at)); err != nil {
		t.Fatal(err)
	}
	return m
}

// robot is an API token of the account with every scope of billing.
func robot(of dbtest.World) *auth.Principal {
	return &auth.Principal{Kind: auth.APIToken, ID: uuid.Must(uuid.NewV7()), Name: "Robot", AccountID: of.Account.ID,
		Scopes: scope.NewSet(everyScope...), NoCredential: "a test", Origin: world.Origin}
}

// owner is the session of the account's owner, with the scopes of billing if it is enrolled.
func owner(of dbtest.World) *auth.Principal {
	by := world.Owner(of)
	if of.Account.Has(scope.FeatureAutomatedBilling) {
		by.Scopes = scope.NewSet(everyScope...)
	}
	return by
}

func (m *market) session(in dbtest.World, of user.User, stores ...uuid.UUID) *auth.Principal {
	return world.Session(in, of, auth.Principal{OwnedStores: stores})
}

// moment returns a time such as 2026-01-31 or 2026-01-31T10:00:00.
func moment(text string) time.Time {
	if !strings.Contains(text, "T") {
		text += "T00:00:00"
	}
	at, err := time.Parse(time.RFC3339, text+"Z")
	if err != nil {
		panic(err)
	}
	return at
}

// to moves the test clock, and bills on the way.
func (m *market) to(at string) {
	m.t.Helper()
	now, err := m.Service.Now(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	operator := auth.OperatorPrincipal()
	if _, err := m.AdvanceTime(m.t.Context(), &operator, int64(moment(at).Sub(now)/time.Second)); err != nil {
		m.t.Fatalf("advance to %s: %v", at, err)
	}
}

func dollars(value string) billing.MoneyRequest {
	return billing.MoneyRequest{CurrencyCode: "USD", Value: value}
}

func ptr[T any](v T) *T { return &v }

// item returns a valid item, after edits.
func (m *market) item(edits ...func(*billing.ItemRequest)) billing.ItemRequest {
	item := billing.ItemRequest{Description: "Order Sync", RedirectURL: "https://app.example/done", AppID: &m.app,
		Store: &billing.StoreRef{Hash: m.merchant.Stores[0].Hash}, Level: ptr("Basic"),
		Plan: billing.PlanRequest{Interval: billing.Month, Price: dollars("31.00"), Cap: ptr(dollars("50.00"))}}
	for _, edit := range edits {
		edit(&item)
	}
	return item
}

// request returns a request of one item, after edits.
func (m *market) request(edits ...func(*billing.ItemRequest)) billing.CheckoutRequest {
	return billing.CheckoutRequest{MerchantID: m.merchant.Account.ID, Items: []billing.ItemRequest{m.item(edits...)}}
}

// create creates a checkout, which must succeed.
func (m *market) create(req billing.CheckoutRequest) billing.Checkout {
	m.t.Helper()
	c, replayed, err := m.CreateCheckout(m.t.Context(), m.robot, req)
	if err != nil || replayed {
		m.t.Fatalf("create a checkout: replayed %t, %v", replayed, err)
	}
	return c
}

// subscribe creates a checkout of one item and approves it.
func (m *market) subscribe(edits ...func(*billing.ItemRequest)) billing.Subscription {
	m.t.Helper()
	c, err := m.ApproveCheckout(m.t.Context(), m.storeOwner, m.create(m.request(edits...)).ID)
	if err != nil {
		m.t.Fatalf("approve: %v", err)
	}
	return m.subscription(c.Items[0].SubscriptionID)
}

func (m *market) subscription(id uuid.UUID) billing.Subscription {
	m.t.Helper()
	found, err := m.SubscriptionsByID(m.t.Context(), m.robot, []uuid.UUID{id})
	if err != nil || len(found) != 1 {
		m.t.Fatalf("the subscription %s: %v, %v", id, found, err)
	}
	return found[id]
}

// use charges for usage.
func (m *market) use(s billing.Subscription, key, amount string) (billing.Charge, error) {
	c, _, err := m.CreateCharge(m.t.Context(), m.robot, billing.ChargeRequest{SubscriptionID: s.ID,
		Description: "Usage " + key, Amount: dollars(amount), Key: key})
	return c, err
}

// charges returns all charges that the principal reads, oldest first, as text.
func (m *market) charges(by *auth.Principal) []string {
	m.t.Helper()
	found, err := m.Charges(m.t.Context(), by, billing.ChargeFilter{}, paging.Request{First: ptr(50)})
	if err != nil {
		m.t.Fatal(err)
	}
	lines := make([]string, len(found.Items))
	for i, item := range found.Items {
		c := item.Node
		lines[len(lines)-1-i] = fmt.Sprintf("%s %s %s", c.Kind, c.Amount, c.Status)
	}
	return lines
}

// log returns the events of billing of an account's log, oldest first: the action and the actor.
func (m *market) log(of dbtest.World) []string {
	m.t.Helper()
	found, err := m.db.Audit().Events(m.t.Context(), of.Account.ID, audit.Filter{}, paging.Window{Size: 250})
	if err != nil {
		m.t.Fatal(err)
	}
	var lines []string
	for _, item := range found.Items {
		e := item.Node
		if thing := e.Action.Thing(); !strings.Contains("checkout subscription charge invoice", thing) {
			continue
		}
		who := e.Actor.Name
		if e.Actor.ID == uuid.Nil {
			who += " without an ID"
		}
		if e.IP != "" {
			who += " from " + e.IP
		}
		lines = append([]string{string(e.Action) + " by " + who}, lines...)
	}
	return lines
}

// verify fails the test if the data breaks a rule.
func (m *market) verify() {
	m.t.Helper()
	if err := m.Verify(m.t.Context(), func(f billing.Finding) { m.t.Errorf("verify: %s", f) }); err != nil {
		m.t.Fatal(err)
	}
}

// failures returns errors as text: kind, field and message, in order.
func failures(err error) []string {
	var lines []string
	for _, f := range fault.Flatten(err) {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s: %s", f.Kind, f.Field, f.Message)))
	}
	return lines
}

// refused fails the test unless the error is this one.
func refused(t *testing.T, what string, err error, want ...string) {
	t.Helper()
	check.Equal(t, failures(err), want, "%s", what)
}
