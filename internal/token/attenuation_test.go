package token_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
	"latchkey/internal/token"
)

// An API token cannot issue one with more rights, on either level. These rules
// apply to no other principal.
func TestAttenuation(t *testing.T) {
	ending := func(by *auth.Principal) { by.ExpiresAt = now.Add(day) }
	bound := func(by *auth.Principal) { by.AllowedIPRanges = prefixes("10.0.0.0/8", "2001:db8::/32") }
	for _, tc := range []struct {
		name   string
		by     func(*auth.Principal)
		change func(*token.Request)
		want   []string
	}{
		{"all scopes of the issuer", nil, func(r *token.Request) {
			r.Scopes = []string{"store_v2_products",
				"store_cart_read_only"}
		}, nil},
		{"fewer scopes than the issuer", nil,
			func(r *token.Request) { r.Scopes = []string{"store_v2_products_read_only"} }, nil},
		{"a scope that the issuer lacks", nil, func(r *token.Request) { r.Scopes = []string{"store_sites"} },
			[]string{"FORBIDDEN scopes"}},
		{"modify, issuer has read-only", nil, func(r *token.Request) { r.Scopes = []string{"store_cart"} },
			[]string{"FORBIDDEN scopes"}},
		{"each scope that the issuer lacks", nil,
			func(r *token.Request) { r.Scopes = []string{"store_cart", "store_v2_products", "store_sites"} },
			[]string{"FORBIDDEN scopes", "FORBIDDEN scopes"}},
		{"an unknown scope", nil, func(r *token.Request) { r.Scopes = []string{"store_unheard_of", "store_sites"} },
			[]string{"FORBIDDEN scopes", "INVALID scopes"}},

		{"no expiration, issuer has none", nil, func(*token.Request) {}, nil},
		{"an expiration, issuer has none", nil, func(r *token.Request) { r.ExpiresAt = now.AddDate(9, 0, 0) }, nil},
		{"the issuer's expiration", ending, func(r *token.Request) { r.ExpiresAt = now.Add(day) }, nil},
		{"a later expiration", ending, func(r *token.Request) { r.ExpiresAt = now.Add(day + time.Microsecond) },
			[]string{"FORBIDDEN expiresAt"}},
		{"no expiration, issuer has one", ending, func(*token.Request) {}, []string{"FORBIDDEN expiresAt"}},

		{"ranges, issuer has none", nil, func(r *token.Request) { r.AllowedIPRanges = []string{"0.0.0.0/0"} }, nil},
		{"its own ranges", bound, func(r *token.Request) {
			r.AllowedIPRanges = []string{"10.0.0.0/8",
				"2001:db8::/32"}
		}, nil},
		{"ranges within its own", bound, func(r *token.Request) {
			r.AllowedIPRanges = []string{"10.255.0.0/16",
				"2001:db8:1::1"}
		}, nil},
		{"its range, mapped to IPv6", bound,
			func(r *token.Request) { r.AllowedIPRanges = []string{"::ffff:10.0.0.0/104"} }, nil},
		{"no ranges, issuer has some", bound, func(*token.Request) {}, []string{"FORBIDDEN allowedIpRanges"}},
		{"a wider range", bound, func(r *token.Request) { r.AllowedIPRanges = []string{"10.0.0.0/7"} },
			[]string{"FORBIDDEN allowedIpRanges"}},
		{"one range outside", bound, func(r *token.Request) {
			r.AllowedIPRanges = []string{"10.1.0.0/16",
				"192.0.2.1"}
		}, []string{"FORBIDDEN allowedIpRanges"}},
		{"all of the other address family", bound, func(r *token.Request) { r.AllowedIPRanges = []string{"::/0"} },
			[]string{"FORBIDDEN allowedIpRanges"}},
		{"a bad range is the only error", bound, func(r *token.Request) { r.AllowedIPRanges = []string{"nonsense"} },
			[]string{"INVALID allowedIpRanges"}},

		{"everything at once", func(by *auth.Principal) { ending(by); bound(by) },
			func(r *token.Request) { r.Name, r.Scopes = "x", []string{"store_sites"} },
			[]string{"INVALID name", "FORBIDDEN scopes", "FORBIDDEN expiresAt", "FORBIDDEN allowedIpRanges"}},
	} {
		for level, owner := range owners {
			t.Run(fmt.Sprintf("%s, %s level", tc.name, level), func(t *testing.T) {
				by := issuer(acme, "store_v2_products", "store_cart_read_only")
				if tc.by != nil {
					tc.by(by)
				}
				req := request(owner)
				tc.change(&req)
				_, err := policy().Check(by, req, now)
				wantFaults(t, err, tc.want...)
				if level == scope.LevelStore {
					_, err = policy().Check(storeOwner(acmeUS), req, now)
				} else {
					_, err = policy().Check(accountOwner(acme), req, now)
				}
				for _, f := range fault.Flatten(err) {
					if f.Kind == fault.Forbidden {
						t.Errorf("a rule for tokens applies to an owner: %v, want no fault of kind %s",
							f, fault.Forbidden)
					}
				}
			})
		}
	}
}

func TestTokensCannotGrantIssuing(t *testing.T) {
	req := request(owners[scope.LevelAccount])
	req.Scopes = []string{scope.AccountAPITokensWrite}
	_, err := policy().Check(issuer(acme, everyScope().Names()...), req, now)
	wantFaults(t, err, "FORBIDDEN scopes")
	if f := fault.Flatten(err)[0]; f.RequiredScopes != nil {
		t.Errorf("required scopes %q, want none", f.RequiredScopes)
	}
	req.Scopes = []string{scope.AccountAPITokensRead}
	_, err = policy().Check(issuer(acme), req, now)
	wantFaults(t, err)
}

func TestMissingScopeIsNamed(t *testing.T) {
	req := request(owners[scope.LevelAccount])
	req.Scopes = []string{scope.AccountUsersWrite}
	_, err := policy().Check(issuer(acme, scope.AccountUsersRead), req, now)
	wantFaults(t, err, "FORBIDDEN scopes")
	if f := fault.Flatten(err)[0]; !slices.Equal(f.RequiredScopes, []string{scope.AccountUsersWrite}) ||
		!strings.Contains(f.Message, scope.AccountUsersWrite) {
		t.Errorf("the fault: got %+v, want it to require and name %s", f, scope.AccountUsersWrite)
	}
}

// The operator may replace the catalogue. A token that was issued when a scope
// implied less cannot grant what the scope implies now.
func TestGrownImplications(t *testing.T) {
	const catalogue = `
resources:
  - key: orders
    name: Orders
    section: Shop
    level: store
    description: Orders.
    permissions:
      - {name: read-only, scope: orders_read, description: See orders.}
      - {name: modify, scope: orders_write, description: Change orders., implies: [orders_read]}
`
	grown, err := scope.Parse(strings.NewReader(catalogue))
	if err != nil {
		t.Fatal(err)
	}
	p := policy()
	p.Catalogue = grown
	by := issuer(acme)
	// As issued before orders_write implied orders_read.
	by.Scopes = scope.NewSet(scope.AccountAPITokensWrite, "orders_write")
	req := request(owners[scope.LevelStore])
	req.Scopes = []string{"orders_write"}
	_, err = p.Check(by, req, now)
	wantFaults(t, err, "FORBIDDEN scopes")
	check.Equal(t, fault.Flatten(err)[0].RequiredScopes, []string{"orders_read"}, "required scopes")
}
