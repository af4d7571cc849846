package legacy_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/legacy"
	"latchkey/internal/paging"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

// fixture is a service over a database, with its principal and the published changes.
type fixture struct {
	*legacy.Service
	db        *gormdb.DB
	keys      *secret.Keyring
	by        *auth.Principal
	world     dbtest.World
	published []uuid.UUID
}

func open(t *testing.T, db *gormdb.DB) *fixture {
	t.Helper()
	keys, err := secret.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	by := auth.OperatorPrincipal()
	d := &fixture{db: db, keys: keys, by: &by, world: dbtest.Seed{Stores: 2}.Make(t, db)}
	by.AccountID = d.world.Account.ID
	d.Service = legacy.NewService(db.Legacy(), keys, rand.Reader, func() time.Time { return now }, true)
	db.OnChange(func(id uuid.UUID) { d.published = append(d.published, id) })
	return d
}

func (d *fixture) create(t *testing.T, s account.Store, username string) (legacy.Account, string) {
	t.Helper()
	a, token, err := d.Create(t.Context(), d.by, s, username)
	if err != nil {
		t.Fatal(err)
	}
	return a, token
}

// credential looks up the credential that is presented for a store.
func (d *fixture) credential(t *testing.T, storeHash, username, token string) (access.Record, error) {
	t.Helper()
	presented, err := secret.ParseBasic(storeHash, username, token)
	if err != nil {
		t.Fatal(err)
	}
	return d.db.Access().Credential(t.Context(), secret.LegacyAccount, d.keys.BasicCandidates(presented))
}

// events returns the recorded actions, newest first.
func (d *fixture) events(t *testing.T) []string {
	t.Helper()
	list, err := d.db.Audit().Events(t.Context(), d.by.AccountID, audit.Filter{}, paging.Window{Size: 50})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, item := range list.Items {
		e := item.Node
		all = append(all, fmt.Sprint(e.Actor.Kind, " ", e.Action, " ", e.Target.Name, " ", e.Details))
	}
	return all
}

func TestCreate(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		d := open(t, db)
		us, eu := d.world.Stores[0], d.world.Stores[1]
		a, token := d.create(t, us, "old erp")
		r, err := d.credential(t, us.Hash, "old erp", token)
		if err != nil || r.Principal.Kind != auth.LegacyAccount || r.Principal.ID != a.ID ||
			r.Principal.Name != "old erp" ||
			r.Principal.AccountID != us.AccountID || r.Principal.StoreID != us.ID || r.StoreHash != us.Hash ||
			len(r.Principal.Scopes.Names()) != 0 {
			t.Errorf("record: got %+v, %v, want account %s of store %s without scopes", r, err, a.ID, us.Hash)
		}
		for name, presented := range map[string][3]string{
			"another store": {eu.Hash, "old erp", token}, "another name": {us.Hash, "old erp2", token},
			"another token": {us.Hash, "old erp", token[1:]},
		} {
			if _, err := d.credential(t, presented[0], presented[1],
				presented[2]); fault.KindOf(err) != fault.NotFound {
				t.Errorf("%s: got error %v, want kind %s", name, err, fault.NotFound)
			}
		}
		if _, _, err := d.Create(t.Context(), d.by, us, "old erp"); fault.KindOf(err) != fault.Conflict {
			t.Errorf("repeated user name in a store: got error %v, want kind %s", err, fault.Conflict)
		}
		other, _ := d.create(t, eu, "old erp")
		list, err := d.List(t.Context(), d.by)
		if err != nil || len(list) != 2 || list[0].ID != a.ID || list[1].ID != other.ID ||
			list[0].StoreHash != us.Hash || !list[0].CreatedAt.Equal(clock.Timestamp(now)) {
			t.Errorf("List() = %+v, %v, want %s and %s", list, err, a.ID, other.ID)
		}
		want := "OPERATOR legacy_account.created old erp [{storeHash " + us.Hash + "}]"
		if got := d.events(t); len(got) != 2 || got[1] != want {
			t.Errorf("events: got %q, want 2, the last %q", got, want)
		}
	})
}

func TestDelete(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		d := open(t, db)
		store := d.world.Stores[0]
		a, token := d.create(t, store, "old erp")
		d.published = nil
		foreign := *d.by
		foreign.AccountID = uuid.New()
		if _, err := d.Delete(t.Context(), &foreign, a.ID); fault.KindOf(err) != fault.NotFound {
			t.Errorf("by another account: got error %v, want kind %s", err, fault.NotFound)
		}
		deleted, err := d.Delete(t.Context(), d.by, a.ID)
		if err != nil || deleted.Username != "old erp" || !slices.Equal(d.published, []uuid.UUID{d.by.AccountID}) {
			t.Fatalf("Delete() = %+v, %v, published %v, want the account, and %s",
				deleted, err, d.published, d.by.AccountID)
		}
		if _, err := d.credential(t, store.Hash, "old erp", token); fault.KindOf(err) != fault.NotFound {
			t.Errorf("deleted account: got error %v, want kind %s", err, fault.NotFound)
		}
		if _, err := d.Delete(t.Context(), d.by, a.ID); fault.KindOf(err) != fault.NotFound {
			t.Errorf("deleted again: got error %v, want kind %s", err, fault.NotFound)
		}
		if got := d.events(t); len(got) != 2 || !strings.HasPrefix(got[0], "OPERATOR legacy_account.deleted old erp") {
			t.Errorf("events: got %q, want 2, the deletion by an operator first", got)
		}
	})
}

func TestLastUse(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		d := open(t, db)
		a, _ := d.create(t, d.world.Stores[0], "old erp")
		for _, minute := range []int{5, 7, 6} {
			use := access.Use{AccountID: a.AccountID, TokenID: a.ID, At: now.Add(time.Duration(minute) * time.Minute),
				Legacy: true}
			if err := db.Uses().SaveUses(t.Context(), []access.Use{use}); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := d.Find(t.Context(), d.by, a.ID); err != nil ||
			!got.LastUsedAt.Equal(clock.Timestamp(now.Add(7*time.Minute))) {
			t.Errorf("Find() = %+v, %v, want the last use at %v", got, err, now.Add(7*time.Minute))
		}
	})
}

func TestRefusals(t *testing.T) {
	by := auth.OperatorPrincipal()
	store := account.Store{Hash: "acme1us"}
	t.Run("not allowed", func(t *testing.T) {
		s := legacy.NewService(nil, nil, rand.Reader, time.Now, false)
		if _, _, err := s.Create(t.Context(), &by, store, "old"); fault.KindOf(err) != fault.Invalid ||
			fault.Flatten(err)[0].Field != "allowLegacy" {
			t.Errorf("Create: got error %v, want kind %s on allowLegacy", err, fault.Invalid)
		}
	})
	s := legacy.NewService(nil, nil, rand.Reader, time.Now, true)
	for name, username := range map[string]string{
		"empty": "", "blank": " ", "colon": "a:b", "two lines": "a\nb",
		"long": strings.Repeat("ü", secret.MaxUsername+1), "invalid UTF-8": "a\xff", "invisible": "a\u200bb",
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := s.Create(t.Context(), &by, store, username); fault.KindOf(err) != fault.Invalid ||
				fault.Flatten(err)[0].Field != "username" {
				t.Errorf("Create: got error %v, want kind %s on username", err, fault.Invalid)
			}
		})
	}
	t.Run("no randomness", func(t *testing.T) {
		s := legacy.NewService(nil, nil, &bytes.Buffer{}, time.Now, true)
		if _, _, err := s.Create(t.Context(), &by, store, "old"); fault.KindOf(err) != fault.Internal {
			t.Errorf("Create: got error %v, want kind %s", err, fault.Internal)
		}
	})
	for _, by := range []*auth.Principal{{Kind: auth.APIToken}, {Kind: auth.Session, AccountOwner: true},
		{Kind: auth.LegacyAccount}} {
		t.Run(string(by.Kind), func(t *testing.T) {
			_, _, create := s.Create(t.Context(), by, store, "old")
			_, list := s.List(t.Context(), by)
			_, find := s.Find(t.Context(), by, uuid.New())
			_, remove := s.Delete(t.Context(), by, uuid.New())
			for _, err := range []error{create, list, find, remove} {
				check.Equal(t, fault.KindOf(err), fault.Forbidden, "got %v", err)
			}
		})
	}
}
