package offboard_test

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

	"latchkey/internal/access"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/dbtest"
	"latchkey/internal/fault"
	"latchkey/internal/offboard"
	"latchkey/internal/scope"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// watched calls before ahead of each slice, and adds the events of committed ones up.
type watched struct {
	offboard.Repository
	before func(n int64) error
	slices atomic.Int64
	events atomic.Int64
}

func (r *watched) ChangeSlice(ctx context.Context, by auth.Actor, accountID uuid.UUID, work func(offboard.Change) error) error {
	if n := r.slices.Add(1); r.before != nil {
		if err := r.before(n); err != nil {
			return err
		}
	}
	events := 0
	err := r.Repository.ChangeSlice(ctx, by, accountID, func(c offboard.Change) error { return work(counting{c, &events}) })
	if err == nil {
		r.events.Add(int64(events))
	}
	return err
}

type counting struct {
	offboard.Change
	events *int
}

func (c counting) Record(ctx context.Context, events []audit.Event) error {
	*c.events += len(events)
	return c.Change.Record(ctx, events)
}

// What is said of a request is the same whether it is carried out at once or in slices: items that repeat others, and
// external ids that go from one to another.
func TestSlicesAreOneRequest(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		items := newcomers(0, 120, w.Stores[0])
		first := items[0].Email
		items = append(items,
			user.ProvisionItem{Email: strings.ToUpper(first)},
			user.ProvisionItem{Email: first, LastName: new("Other")},
			user.ProvisionItem{Email: w.Users[2].Email, ExternalID: new("hr-0003")},
			user.ProvisionItem{Email: "typo@"},
			user.ProvisionItem{Email: items[1].Email, LastName: new("Other")}, // of the first slice
		)
		r := w.provision(t, w.robot, user.ProvisionRequest{Users: items})
		want := "UNCHANGED " + strings.ToUpper(first) + "\nFAILED " + first + " users.121.email CONFLICT\nFAILED " +
			w.Users[2].Email + " users.122.externalId CONFLICT\nFAILED typo@ users.123.email INVALID\nFAILED " +
			items[1].Email + " users.124.email CONFLICT"
		wantText(t, "the last items", told(offboard.Report{Items: r.Items[120:]}), want)
		if r.Count(user.Created) != 120 || r.Items[120].Person == nil || r.Items[120].Person.ID != r.Items[0].Person.ID {
			t.Errorf("%d were created, and the first is repeated as %+v", r.Count(user.Created), r.Items[120].Person)
		}
		// One gives an external id up, and the last item takes it.
		again := newcomers(0, 100, w.Stores[0])
		again[0].ExternalID = new("")
		again = append(again, user.ProvisionItem{Email: w.Users[2].Email, ExternalID: new("hr-0000")})
		r = w.provision(t, w.robot, user.ProvisionRequest{Users: again})
		if r.Count(user.Updated) != 2 || r.Count(user.Unchanged) != 99 {
			t.Errorf("an external id that goes over: %s", told(r))
		}
		var named []user.Whom
		for _, item := range r.Items[:100] {
			named = append(named, user.Whom{Email: &item.Email})
		}
		named = append(named, byID(r.Items[0].Person.User), byEmail(r.Items[1].Person.User), user.Whom{ID: new(uuid.New())})
		gone, err := w.offboard.Deprovision(t.Context(), w.robot, offboard.DeprovisionRequest{Users: named})
		if err != nil {
			t.Fatal(err)
		}
		want = "UNCHANGED " + first + "\nUNCHANGED " + r.Items[1].Email + "\nFAILED  users.102.id NOT_FOUND"
		wantText(t, "the last who leave", told(offboard.Report{Items: gone.Items[100:]}), want)
		if gone.Count(user.Removed) != 100 || gone.Items[100].Person == nil {
			t.Errorf("%d are removed, the first is repeated as %+v", gone.Count(user.Removed), gone.Items[100].Person)
		}
	})
}

// Others leave, or nobody does, however many slices that takes.
func TestRemoveOthersInSlices(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.provision(t, w.robot, user.ProvisionRequest{Users: newcomers(0, 120, w.Stores[0])})
		req := user.ProvisionRequest{RemoveOthers: true, Users: newcomers(200, 60, w.Stores[1])}
		req.Users[59].ExternalID = new("hr-0007") // of somebody who leaves
		req.Users = append(req.Users, user.ProvisionItem{Email: "typo@"})
		before := dbtest.Dump(t, w.url)
		_, err := w.offboard.Provision(t.Context(), w.robot, req)
		if f := fault.Flatten(err); len(f) != 2 || f[0].Field != "removeOthers" || f[1].Field != "users.60.email" || dbtest.Dump(t, w.url) != before {
			t.Errorf("a wrong item: %v", err)
		}
		req.Users = req.Users[:60]
		r := w.provision(t, w.robot, req)
		if r.Count(user.Created) != 60 || r.Count(user.Removed) != 123 || r.Count(user.Failed) != 2 || len(r.Items) != 185 {
			t.Errorf("done: %s", told(r))
		}
		for i, item := range r.Items {
			if others := i >= 60; others != (item.Action != user.Created) || item.Action == user.Failed && item.Fault.Field != "removeOthers" {
				t.Errorf("item %d is %+v", i, item.Outcome)
			}
		}
		if left := w.emails(t); len(left) != 62 {
			t.Errorf("%d people are left, want 60 and two owners", len(left))
		}
	})
}

// Once a slice has failed, none follows, and the report says what was done. The first one fails as the request.
func TestSlicesStop(t *testing.T) {
	w := newWorld(t, dbtest.SQLiteURL(t))
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
			repo := &watched{Repository: w.db.Offboard(), before: func(n int64) error {
				if n == c.fails {
					return c.err
				}
				return nil
			}}
			w.offboard = offboard.NewService(repo, func() time.Time { return at })
			people := newcomers(int(1000*c.fails)+c.created, 160, w.Stores[0])
			r, err := w.offboard.Provision(t.Context(), w.robot, user.ProvisionRequest{Users: people})
			if fault.KindOf(err) != c.kind || repo.slices.Load() != c.fails {
				t.Errorf("%v after %d slices", err, repo.slices.Load())
			}
			if c.kind != "" {
				return
			}
			last := r.Items[159]
			if r.Count(user.Created) != c.created || r.Count(user.Failed) != 160-c.created || last.Fault.Kind != c.want || last.Fault.Field != "users.159" ||
				last.Email != people[159].Email || !errors.Is(r.Stopped, c.err) {
				t.Errorf("the report: %s", told(r))
			}
		})
	}
}

// slow is a repository that takes so long for each slice, and changes nothing.
type slow struct {
	offboard.Repository
	takes time.Duration
}

func (slow) SliceSize() int { return 250 }

func (r slow) ChangeSlice(ctx context.Context, _ auth.Actor, _ uuid.UUID, _ func(offboard.Change) error) error {
	select {
	case <-time.After(r.takes):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A slice that does not return is given up after five seconds, and a request of several may take longer.
func TestSlicesAreBounded(t *testing.T) {
	by := auth.OperatorPrincipal()
	for _, c := range []struct {
		people      int
		takes, took time.Duration
		err         error
	}{
		{160, time.Hour, 5 * time.Second, fault.ErrUnavailable},
		{1000, time.Hour, 5 * time.Second, fault.ErrUnavailable},
		{1000, 4 * time.Second, 16 * time.Second, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			_, err := offboard.NewService(slow{takes: c.takes}, time.Now).
				Provision(t.Context(), &by, user.ProvisionRequest{Users: make([]user.ProvisionItem, c.people)})
			if took := time.Since(began); took != c.took || !errors.Is(err, c.err) {
				t.Errorf("%d people, with slices of %s: %v after %s", c.people, c.takes, err, took)
			}
		})
	}
}

// Each slice judges the actor: what is left of a bulk does not happen once its session has ended.
func TestSlicesJudgeTheirActor(t *testing.T) {
	w := newWorld(t, dbtest.SQLiteURL(t))
	operator := auth.OperatorPrincipal()
	users := user.NewService(w.db.Users(), w.keys, random, func() time.Time { return at })
	_, value, err := users.StartSession(t.Context(), &operator, user.SessionRequest{Email: w.Owner.Email, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	verifier := access.NewVerifier(access.Config{
		Repository: w.db.Access(), Keys: w.keys, Catalogue: scope.Default(), Now: func() time.Time { return at },
	})
	owner, err := verifier.Verify(t.Context(), value.Reveal(), auth.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	w.offboard = offboard.NewService(&watched{Repository: w.db.Offboard(), before: func(n int64) error {
		if n != 2 {
			return nil
		}
		_, err := users.EndSessions(t.Context(), &operator, user.SessionFilter{Email: w.Owner.Email})
		return err
	}}, func() time.Time { return at })
	r := w.provision(t, owner, user.ProvisionRequest{Users: newcomers(0, 120, w.Stores[0])})
	if r.Count(user.Created) != 50 || r.Count(user.Failed) != 70 || r.Items[50].Fault.Kind != fault.Unauthenticated || len(w.emails(t)) != 55 {
		t.Errorf("%d people are there: %s", len(w.emails(t)), told(r))
	}
}

// Beside bulks of eight other accounts a revocation waits for the slice that runs, and issuing for a slice of each, and
// not for all that the others have to do. It is counted what was written between call and answer, which does
// not depend on how busy the machine is.
func TestRevokeBesideBulk(t *testing.T) {
	url := dbtest.SQLiteURL(t)
	w := newWorld(t, url)
	begun := make(chan struct{})
	repo := &watched{Repository: w.db.Offboard(), before: func(n int64) error {
		if n == 4 { // one has ended
			close(begun)
		}
		return nil
	}}
	ctx, cancel := context.WithCancel(t.Context())
	var loops sync.WaitGroup
	defer loops.Wait()
	defer cancel()
	// All worlds are there before the first bulk: each is made through a DB of its own, which is not in the queue.
	const accounts = 8
	var others []*world
	for range accounts {
		others = append(others, newWorld(t, url))
	}
	for _, other := range others {
		other.offboard = offboard.NewService(repo, time.Now)
		loops.Go(func() { other.inBulk(ctx, t) })
	}
	select {
	case <-begun:
	case <-time.After(time.Minute):
		t.Fatal("no bulk goes on")
	}
	const rounds, eventsOfSlice = 5, 3 * 50
	var revoking, issuing []int64
	for range rounds {
		before := repo.events.Load()
		made := w.issue(t, w.Owner, "Beside bulks")
		between := repo.events.Load()
		if _, err := w.tokens.Revoke(t.Context(), w.owner, token.RevokeRequest{IDs: []uuid.UUID{made.ID}}); err != nil {
			t.Fatal(err)
		}
		issuing, revoking = append(issuing, between-before), append(revoking, repo.events.Load()-between)
	}
	slices.Sort(issuing)
	slices.Sort(revoking)
	// The one that runs, and one more that ends while this test is not running.
	if typical := revoking[rounds/2]; typical > 2*eventsOfSlice {
		t.Errorf("a revocation waited for %d events of others: %v", typical, revoking)
	}
	if typical := issuing[rounds/2]; typical > (accounts+2)*eventsOfSlice {
		t.Errorf("issuing waited for %d events of others: %v", typical, issuing)
	}
}

// inBulk takes a thousand people in and out of the account until ctx ends.
func (w *world) inBulk(ctx context.Context, t *testing.T) {
	req := user.ProvisionRequest{Users: newcomers(0, user.MaxBulk, w.Stores[1])}
	named := make([]user.Whom, len(req.Users))
	for i := range req.Users {
		named[i].Email = &req.Users[i].Email
	}
	for ctx.Err() == nil {
		_, err := w.offboard.Provision(ctx, w.robot, req)
		if err == nil {
			_, err = w.offboard.Deprovision(ctx, w.robot, offboard.DeprovisionRequest{Users: named})
		}
		if err != nil && ctx.Err() == nil {
			t.Errorf("a bulk: %v", err)
			return
		}
	}
}
