package membership_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

func byEmail(u user.User) user.Ref { return user.Ref{Email: &u.Email} }

func byID(u user.User) user.Ref { return user.Ref{ID: &u.ID} }

// status returns the status of a token of the account.
func (w *tenant) status(t *testing.T, id uuid.UUID) token.Status {
	t.Helper()
	found, err := w.DB.Tokens().Token(t.Context(), w.Account.ID, id)
	if err != nil {
		t.Fatal(err)
	}
	return found.Status(at)
}

// A removed user has no memberships and no sessions, and is reported with the
// active tokens whose secrets they know: those that they created and those that
// they rotated.
func TestRemove(t *testing.T) {
	for _, revoke := range []bool{false, true} {
		eachTenant(t, func(t *testing.T, w *tenant) {
			leaver, stays := w.World.Users[2], w.World.Users[3]
			made, rotated, others := w.issue(t, leaver, "made"), w.issue(t, stays, "rotated"),
				w.issue(t, stays, "others")
			ended, lost := w.issue(t, leaver, "ended"), w.issue(t, stays, "lost")
			if _, err := w.Tokens.Revoke(t.Context(), w.owner,
				token.RevokeRequest{IDs: []uuid.UUID{ended.ID}}); err != nil {
				t.Fatal(err)
			}
			for _, r := range []struct {
				id  uuid.UUID
				by  user.User
				now time.Duration
			}{{rotated.ID, leaver, time.Hour}, {lost.ID, leaver, 0}, {lost.ID, stays, 0}} {
				if _, err := w.Tokens.Rotate(t.Context(), w.as(r.by), r.id, &r.now); err != nil {
					t.Fatal(err)
				}
			}
			removed, err := w.Memberships.Remove(t.Context(), w.robot,
				membership.Removal{User: byEmail(leaver), Offboarding: membership.OffboardingOf(&revoke)})
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
			if len(names) != 2 || names["made"] != want || names["rotated"] != want ||
				(len(removed.Revoked) == 2) != revoke || removed.Person.ID != leaver.ID {
				t.Errorf("tokens to review: got %v and %d revoked, want made and rotated, %s",
					names, len(removed.Revoked), want)
			}
			if w.status(t, made.ID) != want || w.status(t, rotated.ID) != want ||
				w.status(t, others.ID) != token.Active {
				t.Errorf("statuses: got %s, %s and %s of another user's, want %s, %s and %s",
					w.status(t, made.ID), w.status(t, rotated.ID), w.status(t, others.ID), want, want, token.Active)
			}
			if slices.Contains(w.emails(t), leaver.Email) || !slices.Contains(w.emails(t), stays.Email) {
				t.Errorf("users in the account: got %q, want %s without %s", w.emails(t), stays.Email, leaver.Email)
			}
			again := w.provision(t, w.robot, membership.ProvisionRequest{
				Users: []membership.ProvisionItem{{Email: leaver.Email}}})
			if p := again.Items[0]; p.Action != membership.Created || p.Person.ID == leaver.ID ||
				len(p.Person.Places) > 0 {
				t.Errorf("added again: got %+v, want a new user without memberships", p)
			}
		})
	}
}

// A user who received an access token by rotating could issue tokens with it while it worked. The removal of the user
// revokes those too, and no token that was issued with the same API token before.
func TestRemoveRevokesWhatEndedAccessTokensIssued(t *testing.T) {
	eachTenant(t, func(t *testing.T, w *tenant) {
		leaver, stays := w.World.Users[2], w.World.Users[3]
		issuer := w.issue(t, stays, "issuer")
		by := w.holding(scope.AccountRead, scope.AccountAPITokensWrite)
		by.ID = issuer.ID
		create := func(name string) uuid.UUID {
			issued, err := w.Tokens.Create(t.Context(), by,
				token.Request{Owner: token.AccountOwner(w.Account), Name: name, Scopes: []string{scope.AccountRead}})
			if err != nil {
				t.Fatal(err)
			}
			return issued.Token.ID
		}
		rotate := func(by *auth.Principal, id uuid.UUID, overlap time.Duration) {
			if _, err := w.Tokens.Rotate(t.Context(), by, id, &overlap); err != nil {
				t.Fatal(err)
			}
		}
		before, others := create("issued before"), w.issue(t, stays, "renewed")
		dbtest.Exec(t, w.URL, "UPDATE api_tokens SET created_at = created_at - 120000000 WHERE name = 'issued before'",
			"UPDATE api_tokens SET created_at = created_at - interval '2 minutes' WHERE name = 'issued before'")
		rotate(w.as(leaver), issuer.ID, 0)
		created := create("issued meanwhile")
		rotate(by, others.ID, 0)
		rotate(w.as(stays), issuer.ID, 0) // the leaver's access token ends
		removed, err := w.Memberships.Remove(t.Context(), w.robot,
			membership.Removal{User: byEmail(leaver), Offboarding: account.RevokeTokens})
		if err != nil || len(removed.Revoked) != 2 || w.status(t, created) != token.Revoked ||
			w.status(t, others.ID) != token.Revoked {
			t.Errorf("revoked %d tokens, want the one that was created and the one that was rotated: %v",
				len(removed.Revoked), err)
		}
		if w.status(t, before) != token.Active || w.status(t, issuer.ID) != token.Active {
			t.Errorf("a token that the user did not know is revoked, want it to be %s", token.Active)
		}
	})
}

// Only the chosen tokens of those that the user knows are revoked. One that the user does not know fails the removal.
func TestRemoveWithChosenTokens(t *testing.T) {
	eachTenant(t, func(t *testing.T, w *tenant) {
		leaver := w.World.Users[2]
		ends, stays, others := w.issue(t, leaver, "ends"), w.issue(t, leaver, "stays"),
			w.issue(t, w.World.Users[3], "others")
		before := dbtest.Dump(t, w.URL)
		_, err := w.Memberships.Remove(t.Context(), w.owner,
			membership.Removal{User: byID(leaver), Tokens: []uuid.UUID{ends.ID, others.ID}})
		if f := fault.Flatten(err); len(f) != 1 || f[0].Kind != fault.Conflict || f[0].Field != "tokens" ||
			dbtest.Dump(t, w.URL) != before {
			t.Fatalf("a token that the user does not know: got error %v, want kind %s on tokens and no change",
				err, fault.Conflict)
		}
		_, err = w.Memberships.Remove(t.Context(), w.holding(scope.AccountUsersDelete),
			membership.Removal{User: byID(leaver), Tokens: []uuid.UUID{ends.ID}})
		if fault.KindOf(err) != fault.Forbidden || dbtest.Dump(t, w.URL) != before {
			t.Fatalf("by a principal that may not revoke: got error %v, want kind %s and no change",
				err, fault.Forbidden)
		}
		removed, err := w.Memberships.Remove(t.Context(), w.owner,
			membership.Removal{User: byID(leaver), Tokens: []uuid.UUID{ends.ID}})
		if err != nil || len(removed.Review) != 2 || !slices.Equal(removed.Revoked, []uuid.UUID{ends.ID}) {
			t.Errorf("Remove() = %+v, %v, want 2 tokens to review and %s revoked", removed, err, ends.ID)
		}
		if w.status(t, ends.ID) != token.Revoked || w.status(t, stays.ID) != token.Active ||
			w.status(t, others.ID) != token.Active {
			t.Errorf("statuses: got %s, %s and %s of another user's, want only the first revoked",
				w.status(t, ends.ID), w.status(t, stays.ID), w.status(t, others.ID))
		}
	})
}

func TestRemoveRefuses(t *testing.T) {
	eachTenant(t, func(t *testing.T, w *tenant) {
		foreign := dbtest.Seed{Users: 1}.Make(t, w.DB).Users[1]
		member := w.World.Users[2]
		w.issue(t, member, "made")
		clerk := &auth.Principal{NoCredential: "a test", Kind: auth.Session, ID: member.ID, AccountID: w.Account.ID,
			Places: []auth.Place{{StoreID: w.Stores[0].ID, May: auth.DeleteUsers}}}
		before := dbtest.Dump(t, w.URL)
		for _, c := range []struct {
			name   string
			by     *auth.Principal
			user   user.Ref
			revoke bool
			kind   fault.Kind
			field  string
		}{
			{"no user", w.robot, user.Ref{}, false, fault.Invalid, ""},
			{"two users", w.robot, user.Ref{Email: &member.Email, ID: &w.World.Users[3].ID}, false, fault.Invalid,
				"id"},
			{"another account's user by address", w.robot, byEmail(foreign), false, fault.NotFound, "email"},
			{"another account's user by ID", w.robot, byID(foreign), false, fault.NotFound, "id"},
			{"an unknown ID", w.robot, user.Ref{ID: new(uuid.New())}, false, fault.NotFound, "id"},
			{"the account's owner", w.robot, byEmail(w.Owner), false, fault.Conflict, ""},
			{"a store's owner", w.owner, byID(w.StoreOwner), false, fault.Conflict, ""},
			{"without the scope", w.holding(scope.AccountUsersWrite), byEmail(member), false, fault.Forbidden, ""},
			{"revoking without its scope", w.holding(scope.AccountUsersDelete), byEmail(member), true, fault.Forbidden,
				""},
			{"by a user of a store", clerk, byEmail(w.World.Users[3]), false, fault.Forbidden, ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				_, err := w.Memberships.Remove(t.Context(), c.by,
					membership.Removal{User: c.user, Offboarding: membership.OffboardingOf(&c.revoke)})
				if f := fault.Flatten(err); len(f) != 1 || f[0].Kind != c.kind || f[0].Field != c.field {
					t.Errorf("%v, want %s on %q", err, c.kind, c.field)
				}
			})
		}
		check.Equal(t, dbtest.Dump(t, w.URL), before, "the database after a rejected request")
	})
}

func TestDeprovision(t *testing.T) {
	eachTenant(t, func(t *testing.T, w *tenant) {
		foreign := dbtest.Seed{Users: 1}.Make(t, w.DB).Users[1]
		w.issue(t, w.World.Users[2], "made")
		req := membership.DeprovisionRequest{DryRun: true, Users: []user.Ref{
			byEmail(w.World.Users[2]), byID(w.World.Users[3]), byEmail(w.World.Users[2]), byEmail(foreign),
			byID(foreign), {}, byEmail(w.Owner),
		}}
		want := "REMOVED " + w.World.Users[2].Email + " [made]\nREMOVED " + w.World.Users[3].Email + "\nUNCHANGED " +
			w.World.Users[2].Email +
			"\nUNCHANGED " + foreign.Email + "\nFAILED  users.4.id NOT_FOUND\nFAILED  users.5 INVALID\nFAILED " +
			w.Owner.Email + " users.6 CONFLICT"
		before := dbtest.Dump(t, w.URL)
		dry, err := w.Memberships.Deprovision(t.Context(), w.robot, req)
		if err != nil {
			t.Fatal(err)
		}
		wantText(t, "dry", format(dry), want)
		check.Equal(t, dbtest.Dump(t, w.URL), before, "the database after a dry run")
		req.DryRun = false
		done, err := w.Memberships.Deprovision(t.Context(), w.robot, req)
		if err != nil {
			t.Fatal(err)
		}
		wantText(t, "done", format(done), want)
		if left := w.emails(t); len(left) != 3 {
			t.Errorf("remaining users: got %v, want 3", left)
		}
		after := dbtest.Dump(t, w.URL)
		again, err := w.Memberships.Deprovision(t.Context(), w.robot,
			membership.DeprovisionRequest{Users: req.Users[:4]})
		if err != nil || again.Count(membership.Unchanged) != 3 || again.Count(membership.Failed) != 1 ||
			dbtest.Dump(t, w.URL) != after {
			t.Errorf("again: got %v\n%s\nwant 3 unchanged, 1 failed and no change", err, format(again))
		}
	})
}

// If the principal may remove users but not read them, the report does not contain
// the address of a user named by ID.
func TestDeprovisionHidesAddresses(t *testing.T) {
	eachTenant(t, func(t *testing.T, w *tenant) {
		req := membership.DeprovisionRequest{DryRun: true,
			Users: []user.Ref{byID(w.World.Users[2]), byEmail(w.World.Users[3]), byID(w.Owner), {}}}
		for _, c := range []struct {
			by          *auth.Principal
			first, last string
		}{
			{w.holding(scope.AccountUsersDelete), "", ""},
			{w.holding(scope.AccountUsersDelete, scope.AccountUsersRead), w.World.Users[2].Email, w.Owner.Email},
			{w.owner, w.World.Users[2].Email, w.Owner.Email},
		} {
			done, err := w.Memberships.Deprovision(t.Context(), c.by, req)
			if err != nil {
				t.Fatal(err)
			}
			want := "REMOVED " + c.first + "\nREMOVED " + w.World.Users[3].Email + "\nFAILED " + c.last +
				" users.2 CONFLICT\nFAILED  users.3 INVALID"
			wantText(t, "told", format(done), want)
		}
		others := membership.ProvisionRequest{DryRun: true, RemoveOthers: true,
			Users: []membership.ProvisionItem{{Email: w.World.Users[2].Email}}}
		for _, item := range w.provision(t, w.holding(scope.AccountUsersWrite, scope.AccountUsersDelete),
			others).Items[1:] {
			check.Equal(t, item.Email, "", "the report contains")
		}
	})
}

// RemoveOthers removes all other users except owners. If an item is invalid, no
// user is removed.
func TestRemoveOthers(t *testing.T) {
	eachTenant(t, func(t *testing.T, w *tenant) {
		w.issue(t, w.World.Users[3], "made")
		req := membership.ProvisionRequest{RemoveOthers: true,
			Users: []membership.ProvisionItem{{Email: w.World.Users[2].Email}, {Email: "typo"}}}
		before := dbtest.Dump(t, w.URL)
		_, err := w.Memberships.Provision(t.Context(), w.robot, req)
		if f := fault.Flatten(err); len(f) < 2 || f[0].Kind != fault.Invalid || f[0].Field != "removeOthers" ||
			f[1].Field != "users.1.email" {
			t.Errorf("an invalid item: got error %v, want faults on removeOthers and users.1.email", err)
		}
		if _, err := w.Memberships.Provision(t.Context(), w.holding(scope.AccountUsersWrite),
			req); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("without the scope: got error %v, want kind %s", err, fault.Forbidden)
		}
		check.Equal(t, dbtest.Dump(t, w.URL), before, "the database after a rejected request")
		// The external ID of a removed user can be used again.
		w.provision(t, w.robot,
			membership.ProvisionRequest{Users: []membership.ProvisionItem{
				{Email: w.World.Users[3].Email, ExternalID: new("7")}}})
		req.Users = []membership.ProvisionItem{{Email: w.World.Users[2].Email, ExternalID: new("7")}}
		got := strings.Split(format(w.provision(t, w.robot, req)), "\n")
		slices.Sort(got[1:])
		want := []string{"UPDATED " + w.World.Users[2].Email + " externalId:->7",
			"FAILED " + w.Owner.Email + " removeOthers CONFLICT",
			"FAILED " + w.StoreOwner.Email + " removeOthers CONFLICT", "REMOVED " + w.World.Users[3].Email + " [made]",
			"REMOVED " + w.World.Users[4].Email}
		check.Equal(t, got, want, "got")
		if left := w.emails(t); len(left) != 3 {
			t.Errorf("remaining users: got %v, want 3", left)
		}
	})
}

// The sessions of a removed user end in this process before the call returns, and
// do not work again when the user is added again.
func TestSessionsOfRemovedUsers(t *testing.T) {
	eachTenant(t, func(t *testing.T, w *tenant) {
		leaver := w.World.Users[2]
		operator := auth.OperatorPrincipal()
		users := w.Services.Users
		_, value, err := users.StartSession(t.Context(), &operator,
			user.SessionRequest{Email: leaver.Email, TTL: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		works := func() bool {
			_, err := w.Verifier.Principal(t.Context(), value.Reveal(), auth.Origin{})
			return err == nil
		}
		for range 2 { // the second time from the cache
			if !works() {
				t.Fatal("the session does not work, want it to work")
			}
		}
		if _, err := w.Memberships.Deprovision(t.Context(), w.robot,
			membership.DeprovisionRequest{Users: []user.Ref{byID(leaver)}}); err != nil {
			t.Fatal(err)
		}
		if works() {
			t.Error("a removed user's session works, want it refused")
		}
		w.provision(t, w.robot, membership.ProvisionRequest{Users: []membership.ProvisionItem{{Email: leaver.Email}}})
		if works() {
			t.Error("the session works after the user was added again, want it refused")
		}
	})
}
