package token_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	"latchkey/internal/token"
)

func TestMayIssue(t *testing.T) {
	both, none := []scope.Level{scope.LevelAccount, scope.LevelStore}, []scope.Level(nil)
	powerful := everyScope().Names()
	for _, tc := range []struct {
		name string
		by   *auth.Principal
		may  []scope.Level
	}{
		{"the operator", operator(), both},
		{"the account's owner", accountOwner(acme), both},
		{"the owner of another account", accountOwner(globex), none},
		{"the store's owner", storeOwner(acmeUS), []scope.Level{scope.LevelStore}},
		{"the owner of another store", storeOwner(acmeEU), none},
		{"the owner of another account's store", storeOwner(globexShop), none},
		{"a session of a user who owns nothing",
			&auth.Principal{NoCredential: "a test", Kind: auth.Session, AccountID: acme.ID, Scopes: everyScope()},
			none},
		{"a store owner with a zero store ID",
			&auth.Principal{NoCredential: "a test", Kind: auth.Session, AccountID: acme.ID,
				OwnedStores: []uuid.UUID{uuid.Nil}}, none},
		{"a token that may issue", issuer(acme, powerful...), both},
		{"a token that may only read tokens", apiToken(acme, scope.AccountAPITokensRead, "store_v2_products"), none},
		{"a token of another account", issuer(globex, powerful...), none},
		{"a store-level token of the store", &auth.Principal{NoCredential: "a test", Kind: auth.APIToken,
			AccountID: acme.ID, StoreID: acmeUS.ID,
			Scopes: scope.NewSet("store_v2_products")}, none},
		{"no principal", &auth.Principal{}, none},
	} {
		for level, owner := range owners {
			t.Run(fmt.Sprintf("%s, %s level", tc.name, level), func(t *testing.T) {
				want := slices.Contains(tc.may, level)
				mayErr := policy().MayIssue(tc.by, owner)
				_, checkErr := policy().Check(tc.by, request(owner), now)
				if want {
					wantFaults(t, mayErr)
					wantFaults(t, checkErr)
					return
				}
				for _, err := range []error{mayErr, checkErr} {
					wantFaults(t, err, "FORBIDDEN")
					check.Equal(t, fault.Flatten(err)[0].RequiredScopes, []string{scope.AccountAPITokensWrite},
						"required scopes")
				}
			})
		}
	}
}

// A principal that may not issue gets no other error about the request.
func TestForbiddenHidesOtherFaults(t *testing.T) {
	_, err := policy().Check(accountOwner(globex), token.Request{Owner: owners[scope.LevelAccount]}, now)
	wantFaults(t, err, "FORBIDDEN")
}

func TestStoreOwnerOfAnotherAccount(t *testing.T) {
	_, err := token.StoreOwner(acme, globexShop)
	wantFaults(t, err, "NOT_FOUND")
}

// issuersOn returns principals of each kind that may issue on the level, without
// limits of their own.
func issuersOn(level scope.Level) map[string]*auth.Principal {
	issuers := map[string]*auth.Principal{
		"operator": operator(), "account owner": accountOwner(acme), "token": issuer(acme, everyScope().Names()...),
	}
	if level == scope.LevelStore {
		issuers["store owner"] = storeOwner(acmeUS)
	}
	return issuers
}

// The rules for every issuer. Each row changes a valid request, which is checked on
// both levels and for every kind of issuer.
func TestRulesForAll(t *testing.T) {
	leaked := generate(t, secret.StoreAccessToken).Reveal()
	for _, tc := range []struct {
		name   string
		change func(*token.Request)
		want   []string
	}{
		{"a valid request", func(*token.Request) {}, nil},
		{"a name of 4 characters", func(r *token.Request) { r.Name = "名前四字" }, nil},
		{"a name of 3 characters and spaces", func(r *token.Request) { r.Name = "  abc  " }, []string{"INVALID name"}},
		{"a name of 3 characters and 12 bytes", func(r *token.Request) { r.Name = "🔑🔑🔑" }, []string{"INVALID name"}},
		{"a name of 100 characters and 300 bytes", func(r *token.Request) { r.Name = strings.Repeat("名", 100) }, nil},
		{"a name of 101 characters", func(r *token.Request) { r.Name = strings.Repeat("n", 101) },
			[]string{"INVALID name"}},
		{"no name", func(r *token.Request) { r.Name = "" }, []string{"INVALID name"}},
		{"a name with a line break", func(r *token.Request) { r.Name = "Nightly\nexport" }, []string{"INVALID name"}},
		{"a name with NUL", func(r *token.Request) { r.Name = "Nightly\x00export" }, []string{"INVALID name"}},
		{"a name with a C1 control", func(r *token.Request) { r.Name = "Nightly\u0085export" },
			[]string{"INVALID name"}},
		{"a name with Unicode's line separator", func(r *token.Request) { r.Name = "Nightly\u2028export" },
			[]string{"INVALID name"}},
		{"a name that is a credential", func(r *token.Request) { r.Name = leaked }, []string{"INVALID name"}},
		{"a name that contains a credential", func(r *token.Request) { r.Name = "Old one (" + leaked + ")" },
			[]string{"INVALID name"}},
		{"a name that contains part of a credential", func(r *token.Request) { r.Name = "lka_" + leaked[:20] }, nil},
		{"a name that is not UTF-8", func(r *token.Request) { r.Name = "Nightly\xffexport" }, []string{"INVALID name"}},

		{"no scopes", func(r *token.Request) { r.Scopes = nil }, []string{"INVALID scopes"}},
		{"an empty scope", func(r *token.Request) { r.Scopes = []string{""} }, []string{"INVALID scopes"}},
		{"an empty scope and a valid one", func(r *token.Request) { r.Scopes = append(r.Scopes, "") },
			[]string{"INVALID scopes"}},
		{"an unknown scope", func(r *token.Request) { r.Scopes = []string{"store_unheard_of"} },
			[]string{"INVALID scopes"}},
		{"each unknown scope once", func(r *token.Request) { r.Scopes = []string{"b", "a", "b", "store_cart"} },
			[]string{"INVALID scopes", "INVALID scopes"}},
		{"a scope in capitals", func(r *token.Request) { r.Scopes = []string{"STORE_CART"} },
			[]string{"INVALID scopes"}},
		{"a scope more than once", func(r *token.Request) { r.Scopes = []string{"store_cart", "store_cart"} }, nil},
		{"a scope of the beta", func(r *token.Request) { r.Scopes = []string{scope.AccountChargesRead} },
			[]string{"INVALID scopes"}},

		{"an expiry in a microsecond", func(r *token.Request) { r.ExpiresAt = now.Add(time.Microsecond) }, nil},
		{"an expiry now", func(r *token.Request) { r.ExpiresAt = now }, []string{"INVALID expiresAt"}},
		{"an expiry that is now in the database's precision", func(r *token.Request) { r.ExpiresAt = now.Add(999) },
			[]string{"INVALID expiresAt"}},
		{"an expiry in the past", func(r *token.Request) { r.ExpiresAt = now.Add(-day) },
			[]string{"INVALID expiresAt"}},
		{"an expiry in the far future", func(r *token.Request) { r.ExpiresAt = now.AddDate(500, 0, 0) }, nil},

		{"a bad range", func(r *token.Request) { r.AllowedIPRanges = []string{"10.0.0.0/33"} },
			[]string{"INVALID allowedIpRanges"}},
		{"each bad range", func(r *token.Request) { r.AllowedIPRanges = []string{"a", "10.0.0.0/8", "b"} },
			[]string{"INVALID allowedIpRanges", "INVALID allowedIpRanges"}},
		{"too many scopes", func(r *token.Request) { r.Scopes = slices.Repeat([]string{"nope"}, token.MaxScopes+1) },
			[]string{"INVALID scopes"}},
		{"an invisible name", func(r *token.Request) { r.Name = "\u200b\u200b\u200b\u200b" }, []string{"INVALID name"}},
		{"a name with a replacement character", func(r *token.Request) { r.Name = "Night\ufffdly" },
			[]string{"INVALID name"}},
		{"a name that is not UTF-8", func(r *token.Request) { r.Name = "Night\xffly" }, []string{"INVALID name"}},
		{"a name with a bidirectional override", func(r *token.Request) { r.Name = "abc\u202edef" },
			[]string{"INVALID name"}},
		{"a name with a zero-width non-joiner", func(r *token.Request) { r.Name = "می\u200cخواهم" }, nil},
		{"the most ranges", func(r *token.Request) { r.AllowedIPRanges = ranges(token.MaxIPRanges) }, nil},
		{"one range too many", func(r *token.Request) { r.AllowedIPRanges = ranges(token.MaxIPRanges + 1) },
			[]string{"INVALID allowedIpRanges"}},

		{"everything at once", func(r *token.Request) {
			r.Name, r.Scopes, r.ExpiresAt, r.AllowedIPRanges = "x", []string{"y", scope.AccountChargesRead}, now,
				[]string{"z"}
		}, []string{"INVALID name", "INVALID scopes", "INVALID scopes", "INVALID expiresAt",
			"INVALID allowedIpRanges"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for level, owner := range owners {
				for name, by := range issuersOn(level) {
					t.Run(fmt.Sprintf("%s by %s", level, name), func(t *testing.T) {
						req := request(owner)
						tc.change(&req)
						_, err := policy().Check(by, req, now)
						wantFaults(t, err, tc.want...)
					})
				}
			}
		})
	}
}

func ranges(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("10.0.%d.0/24", i)
	}
	return list
}

// The levels differ in the scopes that their tokens can hold.
func TestScopesByLevelAndFeature(t *testing.T) {
	enrolled := acme
	enrolled.Features = []scope.Feature{scope.FeatureAutomatedBilling}
	enrolledOwners := map[scope.Level]token.Owner{
		scope.LevelAccount: token.AccountOwner(enrolled), scope.LevelStore: ownerOf(enrolled, acmeUS),
	}
	for _, tc := range []struct {
		name, scope string
		owners      map[scope.Level]token.Owner
		on          []scope.Level
	}{
		{"a store scope", "store_cart", owners, []scope.Level{scope.LevelAccount, scope.LevelStore}},
		{"an account scope", scope.AccountUsersRead, owners, []scope.Level{scope.LevelAccount}},
		{"the right to issue", scope.AccountAPITokensWrite, owners, []scope.Level{scope.LevelAccount}},
		{"a scope of the beta, not enrolled", scope.AccountCheckoutsCreate, owners, nil},
		{"a scope of the beta, enrolled", scope.AccountCheckoutsCreate, enrolledOwners,
			[]scope.Level{scope.LevelAccount}},
	} {
		for level, owner := range tc.owners {
			t.Run(fmt.Sprintf("%s, %s level", tc.name, level), func(t *testing.T) {
				req := request(owner)
				req.Scopes = []string{tc.scope}
				_, err := policy().Check(accountOwner(acme), req, now)
				if slices.Contains(tc.on, level) {
					wantFaults(t, err)
				} else {
					wantFaults(t, err, "INVALID scopes")
				}
			})
		}
	}
}

func TestMaxLifetime(t *testing.T) {
	bounded := policy()
	bounded.MaxLifetime = 90 * day
	for _, tc := range []struct {
		name      string
		expiresAt time.Time
		want      []string
	}{
		{"at the limit", now.Add(90 * day), nil},
		{"beyond the limit", now.Add(90*day + time.Microsecond), []string{"INVALID expiresAt"}},
		{"none", time.Time{}, []string{"INVALID expiresAt"}},
		{"in the past", now.Add(-1), []string{"INVALID expiresAt"}},
	} {
		for level, owner := range owners {
			t.Run(fmt.Sprintf("%s, %s level", tc.name, level), func(t *testing.T) {
				req := request(owner)
				req.ExpiresAt = tc.expiresAt
				_, err := bounded.Check(accountOwner(acme), req, now)
				wantFaults(t, err, tc.want...)
			})
		}
	}
}

// A grant is the request in normal form.
func TestGrant(t *testing.T) {
	for level, owner := range owners {
		t.Run(string(level), func(t *testing.T) {
			berlin := time.FixedZone("CET", 3600)
			got, err := policy().Check(accountOwner(acme), token.Request{
				Owner: owner, Name: "\t Nightly  export \u00a0",
				Scopes:          []string{"store_v2_products", "store_cart_read_only", "store_v2_products"},
				ExpiresAt:       now.Add(day + 1234567).In(berlin),
				AllowedIPRanges: []string{" 10.1.2.3/8", "10.0.0.0/8 ", "203.0.113.7"},
			}, now)
			if err != nil {
				t.Fatal(err)
			}
			check.Equal(t, got.Name, "Nightly  export", "name")
			if want := scope.NewSet("store_v2_products", "store_v2_products_read_only",
				"store_cart_read_only"); !got.Scopes.Equal(want) {
				t.Errorf("scopes %q, want %q", got.Scopes, want)
			}
			check.Equal(t, got.ExpiresAt, now.Add(day+1234*time.Microsecond), "expiry")
			check.Equal(t, got.AllowedIPRanges, prefixes("10.0.0.0/8", "203.0.113.7/32"), "ranges")
			check.Equal(t, got.Owner.Level(), level, "level")
		})
	}
}

func TestRanges(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"203.0.113.0/24", "203.0.113.0/24"},
		{"203.0.113.7", "203.0.113.7/32"},
		{"203.0.113.7/24", "203.0.113.0/24"},
		{"0.0.0.0/0", "0.0.0.0/0"},
		{"2001:db8::/32", "2001:db8::/32"},
		{"2001:DB8::1", "2001:db8::1/128"},
		{"2001:db8::1/32", "2001:db8::/32"},
		{"::/0", "::/0"},
		{"::ffff:203.0.113.7", "203.0.113.7/32"},
		{"::ffff:203.0.113.0/120", "203.0.113.0/24"},
		{"::ffff:0.0.0.0/96", "0.0.0.0/0"},
		{"fe80::1%eth0", ""},
		{"fe80::%eth0/64", ""},
		{"::ffff:203.0.113.7%eth0", ""},
		{"", ""},
		{"203.0.113", ""},
		{"203.0.113.007", ""},
		{"203.0.113.0/33", ""},
		{"203.0.113.0/-1", ""},
		{"203.0.113.0/024", ""},
		{"203.0.113.0 /24", ""},
		{"203.0.113.0-203.0.113.9", ""},
		{"example.com", ""},
		{"10.0.0.0/8,11.0.0.0/8", ""},
	} {
		t.Run(tc.text, func(t *testing.T) {
			req := request(owners[scope.LevelAccount])
			req.AllowedIPRanges = []string{tc.text}
			got, err := policy().Check(accountOwner(acme), req, now)
			if tc.want == "" {
				wantFaults(t, err, "INVALID allowedIpRanges")
				return
			}
			if err != nil || !slices.Equal(got.AllowedIPRanges, prefixes(tc.want)) {
				t.Errorf("got %v, %v, want %s", got.AllowedIPRanges, err, tc.want)
			}
		})
	}
}

// Messages quote at most a part of a long value.
func TestMessagesAreShort(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	_, err := policy().Check(accountOwner(acme), token.Request{
		Owner: token.AccountOwner(account.Account{ID: acme.ID}), Name: long, Scopes: []string{long},
		AllowedIPRanges: []string{long},
	}, now)
	wantFaults(t, err, "INVALID name", "INVALID scopes", "INVALID allowedIpRanges")
	for _, f := range fault.Flatten(err) {
		if len(f.Message) > 250 {
			t.Errorf("the message about %s: got %d bytes, want 250 at most", f.Field, len(f.Message))
		}
	}
}

func TestStatus(t *testing.T) {
	for _, tc := range []struct {
		name  string
		token token.Token
		want  token.Status
	}{
		{"without an expiration", token.Token{}, token.Active},
		{"just before its expiration", token.Token{ExpiresAt: now.Add(1)}, token.Active},
		{"at its expiration", token.Token{ExpiresAt: now}, token.Expired},
		{"after its expiration", token.Token{ExpiresAt: now.Add(-1)}, token.Expired},
		{"revoked", token.Token{Revocation: &token.Revocation{At: now}}, token.Revoked},
		{"revoked and past its expiration", token.Token{ExpiresAt: now.Add(-1), Revocation: &token.Revocation{At: now}},
			token.Revoked},
	} {
		t.Run(tc.name, func(t *testing.T) {
			check.Equal(t, tc.token.Status(now), tc.want, "tc.token.Status(now)")
		})
	}
	check.Equal(t, (token.Token{AccountID: uuid.New(), StoreID: uuid.New()}).Level(), scope.LevelStore,
		"a token with a store is of level")
}
