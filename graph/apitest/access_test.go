package apitest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2/ast"

	"latchkey/internal/auth"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// guarded is a field that needs scopes, with a way to it.
type guarded struct {
	route

	scopes []string
}

// guardedFields are the fields of the schema that need scopes, each by the way through the account and, where there is
// one, by the way through Query.node. Where a field can be reached without what it needs itself, it is.
func guardedFields() []guarded {
	var all []guarded
	for _, def := range objects() {
		for _, f := range fieldsOf(def) {
			target := step{parent: def, field: f}
			scopes, _ := target.requires()
			if len(scopes) == 0 {
				continue
			}
			needsThem := func(s step) bool {
				needed, _ := s.requires()
				return s.name() != target.name() &&
					slices.ContainsFunc(needed, func(n string) bool { return slices.Contains(scopes, n) })
			}
			root := schema.Query
			if isMutation(target) || routeTo(root, target, leadsNowhere) == nil {
				root = schema.Mutation
			}
			way := routeTo(root, target, func(s step) bool { return leadsNowhere(s) || needsThem(s) })
			if way == nil {
				way = routeTo(root, target, leadsNowhere)
			}
			all = append(all, guarded{way, scopes})
			if direct := routeTo(schema.Query, target,
				func(s step) bool { return s.parent == schema.Query && s.field.Name != "node" }); len(direct) == 2 {
				all = append(all, guarded{direct, scopes})
			}
		}
	}
	return all
}

// leadsNowhere avoids ids, which have a way of their own, and the token of the request, which is in no store.
func leadsNowhere(s step) bool { return throughNode(s) || s.name() == "Viewer.apiToken" }

// given are arguments for the steps on the way to guarded fields: objects that are there.
func (w *tenants) given(s step) string {
	switch {
	case s.name() == "Account.apiToken":
		return w.fill(`id: "<Till>"`)
	case s.name() == "Account.webhook":
		return w.fill(`id: "<Hook>"`)
	case s.name() == "Account.checkout":
		return w.fill(`id: "<Checkout>"`)
	case s.name() == "Account.stores":
		return w.fill(`filter: {ids: ["<store0>"]}`) // the one that has an owner of its own
	case s.as == nil:
		return ""
	}
	ids := map[string]string{
		"Account": "<account>", "Store": "<store0>", "App": "<app0>", "User": "<user0>", "ApiToken": "<Till>",
		"Webhook": "<Hook>", "Event": "<Event>",
		"Checkout": "<Checkout>", "Subscription": "<Subscription>", "Charge": "<Charge>", "Invoice": "<Invoice>",
	}
	return w.fill(`id: "` + ids[s.as.Name] + `"`)
}

// forbidden are the failures that refuse.
func forbidden(a answer) []string {
	return slices.DeleteFunc(a.failures(), func(f string) bool { return !strings.Contains(f, ": FORBIDDEN") })
}

// without are the scopes but one.
func without(scopes []string, lacking string) []string {
	return slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return s == lacking })
}

// refusalAt is the failure of a route whose step denies the principal, in the form of failure.String.
func refusalAt(r route, i int, scopes ...string) string {
	at := r.pathTo(i) + ": FORBIDDEN"
	if r[i].as != nil {
		at += " id"
	}
	return at + " [" + strings.Join(scopes, " ") + "]"
}

// refusal is the failure of a route whose steps deny the principal for missing scopes: that of the first step. A
// mutation refuses for all that is selected of its result, before it has an effect.
func (r route) refusal(refuses func(step) []string) []string {
	at := r.first(func(s step) bool { return len(refuses(s)) > 0 })
	if at < 0 {
		return nil
	}
	scopes := refuses(r[at])
	if mutation := r.first(isMutation); mutation >= 0 && at >= mutation {
		scopes = nil
		for _, s := range r[mutation:] {
			scopes = append(scopes, refuses(s)...)
		}
		at = mutation
	}
	return []string{refusalAt(r, at, slices.Compact(slices.Sorted(slices.Values(scopes)))...)}
}

// A field is refused for want of each scope that it needs, just it and just for that, and is returned to a principal
// that holds only what it needs.
func TestEveryFieldNeedsItsScopes(t *testing.T) {
	fields := guardedFields()
	if len(fields) < 40 {
		t.Fatalf("fields that need scopes: got %d, want at least 40", len(fields))
	}
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.keep(t)
		for _, f := range fields {
			t.Run(f.String(), func(t *testing.T) {
				query := f.query(1, w.given)
				for _, lacking := range f.scopes {
					refuses := func(s step) []string {
						if needed, _ := s.requires(); slices.Contains(needed, lacking) {
							return []string{lacking}
						}
						return nil
					}
					got := w.ask(t, w.home.Account.ID, w.holding(without(everyScope(), lacking)...), query, nil)
					check.Equal(t, got.failures(), f.refusal(refuses), "without %s, of %s", lacking, query)
				}
				got := w.ask(t, w.home.Account.ID, w.holding(f.needs()...), query, nil)
				for _, failure := range got.failures() {
					if f.route[0].parent == schema.Query || strings.Contains(failure, "FORBIDDEN") {
						t.Errorf("with %q: got %s, want no refusal, of %s", f.needs(), failure, query)
					}
				}
			})
		}
	})
}

// Who may do nothing in their store is refused by the first step that needs something; a store's owner by the first
// that is not theirs.
func TestSessionsReachWhatIsTheirs(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.keep(t)
		nobody := &auth.Principal{NoCredential: "a test", Kind: auth.Session, ID: w.home.Users[3].ID,
			AccountID: w.home.Account.ID, Scopes: scope.NewSet(),
			Places: []auth.Place{{StoreID: w.home.Stores[0].ID}}}
		for _, f := range guardedFields() {
			query := f.query(1, w.given)
			got := forbidden(w.ask(t, w.home.Account.ID, nobody, query, nil))
			want := f.refusal(func(s step) []string {
				if s.open() {
					return nil
				}
				scopes, _ := s.requires()
				return scopes
			})
			check.Equal(t, got, want, "unauthenticated, of %s", query)
			if f.String() == "apiToken.createApiToken" {
				// Depends on the input: a store's owner may create tokens for the store, and here none is named.
				continue
			}
			want = f.refusal(func(s step) []string {
				scopes, ownStore := s.requires()
				if ownStore {
					return nil
				}
				return scopes
			})
			check.Equal(t, forbidden(w.ask(t, w.home.Account.ID, w.storeOwner, query, nil)), want,
				"a store's owner, of %s", query)
		}
	})
}

// A principal of another account gets the error of a missing scope, without the scope.
func TestStrangers(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.keep(t)
		away := w.session(t, w.away, w.away.Owner)
		till := w.verified(t, w.issue(t, w.owner, w.home,
			request{name: "Drawer", scopes: []string{"store_cart"}, store: &w.home.Stores[0]}))
		strangers := []struct {
			name string
			by   *auth.Principal
			at   uuid.UUID
		}{
			{"another account's owner", away, w.home.Account.ID},
			{"another account's token", w.robot, w.away.Account.ID},
			{"a store-level token", till, w.home.Account.ID},
			{"an account that is not there", w.robot, uuid.New()},
		}
		for _, stranger := range strangers {
			t.Run(stranger.name, func(t *testing.T) {
				before := dbtest.Dump(t, w.URL)
				for _, root := range []*ast.Definition{schema.Query, schema.Mutation} {
					for _, f := range fieldsOf(root) {
						r := route{{parent: root, field: f}}
						query := r.query(1, w.given)
						got := w.ask(t, stranger.at, stranger.by, query, nil)
						if want := []string{f.Name + ": FORBIDDEN"}; !slices.Equal(got.failures(), want) ||
							got.errors[0].Message != refusal || strings.Contains(got.data, "bc/") {
							t.Errorf("%s: got %s, want %q and no data", query, got.text, want)
						}
					}
				}
				if got := w.ask(t, stranger.at, stranger.by, `{ __typename __type(name: "Store") { name } }`,
					nil); got.data != `{"__typename":"Query","__type":{"name":"Store"}}` {
					t.Errorf("introspection: got %s, want the names of both types", got.text)
				}
				check.Equal(t, dbtest.Dump(t, w.URL), before, "the database")
			})
		}
	})
}
