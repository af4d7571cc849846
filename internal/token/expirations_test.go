package token_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/paging"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/world"
	"latchkey/internal/token"
)

// expiring is the job of a server, over one account with a store.
type expiring struct {
	*world.Services

	home dbtest.World
	job  *token.Expirations
}

func eachExpiring(t *testing.T, test func(*testing.T, *expiring)) {
	t.Helper()
	world.Each(t, world.Options{}, func(t *testing.T, s *world.Services) {
		test(t, &expiring{s, dbtest.Seed{}.Make(t, s.DB), token.NewExpirations(s.DB.Expirations(), s.Clock.Now)})
	})
}

// issue issues a token that lives for the time, or without an end for 0.
func (x *expiring) issue(t *testing.T, in dbtest.World, name string, lives time.Duration) token.Token {
	t.Helper()
	req := token.Request{Owner: token.AccountOwner(in.Account), Name: name, Scopes: []string{"account_read"}}
	if lives != 0 {
		req.ExpiresAt = x.Clock.Now().Add(lives)
	}
	issued, err := x.Tokens.Create(t.Context(), world.Owner(in), req)
	if err != nil {
		t.Fatal(err)
	}
	return issued.Token
}

// reports runs the job and compares the events that it adds, as "name action".
func (x *expiring) reports(t *testing.T, when string, want ...string) {
	t.Helper()
	before := len(x.reported(t, x.home))
	if err := x.job.Report(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := x.reported(t, x.home)[before:]
	slices.Sort(got)
	slices.Sort(want)
	check.Equal(t, fmt.Sprint(got), fmt.Sprint(want), "reported %s", when)
}

// reported lists the events of expirations in an account, oldest first.
func (x *expiring) reported(t *testing.T, in dbtest.World) []string {
	t.Helper()
	found, err := x.DB.Audit().Events(t.Context(), in.Account.ID, audit.Filter{
		Actions: []audit.Action{audit.APITokenExpiring, audit.APITokenExpired}},
		paging.Window{Size: paging.MaxSize, Backward: true})
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, item := range slices.Backward(found.Items) {
		e := item.Node
		list = append(list, e.Target.Name+" "+string(e.Action))
		check.Equal(t, e.Actor, audit.Actor{Kind: audit.ActorOperator, Name: "latchkey"}, "the actor")
	}
	return list
}

const notice = token.ExpiryNotice

func TestExpirationsAreReportedOnce(t *testing.T) {
	eachExpiring(t, func(t *testing.T, x *expiring) {
		began := x.Clock.Now()
		at := func(d time.Duration) { x.Clock.Set(began.Add(d)) }
		x.issue(t, x.home, "Month", 30*day)
		x.issue(t, x.home, "Week", notice)
		x.issue(t, x.home, "Longer", notice+time.Microsecond)
		x.issue(t, x.home, "Endless", 0)
		gone := x.issue(t, x.home, "Gone", 20*day)
		x.reports(t, "at the beginning")
		at(time.Microsecond)
		x.reports(t, "7 days before the end", "Longer api_token.expiring")
		x.reports(t, "again")
		at(notice - time.Microsecond)
		x.reports(t, "before a week has passed")
		at(notice)
		x.reports(t, "after a week", "Week api_token.expired")
		if _, err := x.Tokens.Revoke(t.Context(), world.Owner(x.home),
			token.RevokeRequest{IDs: []uuid.UUID{gone.ID}}); err != nil {
			t.Fatal(err)
		}
		at(23*day - time.Microsecond)
		x.reports(t, "just before the 23rd day", "Longer api_token.expired")
		at(23 * day)
		x.reports(t, "on the 23rd day", "Month api_token.expiring")
		at(40 * day)
		x.reports(t, "on the 40th day", "Month api_token.expired")
		at(400 * day)
		x.reports(t, "a year later")
	})
}

// A token that no server reported in time is reported as expired only.
func TestAMissedNoticeIsNotMadeUpFor(t *testing.T) {
	eachExpiring(t, func(t *testing.T, x *expiring) {
		x.issue(t, x.home, "Month", 30*day)
		x.Clock.Advance(31 * day)
		x.reports(t, "after the end", "Month api_token.expired")
		x.reports(t, "again")
	})
}

func TestRestrictedExpirationsAreReported(t *testing.T) {
	eachExpiring(t, func(t *testing.T, x *expiring) {
		restrict := func(of token.Token, lives time.Duration) {
			t.Helper()
			until := x.Clock.Now().Add(lives)
			if _, err := x.Tokens.Update(t.Context(), world.Owner(x.home),
				token.Update{ID: of.ID, ExpiresAt: &until}); err != nil {
				t.Fatal(err)
			}
		}
		endless, month := x.issue(t, x.home, "Endless", 0), x.issue(t, x.home, "Month", 30*day)
		short, told := x.issue(t, x.home, "Short", 5*day), x.issue(t, x.home, "Told", 8*day)
		x.Clock.Advance(2 * day)
		x.reports(t, "after two days", "Told api_token.expiring")
		restrict(endless, 20*day)
		x.reports(t, "with an end that is far")
		restrict(endless, 3*day)
		restrict(month, 3*day)
		restrict(short, 2*day)
		restrict(told, 2*day)
		x.reports(t, "with a near end", "Endless api_token.expiring", "Month api_token.expiring")
		x.Clock.Advance(3 * day)
		x.reports(t, "after the end", "Endless api_token.expired", "Month api_token.expired", "Short api_token.expired",
			"Told api_token.expired")
	})
}

// Servers that report at the same time report each token once.
func TestServersReportExpirationsOnce(t *testing.T) {
	eachExpiring(t, func(t *testing.T, x *expiring) {
		const accounts, each = 5, 50
		homes := make([]dbtest.World, accounts)
		for i := range homes {
			homes[i] = dbtest.Seed{}.Make(t, x.DB)
			for n := range each {
				x.issue(t, homes[i], fmt.Sprintf("Token %d", n), 30*day)
			}
		}
		jobs := []*token.Expirations{x.job}
		for range 2 {
			other := world.New(t, x.URL, world.Options{Keys: x.Keys})
			jobs = append(jobs, token.NewExpirations(other.DB.Expirations(), x.Clock.Now))
		}
		for _, step := range []struct {
			wait time.Duration
			want int
		}{{25 * day, each}, {10 * day, 2 * each}} {
			x.Clock.Advance(step.wait)
			var all sync.WaitGroup
			for _, job := range jobs {
				all.Go(func() {
					if err := job.Report(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			for _, in := range homes {
				events := x.reported(t, in)
				slices.Sort(events)
				if once := slices.Compact(slices.Clone(events)); len(events) != step.want || len(once) != len(events) {
					t.Errorf("%d events, %d of them different, want %d", len(events), len(once), step.want)
				}
			}
		}
	})
}
