package token

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
)

// Limits of a token's fields (docs/architecture.md: "Issuing").
const (
	// MinName and MaxName are the fewest and the most characters of a trimmed name.
	MinName = 4
	MaxName = 100
	// MaxIPRanges is the most address ranges of a token.
	MaxIPRanges = 100
	// MaxScopes is the most scopes in a request. The catalogue has fewer, so valid requests never reach it.
	MaxScopes = 250
	// MaxReason is the most characters of a revocation's reason.
	MaxReason = 500
	// DefaultMaxLive is the default limit of active tokens of a store or an
	// account.
	DefaultMaxLive = 50
)

// Policy is the rules of issuing. Its methods are pure. They report all broken
// rules at once, each on its field.
type Policy struct {
	// Catalogue has the scopes that exist.
	Catalogue *scope.Catalogue
	// MaxLive is the limit of active tokens of one owner, by level.
	MaxLive map[scope.Level]int
	// MaxLifetime is the maximum lifetime of a token. If it is not zero, a token
	// must have an expiration time.
	MaxLifetime time.Duration
}

// Grant is a request that passed Policy.Check, in normal form.
type Grant struct {
	Owner           Owner
	Name            string
	Scopes          scope.Set
	ExpiresAt       time.Time
	AllowedIPRanges []netip.Prefix
	ChargeLimit     auth.ChargeLimit
}

// MayIssue returns fault.Forbidden unless the principal may issue tokens for the
// owner.
func (p Policy) MayIssue(by *auth.Principal, o Owner) error {
	return may(by, Token{AccountID: o.account.ID, StoreID: o.store.ID}, auth.CreateTokens, scope.AccountAPITokensWrite)
}

// may returns fault.Forbidden unless the principal may act on t as the permission
// says. The account's owner, and API tokens that hold the scope, may act on all
// tokens of the account. A store's owner, and users with the permission in the
// store, may act on the store's tokens (docs/architecture.md: "Issuing").
func may(by *auth.Principal, t Token, what auth.Permission, scopeName string) error {
	if by.OwnsAccount(t.AccountID) || t.Level() == scope.LevelStore && by.May(t.AccountID, t.StoreID, what) {
		return nil
	}
	if by.Kind == auth.APIToken && by.AccountID == t.AccountID && by.Scopes.Has(scopeName) {
		return nil
	}
	return auth.Denied(scopeName)
}

// mayWrite returns fault.Forbidden unless the principal may issue, change and revoke tokens of t's owner. One right
// covers all three.
func mayWrite(by *auth.Principal, t Token) error {
	return may(by, t, auth.CreateTokens, scope.AccountAPITokensWrite)
}

// Check checks a request of the principal at the time now. It returns the grant, or
// an error for each broken rule: fault.Forbidden for what this principal may not
// grant, and fault.Invalid for what no principal may.
func (p Policy) Check(by *auth.Principal, req Request, now time.Time) (Grant, error) {
	if err := p.MayIssue(by, req.Owner); err != nil {
		return Grant{}, err
	}
	g := Grant{Owner: req.Owner, ExpiresAt: clock.Timestamp(req.ExpiresAt)}
	var faults fault.List
	var found fault.List
	g.Name, found = checkName(req.Name)
	faults = append(faults, found...)
	g.Scopes, found = p.checkScopes(by, req)
	faults = append(faults, found...)
	faults = append(faults, p.checkExpiry(by, g.ExpiresAt, now)...)
	g.AllowedIPRanges, found = checkRanges(req.AllowedIPRanges)
	faults = append(faults, found...)
	if len(found) == 0 {
		faults = append(faults, confine(by, g.AllowedIPRanges)...)
	}
	g.ChargeLimit, found = checkLimit(by, g.Scopes, req.ChargeLimit)
	faults = append(faults, found...)
	return g, faults.Err()
}

func (p Policy) checkScopes(by *auth.Principal, req Request) (scope.Set, fault.List) {
	switch n := len(req.Scopes); {
	case n == 0:
		return scope.Set{}, fault.List{fault.Errorf(fault.Invalid, "Choose at least one scope.").On("scopes")}
	case n > MaxScopes:
		return scope.Set{}, fault.List{fault.Errorf(fault.Invalid, "Choose at most %d scopes.", MaxScopes).On("scopes")}
	}
	var faults fault.List
	for _, name := range distinct(req.Scopes) {
		if f := p.checkScope(by, req.Owner, name); f != nil {
			faults = append(faults, f.On("scopes"))
		}
	}
	return p.Catalogue.Expand(req.Scopes...), faults
}

// distinct returns the names sorted and without duplicates. Unlike a scope.Set it
// keeps an empty name, which is then rejected as unknown.
func distinct(names []string) []string { return slices.Compact(slices.Sorted(slices.Values(names))) }

// checkScope checks one scope. It must exist, be grantable on the level and be visible
// to the account. The principal must hold it and everything that it implies today, which
// may be more than when the principal received it.
func (p Policy) checkScope(by *auth.Principal, o Owner, name string) *fault.Error {
	grant, known := p.Catalogue.Lookup(name)
	switch {
	case !known:
		return fault.Errorf(fault.Invalid, "There is no scope %.64q. The catalogue of scopes lists all.", name)
	case !slices.Contains(rowOf(o.Level()).grantable, grant.Level):
		return fault.Errorf(fault.Invalid, "A %s-level token cannot hold %s.", rowOf(o.Level()).place, name)
	case grant.Feature != "" && !o.account.Has(grant.Feature):
		return fault.Errorf(fault.Invalid, "This account is not enrolled in the program for %s.", name)
	case by.Kind != auth.APIToken:
		return nil
	case !grant.Delegable:
		return fault.Errorf(fault.Forbidden, "No token can grant %s. The account's owner can.", name)
	}
	if missing := by.Missing(slices.Concat([]string{name}, grant.Implies)...); len(missing) > 0 {
		return fault.Errorf(fault.Forbidden, "This token does not hold %s, so it cannot grant %s.", missing[0],
			name).Requiring(missing[0])
	}
	return nil
}

func (p Policy) checkExpiry(by *auth.Principal, at, now time.Time) fault.List {
	var faults fault.List
	broken := func(kind fault.Kind, format string, args ...any) {
		faults = append(faults, fault.Errorf(kind, format, args...).On("expiresAt"))
	}
	if !at.IsZero() && !at.After(now) {
		broken(fault.Invalid, "This time has passed. Choose a later one, or none.")
	}
	if p.MaxLifetime > 0 && (at.IsZero() || at.After(now.Add(p.MaxLifetime))) {
		broken(fault.Invalid, "A token can be valid for at most %s. Choose an earlier expiration time.",
			inDays(p.MaxLifetime))
	}
	if by.Kind == auth.APIToken && !by.ExpiresAt.IsZero() && (at.IsZero() || at.After(by.ExpiresAt)) {
		broken(fault.Forbidden, "This token expires at %s and cannot issue one that expires later.",
			by.ExpiresAt.Format(time.RFC3339))
	}
	return faults
}

// inDays formats a duration in days if it is a whole number of them.
func inDays(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == day:
		return "1 day"
	case d%day == 0:
		return strconv.Itoa(int(d/day)) + " days"
	}
	return d.String()
}

func checkRanges(ranges []string) ([]netip.Prefix, fault.List) {
	if len(ranges) > MaxIPRanges {
		return nil, fault.List{fault.Errorf(fault.Invalid, "A token has at most %d ranges.",
			MaxIPRanges).On("allowedIpRanges")}
	}
	var faults fault.List
	var prefixes []netip.Prefix
	for _, text := range ranges {
		prefix, err := parseRange(strings.TrimSpace(text))
		if err != nil {
			faults = append(faults, fault.Errorf(fault.Invalid,
				"%.64q is not an IP address or range. Write 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32, for instance.", text).On("allowedIpRanges"))
			continue
		}
		if !slices.Contains(prefixes, prefix) {
			prefixes = append(prefixes, prefix)
		}
	}
	return prefixes, faults
}

// confine returns fault.Forbidden if an API token with allowed IP addresses would
// issue a token that works from others (docs/architecture.md: "Issuing").
func confine(by *auth.Principal, ranges []netip.Prefix) fault.List {
	if by.Kind != auth.APIToken || len(by.AllowedIPRanges) == 0 {
		return nil
	}
	outside := func(p netip.Prefix) bool { return !within(p, by.AllowedIPRanges) }
	if len(ranges) > 0 && !slices.ContainsFunc(ranges, outside) {
		return nil
	}
	return fault.List{fault.Errorf(fault.Forbidden,
		"This token is restricted to address ranges. Enter ranges within them.").On("allowedIpRanges")}
}

// parseRange parses a CIDR or a single address. It converts an IPv4-mapped IPv6
// address (RFC 4291 section 2.5.5.2) to IPv4, as for the addresses of peers. It
// rejects a zone, which names an interface of one machine.
func parseRange(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	if addr := prefix.Addr(); addr.Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked(), nil
}
