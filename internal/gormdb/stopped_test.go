package gormdb_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
)

// idleLimit is how long a transaction may be idle.
const idleLimit = 5 * time.Second

// A process that stops inside a transaction, having locked a token, does not prevent revoking that token: PostgreSQL
// ends the transaction and rolls it back.
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
				changed <- here.Tokens().Change(context.Background(), auth.NoActor("a test"), made.AccountID, made.ID,
					func(token.Token, []token.AccessToken) (token.Change, error) {
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
				t.Errorf("revoking took %s, want %s at most", took, idleLimit+2*time.Second)
			}
			close(goOn)
			if err := <-changed; !errors.Is(err, fault.ErrUnavailable) {
				t.Errorf("the stopped transaction: got error %v, want %v", err, fault.ErrUnavailable)
			}
			kept, err := there.Tokens().Token(t.Context(), made.AccountID, made.ID)
			if err != nil || kept.Name != made.Name || kept.Revocation == nil {
				t.Errorf("stored: got %+v, %v, want the old name %q and a revocation", kept, err, made.Name)
			}
		})
	}
}

// A process that stops while it grants access tokens, all for one API token, holds no lock on that token, so revoking
// it does not wait.
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
					if err := here.Grants().Grant(ctx, auth.NoActor("a test"), d); err != nil && ctx.Err() == nil &&
						fault.KindOf(err) != fault.NotFound {
						t.Errorf("a grant: got error %v, want none, or kind %s", err, fault.NotFound)
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
			t.Errorf("revoking took %s, want %s at most", took, idleLimit/2)
		}
		p.Thaw()
		cancel()
		clients.Wait()
	}
}

// Credentials are looked up and the database answers, even if any number of writes wait for one row.
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
		_, err := db.Access().Credential(brief, value.Kind(), keyring.Candidates(value))
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
