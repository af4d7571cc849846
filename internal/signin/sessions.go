package signin

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/user"
)

// Begin starts a session of a person who proved who they are, in the account
// or, where that is zero, in the first of theirs that is in business. It returns
// fault.Forbidden for a person who is in no such account, who owes a code
// (NeedsCode), or whose way to sign in is turned off, and Refused with
// WhyChanged where what the proof rests on was changed or removed meanwhile.
func (s *Service) Begin(ctx context.Context, p Proof, accountID uuid.UUID, v Visitor) (user.Session, secret.Secret, error) {
	if err := s.admit(p); err != nil {
		return user.Session{}, secret.Secret{}, err
	}
	if owes, err := s.NeedsCode(ctx, p.User.ID, p.Method); err != nil || owes {
		return user.Session{}, secret.Secret{}, cmp.Or(err, error(errNeedsCode()))
	}
	return s.begin(ctx, proving(), p.User, accountID, user.Session{Method: string(p.Method), AuthenticatedAt: s.moment()}, p.grounds, v)
}

// Renew starts a session in the place of the principal's, whose person just
// proved again who they are. It returns Refused with WhyChanged if the session
// has ended, or what the proof rests on was changed or removed.
func (s *Service) Renew(ctx context.Context, by *auth.Principal, p Proof, v Visitor) (user.Session, secret.Secret, error) {
	if err := s.admit(p); err != nil {
		return user.Session{}, secret.Secret{}, err
	}
	if by.Kind != auth.Session || p.User.ID != by.ID {
		return user.Session{}, secret.Secret{}, auth.Denied()
	}
	p.grounds.Session = by.SessionID
	return s.begin(ctx, by.Actor(), p.User, by.AccountID, user.Session{Method: string(p.Method), AuthenticatedAt: s.moment()}, p.grounds, v)
}

// Switch starts a session of the same person in another account in the place of
// the principal's, as fresh as that is. It returns fault.NotFound when the person
// is not in the account, or that is suspended, and Refused with WhyChanged if
// the session has ended.
func (s *Service) Switch(ctx context.Context, by *auth.Principal, accountID uuid.UUID, method Method, authenticatedAt time.Time, v Visitor) (user.Session, secret.Secret, error) {
	if by.Kind != auth.Session {
		return user.Session{}, secret.Secret{}, auth.Denied()
	}
	person, err := s.Repository.PersonByID(ctx, by.ID)
	if err != nil {
		return user.Session{}, secret.Secret{}, err
	}
	kept := user.Session{Method: string(method), AuthenticatedAt: authenticatedAt, ExpiresAt: by.ExpiresAt}
	return s.begin(ctx, by.Actor(), person.User, accountID, kept, Grounds{UserID: person.ID, Password: person.version(), Session: by.SessionID}, v)
}

func (s *Service) begin(ctx context.Context, by auth.Actor, who user.User, accountID uuid.UUID, session user.Session, g Grounds, v Visitor) (user.Session, secret.Secret, error) {
	all, err := s.Repository.Accounts(ctx, who.ID)
	if err != nil {
		return user.Session{}, secret.Secret{}, err
	}
	if accountID, err = choose(all, accountID); err != nil {
		return user.Session{}, secret.Secret{}, err
	}
	value, err := secret.Generate(s.Random, secret.UserSession)
	if err != nil {
		return user.Session{}, secret.Secret{}, err
	}
	session.ID, session.AccountID, session.UserID, session.Email = uuid.Must(uuid.NewV7()), accountID, who.ID, who.Email
	session.CreatedAt = s.moment()
	if session.ExpiresAt.IsZero() {
		session.ExpiresAt = session.CreatedAt.Add(s.Lifetime)
	}
	if v.Origin.IP.IsValid() {
		session.IP = v.Origin.IP.String()
	}
	session.UserAgent = shortened(v.UserAgent)
	actor := actor(who, accountID, v)
	started := sessionEvent(actor, session, audit.SessionStarted, session.CreatedAt)
	started.Details = []audit.Detail{
		{Name: "method", Value: session.Method}, {Name: "expiresAt", Value: session.ExpiresAt.Format(time.RFC3339)},
	}
	ended := func(old user.Session) audit.Event { return user.SessionEnded(actor, old, session.CreatedAt) }
	return session, value, s.Repository.Begin(ctx, by, NewSession{Session: session, Digest: s.Keys.Digest(value), Grounds: g, Started: started, Ended: ended})
}

func sessionEvent(by *auth.Principal, s user.Session, action audit.Action, at time.Time) audit.Event {
	return user.Event(by, action, audit.Target{Kind: audit.TargetSession, Key: s.ID.String(), Name: s.Email}, at)
}

// shortened is as much of what a browser calls itself as is kept.
func shortened(agent string) string {
	agent = strings.ToValidUTF8(strings.ReplaceAll(agent, "\x00", ""), "")
	for i := range agent {
		if i+utf8.UTFMax > maxUserAgent {
			return agent[:i]
		}
	}
	return agent
}

// choose picks the account of a session.
func choose(all []Membership, asked uuid.UUID) (uuid.UUID, error) {
	for _, a := range openOf(all) {
		if a.ID == asked || asked == uuid.Nil {
			return a.ID, nil
		}
	}
	if slices.ContainsFunc(all, func(m Membership) bool { return m.Barred && (m.ID == asked || asked == uuid.Nil) }) {
		return uuid.Nil, fault.Errorf(fault.Forbidden, "Others may know your password, so it does not open this account. Ask for a new one as for a forgotten password.")
	}
	if asked == uuid.Nil {
		return uuid.Nil, fault.Errorf(fault.Forbidden, "You are in no account that is in business. Ask the owner of one to add you.")
	}
	return uuid.Nil, fault.Errorf(fault.NotFound, "You are not in this account.")
}

// Accounts returns the accounts that a person can have a session in, by name.
func (s *Service) Accounts(ctx context.Context, userID uuid.UUID) ([]account.Account, error) {
	all, err := s.Repository.Accounts(ctx, userID)
	if err != nil {
		return nil, err
	}
	return openOf(all), nil
}

// openOf are the accounts that a person can have a session in. However they
// prove who they are, those are not open that their password does not open:
// whoever knows that could have registered a passkey.
func openOf(all []Membership) []account.Account {
	var open []account.Account
	for _, m := range all {
		if m.Status != account.Suspended && !m.Barred {
			open = append(open, m.Account)
		}
	}
	return open
}

// IsFresh reports whether what was proved at the moment is recent enough for
// what cannot be undone.
func (s *Service) IsFresh(authenticatedAt time.Time) bool {
	return !authenticatedAt.IsZero() && s.Now().Sub(authenticatedAt) <= Fresh
}

// Sessions returns the live sessions of the person whose session the principal
// is, in whatever account, newest first.
func (s *Service) Sessions(ctx context.Context, by *auth.Principal) ([]user.Session, error) {
	if by.Kind != auth.Session {
		return nil, auth.Denied()
	}
	return s.Repository.Sessions(ctx, user.SessionSelection{UserID: by.ID}, s.moment())
}

// End ends sessions of the principal's own person: those of the ids, or all but
// the principal's where there are none. It returns how many it ended, and
// fault.NotFound for an id that names no session of theirs.
func (s *Service) End(ctx context.Context, by *auth.Principal, ids ...uuid.UUID) (int, error) {
	own, err := s.Sessions(ctx, by)
	if err != nil {
		return 0, err
	}
	if len(ids) == 0 {
		for _, each := range own {
			if each.ID != by.SessionID {
				ids = append(ids, each.ID)
			}
		}
	}
	if len(ids) == 0 {
		return 0, nil
	}
	now := s.moment()
	which := user.SessionSelection{IDs: ids, UserID: by.ID}
	ended, err := s.Repository.EndSessions(ctx, by.Actor(), which, now, func(old user.Session) audit.Event { return user.SessionEnded(by, old, now) })
	return len(ended), err
}
