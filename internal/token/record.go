package token

import (
	"io"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
)

// newEvent returns the audit event of a change to a token.
func newEvent(by *auth.Principal, action audit.Action, t Token, at time.Time, details ...audit.Detail) audit.Event {
	e := audit.Event{
		ID: uuid.Must(uuid.NewV7()), AccountID: t.AccountID, At: at, Actor: audit.ActorOf(by.Subject()), Action: action,
		Target: t.target(), RequestID: by.Origin.RequestID, Details: details,
	}
	if t.ID != uuid.Nil { // it is zero in the template of a revocation
		e.Data = t.Data(at)
	}
	if by.Origin.IP.IsValid() {
		e.IP = by.Origin.IP.String()
	}
	return e
}

// target returns the token as the target of an event.
func (t Token) target() audit.Target {
	return audit.Target{Kind: audit.TargetAPIToken, Key: t.ID.String(), Name: t.Name}
}

// grantDetails returns the rights of a new token as event details.
func grantDetails(t Token) []audit.Detail {
	details := []audit.Detail{{Name: "level", Value: string(t.Level())}}
	if t.StoreHash != "" {
		details = append(details, audit.Detail{Name: "storeHash", Value: t.StoreHash})
	}
	for _, f := range fields(t) {
		if f.Name != "name" && f.Value != "" {
			details = append(details, f)
		}
	}
	return details
}

// changeDetails returns the fields that an update changed, with their new values.
func changeDetails(before, after Token) []audit.Detail {
	var details []audit.Detail
	old := fields(before)
	for i, f := range fields(after) {
		if f != old[i] {
			details = append(details, f)
		}
	}
	return details
}

// fields returns the fields of a token that an update can change, as text.
func fields(t Token) []audit.Detail {
	expiry := ""
	if !t.ExpiresAt.IsZero() {
		expiry = t.ExpiresAt.Format(time.RFC3339Nano)
	}
	ranges := make([]string, len(t.AllowedIPRanges))
	for i, p := range t.AllowedIPRanges {
		ranges[i] = p.String()
	}
	return []audit.Detail{
		{Name: "name", Value: t.Name},
		{Name: "scopes", Value: t.Scopes.String()},
		{Name: "expiresAt", Value: expiry},
		{Name: "allowedIpRanges", Value: strings.Join(ranges, " ")},
		{Name: "chargeLimit", Value: t.ChargeLimit.String()},
	}
}

func reasonDetail(reason string) []audit.Detail {
	if reason == "" {
		return nil
	}
	return []audit.Detail{{Name: "reason", Value: reason}}
}

// clientIDAlphabet has 32 letters and digits, so that taking a random byte modulo
// 32 is unbiased. It omits characters that are easily misread.
const clientIDAlphabet = "abcdefghijkmnpqrstuvwxyz23456789"

// newClientID returns a public identifier of 155 random bits, which is unique
// without a lookup.
func newClientID(random io.Reader) (string, error) {
	raw := make([]byte, 31)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", err
	}
	for i, b := range raw {
		raw[i] = clientIDAlphabet[b%32]
	}
	return string(raw), nil
}
