package user

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// SessionSelection selects sessions. Zero fields select all.
type SessionSelection struct {
	IDs []uuid.UUID
	// Except is a session to leave out.
	Except uuid.UUID
	// SignedIn leaves out the sessions that the operator started.
	SignedIn          bool
	UserID, AccountID uuid.UUID
	// PersonID is the person who signed in, in any account.
	PersonID uuid.UUID
	// EmailFolded is the folded address of the session's user, in any account.
	EmailFolded string
}

// SessionFilter selects sessions as a caller names them. Zero fields select
// all.
type SessionFilter struct {
	IDs []uuid.UUID
	// Email is a user's address, compared without case.
	Email     string
	AccountID uuid.UUID
}

// Sessions returns the live sessions, newest first. It returns fault.Forbidden
// unless the principal is the operator, and fault.NotFound on the field "email"
// if no user has the address.
func (s *Service) Sessions(ctx context.Context, by *auth.Principal, f SessionFilter) ([]Session, error) {
	which, err := s.selection(ctx, by, f)
	if err != nil {
		return nil, err
	}
	return s.repo.Sessions(ctx, which, s.now.Timestamp())
}

// EndSessions ends sessions immediately and permanently: those with the IDs,
// all or none, with the sessions that replaced them, or all of a user. It
// returns the sessions that it ended; sessions that have already ended are left
// unchanged. It returns fault.Forbidden unless the principal is the operator,
// fault.Invalid for a filter with neither IDs nor an address or with both, and
// fault.NotFound on the field "email" if no user has the address, or on "ids"
// if a session does not exist.
func (s *Service) EndSessions(ctx context.Context, by *auth.Principal, f SessionFilter) ([]Session, error) {
	if (len(f.IDs) > 0) == (strings.TrimSpace(f.Email) != "") {
		return nil, fault.Errorf(fault.Invalid,
			"Name the sessions by their ids, or a user by email address.").On("ids")
	}
	which, err := s.selection(ctx, by, f)
	if err != nil {
		return nil, err
	}
	now := s.now.Timestamp()
	return s.repo.EndSessions(ctx, by.Actor(), which, now,
		func(ended Session) audit.Event { return SessionEnded(by, ended, now) })
}

// SessionEnded returns the event of a session that the principal ended at the
// given time.
func SessionEnded(by *auth.Principal, s Session, at time.Time) audit.Event {
	return sessionEvent(by, s, audit.SessionEnded, at)
}

func sessionEvent(by *auth.Principal, s Session, action audit.Action, at time.Time) audit.Event {
	if by.Kind == auth.Session && by.Person() == s.PersonID {
		// Each account has its own ID for the person.
		self := *by
		self.ID, by = s.UserID, &self
	}
	e := Event(by, action, audit.Target{Kind: audit.TargetSession, Key: s.ID.String(), Name: s.Email}, at)
	// The operator may end a session and has no account.
	e.AccountID = s.AccountID
	return e
}

func (s *Service) selection(ctx context.Context, by *auth.Principal, f SessionFilter) (SessionSelection, error) {
	if by.Kind != auth.Operator {
		return SessionSelection{}, auth.Denied()
	}
	which := SessionSelection{IDs: f.IDs, AccountID: f.AccountID}
	if f.Email == "" {
		return which, nil
	}
	which.EmailFolded = Fold(f.Email)
	all, err := s.repo.Memberships(ctx, which.EmailFolded)
	if err == nil && len(all) == 0 {
		err = fault.Errorf(fault.NotFound, "No user has this email address.").On("email")
	}
	return which, err
}

// ErrNoSession is the error for the ID of a session that does not exist.
func ErrNoSession(id uuid.UUID) *fault.Error {
	return fault.Errorf(fault.NotFound, "There is no session %s.", id).On("ids")
}

// EndLeaked ends a session whose secret leaked, and the sessions that replaced it. The events are attributed to by. It
// reports whether any was active. The caller checks that the report is genuine; it needs no rights of by. The reason is
// plain text.
func (s *Service) EndLeaked(ctx context.Context, by *auth.Principal, id uuid.UUID, reason string) (bool, error) {
	now := s.now.Timestamp()
	ended, err := s.repo.EndSessions(ctx, by.Actor(), SessionSelection{IDs: []uuid.UUID{id}}, now,
		func(ended Session) audit.Event {
			e := SessionEnded(by, ended, now)
			e.Details = append(e.Details, audit.Detail{Name: "reason", Value: reason})
			return e
		})
	return len(ended) > 0, err
}
