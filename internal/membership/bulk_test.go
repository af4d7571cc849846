package membership_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/internal/account"
	"latchkey/internal/gormdb"
	"latchkey/internal/membership"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/world"
	"latchkey/internal/user"
)

// newUsers returns n new users, numbered from first, each with a membership in a
// store.
func newUsers(first, n int, in account.Store) []membership.ProvisionItem {
	items := make([]membership.ProvisionItem, n)
	for i := range items {
		id := fmt.Sprintf("%04d", first+i)
		items[i] = membership.ProvisionItem{
			Email: "person-" + id + "@acme.example", FirstName: new("Person"), LastName: new("Number " + id),
			ExternalID: new("hr-" + id),
			Stores:     []account.StoreRef{ref(in)}, Role: new(user.SalesManager),
		}
	}
	return items
}

// The number of statements of a slice does not depend on its number of users.
func TestProvisionByTheSet(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		w := newTenant(t, world.New(t, url, world.Options{}))
		var statements atomic.Int64
		db := dbtest.OpenWith(t, gormdb.Config{URL: url, OnStatement: func(string) { statements.Add(1) }})
		w.Memberships = membership.NewService(db.Memberships(), func() time.Time { return at })
		req := membership.ProvisionRequest{Users: newUsers(0, membership.MaxBulk, w.Stores[1])}
		for _, step := range []struct {
			name    string
			do      func() membership.Report
			want    membership.ProvisionAction
			ofSlice int
		}{
			{"new", func() membership.Report { return w.provision(t, w.robot, req) }, membership.Created, 15},
			{"the same again", func() membership.Report { return w.provision(t, w.robot, req) },
				membership.Unchanged, 10},
			{"removed", func() membership.Report {
				var named []user.Ref
				for _, item := range req.Users {
					named = append(named, user.Ref{Email: &item.Email})
				}
				r, err := w.Memberships.Deprovision(t.Context(), w.robot, membership.DeprovisionRequest{Users: named})
				if err != nil {
					t.Fatal(err)
				}
				return r
			}, membership.Removed, 20},
		} {
			most := int64(step.ofSlice * membership.MaxBulk / db.Memberships().SliceSize())
			statements.Store(0)
			began := time.Now()
			r := step.do()
			t.Logf("%s: %d ms, %d statements", step.name, time.Since(began).Milliseconds(), statements.Load())
			if r.Count(step.want) != membership.MaxBulk || statements.Load() > most {
				t.Errorf("%s: %d %s of %d with %d statements, want at most %d", step.name, r.Count(step.want),
					step.want, membership.MaxBulk, statements.Load(), most)
			}
		}
	})
}

// Concurrent provisioning of overlapping lists in two accounts, with concurrent
// removals, leaves every user exactly once and none incomplete.
func TestProvisionRaces(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		w, other := newTenant(t, world.New(t, url, world.Options{})), newTenant(t, world.New(t, url, world.Options{}))
		var all sync.WaitGroup
		run := func(work func() error) {
			all.Go(func() {
				if err := work(); err != nil {
					t.Error(err)
				}
			})
		}
		for n := range 3 {
			run(func() error {
				_, err := w.Memberships.Provision(t.Context(), w.robot,
					membership.ProvisionRequest{Users: newUsers(20*n, 60, w.Stores[0])})
				return err
			})
			run(func() error {
				_, err := other.Memberships.Provision(t.Context(), other.robot,
					membership.ProvisionRequest{Users: newUsers(30*n, 60, other.Stores[0])})
				return err
			})
			run(func() error {
				named := []user.Ref{byEmail(user.User{Email: fmt.Sprintf("person-%04d@acme.example", 30+n)}),
					byEmail(w.World.Users[2+n])}
				_, err := w.Memberships.Deprovision(t.Context(), w.robot, membership.DeprovisionRequest{Users: named})
				return err
			})
		}
		all.Wait()
		w.provision(t, w.robot, membership.ProvisionRequest{Users: newUsers(0, 100, w.Stores[0])})
		check.Equal(t, len(w.emails(t)), 102, "len(w.emails(t))")
		check.Equal(t, len(other.emails(t)), 125, "len(other.emails(t))")
		again := w.provision(t, w.robot, membership.ProvisionRequest{Users: newUsers(0, 100, w.Stores[0])})
		check.Equal(t, again.Count(membership.Unchanged), 100, "a user was incomplete: %s", format(again))
	})
}
