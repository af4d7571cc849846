package membership_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// deactivate deactivates a user and fails the test if that returns an error.
func (w *tenant) deactivate(t *testing.T, d membership.Deactivation) membership.RemovalResult {
	t.Helper()
	done, err := w.Memberships.Deactivate(t.Context(), w.robot, d)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// reactivate reactivates a user and fails the test if that returns an error.
func (w *tenant) reactivate(t *testing.T, ref user.Ref) user.Person {
	t.Helper()
	p, err := w.Memberships.Reactivate(t.Context(), w.robot, ref)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// session starts a session of the user and returns a function that reports whether it works.
func (w *tenant) session(t *testing.T, of user.User) func() bool {
	t.Helper()
	operator := auth.OperatorPrincipal()
	_, value, err := w.Services.Users.StartSession(t.Context(), &operator,
		user.SessionRequest{Email: of.Email, AccountID: w.Account.ID, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return func() bool {
		_, err := w.Verifier.Principal(t.Context(), value.Reveal(), auth.Origin{})
		return err == nil
	}
}

// member returns the account's record of the user.
func (w *tenant) member(t *testing.T, id uuid.UUID) user.Person {
	t.Helper()
	var found []user.Person
	err := w.DB.Memberships().View(t.Context(), auth.NoActor("a test"), w.Account.ID,
		func(c membership.Change) (err error) {
			found, err = c.Members(t.Context(), []uuid.UUID{id})
			return err
		})
	if err != nil || len(found) != 1 {
		t.Fatalf("member %s: got %d, %v, want 1", id, len(found), err)
	}
	return found[0]
}

// lastOf returns the newest event of the action.
func (w *tenant) lastOf(t *testing.T, action audit.Action) audit.Event {
	t.Helper()
	found, err := w.DB.Audit().Events(t.Context(), w.Account.ID, audit.Filter{Actions: []audit.Action{action}},
		paging.Window{Size: 1})
	if err != nil || len(found.Items) != 1 {
		t.Fatalf("events of %s: got %d, %v, want 1", action, len(found.Items), err)
	}
	return found.Items[0].Node
}

// A deactivated user keeps the membership and those in stores, has no session, and comes back with them.
func TestDeactivateAndReactivate(t *testing.T) {
	eachTenant(t, func(t *testing.T, w *tenant) {
		leaver := w.World.Users[2]
		before := w.member(t, leaver.ID)
		works := w.session(t, leaver)
		for range 2 { // the second time from the cache
			check.Equal(t, works(), true, "the session works before")
		}
		made := w.issue(t, leaver, "made")
		done := w.deactivate(t, membership.Deactivation{User: byEmail(leaver)})
		if !done.Person.Deactivated() || len(done.Review) != 1 || done.Review[0].ID != made.ID ||
			len(done.Revoked) > 0 {
			t.Errorf("Deactivate() = %+v, want the user deactivated and 1 token to review", done)
		}
		p := w.member(t, leaver.ID)
		check.Equal(t, p.DeactivatedAt, at, "deactivated at")
		check.Equal(t, len(p.Places), len(before.Places), "memberships in stores of the deactivated user")
		check.Equal(t, works(), false, "the session works after the deactivation")
		check.Equal(t, w.status(t, made.ID), token.Active, "the status of a token that the user knows")
		operator := auth.OperatorPrincipal()
		_, _, err := w.Services.Users.StartSession(t.Context(), &operator,
			user.SessionRequest{Email: leaver.Email, AccountID: w.Account.ID, TTL: time.Hour})
		check.Equal(t, fault.KindOf(err), fault.Conflict, "starting a session of a deactivated user: %v", err)

		back := w.reactivate(t, byID(leaver))
		after := w.member(t, leaver.ID)
		if back.Deactivated() || after.Deactivated() || after.Pending != before.Pending {
			t.Errorf("after Reactivate: got %+v, want the user active", after)
		}
		for i, place := range after.Places {
			check.Equal(t, place.ID, before.Places[i].ID, "the membership in store %d", i)
			check.Equal(t, place.Status, before.Places[i].Status, "the status in store %d", i)
			if !slices.Equal(place.Permissions, before.Places[i].Permissions) {
				t.Errorf("permissions in store %d: got %q, want %q", i, place.Permissions, before.Places[i].Permissions)
			}
		}
		check.Equal(t, works(), false, "the session works after the reactivation")
		check.Equal(t, w.session(t, leaver)(), true, "a new session works after the reactivation")
	})
}

// Repeated, neither changes anything: no row, no event and no token.
func TestDeactivateAndReactivateAgain(t *testing.T) {
	eachTenant(t, func(t *testing.T, w *tenant) {
		leaver := w.World.Users[2]
		w.issue(t, leaver, "made")
		w.deactivate(t, membership.Deactivation{User: byID(leaver)})
		before := dbtest.Dump(t, w.URL)
		again := w.deactivate(t, membership.Deactivation{User: byID(leaver), Offboarding: account.RevokeTokens})
		if !again.Person.Deactivated() || len(again.Review) != 1 || len(again.Revoked) > 0 {
			t.Errorf("again: got %+v, want the deactivated user, 1 token to review and none revoked", again)
		}
		check.Equal(t, dbtest.Dump(t, w.URL), before, "the database after another deactivation")
		w.reactivate(t, byID(leaver))
		before = dbtest.Dump(t, w.URL)
		w.reactivate(t, byID(leaver))
		check.Equal(t, dbtest.Dump(t, w.URL), before, "the database after another reactivation")
	})
}

// A pending membership can be deactivated, and is pending again afterwards.
func TestDeactivatePending(t *testing.T) {
	eachTenant(t, func(t *testing.T, w *tenant) {
		const email = "new@acme.example"
		w.provision(t, w.robot, membership.ProvisionRequest{Users: []membership.ProvisionItem{{Email: email}}})
		done := w.deactivate(t, membership.Deactivation{User: user.Ref{Email: new(email)}})
		if !done.Person.Pending || !done.Person.Deactivated() {
			t.Errorf("deactivated: got %+v, want the user pending and deactivated", done.Person)
		}
		back := w.reactivate(t, user.Ref{Email: new(email)})
		if !back.Pending || back.Deactivated() || !w.member(t, back.ID).Pending {
			t.Errorf("reactivated: got %+v, want the user pending", back)
		}
	})
}

func TestDeactivateRefuses(t *testing.T) {
	eachTenant(t, func(t *testing.T, w *tenant) {
		foreign := dbtest.Seed{Users: 1}.Make(t, w.DB).Users[1]
		leaver := w.World.Users[2]
		before := dbtest.Dump(t, w.URL)
		for _, c := range []struct {
			name  string
			by    *auth.Principal
			d     membership.Deactivation
			kind  fault.Kind
			field string
		}{
			{"the account's owner", w.robot, membership.Deactivation{User: byID(w.Owner)}, fault.Conflict, ""},
			{"a store's owner", w.owner, membership.Deactivation{User: byEmail(w.StoreOwner)}, fault.Conflict, ""},
			{"another account's user", w.robot, membership.Deactivation{User: byEmail(foreign)}, fault.NotFound,
				"email"},
			{"no user", w.robot, membership.Deactivation{}, fault.Invalid, ""},
			{"an unknown policy", w.robot, membership.Deactivation{User: byID(leaver), Offboarding: "SOME"},
				fault.Invalid, "offboardingPolicy"},
			{"without the scope", w.holding(scope.AccountUsersWrite), membership.Deactivation{User: byID(leaver)},
				fault.Forbidden, ""},
			{"revoking without its scope", w.holding(scope.AccountUsersDelete),
				membership.Deactivation{User: byID(leaver), Offboarding: account.RevokeTokens}, fault.Forbidden, ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				_, err := w.Memberships.Deactivate(t.Context(), c.by, c.d)
				if f := fault.Flatten(err); len(f) != 1 || f[0].Kind != c.kind || f[0].Field != c.field {
					t.Errorf("%v, want %s on %q", err, c.kind, c.field)
				}
			})
		}
		_, err := w.Memberships.Reactivate(t.Context(), w.holding(scope.AccountUsersDelete), byID(leaver))
		check.Equal(t, fault.KindOf(err), fault.Forbidden, "reactivating without the scope: %v", err)
		_, err = w.Memberships.Reactivate(t.Context(), w.robot, byEmail(foreign))
		check.Equal(t, fault.KindOf(err), fault.NotFound, "reactivating another account's user: %v", err)
		check.Equal(t, dbtest.Dump(t, w.URL), before, "the database after rejected requests")
	})
}

// The events of removals and deactivations list the tokens to review, with those that were revoked.
func TestEventsOfLeaving(t *testing.T) {
	for _, policy := range account.OffboardingPolicies() {
		t.Run(string(policy), func(t *testing.T) {
			eachTenant(t, func(t *testing.T, w *tenant) {
				made, status, detail := w.issue(t, w.World.Users[2], `the "till"`), "ACTIVE", "apiTokensToReview"
				if policy == account.RevokeTokens {
					status, detail = "REVOKED", "revokedApiTokens"
				}
				other := w.issue(t, w.World.Users[3], "other")
				w.deactivate(t, membership.Deactivation{User: byID(w.World.Users[2]), Offboarding: policy})
				w.wantReview(t, audit.UserDeactivated, made, status,
					audit.Detail{Name: detail, Value: `"the \"till\""`})
				if _, err := w.Memberships.Remove(t.Context(), w.robot,
					membership.Removal{User: byID(w.World.Users[3]), Offboarding: policy}); err != nil {
					t.Fatal(err)
				}
				w.wantReview(t, audit.UserRemoved, other, status, audit.Detail{Name: detail, Value: `"other"`})
				w.reactivate(t, byID(w.World.Users[2]))
				e := w.lastOf(t, audit.UserReactivated)
				if strings.Contains(string(e.Data), "apiTokensToReview") || len(e.Details) > 0 {
					t.Errorf("the event of a reactivation: got %s with details %v, want no tokens", e.Data, e.Details)
				}
			})
		})
	}
}

// wantReview checks that the newest event of the action lists the token, and no other.
func (w *tenant) wantReview(t *testing.T, action audit.Action, listed token.Token, status string, d audit.Detail) {
	t.Helper()
	e := w.lastOf(t, action)
	var data struct {
		APITokensToReview      []struct{ ID, Status string }
		APITokensToReviewCount int
	}
	if err := json.Unmarshal(e.Data, &data); err != nil {
		t.Fatal(err)
	}
	want := []struct{ ID, Status string }{{token.IDPrefix + listed.ID.String(), status}}
	if !slices.Equal(data.APITokensToReview, want) || data.APITokensToReviewCount != 1 {
		t.Errorf("the data of %s: got %s, want the token %s, %s", action, e.Data, listed.ID, status)
	}
	if !slices.Equal(e.Details, []audit.Detail{d}) {
		t.Errorf("the details of %s: got %v, want %v", action, e.Details, d)
	}
}
