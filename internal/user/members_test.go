package user_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/world"
	"latchkey/internal/user"
)

// fixture is an account's users, and the principals that change them.
type fixture struct {
	dbtest.World

	db      *gormdb.DB
	users   *user.Service
	owner   *auth.Principal
	program *auth.Principal
}

// eachFixture runs test in an account with an owner, three users and two stores.
// The first store has its own owner, and the first two users are members of
// both.
func eachFixture(t *testing.T, test func(*testing.T, fixture)) {
	t.Helper()
	world.Each(t, world.Options{At: time.Now()}, func(t *testing.T, w *world.Services) { test(t, newFixture(t, w)) })
}

func newFixture(t *testing.T, w *world.Services) fixture {
	t.Helper()
	s := fixture{World: dbtest.Seed{Stores: 2, StoreOwner: true, Users: 3, MembersPerStore: 2}.Make(t, w.DB), db: w.DB,
		users: w.Users}
	s.owner = world.Owner(s.World)
	s.program = &auth.Principal{NoCredential: "a test", Kind: auth.APIToken, ID: uuid.New(), Name: "Program",
		AccountID: s.Account.ID,
		Scopes:    scope.NewSet(scope.AccountUsersWrite, scope.AccountUsersDelete)}
	return s
}

func (s fixture) session(of user.User, p auth.Principal) *auth.Principal {
	return world.Session(s.World, of, p)
}

// person returns one of the three users.
func (s fixture) person(i int) user.User { return s.Users[2+i] }

func (s fixture) ref(i int) account.StoreRef { return account.StoreRef{ID: s.Stores[i].ID} }

// known returns the account's record of a user.
func (s fixture) known(t *testing.T, id uuid.UUID) user.Person {
	t.Helper()
	var known user.Person
	err := s.db.Users().Change(t.Context(), auth.NoActor("a test"), s.Account.ID, func(c user.Change) error {
		found, err := c.Members(t.Context(), []uuid.UUID{id})
		if len(found) > 0 {
			known = found[0]
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return known
}

// failing checks that err has the kind, and errors on these fields.
func failing(t *testing.T, err error, kind fault.Kind, fields ...string) {
	t.Helper()
	var got []string
	for _, f := range fault.Flatten(err) {
		got = append(got, f.Field)
	}
	if fault.KindOf(err) != kind || !slices.Equal(got, fields) {
		t.Errorf("%v (%s on %q), want %s on %q", err, fault.KindOf(err), got, kind, fields)
	}
}

// Another account cannot change an account's record of a user, through its own
// record of the person or by ID.
func TestNamesPerAccount(t *testing.T) {
	eachFixture(t, func(t *testing.T, s fixture) {
		elsewhere := dbtest.Seed{Users: 1}.Make(t, s.db)
		guest := elsewhere.Users[1]
		added, err := s.users.AddToAccount(t.Context(), s.program, guest.Email)
		if err != nil || added.ID == guest.ID || added.FirstName != "" || !added.Pending {
			t.Fatalf("AddToAccount() = %+v, %v, want a new pending user without a name", added, err)
		}
		name, id := "Other", "hr-1"
		_, err = s.users.Update(t.Context(), s.program, user.Update{UserID: guest.ID, FirstName: &name})
		failing(t, err, fault.NotFound, "userId")
		before := fixture{World: elsewhere, db: s.db}.known(t, guest.ID)
		if _, err := s.users.Update(t.Context(), s.program,
			user.Update{UserID: added.ID, FirstName: &name, ExternalID: &id}); err != nil {
			t.Fatal(err)
		}
		if after := s.known(t, added.ID); after.FirstName != name || after.ExternalID != id {
			t.Errorf("the account's record: got %+v, want the name %q and the external ID %q", after, name, id)
		}
		after := fixture{World: elsewhere, db: s.db}.known(t, guest.ID)
		if after.User != before.User || !after.UpdatedAt.Equal(before.UpdatedAt) || after.Pending {
			t.Errorf("the other account's record: got %+v, want it unchanged: %+v", after, before)
		}
		self := s.session(added.User, auth.Principal{})
		if _, err := s.users.Update(t.Context(), self, user.Update{UserID: added.ID, LastName: &name}); err != nil {
			t.Fatal(err)
		}
		_, err = s.users.Update(t.Context(), self, user.Update{UserID: added.ID, ExternalID: &name})
		failing(t, err, fault.Forbidden, "")
		_, err = s.users.Update(t.Context(), s.program, user.Update{UserID: s.person(0).ID, ExternalID: &id})
		failing(t, err, fault.Conflict, "externalId")
	})
}

// All errors of an input are reported at once. Unknown IDs and IDs of other
// accounts return the same error.
func TestInvalidChanges(t *testing.T) {
	eachFixture(t, func(t *testing.T, s fixture) {
		stranger := dbtest.Seed{}.Make(t, s.db)
		_, err := s.users.Create(t.Context(), s.program,
			user.Details{Email: "a\nb@c.example", FirstName: " ", LastName: "B\x00", Locale: "?"})
		failing(t, err, fault.Invalid, "email", "firstName", "lastName", "locale")
		_, err = s.users.Create(t.Context(), s.program,
			user.Details{Email: s.person(0).Email, FirstName: "A", LastName: "B", Locale: "en"})
		failing(t, err, fault.Conflict, "email")
		for _, guessable := range []string{"password1", s.Account.Name + "!", "Grace.Hopper", "grace@navy.example",
			"latchkey.example"} {
			chosen := user.PasswordChoice{Password: secret.NewPassword(guessable),
				Confirmation: secret.NewPassword(guessable)}
			_, err = s.users.CreateWithPassword(t.Context(), s.program,
				user.Details{Email: "grace@navy.example", FirstName: "Grace", LastName: "Hopper", Locale: "en"}, chosen)
			failing(t, err, fault.Invalid, "password")
		}
		pending, err := s.users.Create(t.Context(), s.program,
			user.Details{Email: "pending@acme.example", FirstName: "A", LastName: "B", Locale: "en"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.users.TransferOwnership(t.Context(), s.owner, pending.ID, nil)
		failing(t, err, fault.Conflict, "userId")
		_, _, err = s.users.AddToStore(t.Context(), s.program, s.ref(0), user.Ref{})
		failing(t, err, fault.Invalid, "user.email")
		_, _, err = s.users.AddToStore(t.Context(), s.program, s.ref(0),
			user.Ref{ID: new(s.person(0).ID), Email: new(s.person(1).Email)})
		failing(t, err, fault.Invalid, "user.id")
		_, _, unknown := s.users.AddToStore(t.Context(), s.program, s.ref(0), user.Ref{ID: new(uuid.New())})
		failing(t, unknown, fault.NotFound, "user.id")
		if _, _, foreign := s.users.AddToStore(t.Context(), s.program, s.ref(0),
			user.Ref{ID: new(stranger.Owner.ID)}); foreign == nil || foreign.Error() != unknown.Error() {
			t.Errorf("another account's user: error %v, want that of an unknown ID: %v", foreign, unknown)
		}
		_, _, err = s.users.AddToStore(t.Context(), s.program, account.StoreRef{ID: stranger.Stores[0].ID},
			user.Ref{ID: new(s.person(0).ID)})
		failing(t, err, fault.NotFound, "storeId")
		_, _, err = s.users.RemoveFromStore(t.Context(), s.program, s.ref(0), s.person(2).ID)
		failing(t, err, fault.NotFound, "userId")
		_, err = s.users.SetStorePermissions(t.Context(), s.program, s.ref(0), s.person(0).ID,
			[]string{"Fly", "Add_Pages", "Swim"})
		failing(t, err, fault.Invalid, "permissions", "permissions")
		_, err = s.users.TransferOwnership(t.Context(), s.owner, stranger.Owner.ID, nil)
		failing(t, err, fault.NotFound, "userId")
		_, err = s.users.TransferOwnership(t.Context(), s.program, s.person(0).ID, nil)
		failing(t, err, fault.Forbidden, "")
	})
}

// Only owners can grant the right to issue tokens: not a user who has it, nor one
// who may edit users, nor by reactivating a member.
func TestOnlyOwnersGrantHighRisk(t *testing.T) {
	eachFixture(t, func(t *testing.T, s fixture) {
		editor, other := s.session(s.person(0),
			auth.Principal{Places: []auth.Place{{StoreID: s.Stores[0].ID, May: auth.EditUsers}}}), s.person(1).ID
		set := func(by *auth.Principal, of uuid.UUID, names ...string) error {
			_, err := s.users.SetStorePermissions(t.Context(), by, s.ref(0), of, names)
			return err
		}
		const risky, plain = "Create_Store_API_Tokens", "Add_Pages"
		if err := set(s.owner, editor.ID, "Edit_Users", plain, risky, "Grant_High_Risk_Store_Permissions"); err != nil {
			t.Fatal(err)
		}
		failing(t, set(editor, other, "Add_Brands", "Add_Orders", risky), fault.Forbidden, "permissions")
		failing(t, set(s.program, other, "Add_Brands", "Add_Orders", risky), fault.Forbidden, "permissions")
		// Revokes two that the editor does not have.
		failing(t, set(editor, other), fault.Forbidden, "permissions", "permissions")
		if err := set(editor, other, "Add_Brands", "Add_Orders", plain); err != nil {
			t.Errorf("the editor's own permissions: %v", err)
		}
		if err := set(s.session(s.StoreOwner, auth.Principal{OwnedStores: []uuid.UUID{s.Stores[0].ID}}), other,
			risky); err != nil {
			t.Fatal(err)
		}
		status := func(by *auth.Principal, to user.Status) error {
			_, err := s.users.SetStoreStatus(t.Context(), by, s.ref(0), other, to)
			return err
		}
		if err := status(s.program, user.Inactive); err != nil {
			t.Fatal(err)
		}
		failing(t, status(s.program, user.Active), fault.Forbidden, "permissions")
		failing(t, status(editor, user.Active), fault.Forbidden, "permissions")
		if err := status(s.owner, user.Active); err != nil {
			t.Error(err)
		}
		if _, _, err := s.users.RemoveFromStore(t.Context(), s.program, s.ref(0), other); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.users.AddToStore(t.Context(), s.program, s.ref(0), user.Ref{ID: new(other)}); err != nil {
			t.Fatal(err)
		}
		if place, ok := s.known(t, other).Place(s.Stores[0].ID); !ok || len(place.Permissions) > 0 {
			t.Errorf("added again: got %+v, want a membership without permissions", place)
		}
	})
}

// The permissions of a store's owner cannot be changed, and the error says what
// to do first.
func TestPermissionsOfAStoresOwner(t *testing.T) {
	eachFixture(t, func(t *testing.T, s fixture) {
		owner, ref := s.person(2).ID, s.ref(0)
		if _, err := s.users.TransferOwnership(t.Context(), s.owner, owner, &ref); err != nil {
			t.Fatal(err)
		}
		editor := s.session(s.person(0),
			auth.Principal{Places: []auth.Place{{StoreID: s.Stores[0].ID, May: auth.EditUsers}}})
		for _, by := range []*auth.Principal{editor, s.program, s.owner} {
			for _, names := range [][]string{nil, {"Add_Pages", "Create_Store_API_Tokens"}} {
				_, err := s.users.SetStorePermissions(t.Context(), by, ref, owner, names)
				failing(t, err, fault.Conflict, "userId")
			}
			if _, err := s.users.SetStorePermissions(t.Context(), by, ref, owner, user.Permissions()); err != nil {
				t.Errorf("unchanged permissions: %v", err)
			}
		}
	})
}

// A transferred store keeps its former owner as an administrator, and only the
// new owner has the owner's permissions.
func TestTransferOwnership(t *testing.T) {
	eachFixture(t, func(t *testing.T, s fixture) {
		shop, next, ref := s.session(s.StoreOwner, auth.Principal{OwnedStores: []uuid.UUID{s.Stores[0].ID}}),
			s.person(2), s.ref(0)
		_, err := s.users.TransferOwnership(t.Context(), shop, next.ID, nil)
		failing(t, err, fault.Forbidden, "")
		other := s.ref(1)
		_, err = s.users.TransferOwnership(t.Context(), shop, next.ID, &other)
		failing(t, err, fault.NotFound, "storeId")
		done, err := s.users.TransferOwnership(t.Context(), shop, next.ID, &ref)
		if err != nil || done.Store == nil || done.Store.OwnerID != next.ID {
			t.Fatalf("TransferOwnership() = %+v, %v, want a store owned by %s", done, err, next.ID)
		}
		for id, role := range map[uuid.UUID]user.Role{next.ID: user.StoreOwner,
			s.StoreOwner.ID: user.StoreAdministrator} {
			if place, _ := s.known(t, id).Place(s.Stores[0].ID); !slices.Equal(place.Permissions, role.Permissions()) ||
				place.Status != user.Active {
				t.Errorf("%s: got membership %+v, want an active one with the role's permissions", role, place)
			}
		}
		// A session from before the transfer.
		_, err = s.users.TransferOwnership(t.Context(), shop, s.person(0).ID, &ref)
		failing(t, err, fault.Forbidden, "")
		_, err = s.users.SetStoreStatus(t.Context(), s.owner, ref, next.ID, user.Inactive)
		failing(t, err, fault.Conflict, "userId")
		_, err = s.users.SetStorePermissions(t.Context(), s.owner, ref, next.ID, nil)
		failing(t, err, fault.Conflict, "userId")
		_, _, err = s.users.RemoveFromStore(t.Context(), s.owner, ref, next.ID)
		failing(t, err, fault.Conflict, "userId")
		if _, err := s.users.TransferOwnership(t.Context(), s.owner, next.ID, nil); err != nil {
			t.Error(err)
		}
	})
}

// Concurrent identical requests take effect once. A store is transferred or its
// next owner is removed from it, never both.
func TestRaces(t *testing.T) {
	eachFixture(t, func(t *testing.T, s fixture) {
		var wait sync.WaitGroup
		created := make(chan error, 8)
		for range cap(created) {
			wait.Go(func() {
				_, err := s.users.Create(t.Context(), s.program,
					user.Details{Email: "same@acme.example", FirstName: "A", LastName: "B", Locale: "en"})
				created <- err
			})
			wait.Go(func() {
				if _, _, err := s.users.AddToStore(t.Context(), s.program, s.ref(0),
					user.Ref{Email: new(s.person(2).Email)}); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		close(created)
		done := 0
		for err := range created {
			if err == nil {
				done++
			} else if fault.KindOf(err) != fault.Conflict {
				t.Errorf("a creation that comes second: got error %v, want kind %s", err, fault.Conflict)
			}
		}
		if places := s.known(t, s.person(2).ID).Places; done != 1 || len(places) != 1 {
			t.Errorf("created %d users with %d memberships, want 1 with 1", done, len(places))
		}
		for i := range 6 {
			next, ref := s.person(i%2).ID, s.ref(0)
			wait.Go(func() {
				if _, err := s.users.TransferOwnership(t.Context(), s.owner, next, &ref); err != nil {
					t.Error(err)
				}
			})
			wait.Go(func() { // NotFound if it was done before, or Conflict
				_, _, _ = s.users.RemoveFromStore(t.Context(), s.program, ref, next)
			})
			wait.Wait()
			in, err := s.db.Accounts().StoresByID(t.Context(), s.Account.ID, []uuid.UUID{s.Stores[0].ID})
			if err != nil {
				t.Fatal(err)
			}
			owner := in[s.Stores[0].ID].OwnerID
			if place, ok := s.known(t, owner).Place(s.Stores[0].ID); !ok || owner != next ||
				!slices.Equal(place.Permissions, user.Permissions()) {
				t.Errorf("owner %s with membership %+v, want %s with every permission", owner, place, next)
			}
		}
	})
}

// Of many requests that want a password hashed, few wait and the others are refused at once.
func TestFewPasswordsWait(t *testing.T) {
	eachFixture(t, func(t *testing.T, s fixture) {
		const requests, admitted = 64, 8 // a hash takes longer than it takes to send all of them
		results := make(chan error)
		for i := range requests {
			go func() { results <- s.createWithPassword(t, s.program, i) }()
		}
		created, refused := 0, 0
		for range requests {
			switch err := <-results; {
			case err == nil:
				created++
			case fault.KindOf(err) == fault.RateLimited:
				refused++
			default:
				t.Errorf("CreateWithPassword(): got error %v, want none or kind %s", err, fault.RateLimited)
			}
		}
		if created < admitted || refused == 0 {
			t.Errorf("got %d users created and %d requests refused, want at least %d and 1",
				created, refused, admitted)
		}
	})
}

// Two accounts that want many passwords hashed leave room for a third one.
func TestPasswordsOfManyAccounts(t *testing.T) {
	eachFixture(t, func(t *testing.T, s fixture) {
		const requests = 64
		in := func() *auth.Principal {
			p := *s.program
			p.ID, p.AccountID = uuid.New(), dbtest.Seed{}.Make(t, s.db).Account.ID
			return &p
		}
		first, second, third := in(), in(), in()
		results := make(chan error, 2*requests)
		for i := range requests {
			go func() { results <- s.createWithPassword(t, first, i) }()
			go func() { results <- s.createWithPassword(t, second, i) }()
		}
		for range requests { // most of the others have entered, too
			if err := <-results; err != nil {
				t.Log(err)
			}
		}
		if err := s.createWithPassword(t, third, 0); err != nil {
			t.Errorf("CreateWithPassword() of a third account: got error %v, want none", err)
		}
		for range requests {
			if err := <-results; err != nil {
				t.Log(err)
			}
		}
	})
}

// createWithPassword creates the user with a number in the principal's account.
func (s fixture) createWithPassword(t *testing.T, by *auth.Principal, number int) error {
	chosen := secret.NewPassword("correct horse 7d2e battery")
	_, err := s.users.CreateWithPassword(t.Context(), by,
		user.Details{Email: fmt.Sprintf("new%d@acme.example", number), FirstName: "A", LastName: "B", Locale: "en"},
		user.PasswordChoice{Password: chosen, Confirmation: chosen})
	return err
}
