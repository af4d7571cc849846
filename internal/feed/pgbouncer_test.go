package feed_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	dbtest "latchkey/internal/test/db"
)

// Behind a pooler that assigns connections per transaction everything works, if the feed has the direct address.
func TestBehindPgbouncer(t *testing.T) {
	direct := dbtest.PostgresDSN(t)
	pooled := dbtest.PgbouncerURL(t, direct)
	here := dbtest.OpenWith(t, gormdb.Config{URL: pooled, FeedURL: direct, MaxConnections: 8})
	there := dbtest.OpenWith(t, gormdb.Config{URL: pooled, FeedURL: direct, MaxConnections: 8})
	var migrations sync.WaitGroup
	for _, db := range []*gormdb.DB{here, there} {
		migrations.Go(func() {
			if _, err := db.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	migrations.Wait()
	w := dbtest.Seed{}.Make(t, here)
	l := listen(t, here)
	within(t, 5*time.Second, "current", l.IsCurrent)
	var clients sync.WaitGroup
	var revoked [8][10]uuid.UUID
	for i := range revoked {
		clients.Go(func() {
			for j := range revoked[i] {
				d, value := draft(w)
				revoked[i][j] = d.Token.ID
				if err := there.Tokens().Insert(t.Context(), auth.NoActor("a test"), d); err != nil {
					t.Error(err)
					return
				}
				if _, err := here.Access().Credential(t.Context(), value.Kind(),
					keyring.Candidates(value)); err != nil {
					t.Error(err)
				}
				if ended, err := there.Tokens().Revoke(t.Context(), auth.NoActor("a test"),
					revocation(d.Token, d.Token.ID)); err != nil || len(ended.Unknown) > 0 {
					t.Errorf("Revoke() = %+v, %v, want every token known", ended, err)
				}
			}
		})
	}
	clients.Wait()
	for _, ids := range revoked {
		for _, id := range ids {
			within(t, lease, "a revocation", func() bool { return l.hears(id, 1) })
		}
	}
	if err := l.Check(); err != nil || l.Interruptions() != 0 {
		t.Errorf("interruptions: got %d, %v, want none", l.Interruptions(), err)
	}
}

// A feed without a direct address would receive nothing, or the notifications of another database. It detects both.
func TestFeedThatCannotHear(t *testing.T) {
	url := dbtest.PostgresURL(t)
	for _, tc := range []struct {
		name   string
		config gormdb.Config
	}{
		{"pooler", gormdb.Config{URL: dbtest.PgbouncerURL(t, url)}},
		{"another database", gormdb.Config{URL: url, FeedURL: dbtest.PostgresURL(t)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			l := listen(t, dbtest.OpenWith(t, tc.config))
			within(t, 10*time.Second, "an interruption", func() bool { return l.Interruptions() > 0 })
			err := l.Check()
			if fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "--feed-database") ||
				l.IsCurrent() {
				t.Errorf("current %v, error %v, want not current and an error that names --feed-database",
					l.IsCurrent(), err)
			}
		})
	}
}
