package promises_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// tenants is two tenants with every kind of credential.
type tenants struct {
	*node

	sessions         map[string]string // by owner
	acme, globex     issued            // account-level tokens with every scope
	acmeUS, acmeEU   issued            // store-level tokens
	globexStoreToken issued
}

// everything lists the scopes of the whole Account API.
var everything = []string{"account_read", "account_apps_read", "account_stores_read", "account_users_read",
	"account_api_tokens_write", "account_audit_read", "store_cart"}

func (h *deployment) tenants() tenants {
	w := tenants{node: h.serve(), sessions: map[string]string{}}
	for _, owner := range []string{acmeOwner, shopOwner, globexOwner} {
		w.sessions[owner] = h.session(owner)
	}
	w.acme = w.issue(w.sessions[acmeOwner], acme, vars{"name": "Acme's token", "scopes": everything})
	w.globex = w.issue(w.sessions[globexOwner], globex, vars{"name": "Globex's token", "scopes": everything})
	store := func(owner, account, hash string) issued {
		return w.issue(w.sessions[owner], account,
			vars{"name": "Token of " + hash, "scopes": []string{"store_v2_orders"}, "storeId": hash})
	}
	w.acmeUS, w.acmeEU = store(acmeOwner, acme, "acme1us"), store(shopOwner, acme, "acme2eu")
	w.globexStoreToken = store(globexOwner, globex, "globex1")
	return w
}

// A credential works for its own account's API only; a store-level token works for none. The response is the same as
// for a missing scope, and nothing is changed (docs/promises.md: 4).
func TestCredentialWorksOnlyInItsAccount(t *testing.T) {
	eachDeployment(t, func(t *testing.T, h *deployment) {
		w := h.tenants()
		before := dumpRows(t, h)
		for name, tc := range map[string]struct{ token, account string }{
			"another account's owner":             {w.sessions[globexOwner], acme},
			"another account's token":             {w.globex.access, acme},
			"another account's store-level token": {w.globexStoreToken.access, acme},
			"a store-level token in its account":  {w.acmeUS.access, acme},
			"an owner at another account":         {w.sessions[acmeOwner], globex},
			"a store's owner at another account":  {w.sessions[shopOwner], globex},
			"an unknown account":                  {w.acme.access, "0b2c1a6e-6a7e-4f4e-9c1f-000000000000"},
			"an account that is not a UUID":       {w.acme.access, "acme"},
			"a UUID without hyphens":              {w.acme.access, strings.ReplaceAll(acme, "-", "")},
		} {
			t.Run(name, func(t *testing.T) {
				for _, query := range []string{
					"{ account { id accountInfo { name } } }", "{ viewer { kind scopes } }", "{ system { time } }",
					`{ node(id: "bc/account/account/` + acme + `") { id } }`,
					`{ nodes(ids: ["bc/account/store/acme1us"]) { id } }`,
				} {
					wantDenied(t, query, w.ask(tc.token, tc.account, query, nil))
				}
				for _, v := range []vars{{"name": "Trojan horse", "scopes": []string{"account_read"}},
					{"name": "Trojan horse", "scopes": []string{"store_cart"}, "storeId": "acme1us"}} {
					wantDenied(t, "create", w.ask(tc.token, tc.account, create, vars{"in": v}))
				}
				wantDenied(t, "revoke", w.ask(tc.token, tc.account, revoke,
					vars{"in": vars{"ids": []string{w.acme.id}}}))
			})
		}
		wantUnchanged(t, h, before)
	})
}

func wantDenied(t *testing.T, what string, a answer) {
	t.Helper()
	if a.status != http.StatusOK || len(a.Errors) == 0 {
		t.Fatalf("%s: got status %d: %s, want 200 with errors", what, a.status, a.body)
	}
	for _, e := range a.Errors {
		if e.Extensions.Code != "FORBIDDEN" || e.Message != "You do not have permission to do this operation." {
			t.Errorf("%s: got %s: %s, want FORBIDDEN: You do not have permission to do this operation.", what,
				e.Extensions.Code, e.Message)
		}
	}
	for _, secret := range []string{"Acme Retail", "acme1us", "Globex", "kind", "time\":"} {
		if data, _, _ := strings.Cut(a.body, "\n"); strings.Contains(strings.SplitN(data, `"data"`,
			2)[min(1, strings.Count(data, `"data"`))], secret) {
			t.Errorf("%s: the data contains %q, want none of the account: %s", what, secret, data)
		}
	}
}

// dumpRows returns the rows of the database, except for those that servers write on their own schedule.
func dumpRows(t *testing.T, h *deployment) string {
	t.Helper()
	lines := slices.Collect(strings.Lines(dbtest.Dump(t, h.url)))
	return strings.Join(slices.DeleteFunc(lines, dbtest.OfServers), "")
}

func wantUnchanged(t *testing.T, h *deployment, before string) {
	t.Helper()
	check.Equal(t, dumpRows(t, h), before, "the database changed")
}

// Within an account, objects of another account cannot be found, by any ID, to read or to change.
func TestObjectsOfAnotherAccountAreNotFound(t *testing.T) {
	eachDeployment(t, func(t *testing.T, h *deployment) {
		w := h.tenants()
		foreign := w.must(w.globex.access, globex,
			"{ account { id stores { edges { node { id } } } users { edges { node { id } } } apps { edges { node { id } } } } }", nil)
		var ids []string
		for _, kind := range []string{"account", "store", "user", "app"} {
			_, rest, found := strings.Cut(foreign.body, "bc/account/"+kind+"/")
			key, _, _ := strings.Cut(rest, `"`)
			if !found || key == "" {
				t.Fatalf("got no ID of a %s in %s, want one", kind, foreign.body)
			}
			ids = append(ids, "bc/account/"+kind+"/"+key)
		}
		ids = append(ids, "bc/account/store/globex1", w.globex.id, w.globexStoreToken.id)
		before := dumpRows(t, h)
		outsiders := map[string]string{"the account's owner": w.sessions[acmeOwner],
			"a token with every scope": w.acme.access}
		for name, token := range outsiders {
			t.Run(name, func(t *testing.T) {
				for _, id := range ids {
					wantNotFound(t, id, w.ask(token, acme, "query($id: ID!) { node(id: $id) { id } }", vars{"id": id}))
					wantNotFound(t, id, w.ask(token, acme, "query($id: ID!) { account { apiToken(id: $id) { id } } }",
						vars{"id": id}))
					wantNotFound(t, id, w.ask(token, acme, update, vars{"in": vars{"id": id, "name": "Mine now"}}))
					wantNotFound(t, id, w.ask(token, acme, rotate, vars{"in": vars{"id": id}}))
					wantNotFound(t, id, w.ask(token, acme, revoke, vars{"in": vars{"ids": []string{id, w.acmeUS.id}}}))
					wantNotFound(t, id, w.ask(token, acme, create,
						vars{"in": vars{"name": "Trojan horse", "scopes": []string{"store_cart"}, "storeId": id}}))
				}
				a := w.must(token, acme,
					`{ account { stores(filter: {storeHashes: ["globex1"]}) { edges { node { id } } } } }`, nil)
				if strings.Contains(a.body, "bc/account/store") {
					t.Errorf("stores by another account's hash: got %s, want none", a.body)
				}
			})
		}
		t.Run("a store's owner", func(t *testing.T) {
			token := w.sessions[shopOwner]
			for _, id := range []string{w.acme.id, w.acmeUS.id, w.globexStoreToken.id} {
				wantNotFound(t, id, w.ask(token, acme, "query($id: ID!) { account { apiToken(id: $id) { id } } }",
					vars{"id": id}))
				wantNotFound(t, id, w.ask(token, acme, update, vars{"in": vars{"id": id, "name": "Mine now"}}))
				wantNotFound(t, id, w.ask(token, acme, rotate, vars{"in": vars{"id": id}}))
				wantNotFound(t, id, w.ask(token, acme, revoke, vars{"in": vars{"ids": []string{id, w.acmeEU.id}}}))
			}
			wantNotFound(t, "acme1us", w.ask(token, acme, create,
				vars{"in": vars{"name": "Trojan horse", "scopes": []string{"store_cart"}, "storeId": "acme1us"}}))
			a := w.ask(token, acme, create, vars{"in": vars{"name": "Trojan horse", "scopes": []string{"store_cart"}}})
			wantDenied(t, "an account-level token", a)
		})
		wantUnchanged(t, h, before)
	})
}

func wantNotFound(t *testing.T, id string, a answer) {
	t.Helper()
	codes := a.codes()
	notFound := len(codes) > 0 && !slices.ContainsFunc(codes,
		func(c string) bool { return c != "NOT_FOUND" && c != "INVALID" })
	if a.status != http.StatusOK || !notFound || strings.Contains(a.body, "Globex") {
		t.Errorf("%s: got status %d: %s, want 200 with NOT_FOUND or INVALID only", id, a.status, a.body)
	}
}

// A token that may issue tokens cannot issue one with more rights than its own, or get one by rotating.
func TestNoTokenIssuesMoreRightsThanItsOwn(t *testing.T) {
	eachDeployment(t, func(t *testing.T, h *deployment) {
		w := h.tenants()
		owner := w.sessions[acmeOwner]
		end := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
		limited := w.issue(owner, acme, vars{"name": "Provisioning",
			"scopes":    []string{"account_api_tokens_write", "account_users_read", "store_cart_read_only"},
			"expiresAt": end, "allowedIpRanges": []string{"127.0.0.0/8"}})
		before := dumpRows(t, h)
		valid := vars{"name": "Made by a token", "scopes": []string{"account_users_read", "store_cart_read_only"},
			"expiresAt": end, "allowedIpRanges": []string{"127.0.0.1"}}
		for name, change := range map[string]vars{
			"a scope it does not hold":     {"scopes": []string{"account_read"}},
			"modify instead of read-only":  {"scopes": []string{"account_users_write"}},
			"the right to issue":           {"scopes": []string{"account_api_tokens_write"}},
			"a store scope, for one store": {"scopes": []string{"store_cart"}, "storeId": "acme1us"},
			"no expiration":                {"expiresAt": nil},
			"a later expiration":           {"expiresAt": end.Add(time.Second)},
			"every address":                {"allowedIpRanges": []string{}},
			"another address":              {"allowedIpRanges": []string{"127.0.0.1", "192.0.2.1"}},
		} {
			t.Run(name, func(t *testing.T) {
				in := maps.Clone(valid)
				maps.Copy(in, change)
				wantCodes(t, w.ask(limited.access, acme, create, vars{"in": in}), "FORBIDDEN")
			})
		}
		for name, id := range map[string]string{"with more rights": w.acme.id, "of a store": w.acmeUS.id} {
			t.Run("rotating one "+name, func(t *testing.T) {
				a := w.ask(limited.access, acme, rotate, vars{"in": vars{"id": id}})
				if len(a.Errors) == 0 || slices.ContainsFunc(a.codes(),
					func(c string) bool { return c != "FORBIDDEN" }) {
					t.Errorf("rotating a token %s: got %s, want FORBIDDEN only", name, a.body)
				}
			})
		}
		for name, wider := range map[string]vars{"more scopes": {"scopes": everything},
			"a later expiration": {"expiresAt": end.Add(time.Hour)}, "no expiration": {"expiresAt": nil},
			"every address": {"allowedIpRanges": []string{}}} {
			t.Run("updating itself to "+name, func(t *testing.T) {
				in := maps.Clone(wider)
				in["id"] = limited.id
				a := w.ask(limited.access, acme, update, vars{"in": in})
				if len(a.Errors) == 0 || slices.ContainsFunc(a.codes(), func(c string) bool { return c != "INVALID" }) {
					t.Errorf("updating itself to %s: got %s, want INVALID only", name, a.body)
				}
			})
		}
		wantUnchanged(t, h, before)
		t.Run("one with the same rights", func(t *testing.T) {
			made := w.issue(limited.access, acme, valid)
			if !w.works(made.access, acme) {
				t.Error("a token with the same rights: got it refused, want it accepted")
			}
			wantCodes(t, w.ask(made.access, acme, create, vars{"in": valid}), "FORBIDDEN")
		})
		t.Run("rotating itself to outlive its expiration", func(t *testing.T) {
			w.must(owner, acme, rotate, vars{"in": vars{"id": limited.id, "overlapSeconds": 60}})
			wantCodes(t, w.ask(limited.access, acme, rotate, vars{"in": vars{"id": limited.id}}), "FORBIDDEN")
		})
	})
}

func wantCodes(t *testing.T, a answer, want ...string) {
	t.Helper()
	check.Equal(t, a.codes(), want, "errors %q: %s", fmt.Sprint(a.codes()), a.body)
}
