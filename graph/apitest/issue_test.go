package apitest_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/internal/auth"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
)

// made is the result of createApiToken.
type made struct {
	APIToken    struct{ ID, Name, Level, Status string }
	Credentials struct {
		ClientID, ClientSecret, AccessToken, APIPath string
		File                                         struct{ Name, Content string }
	}
}

const createToken = `mutation($input: CreateApiTokenInput!) { apiToken { createApiToken(input: $input) {
	apiToken { id name level status } credentials { clientId clientSecret accessToken apiPath file { name content } } } } }`

// create creates a token over the API, which must succeed.
func (w *tenants) create(t *testing.T, by *auth.Principal, input map[string]any) made {
	t.Helper()
	var got struct {
		APIToken struct{ CreateAPIToken made }
	}
	w.ask(t, w.home.Account.ID, by, createToken, map[string]any{"input": w.fillAll(input)}).into(t, &got)
	return got.APIToken.CreateAPIToken
}

// works says whether a secret opens anything.
func (w *tenants) works(t *testing.T, presented string) bool {
	t.Helper()
	_, err := w.Verifier.Principal(t.Context(), presented, auth.Origin{IP: peer})
	return err == nil
}

// A created token returns all of its credentials, and they work.
func TestCreateToken(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		for _, tc := range []struct {
			name         string
			by           *auth.Principal
			storeID      any
			scopes       []string
			level        string
			prefix, path string
			holds        scope.Set
		}{
			{"on the account level", w.owner, nil, []string{"account_users_write", "store_v2_orders"}, "ACCOUNT",
				"lka_", publicURL + "/accounts/<account.uuid>/graphql",
				scope.NewSet("account_users_read", "account_users_write", "store_v2_orders",
					"store_v2_orders_read_only")},
			{"on the store level", w.owner, "<store0>", []string{"store_cart", "store_cart"}, "STORE", "lks_",
				publicURL + "/stores/<store0.hash>/v3/",
				scope.NewSet("store_cart", "store_cart_read_only")},
			{"by the store's owner", w.storeOwner, "<store0>", []string{"store_cart"}, "STORE", "lks_",
				publicURL + "/stores/<store0.hash>/v3/",
				scope.NewSet("store_cart", "store_cart_read_only")},
			{"by a token", w.robot, "<store1>", []string{"store_sites_read_only"}, "STORE", "lks_",
				publicURL + "/stores/<store1.hash>/v3/", scope.NewSet("store_sites_read_only")},
			{"for a store by its bare key", w.owner, "<store1.uuid>", []string{"store_cart"}, "STORE", "lks_",
				publicURL + "/stores/<store1.hash>/v3/",
				scope.NewSet("store_cart", "store_cart_read_only")},
			{"for a store by its hash", w.owner, "<store1.hash>", []string{"store_cart"}, "STORE", "lks_",
				publicURL + "/stores/<store1.hash>/v3/",
				scope.NewSet("store_cart", "store_cart_read_only")},
			{"for a store by an id with its hash", w.owner, "bc/account/store/<store1.hash>", []string{"store_cart"},
				"STORE", "lks_", publicURL + "/stores/<store1.hash>/v3/",
				scope.NewSet("store_cart", "store_cart_read_only")},
		} {
			t.Run(tc.name, func(t *testing.T) {
				got := w.create(t, tc.by, map[string]any{"name": " Möbel & Söhne ", "scopes": tc.scopes,
					"storeId": tc.storeID})
				c, path := got.Credentials, w.fill(tc.path)
				if got.APIToken.Name != "Möbel & Söhne" || got.APIToken.Level != tc.level ||
					got.APIToken.Status != "ACTIVE" || c.APIPath != path {
					t.Errorf("got %+v at %s, want %s", got.APIToken, c.APIPath, path)
				}
				if !strings.HasPrefix(c.AccessToken, tc.prefix) || !strings.HasPrefix(c.ClientSecret, "lkc_") ||
					c.ClientID == "" {
					t.Errorf("credentials of %s: got other prefixes, want %s and lkc_", c.ClientID, tc.prefix)
				}
				file := "ACCESS TOKEN: " + c.AccessToken + "\nCLIENT NAME: Möbel & Söhne\nAPI PATH: " + path +
					"\nCLIENT ID: " + c.ClientID + "\nCLIENT SECRET: " + c.ClientSecret + "\n"
				if c.File.Content != file || c.File.Name != "latchkey-credentials-m-bel-s-hne.txt" {
					t.Errorf("file %s: got other lines, want the credentials in latchkey-credentials-m-bel-s-hne.txt",
						c.File.Name)
				}
				by := w.verify(t, c.AccessToken)
				if !by.Scopes.Equal(tc.holds) || "bc/account/apiToken/"+by.ID.String() != got.APIToken.ID {
					t.Errorf("the access token is %s with %s, want %s", by.ID, by.Scopes, tc.holds)
				}
				if w.works(t, c.ClientSecret) || w.works(t, c.ClientID) {
					t.Error("the client's ID or secret as an access token: got it accepted, want both refused")
				}
			})
		}
	})
}

func TestCreateTokenRefuses(t *testing.T) {
	const size = "INVALID input.name: A name has 4 to 100 characters."
	eachTenants(t, func(t *testing.T, w *tenants) {
		refused := func(name string, by *auth.Principal, input map[string]any, failures ...string) scenario {
			for i := range failures {
				failures[i] = "apiToken.createApiToken: " + failures[i]
			}
			return scenario{
				name: name, by: by, query: createToken, variables: map[string]any{"input": input},
				data: `{"apiToken": {"createApiToken": null}}`, errors: failures,
				lacks: []string{"lka_", "lks_", "lkc_"},
			}
		}
		with := func(change map[string]any) map[string]any {
			input := map[string]any{"name": "Fine", "scopes": []string{"store_cart"}}
			for key, value := range change {
				input[key] = value
			}
			return input
		}
		brief := w.verified(t, w.issue(t, w.owner, w.home, request{
			name: "Brief", scopes: []string{"account_api_tokens_write", "account_users_read", "store_cart"},
			expires: time.Hour, ranges: []string{"203.0.113.0/24"},
		}))
		w.run(t, []scenario{
			refused("every broken rule at once", w.owner, map[string]any{
				"name": " abc ", "scopes": []string{"store_carts", "account_read", "", "store_cart"},
				"storeId":         "<store0>",
				"expiresAt":       "2026-03-04T13:00:00+01:00",
				"allowedIpRanges": []string{"203.0.113.0/33", "::1", "nowhere"},
			}, size,
				`INVALID input.scopes: There is no scope "". The catalogue of scopes lists all.`,
				`INVALID input.scopes: There is no scope "store_carts". The catalogue of scopes lists all.`,
				"INVALID input.scopes: A store-level token cannot hold account_read.",
				"INVALID input.expiresAt: This time has passed. Choose a later one, or none.",
				`INVALID input.allowedIpRanges: "203.0.113.0/33" is not an IP address or range. Write 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32, for instance.`,
				`INVALID input.allowedIpRanges: "nowhere" is not an IP address or range. Write 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32, for instance.`),
			refused("a name too long", w.owner, with(map[string]any{"name": strings.Repeat("ü", 101)}), size),
			refused("a name of two lines", w.owner, with(map[string]any{"name": "first\nACCESS TOKEN: x"}),
				"INVALID input.name: A name is one line of plain text."),
			refused("a name that does not show", w.owner, with(map[string]any{"name": strings.Repeat("\u2800", 4)}),
				"INVALID input.name: A name has at least one visible character."),
			refused("no scopes", w.owner, with(map[string]any{"scopes": []string{}}),
				"INVALID input.scopes: Choose at least one scope."),
			refused("another account's store", w.owner, with(map[string]any{"storeId": "<away.store0>"}),
				"NOT_FOUND input.storeId: There is no such store in this account."),
			refused("a missing store, and other errors", w.owner, map[string]any{
				"name": "abc", "scopes": []string{"account_read"}, "storeId": "nowhere",
				"allowedIpRanges": []string{"nowhere"},
			},
				"NOT_FOUND input.storeId: There is no such store in this account.", size,
				"INVALID input.scopes: A store-level token cannot hold account_read.",
				`INVALID input.allowedIpRanges: "nowhere" is not an IP address or range. Write 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32, for instance.`),
			refused("another account's store by its hash", w.owner,
				with(map[string]any{"storeId": "<away.store0.hash>"}),
				"NOT_FOUND input.storeId: There is no such store in this account."),
			refused("nothing for a store", w.owner, with(map[string]any{"storeId": ""}),
				"NOT_FOUND input.storeId: There is no such store in this account."),

			refused("a store's owner on the account level", w.storeOwner, with(nil),
				"FORBIDDEN [account_api_tokens_write]"),
			refused("a store's owner in another store", w.storeOwner, with(map[string]any{"storeId": "<store1>"}),
				"NOT_FOUND input.storeId: There is no such store in this account."),
			refused("a token that may not", w.holding("account_api_tokens_read"), with(nil),
				"FORBIDDEN [account_api_tokens_write]"),
			refused("a token that gives what it has not, in every way", brief, map[string]any{
				"name": "More", "scopes": []string{"account_users_write", "account_api_tokens_write",
					"store_v2_orders_read_only", "store_cart"},
			},
				"FORBIDDEN input.scopes: No token can grant account_api_tokens_write. The account's owner can.",
				"FORBIDDEN input.scopes: This token does not hold account_users_write, so it cannot grant account_users_write. [account_users_write]",
				"FORBIDDEN input.scopes: This token does not hold store_v2_orders_read_only, so it cannot grant store_v2_orders_read_only. [store_v2_orders_read_only]",
				"FORBIDDEN input.expiresAt: This token expires at 2026-03-04T13:00:00Z and cannot issue one that expires later.",
				"FORBIDDEN input.allowedIpRanges: This token is restricted to address ranges. Enter ranges within them."),
			refused("a token's life by a second", brief,
				with(map[string]any{"expiresAt": "2026-03-04T13:00:01Z", "allowedIpRanges": []string{"203.0.113.7"}}),
				"FORBIDDEN input.expiresAt: This token expires at 2026-03-04T13:00:00Z and cannot issue one that expires later."),
		})
		within := w.create(t, brief, map[string]any{
			"name": "Less", "scopes": []string{"account_users_read", "store_cart_read_only"},
			"expiresAt": "2026-03-04T13:00:00Z", "allowedIpRanges": []string{"203.0.113.7"},
		})
		if by := w.verify(t,
			within.Credentials.AccessToken); by.Scopes.String() != "account_users_read store_cart_read_only" {
			t.Errorf("scopes of a token with fewer: got %s, want account_users_read store_cart_read_only", by.Scopes)
		}
		w.Clock.Advance(time.Hour)
		if w.works(t, within.Credentials.AccessToken) {
			t.Error("a token after its end: got it accepted, want it refused")
		}
	})
}

// What the account does not take part in cannot be granted there.
func TestCreateTokenWithoutFeature(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		input := map[string]any{"input": map[string]any{"name": "Partner",
			"scopes": []string{"account_checkouts_create", "account_charges_read"}}}
		got := w.ask(t, w.away.Account.ID, w.session(t, w.away, w.away.Owner), createToken, input)
		want := "apiToken.createApiToken: INVALID input.scopes: This account is not enrolled in the program for account_charges_read.\n" +
			"apiToken.createApiToken: INVALID input.scopes: This account is not enrolled in the program for account_checkouts_create."
		check.Equal(t, strings.Join(got.failures(), "\n"), want, "errors")
		if made := w.create(t, w.owner, map[string]any{"name": "Partner",
			"scopes": []string{"account_checkouts_create"}}); made.APIToken.Status != "ACTIVE" {
			t.Errorf("with the feature: got %+v, want an active token", made.APIToken)
		}
	})
}

// What the input's types do not allow is refused before anything runs.
func TestCreateTokenInputTypes(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		for name, tc := range map[string]struct {
			input map[string]any
			field string
		}{
			"no name":      {map[string]any{"scopes": []string{"store_cart"}}, "input.name"},
			"no scopes":    {map[string]any{"name": "Fine"}, "input.scopes"},
			"a null scope": {map[string]any{"name": "Fine", "scopes": []any{nil}}, "input.scopes.0"},
			"an unknown field": {map[string]any{"name": "Fine", "scopes": []string{"store_cart"},
				"level": "STORE"}, "input.level"},
			"no moment": {map[string]any{"name": "Fine", "scopes": []string{"store_cart"},
				"expiresAt": "tomorrow"}, "input.expiresAt"},
			"the zero time of Go": {map[string]any{"name": "Fine", "scopes": []string{"store_cart"},
				"expiresAt": time.Time{}}, "input.expiresAt"},
			"a time without an offset": {map[string]any{"name": "Fine", "scopes": []string{"store_cart"},
				"expiresAt": "2026-03-05T12:00:00"}, "input.expiresAt"},
		} {
			got := w.ask(t, w.home.Account.ID, w.owner, createToken, map[string]any{"input": tc.input})
			if len(got.errors) != 1 || got.errors[0].Extensions.Code != "INVALID" ||
				got.errors[0].Extensions.Field != tc.field || strings.Contains(got.data, "credentials") {
				t.Errorf("%s: %q and %q, want a failure of %s", name, got.failures(), got.data, tc.field)
			}
		}
	})
}

// The 51st live token is refused, on each level by itself; one that was revoked or has expired makes room.
func TestCreateTokenLimit(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		for _, tc := range []struct {
			level, place string
			live         int
			store        any
		}{{"account", "account", 1, nil}, {"store", "store", 0, "<store0>"}} {
			t.Run(tc.level, func(t *testing.T) {
				input := map[string]any{"name": "Nr. n", "scopes": []string{"store_cart"}, "storeId": tc.store}
				first := w.create(t, w.owner, input)
				input["expiresAt"] = w.Clock.Now().Add(time.Hour).Format(time.RFC3339Nano)
				w.create(t, w.owner, input)
				delete(input, "expiresAt")
				for range 50 - tc.live - 2 {
					w.create(t, w.owner, input)
				}
				full := scenario{
					name: "full", by: w.owner, query: createToken, variables: map[string]any{"input": input},
					data: `{"apiToken": {"createApiToken": null}}`,
					errors: []string{"apiToken.createApiToken: LIMIT_REACHED: This " + tc.place +
						" has 50 live API tokens, the most it may have. Revoke one that is not used."},
				}
				w.check(t, full)
				w.create(t, w.owner, map[string]any{"name": "Elsewhere", "scopes": []string{"store_cart"},
					"storeId": "<store2>"})
				if got := w.ask(t, w.home.Account.ID, w.owner, revokeTokens,
					map[string]any{"input": map[string]any{"ids": []string{first.APIToken.ID}}}); len(got.errors) > 0 {
					t.Fatalf("revokeApiTokens: got %q, want no errors", got.failures())
				}
				w.create(t, w.owner, input)
				w.check(t, full)
				w.Clock.Advance(time.Hour)
				w.create(t, w.owner, input)
				w.check(t, full)
			})
		}
	})
}

// The mutations of one request run one after the other, in the order in which they are written.
func TestMutationsRunInOrder(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		var query strings.Builder
		query.WriteString("mutation { apiToken {")
		names := make([]string, 20)
		for i := range names {
			names[i] = "Token " + string(rune('a'+i))
			query.WriteString(" m" + string(rune('a'+i)) + `: createApiToken(input: {name: "` + names[i] +
				`", scopes: ["store_cart"], storeId: "<store1>"}) { apiToken { name } }`)
		}
		query.WriteString(
			` } again: apiToken { createApiToken(input: {name: "The last", scopes: ["store_cart"], storeId: "<store1>"}) { apiToken { name } } } }`)
		if got := w.ask(t, w.home.Account.ID, w.owner, w.fill(query.String()), nil); len(got.errors) > 0 {
			t.Fatalf("createApiToken up to the limit: got %q, want no errors", got.failures())
		}
		var want strings.Builder
		want.WriteString(`{"account":{"stores":{"edges":[{"node":{"apiTokens":{"edges":[{"node":{"name":"The last"}}`)
		for i := range names {
			want.WriteString(`,{"node":{"name":"` + names[len(names)-1-i] + `"}}`)
		}
		want.WriteString(`]}}}]}}}`)
		w.check(t, scenario{
			by:    w.owner,
			query: `{ account { stores(filter: {ids: ["<store1>"]}) { edges { node { apiTokens(first: 50) { edges { node { name } } } } } } } }`, data: want.String(),
		})
	})
}

// A store that tokens are issued for one after the other is read once, and
// again when the operator changed it.
func TestStoreToIssueForIsRemembered(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		reads := func() int {
			return len(slices.DeleteFunc(w.statements.Take(),
				func(sql string) bool { return !strings.Contains(sql, "FROM stores AS s JOIN accounts") }))
		}
		issued := func() string {
			input := map[string]any{"name": "Order sync", "scopes": []string{"store_cart"}, "storeId": "<store0>"}
			return w.create(t, w.owner, input).Credentials.APIPath
		}
		st := w.home.Stores[0]
		for i, hash := range []string{st.Hash, st.Hash + "x"} {
			if st.Hash = hash; i > 0 {
				if err := w.DB.Manifest().SaveStore(t.Context(), st); err != nil {
					t.Fatal(err)
				}
			}
			reads()
			for range 3 {
				check.Equal(t, issued(), publicURL+"/stores/"+hash+"/v3/", "issued for")
			}
			check.Equal(t, reads(), 1, "times that the store was read")
		}
	})
}
