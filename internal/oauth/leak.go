package oauth

import (
	"context"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/secret"
)

// RevokeLeaked revokes a granted access token that leaked, of the API token of. The event is attributed to by. The
// caller checks that the report is genuine; it needs no rights of by. The reason is plain text.
func (s *Service) RevokeLeaked(ctx context.Context, by, of *auth.Principal, value secret.Secret, reason string) error {
	now, subject := s.now.Timestamp(), *of
	subject.Origin = by.Origin
	e := newEvent(&subject, audit.AccessTokenRevoked, now, audit.Detail{Name: "hint", Value: value.Hint()},
		audit.Detail{Name: "reason", Value: reason})
	e.Actor = audit.ActorOf(by.Subject())
	return s.repo.Revoke(ctx, by.Actor(), Revocation{AccountID: of.AccountID, TokenID: of.ID, Kind: value.Kind(),
		Candidates: s.keys.Candidates(value), At: now, Event: e})
}
