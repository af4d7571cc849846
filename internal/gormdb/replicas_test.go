package gormdb_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/dbtest"
	"latchkey/internal/gormdb"
)

// join runs a feed under a name until the test or leave ends it.
func join(t *testing.T, db *gormdb.DB, name string, ears gormdb.Ears) (f *gormdb.Feed, leave func()) {
	t.Helper()
	if ears.Changed == nil {
		ears = gormdb.Ears{Changed: func(uuid.UUID) {}, Forget: func() {}}
	}
	f = db.NewFeed(access.Replica{Name: name, URL: "http://" + name + ".example"}, ears, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.Run(ctx)
	}()
	leave = func() {
		cancel()
		<-ended
	}
	t.Cleanup(leave)
	within(t, 5*time.Second, "hearing", f.Hearing)
	return f, leave
}

// confirm returns who has acknowledged, and who has not.
func confirm(t *testing.T, f *gormdb.Feed) (yes, no []string, took time.Duration) {
	t.Helper()
	started := time.Now()
	receipt, err := f.Confirm(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range receipt.Replicas {
		switch {
		case r.At.IsZero():
			no = append(no, r.Replica)
		case r.At.Before(started) || r.At.After(time.Now()):
			t.Errorf("%s acknowledged at %s", r.Replica, r.At)
		default:
			yes = append(yes, r.Replica)
		}
	}
	return yes, no, receipt.Elapsed
}

func (r *recorder) has(id uuid.UUID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.told, id)
}

// What a replica acknowledges it has heard, however many ask at once.
func TestConfirm(t *testing.T) {
	url := dbtest.PostgresURL(t)
	here, there := dbtest.Open(t, url), dbtest.Open(t, url)
	w := dbtest.Seed{}.Make(t, here)
	var ears recorder
	a, _ := join(t, here, "a", gormdb.Ears{})
	_, leave := join(t, there, "b", gormdb.Ears{Changed: ears.changed, Forget: func() {}})
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 5 {
				account := uuid.New() // told of by the table alone: nobody notifies
				execute(t, url, "INSERT INTO changes (account_id) VALUES ($1)", account)
				yes, _, _ := confirm(t, a)
				if !slices.Equal(yes, []string{"a", "b"}) {
					t.Errorf("acknowledged by %q", yes)
				}
				if !ears.has(account) {
					t.Error("b acknowledged what it has not heard")
				}
			}
		})
	}
	clients.Wait()
	made, _ := issue(t, here, w, uuid.Nil)
	revoke(t, here, made)
	if yes, no, took := confirm(t, a); len(yes) != 2 || len(no) > 0 || took > lease/2 {
		t.Errorf("acknowledged by %q, not by %q, within %s", yes, no, took)
	}
	list, err := a.Replicas(t.Context())
	if err != nil || !slices.Equal(list, []access.Replica{{Name: "a", URL: "http://a.example"}, {Name: "b", URL: "http://b.example"}}) {
		t.Errorf("the replicas are %+v, %v", list, err)
	}
	leave()
	if yes, no, took := confirm(t, a); !slices.Equal(yes, []string{"a"}) || len(no) > 0 || took > lease/2 {
		t.Errorf("once b has left: acknowledged by %q, not by %q, within %s", yes, no, took)
	}
}

// A replica that cannot answer is waited for until it must not trust its
// memory any more, and no longer; and not at all by one who goes away.
func TestConfirmWithoutAnAnswer(t *testing.T) {
	url := dbtest.PostgresURL(t)
	p := startProxy(t, url)
	a, _ := join(t, dbtest.Open(t, url), "a", gormdb.Ears{})
	b, _ := join(t, dbtest.Open(t, p.url), "b", gormdb.Ears{})
	p.freeze()
	defer p.thaw()
	yes, no, took := confirm(t, a)
	if !slices.Equal(yes, []string{"a"}) || !slices.Equal(no, []string{"b"}) || b.Hearing() {
		t.Errorf("acknowledged by %q, not by %q; b hears %v", yes, no, b.Hearing())
	}
	if took < lease || took > 2*lease {
		t.Errorf("it took %s", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if receipt, err := a.Confirm(ctx); err != nil || receipt.Elapsed > lease {
		t.Errorf("it took %s for one who left, %v", receipt.Elapsed, err)
	}
}

// A replica that ended without a word is on the list for a minute.
func TestReplicaThatIsGone(t *testing.T) {
	url := dbtest.PostgresURL(t)
	for name, age := range map[string]string{"recent": "50 seconds", "old": "70 seconds"} {
		execute(t, url, "INSERT INTO replicas (id, name, url, seen_at) VALUES ($1, $2, '', now() - $3::interval)", uuid.New(), name, age)
	}
	a, _ := join(t, dbtest.Open(t, url), "a", gormdb.Ears{})
	if _, no, _ := confirm(t, a); !slices.Equal(no, []string{"recent"}) {
		t.Errorf("not acknowledged by %q", no)
	}
}

// An SQLite file has one server, which has forgotten before it is asked.
func TestConfirmOnSQLite(t *testing.T) {
	a, _ := join(t, dbtest.Open(t, dbtest.SQLiteURL(t)), "a", gormdb.Ears{})
	if yes, no, took := confirm(t, a); !slices.Equal(yes, []string{"a"}) || len(no) > 0 || took > lease/2 {
		t.Errorf("acknowledged by %q, not by %q, within %s", yes, no, took)
	}
}
