package signin

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/secret"
)

// RenewCodes replaces the principal's recovery codes. Like DisableTOTP it
// requires a code, since new recovery codes can replace the app. It returns
// fault.NotFound if there is no authenticator app, fault.Invalid on "code" for
// a wrong code, and fault.RateLimited after too many.
func (s *Codes) RenewCodes(ctx context.Context, by *auth.Principal, typed string, v Visitor) ([]secret.Password,
	error) {
	g, err := s.groundsWithCode(ctx, by, typed, v)
	if err != nil {
		return nil, err
	}
	codes, digests, err := s.newCodes(by.Person())
	if err != nil {
		return nil, err
	}
	events, err := s.persons.ownEvents(ctx, by, audit.RecoveryCodesRenewed)
	if err != nil {
		return nil, err
	}
	if err := s.repo.ReplaceCodes(ctx, by.Actor(), g, digests, events); err != nil {
		return nil, err
	}
	s.notices.notify(by.Person(), by.Origin.IP, audit.RecoveryCodesRenewed)
	return codes, nil
}

// The number of recovery codes, and their length in characters. Their 60 random
// bits cannot be guessed online.
const (
	RecoveryCodes      = 10
	recoveryCodeLength = 12
	recoveryAlphabet   = "23456789abcdefghjkmnpqrstuvwxyz0" // 32 characters, none of which look alike
)

func (s *Codes) newCodes(userID uuid.UUID) ([]secret.Password, []secret.KeyedDigest, error) {
	codes, digests := make([]secret.Password, RecoveryCodes), make([]secret.KeyedDigest, RecoveryCodes)
	raw := make([]byte, recoveryCodeLength)
	for i := range codes {
		if _, err := io.ReadFull(s.random, raw); err != nil {
			return nil, nil, fmt.Errorf("read random bytes for recovery codes: %w", err)
		}
		text := make([]byte, recoveryCodeLength)
		for j, b := range raw {
			text[j] = recoveryAlphabet[int(b)%len(recoveryAlphabet)] // 256 is a multiple of 32
		}
		codes[i] = secret.NewPassword(grouped(string(text), "-"))
		digests[i] = s.keys.DigestCode(userID.String(), secret.NewPassword(string(text)))
	}
	return codes, digests, nil
}

// grouped inserts a separator after every four characters.
func grouped(text, separator string) string {
	const group = 4
	var parts []string
	for i := 0; i < len(text); i += group {
		parts = append(parts, text[i:min(i+group, len(text))])
	}
	return strings.Join(parts, separator)
}
