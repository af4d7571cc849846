package billing_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/billing"
	"latchkey/internal/clock"
	"latchkey/internal/gormdb"
	"latchkey/internal/scope"
	dbtest "latchkey/internal/test/db"
)

// lives returns how many lives TestLivesOnDatabases plays on each database: LATCHKEY_CHAOS_ROUNDS, which `make chaos`
// sets, or few, which takes seconds.
func lives(t *testing.T) int {
	t.Helper()
	text, set := os.LookupEnv("LATCHKEY_CHAOS_ROUNDS")
	if !set {
		return 6
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("LATCHKEY_CHAOS_ROUNDS: got %q, want a number of rounds", text)
	}
	return n
}

// TestLivesOnDatabases plays random lives of subscriptions of two partners and two merchants, one of which is also one
// of the partners, for two years of the test clock, with runs that are late, repeated, at work at once and cut off. It
// checks each answer against an oracle, and all that is stored in the end.
func TestLivesOnDatabases(t *testing.T) {
	checks := flag.Lookup("rapid.checks")
	explicit := false
	flag.Visit(func(f *flag.Flag) { explicit = explicit || f == checks })
	if !explicit {
		before := checks.Value.String()
		t.Cleanup(func() { _ = checks.Value.Set(before) })
		if err := checks.Value.Set(strconv.Itoa(lives(t))); err != nil {
			t.Fatal(err)
		}
	}
	dbtest.EachURL(t, func(t *testing.T, url string) {
		c := newCity(t, url)
		rapid.Check(t, func(t *rapid.T) {
			p := c.begin(t)
			p.live()
			p.wantAll()
			p.wantFindings()
		})
	})
}

// city is a database with two servers.
type city struct {
	t        *testing.T
	url      string
	dbs      [2]*gormdb.DB
	services [2]*billing.Service
	repo     billing.Repository
	ledgers  [2]billing.Ledger
}

func newCity(t *testing.T, url string) *city {
	t.Helper()
	c := &city{t: t, url: url}
	for i := range c.dbs {
		db := dbtest.Open(t, url)
		c.dbs[i], c.ledgers[i] = db, gormdb.Ledger(db)
		c.services[i] = billing.NewService(billing.Config{Repository: gormdb.Billing(db), Accounts: db.Accounts(),
			Now: clock.System})
	}
	c.repo = gormdb.Billing(c.dbs[0])
	return c
}

// runner returns a runner of one of the servers over a ledger.
func (c *city) runner(server int, l billing.Ledger) *billing.Runner {
	return billing.NewRunner(billing.RunnerConfig{Repository: gormdb.Billing(c.dbs[server]), Ledger: l,
		Now: clock.System})
}

// exec runs a statement that is the same for both databases.
func (c *city) exec(statement string) { dbtest.Exec(c.t, c.url, statement, statement) }

// entry is an event that a log must have.
type entry struct {
	log    uuid.UUID
	action audit.Action
	key    string
}

// play is a life that is being played.
type play struct {
	*rapid.T
	*city

	ctx        context.Context
	now, until time.Time
	// billed is the time of the last run that did everything.
	billed time.Time
	// The second partner is the second merchant.
	partners, merchants [2]dbtest.World
	checkouts           []*asked
	subscriptions       []*running
	usage               []*used
	entries             map[entry]int
	// keys counts idempotency keys.
	keys int
}

// asked is a checkout.
type asked struct {
	id                uuid.UUID
	partner, merchant int
	at, asOf          time.Time
	items             []askedItem
	answered          bool
}

// askedItem is an item of a checkout. changes is the subscription that it changes, or nil.
type askedItem struct {
	plan    billing.PlanRequest
	cents   int64
	limit   *int64
	changes *running
	// terms is how many the subscription had when the change was previewed, and preview what the change was to cost.
	terms   int
	preview []string
	// costs is what the change cost when the checkout was created, if it was previewed.
	costs []string
}

// running is a subscription.
type running struct {
	id                uuid.UUID
	partner, merchant int
	oracle            billing.Oracle
	terms             int
	limit             *int64
	// sums has the usage of each period that is not deleted, by its start.
	sums map[int64]int64
}

// used is a usage charge.
type used struct {
	of      *running
	id      uuid.UUID
	start   int64
	cents   int64
	key     string
	at      time.Time
	deleted bool
}

// begin empties what is stored of billing, and makes new accounts.
func (c *city) begin(t *rapid.T) *play {
	for _, table := range []string{"charges", "invoices", "usage_totals", "subscription_suspensions",
		"subscription_terms",
		"subscriptions", "checkout_items", "checkouts", "billing_merchants", "billing_clock", "billing_lease"} {
		c.exec("DELETE FROM " + table)
	}
	p := &play{T: t, city: c, ctx: c.t.Context(), entries: map[entry]int{}}
	enrolled := []scope.Feature{scope.FeatureAutomatedBilling}
	p.partners[0] = dbtest.Seed{Apps: 2, Features: enrolled}.Make(c.t, c.dbs[0])
	p.partners[1] = dbtest.Seed{Apps: 1, Stores: 2, Features: enrolled}.Make(c.t, c.dbs[0])
	p.merchants = [2]dbtest.World{dbtest.Seed{Stores: 2}.Make(c.t, c.dbs[0]), p.partners[1]}
	p.now = moment("2023-11-01").AddDate(0, 0, rapid.IntRange(0, 500).Draw(t, "day")).Add(
		time.Duration(rapid.SampledFrom([]int64{0, 1, 36_000_500, 86_399_999}).Draw(t, "time")) * time.Millisecond)
	p.until = p.now.AddDate(2, 0, 0)
	_, err := p.ledgers[0].SetClock(p.ctx, p.now)
	p.ok("start the clock", err)
	return p
}

// ok fails the test if there is an error.
func (p *play) ok(what string, err error) {
	p.Helper()
	if err != nil {
		p.Fatalf("%s at %s: %v", what, p.now, err)
	}
}

func (p *play) pick(n int, label string) int { return rapid.IntRange(0, n-1).Draw(p.T, label) }

func (p *play) draws(label string) bool { return rapid.Bool().Draw(p.T, label) }

// service returns one of the servers.
func (p *play) service() *billing.Service { return p.services[p.pick(2, "server")] }

// merchantOwner is the session of the merchant's owner, who owns all of its stores.
func (p *play) merchantOwner(n int) *auth.Principal { return owner(p.merchants[n]) }

// expect adds an event that the logs of both parties must have, or the one log that both have.
func (p *play) expect(action audit.Action, key uuid.UUID, partner, merchant int) {
	logs := map[uuid.UUID]bool{p.partners[partner].Account.ID: true, p.merchants[merchant].Account.ID: true}
	for log := range logs {
		p.entries[entry{log, action, key.String()}]++
	}
}

// wait moves the test clock without billing.
func (p *play) wait(d time.Duration) {
	p.now = p.now.Add(d)
	p.ok("move the clock", p.ledgers[0].MoveClock(p.ctx, p.now))
	p.walk()
}

func (p *play) walk() {
	for _, s := range p.subscriptions {
		s.oracle.Walk(p.now)
	}
}

// waitRandomly waits so that acts are often at the same time, at midnight and at the ends of months.
func (p *play) waitRandomly() {
	midnight := p.now.Truncate(24 * time.Hour)
	switch p.pick(7, "wait") {
	case 0, 1:
	case 2:
		p.wait(time.Duration(rapid.IntRange(1, 3_000).Draw(p.T, "milliseconds")) * time.Millisecond)
	case 3:
		p.wait(time.Duration(rapid.IntRange(1, 200_000).Draw(p.T, "seconds")) * time.Second)
	case 4:
		first := midnight.AddDate(0, 1, 1-midnight.Day())
		p.wait(first.Add(time.Duration(rapid.IntRange(-1, 1).Draw(p.T, "milliseconds")) * time.Millisecond).Sub(p.now))
	default:
		p.wait(time.Duration(rapid.Int64Range(1, 60*86_400_000).Draw(p.T, "more")) * time.Millisecond)
	}
}

// live plays the life.
func (p *play) live() {
	acts := map[string]func(){
		"offer": p.offer, "answer": p.answerOne, "cancel": p.cancel, "suspend": p.suspend, "resume": p.resume,
		"use": p.useOften, "again": p.useAgain, "delete": p.delete, "credit": p.credit, "run": p.run, "cut": p.cutOff,
		"crowd": p.crowd, "advance": p.advance,
	}
	names := []string{"offer", "offer", "offer", "offer", "answer", "answer", "cancel", "suspend", "resume", "resume",
		"use", "use", "use", "again", "delete", "credit", "credit", "run", "cut", "cut", "crowd", "advance"}
	p.offer()
	for range rapid.IntRange(3, 45).Draw(p.T, "acts") {
		p.waitRandomly()
		if p.now.After(p.until) {
			break
		}
		acts[rapid.SampledFrom(names).Draw(p.T, "act")]()
	}
	p.wait(time.Duration(rapid.IntRange(0, 200*86_400).Draw(p.T, "seconds at the end")) * time.Second)
	if p.draws("cut off at the end") {
		p.cutOff()
	}
}

// beside does what may run beside billing runs, sometimes beside some.
func (p *play) beside(do func()) {
	p.Helper()
	errs := make(chan error)
	runs := max(0, p.pick(4, "runs beside")-1)
	for i := range runs {
		go func() {
			_, err := p.runner(i, unleased{p.ledgers[i]}).Run(p.ctx, nil)
			errs <- err
		}()
	}
	do()
	for range runs {
		p.ok("a run beside", <-errs)
	}
}

// run runs billing under the lease.
func (p *play) run() {
	server := p.pick(2, "server")
	result, err := p.runner(server, p.ledgers[server]).Run(p.ctx, nil)
	p.ok("run", err)
	if result.Elsewhere || !result.Until.Equal(p.now) {
		p.Fatalf("the result of a run at %s: %+v", p.now, result)
	}
	p.billed = p.now
}

// crowd runs billing on both servers at once, without a lease.
func (p *play) crowd() {
	errs := make(chan error)
	for i := range 4 {
		go func() {
			_, err := p.runner(i%2, unleased{p.ledgers[i%2]}).Run(p.ctx, nil)
			errs <- err
		}()
	}
	var failed error
	for range 4 {
		if err := <-errs; err != nil {
			failed = err
		}
	}
	p.ok("runs at once", failed)
	p.billed = p.now
}

// advance moves the test clock, and bills on the way.
func (p *play) advance() {
	seconds := rapid.Int64Range(0, 40*86_400).Draw(p.T, "seconds")
	p.now = p.now.Add(time.Duration(seconds) * time.Second)
	operator := auth.OperatorPrincipal()
	got, err := p.runner(0, p.ledgers[0]).AdvanceTime(p.ctx, &operator, seconds)
	p.ok("advance", err)
	if !got.Equal(p.now) {
		p.Fatalf("the clock after %d seconds: got %s, want %s", seconds, got, p.now)
	}
	p.walk()
	p.billed = p.now
}

// cutOff begins a run and cuts it off, as the death of its process does. What it leaves breaks no rule.
func (p *play) cutOff() {
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	l := &cut{Ledger: p.ledgers[0], left: rapid.IntRange(1, 8).Draw(p.T, "calls"),
		how: p.pick(3, "how it is cut off"), cancel: cancel,
		after: time.Duration(rapid.IntRange(0, 4_000).Draw(p.T, "microseconds")) * time.Microsecond}
	_, err := p.runner(0, l).Run(ctx, nil)
	if err != nil && l.left > 0 {
		p.Fatalf("a run that was not cut off: %v", err)
	}
	p.verify("after a run that was cut off")
}

// cents draws an amount, often a small one.
func (p *play) cents(least int64, label string) int64 {
	return rapid.OneOf(rapid.Int64Range(least, 20), rapid.Int64Range(least, 99_999_999)).Draw(p.T, label)
}

func amount(cents int64) billing.MoneyRequest {
	return dollars(fmt.Sprintf("%d.%02d", cents/100, cents%100))
}
