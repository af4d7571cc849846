package token

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// Leak says which secret of an API token other people may know.
type Leak struct {
	TokenID uuid.UUID
	// AccessID is the ID of the access token, or zero for the client secret.
	AccessID uuid.UUID
	// Hint is that of the secret.
	Hint string
	// Reason is recorded. It has at most MaxReason characters of plain text.
	Reason string
}

// details returns the leak as details of an event.
func (l Leak) details() []audit.Detail {
	return append([]audit.Detail{{Name: "hint", Value: l.Hint}}, reasonDetail(l.Reason)...)
}

// errNothingToRevoke ends a change that would change nothing.
var errNothingToRevoke = fault.Errorf(fault.Conflict, "The API token is not active.")

// RevokeLeaked revokes an API token of which a secret leaked. If a rotation has given it another access token than the
// one that leaked, only the latter ends. It reports whether anything was revoked. The caller checks that the report is
// genuine; it needs no rights of the principal, to which the events are attributed.
func (s *Service) RevokeLeaked(ctx context.Context, by *auth.Principal, l Leak) (bool, error) {
	now, whole := s.Now(), false
	err := s.repo.Change(ctx, by.Actor(), by.AccountID, l.TokenID, func(t Token, live []AccessToken) (Change, error) {
		isLeaked := func(a AccessToken) bool { return a.ID == l.AccessID }
		newer := func(a AccessToken) bool { return !isLeaked(a) && a.ExpiresAt.IsZero() }
		switch {
		case t.Status(now) != Active, l.AccessID != uuid.Nil && !slices.ContainsFunc(live, isLeaked):
			return Change{}, errNothingToRevoke
		case l.AccessID == uuid.Nil || !slices.ContainsFunc(live, newer):
			whole = true
			return Change{}, errNothingToRevoke
		}
		return Change{Ended: []uuid.UUID{l.AccessID},
			Event: newEvent(by, audit.AccessTokenRevoked, t, now, l.details()...)}, nil
	})
	if whole {
		draft := NewRevocationDraft(by, []uuid.UUID{l.TokenID}, l.Reason, now)
		_, err := s.repo.Revoke(ctx, by.Actor(), draft)
		return err == nil, err
	}
	return err == nil, isChange(err)
}

// RecordLeak records that a secret of an API token leaked, and revokes nothing. It reports whether the API token is
// active; otherwise it records nothing.
func (s *Service) RecordLeak(ctx context.Context, by *auth.Principal, l Leak) (bool, error) {
	now := s.Now()
	err := s.repo.Change(ctx, by.Actor(), by.AccountID, l.TokenID, func(t Token, _ []AccessToken) (Change, error) {
		if t.Status(now) != Active {
			return Change{}, errNothingToRevoke
		}
		return Change{Event: newEvent(by, audit.APITokenLeaked, t, now, l.details()...)}, nil
	})
	return err == nil, isChange(err)
}

// isChange returns the error of a change, or nil if it ended with errNothingToRevoke.
func isChange(err error) error {
	if fault.KindOf(err) == fault.Conflict {
		return nil
	}
	return err
}
