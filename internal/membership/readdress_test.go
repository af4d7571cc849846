package membership_test

import (
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// enroll adds a user as an identity provider does.
func (w *tenant) enroll(t *testing.T, email string) user.User {
	t.Helper()
	p, _, err := w.Memberships.Enroll(t.Context(), w.robot, membership.Edit{Email: &email})
	if err != nil {
		t.Fatal(err)
	}
	return p.User
}

// A new address is a removal of the former person: the account's policy decides on the tokens that the person knows,
// and the event lists them. Another spelling changes nothing.
func TestNewAddressFollowsThePolicy(t *testing.T) {
	for _, policy := range account.OffboardingPolicies() {
		t.Run(string(policy), func(t *testing.T) {
			eachTenant(t, func(t *testing.T, w *tenant) {
				_, err := w.Memberships.SetOffboardingPolicy(t.Context(), w.owner, policy)
				check.Equal(t, err, nil, "set the policy")
				u := w.enroll(t, "former@acme.example")
				known := w.issue(t, u, "till")
				rename := func(email string) {
					_, err := w.Memberships.Edit(t.Context(), w.robot,
						membership.Edit{Update: user.Update{UserID: u.ID}, Email: &email}, nil)
					check.Equal(t, err, nil, "change the address to %s", email)
				}
				rename("Former@ACME.example")
				check.Equal(t, w.status(t, known.ID), token.Active, "the token after another spelling")

				rename("next@acme.example")
				status, detail := token.Active, "apiTokensToReview"
				if policy == account.RevokeTokens {
					status, detail = token.Revoked, "revokedApiTokens"
				}
				check.Equal(t, w.status(t, known.ID), status, "the token after another address")
				check.Equal(t, w.lastOf(t, audit.UserUpdated).Details, []audit.Detail{
					{Name: "email", Value: "next@acme.example"}, {Name: detail, Value: `"till"`}}, "the event")
			})
		})
	}
}

// A new address needs the right to remove users, also where a deactivated user gets it. Another spelling does not.
func TestNewAddressNeedsTheRightToRemove(t *testing.T) {
	eachTenant(t, func(t *testing.T, w *tenant) {
		writer := w.holding(scope.AccountUsersWrite)
		u, off := w.enroll(t, "former@acme.example"), w.enroll(t, "off@acme.example")
		edit := func(by *auth.Principal, of user.User, e membership.Edit) error {
			e.UserID = of.ID
			_, err := w.Memberships.Edit(t.Context(), by, e, nil)
			return err
		}
		check.Equal(t, edit(w.robot, off, membership.Edit{Update: user.Update{ExternalID: new("7")},
			Active: new(false)}), nil, "deactivate")
		back := membership.Edit{Update: user.Update{ExternalID: new("7")}, Email: new("back@acme.example")}
		before := dbtest.Dump(t, w.URL)
		check.Equal(t, fault.KindOf(edit(writer, u, membership.Edit{Email: new("next@acme.example")})),
			fault.Forbidden, "another address without the right to remove users")
		_, _, err := w.Memberships.Enroll(t.Context(), writer, back)
		check.Equal(t, fault.KindOf(err), fault.Forbidden, "another address of a deactivated user: %v", err)
		check.Equal(t, dbtest.Dump(t, w.URL), before, "the database after refused requests")
		check.Equal(t, edit(writer, u, membership.Edit{Email: new("FORMER@acme.example")}), nil, "another spelling")
		p, added, err := w.Memberships.Enroll(t.Context(), w.robot, back)
		if err != nil || added || p.ID != off.ID || p.Email != *back.Email {
			t.Errorf("reactivate with another address: got %+v, added %t, %v, want the same user", p, added, err)
		}
	})
}

// A token moves no permission to another address that it could not grant there.
func TestNewAddressGrantsNothing(t *testing.T) {
	eachTenant(t, func(t *testing.T, w *tenant) {
		u := w.enroll(t, "former@acme.example")
		e := membership.Edit{Update: user.Update{UserID: u.ID, ExternalID: new("7")}, Email: new("next@acme.example")}
		grant := func(status user.Status, permissions ...string) {
			place := user.Place{ID: uuid.New(), StoreID: w.Stores[1].ID, Status: status, Permissions: permissions,
				UpdatedAt: at}
			for _, had := range w.member(t, u.ID).Places {
				place.ID = had.ID
			}
			err := w.DB.Users().Change(t.Context(), auth.NoActor("a test"), w.Account.ID, func(c user.Change) error {
				return c.SavePlaces(t.Context(), map[uuid.UUID][]user.Place{u.ID: {place}})
			})
			check.Equal(t, err, nil, "give the user permissions")
		}
		for _, status := range []user.Status{user.Active, user.Inactive} {
			for _, permission := range user.Permissions() {
				if !user.HighRisk(permission) {
					continue
				}
				grant(status, permission)
				_, err := w.Memberships.Edit(t.Context(), w.robot, e, nil)
				if f := fault.Flatten(err); len(f) != 1 || f[0].Kind != fault.Conflict || f[0].Field != "userName" {
					t.Errorf("the address of a user with %s: got %v, want a conflict on userName", permission, err)
				}
			}
		}
		_, err := w.Memberships.Edit(t.Context(), w.robot, membership.Edit{Update: e.Update, Active: new(false)}, nil)
		check.Equal(t, err, nil, "deactivate")
		_, _, err = w.Memberships.Enroll(t.Context(), w.robot, e)
		check.Equal(t, fault.KindOf(err), fault.Conflict, "another address of a deactivated user: %v", err)
		check.Equal(t, w.member(t, u.ID).Email, u.Email, "the address")

		grant(user.Active, user.StoreAdministrator.Permissions()...)
		_, _, err = w.Memberships.Enroll(t.Context(), w.robot, e)
		check.Equal(t, err, nil, "another address of a user with permissions that a token can grant")
	})
}

// A request that is refused for a missing right tells nothing of other accounts.
func TestRightsComeBeforeOtherAccounts(t *testing.T) {
	eachTenant(t, func(t *testing.T, w *tenant) {
		elsewhere := dbtest.Seed{Users: 1}.Make(t, w.DB).Users[1].Email
		writer := w.holding(scope.AccountUsersWrite)
		for _, email := range []string{"alone@acme.example", elsewhere} {
			u := w.enroll(t, email)
			_, _, err := w.Services.Users.StartSession(t.Context(), new(auth.OperatorPrincipal()),
				user.SessionRequest{Email: email, AccountID: w.Account.ID, TTL: 3600e9}) // accepts the membership
			check.Equal(t, err, nil, "start a session")
			_, err = w.Memberships.Edit(t.Context(), writer, membership.Edit{Update: user.Update{UserID: u.ID},
				Email: new("probe@acme.example"), Active: new(false)}, nil)
			check.Equal(t, fault.KindOf(err), fault.Forbidden, "the address of %s: %v", email, err)
		}
	})
}
