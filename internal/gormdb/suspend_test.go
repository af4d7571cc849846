package gormdb_test

import (
	"database/sql"
	"strings"
	"testing"

	"latchkey/internal/account"
	"latchkey/internal/fault"
	"latchkey/internal/oauth"
	dbtest "latchkey/internal/test/db"
)

// A grant to a store's API token that has locked its rows is committed before the suspension of the store, and one
// that begins later is refused.
func TestSuspensionWaitsForGrants(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		db := dbtest.Open(t, url)
		w := dbtest.Seed{Stores: 1}.Make(t, db)
		made, _ := issue(t, db, w, w.Stores[0].ID)
		client, err := db.Grants().Client(t.Context(), made.ClientID)
		if err != nil {
			t.Fatal(err)
		}
		by := client.Principal.Actor()
		grant := func() error {
			d, _ := grantDraft(made, noon, oauth.MaxLive)
			return db.Grants().Grant(t.Context(), by, d)
		}
		if err := grant(); err != nil {
			t.Fatal(err)
		}
		suspended := w.Stores[0]
		suspended.Status = account.Suspended
		suspend := func() error { return db.Manifest().SaveStore(t.Context(), suspended) }
		if strings.HasPrefix(url, "sqlite:") { // has one writer, so no concurrent grant
			err = suspend()
		} else {
			err = besideGrant(t, url, made.ID.String(), suspend)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := grant(); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("a grant after the suspension: got error %v, want kind %s", err, fault.Unauthenticated)
		}
	})
}

// besideGrant runs suspend while a transaction holds the locks of a grant.
func besideGrant(t *testing.T, url, tokenID string, suspend func() error) error {
	t.Helper()
	return whileLocked(t, url, `SELECT t.id FROM accounts AS a, api_tokens AS t WHERE a.id = t.account_id AND t.id = $1
		FOR KEY SHARE OF a FOR NO KEY UPDATE OF t`, tokenID, suspend)
}

// whileLocked runs work while another transaction holds the rows of a statement, and releases them when work waits
// for them. It fails the test if work does not wait.
func whileLocked(t *testing.T, url, statement, id string, work func() error) error {
	t.Helper()
	pool, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
	tx, err := pool.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }() // no effect after a commit
	if err := tx.QueryRowContext(t.Context(), statement, id).Scan(&id); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- work() }()
	for waiting := 0; waiting == 0; {
		select {
		case err := <-ended:
			t.Errorf("it did not wait for the rows, want it to: %v", err)
			return err
		default:
		}
		err := pool.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	return <-ended
}
