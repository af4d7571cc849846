package membership_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/membership"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/world"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// at is the time in all tests.
var at = world.Noon

// tenant is an account with users in a database.
type tenant struct {
	dbtest.World
	*world.Services

	// owner is a session of the account's owner. robot is a token with every
	// account scope.
	owner, robot *auth.Principal
}

// eachTenant runs test on each database with an account that has an owner, a store
// with its own owner, another store, and three users in both stores.
func eachTenant(t *testing.T, test func(t *testing.T, w *tenant)) {
	t.Helper()
	world.Each(t, world.Options{}, func(t *testing.T, s *world.Services) { test(t, newTenant(t, s)) })
}

func newTenant(t *testing.T, s *world.Services) *tenant {
	t.Helper()
	w := &tenant{Services: s, World: dbtest.Seed{Stores: 2, StoreOwner: true, Users: 3, MembersPerStore: 3}.Make(t,
		s.DB)}
	w.owner = w.as(w.Owner)
	var names []string
	for _, r := range scope.Default().Resources(scope.LevelAccount, nil) {
		for _, p := range r.Permissions {
			names = append(names, p.Scope)
		}
	}
	w.robot = &auth.Principal{NoCredential: "a test", Kind: auth.APIToken, ID: uuid.New(), Name: "HR",
		AccountID: w.Account.ID, Scopes: scope.NewSet(names...)}
	return w
}

// as returns a session of a user who may issue tokens.
func (w *tenant) as(u user.User) *auth.Principal {
	return world.Session(w.World, u, auth.Principal{AccountOwner: true,
		Scopes: scope.NewSet(scope.AccountRead, scope.AccountUsersWrite)})
}

// holding returns a token with only these scopes.
func (w *tenant) holding(scopes ...string) *auth.Principal {
	return &auth.Principal{NoCredential: "a test", Kind: auth.APIToken, ID: uuid.New(), Name: "Some",
		AccountID: w.Account.ID, Scopes: scope.NewSet(scopes...)}
}

// issue issues an account-level token as the user.
func (w *tenant) issue(t *testing.T, as user.User, name string) token.Token {
	t.Helper()
	issued, err := w.Tokens.Create(t.Context(), w.as(as),
		token.Request{Owner: token.AccountOwner(w.Account), Name: name, Scopes: []string{scope.AccountRead}})
	if err != nil {
		t.Fatal(err)
	}
	return issued.Token
}

// provision runs a request and fails the test if it returns an error.
func (w *tenant) provision(t *testing.T, by *auth.Principal, req membership.ProvisionRequest) membership.Report {
	t.Helper()
	r, err := w.Memberships.Provision(t.Context(), by, req)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// format formats a report, one line per item.
func format(r membership.Report) string {
	var lines []string
	for _, item := range r.Items {
		line := string(item.Action) + " " + item.Email
		if item.Fault != nil {
			line += " " + item.Fault.Field + " " + string(item.Fault.Kind)
		}
		for _, c := range item.Changes {
			line += fmt.Sprintf(" %s:%s>%s", c.Field, text(c.Before), text(c.After))
		}
		for _, t := range item.Review {
			line += " [" + t.Name + "]"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func text(s *string) string {
	if s == nil {
		return "-"
	}
	return *s
}

// emails returns the addresses of all users of the account, sorted.
func (w *tenant) emails(t *testing.T) []string {
	t.Helper()
	var all []string
	for after := (*uuid.UUID)(nil); ; {
		p, err := w.DB.Users().Users(t.Context(), w.Account.ID, user.Filter{}, paging.Window{Size: 250, After: after})
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range p.Items {
			all = append(all, item.Node.Email)
		}
		if !p.HasNext {
			return slices.Sorted(slices.Values(all))
		}
		after = &p.Items[len(p.Items)-1].Key
	}
}

func wantText(t *testing.T, what, got, want string) {
	t.Helper()
	check.Equal(t, got, want, "%s", what)
}

func ref(s account.Store) account.StoreRef { return account.StoreRef{Hash: s.Hash} }
