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

// SessionSelection picks sessions. Zero fields do not narrow it.
type SessionSelection struct {
	IDs               []uuid.UUID
	UserID, AccountID uuid.UUID
	// PersonID is who signed in, in whichever account.
	PersonID uuid.UUID
	// EmailFolded is the address of the users, in whichever account and whoever
	// signed in.
	EmailFolded string
}

// SessionFilter asks for sessions in the words of whoever asks. Zero fields
// do not narrow it.
type SessionFilter struct {
	IDs []uuid.UUID
	// Email is a person's address, compared without case.
	Email     string
	AccountID uuid.UUID
}

// Sessions returns the sessions that are live, newest first. It returns
// fault.Forbidden for anybody but the operator, and fault.NotFound on the
// field "email" when nobody has the address.
func (s *Service) Sessions(ctx context.Context, by *auth.Principal, f SessionFilter) ([]Session, error) {
	which, err := s.selection(ctx, by, f)
	if err != nil {
		return nil, err
	}
	return s.repo.Sessions(ctx, which, s.moment())
}

// EndSessions ends sessions at once and for good: those of the ids, all or
// none, or all of a person. It returns those that it ended; to end one that has
// ended changes nothing. It returns fault.Forbidden for anybody but the
// operator, fault.Invalid for a filter with neither ids nor an address, or
// both, and fault.NotFound on the field "email" when nobody has the address, or
// "ids" when there is no such session.
func (s *Service) EndSessions(ctx context.Context, by *auth.Principal, f SessionFilter) ([]Session, error) {
	if (len(f.IDs) > 0) == (strings.TrimSpace(f.Email) != "") {
		return nil, fault.Errorf(fault.Invalid, "Name the sessions by their ids, or a person by the e-mail address.").On("ids")
	}
	which, err := s.selection(ctx, by, f)
	if err != nil {
		return nil, err
	}
	now := s.moment()
	return s.repo.EndSessions(ctx, by.Actor(), which, now, func(ended Session) audit.Event { return SessionEnded(by, ended, now) })
}

// SessionEnded is the event of a session that the principal ended at the
// moment.
func SessionEnded(by *auth.Principal, s Session, at time.Time) audit.Event {
	return sessionEvent(by, s, audit.SessionEnded, at)
}

func sessionEvent(by *auth.Principal, s Session, action audit.Action, at time.Time) audit.Event {
	if by.Kind == auth.Session && by.Person() == s.PersonID {
		// Each account knows the person by its own id.
		self := *by
		self.ID, by = s.UserID, &self
	}
	e := Event(by, action, audit.Target{Kind: audit.TargetSession, Key: s.ID.String(), Name: s.Email}, at)
	// The operator, who may end it, is in no account.
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
		err = fault.Errorf(fault.NotFound, "Nobody has this e-mail address.").On("email")
	}
	return which, err
}

// ErrNoSession is the answer to ids of sessions that there are not.
func ErrNoSession(id uuid.UUID) *fault.Error {
	return fault.Errorf(fault.NotFound, "There is no session %s.", id).On("ids")
}

// moment is now as it is kept.
func (s *Service) moment() time.Time { return s.now().UTC().Truncate(time.Microsecond) }
