package apitest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

const (
	updateToken = `mutation($input: UpdateApiTokenInput!) { apiToken { updateApiToken(input: $input) { apiToken { name scopes expiresAt allowedIpRanges } } } }`
	rotateToken = `mutation($input: RotateApiTokenInput!) { apiToken { rotateApiToken(input: $input) { apiToken { name accessTokens { expiresAt } } accessToken previousExpiresAt } } }`

	revokeTokens = `mutation($input: RevokeApiTokensInput!) { apiToken { revokeApiTokens(input: $input) { revokedIds revokedAt } } }`
)

const noToken = "There is no such API token in this account."

func TestUpdateToken(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		wide := w.issue(t, w.owner, w.home, request{name: "Wide",
			scopes: []string{"store_cart", "account_users_write"}})
		w.issue(t, w.owner, w.home, request{name: "Till", scopes: []string{"store_cart"}, store: &w.home.Stores[0]})
		updated := func(name string, by *auth.Principal, input map[string]any, token string) scenario {
			return scenario{
				name: name, by: by, query: updateToken, variables: map[string]any{"input": input},
				data: `{"apiToken": {"updateApiToken": {"apiToken": {` + token + `}}}}`,
			}
		}
		const all = `"scopes": ["account_users_read", "account_users_write", "store_cart", "store_cart_read_only"]`
		// Each builds on the one before.
		w.run(t, []scenario{
			updated("the name", w.owner, map[string]any{"id": "<Wide>", "name": " Renamed "},
				`"name": "Renamed", `+all+`, "expiresAt": null, "allowedIpRanges": []`),
			updated("an end, and networks", w.robot,
				map[string]any{"id": "<Wide>", "expiresAt": "2026-04-01T02:00:00+02:00",
					"allowedIpRanges": []string{"203.0.113.0/24", "2001:db8::/32"}},
				`"name": "Renamed", `+all+
					`, "expiresAt": "2026-04-01T00:00:00Z", "allowedIpRanges": ["203.0.113.0/24", "2001:db8::/32"]`),
			updated("a nearer end, a smaller network", w.owner,
				map[string]any{"id": "<Wide>", "expiresAt": "2026-03-04T13:00:00Z",
					"allowedIpRanges": []string{"203.0.113.7"}},
				`"name": "Renamed", `+all+
					`, "expiresAt": "2026-03-04T13:00:00Z", "allowedIpRanges": ["203.0.113.7/32"]`),
			updated("fewer scopes, by the bare key", w.owner,
				map[string]any{"id": "<Wide.uuid>", "scopes": []string{"account_users_read", "store_cart_read_only"}},
				`"name": "Renamed", "scopes": ["account_users_read", "store_cart_read_only"], "expiresAt": "2026-03-04T13:00:00Z", "allowedIpRanges": ["203.0.113.7/32"]`),
			updated("null, which changes nothing", w.owner,
				map[string]any{"id": "<Wide>", "name": "Again", "scopes": nil, "expiresAt": nil,
					"allowedIpRanges": nil},
				`"name": "Again", "scopes": ["account_users_read", "store_cart_read_only"], "expiresAt": "2026-03-04T13:00:00Z", "allowedIpRanges": ["203.0.113.7/32"]`),
			updated("by a store's owner", w.storeOwner,
				map[string]any{"id": "<Till>", "scopes": []string{"store_cart_read_only"}},
				`"name": "Till", "scopes": ["store_cart_read_only"], "expiresAt": null, "allowedIpRanges": []`),
		})
		if by := w.verify(t,
			wide.AccessToken.Reveal()); by.Scopes.String() != "account_users_read store_cart_read_only" {
			t.Errorf("scopes of the narrowed token: got %s, want account_users_read store_cart_read_only", by.Scopes)
		}
		if _, err := w.Verifier.Principal(t.Context(), wide.AccessToken.Reveal(),
			auth.Origin{IP: peer.Next()}); err == nil {
			t.Error("the narrowed token outside its network: got no error, want one")
		}
		w.Clock.Advance(time.Hour)
		if w.works(t, wide.AccessToken.Reveal()) {
			t.Error("the narrowed token after its end: got it accepted, want it refused")
		}
	})
}

func TestUpdateTokenRefuses(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.keepLives(t)
		w.issue(t, w.owner, w.home, request{name: "Bound", scopes: []string{"store_cart"}, expires: time.Hour,
			ranges: []string{"203.0.113.0/24"}})
		w.issue(t, w.session(t, w.away, w.away.Owner), w.away, request{name: "Stray", scopes: []string{"account_read"}})
		refused := func(name string, by *auth.Principal, input map[string]any, failures ...string) scenario {
			for i := range failures {
				failures[i] = "apiToken.updateApiToken: " + failures[i]
			}
			return scenario{name: name, by: by, query: updateToken, variables: map[string]any{"input": input},
				data: `{"apiToken": {"updateApiToken": null}}`, errors: failures}
		}
		before := dbtest.Dump(t, w.URL)
		w.run(t, []scenario{
			refused("everything wider", w.owner, map[string]any{
				"id": "<Bound>", "name": "No", "scopes": []string{"store_cart", "account_read", "nothing"},
				"expiresAt": "2026-03-04T15:00:01Z", "allowedIpRanges": []string{"203.0.112.0/23"},
			},
				"INVALID input.name: A name has 4 to 100 characters.",
				`INVALID input.scopes: An update can only remove scopes, and this token does not have "account_read". Create another token instead.`,
				`INVALID input.scopes: An update can only remove scopes, and this token does not have "nothing". Create another token instead.`,
				"INVALID input.expiresAt: An update can only make a token expire earlier: choose a time no later than 2026-03-04T15:00:00Z.",
				"INVALID input.allowedIpRanges: An update can only narrow the address ranges, and 203.0.112.0/23 is outside of them."),
			refused("an end in the past", w.owner, map[string]any{"id": "<Bound>", "expiresAt": "2026-03-04T14:00:00Z"},
				"INVALID input.expiresAt: This time has passed. To end the token now, delete it."),
			refused("no networks any more", w.owner, map[string]any{"id": "<Bound>", "allowedIpRanges": []string{}},
				"INVALID input.allowedIpRanges: An update can only narrow the address ranges: leave at least one."),
			refused("no scopes any more", w.owner, map[string]any{"id": "<Bound>", "scopes": []string{}},
				"INVALID input.scopes: Choose at least one scope. To remove all, delete the token."),
			refused("nothing", w.owner, map[string]any{"id": "<Bound>"},
				"INVALID: Nothing would change. Change at least one field."),
			refused("only null", w.owner, map[string]any{"id": "<Bound>", "expiresAt": nil},
				"INVALID: Nothing would change. Change at least one field."),
			refused("nulls, which are nothing", w.owner,
				map[string]any{"id": "<Bound>", "name": nil, "scopes": nil, "allowedIpRanges": nil},
				"INVALID: Nothing would change. Change at least one field."),
			refused("a revoked token", w.owner, map[string]any{"id": "<Gone>", "name": "Risen"},
				"CONFLICT input.id: This API token is revoked."),
			refused("an expired token", w.owner, map[string]any{"id": "<Late>", "name": "Risen"},
				"CONFLICT input.id: This API token has expired."),
			refused("another account's token", w.owner, map[string]any{"id": "<Stray>", "name": "Ours"},
				"NOT_FOUND input.id: "+noToken),
			refused("an unknown token", w.owner, map[string]any{"id": uuid.NewString(), "name": "Ours"},
				"NOT_FOUND input.id: "+noToken),
			refused("no token", w.owner, map[string]any{"id": "<store0>", "name": "Ours"},
				`INVALID input.id: "<store0>" is not an ID of this kind: bc/account/apiToken/…. Take it from the field id in Account.apiTokens.`),
			refused("an account-level token, by a store's owner", w.storeOwner,
				map[string]any{"id": "<Bound>", "name": "Ours"}, "NOT_FOUND input.id: "+noToken),
			refused("another store's token, by a store's owner", w.storeOwner,
				map[string]any{"id": "<Other>", "name": "Ours"}, "NOT_FOUND input.id: "+noToken),
		})
		check.Equal(t, dbtest.Dump(t, w.URL), before, "the database after a refusal")
	})
}

func TestRotateToken(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		for _, tc := range []struct {
			name    string
			overlap any
			lasts   time.Duration
		}{
			{"at once", 0, 0}, {"by default", nil, 24 * time.Hour}, {"after a while", 90, 90 * time.Second},
			{"as late as may be", 2592000, 720 * time.Hour},
		} {
			t.Run(tc.name, func(t *testing.T) {
				old := w.issue(t, w.storeOwner, w.home,
					request{name: "Till", scopes: []string{"store_cart"}, store: &w.home.Stores[0]})
				var got struct {
					APIToken struct {
						RotateAPIToken struct {
							AccessToken       string
							PreviousExpiresAt time.Time
							APIToken          struct {
								AccessTokens []struct{ ExpiresAt *time.Time }
							}
						}
					}
				}
				input := map[string]any{"id": w.fill("<Till>")}
				if tc.overlap != nil {
					input["overlapSeconds"] = tc.overlap
				}
				w.ask(t, w.home.Account.ID, w.storeOwner, rotateToken, map[string]any{"input": input}).into(t, &got)
				rotated := got.APIToken.RotateAPIToken
				if want := w.Clock.Now().Add(tc.lasts); !rotated.PreviousExpiresAt.Equal(want) {
					t.Errorf("the old access token ends at %s, want %s", rotated.PreviousExpiresAt, want)
				}
				if live := len(rotated.APIToken.AccessTokens); (live == 2) != (tc.lasts > 0) {
					t.Errorf("active access tokens: got %d, want 2: %t", live, tc.lasts > 0)
				}
				if w.works(t, old.AccessToken.Reveal()) != (tc.lasts > 0) || !w.works(t, rotated.AccessToken) {
					t.Errorf("just rotated: got the old token accepted %t and the new one %t, want %t and true",
						w.works(t, old.AccessToken.Reveal()), w.works(t, rotated.AccessToken), tc.lasts > 0)
				}
				if tc.lasts > 0 {
					w.Clock.Advance(tc.lasts - time.Microsecond)
					if !w.works(t, old.AccessToken.Reveal()) {
						t.Error("the old access token just before its end: got it refused, want it accepted")
					}
					w.Clock.Advance(time.Microsecond)
				}
				if w.works(t, old.AccessToken.Reveal()) || !w.works(t, rotated.AccessToken) {
					t.Errorf("after the overlap: got the old token accepted %t and the new one %t, want false and true",
						w.works(t, old.AccessToken.Reveal()), w.works(t, rotated.AccessToken))
				}
			})
		}
	})
}

func TestRotateTokenRefuses(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.keepLives(t)
		refused := func(name string, by *auth.Principal, input map[string]any, failures ...string) scenario {
			for i := range failures {
				failures[i] = "apiToken.rotateApiToken: " + failures[i]
			}
			return scenario{name: name, by: by, query: rotateToken, variables: map[string]any{"input": input},
				data: `{"apiToken": {"rotateApiToken": null}}`, errors: failures, lacks: []string{"lka_", "lks_"}}
		}
		const overlap = "INVALID input.overlapSeconds: The overlap is 0 to 2592000 seconds."
		before := dbtest.Dump(t, w.URL)
		w.run(t, []scenario{
			refused("less than no overlap", w.owner, map[string]any{"id": "<Old One>", "overlapSeconds": -1}, overlap),
			refused("a second too long", w.owner, map[string]any{"id": "<Old One>", "overlapSeconds": 2592001},
				overlap),
			refused("far too long", w.owner, map[string]any{"id": "<Old One>", "overlapSeconds": 1<<31 - 1}, overlap),
			refused("as negative as may be", w.owner, map[string]any{"id": "<Old One>", "overlapSeconds": -1 << 31},
				overlap),
			refused("a revoked token", w.owner, map[string]any{"id": "<Gone>"},
				"CONFLICT input.id: This API token is revoked."),
			refused("an expired token", w.owner, map[string]any{"id": "<Late>"},
				"CONFLICT input.id: This API token has expired."),
			refused("an unknown token", w.owner, map[string]any{"id": uuid.NewString()},
				"NOT_FOUND input.id: "+noToken),
			refused("no token", w.owner, map[string]any{"id": "x"},
				`INVALID input.id: "x" is not an ID of this kind: bc/account/apiToken/…. Take it from the field id in Account.apiTokens.`),
			refused("another store's token, by a store's owner", w.storeOwner, map[string]any{"id": "<Other>"},
				"NOT_FOUND input.id: "+noToken),
			refused("a mightier token, by a token",
				w.holding("account_api_tokens_write", "account_api_tokens_read", "account_read"),
				map[string]any{"id": "<Old One>"},
				"FORBIDDEN input.id: This token cannot grant account_users_read, so it cannot rotate a token that has it. [account_users_read]",
				"FORBIDDEN input.id: This token cannot grant account_users_write, so it cannot rotate a token that has it. [account_users_write]"),
		})
		check.Equal(t, dbtest.Dump(t, w.URL), before, "the database after a refusal")
	})
}

func TestRevokeTokens(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		account := w.issue(t, w.owner, w.home, request{name: "Reader", scopes: []string{"account_read"}})
		till := w.issue(t, w.owner, w.home, request{name: "Till", scopes: []string{"store_cart"},
			store: &w.home.Stores[0]})
		if !w.works(t, account.AccessToken.Reveal()) || !w.works(t, till.AccessToken.Reveal()) {
			t.Fatal("new tokens: got one refused, want both accepted")
		}
		revoked := scenario{
			by: w.owner, query: revokeTokens,
			variables: map[string]any{"input": map[string]any{"ids": []string{"<Till>", "<Reader.uuid>", "<Till.uuid>"},
				"reason": " lost "}},
			data: `{"apiToken": {"revokeApiTokens": {"revokedIds": ["<Till>", "<Reader>"], "revokedAt": "2026-03-04T12:00:00.123456Z"}}}`,
		}
		w.check(t, revoked)
		if w.works(t, account.AccessToken.Reveal()) || w.works(t, till.AccessToken.Reveal()) {
			t.Error("revoked tokens: got one accepted, want both refused")
		}
		// A repeat, later and by another principal, has the same result and changes nothing.
		before := dbtest.Dump(t, w.URL)
		w.Clock.Advance(time.Hour)
		revoked.by, revoked.data = w.robot, strings.Replace(revoked.data, "T12:", "T13:", 1)
		w.check(t, revoked)
		check.Equal(t, dbtest.Dump(t, w.URL), before, "the database after revoking again")
		w.check(t, scenario{
			by:    w.owner,
			query: `{ account { apiToken(id: "<Till>") { revokedAt revokedBy { id } revocationReason } } }`,
			data:  `{"account": {"apiToken": {"revokedAt": "2026-03-04T12:00:00.123456Z", "revokedBy": {"id": "<owner>"}, "revocationReason": "lost"}}}`,
		})
	})
}

func TestReceiptOfARevocation(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		const query = `mutation($wait: Boolean) { apiToken { revokeApiTokens(input: {ids: ["<Till>"], waitForReplicas: $wait}) {
			receipt { replicas { name acknowledgedAt } elapsedMs } } } }`
		answer := func(receipt string) string {
			return `{"apiToken": {"revokeApiTokens": {"receipt": ` + receipt + `}}}`
		}
		w.keepLives(t)
		at := time.Date(2026, 3, 4, 12, 0, 1, 0, time.UTC)
		asked := 0
		w.confirm = func(context.Context) (access.Receipt, error) {
			asked++
			return access.Receipt{Elapsed: 2500 * time.Millisecond,
				Replicas: []access.Acknowledgement{{Replica: "a", At: at}, {Replica: "b"}}}, nil
		}
		w.check(t, scenario{by: w.owner, query: query, variables: map[string]any{"wait": true}, data: answer(
			`{"replicas": [{"name": "a", "acknowledgedAt": "2026-03-04T12:00:01Z"}, {"name": "b", "acknowledgedAt": null}], "elapsedMs": 2500}`)})
		w.check(t, scenario{by: w.owner, query: query, variables: map[string]any{"wait": false}, data: answer("null")})
		w.check(t, scenario{by: w.owner, query: query, data: answer("null")})
		check.Equal(t, asked, 1, "times that the replicas were asked")
		w.confirm = func(context.Context) (access.Receipt, error) {
			return access.Receipt{}, errors.New("the database is away")
		}
		w.check(t, scenario{by: w.owner, query: query, variables: map[string]any{"wait": true}, data: answer("null")})
	})
}

func TestRevokeTokensRefuses(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.keepLives(t)
		w.issue(t, w.session(t, w.away, w.away.Owner), w.away, request{name: "Stray", scopes: []string{"account_read"}})
		refused := func(name string, by *auth.Principal, input map[string]any, failures ...string) scenario {
			for i := range failures {
				failures[i] = "apiToken.revokeApiTokens: " + failures[i]
			}
			return scenario{name: name, by: by, query: revokeTokens, variables: map[string]any{"input": input},
				data: `{"apiToken": {"revokeApiTokens": null}}`, errors: failures}
		}
		const bounds = "INVALID input.ids: Name 1 to 250 API tokens."
		before := dbtest.Dump(t, w.URL)
		w.run(t, []scenario{
			refused("one that is another account's", w.owner,
				map[string]any{"ids": []string{"<Old One>", "<Stray>", "<Till>"}}, "NOT_FOUND input.ids.1: "+noToken),
			refused("unknown IDs", w.owner, map[string]any{"ids": []string{uuid.NewString(), "<Till>",
				uuid.NewString()}},
				"NOT_FOUND input.ids.0: "+noToken, "NOT_FOUND input.ids.2: "+noToken),
			refused("invalid IDs", w.owner, map[string]any{"ids": []string{"x", "<Till>", "<store0>"}},
				`INVALID input.ids.0: "x" is not an ID of this kind: bc/account/apiToken/…. Take it from the field id in Account.apiTokens.`,
				`INVALID input.ids.2: "<store0>" is not an ID of this kind: bc/account/apiToken/…. Take it from the field id in Account.apiTokens.`),
			refused("none", w.owner, map[string]any{"ids": []string{}}, bounds),
			refused("none, for no good reason", w.owner, map[string]any{"ids": []string{}, "reason": "two\nlines"},
				bounds, "INVALID input.reason: A reason is one line of plain text."),
			refused("a long reason", w.owner,
				map[string]any{"ids": []string{"<Till>"}, "reason": strings.Repeat("ü", 501)},
				"INVALID input.reason: A reason has 0 to 500 characters."),
			refused("one too many", w.owner, map[string]any{"ids": slices.Repeat([]string{"<Till>"}, 251)}, bounds),
			refused("an account-level token among a store's, by its owner", w.storeOwner,
				map[string]any{"ids": []string{"<Till>", "<Old One>", "<Other>"}},
				"NOT_FOUND input.ids.1: "+noToken, "NOT_FOUND input.ids.2: "+noToken),
			refused("a token that may not", w.holding("account_api_tokens_read"),
				map[string]any{"ids": []string{"<Till>"}}, "FORBIDDEN [account_api_tokens_write]"),
		})
		check.Equal(t, dbtest.Dump(t, w.URL), before, "the database after a refusal")
	})
}

// As many as may be, in one request.
func TestRevokeManyTokens(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		var ids []string
		for i := range 49 {
			issued := w.issue(t, w.owner, w.home,
				request{name: fmt.Sprintf("Token %d", i), scopes: []string{"account_read"}})
			ids = append(ids, "bc/account/apiToken/"+issued.Token.ID.String())
		}
		got := w.ask(t, w.home.Account.ID, w.owner, revokeTokens,
			map[string]any{"input": map[string]any{"ids": slices.Repeat(ids, 6)[:250]}})
		var data struct {
			APIToken struct{ RevokeAPITokens struct{ RevokedIDs []string } }
		}
		got.into(t, &data)
		check.Equal(t, data.APIToken.RevokeAPITokens.RevokedIDs, ids, "revoked")
	})
}
