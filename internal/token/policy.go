package token

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
)

// Bounds of a token's fields (design: "Issuing").
const (
	// MinName is the least length of a name after trimming, in characters.
	MinName = 4
	// MaxName is the greatest.
	MaxName = 100
	// MaxIPRanges is the most ranges one token may name.
	MaxIPRanges = 100
	// MaxScopes is the most scopes a request may name: more than there are.
	MaxScopes = 250
	// MaxReason bounds the reason of a revocation, in characters.
	MaxReason = 500
	// DefaultMaxLive is the most live tokens per store and per account.
	DefaultMaxLive = 50
)

// Policy is the issuance rules. Its methods are pure: they look at their
// arguments only and report every broken rule at once, each with its field.
type Policy struct {
	// Catalogue says which scopes there are and who may grant them.
	Catalogue *scope.Catalogue
	// MaxLive is the most live tokens of one owner, by level.
	MaxLive map[scope.Level]int
	// MaxLifetime is the longest that a token with an expiry may live, and
	// makes an expiry mandatory; zero sets no such bound.
	MaxLifetime time.Duration
}

// Grant is a request that passed the policy, in its normal form.
type Grant struct {
	Owner           Owner
	Name            string
	Scopes          scope.Set
	ExpiresAt       time.Time
	AllowedIPRanges []netip.Prefix
}

// MayIssue refuses principals that issue no tokens for the owner. It returns
// fault.Forbidden, or nil.
func (p Policy) MayIssue(by *auth.Principal, o Owner) error {
	return may(by, Token{AccountID: o.account.ID, StoreID: o.store.ID}, auth.CreateTokens, scope.AccountAPITokensWrite)
}

// may refuses principals that may not do with t what the permission of its
// store says. The account's owner and API tokens that hold the scope may do it
// with all tokens of the account; a store's owner, and people who were given the
// permission there, with those of the store (design: "Issuing").
func may(by *auth.Principal, t Token, what auth.Permission, scopeName string) error {
	if by.OwnsAccount(t.AccountID) || t.Level() == scope.LevelStore && by.May(t.AccountID, t.StoreID, what) {
		return nil
	}
	if by.Kind == auth.APIToken && by.AccountID == t.AccountID && by.Scopes.Has(scopeName) {
		return nil
	}
	return auth.Denied(scopeName)
}

// mayChange refuses principals that could not have issued t.
func mayChange(by *auth.Principal, t Token) error {
	return may(by, t, auth.CreateTokens, scope.AccountAPITokensWrite)
}

// Check judges a request of the principal at the moment now. It returns the
// grant, or every broken rule: fault.Forbidden for what the principal may not
// give, fault.Invalid for what nobody may.
func (p Policy) Check(by *auth.Principal, req Request, now time.Time) (Grant, error) {
	if err := p.MayIssue(by, req.Owner); err != nil {
		return Grant{}, err
	}
	g := Grant{Owner: req.Owner, ExpiresAt: req.ExpiresAt.UTC().Truncate(time.Microsecond)}
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

// distinct returns the names in order, each once. Unlike a scope.Set it keeps
// an empty name, to be refused like any other that is no scope.
func distinct(names []string) []string { return slices.Compact(slices.Sorted(slices.Values(names))) }

// checkScope judges one scope: known, grantable on the level, visible to the
// account, and the principal's to give with all that it implies today, which
// may be more than it did when the principal was given it.
func (p Policy) checkScope(by *auth.Principal, o Owner, name string) *fault.Error {
	grant, known := p.Catalogue.Lookup(name)
	switch {
	case !known:
		return fault.Errorf(fault.Invalid, "There is no scope %.64q. The catalogue of scopes lists all.", name)
	case !slices.Contains(rowOf(o.Level()).grantable, grant.Level):
		return fault.Errorf(fault.Invalid, "A %s-level token cannot hold %s.", rowOf(o.Level()).place, name)
	case grant.Feature != "" && !o.account.Has(grant.Feature):
		return fault.Errorf(fault.Invalid, "This account is not enrolled in what %s is for.", name)
	case by.Kind != auth.APIToken:
		return nil
	case !grant.Delegable:
		return fault.Errorf(fault.Forbidden, "No token can give %s to another. The account's owner can.", name)
	}
	if missing := by.Missing(slices.Concat([]string{name}, grant.Implies)...); len(missing) > 0 {
		return fault.Errorf(fault.Forbidden, "This token does not hold %s itself, so it cannot give %s.", missing[0], name).Requiring(missing[0])
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
		broken(fault.Invalid, "A token lives at most %s here. Choose an earlier end.", inDays(p.MaxLifetime))
	}
	if by.Kind == auth.APIToken && !by.ExpiresAt.IsZero() && (at.IsZero() || at.After(by.ExpiresAt)) {
		broken(fault.Forbidden, "This token ends at %s and cannot issue one that lives longer.", by.ExpiresAt.Format(time.RFC3339))
	}
	return faults
}

// inDays is a span of time in words, as people count it.
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
		return nil, fault.List{fault.Errorf(fault.Invalid, "A token has at most %d ranges.", MaxIPRanges).On("allowedIpRanges")}
	}
	var faults fault.List
	var prefixes []netip.Prefix
	for _, text := range ranges {
		prefix, err := parseRange(strings.TrimSpace(text))
		if err != nil {
			faults = append(faults, fault.Errorf(fault.Invalid,
				"%.64q is no IP address and no range of them. Write 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32, for instance.", text).On("allowedIpRanges"))
			continue
		}
		if !slices.Contains(prefixes, prefix) {
			prefixes = append(prefixes, prefix)
		}
	}
	return prefixes, faults
}

// confine keeps an API token that is bound to address ranges from issuing one
// that is not (mission: no token can create one mightier than itself).
func confine(by *auth.Principal, ranges []netip.Prefix) fault.List {
	if by.Kind != auth.APIToken || len(by.AllowedIPRanges) == 0 {
		return nil
	}
	outside := func(p netip.Prefix) bool { return !within(p, by.AllowedIPRanges) }
	if len(ranges) > 0 && !slices.ContainsFunc(ranges, outside) {
		return nil
	}
	return fault.List{fault.Errorf(fault.Forbidden,
		"This token is bound to address ranges. Name ranges within its own.").On("allowedIpRanges")}
}

// parseRange reads a CIDR or a single address. Addresses of IPv4 in IPv6's
// clothes (RFC 4291 section 2.5.5.2) become plain IPv4, as peers' addresses do.
// A zone names an interface of one machine, so it has no place here.
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
