package access_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
)

// useTable keeps uses in memory, batch by batch.
type useTable struct {
	mu       sync.Mutex
	kept     [][]access.Use
	failing  error
	hanging  int       // how many calls do not return before their context ends
	ended    bool      // whether the context of the latest call had ended
	deadline time.Time // the deadline of that context
}

func (r *useTable) SaveUses(ctx context.Context, uses []access.Use) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = ctx.Err() != nil
	r.deadline, _ = ctx.Deadline()
	if r.hanging > 0 {
		r.hanging--
		<-ctx.Done()
		return ctx.Err()
	}
	if r.failing != nil {
		return r.failing
	}
	r.kept = append(r.kept, slices.Clone(uses))
	return nil
}

func use(id uuid.UUID, at time.Time, ip string) access.Use {
	return access.Use{AccountID: account, TokenID: id, At: at, IP: netip.MustParseAddr(ip)}
}

func TestVerifyNotesUsesOfTokens(t *testing.T) {
	g := open(t)
	accessID := uuid.New()
	s := g.token(func(r *access.Record) { r.AccessTokenID = accessID })
	session := g.secret(secret.UserSession)
	g.keep(session, access.Record{Principal: auth.Principal{Kind: auth.Session, ID: uuid.New(), AccountID: account,
		AccountOwner: true}})
	g.verify(session)
	var id uuid.UUID
	for _, ip := range []string{"192.0.2.1", "192.0.2.2"} {
		g.clock = g.clock.Add(time.Second)
		p, err := g.Principal(ctx, s.Reveal(), auth.Origin{IP: netip.MustParseAddr(ip)})
		if err != nil {
			t.Fatal(err)
		}
		id = p.ID
	}
	if err := g.uses.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	want := []access.Use{use(id, now.Add(2*time.Second), "192.0.2.2")}
	want[0].AccessTokenID = accessID
	if len(g.used.kept) != 1 || !slices.Equal(g.used.kept[0], want) {
		t.Errorf("kept %v, want %v", g.used.kept, want)
	}
}

// Two access tokens of one API token, and one that its client was granted, are
// noted apart.
func TestUsesOfAccessTokens(t *testing.T) {
	repo, id, before, after := &useTable{}, uuid.New(), uuid.New(), uuid.New()
	u := access.NewUses(repo)
	by := func(accessID uuid.UUID, at time.Time) access.Use {
		each := use(id, at, "192.0.2.1")
		each.AccessTokenID = accessID
		return each
	}
	want := []access.Use{by(before, now.Add(2*time.Second)), by(after, now.Add(time.Second)),
		by(uuid.Nil, now.Add(3*time.Second))}
	for _, each := range want {
		earlier := each
		earlier.At = now
		u.Note(earlier)
		u.Note(each)
		u.Note(earlier)
	}
	if err := u.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if len(repo.kept) != 1 || len(repo.kept[0]) != len(want) {
		t.Fatalf("kept %v, want one batch of %d uses", repo.kept, len(want))
	}
	for _, each := range want {
		if !slices.Contains(repo.kept[0], each) {
			t.Errorf("kept %v, want it to contain %v", repo.kept[0], each)
		}
	}
}

func TestUsesNeverGoBackwards(t *testing.T) {
	repo, a, b := &useTable{}, uuid.New(), uuid.New()
	u := access.NewUses(repo)
	u.Note(use(a, now.Add(time.Second), "192.0.2.2"))
	u.Note(use(a, now, "192.0.2.1"))
	u.Note(use(b, now, "192.0.2.1"))
	if err := u.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if err := u.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if len(repo.kept) != 1 || len(repo.kept[0]) != 2 {
		t.Fatalf("kept %v, want one batch of one use of each token", repo.kept)
	}
	if !slices.Contains(repo.kept[0], use(a, now.Add(time.Second), "192.0.2.2")) ||
		!slices.Contains(repo.kept[0], use(b, now, "192.0.2.1")) {
		t.Errorf("kept %v, want the latest use of each token", repo.kept)
	}
}

// What could not be kept stays, unless a later use came meanwhile.
func TestFlushFails(t *testing.T) {
	repo, a, b := &useTable{failing: errors.New("no connection")}, uuid.New(), uuid.New()
	u := access.NewUses(repo)
	u.Note(use(a, now, "192.0.2.1"))
	u.Note(use(b, now, "192.0.2.1"))
	for range 2 {
		if err := u.Flush(ctx); !errors.Is(err, repo.failing) {
			t.Errorf("got %v, want %v", err, repo.failing)
		}
	}
	u.Note(use(a, now.Add(time.Second), "192.0.2.2"))
	repo.failing = nil
	if err := u.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if len(repo.kept) != 1 || len(repo.kept[0]) != 2 ||
		!slices.Contains(repo.kept[0], use(a, now.Add(time.Second), "192.0.2.2")) ||
		!slices.Contains(repo.kept[0], use(b, now, "192.0.2.1")) {
		t.Errorf("kept %v, want one batch with the latest use of each token", repo.kept)
	}
}

// Noting goes on while batches are written: none is lost and the last one counts.
func TestNoteWhileFlushing(t *testing.T) {
	repo, id := &useTable{}, uuid.New()
	u := access.NewUses(repo)
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := range 500 {
				u.Note(use(id, now.Add(time.Duration(4*i+w)*time.Millisecond), "192.0.2.1"))
			}
		})
	}
	for range 50 {
		if err := u.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	writers.Wait()
	if err := u.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	latest := time.Time{}
	for _, batch := range repo.kept {
		if batch[0].At.After(latest) {
			latest = batch[0].At
		}
	}
	check.Equal(t, latest, now.Add((4*499+3)*time.Millisecond), "the last use kept")
}

func TestRunFlushesAtIntervalsAndAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo, id := &useTable{}, uuid.New()
		u := access.NewUses(repo)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			u.Run(ctx, time.Second, 5*time.Second, func(err error) { t.Errorf("failed: %v", err) })
			close(ended)
		}()
		for i := range 3 {
			u.Note(use(id, now.Add(time.Duration(i)), "192.0.2.1"))
			time.Sleep(time.Second)
			synctest.Wait()
			check.Equal(t, len(repo.kept), i+1, "len(repo.kept)")
		}
		u.Note(use(id, now.Add(time.Hour), "192.0.2.9"))
		cancel()
		<-ended
		if n := len(repo.kept); n != 4 || repo.kept[n-1][0].At != now.Add(time.Hour) {
			t.Errorf("kept %v, want 4 batches, the last with the last use", repo.kept)
		}
		if repo.ended || repo.deadline.IsZero() || time.Until(repo.deadline) > 5*time.Second {
			t.Errorf("the last batch: context ended %v, runs until %v, want it running for 5 seconds at most",
				repo.ended, repo.deadline)
		}
	})
}

// Flushes that hang end, and what they had is kept with what came meanwhile,
// all within a minute.
func TestFlushesHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo, first, later := &useTable{hanging: 2}, uuid.New(), uuid.New()
		u := access.NewUses(repo)
		ctx, cancel := context.WithCancel(t.Context())
		var failures []error
		ended := make(chan struct{})
		go func() {
			u.Run(ctx, 10*time.Second, time.Second, func(err error) { failures = append(failures, err) })
			close(ended)
		}()
		u.Note(use(first, now, "192.0.2.1"))
		time.Sleep(15 * time.Second) // the first one hangs
		u.Note(use(later, now, "192.0.2.2"))
		time.Sleep(45 * time.Second)
		cancel()
		<-ended
		if len(repo.kept) != 1 || !slices.Contains(repo.kept[0], use(first, now, "192.0.2.1")) ||
			!slices.Contains(repo.kept[0], use(later, now, "192.0.2.2")) {
			t.Errorf("kept %v, want one batch of both uses", repo.kept)
		}
		if len(failures) != 2 || !errors.Is(failures[0], context.DeadlineExceeded) {
			t.Errorf("failures %v, want one for each that hung", failures)
		}
	})
}

func TestRunReportsFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := &useTable{failing: errors.New("no connection")}
		u := access.NewUses(repo)
		u.Note(use(uuid.New(), now, "192.0.2.1"))
		ctx, cancel := context.WithCancel(t.Context())
		var failures []error
		ended := make(chan struct{})
		go func() {
			u.Run(ctx, time.Second, time.Second, func(err error) { failures = append(failures, err) })
			close(ended)
		}()
		time.Sleep(2500 * time.Millisecond)
		cancel()
		<-ended
		check.Equal(t, len(failures), 3, "failures %v", failures)
	})
}
