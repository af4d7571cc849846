package token

import (
	"net/netip"
	"slices"
	"time"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// CheckUpdate judges the narrowing of a live token at the moment now. It
// returns the narrowed token, or every broken rule: fault.Conflict when the
// token is no longer live, fault.Invalid for whatever would widen it.
func (p Policy) CheckUpdate(by *auth.Principal, t Token, u Update, now time.Time) (Token, error) {
	if err := mayChange(by, t); err != nil {
		return Token{}, err
	}
	if err := mustLive(t, now); err != nil {
		return Token{}, err
	}
	if u.Name == nil && u.Scopes == nil && u.ExpiresAt == nil && u.AllowedIPRanges == nil {
		return Token{}, fault.Errorf(fault.Invalid, "Nothing would change. Change at least one thing.")
	}
	var faults fault.List
	if u.Name != nil {
		name, found := checkName(*u.Name)
		t.Name, faults = name, append(faults, found...)
	}
	if u.Scopes != nil {
		faults = append(faults, p.narrowScopes(&t, u.Scopes)...)
	}
	if u.ExpiresAt != nil {
		faults = append(faults, narrowExpiry(&t, *u.ExpiresAt, now)...)
	}
	if u.AllowedIPRanges != nil {
		faults = append(faults, narrowRanges(&t, u.AllowedIPRanges)...)
	}
	return t, faults.Err()
}

func mustLive(t Token, now time.Time) error {
	switch t.Status(now) {
	case Revoked:
		return fault.Errorf(fault.Conflict, "This API token is revoked.").On("id")
	case Expired:
		return fault.Errorf(fault.Conflict, "This API token has expired.").On("id")
	}
	return nil
}

func (p Policy) narrowScopes(t *Token, names []string) fault.List {
	if len(names) == 0 {
		return fault.List{fault.Errorf(fault.Invalid, "Choose at least one scope. To take all away, delete the token.").On("scopes")}
	}
	if len(names) > MaxScopes {
		return fault.List{fault.Errorf(fault.Invalid, "Choose at most %d scopes.", MaxScopes).On("scopes")}
	}
	wanted := p.Catalogue.Expand(names...)
	var faults fault.List
	for _, name := range t.Scopes.Missing(distinct(append(wanted.Names(), names...))...) {
		faults = append(faults, fault.Errorf(fault.Invalid,
			"A token never gains rights, and this one does not hold %.64q. Create another one for more.", name).On("scopes"))
	}
	t.Scopes = wanted
	return faults
}

func narrowExpiry(t *Token, at, now time.Time) fault.List {
	at = at.UTC().Truncate(time.Microsecond)
	widens := !t.ExpiresAt.IsZero() && (at.IsZero() || at.After(t.ExpiresAt))
	switch {
	case widens:
		return fault.List{fault.Errorf(fault.Invalid,
			"A token never gains time: choose an end no later than %s.", t.ExpiresAt.Format(time.RFC3339)).On("expiresAt")}
	case !at.IsZero() && !at.After(now):
		return fault.List{fault.Errorf(fault.Invalid, "This time has passed. To end the token now, delete it.").On("expiresAt")}
	}
	t.ExpiresAt = at
	return nil
}

func narrowRanges(t *Token, ranges []string) fault.List {
	prefixes, faults := checkRanges(ranges)
	if len(t.AllowedIPRanges) > 0 && len(ranges) == 0 {
		return fault.List{fault.Errorf(fault.Invalid, "A token never gains rights: leave it at least one range of addresses.").On("allowedIpRanges")}
	}
	for _, prefix := range prefixes {
		if len(t.AllowedIPRanges) > 0 && !within(prefix, t.AllowedIPRanges) {
			faults = append(faults, fault.Errorf(fault.Invalid,
				"A token never gains rights, and %s lies outside its ranges.", prefix).On("allowedIpRanges"))
		}
	}
	t.AllowedIPRanges = prefixes
	return faults
}

func within(inner netip.Prefix, outer []netip.Prefix) bool {
	return slices.ContainsFunc(outer, func(o netip.Prefix) bool {
		return o.Bits() <= inner.Bits() && o.Contains(inner.Addr())
	})
}

// MaxOverlap is the longest that a rotation may leave the previous access
// token alive; DefaultOverlap is what it leaves unless asked.
const (
	DefaultOverlap = 24 * time.Hour
	MaxOverlap     = 30 * 24 * time.Hour
)

// CheckRotation judges whether the principal may have a new access token of t
// at the moment now. An API token may rotate itself, though not by an access
// token whose own end an earlier rotation has set, nor by one that its client
// was granted; another only if it could have issued that one (mission: no
// token can create one mightier than itself). It returns fault.Forbidden,
// fault.Conflict or fault.Invalid.
func (p Policy) CheckRotation(by *auth.Principal, t Token, overlap time.Duration, now time.Time) error {
	if err := mayChange(by, t); err != nil {
		return err
	}
	if err := mustLive(t, now); err != nil {
		return err
	}
	var faults fault.List
	if overlap < 0 || overlap > MaxOverlap {
		faults = append(faults, fault.Errorf(fault.Invalid, "The overlap is 0 to %d seconds.", int(MaxOverlap.Seconds())).On("overlapSeconds"))
	}
	if by.Kind == auth.APIToken {
		faults = append(faults, p.checkAttenuation(by, t)...)
	}
	return faults.Err()
}

func (p Policy) checkAttenuation(by *auth.Principal, t Token) fault.List {
	var faults fault.List
	if !by.ExpiresAt.IsZero() && (t.ExpiresAt.IsZero() || t.ExpiresAt.After(by.ExpiresAt)) {
		faults = append(faults, fault.Errorf(fault.Forbidden,
			"This access token ends at %s and cannot renew one that lives longer.", by.ExpiresAt.Format(time.RFC3339)).On("id"))
	}
	if by.ID == t.ID && by.Granted {
		return append(faults, fault.Errorf(fault.Forbidden,
			"A granted access token (lko_…) cannot renew its own API token, which may hold more. Use the API token's access token.").On("id"))
	}
	if by.ID == t.ID {
		return faults
	}
	for _, name := range t.Scopes.Names() {
		grant, known := p.Catalogue.Lookup(name)
		if missing := by.Missing(name); len(missing) > 0 || known && !grant.Delegable {
			faults = append(faults, fault.Errorf(fault.Forbidden,
				"This token could not have given %s, so it cannot renew one that holds it.", name).On("id").Requiring(missing...))
		}
	}
	for _, f := range confine(by, t.AllowedIPRanges) {
		faults = append(faults, f.On("id"))
	}
	return faults
}
