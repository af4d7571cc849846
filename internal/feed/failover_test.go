package feed_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/secret"
	dbtest "latchkey/internal/test/db"
)

// pair is a primary and a standby that streams from it.
type pair struct {
	primary, standby *dbtest.Cluster
	// primaryURL and standbyURL name the same database, with the current schema.
	primaryURL, standbyURL string
}

func replicated(t *testing.T) *pair {
	t.Helper()
	var p pair
	p.primary, p.primaryURL = dbtest.OwnCluster(t, dbtest.Options{Settings: dbtest.Replicated()})
	if _, err := dbtest.Open(t, p.primaryURL).Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.standby, err = p.primary.StartStandby("b"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.standby.Close(); err != nil {
			t.Error(err)
		}
	})
	p.standbyURL = p.standby.DSN("latchkey")
	return &p
}

// followed waits until the standby has received everything the primary has now.
func (p *pair) followed(t *testing.T) {
	t.Helper()
	var at string
	if err := connect(t, p.primaryURL).QueryRow(t.Context(),
		"SELECT pg_current_wal_lsn()::text").Scan(&at); err != nil {
		t.Fatal(err)
	}
	there := connect(t, p.standbyURL)
	within(t, 20*time.Second, "the standby has followed", func() bool {
		var done bool
		err := there.QueryRow(t.Context(), "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", at).Scan(&done)
		return err == nil && done
	})
}

// promote promotes the standby. The former primary keeps running.
func (p *pair) promote(t *testing.T) {
	t.Helper()
	if err := p.standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// pause stops the standby from replaying the WAL.
func (p *pair) pause(t *testing.T) { execute(t, p.standbyURL, "SELECT pg_wal_replay_pause()") }

// synchronous makes the primary wait for the standby.
func (p *pair) synchronous(t *testing.T) {
	t.Helper()
	conn := connect(t, p.primaryURL)
	for _, statement := range []string{"ALTER SYSTEM SET synchronous_standby_names = 'b'", "SELECT pg_reload_conf()"} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	within(t, 10*time.Second, "it waits for the standby", func() bool {
		var state string
		err := conn.QueryRow(t.Context(), "SELECT sync_state FROM pg_stat_replication").Scan(&state)
		return err == nil && state == "sync"
	})
}

// honours reports whether a look-up accepts the secret. It fails the test if the look-up returns an error other than
// fault.ErrUnavailable.
func honours(t *testing.T, db *gormdb.DB, value secret.Secret) (works, answered bool) {
	t.Helper()
	r, err := db.Access().Credential(t.Context(), value.Kind(), keyring.Candidates(value))
	if err != nil {
		if !errors.Is(err, fault.ErrUnavailable) {
			t.Errorf("the look-up: got error %v, want %v", err, fault.ErrUnavailable)
		}
		return false, false
	}
	return !r.Revoked, true
}

// With several hosts the primary is used, in any order of the hosts.
func TestSeveralHosts(t *testing.T) {
	p := replicated(t)
	u, err := url.Parse(p.primaryURL)
	if err != nil {
		t.Fatal(err)
	}
	standby, err := url.Parse(p.standbyURL)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = standby.Host + "," + u.Host
	db := dbtest.Open(t, u.String())
	w := dbtest.Seed{}.Make(t, db)
	made, value := issue(t, db, w)
	p.followed(t)
	p.pause(t)
	l := listen(t, db)
	within(t, 5*time.Second, "current", l.IsCurrent)
	revoke(t, db, made)
	for range 20 {
		if works, answered := honours(t, db, value); works || !answered {
			t.Fatalf("a revoked token: works %v, answered %v, want it refused by an answer", works, answered)
		}
	}
	query := u.Query()
	query.Set("target_session_attrs", "prefer-standby")
	u.RawQuery = query.Encode()
	_, err = gormdb.Open(t.Context(), gormdb.Config{URL: u.String()})
	mustBe(t, err, fault.Invalid)
}

// A proxy that temporarily leads to a standby is detected: look-ups on the standby are rejected.
func TestProxyToAStandby(t *testing.T) {
	p := replicated(t)
	proxy := dbtest.StartProxy(t, p.primaryURL)
	db, there := dbtest.Open(t, proxy.URL), dbtest.Open(t, p.primaryURL)
	w := dbtest.Seed{}.Make(t, there)
	made, value := issue(t, there, w)
	l := listen(t, db)
	within(t, 5*time.Second, "current", l.IsCurrent)
	p.followed(t)
	p.pause(t)
	proxy.Redirect(t, p.standbyURL)
	proxy.Drop()
	revoke(t, there, made)
	for end := time.Now().Add(lease + lease/2); time.Now().Before(end); {
		if works, _ := honours(t, db, value); works {
			t.Fatal("a look-up on a standby is accepted, want it refused")
		}
	}
	if l.IsCurrent() {
		t.Error("the feed accepts a standby, want it refused")
	}
	proxy.Redirect(t, p.primaryURL)
	within(t, 10*time.Second, "current again", l.IsCurrent)
	if works, answered := honours(t, db, value); works || !answered {
		t.Errorf("a revoked token: works %v, answered %v, want it refused by an answer", works, answered)
	}
}

// A former primary that still runs, and cannot reach the promoted standby, is accepted for at most one lease.
func TestFormerPrimary(t *testing.T) {
	p := replicated(t)
	p.synchronous(t)
	proxy := dbtest.StartProxy(t, p.primaryURL)
	db := dbtest.Open(t, proxy.URL)
	w := dbtest.Seed{}.Make(t, db)
	made, value := issue(t, db, w)
	l := listen(t, db)
	within(t, 5*time.Second, "current", l.IsCurrent)
	p.followed(t)
	p.promote(t)
	revoke(t, dbtest.Open(t, p.standbyURL), made)
	revoked := time.Now()
	within(t, lease+100*time.Millisecond, "not current", func() bool { return !l.IsCurrent() })
	for {
		asked := time.Now()
		works, answered := honours(t, db, value)
		if works && asked.Sub(revoked) > lease {
			t.Fatalf("a look-up on a former primary is accepted %s after the revocation, want %s at most",
				asked.Sub(revoked), lease)
		}
		if asked.Sub(revoked) > lease && !answered {
			break
		}
	}
	proxy.Redirect(t, p.standbyURL)
	within(t, 15*time.Second, "current again", l.IsCurrent)
	if works, answered := honours(t, db, value); works || !answered {
		t.Errorf("a revoked token: works %v, answered %v, want it refused by an answer", works, answered)
	}
}

// A feed whose connection has remained on a former primary detects that the pool uses another server.
func TestFeedApartFromThePool(t *testing.T) {
	p := replicated(t)
	proxy := dbtest.StartProxy(t, p.primaryURL)
	db := dbtest.OpenWith(t, gormdb.Config{URL: proxy.URL, FeedURL: p.primaryURL})
	dbtest.Seed{}.Make(t, db)
	l := listen(t, db)
	within(t, 5*time.Second, "current", l.IsCurrent)
	p.followed(t)
	p.promote(t)
	proxy.Redirect(t, p.standbyURL)
	proxy.Drop()
	within(t, 5*lease, "the reason", func() bool {
		err := l.Check()
		return err != nil && (strings.Contains(err.Error(), "different servers") ||
			strings.Contains(err.Error(), "another database"))
	})
}
