package user_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/world"
	"latchkey/internal/user"
)

// Only the account's owner and tokens with the scope add and rename stores. All others change nothing.
func TestWhoChangesStores(t *testing.T) {
	eachFixture(t, func(t *testing.T, s fixture) {
		token := func(scopes ...string) *auth.Principal {
			return &auth.Principal{NoCredential: "a test", Kind: auth.APIToken, ID: uuid.New(), Name: "Program",
				AccountID: s.Account.ID, Scopes: scope.NewSet(scopes...)}
		}
		elsewhere := token(scope.AccountStoresWrite)
		elsewhere.AccountID = dbtest.Seed{}.Make(t, s.db).Account.ID
		all := auth.ParsePermissions(user.Permissions())
		for _, tc := range []struct {
			name           string
			by             *auth.Principal
			create, update fault.Kind
		}{
			{"the account's owner", s.owner, "", ""},
			{"a token with the scope", token(scope.AccountStoresWrite), "", ""},
			{"a token of another account", elsewhere, "", fault.NotFound},
			{"a token with other scopes", token(scope.AccountStoresRead, scope.AccountUsersWrite,
				scope.AccountAPITokensWrite), fault.Forbidden, fault.Forbidden},
			{"the store's owner", s.session(s.StoreOwner, auth.Principal{OwnedStores: []uuid.UUID{s.Stores[0].ID}}),
				fault.Forbidden, fault.Forbidden},
			{"a member with every permission", s.session(s.person(0),
				auth.Principal{Places: []auth.Place{{StoreID: s.Stores[0].ID, May: all}}}),
				fault.Forbidden, fault.Forbidden},
		} {
			t.Run(tc.name, func(t *testing.T) {
				_, err := s.users.CreateStore(t.Context(), tc.by, "New")
				check.Equal(t, kindOf(err), tc.create, "CreateStore: %v", err)
				name := "Named by " + tc.name
				_, err = s.users.UpdateStore(t.Context(), tc.by, s.ref(0), user.StoreUpdate{Name: &name})
				check.Equal(t, kindOf(err), tc.update, "UpdateStore: %v", err)
				_, after, err := account.NewService(s.db.Accounts()).Store(t.Context(), s.owner, s.ref(0))
				if err != nil || (after.Name == name) != (tc.update == "") {
					t.Errorf("store: got the name %q, %v, want it changed: %t", after.Name, err, tc.update == "")
				}
			})
		}
	})
}

// kindOf returns the kind of an error, and "" for none.
func kindOf(err error) fault.Kind {
	if err == nil {
		return ""
	}
	return fault.KindOf(err)
}

// A new store belongs to the account's owner, also if another user adds it, and has a hash of its own.
func TestCreateStore(t *testing.T) {
	eachFixture(t, func(t *testing.T, s fixture) {
		s.program.Scopes = scope.NewSet(scope.AccountStoresWrite)
		created, err := s.users.CreateStore(t.Context(), s.program, "  Acme Asia ")
		if err != nil {
			t.Fatal(err)
		}
		if created.Name != "Acme Asia" || created.OwnerID != s.Owner.ID || created.Status != account.Active ||
			!account.ValidHash(created.Hash) || created.AccountID != s.Account.ID {
			t.Errorf("created: got %+v, want Acme Asia, active, of the account's owner", created)
		}
		_, stored, err := account.NewService(s.db.Accounts()).Store(t.Context(), s.owner,
			account.StoreRef{Hash: created.Hash})
		if err != nil {
			t.Fatal(err)
		}
		check.Equal(t, stored, created, "the stored store")
		place, member := s.known(t, s.Owner.ID).Place(created.ID)
		if !member || place.Status != user.Active || len(place.Permissions) != len(user.Permissions()) {
			t.Errorf("the owner's membership: got %+v, %t, want an active one with every permission", place, member)
		}
		check.Equal(t, s.storeEvents(t), []string{
			"store_user.added " + s.Owner.Email + " by Program",
			"store.created Acme Asia by Program name=Acme Asia owner=" + s.Owner.Email + " storeHash=" + created.Hash,
		}, "events, newest first")

		again, err := s.users.CreateStore(t.Context(), s.owner, "Acme Asia")
		if err != nil || again.Hash == created.Hash || again.ID == created.ID {
			t.Errorf("again: got %+v, %v, want another store", again, err)
		}
	})
}

// storeEvents returns the events of stores and memberships, newest first. Permissions are left out.
func (s fixture) storeEvents(t *testing.T) []string {
	t.Helper()
	page, err := s.db.Audit().Events(t.Context(), s.Account.ID, audit.Filter{Actions: []audit.Action{
		audit.StoreCreated, audit.StoreUpdated, audit.StoreUserAdded}}, paging.Window{Size: 10})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, item := range page.Items {
		e := item.Node
		line := fmt.Sprintf("%s %s by %s", e.Action, e.Target.Name, e.Actor.Name)
		for _, d := range e.Details {
			if e.Action != audit.StoreUserAdded {
				line += " " + d.Name + "=" + d.Value
			}
		}
		lines = append(lines, line)
	}
	return lines
}

func TestRenameStore(t *testing.T) {
	eachFixture(t, func(t *testing.T, s fixture) {
		longest := strings.Repeat("ü", user.MaxStoreName)
		for _, name := range []string{"Acme Japan", longest} {
			updated, err := s.users.UpdateStore(t.Context(), s.owner, account.StoreRef{Hash: s.Stores[0].Hash},
				user.StoreUpdate{Name: new(" " + name)})
			if err != nil || updated.Name != name || updated.Hash != s.Stores[0].Hash ||
				updated.OwnerID != s.StoreOwner.ID {
				t.Errorf("UpdateStore(%q) = %+v, %v, want only the name changed", name, updated, err)
			}
		}
		want := []string{
			"store.updated " + longest + " by " + s.Owner.Email + " name=" + longest + " storeHash=" + s.Stores[0].Hash,
			"store.updated Acme Japan by " + s.Owner.Email + " name=Acme Japan storeHash=" + s.Stores[0].Hash,
		}
		check.Equal(t, s.storeEvents(t), want, "events")
		if _, err := s.users.UpdateStore(t.Context(), s.owner, s.ref(0), user.StoreUpdate{Name: &longest}); err != nil {
			t.Errorf("the name that it has: got %v, want no error", err)
		}
		check.Equal(t, s.storeEvents(t), want, "events after renaming to the same")

		unknown := account.StoreRef{Hash: "nowhere"}
		_, err := s.users.UpdateStore(t.Context(), s.owner, unknown, user.StoreUpdate{Name: new("Acme")})
		failing(t, err, fault.NotFound, "storeId")
		_, err = s.users.UpdateStore(t.Context(), s.owner, s.ref(0), user.StoreUpdate{})
		failing(t, err, fault.Invalid, "")
		for _, name := range []string{"", " \t", longest + "ü", "two\nlines", "invisible\u200b"} {
			_, err := s.users.UpdateStore(t.Context(), s.owner, s.ref(0), user.StoreUpdate{Name: &name})
			failing(t, err, fault.Invalid, "name")
			_, err = s.users.CreateStore(t.Context(), s.owner, name)
			failing(t, err, fault.Invalid, "name")
		}
	})
}

// A hash that a store of another account has is not used again.
func TestHashesOfNewStoresAreUnique(t *testing.T) {
	world.Each(t, world.Options{}, func(t *testing.T, w *world.Services) {
		here, there := dbtest.Seed{}.Make(t, w.DB), dbtest.Seed{}.Make(t, w.DB)
		same := bytes.Repeat([]byte{7}, 10)
		create := func(of dbtest.World, random ...[]byte) (account.Store, error) {
			users := user.NewService(w.DB.Users(), w.Keys, bytes.NewReader(bytes.Join(random, nil)),
				func() time.Time { return world.Noon })
			return users.CreateStore(t.Context(), world.Owner(of), "New")
		}
		first, err := create(here, same)
		check.Equal(t, first.Hash, "7777777777", "the first hash, %v", err)
		second, err := create(there, same, bytes.Repeat([]byte{255}, 10))
		check.Equal(t, second.Hash, "zzzzzzzzzz", "the hash after a taken one, %v", err)
		_, err = create(there, same, same, same)
		failing(t, err, fault.Conflict, "")
		_, err = create(there)
		check.Equal(t, fault.KindOf(err), fault.Internal, "without randomness: %v", err)
	})
}

func TestLimitOfStores(t *testing.T) {
	world.Each(t, world.Options{}, func(t *testing.T, w *world.Services) {
		of := dbtest.Seed{}.Make(t, w.DB)
		insert := `INSERT INTO stores (account_id, id, hash, name, owner_id, status, created_at)
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
			SELECT '%s', %s, 'limit' || i, 'Store', '%s', 'active', %s FROM n`
		const sqliteID = `'00000000-0000-4000-8000-' || substr('000000000000' || i, -12)`
		dbtest.Exec(t, w.URL,
			fmt.Sprintf(insert, user.MaxStores-2, of.Account.ID, sqliteID, of.Owner.ID, "0"),
			fmt.Sprintf(insert, user.MaxStores-2, of.Account.ID, "gen_random_uuid()", of.Owner.ID, "now()"))
		owner := world.Owner(of)
		if _, err := w.Users.CreateStore(t.Context(), owner, "The last"); err != nil {
			t.Errorf("the last store: %v, want no error", err)
		}
		_, err := w.Users.CreateStore(t.Context(), owner, "One more")
		failing(t, err, fault.LimitReached, "")
	})
}
