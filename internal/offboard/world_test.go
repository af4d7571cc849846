package offboard_test

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/dbtest"
	"latchkey/internal/gormdb"
	"latchkey/internal/offboard"
	"latchkey/internal/page"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// at is when everything happens.
var at = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// world is an account with people in it, over one database.
type world struct {
	dbtest.World

	url      string
	db       *gormdb.DB
	keys     *secret.Keyring
	tokens   *token.Service
	offboard *offboard.Service
	// owner is a session of the account's owner, robot a token with every scope
	// of an account.
	owner, robot *auth.Principal
}

// eachWorld runs test on each database, in an account of an owner, a store with an owner of its own, another store, and
// three people who are in both.
func eachWorld(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.EachURL(t, func(t *testing.T, url string) { test(t, newWorld(t, url)) })
}

func newWorld(t *testing.T, url string) *world {
	t.Helper()
	keys, err := secret.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{url: url, db: dbtest.Open(t, url), keys: keys}
	w.World = dbtest.Seed{Stores: 2, StoreOwner: true, Users: 3, MembersPerStore: 3}.Make(t, w.db)
	policy := token.Policy{Catalogue: scope.Default(), MaxLive: map[scope.Level]int{scope.LevelAccount: 50, scope.LevelStore: 50}}
	now := func() time.Time { return at }
	w.tokens = token.NewService(w.db.Tokens(), policy, keys, rand.Reader, now)
	w.offboard = offboard.NewService(w.db.Offboard(), now)
	w.owner = w.as(w.Owner)
	var names []string
	for _, r := range scope.Default().Resources(scope.LevelAccount, nil) {
		for _, p := range r.Permissions {
			names = append(names, p.Scope)
		}
	}
	w.robot = &auth.Principal{NoCredential: "a test", Kind: auth.APIToken, ID: uuid.New(), Name: "HR", AccountID: w.Account.ID, Scopes: scope.NewSet(names...)}
	return w
}

// as is a session of somebody who may issue tokens.
func (w *world) as(u user.User) *auth.Principal {
	return &auth.Principal{NoCredential: "a test", Kind: auth.Session, ID: u.ID, Name: u.Email, AccountID: w.Account.ID, AccountOwner: true, Scopes: scope.NewSet(scope.AccountRead, scope.AccountUsersWrite)}
}

// holding is a token with just those scopes.
func (w *world) holding(scopes ...string) *auth.Principal {
	return &auth.Principal{NoCredential: "a test", Kind: auth.APIToken, ID: uuid.New(), Name: "Some", AccountID: w.Account.ID, Scopes: scope.NewSet(scopes...)}
}

// issue makes a token of the account's as somebody.
func (w *world) issue(t *testing.T, as user.User, name string) token.Token {
	t.Helper()
	issued, err := w.tokens.Create(t.Context(), w.as(as), token.Request{Owner: token.AccountOwner(w.Account), Name: name, Scopes: []string{scope.AccountRead}})
	if err != nil {
		t.Fatal(err)
	}
	return issued.Token
}

// provision runs a request that is not refused.
func (w *world) provision(t *testing.T, by *auth.Principal, req user.ProvisionRequest) offboard.Report {
	t.Helper()
	r, err := w.offboard.Provision(t.Context(), by, req)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// told is what a report says, a line an item.
func told(r offboard.Report) string {
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

// emails are the addresses of everybody in the account, sorted.
func (w *world) emails(t *testing.T) []string {
	t.Helper()
	var all []string
	for after := (*uuid.UUID)(nil); ; {
		p, err := w.db.Users().Users(t.Context(), w.Account.ID, user.Filter{}, page.Window{Size: 250, After: after})
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
	if got != want {
		t.Errorf("%s:\n%s\nwant\n%s", what, got, want)
	}
}

func ref(s account.Store) account.StoreRef { return account.StoreRef{Hash: s.Hash} }

// random is where secrets are drawn from.
var random = rand.Reader
