package openid

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"latchkey/internal/signin"
)

// skew is how far the provider's clock may be ahead.
const skew = 5 * time.Minute

// claimSet has the claims of a token by their exact names. Decoding into a
// struct would accept "SUB" for "sub".
type claimSet map[string]json.RawMessage

// idToken checks the claims of an ID token with a verified signature (OpenID
// Connect Core, sections 2 and 3.1.3.7). It requires every claim that the
// specification requires.
func (p *Provider) idToken(all claimSet, nonce string) (signin.Claims, error) {
	var result signin.Claims
	var authorizedParty string
	var issued, expires time.Time
	err := errors.Join(
		all.equal("iss", p.config.Issuer),
		all.equal("nonce", nonce),
		all.subject(&result.Subject),
		all.audience(p.config.ClientID),
		all.text("azp", &authorizedParty),
		all.date("iat", true, &issued),
		all.date("exp", true, &expires),
		all.date("auth_time", false, &result.AuthenticatedAt),
		all.email(&result),
	)
	now := p.config.Now()
	switch {
	case err != nil:
		return signin.Claims{}, err
	case authorizedParty != "" && authorizedParty != p.config.ClientID:
		return signin.Claims{}, errors.New("azp is another client")
	case !now.Before(expires):
		return signin.Claims{}, fmt.Errorf("exp has passed: %s", expires)
	case issued.After(now.Add(skew)):
		return signin.Claims{}, fmt.Errorf("iat is in the future: %s", issued)
	}
	return result, nil
}

// text reads a claim that is a string, if it is present.
func (c claimSet) text(name string, to *string) error {
	if c.absent(name) {
		return nil
	}
	if err := json.Unmarshal(c[name], to); err != nil {
		return fmt.Errorf("%s is not a string", name)
	}
	return nil
}

func (c claimSet) absent(name string) bool {
	value, there := c[name]
	return !there || string(value) == "null"
}

// equal returns an error unless the claim has this value.
func (c claimSet) equal(name, want string) error {
	var got string
	if err := c.text(name, &got); err != nil {
		return err
	}
	if got == "" || got != want {
		return fmt.Errorf("%s has another value than required", name)
	}
	return nil
}

func (c claimSet) subject(to *string) error {
	if err := c.text("sub", to); err != nil {
		return err
	}
	if !signin.ValidSubject(*to) {
		return errors.New("sub is missing, or not 1 to 255 printable ASCII characters")
	}
	return nil
}

// audience requires the client to be the only audience: no other is trusted.
func (c claimSet) audience(want string) error {
	var several []string
	var one string
	switch {
	case json.Unmarshal(c["aud"], &one) == nil:
		several = []string{one}
	case json.Unmarshal(c["aud"], &several) != nil:
		return errors.New("aud is missing or malformed")
	}
	if !slices.Equal(several, []string{want}) {
		return errors.New("aud is not only this client")
	}
	return nil
}

// date reads a NumericDate (RFC 7519, section 2). It may have a fraction, and
// some providers send it as a string.
func (c claimSet) date(name string, required bool, to *time.Time) error {
	if c.absent(name) {
		if required {
			return fmt.Errorf("%s is missing", name)
		}
		return nil
	}
	text := string(c[name])
	if quoted := ""; json.Unmarshal(c[name], &quoted) == nil {
		text = quoted
	}
	seconds, err := strconv.ParseFloat(text, 64)
	const most = 1 << 40 // far beyond any date, and in the range of time.Unix
	if err != nil || math.IsNaN(seconds) || seconds < 0 || seconds > most {
		return fmt.Errorf("%s is not a date", name)
	}
	if whole := int64(seconds); whole > 0 {
		*to = time.Unix(whole, 0).UTC()
	}
	return nil
}

// email reads the address, which may be missing. Some providers send
// email_verified as a string; any value except true counts as false.
func (c claimSet) email(to *signin.Claims) error {
	verified := string(c["email_verified"])
	to.EmailVerified = verified == "true" || verified == `"true"`
	return c.text("email", &to.Email)
}
