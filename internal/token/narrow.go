package token

import (
	"net/netip"
	"slices"
	"time"

	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
)

// CheckUpdate checks an update of an active token at the time now. It returns the
// restricted token, or an error for each rule that the update breaks:
// fault.Conflict for a token that is not active, and fault.Invalid for a change
// that would give the token more rights.
func (p Policy) CheckUpdate(by *auth.Principal, t Token, u Update, now time.Time) (Token, error) {
	if err := mayWrite(by, t); err != nil {
		return Token{}, err
	}
	if err := mustLive(t, now); err != nil {
		return Token{}, err
	}
	if u.Name == nil && u.Scopes == nil && u.ExpiresAt == nil && u.AllowedIPRanges == nil && u.ChargeLimit == nil {
		return Token{}, fault.Errorf(fault.Invalid, "Nothing would change. Change at least one field.")
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
	if u.ChargeLimit != nil {
		faults = append(faults, narrowLimit(&t, *u.ChargeLimit)...)
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
		return fault.List{fault.Errorf(fault.Invalid,
			"Choose at least one scope. To remove all, delete the token.").On("scopes")}
	}
	if len(names) > MaxScopes {
		return fault.List{fault.Errorf(fault.Invalid, "Choose at most %d scopes.", MaxScopes).On("scopes")}
	}
	wanted := p.Catalogue.Expand(names...)
	var faults fault.List
	for _, name := range t.Scopes.Missing(distinct(append(wanted.Names(), names...))...) {
		faults = append(faults, fault.Errorf(fault.Invalid,
			"An update can only remove scopes, and this token does not have %.64q. Create another token instead.",
			name).On("scopes"))
	}
	t.Scopes = wanted
	return faults
}

func narrowExpiry(t *Token, at, now time.Time) fault.List {
	at = clock.Timestamp(at)
	widens := !t.ExpiresAt.IsZero() && (at.IsZero() || at.After(t.ExpiresAt))
	switch {
	case widens:
		return fault.List{fault.Errorf(fault.Invalid,
			"An update can only make a token expire earlier: choose a time no later than %s.",
			t.ExpiresAt.Format(time.RFC3339)).On("expiresAt")}
	case !at.IsZero() && !at.After(now):
		return fault.List{fault.Errorf(fault.Invalid,
			"This time has passed. To end the token now, delete it.").On("expiresAt")}
	}
	t.ExpiresAt = at
	return nil
}

func narrowRanges(t *Token, ranges []string) fault.List {
	prefixes, faults := checkRanges(ranges)
	if len(t.AllowedIPRanges) > 0 && len(ranges) == 0 {
		return fault.List{fault.Errorf(fault.Invalid,
			"An update can only narrow the address ranges: leave at least one.").On("allowedIpRanges")}
	}
	for _, prefix := range prefixes {
		if len(t.AllowedIPRanges) > 0 && !within(prefix, t.AllowedIPRanges) {
			faults = append(faults, fault.Errorf(fault.Invalid,
				"An update can only narrow the address ranges, and %s is outside of them.",
				prefix).On("allowedIpRanges"))
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

// DefaultOverlap and MaxOverlap are the default and the maximum time for which a
// rotation keeps the previous access token working.
const (
	DefaultOverlap = 24 * time.Hour
	MaxOverlap     = 30 * 24 * time.Hour
)

// CheckRotation checks whether the principal may rotate t, which has the access
// tokens existing, at the time now. An API token may rotate itself, but not with an
// access token that already expires because of an earlier rotation, nor with a
// granted access token. It may rotate another API token only if it could have
// issued it (docs/architecture.md: "Issuing"). It returns fault.Forbidden,
// fault.Conflict or fault.Invalid.
func (p Policy) CheckRotation(by *auth.Principal, t Token, existing []AccessToken, overlap time.Duration,
	now time.Time) error {
	if err := mayWrite(by, t); err != nil {
		return err
	}
	if err := mustLive(t, now); err != nil {
		return err
	}
	var faults fault.List
	if overlap < 0 || overlap > MaxOverlap {
		faults = append(faults, fault.Errorf(fault.Invalid, "The overlap is 0 to %d seconds.",
			int(MaxOverlap.Seconds())).On("overlapSeconds"))
	}
	if by.Kind == auth.APIToken {
		faults = append(faults, p.checkAttenuation(by, t, existing)...)
	}
	return faults.Err()
}

func (p Policy) checkAttenuation(by *auth.Principal, t Token, existing []AccessToken) fault.List {
	var faults fault.List
	if !by.ExpiresAt.IsZero() && (t.ExpiresAt.IsZero() || t.ExpiresAt.After(by.ExpiresAt)) {
		faults = append(faults, fault.Errorf(fault.Forbidden,
			"This access token expires at %s and cannot rotate a token that expires later.",
			by.ExpiresAt.Format(time.RFC3339)).On("id"))
	}
	if by.ID == t.ID && by.Granted {
		return append(faults, fault.Errorf(fault.Forbidden,
			"A granted access token (lko_…) cannot rotate its own API token, which may have more scopes. Use the API token's access token.").On("id"))
	}
	if by.ID == t.ID {
		if len(faults) == 0 && wasReplaced(by, existing) {
			faults = append(faults, fault.Errorf(fault.Forbidden,
				"This access token was replaced by a rotation and cannot rotate its API token. Use the newer access token.").On("id"))
		}
		return faults
	}
	for _, name := range t.Scopes.Names() {
		grant, known := p.Catalogue.Lookup(name)
		if missing := by.Missing(name); len(missing) > 0 || known && !grant.Delegable {
			faults = append(faults, fault.Errorf(fault.Forbidden,
				"This token cannot grant %s, so it cannot rotate a token that has it.",
				name).On("id").Requiring(missing...))
		}
	}
	for _, f := range confine(by, t.AllowedIPRanges) {
		faults = append(faults, f.On("id"))
	}
	if t.Scopes.Has(scope.AccountChargesWrite) && !mayCharge(by, t.ChargeLimit) {
		faults = append(faults, fault.Errorf(fault.Forbidden,
			"This token can charge at most %s in a month, so it cannot rotate a token that can charge more.",
			by.ChargeLimit).On("id"))
	}
	return faults
}

// wasReplaced reports whether a rotation gave the principal's access token an
// expiration time. The API token may expire as early, so times do not show it.
func wasReplaced(by *auth.Principal, existing []AccessToken) bool {
	return slices.ContainsFunc(existing, func(a AccessToken) bool {
		return a.ID == by.Credential.ID && !a.ExpiresAt.IsZero()
	})
}
