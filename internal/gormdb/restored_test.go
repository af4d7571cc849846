package gormdb_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/user"
)

// Two restores of one backup have different eras: a reader that read on after the first misses nothing after the
// second.
func TestErasOfTwoRestores(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{}.Make(t, db)
		restored := func(at time.Time) (last int64) {
			t.Helper()
			by := auth.OperatorPrincipal()
			by.AccountID = w.Account.ID
			n, err := gormdb.RecordRestore(t.Context(), db, at, func(a account.Account) audit.Event {
				target := audit.Target{Kind: audit.TargetAccount, Key: a.ID.String()}
				return user.Event(&by, audit.AccountRestored, target, at)
			})
			if err != nil || n != 1 {
				t.Fatalf("got %d accounts, %v, want 1", n, err)
			}
			column := "position"
			if db.Dialect() == "postgres" {
				column = "era"
			}
			q := "SELECT max(" + column + ") FROM audit_events WHERE sequence > 0"
			must(t, gormdb.Gorm(db).Raw(q).Scan(&last).Error)
			return last
		}
		now := clock.Timestamp(time.Now())
		first := restored(now)
		const back = "DELETE FROM audit_events WHERE action = 'account.restored'"
		dbtest.Exec(t, url, back, back+"; UPDATE log_era SET era = 1")
		if second := restored(now.Add(time.Second)); second <= first {
			t.Errorf("after the second restore: got %d, want more than %d", second, first)
		}
	})
}

// A restore that ends before it is checked and recorded leaves no database that servers would use.
func TestInterruptedRestore(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		dbtest.Seed{}.Make(t, db)
		file, empty := filepath.Join(t.TempDir(), "backup"), dbtest.EmptyLike(t, url)
		must(t, os.WriteFile(file, nil, 0o600))
		_, err := gormdb.WriteBackup(t.Context(), db, file)
		must(t, err)
		restore := func(url string, finish func(*gormdb.DB) error) error {
			return gormdb.RestoreBackup(t.Context(), gormdb.Config{URL: url}, file, finish)
		}
		record := func(db *gormdb.DB) error {
			_, err := gormdb.RecordRestore(t.Context(), db, clock.Timestamp(time.Now()),
				func(a account.Account) audit.Event {
					by := auth.OperatorPrincipal()
					by.AccountID = a.ID
					target := audit.Target{Kind: audit.TargetAccount, Key: a.ID.String()}
					return user.Event(&by, audit.AccountRestored, target, time.Now())
				})
			return err
		}

		if err := restore(empty, func(*gormdb.DB) error { return errors.New("killed") }); err == nil {
			t.Error("the restore: got no error, want one")
		}
		if db.Dialect() == "sqlite" {
			must(t, restore(empty, record)) // nothing was left
			check.Equal(t, schemaOf(t, empty).Check(), nil, "the check of the schema")
			return
		}
		check.Equal(t, fault.KindOf(schemaOf(t, empty).Check()), fault.Conflict, "the check of the schema")
		half, err := gormdb.Open(t.Context(), gormdb.Config{URL: empty})
		must(t, err)
		_, err = half.Migrate(t.Context())
		must(t, half.Close())
		check.Equal(t, fault.KindOf(err), fault.Conflict, "a migration")
		check.Equal(t, fault.KindOf(restore(empty, record)), fault.Conflict, "another restore")

		// What is left of one that ended before anything was restored is no obstacle.
		empty = dbtest.EmptyLike(t, url)
		dbtest.Exec(t, empty, "", "CREATE TABLE latchkey_restoring ()")
		must(t, restore(empty, record))
		check.Equal(t, schemaOf(t, empty).Check(), nil, "the check of the schema")
	})
}

func schemaOf(t *testing.T, url string) gormdb.Schema {
	t.Helper()
	db, err := gormdb.Open(t.Context(), gormdb.Config{URL: url, Existing: true})
	must(t, err)
	s, err := db.Schema(t.Context())
	must(t, errors.Join(err, db.Close()))
	return s
}
