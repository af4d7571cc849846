package token_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
	"latchkey/internal/token"
)

// issuedToken returns a newly issued token of the level.
func issuedToken(level scope.Level, scopes ...string) token.Token {
	t := token.Token{ID: uuid.New(), AccountID: acme.ID, Name: "Nightly export",
		Scopes: scope.Default().Expand(scopes...), CreatedAt: now.Add(-day)}
	if level == scope.LevelStore {
		t.StoreID, t.StoreHash = acmeUS.ID, acmeUS.Hash
	}
	return t
}

var levels = []scope.Level{scope.LevelAccount, scope.LevelStore}

// Each field can change in one direction only, on both levels.
func TestUpdateOnlyNarrows(t *testing.T) {
	never, tomorrow := time.Time{}, now.Add(day)
	for _, tc := range []struct {
		name   string
		before func(*token.Token)
		update token.Update
		after  func(*token.Token)
		want   []string
	}{
		{"nothing", nil, token.Update{}, nil, []string{"INVALID"}},
		{"another name", nil, token.Update{Name: new("  Weekly export ")},
			func(a *token.Token) { a.Name = "Weekly export" }, nil},
		{"too short a name", nil, token.Update{Name: new("abc ")}, nil, []string{"INVALID name"}},

		{"fewer scopes", nil, token.Update{Scopes: []string{"store_cart"}},
			func(a *token.Token) { a.Scopes = scope.Default().Expand("store_cart") }, nil},
		{"read-only for modify", nil, token.Update{Scopes: []string{"store_cart_read_only"}},
			func(a *token.Token) { a.Scopes = scope.NewSet("store_cart_read_only") }, nil},
		{"the same scopes", nil, token.Update{Scopes: []string{"store_sites", "store_cart"}}, func(*token.Token) {},
			nil},
		{"no scopes", nil, token.Update{Scopes: []string{}}, nil, []string{"INVALID scopes"}},
		{"an empty scope", nil, token.Update{Scopes: []string{""}}, nil, []string{"INVALID scopes"}},
		{"another scope", nil, token.Update{Scopes: []string{"store_cart", "store_v2_orders_read_only"}}, nil,
			[]string{"INVALID scopes"}},
		{"an unknown scope", nil, token.Update{Scopes: []string{"store_cart", "store_unheard_of"}}, nil,
			[]string{"INVALID scopes"}},
		{"modify for read-only", func(b *token.Token) { b.Scopes = scope.NewSet("store_cart_read_only") },
			token.Update{Scopes: []string{"store_cart"}}, nil, []string{"INVALID scopes"}},

		{"an expiration, has none", nil, token.Update{ExpiresAt: &tomorrow},
			func(a *token.Token) { a.ExpiresAt = tomorrow }, nil},
		{"no expiration, has none", nil, token.Update{ExpiresAt: &never}, func(*token.Token) {}, nil},
		{"an expiration in the past", nil, token.Update{ExpiresAt: new(now.Add(-1))}, nil,
			[]string{"INVALID expiresAt"}},
		{"an expiration now", nil, token.Update{ExpiresAt: new(now.Add(999))}, nil, []string{"INVALID expiresAt"}},
		{"an earlier expiration", endsIn(2 * day), token.Update{ExpiresAt: &tomorrow},
			func(a *token.Token) { a.ExpiresAt = tomorrow }, nil},
		{"the same expiration", endsIn(day), token.Update{ExpiresAt: new(tomorrow.Add(999))}, func(*token.Token) {},
			nil},
		{"a later expiration", endsIn(day), token.Update{ExpiresAt: new(tomorrow.Add(time.Microsecond))}, nil,
			[]string{"INVALID expiresAt"}},
		{"no expiration, has one", endsIn(day), token.Update{ExpiresAt: &never}, nil, []string{"INVALID expiresAt"}},

		{"ranges, has none", nil, token.Update{AllowedIPRanges: []string{"10.0.0.1/8"}},
			func(a *token.Token) { a.AllowedIPRanges = prefixes("10.0.0.0/8") }, nil},
		{"no ranges, has none", nil, token.Update{AllowedIPRanges: []string{}}, func(*token.Token) {}, nil},
		{"a narrower range", bound("10.0.0.0/8"), token.Update{AllowedIPRanges: []string{"10.2.0.0/16"}},
			func(a *token.Token) { a.AllowedIPRanges = prefixes("10.2.0.0/16") }, nil},
		{"one of two ranges", bound("10.0.0.0/8", "2001:db8::/32"),
			token.Update{AllowedIPRanges: []string{"2001:db8::/32"}},
			func(a *token.Token) { a.AllowedIPRanges = prefixes("2001:db8::/32") }, nil},
		{"a wider range", bound("10.0.0.0/8"), token.Update{AllowedIPRanges: []string{"10.0.0.0/7"}}, nil,
			[]string{"INVALID allowedIpRanges"}},
		{"another range", bound("10.0.0.0/8"), token.Update{AllowedIPRanges: []string{"10.1.0.0/16", "192.0.2.0/24"}},
			nil, []string{"INVALID allowedIpRanges"}},
		{"no ranges, has some", bound("10.0.0.0/8"), token.Update{AllowedIPRanges: []string{}}, nil,
			[]string{"INVALID allowedIpRanges"}},
		{"a bad range", nil, token.Update{AllowedIPRanges: []string{"nonsense"}}, nil,
			[]string{"INVALID allowedIpRanges"}},

		{"everything at once", func(b *token.Token) { endsIn(day)(b); bound("10.0.0.0/8")(b) },
			token.Update{Name: new("x"), Scopes: []string{"a", "b"}, ExpiresAt: &never,
				AllowedIPRanges: []string{"192.0.2.1", "192.0.2.2"}}, nil,
			[]string{"INVALID name", "INVALID scopes", "INVALID scopes", "INVALID expiresAt", "INVALID allowedIpRanges",
				"INVALID allowedIpRanges"}},
	} {
		for _, level := range levels {
			t.Run(fmt.Sprintf("%s, %s level", tc.name, level), func(t *testing.T) {
				before := issuedToken(level, "store_cart", "store_sites")
				if tc.before != nil {
					tc.before(&before)
				}
				want := before
				got, err := policy().CheckUpdate(accountOwner(acme), before, tc.update, now)
				wantFaults(t, err, tc.want...)
				if tc.after == nil {
					return
				}
				tc.after(&want)
				if !sameToken(got, want) {
					t.Errorf("got %+v, want %+v", got, want)
				}
			})
		}
	}
}

func endsIn(d time.Duration) func(*token.Token) {
	return func(t *token.Token) { t.ExpiresAt = now.Add(d) }
}

func bound(ranges ...string) func(*token.Token) {
	return func(t *token.Token) { t.AllowedIPRanges = prefixes(ranges...) }
}

func sameToken(a, b token.Token) bool {
	return a.ID == b.ID && a.Name == b.Name && a.Scopes.Equal(b.Scopes) && a.ExpiresAt.Equal(b.ExpiresAt) &&
		a.ChargeLimit == b.ChargeLimit &&
		slices.Equal(a.AllowedIPRanges, b.AllowedIPRanges) && a.ClientID == b.ClientID && a.CreatedAt.Equal(b.CreatedAt)
}

// A scope that an update removed cannot be added again, even if the token was
// issued with it.
func TestNarrowedScopesDoNotComeBack(t *testing.T) {
	wide := issuedToken(scope.LevelAccount, "store_cart", "store_sites")
	narrow, err := policy().CheckUpdate(accountOwner(acme), wide,
		token.Update{Scopes: []string{"store_cart_read_only"}}, now)
	if err != nil {
		t.Fatal(err)
	}
	_, err = policy().CheckUpdate(accountOwner(acme), narrow, token.Update{Scopes: []string{"store_cart"}}, now)
	wantFaults(t, err, "INVALID scopes")
}

// manages returns principals and whether they may restrict and rotate a token of
// the level, which requires the right to issue it.
func manages(level scope.Level) map[string]struct {
	by *auth.Principal
	ok bool
} {
	type row = struct {
		by *auth.Principal
		ok bool
	}
	return map[string]row{
		"operator":                 {operator(), true},
		"account owner":            {accountOwner(acme), true},
		"owner of another account": {accountOwner(globex), false},
		"store owner":              {storeOwner(acmeUS), level == scope.LevelStore},
		"owner of another store":   {storeOwner(acmeEU), false},
		"token that may issue":     {issuer(acme, everyScope().Names()...), true},
		"token that may only read": {apiToken(acme, scope.AccountAPITokensRead), false},
		"token of another account": {issuer(globex, everyScope().Names()...), false},
		"a user who owns nothing": {&auth.Principal{NoCredential: "a test", Kind: auth.Session, AccountID: acme.ID,
			Scopes: everyScope()}, false},
	}
}

func TestMayUpdateAndRotate(t *testing.T) {
	for _, level := range levels {
		for name, row := range manages(level) {
			t.Run(fmt.Sprintf("%s, %s level", name, level), func(t *testing.T) {
				target := issuedToken(level, "store_cart")
				_, updateErr := policy().CheckUpdate(row.by, target, token.Update{Name: new("Another name")}, now)
				rotateErr := policy().CheckRotation(row.by, target, nil, 0, now)
				want := []string{"FORBIDDEN"}
				if row.ok {
					want = nil
				}
				wantFaults(t, updateErr, want...)
				wantFaults(t, rotateErr, want...)
			})
		}
	}
}

func TestOnlyLiveTokensChange(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*token.Token)
		word   string
	}{
		{"revoked", func(t *token.Token) { t.Revocation = &token.Revocation{At: now} }, "revoked"},
		{"expired", endsIn(0), "expired"},
	} {
		for _, level := range levels {
			t.Run(fmt.Sprintf("%s, %s level", tc.name, level), func(t *testing.T) {
				target := issuedToken(level, "store_cart")
				tc.change(&target)
				_, updateErr := policy().CheckUpdate(accountOwner(acme), target,
					token.Update{Name: new("Another name")}, now)
				rotateErr := policy().CheckRotation(accountOwner(acme), target, nil, 0, now)
				for _, err := range []error{updateErr, rotateErr} {
					wantFaults(t, err, "CONFLICT id")
					if !strings.Contains(err.Error(), tc.word) {
						t.Errorf("error: got %q, want it to contain %q", err, tc.word)
					}
				}
			})
		}
	}
}

func TestRotation(t *testing.T) {
	self := func(by *auth.Principal, t *token.Token) { t.ID = by.ID }
	phasedOut := func(by *auth.Principal, t *token.Token) { t.ID, by.ExpiresAt = by.ID, now.Add(time.Hour) }
	for _, tc := range []struct {
		name    string
		set     func(*auth.Principal, *token.Token)
		overlap time.Duration
		want    []string
	}{
		{"without overlap", nil, 0, nil},
		{"with the longest overlap", nil, token.MaxOverlap, nil},
		{"with a longer one", nil, token.MaxOverlap + 1, []string{"INVALID overlapSeconds"}},
		{"with a negative one", nil, -1, []string{"INVALID overlapSeconds"}},

		{"of itself", self, 0, nil},
		{"of itself, with a scope that no token can grant",
			func(by *auth.Principal, t *token.Token) { self(by, t); t.Scopes = by.Scopes }, 0, nil},
		{"of itself, with the same expiration", func(by *auth.Principal, t *token.Token) {
			self(by, t)
			by.ExpiresAt, t.ExpiresAt = now.Add(day), now.Add(day)
		}, 0, nil},
		{"of itself, with a granted access token", func(by *auth.Principal, t *token.Token) {
			self(by, t)
			by.Granted, by.ExpiresAt, t.ExpiresAt = true, now.Add(time.Hour), now.Add(time.Hour)
		}, 0, []string{"FORBIDDEN id"}},
		{"of itself, with an access token of an overlap", phasedOut, 0, []string{"FORBIDDEN id"}},
		{"of itself, with one that expires before the API token", func(by *auth.Principal, t *token.Token) {
			phasedOut(by, t)
			t.ExpiresAt = by.ExpiresAt.Add(time.Microsecond)
		}, 0, []string{"FORBIDDEN id"}},

		{"of another with more scopes", func(_ *auth.Principal,
			t *token.Token) {
			t.Scopes = scope.NewSet("store_cart", "store_sites")
		}, 0, []string{"FORBIDDEN id"}},
		{"of another that may issue", func(_ *auth.Principal,
			t *token.Token) {
			t.Scopes = scope.NewSet(scope.AccountAPITokensWrite)
		}, 0, []string{"FORBIDDEN id"}},
		{"of another with a later expiration", func(by *auth.Principal, t *token.Token) {
			by.ExpiresAt, t.ExpiresAt = now.Add(day), now.Add(day+1)
		}, 0, []string{"FORBIDDEN id"}},
		{"of another without an expiration", func(by *auth.Principal, _ *token.Token) { by.ExpiresAt = now.Add(day) },
			0, []string{"FORBIDDEN id"}},
		{"of another without address ranges",
			func(by *auth.Principal, _ *token.Token) { by.AllowedIPRanges = prefixes("10.0.0.0/8") }, 0,
			[]string{"FORBIDDEN id"}},
		{"of another with other address ranges", func(by *auth.Principal, t *token.Token) {
			by.AllowedIPRanges, t.AllowedIPRanges = prefixes("10.0.0.0/8"), prefixes("192.0.2.0/24")
		}, 0, []string{"FORBIDDEN id"}},
		{"of another with the same limits", func(by *auth.Principal, t *token.Token) {
			by.AllowedIPRanges, t.AllowedIPRanges = prefixes("10.0.0.0/8"), prefixes("10.1.0.0/16")
			by.ExpiresAt, t.ExpiresAt = now.Add(day), now.Add(day)
		}, 0, nil},
		{"of another with a scope that is no longer in the catalogue",
			func(_ *auth.Principal, t *token.Token) { t.Scopes = scope.NewSet("store_of_old") }, 0,
			[]string{"FORBIDDEN id"}},
		{"everything invalid", func(by *auth.Principal, t *token.Token) {
			by.ExpiresAt, by.AllowedIPRanges = now.Add(day), prefixes("10.0.0.0/8")
			t.Scopes = scope.NewSet("store_sites")
		}, -1, []string{"INVALID overlapSeconds", "FORBIDDEN id", "FORBIDDEN id", "FORBIDDEN id"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			by, target := issuer(acme, "store_cart"), issuedToken(scope.LevelAccount, "store_cart")
			if tc.set != nil {
				tc.set(by, &target)
			}
			err := policy().CheckRotation(by, target, nil, tc.overlap, now)
			wantFaults(t, err, tc.want...)
		})
	}
}

// An access token that a rotation replaced cannot rotate its API token, even if both expire at the same time.
func TestReplacedAccessTokenDoesNotRotate(t *testing.T) {
	by, target := issuer(acme, "store_cart"), issuedToken(scope.LevelAccount, "store_cart")
	target.ID, target.ExpiresAt, by.ExpiresAt = by.ID, now.Add(time.Hour), now.Add(time.Hour)
	by.Credential.ID = uuid.New()
	current := []token.AccessToken{{ID: by.Credential.ID}}
	wantFaults(t, policy().CheckRotation(by, target, current, 0, now))
	replaced := []token.AccessToken{{ID: by.Credential.ID, ExpiresAt: by.ExpiresAt}, {ID: uuid.New()}}
	wantFaults(t, policy().CheckRotation(by, target, replaced, 0, now), "FORBIDDEN id")
}

func TestRotationNamesTheScope(t *testing.T) {
	err := policy().CheckRotation(issuer(acme, "store_cart"),
		issuedToken(scope.LevelStore, "store_sites_read_only"), nil, 0, now)
	wantFaults(t, err, "FORBIDDEN id")
	check.Equal(t, fault.Flatten(err)[0].RequiredScopes, []string{"store_sites_read_only"}, "required scopes")
}
