package gormdb_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/dbtest"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/token"
)

// idleLimit is how long a transaction may do nothing.
const idleLimit = 5 * time.Second

// A process that stands still in the middle of a transaction, having locked a
// token, keeps nobody from revoking that token: PostgreSQL gives the
// transaction up, and nothing of it is kept.
func TestStoppedInATransaction(t *testing.T) {
	direct := dbtest.PostgresURL(t)
	there := dbtest.Open(t, direct)
	w := dbtest.Seed{}.Make(t, there)
	for name, url := range map[string]string{"direct": direct, "behind a pooler": dbtest.PgbouncerURL(t, direct)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			made, _ := issue(t, there, w, uuid.Nil)
			stopped, goOn, changed := make(chan struct{}), make(chan struct{}), make(chan error, 1)
			here := dbtest.OpenWith(t, gormdb.Config{URL: url, FeedURL: direct})
			go func() {
				changed <- here.Tokens().Change(context.Background(), auth.NoActor("a test"), made.AccountID, made.ID, func(token.Token, []token.AccessToken) (token.Change, error) {
					close(stopped)
					<-goOn
					renamed := made
					renamed.Name = "Renamed"
					return token.Change{Token: &renamed, Event: event(made, audit.APITokenUpdated)}, nil
				})
			}()
			<-stopped
			began := time.Now()
			revoke(t, there, made)
			if took := time.Since(began); took > idleLimit+2*time.Second {
				t.Errorf("revoking took %s", took)
			}
			close(goOn)
			if err := <-changed; !errors.Is(err, fault.ErrUnavailable) {
				t.Errorf("the one that was stopped: got %v", err)
			}
			kept, err := there.Tokens().Token(t.Context(), made.AccountID, made.ID)
			if err != nil || kept.Name != made.Name || kept.Revocation == nil {
				t.Errorf("kept %+v, %v", kept, err)
			}
		})
	}
}

// A process that stands still while it grants access tokens, all of them to one
// API token, holds no lock on that: there is nothing to wait for.
func TestStoppedWhileGranting(t *testing.T) {
	url := dbtest.PostgresURL(t)
	p := dbtest.StartProxy(t, url)
	here, there := dbtest.Open(t, p.URL), dbtest.Open(t, url)
	w := dbtest.Seed{}.Make(t, there)
	for range 5 {
		made, _ := issue(t, there, w, uuid.Nil)
		ctx, cancel := context.WithCancel(t.Context())
		var clients sync.WaitGroup
		for range gormdb.DefaultConnections {
			clients.Go(func() {
				for ctx.Err() == nil {
					d, _ := grantDraft(made, time.Now(), 1_000_000)
					if err := here.Grants().Grant(ctx, auth.NoActor("a test"), d); err != nil && ctx.Err() == nil && fault.KindOf(err) != fault.NotFound {
						t.Error(err)
						return
					}
				}
			})
		}
		time.Sleep(200 * time.Millisecond)
		p.Freeze()
		began := time.Now()
		revoke(t, there, made)
		if took := time.Since(began); took > idleLimit/2 {
			t.Errorf("revoking took %s", took)
		}
		p.Thaw()
		cancel()
		clients.Wait()
	}
}

// However many wait to write to one row, credentials are looked up and the
// database answers.
func TestLookUpsWaitForNoWriter(t *testing.T) {
	url := dbtest.PostgresURL(t)
	db := dbtest.Open(t, url)
	w := dbtest.Seed{}.Make(t, db)
	made, value := issue(t, db, w, uuid.Nil)
	tx, err := connect(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT FROM api_tokens FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	const writers = 3 * gormdb.DefaultConnections
	granted := make(chan error, writers)
	for range writers {
		d, _ := grantDraft(made, time.Now(), writers)
		go func() { granted <- db.Grants().Grant(t.Context(), auth.NoActor("a test"), d) }()
	}
	observer := connect(t, url)
	within(t, 10*time.Second, "every connection that writes waits for the row", func() bool {
		var waiting int
		const waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
		if err := observer.QueryRow(t.Context(), waits).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		return waiting >= gormdb.DefaultConnections*3/4
	})
	for range 20 {
		brief, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := db.Access().Credential(brief, value.Kind(), keys.Candidates(value))
		if err = errors.Join(err, db.Ping(brief)); err != nil {
			t.Error(err)
		}
		if _, err := db.Access().Store(brief, w.Stores[0].Hash); err != nil {
			t.Error(err)
		}
		cancel()
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range writers {
		if err := <-granted; err != nil {
			t.Error(err)
		}
	}
}

// A server that hangs while it takes its place keeps no other from hearing.
func TestJoinThatHangs(t *testing.T) {
	url := dbtest.PostgresURL(t)
	a, _ := join(t, dbtest.Open(t, url), "a", gormdb.Ears{})
	former := uuid.New()
	execute(t, url, "INSERT INTO replicas (id, name, url, seen_at) VALUES ($1, 'b', '', now() - interval '10 seconds')", former)
	tx, err := connect(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT FROM replicas WHERE id = $1 FOR UPDATE", former); err != nil { // which b wants to remove
		t.Fatal(err)
	}
	b := dbtest.Open(t, url).NewFeed(access.Replica{Name: "b"}, gormdb.Ears{Changed: func(uuid.UUID) {}, Forget: func() {}}, slog.New(slog.DiscardHandler))
	joined := make(chan error, 1)
	go func() { joined <- b.Join(t.Context()) }()
	for end := time.Now().Add(2 * lease); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if !a.Hearing() {
			t.Fatalf("it does not hear: %v", a.Check())
		}
	}
	select {
	case err := <-joined:
		t.Fatalf("it did not hang: %v", err)
	default:
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-joined; err != nil {
		t.Error(err)
	}
}

// What a replica is asked while its feed connects, it answers once it hears.
func TestConfirmWhileConnecting(t *testing.T) {
	url := dbtest.PostgresURL(t)
	a, _ := join(t, dbtest.Open(t, url), "a", gormdb.Ears{})
	observer := connect(t, url)
	var ofA int
	const backends = "FROM pg_stat_activity WHERE application_name = 'latchkey feed' AND datname = current_database()"
	if err := observer.QueryRow(t.Context(), "SELECT pid "+backends).Scan(&ofA); err != nil {
		t.Fatal(err)
	}
	b, _ := join(t, dbtest.Open(t, url), "b", gormdb.Ears{})
	for round := range 15 {
		within(t, 10*time.Second, "hearing", func() bool { return a.Hearing() && b.Hearing() })
		cut := make(chan error, 1)
		go func() {
			_, err := observer.Exec(t.Context(), "SELECT pg_terminate_backend(pid) "+backends+" AND pid <> $1", ofA)
			cut <- err
		}()
		time.Sleep(time.Duration(round%5) * 400 * time.Microsecond)
		if yes, no, took := confirm(t, a); !slices.Equal(yes, []string{"a", "b"}) {
			t.Errorf("acknowledged by %q, not by %q, within %s", yes, no, took)
		}
		if err := <-cut; err != nil {
			t.Fatal(err)
		}
	}
}
