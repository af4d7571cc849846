package membership_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/user"
)

// The states of a user before a request of an identity provider.
var userStates = []string{"not in the account", "active", "pending", "deactivated", "the account's owner"}

// inState returns a new user in the state. The owner is always the same one.
func (w *tenant) inState(t *testing.T, state string) user.User {
	t.Helper()
	id := uuid.New()
	email := id.String() + "@acme.example"
	switch state {
	case "not in the account":
		return user.User{ID: id, Email: email}
	case "the account's owner":
		return w.Owner
	}
	u := w.enroll(t, email)
	if state == "pending" {
		return u
	}
	_, _, err := w.Services.Users.StartSession(t.Context(), new(auth.OperatorPrincipal()),
		user.SessionRequest{Email: email, AccountID: w.Account.ID, TTL: time.Hour}) // accepts the membership
	check.Equal(t, err, nil, "start a session")
	if state == "deactivated" {
		w.deactivate(t, membership.Deactivation{User: byID(u)})
	}
	return u
}

// stateOf returns what a request of an identity provider left: the error, or the state of the user.
func (w *tenant) stateOf(t *testing.T, p user.Person, added bool, err error) string {
	t.Helper()
	if err != nil {
		return string(fault.KindOf(err))
	}
	stored := w.member(t, p.ID)
	check.Equal(t, p, stored, "the user that is returned, and the one that is stored")
	state := "active"
	switch {
	case stored.Pending && stored.Deactivated():
		state = "pending, deactivated"
	case stored.Deactivated():
		state = "deactivated"
	case stored.Pending:
		state = "pending"
	}
	if added {
		state = "added, " + state
	}
	return state
}

// asked is a request of an identity provider about a user.
type asked struct {
	name string
	do   func(t *testing.T, w *tenant, by *auth.Principal, u user.User) (user.Person, bool, error)
	// all and writing are what a token may do that can change and remove users, and one that can only change them, for
	// each of userStates.
	all, writing []string
}

// enrolls and edits are the requests with these fields, and the user's address or ID.
func enrolls(e membership.Edit) func(*testing.T, *tenant, *auth.Principal, user.User) (user.Person, bool, error) {
	return func(t *testing.T, w *tenant, by *auth.Principal, u user.User) (user.Person, bool, error) {
		e.Email = &u.Email
		return w.Memberships.Enroll(t.Context(), by, e)
	}
}

func edits(of func(u user.User) membership.Edit) func(*testing.T, *tenant, *auth.Principal,
	user.User) (user.Person, bool, error) {
	return func(t *testing.T, w *tenant, by *auth.Principal, u user.User) (user.Person, bool, error) {
		e := of(u)
		e.UserID = u.ID
		p, err := w.Memberships.Edit(t.Context(), by, e, nil)
		return p, false, err
	}
}

func sameEdit(e membership.Edit) func(user.User) membership.Edit {
	return func(user.User) membership.Edit { return e }
}

const (
	refused, missing, conflict = string(fault.Forbidden), string(fault.NotFound), string(fault.Conflict)
	off, added                 = "deactivated", "added, pending"
)

var requests = []asked{
	{"enroll", enrolls(membership.Edit{}),
		[]string{added, conflict, conflict, "active", conflict},
		[]string{added, conflict, conflict, "active", conflict}},
	{"enroll as deactivated", enrolls(membership.Edit{Active: new(false)}),
		[]string{added + ", " + off, conflict, conflict, off, conflict},
		[]string{refused, conflict, conflict, off, conflict}},
	{"change the name", edits(sameEdit(membership.Edit{Update: user.Update{LastName: new("Renamed")}})),
		[]string{missing, "active", "pending", off, "active"}, []string{missing, "active", "pending", off, "active"}},
	{"deactivate", edits(sameEdit(membership.Edit{Active: new(false)})),
		[]string{missing, off, "pending, " + off, off, conflict}, []string{missing, refused, refused, off, refused}},
	{"reactivate", edits(sameEdit(membership.Edit{Active: new(true)})),
		[]string{missing, "active", "pending", "active", "active"},
		[]string{missing, "active", "pending", "active", "active"}},
	{"spell the address differently", edits(func(u user.User) membership.Edit {
		return membership.Edit{Email: new(strings.ToUpper(u.Email))}
	}), []string{missing, "active", "pending", off, "active"}, []string{missing, "active", "pending", off, "active"}},
	{"give another address", edits(func(user.User) membership.Edit {
		return membership.Edit{Email: new(uuid.NewString() + "@acme.example")}
	}), []string{missing, "pending", "pending", "pending, " + off, conflict},
		[]string{missing, refused, refused, refused, refused}},
}

// Each actor makes each request about a user in each state. What is refused changes nothing.
func TestEnrollAndEdit(t *testing.T) {
	eachTenant(t, func(t *testing.T, w *tenant) {
		member := w.as(w.World.Users[2])
		member.AccountOwner = false
		member.Scopes = scope.NewSet(scope.AccountUsersWrite, scope.AccountUsersDelete)
		before := dbtest.Dump(t, w.URL)
		for name, by := range map[string]*auth.Principal{"a session of a user": member,
			"a token that may only read":   w.holding(scope.AccountUsersRead),
			"a token that may only remove": w.holding(scope.AccountUsersDelete)} {
			for _, r := range requests {
				for _, u := range []user.User{w.World.Users[3], w.Owner, {ID: uuid.New(), Email: "x@acme.example"}} {
					_, _, err := r.do(t, w, by, u)
					check.Equal(t, fault.KindOf(err), fault.Forbidden, "%s: %s of %s", name, r.name, u.Email)
				}
			}
		}
		check.Equal(t, dbtest.Dump(t, w.URL), before, "the database after requests without the right")
		for _, r := range requests {
			for i, state := range userStates {
				for name, by := range map[string]struct {
					*auth.Principal

					want string
				}{"a token with all rights": {w.robot, r.all[i]},
					"a token that may only change": {w.holding(scope.AccountUsersWrite), r.writing[i]}} {
					what := fmt.Sprintf("%s: %s, %s", name, r.name, state)
					w.asks(t, what, r, w.inState(t, state), by.Principal, by.want)
				}
			}
		}
	})
}

// asks makes a request and checks what it leaves.
func (w *tenant) asks(t *testing.T, what string, r asked, u user.User, by *auth.Principal, want string) {
	t.Helper()
	there := func() []user.Person {
		var found []user.Person
		err := w.DB.Memberships().View(t.Context(), auth.NoActor("a test"), w.Account.ID,
			func(c membership.Change) (err error) {
				found, err = c.Members(t.Context(), []uuid.UUID{u.ID})
				return err
			})
		check.Equal(t, err, nil, "read the user")
		return found
	}
	before := there()
	p, isNew, err := r.do(t, w, by, u)
	if !check.Equal(t, w.stateOf(t, p, isNew, err), want, "%s: %v", what, err) {
		return
	}
	if err != nil {
		check.Equal(t, there(), before, "%s: the user after the refused request", what)
		return
	}
	check.Equal(t, p.ProvisionedBy, by.ID, "%s: the token that made the last change", what)
}

// What an identity provider sends must be valid, and an external ID belongs to one user. Nothing is saved otherwise.
func TestEnrollAndEditRefuse(t *testing.T) {
	eachTenant(t, func(t *testing.T, w *tenant) {
		taken, u := w.World.Users[2], w.World.Users[3]
		give := func(of user.User, external string) membership.Edit {
			return membership.Edit{Update: user.Update{UserID: of.ID, ExternalID: &external}}
		}
		_, err := w.Memberships.Edit(t.Context(), w.robot, give(taken, "7"), nil)
		check.Equal(t, err, nil, "give a user an external ID")
		before := dbtest.Dump(t, w.URL)
		for _, tc := range []struct {
			name   string
			e      membership.Edit
			enroll bool
			kind   fault.Kind
			fields []string
		}{
			{"no address", membership.Edit{}, true, fault.Invalid, []string{"email"}},
			{"several wrong fields", membership.Edit{Email: new("no address"), Update: user.Update{Locale: new("?"),
				FirstName: new("A\nB")}}, true, fault.Invalid, []string{"email", "firstName", "locale"}},
			{"the external ID of another user", membership.Edit{Email: new("new@acme.example"),
				Update: user.Update{ExternalID: new("7")}}, true, fault.Conflict, []string{"externalId"}},
			{"to that of another user", give(u, "7"), false, fault.Conflict, []string{"externalId"}},
			{"to the address of another user", membership.Edit{Email: &taken.Email,
				Update: user.Update{UserID: u.ID}}, false, fault.Conflict, []string{"email"}},
			{"to no address", membership.Edit{Email: new(" "), Update: user.Update{UserID: u.ID}}, false,
				fault.Invalid, []string{"email"}},
		} {
			if _, err = w.Memberships.Edit(t.Context(), w.robot, tc.e, nil); tc.enroll {
				_, _, err = w.Memberships.Enroll(t.Context(), w.robot, tc.e)
			}
			var fields []string
			for _, f := range fault.Flatten(err) {
				fields = append(fields, f.Field)
				check.Equal(t, f.Kind, tc.kind, "%s: %v", tc.name, err)
			}
			check.Equal(t, fields, tc.fields, "%s: fields of the errors %v", tc.name, err)
		}
		stale := fault.Errorf(fault.Conflict, "Stale.")
		_, err = w.Memberships.Edit(t.Context(), w.robot, membership.Edit{Update: user.Update{UserID: u.ID,
			LastName: new("Renamed")}}, func(_ context.Context, _ membership.Change, p user.Person) error {
			check.Equal(t, p.User, w.member(t, u.ID).User, "the user before the change, for the precondition")
			return stale
		})
		check.Equal(t, err, error(stale), "the error of the precondition")
		check.Equal(t, dbtest.Dump(t, w.URL), before, "the database after refused requests")
	})
}

// A deactivated user is found by address or external ID, but not if the two are those of different users.
func TestEnrollFindsTheDeactivated(t *testing.T) {
	eachTenant(t, func(t *testing.T, w *tenant) {
		one, other := w.inState(t, "deactivated"), w.inState(t, "deactivated")
		_, err := w.Memberships.Edit(t.Context(), w.robot, membership.Edit{Update: user.Update{UserID: other.ID,
			ExternalID: new("7")}}, nil)
		check.Equal(t, err, nil, "give a user an external ID")
		mixed := membership.Edit{Email: &one.Email, Update: user.Update{ExternalID: new("7")}}
		_, _, err = w.Memberships.Enroll(t.Context(), w.robot, mixed)
		check.Equal(t, fault.Flatten(err)[0].Field, "externalId", "the address of one and the external ID of the other")
		same := membership.Edit{Email: &other.Email, Update: user.Update{ExternalID: new("7"), LastName: new("Back")}}
		p, isNew, err := w.Memberships.Enroll(t.Context(), w.robot, same)
		check.Equal(t, w.stateOf(t, p, isNew, err), "active", "the address and the external ID of one user")
		check.Equal(t, []string{p.ID.String(), p.LastName}, []string{other.ID.String(), "Back"}, "the user")
	})
}
