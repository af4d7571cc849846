package gormdb_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/user"
)

// change runs work on the users of w's account and fails the test on an error.
func change(t *testing.T, db *gormdb.DB, w dbtest.World, work func(user.Change) error) {
	t.Helper()
	if err := db.Users().Change(t.Context(), auth.NoActor("a test"), w.Account.ID, work); err != nil {
		t.Fatal(err)
	}
}

// newcomers returns n new users.
func newcomers(n int) []user.NewUser {
	list := make([]user.NewUser, n)
	for i := range list {
		id := uuid.Must(uuid.NewV7())
		list[i].User = user.User{ID: id, Email: fmt.Sprintf("New-%s@Acme.example", id), FirstName: "New",
			LastName: "Comer", Locale: "en", CreatedAt: noon}
	}
	return list
}

// A change reads what it has written, by every key, and so does the next change.
func TestChangeUsers(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Stores: 2}.Make(t, db)
		elsewhere := dbtest.Seed{Users: 1}.Make(t, db)
		stranger := elsewhere.Users[1]
		fresh := newcomers(2500) // more than fit in one statement
		want := make(map[uuid.UUID]user.Person, len(fresh))
		var folded, external []string
		var ids []uuid.UUID
		change(t, db, w, func(c user.Change) error {
			var members []user.Membership
			places := map[uuid.UUID][]user.Place{}
			for i, u := range fresh {
				u.Pending, u.ExternalID, u.UpdatedAt = true, fmt.Sprintf("hr-%d", i), later(time.Hour)
				p := user.Person{User: u.User, Member: true, JoinedAt: noon}
				p.Places = []user.Place{{ID: uuid.Must(uuid.NewV7()), StoreID: w.Stores[i%2].ID, Status: user.Active,
					Permissions: []string{"Add_Brands"}, UpdatedAt: noon}}
				want[u.ID], places[u.ID] = p, p.Places
				m := membershipOf(u.User)
				m.ExternalID, m.UpdatedAt = p.ExternalID, p.UpdatedAt
				members = append(members, m)
				folded, external, ids = append(folded, user.Fold(u.Email)), append(external, p.ExternalID),
					append(ids, u.ID)
			}
			return errors.Join(c.CreateUsers(t.Context(), fresh), c.SaveMembers(t.Context(), members),
				c.SavePlaces(t.Context(), places))
		})
		change(t, db, w, func(c user.Change) error {
			byEmail, err := c.MembersByEmail(t.Context(),
				append(folded, user.Fold(stranger.Email), "nobody@example.com"))
			byID, idErr := c.Members(t.Context(), append(ids, stranger.ID, uuid.New()))
			byExternal, externalErr := c.MembersByExternalID(t.Context(), append(external, "nobody"))
			others, othersErr := c.OtherMembers(t.Context(), []uuid.UUID{w.Owner.ID}, 10_000)
			for name, found := range map[string][]user.Person{"email": byEmail, "id": byID, "external id": byExternal,
				"the others": others} {
				n := 0
				for _, p := range found {
					same(t, name, p, want[p.ID])
					n++
				}
				check.Equal(t, n, len(want), "by %s", name)
			}
			some, someErr := c.OtherMembers(t.Context(), ids[:2400], 7)
			check.Equal(t, len(some), 7, "len(some)")
			return errors.Join(err, idErr, externalErr, othersErr, someErr)
		})
	})
}

// membership returns the membership of a new user.
func membershipOf(u user.User) user.Membership {
	return user.Membership{UserID: u.ID, Email: u.Email, FirstName: u.FirstName, LastName: u.LastName, Locale: u.Locale,
		JoinedAt: noon, UpdatedAt: noon}
}

// The number of an account's users is right after every operation that can change it.
func TestCountUsersFollows(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Users: 3}.Make(t, db)
		counted := func(want int64) {
			t.Helper()
			if n, err := db.Users().CountUsers(t.Context(), w.Account.ID, user.Filter{}); err != nil || n != want {
				t.Errorf("%d, %v, want %d", n, err, want)
			}
		}
		counted(4)
		fresh := newcomers(5)
		change(t, db, w, func(c user.Change) error {
			var members []user.Membership
			for _, u := range fresh {
				members = append(members, membershipOf(u.User))
			}
			return errors.Join(c.CreateUsers(t.Context(), fresh), c.SaveMembers(t.Context(), members),
				c.SaveMembers(t.Context(), members[:2]))
		})
		counted(9)
		change(t, db, w, func(c user.Change) error {
			return c.RemoveMembers(t.Context(), []uuid.UUID{fresh[0].ID, fresh[1].ID, uuid.New()})
		})
		counted(7)
		taken := errors.New("taken back")
		err := db.Users().Change(t.Context(), auth.NoActor("a test"), w.Account.ID, func(c user.Change) error {
			return errors.Join(c.RemoveMembers(t.Context(), []uuid.UUID{fresh[2].ID}), taken)
		})
		if !errors.Is(err, taken) {
			t.Fatalf("Change: got error %v, want %v", err, taken)
		}
		counted(7)
	})
}

func TestRemoveUsers(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Stores: 2, Users: 2, MembersPerStore: 2, Apps: 1}.Make(t, db)
		gone := w.Users[1]
		_, session := startSession(t, db, w, gone)
		_, kept := startSession(t, db, w, w.Users[2])
		change(t, db, w, func(c user.Change) error {
			members, err := c.Members(t.Context(), []uuid.UUID{gone.ID})
			if err != nil {
				return err
			}
			var places []uuid.UUID
			for _, p := range members[0].Places {
				places = append(places, p.ID)
			}
			check.Equal(t, len(places), 2, "len(places)")
			return errors.Join(c.RemovePlaces(t.Context(), places),
				c.EndSessions(t.Context(), []uuid.UUID{gone.ID}, noon, endedEvent),
				c.RemoveMembers(t.Context(), []uuid.UUID{gone.ID}))
		})
		if !ended(t, db, session) || ended(t, db, kept) {
			t.Errorf("sessions revoked: got %t and another one %t, want only the first",
				ended(t, db, session), ended(t, db, kept))
		}
		s := user.Session{ID: uuid.Must(uuid.NewV7()), AccountID: w.Account.ID, UserID: gone.ID, Email: gone.Email,
			CreatedAt: noon, ExpiresAt: later(time.Hour)}
		mustBe(t, db.Users().StartSession(t.Context(), auth.NoActor("a test"), s, keyring.Digest(session),
			audit.Event{}, audit.Event{}), fault.NotFound)
	})
}

func TestChangeOwners(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{Stores: 2, Users: 1}.Make(t, db)
		next := w.Users[1].ID
		change(t, db, w, func(c user.Change) error {
			if err := errors.Join(c.SetOwner(t.Context(), uuid.Nil, next),
				c.SetOwner(t.Context(), w.Stores[1].ID, next)); err != nil {
				return err
			}
			mustBe(t, c.SetOwner(t.Context(), uuid.New(), next), fault.NotFound)
			a, err := c.Account(t.Context())
			owned, ownedErr := c.OwnedStores(t.Context(), []uuid.UUID{next})
			if a.OwnerID != next || len(owned) != 1 || owned[0].ID != w.Stores[1].ID {
				t.Errorf("the account's owner: got %s, who owns %v, want %s, who owns %s",
					a.OwnerID, owned, next, w.Stores[1].ID)
			}
			stores, storesErr := c.Stores(t.Context(),
				[]account.StoreRef{{ID: w.Stores[0].ID}, {Hash: w.Stores[1].Hash}, {Hash: w.Stores[0].Hash},
					{Hash: "none"}})
			check.Equal(t, len(stores), 2, "len(stores)")
			return errors.Join(err, ownedErr, storesErr)
		})
		mustBe(t, db.Users().Change(t.Context(), auth.NoActor("a test"), uuid.New(),
			func(user.Change) error { return nil }), fault.NotFound)
	})
}

// Concurrent changes of an account's users run one after another, also from several processes.
func TestChangesAreOneAfterTheOther(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		dbs := []*gormdb.DB{dbtest.OpenWith(t, gormdb.Config{URL: url}), dbtest.OpenWith(t, gormdb.Config{URL: url})}
		w := dbtest.Seed{}.Make(t, dbs[0])
		const each = 8
		var wait sync.WaitGroup
		for i := range 2 * each {
			wait.Go(func() {
				err := dbs[i%2].Users().Change(t.Context(), auth.NoActor("a test"), w.Account.ID,
					func(c user.Change) error {
						members, err := c.Members(t.Context(), []uuid.UUID{w.Owner.ID})
						if err != nil {
							return err
						}
						p := members[0]
						return c.SaveMembers(t.Context(),
							[]user.Membership{{UserID: p.ID, ExternalID: p.ExternalID + "x", UpdatedAt: noon}})
					})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		change(t, dbs[0], w, func(c user.Change) error {
			members, err := c.Members(t.Context(), []uuid.UUID{w.Owner.ID})
			if !slices.ContainsFunc(members, func(p user.Person) bool { return len(p.ExternalID) == 2*each }) {
				t.Errorf("the owner: got %+v, %v, want an external ID of %d characters", members, err, 2*each)
			}
			return err
		})
	})
}
