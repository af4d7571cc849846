package gormdb_test

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/gormdb"
	"latchkey/internal/legacy"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// keepLegacy inserts a legacy API account of the world's first store.
func keepLegacy(t *testing.T, db *gormdb.DB, w dbtest.World, username string) legacy.Account {
	t.Helper()
	b, err := secret.ParseBasic(w.Stores[0].Hash, username, newSecret(secret.StoreAccessToken).Reveal())
	if err != nil {
		t.Fatal(err)
	}
	a := legacy.New(w.Stores[0], username, keyring.DigestBasic(b), noon)
	e := audit.Event{
		ID: uuid.Must(uuid.NewV7()), AccountID: a.AccountID, At: noon,
		Actor:  audit.Actor{Kind: audit.ActorOperator, Name: "operator"},
		Action: audit.LegacyAccountCreated,
	}
	if err := db.Legacy().Insert(t.Context(), auth.NoActor("a test"), a, e); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestSaveUsesOfLegacyAccounts(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w, other := dbtest.Seed{}.Make(t, db), dbtest.Seed{}.Make(t, db)
		a, b := keepLegacy(t, db, w, "a"), keepLegacy(t, db, w, "b")
		use := func(of legacy.Account, minutes int, ip string) access.Use {
			from, _ := netip.ParseAddr(ip)
			return access.Use{AccountID: of.AccountID, TokenID: of.ID, At: later(time.Duration(minutes) * time.Minute),
				IP: from, Legacy: true}
		}
		elsewhere := a
		elsewhere.AccountID = other.Account.ID
		for _, step := range []struct {
			name     string
			uses     []access.Use
			ofA, ofB string
		}{
			{"the first", []access.Use{use(a, 5, "192.0.2.5")}, "5 192.0.2.5", "never"},
			{"both, one backwards", []access.Use{use(a, 4, "192.0.2.4"), use(b, 4, "::ffff:192.0.2.4")}, "5 192.0.2.5",
				"4 192.0.2.4"},
			{"both", []access.Use{use(b, 6, "2001:db8::6"), use(a, 6, "192.0.2.6")}, "6 192.0.2.6", "6 2001:db8::6"},
			{"from no address", []access.Use{use(a, 7, "")}, "7 invalid IP", "6 2001:db8::6"},
			{"of another account", []access.Use{use(elsewhere, 9, "192.0.2.9")}, "7 invalid IP", "6 2001:db8::6"},
		} {
			t.Run(step.name, func(t *testing.T) {
				if err := db.Uses().SaveUses(t.Context(), step.uses); err != nil {
					t.Fatal(err)
				}
				for id, want := range map[uuid.UUID]string{a.ID: step.ofA, b.ID: step.ofB} {
					got, err := db.Legacy().Find(t.Context(), w.Account.ID, id)
					if used := lastUsed(got.LastUsedAt, got.LastUsedIP); err != nil || used != want {
						t.Errorf("last used %s, %v; want %s", used, err, want)
					}
				}
			})
		}
	})
}

// Replicas save the uses of many legacy API accounts at the same time, with one statement per flush.
func TestKeepManyUsesOfLegacyAccounts(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		var statements atomic.Int64
		counted := gormdb.Config{URL: url, OnStatement: func(string) { statements.Add(1) }}
		handles := []*gormdb.DB{dbtest.OpenWith(t, counted), dbtest.OpenWith(t, counted)}
		w := dbtest.Seed{}.Make(t, handles[0])
		var made []legacy.Account
		for i := range 40 {
			made = append(made, keepLegacy(t, handles[0], w, fmt.Sprint("erp ", i)))
		}
		const rounds = 20
		statements.Store(0)
		var group sync.WaitGroup
		for i, db := range handles {
			group.Go(func() {
				for round := range rounds {
					var uses []access.Use
					for _, a := range made {
						uses = append(uses, access.Use{AccountID: a.AccountID, TokenID: a.ID,
							At: later(time.Duration(2*round+i) * time.Second), Legacy: true})
					}
					if err := db.Uses().SaveUses(t.Context(), uses); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		check.Equal(t, int(statements.Load()), rounds*len(handles), "int(statements.Load())")
		for _, a := range made {
			got, err := handles[0].Legacy().Find(t.Context(), a.AccountID, a.ID)
			if want := later((2*rounds - 1) * time.Second); err != nil || !got.LastUsedAt.Equal(want) {
				t.Fatalf("last used %v, %v; want %v", got.LastUsedAt, err, want)
			}
		}
	})
}
