// Package world wires the program's services over a test database, as a server does, with a clock that the test sets.
// Accounts in it come from dbtest.Seed.
package world

import (
	"crypto/rand"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/billing"
	"latchkey/internal/gormdb"
	"latchkey/internal/membership"
	"latchkey/internal/oauth"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
	"latchkey/internal/user"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver/egress"
)

// Noon is the time at which the clock starts by default.
var Noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Origin is the origin of the principals that Owner and Session return.
var Origin = auth.Origin{IP: netip.MustParseAddr("192.0.2.7"), RequestID: "request-1"}

// Services are the services of one server over a database.
type Services struct {
	URL         string
	DB          *gormdb.DB
	Clock       *Clock
	Keys        *secret.Keyring
	Caches      *access.Caches
	Accounts    *account.Service
	Users       *user.Service
	Tokens      *token.Service
	Memberships *membership.Service
	OAuth       *oauth.Service
	Webhooks    *webhook.Service
	Events      *webhook.Events
	Billing     *billing.Service
	// Runner bills what is due, and moves the test clock of billing.
	Runner *billing.Runner
	// Verifier uses Caches, which receive each change that these services commit.
	Verifier *access.Verifier
}

// Options change the Services. The zero value is right for most tests.
type Options struct {
	// At is the time at which the clock starts; Noon if zero.
	At time.Time
	// OnStatement is called with each SQL statement, unless it is nil.
	OnStatement func(sql string)
	// Keys are the server's keys, new ones if nil.
	Keys *secret.Keyring
}

// Each runs test in subtests named sqlite and postgres, each with a new database.
func Each(t *testing.T, o Options, test func(*testing.T, *Services)) {
	t.Helper()
	dbtest.EachURL(t, func(t *testing.T, url string) { test(t, New(t, url, o)) })
}

// New opens the database of a URL. It can be called several times for one URL, for several servers.
func New(t testing.TB, url string, o Options) *Services {
	t.Helper()
	if o.At.IsZero() {
		o.At = Noon
	}
	db := dbtest.OpenWith(t, gormdb.Config{URL: url, OnStatement: o.OnStatement})
	w := &Services{URL: url, DB: db, Clock: &Clock{}, Keys: o.Keys}
	w.Clock.Set(o.At)
	now := w.Clock.Now
	var err error
	if w.Keys == nil {
		if w.Keys, err = secret.NewKeyring(rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	if w.Caches, err = access.NewCaches(1000, time.Hour, func() bool { return true }, time.Now); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Caches.Close)
	db.OnChange(w.Caches.Invalidate)
	w.Accounts = account.NewService(w.Caches.Accounts(db.Accounts()))
	w.Users = user.NewService(db.Users(), w.Keys, rand.Reader, now)
	w.Tokens = token.NewService(db.Tokens(), Policy(), w.Keys, rand.Reader, now)
	w.Memberships = membership.NewService(db.Memberships(), now)
	w.OAuth = oauth.NewService(oauth.Config{
		Repository: db.Grants(), Catalogue: scope.Default(), Keys: w.Keys, Lifetime: time.Hour, Random: rand.Reader,
		Now: now,
	})
	w.Webhooks = webhook.NewService(webhook.Config{
		Repository: db.Webhooks(), Keys: w.Keys, Random: rand.Reader, Now: now,
		CheckURL: egress.New(nil, net.DefaultResolver).Check,
	})
	w.Events = webhook.NewEvents(db.Log())
	w.Billing = billing.NewService(billing.Config{Repository: gormdb.Billing(db), Accounts: db.Accounts(), Now: now})
	w.Runner = billing.NewRunner(billing.RunnerConfig{Repository: gormdb.Billing(db), Ledger: gormdb.Ledger(db),
		Now: now})
	w.Verifier = access.NewVerifier(access.Config{
		Repository: db.Access(), Keys: w.Keys, Catalogue: scope.Default(), Caches: w.Caches, Now: now,
	})
	return w
}

// Policy returns the default rules of issuing.
func Policy() token.Policy {
	return token.Policy{
		Catalogue: scope.Default(),
		MaxLive: map[scope.Level]int{scope.LevelAccount: token.DefaultMaxLive,
			scope.LevelStore: token.DefaultMaxLive},
	}
}

// Owner returns a session of an account's owner.
func Owner(of dbtest.World) *auth.Principal {
	return Session(of, of.Owner, auth.Principal{AccountOwner: true})
}

// Session returns a session of a user in an account, with the rights of p. It is not in the database, so its writes
// are not checked against a credential.
func Session(in dbtest.World, of user.User, p auth.Principal) *auth.Principal {
	p.NoCredential, p.Kind, p.ID, p.Name, p.AccountID, p.Origin = "a test", auth.Session, of.ID, of.Email,
		in.Account.ID, Origin
	return &p
}

// Clock is a clock that tests set. It is safe for concurrent use.
type Clock struct{ micros atomic.Int64 }

// Now returns the time in UTC, in microseconds, which is what databases store.
func (c *Clock) Now() time.Time { return time.UnixMicro(c.micros.Load()).UTC() }

// Set sets the time.
func (c *Clock) Set(at time.Time) { c.micros.Store(at.UnixMicro()) }

// Advance adds d to the time.
func (c *Clock) Advance(d time.Duration) { c.micros.Add(d.Microseconds()) }
