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

// claimSet is the claims of a token by their exact names: encoding/json takes
// "SUB" for "sub" where it fills a struct.
type claimSet map[string]json.RawMessage

// idToken judges the claims of an ID token whose signature is verified (OpenID
// Connect Core, sections 2 and 3.1.3.7). All that is required of an ID token is
// required here.
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
		all.moment("iat", true, &issued),
		all.moment("exp", true, &expires),
		all.moment("auth_time", false, &result.AuthenticatedAt),
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

// text reads a claim that is text if it is there.
func (c claimSet) text(name string, to *string) error {
	if c.absent(name) {
		return nil
	}
	if err := json.Unmarshal(c[name], to); err != nil {
		return fmt.Errorf("%s is no text", name)
	}
	return nil
}

func (c claimSet) absent(name string) bool {
	value, there := c[name]
	return !there || string(value) == "null"
}

// equal requires a claim with a value.
func (c claimSet) equal(name, want string) error {
	var got string
	if err := c.text(name, &got); err != nil {
		return err
	}
	if got == "" || got != want {
		return fmt.Errorf("%s is not what it should be", name)
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
		return errors.New("aud is not this client alone")
	}
	return nil
}

// moment reads a NumericDate (RFC 7519, section 2), which may have a fraction,
// and which some providers write as text.
func (c claimSet) moment(name string, required bool, to *time.Time) error {
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
	const most = 1 << 40 // far beyond any date, and within what time.Unix takes
	if err != nil || math.IsNaN(seconds) || seconds < 0 || seconds > most {
		return fmt.Errorf("%s is no date", name)
	}
	if whole := int64(seconds); whole > 0 {
		*to = time.Unix(whole, 0).UTC()
	}
	return nil
}

// email reads the address, which may be missing. Some providers write
// email_verified as text; whatever is not true is false.
func (c claimSet) email(to *signin.Claims) error {
	verified := string(c["email_verified"])
	to.EmailVerified = verified == "true" || verified == `"true"`
	return c.text("email", &to.Email)
}
