package offboard_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/dbtest"
	"latchkey/internal/fault"
	"latchkey/internal/offboard"
	"latchkey/internal/scope"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

func byEmail(u user.User) user.Whom { return user.Whom{Email: &u.Email} }

func byID(u user.User) user.Whom { return user.Whom{ID: &u.ID} }

// status is that of a token of the account's.
func (w *world) status(t *testing.T, id uuid.UUID) token.Status {
	t.Helper()
	found, err := w.db.Tokens().Token(t.Context(), w.Account.ID, id)
	if err != nil {
		t.Fatal(err)
	}
	return found.Status(at)
}

// Whoever leaves is out of every store, has no session any more, and is told of with the tokens that they know: those they
// made and those they rotated, and no token of others or that works no more.
func TestRemove(t *testing.T) {
	for _, revoke := range []bool{false, true} {
		eachWorld(t, func(t *testing.T, w *world) {
			leaver, stays := w.Users[2], w.Users[3]
			made, rotated, others := w.issue(t, leaver, "made"), w.issue(t, stays, "rotated"), w.issue(t, stays, "others")
			ended, lost := w.issue(t, leaver, "ended"), w.issue(t, stays, "lost")
			if _, err := w.tokens.Revoke(t.Context(), w.owner, token.RevokeRequest{IDs: []uuid.UUID{ended.ID}}); err != nil {
				t.Fatal(err)
			}
			for _, r := range []struct {
				id  uuid.UUID
				by  user.User
				now time.Duration
			}{{rotated.ID, leaver, time.Hour}, {lost.ID, leaver, 0}, {lost.ID, stays, 0}} {
				if _, err := w.tokens.Rotate(t.Context(), w.as(r.by), r.id, &r.now); err != nil {
					t.Fatal(err)
				}
			}
			removed, err := w.offboard.Remove(t.Context(), w.robot, offboard.Removal{Whom: byEmail(leaver), RevokeTokens: revoke})
			if err != nil {
				t.Fatal(err)
			}
			names := map[string]token.Status{}
			for _, each := range removed.Review {
				names[each.Name] = each.Status(at)
			}
			want := token.Active
			if revoke {
				want = token.Revoked
			}
			if len(names) != 2 || names["made"] != want || names["rotated"] != want || (len(removed.Revoked) == 2) != revoke || removed.Person.ID != leaver.ID {
				t.Errorf("to review %v, revoked %v", names, removed.Revoked)
			}
			if w.status(t, made.ID) != want || w.status(t, rotated.ID) != want || w.status(t, others.ID) != token.Active {
				t.Error("the wrong tokens are revoked")
			}
			if slices.Contains(w.emails(t), leaver.Email) || !slices.Contains(w.emails(t), stays.Email) {
				t.Error("the wrong people are there")
			}
			again := w.provision(t, w.robot, user.ProvisionRequest{Users: []user.ProvisionItem{{Email: leaver.Email}}})
			if p := again.Items[0]; p.Action != user.Created || p.Person.ID == leaver.ID || len(p.Person.Places) > 0 {
				t.Errorf("added again: %+v", p)
			}
		})
	}
}

// Of the tokens that whoever leaves knows, those are revoked that somebody chose; one that they do not know stops all of it.
func TestRemoveWithChosenTokens(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		leaver := w.Users[2]
		ends, stays, others := w.issue(t, leaver, "ends"), w.issue(t, leaver, "stays"), w.issue(t, w.Users[3], "others")
		before := dbtest.Dump(t, w.url)
		_, err := w.offboard.Remove(t.Context(), w.owner, offboard.Removal{Whom: byID(leaver), Tokens: []uuid.UUID{ends.ID, others.ID}})
		if f := fault.Flatten(err); len(f) != 1 || f[0].Kind != fault.Conflict || f[0].Field != "tokens" || dbtest.Dump(t, w.url) != before {
			t.Fatalf("with another's token: %v", err)
		}
		_, err = w.offboard.Remove(t.Context(), w.holding(scope.AccountUsersDelete), offboard.Removal{Whom: byID(leaver), Tokens: []uuid.UUID{ends.ID}})
		if fault.KindOf(err) != fault.Forbidden || dbtest.Dump(t, w.url) != before {
			t.Fatalf("by whoever may revoke none: %v", err)
		}
		removed, err := w.offboard.Remove(t.Context(), w.owner, offboard.Removal{Whom: byID(leaver), Tokens: []uuid.UUID{ends.ID}})
		if err != nil || len(removed.Review) != 2 || !slices.Equal(removed.Revoked, []uuid.UUID{ends.ID}) {
			t.Errorf("%+v, %v", removed, err)
		}
		if w.status(t, ends.ID) != token.Revoked || w.status(t, stays.ID) != token.Active || w.status(t, others.ID) != token.Active {
			t.Error("the wrong tokens are revoked")
		}
	})
}

func TestRemoveRefuses(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		stranger := dbtest.Seed{Users: 1}.Make(t, w.db).Users[1]
		somebody := w.Users[2]
		w.issue(t, somebody, "made")
		clerk := &auth.Principal{NoCredential: "a test", Kind: auth.Session, ID: somebody.ID, AccountID: w.Account.ID, Places: []auth.Place{{StoreID: w.Stores[0].ID, May: auth.DeleteUsers}}}
		before := dbtest.Dump(t, w.url)
		for _, c := range []struct {
			name   string
			by     *auth.Principal
			whom   user.Whom
			revoke bool
			kind   fault.Kind
			field  string
		}{
			{"nobody named", w.robot, user.Whom{}, false, fault.Invalid, ""},
			{"two people", w.robot, user.Whom{Email: &somebody.Email, ID: &w.Users[3].ID}, false, fault.Invalid, "id"},
			{"a stranger by address", w.robot, byEmail(stranger), false, fault.NotFound, "email"},
			{"a stranger by id", w.robot, byID(stranger), false, fault.NotFound, "id"},
			{"an id of nobody", w.robot, user.Whom{ID: new(uuid.New())}, false, fault.NotFound, "id"},
			{"the account's owner", w.robot, byEmail(w.Owner), false, fault.Conflict, ""},
			{"a store's owner", w.owner, byID(w.StoreOwner), false, fault.Conflict, ""},
			{"without the scope", w.holding(scope.AccountUsersWrite), byEmail(somebody), false, fault.Forbidden, ""},
			{"revoking without that scope", w.holding(scope.AccountUsersDelete), byEmail(somebody), true, fault.Forbidden, ""},
			{"by somebody of a store", clerk, byEmail(w.Users[3]), false, fault.Forbidden, ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				_, err := w.offboard.Remove(t.Context(), c.by, offboard.Removal{Whom: c.whom, RevokeTokens: c.revoke})
				if f := fault.Flatten(err); len(f) != 1 || f[0].Kind != c.kind || f[0].Field != c.field {
					t.Errorf("%v, want %s on %q", err, c.kind, c.field)
				}
			})
		}
		if dbtest.Dump(t, w.url) != before {
			t.Error("what was refused changed something")
		}
	})
}

func TestDeprovision(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		stranger := dbtest.Seed{Users: 1}.Make(t, w.db).Users[1]
		w.issue(t, w.Users[2], "made")
		req := offboard.DeprovisionRequest{DryRun: true, Users: []user.Whom{
			byEmail(w.Users[2]), byID(w.Users[3]), byEmail(w.Users[2]), byEmail(stranger), byID(stranger), {}, byEmail(w.Owner),
		}}
		want := "REMOVED " + w.Users[2].Email + " [made]\nREMOVED " + w.Users[3].Email + "\nUNCHANGED " + w.Users[2].Email +
			"\nUNCHANGED " + stranger.Email + "\nFAILED  users.4.id NOT_FOUND\nFAILED  users.5 INVALID\nFAILED " + w.Owner.Email + " users.6 CONFLICT"
		before := dbtest.Dump(t, w.url)
		dry, err := w.offboard.Deprovision(t.Context(), w.robot, req)
		if err != nil {
			t.Fatal(err)
		}
		wantText(t, "dry", told(dry), want)
		if dbtest.Dump(t, w.url) != before {
			t.Error("a dry run changed something")
		}
		req.DryRun = false
		done, err := w.offboard.Deprovision(t.Context(), w.robot, req)
		if err != nil {
			t.Fatal(err)
		}
		wantText(t, "done", told(done), want)
		if left := w.emails(t); len(left) != 3 {
			t.Errorf("%v are left", left)
		}
		after := dbtest.Dump(t, w.url)
		again, err := w.offboard.Deprovision(t.Context(), w.robot, offboard.DeprovisionRequest{Users: req.Users[:4]})
		if err != nil || again.Count(user.Unchanged) != 3 || again.Count(user.Failed) != 1 || dbtest.Dump(t, w.url) != after {
			t.Errorf("again: %v\n%s", err, told(again))
		}
	})
}

// Whoever may remove people and not see them learns no address from an id.
func TestDeprovisionTellsNoAddress(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		req := offboard.DeprovisionRequest{DryRun: true, Users: []user.Whom{byID(w.Users[2]), byEmail(w.Users[3]), byID(w.Owner), {}}}
		for _, c := range []struct {
			by          *auth.Principal
			first, last string
		}{
			{w.holding(scope.AccountUsersDelete), "", ""},
			{w.holding(scope.AccountUsersDelete, scope.AccountUsersRead), w.Users[2].Email, w.Owner.Email},
			{w.owner, w.Users[2].Email, w.Owner.Email},
		} {
			done, err := w.offboard.Deprovision(t.Context(), c.by, req)
			if err != nil {
				t.Fatal(err)
			}
			want := "REMOVED " + c.first + "\nREMOVED " + w.Users[3].Email + "\nFAILED " + c.last + " users.2 CONFLICT\nFAILED  users.3 INVALID"
			wantText(t, "told", told(done), want)
		}
		others := user.ProvisionRequest{DryRun: true, RemoveOthers: true, Users: []user.ProvisionItem{{Email: w.Users[2].Email}}}
		for _, item := range w.provision(t, w.holding(scope.AccountUsersWrite, scope.AccountUsersDelete), others).Items[1:] {
			if item.Email != "" {
				t.Errorf("told of %s", item.Email)
			}
		}
	})
}

// The rest leaves, but for owners; a wrong item keeps everybody.
func TestRemoveOthers(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.issue(t, w.Users[3], "made")
		req := user.ProvisionRequest{RemoveOthers: true, Users: []user.ProvisionItem{{Email: w.Users[2].Email}, {Email: "typo"}}}
		before := dbtest.Dump(t, w.url)
		_, err := w.offboard.Provision(t.Context(), w.robot, req)
		if f := fault.Flatten(err); len(f) < 2 || f[0].Kind != fault.Invalid || f[0].Field != "removeOthers" || f[1].Field != "users.1.email" {
			t.Errorf("a wrong item: %v", err)
		}
		if _, err := w.offboard.Provision(t.Context(), w.holding(scope.AccountUsersWrite), req); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("without the scope: %v", err)
		}
		if dbtest.Dump(t, w.url) != before {
			t.Error("what was refused changed something")
		}
		// The external id of somebody who leaves is free.
		w.provision(t, w.robot, user.ProvisionRequest{Users: []user.ProvisionItem{{Email: w.Users[3].Email, ExternalID: new("7")}}})
		req.Users = []user.ProvisionItem{{Email: w.Users[2].Email, ExternalID: new("7")}}
		got := strings.Split(told(w.provision(t, w.robot, req)), "\n")
		slices.Sort(got[1:])
		want := []string{"UPDATED " + w.Users[2].Email + " externalId:->7", "FAILED " + w.Owner.Email + " removeOthers CONFLICT",
			"FAILED " + w.StoreOwner.Email + " removeOthers CONFLICT", "REMOVED " + w.Users[3].Email + " [made]", "REMOVED " + w.Users[4].Email}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if left := w.emails(t); len(left) != 3 {
			t.Errorf("%v are left", left)
		}
	})
}

// A session ends with its person's leaving, on this process before the answer is there, and does not come back with them.
func TestSessionsOfLeavers(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		leaver := w.Users[2]
		operator := auth.OperatorPrincipal()
		users := user.NewService(w.db.Users(), w.keys, random, func() time.Time { return at })
		_, value, err := users.StartSession(t.Context(), &operator, user.SessionRequest{Email: leaver.Email, TTL: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		memory, err := access.NewMemory(100, time.Hour, func() bool { return true }, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(memory.Close)
		w.db.OnChange(memory.Changed)
		verifier := access.NewVerifier(access.Config{
			Repository: w.db.Access(), Keys: w.keys, Catalogue: scope.Default(), Memory: memory, Now: func() time.Time { return at },
		})
		works := func() bool {
			_, err := verifier.Verify(t.Context(), value.Reveal(), auth.Origin{})
			return err == nil
		}
		for range 2 { // the second time from memory
			if !works() {
				t.Fatal("the session does not work")
			}
		}
		if _, err := w.offboard.Deprovision(t.Context(), w.robot, offboard.DeprovisionRequest{Users: []user.Whom{byID(leaver)}}); err != nil {
			t.Fatal(err)
		}
		if works() {
			t.Error("the session of somebody who left works")
		}
		w.provision(t, w.robot, user.ProvisionRequest{Users: []user.ProvisionItem{{Email: leaver.Email}}})
		if works() {
			t.Error("the session came back with its person")
		}
	})
}
