package offboard_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/internal/account"
	"latchkey/internal/dbtest"
	"latchkey/internal/gormdb"
	"latchkey/internal/offboard"
	"latchkey/internal/user"
)

// newcomers are n people whom nobody knows, from number first on, each with a place in a store.
func newcomers(first, n int, in account.Store) []user.ProvisionItem {
	items := make([]user.ProvisionItem, n)
	for i := range items {
		id := fmt.Sprintf("%04d", first+i)
		items[i] = user.ProvisionItem{
			Email: "person-" + id + "@acme.example", FirstName: new("Person"), LastName: new("Number " + id), ExternalID: new("hr-" + id),
			Stores: []account.StoreRef{ref(in)}, Role: new(user.SalesManager),
		}
	}
	return items
}

// A slice of people takes a few statements, however many they are.
func TestProvisionByTheSet(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		w := newWorld(t, url)
		var statements atomic.Int64
		db := dbtest.OpenWith(t, gormdb.Config{URL: url, OnStatement: func(string) { statements.Add(1) }})
		w.offboard = offboard.NewService(db.Offboard(), func() time.Time { return at })
		req := user.ProvisionRequest{Users: newcomers(0, user.MaxBulk, w.Stores[1])}
		for _, step := range []struct {
			name    string
			do      func() offboard.Report
			want    user.ProvisionAction
			ofSlice int
		}{
			{"new", func() offboard.Report { return w.provision(t, w.robot, req) }, user.Created, 15},
			{"the same again", func() offboard.Report { return w.provision(t, w.robot, req) }, user.Unchanged, 10},
			{"gone", func() offboard.Report {
				var named []user.Whom
				for _, item := range req.Users {
					named = append(named, user.Whom{Email: &item.Email})
				}
				r, err := w.offboard.Deprovision(t.Context(), w.robot, offboard.DeprovisionRequest{Users: named})
				if err != nil {
					t.Fatal(err)
				}
				return r
			}, user.Removed, 20},
		} {
			most := int64(step.ofSlice * user.MaxBulk / db.Offboard().SliceSize())
			statements.Store(0)
			began := time.Now()
			r := step.do()
			t.Logf("%s: %d ms, %d statements", step.name, time.Since(began).Milliseconds(), statements.Load())
			if r.Count(step.want) != user.MaxBulk || statements.Load() > most {
				t.Errorf("%s: %d %s of %d by %d statements, at most %d are wanted", step.name, r.Count(step.want), step.want, user.MaxBulk, statements.Load(), most)
			}
		}
	})
}

// Those who provision overlapping lists at once, in two accounts, and those who remove meanwhile, end with everybody once
// and nobody half.
func TestProvisionRaces(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		w, other := newWorld(t, url), newWorld(t, url)
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
				_, err := w.offboard.Provision(t.Context(), w.robot, user.ProvisionRequest{Users: newcomers(20*n, 60, w.Stores[0])})
				return err
			})
			run(func() error {
				_, err := other.offboard.Provision(t.Context(), other.robot, user.ProvisionRequest{Users: newcomers(30*n, 60, other.Stores[0])})
				return err
			})
			run(func() error {
				named := []user.Whom{byEmail(user.User{Email: fmt.Sprintf("person-%04d@acme.example", 30+n)}), byEmail(w.Users[2+n])}
				_, err := w.offboard.Deprovision(t.Context(), w.robot, offboard.DeprovisionRequest{Users: named})
				return err
			})
		}
		all.Wait()
		w.provision(t, w.robot, user.ProvisionRequest{Users: newcomers(0, 100, w.Stores[0])})
		if n := len(w.emails(t)); n != 102 {
			t.Errorf("%d people in the one account, want 100 and two owners", n)
		}
		if n := len(other.emails(t)); n != 125 {
			t.Errorf("%d people in the other account, want 120 and its five", n)
		}
		again := w.provision(t, w.robot, user.ProvisionRequest{Users: newcomers(0, 100, w.Stores[0])})
		if again.Count(user.Unchanged) != 100 {
			t.Errorf("somebody was half there: %s", told(again))
		}
	})
}
