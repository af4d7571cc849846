package apitest_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/eventsource"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
	"latchkey/internal/user"
	"latchkey/internal/webhook"
)

// tenants is an API with two accounts: home, which the tests ask about, and away, of which nothing may ever be seen
// there.
type tenants struct {
	*api

	home, away dbtest.World
	// names stand for what differs from run to run: "<store0>" for a store's id, "<store0.hash>" for its hash.
	names map[string]string

	// owner and storeOwner are sessions: of the account's owner and of the owner of its first store.
	owner, storeOwner *auth.Principal
	// robot is an account-level token that holds every scope that the owner can grant.
	robot *auth.Principal
}

// scenario is a query and its answer, in which names stand for what differs from run to run.
type scenario struct {
	name      string
	by        *auth.Principal
	query     string
	variables map[string]any
	// data is the data in full; not looked at if empty.
	data string
	// has and lacks are pieces of the answer's text.
	has, lacks []string
	// errors are all of them, as failure.String has them.
	errors []string
}

// eachTenants runs test on each database, in a world of:
//   - home, with automated billing: an owner; store0 with an owner of its own, store1 and store2; three users, two of
//     whom belong to each store; two apps, installed in every store;
//   - away: an owner, a store, a person, an app.
func eachTenants(t *testing.T, test func(t *testing.T, w *tenants)) {
	t.Helper()
	eachAPI(t, func(t *testing.T, a *api) { test(t, newTenants(t, a)) })
}

func newTenants(t *testing.T, a *api) *tenants {
	t.Helper()
	w := &tenants{api: a, names: map[string]string{}}
	w.home = dbtest.Seed{
		Features: []scope.Feature{scope.FeatureAutomatedBilling}, Stores: 3, StoreOwner: true, Users: 3,
		MembersPerStore: 2, Apps: 2,
	}.Make(t, a.DB)
	w.away = dbtest.Seed{Users: 1, MembersPerStore: 1, Apps: 1}.Make(t, a.DB)
	w.nameAll("", w.home)
	w.nameAll("away.", w.away)
	w.owner = w.session(t, w.home, w.home.Owner)
	w.storeOwner = w.session(t, w.home, w.home.StoreOwner)
	w.robot = w.verified(t, w.issue(t, w.owner, w.home, request{name: "Robot", scopes: everyScope()}))
	return w
}

// everyScope is every scope there is for a token of an account with every feature.
func everyScope() []string {
	var names []string
	for _, r := range scope.Default().Resources(scope.LevelAccount, []scope.Feature{scope.FeatureAutomatedBilling}) {
		for _, p := range r.Permissions {
			names = append(names, p.Scope)
		}
	}
	return names
}

// nameAll names what is in an account.
func (w *tenants) nameAll(prefix string, in dbtest.World) {
	name := func(key, value string) { w.names["<"+prefix+key+">"] = value }
	id := func(key, kind string, value any) { name(key, fmt.Sprintf("bc/account/%s/%v", kind, value)) }
	id("account", "account", in.Account.ID)
	name("account.uuid", in.Account.ID.String())
	name("account.name", in.Account.Name)
	for i, s := range in.Stores {
		key := fmt.Sprintf("store%d", i)
		id(key, "store", s.ID)
		name(key+".uuid", s.ID.String())
		name(key+".hash", s.Hash)
	}
	person := func(key string, u user.User) {
		id(key, "user", u.ID)
		name(key+".uuid", u.ID.String())
		name(key+".email", u.Email)
	}
	person("owner", in.Owner)
	if in.StoreOwner.ID != uuid.Nil {
		person("storeOwner", in.StoreOwner)
	}
	for _, u := range in.Users {
		if role, _, _ := strings.Cut(u.Email, "@"); strings.HasPrefix(role, "user") {
			person(role, u)
		}
	}
	for i, a := range in.Apps {
		key := fmt.Sprintf("app%d", i)
		id(key, "app", a.ID)
		name(key+".number", fmt.Sprint(a.ID))
	}
}

// fill puts what names stand for in their places.
func (w *tenants) fill(text string) string {
	pairs := make([]string, 0, 2*len(w.names))
	for name, value := range w.names {
		pairs = append(pairs, name, value)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// run asks what each scenario asks and compares the answers.
func (w *tenants) run(t *testing.T, scenarios []scenario) {
	t.Helper()
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) { w.check(t, s) })
	}
}

func (w *tenants) check(t *testing.T, s scenario) {
	t.Helper()
	got := w.ask(t, w.home.Account.ID, s.by, w.fill(s.query), w.fillAll(s.variables))
	if s.data != "" {
		check.Equal(t, got.data, compact(t, []byte(w.fill(s.data))), "data")
	}
	for _, piece := range s.has {
		if !strings.Contains(got.text, w.fill(piece)) {
			t.Errorf("response: got %s, want %q in it", got.text, w.fill(piece))
		}
	}
	for _, piece := range s.lacks {
		if strings.Contains(got.text, w.fill(piece)) {
			t.Errorf("response: got %s, want it without %q", got.text, w.fill(piece))
		}
	}
	want := make([]string, len(s.errors))
	for i, line := range s.errors {
		want[i] = w.fill(line)
	}
	slices.Sort(want)
	if failures := got.failures(); !slices.Equal(failures, want) {
		t.Errorf("errors\n%s, want\n%s", strings.Join(failures, "\n"), strings.Join(want, "\n"))
	}
}

// fillAll fills the strings of variables.
func (w *tenants) fillAll(variables map[string]any) map[string]any {
	filled := make(map[string]any, len(variables))
	for name, value := range variables {
		filled[name] = w.fillValue(value)
	}
	return filled
}

func (w *tenants) fillValue(value any) any {
	switch v := value.(type) {
	case string:
		return w.fill(v)
	case []string:
		list := make([]string, len(v))
		for i, text := range v {
			list[i] = w.fill(text)
		}
		return list
	case []any:
		list := make([]any, len(v))
		for i, element := range v {
			list[i] = w.fillValue(element)
		}
		return list
	case map[string]any:
		return w.fillAll(v)
	default:
		return value
	}
}

// session starts a session of the person and returns it as the verifier has it.
func (w *tenants) session(t *testing.T, in dbtest.World, of user.User) *auth.Principal {
	t.Helper()
	operator := auth.OperatorPrincipal()
	_, value, err := w.Users.StartSession(t.Context(), &operator,
		user.SessionRequest{Email: of.Email, AccountID: in.Account.ID, TTL: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return w.verify(t, value.Reveal())
}

// verify returns the principal of a secret that must work.
func (w *tenants) verify(t *testing.T, presented string) *auth.Principal {
	t.Helper()
	by, err := w.Verifier.Principal(t.Context(), presented, auth.Origin{IP: peer})
	if err != nil {
		t.Fatal(err)
	}
	return by
}

func (w *tenants) verified(t *testing.T, issued token.Issued) *auth.Principal {
	t.Helper()
	return w.verify(t, issued.AccessToken.Reveal())
}

// eventSource creates an event source of an app, and names its id and that of its webhook by its name.
func (w *tenants) eventSource(t *testing.T, app int, name string) (id string) {
	t.Helper()
	s, err := w.sources.Create(t.Context(), w.owner, eventsource.Request{AppID: w.home.Apps[app].ID,
		AWSAccount: "123456789012", Name: name, Region: "US_EAST_1"})
	if err != nil {
		t.Fatal(err)
	}
	id = "bc/account/eventSource/" + s.ID.String()
	w.names["<"+name+">"], w.names["<"+name+".webhook>"] = id, "bc/account/webhook/"+s.ID.String()
	return id
}

// request is a token to issue.
type request struct {
	name   string
	scopes []string
	// store is the store of a store-level token.
	store   *account.Store
	expires time.Duration
	ranges  []string
	// limit is the charge limit in dollars, or empty.
	limit string
}

// issue issues a token by the service, and names its id by the name it is given.
func (w *tenants) issue(t *testing.T, by *auth.Principal, in dbtest.World, r request) token.Issued {
	t.Helper()
	req := token.Request{Owner: token.AccountOwner(in.Account), Name: r.name, Scopes: r.scopes,
		AllowedIPRanges: r.ranges}
	if r.store != nil {
		owner, err := token.StoreOwner(in.Account, *r.store)
		if err != nil {
			t.Fatal(err)
		}
		req.Owner = owner
	}
	if r.limit != "" {
		req.ChargeLimit = &token.Amount{Value: r.limit, Currency: "USD"}
	}
	if r.expires != 0 {
		req.ExpiresAt = w.Clock.Now().Add(r.expires)
	}
	issued, err := w.Tokens.Create(t.Context(), by, req)
	if err != nil {
		t.Fatal(err)
	}
	w.names["<"+r.name+">"] = "bc/account/apiToken/" + issued.Token.ID.String()
	w.names["<"+r.name+".uuid>"] = issued.Token.ID.String()
	w.names["<"+r.name+".client>"] = issued.Token.ClientID
	w.names["<"+r.name+".hint>"] = issued.AccessToken.Hint()
	return issued
}

// hook creates a webhook by the service, and names its id by the name.
func (w *tenants) hook(t *testing.T, by *auth.Principal, name string, types ...string) webhook.Created {
	t.Helper()
	created, err := w.Webhooks.Create(t.Context(), by,
		webhook.Request{URL: "https://hooks.example/" + url.PathEscape(name), Types: types})
	if err != nil {
		t.Fatal(err)
	}
	w.names["<"+name+">"] = "bc/account/webhook/" + created.Webhook.ID.String()
	w.names["<"+name+".uuid>"] = created.Webhook.ID.String()
	w.names["<"+name+".hint>"] = created.Secret.Hint()
	return created
}

// use keeps that a token was used a while ago.
func (w *tenants) use(t *testing.T, of token.Issued, ago time.Duration) {
	t.Helper()
	err := w.DB.Uses().SaveUses(t.Context(), []access.Use{{
		AccountID: of.Token.AccountID, TokenID: of.Token.ID, At: w.Clock.Now().Add(-ago), IP: peer,
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// revoke revokes tokens by the service.
func (w *tenants) revoke(t *testing.T, by *auth.Principal, reason string, tokens ...token.Issued) {
	t.Helper()
	req := token.RevokeRequest{Reason: reason}
	for _, each := range tokens {
		req.IDs = append(req.IDs, each.Token.ID)
	}
	if _, err := w.Tokens.Revoke(t.Context(), by, req); err != nil {
		t.Fatal(err)
	}
}

// holding is the robot with only these scopes, and none that they include.
func (w *tenants) holding(scopes ...string) *auth.Principal {
	by := *w.robot
	by.Scopes = scope.NewSet(scopes...)
	return &by
}
