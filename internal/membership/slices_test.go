package membership_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/world"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// watched calls before at the start of each slice, and counts the events of
// committed slices.
type watched struct {
	membership.Repository
	before func(n int64) error
	slices atomic.Int64
	events atomic.Int64
}

func (r *watched) ChangeSlice(ctx context.Context, by auth.Actor, accountID uuid.UUID,
	work func(membership.Change) error) error {
	if n := r.slices.Add(1); r.before != nil {
		if err := r.before(n); err != nil {
			return err
		}
	}
	events := 0
	err := r.Repository.ChangeSlice(ctx, by, accountID,
		func(c membership.Change) error { return work(counting{c, &events}) })
	if err == nil {
		r.events.Add(int64(events))
	}
	return err
}

type counting struct {
	membership.Change
	events *int
}

func (c counting) Record(ctx context.Context, events []audit.Event) error {
	*c.events += len(events)
	return c.Change.Record(ctx, events)
}

// A request has the same report whether it runs at once or in slices: items can
// repeat others, and external IDs can move between users.
func TestSlicesAreOneRequest(t *testing.T) {
	eachTenant(t, func(t *testing.T, w *tenant) {
		items := newUsers(0, 120, w.Stores[0])
		first := items[0].Email
		items = append(items,
			membership.ProvisionItem{Email: strings.ToUpper(first)},
			membership.ProvisionItem{Email: first, LastName: new("Other")},
			membership.ProvisionItem{Email: w.World.Users[2].Email, ExternalID: new("hr-0003")},
			membership.ProvisionItem{Email: "typo@"},
			membership.ProvisionItem{Email: items[1].Email, LastName: new("Other")}, // also in the first slice
		)
		r := w.provision(t, w.robot, membership.ProvisionRequest{Users: items})
		want := "UNCHANGED " + strings.ToUpper(first) + "\nFAILED " + first + " users.121.email CONFLICT\nFAILED " +
			w.World.Users[2].Email + " users.122.externalId CONFLICT\nFAILED typo@ users.123.email INVALID\nFAILED " +
			items[1].Email + " users.124.email CONFLICT"
		wantText(t, "the last items", format(membership.Report{Items: r.Items[120:]}), want)
		if r.Count(membership.Created) != 120 || r.Items[120].Person == nil ||
			r.Items[120].Person.ID != r.Items[0].Person.ID {
			t.Errorf("created: got %d, and the repeated item %+v, want 120, and the user of the first item",
				r.Count(membership.Created), r.Items[120].Person)
		}
		// One item removes an external ID, and the last item takes it.
		again := newUsers(0, 100, w.Stores[0])
		again[0].ExternalID = new("")
		again = append(again, membership.ProvisionItem{Email: w.World.Users[2].Email, ExternalID: new("hr-0000")})
		r = w.provision(t, w.robot, membership.ProvisionRequest{Users: again})
		if r.Count(membership.Updated) != 2 || r.Count(membership.Unchanged) != 99 {
			t.Errorf("a moved external ID: got\n%s\nwant 2 updated and 99 unchanged", format(r))
		}
		var named []user.Ref
		for _, item := range r.Items[:100] {
			named = append(named, user.Ref{Email: &item.Email})
		}
		named = append(named, byID(r.Items[0].Person.User), byEmail(r.Items[1].Person.User),
			user.Ref{ID: new(uuid.New())})
		deleted, err := w.Memberships.Deprovision(t.Context(), w.robot, membership.DeprovisionRequest{Users: named})
		if err != nil {
			t.Fatal(err)
		}
		want = "UNCHANGED " + first + "\nUNCHANGED " + r.Items[1].Email + "\nFAILED  users.102.id NOT_FOUND"
		wantText(t, "the last who leave", format(membership.Report{Items: deleted.Items[100:]}), want)
		if deleted.Count(membership.Removed) != 100 || deleted.Items[100].Person == nil {
			t.Errorf("removed: got %d, and the repeated item %+v, want 100, and its user",
				deleted.Count(membership.Removed), deleted.Items[100].Person)
		}
	})
}

// RemoveOthers removes all others or none, for any number of slices.
func TestRemoveOthersInSlices(t *testing.T) {
	eachTenant(t, func(t *testing.T, w *tenant) {
		w.provision(t, w.robot, membership.ProvisionRequest{Users: newUsers(0, 120, w.Stores[0])})
		req := membership.ProvisionRequest{RemoveOthers: true, Users: newUsers(200, 60, w.Stores[1])}
		req.Users[59].ExternalID = new("hr-0007") // of a user that is removed
		req.Users = append(req.Users, membership.ProvisionItem{Email: "typo@"})
		before := dbtest.Dump(t, w.URL)
		_, err := w.Memberships.Provision(t.Context(), w.robot, req)
		if f := fault.Flatten(err); len(f) != 2 || f[0].Field != "removeOthers" || f[1].Field != "users.60.email" ||
			dbtest.Dump(t, w.URL) != before {
			t.Errorf("a wrong item: got error %v, want faults on removeOthers and users.60.email and no change", err)
		}
		req.Users = req.Users[:60]
		r := w.provision(t, w.robot, req)
		if r.Count(membership.Created) != 60 || r.Count(membership.Removed) != 123 || r.Count(membership.Failed) != 2 ||
			len(r.Items) != 185 {
			t.Errorf("report: got\n%s\nwant 60 created, 123 removed and 2 failed", format(r))
		}
		for i, item := range r.Items {
			if others := i >= 60; others != (item.Action != membership.Created) || item.Action == membership.Failed &&
				item.Fault.Field != "removeOthers" {
				t.Errorf("item %d: got %+v, want created before item 60, then removed or failed on removeOthers",
					i, item.Outcome)
			}
		}
		if left := w.emails(t); len(left) != 62 {
			t.Errorf("%d users remain, want 60 and two owners", len(left))
		}
	})
}

// After a slice has failed, no other slice runs, and the report says which users
// were changed. If the first slice fails, the request returns its error.
func TestSlicesStop(t *testing.T) {
	w := newTenant(t, world.New(t, dbtest.SQLiteURL(t), world.Options{}))
	down := errors.New("the disk is gone")
	for _, c := range []struct {
		name       string
		fails      int64
		err        error
		kind, want fault.Kind
		created    int
	}{
		{"the first, by a fault", 1, fault.Errorf(fault.Conflict, "Not now."), fault.Conflict, "", 0},
		{"the first, by an error", 1, down, fault.Internal, "", 0},
		{"the second, by a fault", 2, fault.Errorf(fault.Conflict, "Not now."), "", fault.Conflict, 50},
		{"the third, by an error", 3, down, "", fault.Internal, 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			repo := &watched{Repository: w.DB.Memberships(), before: func(n int64) error {
				if n == c.fails {
					return c.err
				}
				return nil
			}}
			w.Memberships = membership.NewService(repo, func() time.Time { return at })
			users := newUsers(int(1000*c.fails)+c.created, 160, w.Stores[0])
			r, err := w.Memberships.Provision(t.Context(), w.robot, membership.ProvisionRequest{Users: users})
			if fault.KindOf(err) != c.kind || repo.slices.Load() != c.fails {
				t.Errorf("got error %v after %d slices, want kind %q after %d",
					err, repo.slices.Load(), c.kind, c.fails)
			}
			if c.kind != "" {
				return
			}
			last := r.Items[159]
			if r.Count(membership.Created) != c.created || r.Count(membership.Failed) != 160-c.created ||
				last.Fault.Kind != c.want || last.Fault.Field != "users.159" ||
				last.Email != users[159].Email || !errors.Is(r.Stopped, c.err) {
				t.Errorf("report: got\n%s\nwant %d created, the rest failed with kind %s", format(r), c.created, c.want)
			}
		})
	}
}

// slow is a repository that takes this long for each slice and changes nothing.
type slow struct {
	membership.Repository
	takes time.Duration
}

func (slow) SliceSize() int { return 250 }

func (r slow) ChangeSlice(ctx context.Context, _ auth.Actor, _ uuid.UUID, _ func(membership.Change) error) error {
	select {
	case <-time.After(r.takes):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A slice is canceled after five seconds. A request of several slices may take
// longer.
func TestSlicesAreBounded(t *testing.T) {
	by := auth.OperatorPrincipal()
	for _, c := range []struct {
		users       int
		takes, took time.Duration
		err         error
	}{
		{160, time.Hour, 5 * time.Second, fault.ErrUnavailable},
		{1000, time.Hour, 5 * time.Second, fault.ErrUnavailable},
		{1000, 4 * time.Second, 16 * time.Second, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			_, err := membership.NewService(slow{takes: c.takes}, time.Now).
				Provision(t.Context(), &by, membership.ProvisionRequest{
					Users: make([]membership.ProvisionItem, c.users)})
			if took := time.Since(began); took != c.took || !errors.Is(err, c.err) {
				t.Errorf("%d users, with slices of %s: got error %v after %s, want %v after %s",
					c.users, c.takes, err, took, c.err, c.took)
			}
		})
	}
}

// Each slice checks the actor: the remaining slices fail after the session has
// ended.
func TestSlicesCheckTheActor(t *testing.T) {
	w := newTenant(t, world.New(t, dbtest.SQLiteURL(t), world.Options{}))
	operator := auth.OperatorPrincipal()
	users := w.Services.Users
	_, value, err := users.StartSession(t.Context(), &operator,
		user.SessionRequest{Email: w.Owner.Email, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	owner, err := w.Verifier.Principal(t.Context(), value.Reveal(), auth.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	w.Memberships = membership.NewService(&watched{Repository: w.DB.Memberships(), before: func(n int64) error {
		if n != 2 {
			return nil
		}
		_, err := users.EndSessions(t.Context(), &operator, user.SessionFilter{Email: w.Owner.Email})
		return err
	}}, func() time.Time { return at })
	r := w.provision(t, owner, membership.ProvisionRequest{Users: newUsers(0, 120, w.Stores[0])})
	if r.Count(membership.Created) != 50 || r.Count(membership.Failed) != 70 ||
		r.Items[50].Fault.Kind != fault.Unauthenticated ||
		len(w.emails(t)) != 55 {
		t.Errorf("users in the account: got %d, want 55; report: got\n%s\nwant 50 created and 70 failed",
			len(w.emails(t)), format(r))
	}
}

// During bulk requests of eight other accounts, a revocation waits for the running
// slice, and issuing waits for one slice of each. The test counts the events
// written between call and return, which does not depend on the load of the
// machine.
func TestRevokeDuringBulk(t *testing.T) {
	url := dbtest.SQLiteURL(t)
	w := newTenant(t, world.New(t, url, world.Options{}))
	begun := make(chan struct{})
	repo := &watched{Repository: w.DB.Memberships(), before: func(n int64) error {
		if n == 4 { // one slice has ended
			close(begun)
		}
		return nil
	}}
	ctx, cancel := context.WithCancel(t.Context())
	var loops sync.WaitGroup
	defer loops.Wait()
	defer cancel()
	// Create all accounts before the first bulk request: each is created with its
	// own DB, which does not use the queue.
	const accounts = 8
	var others []*tenant
	for range accounts {
		others = append(others, newTenant(t, world.New(t, url, world.Options{})))
	}
	for _, other := range others {
		other.Memberships = membership.NewService(repo, time.Now)
		loops.Go(func() { other.inBulk(ctx, t) })
	}
	select {
	case <-begun:
	case <-time.After(time.Minute):
		t.Fatal("no bulk request runs, want one within a minute")
	}
	const rounds, eventsOfSlice = 5, 3 * 50
	var revoking, issuing []int64
	for range rounds {
		before := repo.events.Load()
		made := w.issue(t, w.Owner, "Beside bulks")
		between := repo.events.Load()
		if _, err := w.Tokens.Revoke(t.Context(), w.owner, token.RevokeRequest{IDs: []uuid.UUID{made.ID}}); err != nil {
			t.Fatal(err)
		}
		issuing, revoking = append(issuing, between-before), append(revoking, repo.events.Load()-between)
	}
	slices.Sort(issuing)
	slices.Sort(revoking)
	// The running slice, and one more that ends while this test is not running.
	if typical := revoking[rounds/2]; typical > 2*eventsOfSlice {
		t.Errorf("a revocation waited for %d events, want %d at most: %v", typical, 2*eventsOfSlice, revoking)
	}
	if typical := issuing[rounds/2]; typical > (accounts+2)*eventsOfSlice {
		t.Errorf("issuing waited for %d events, want %d at most: %v", typical, (accounts+2)*eventsOfSlice, issuing)
	}
}

// inBulk adds and removes a thousand users until ctx ends.
func (w *tenant) inBulk(ctx context.Context, t *testing.T) {
	req := membership.ProvisionRequest{Users: newUsers(0, membership.MaxBulk, w.Stores[1])}
	named := make([]user.Ref, len(req.Users))
	for i := range req.Users {
		named[i].Email = &req.Users[i].Email
	}
	for ctx.Err() == nil {
		_, err := w.Memberships.Provision(ctx, w.robot, req)
		if err == nil {
			_, err = w.Memberships.Deprovision(ctx, w.robot, membership.DeprovisionRequest{Users: named})
		}
		if err != nil && ctx.Err() == nil {
			t.Errorf("bulk request: %v", err)
			return
		}
	}
}
