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
	all, err := s.Repository.Accounts(ctx, p.User.ID)
	if err != nil {
		return user.Session{}, secret.Secret{}, err
	}
	begun := user.Session{Method: string(p.Method), AuthenticatedAt: s.moment()}
	session, value, err := s.begin(ctx, proving(), p.User, all, accountID, begun, p.grounds, v)
	if err == nil && s.knowsOf(v.Device, p.User.ID, p.grounds.Password) == "" {
		s.notify(p.User.ID, v.Origin.IP, audit.SessionStarted)
	}
	return session, value, err
}

// Renew starts a session in the place of the principal's, whose person just
// proved again who they are. It returns Refused with WhyChanged if the session
// has ended, or what the proof rests on was changed or removed.
func (s *Service) Renew(ctx context.Context, by *auth.Principal, p Proof, v Visitor) (user.Session, secret.Secret, error) {
	if err := s.admit(p); err != nil {
		return user.Session{}, secret.Secret{}, err
	}
	if by.Kind != auth.Session || p.User.ID != by.Person() {
		return user.Session{}, secret.Secret{}, auth.Denied()
	}
	p.grounds.Session = by.SessionID
	all, err := s.Repository.Accounts(ctx, p.User.ID)
	if err != nil {
		return user.Session{}, secret.Secret{}, err
	}
	return s.begin(ctx, by.Actor(), p.User, accepted(all), by.AccountID, user.Session{Method: string(p.Method), AuthenticatedAt: s.moment()}, p.grounds, v)
}

// Switch starts a session of the same person in another account in the place of
// the principal's, as fresh as that is. It returns fault.NotFound when the person
// is not in the account, or that is suspended, and Refused with WhyChanged if
// the session has ended.
func (s *Service) Switch(ctx context.Context, by *auth.Principal, accountID uuid.UUID, method Method, authenticatedAt time.Time, v Visitor) (user.Session, secret.Secret, error) {
	if by.Kind != auth.Session {
		return user.Session{}, secret.Secret{}, auth.Denied()
	}
	person, err := s.Repository.PersonByID(ctx, by.Person())
	if err != nil {
		return user.Session{}, secret.Secret{}, err
	}
	all, err := s.Repository.Accounts(ctx, by.Person())
	if err != nil {
		return user.Session{}, secret.Secret{}, err
	}
	kept := user.Session{Method: string(method), AuthenticatedAt: authenticatedAt, ExpiresAt: by.ExpiresAt}
	return s.begin(ctx, by.Actor(), person.User, accepted(all), accountID, kept, Grounds{UserID: person.ID, Password: person.version(), Session: by.SessionID}, v)
}

func (s *Service) begin(
	ctx context.Context, by auth.Actor, who user.User, all []Membership, accountID uuid.UUID, session user.Session, g Grounds, v Visitor,
) (user.Session, secret.Secret, error) {
	in, err := choose(all, accountID)
	if err != nil {
		return user.Session{}, secret.Secret{}, err
	}
	value, err := secret.Generate(s.Random, secret.UserSession)
	if err != nil {
		return user.Session{}, secret.Secret{}, err
	}
	session.ID, session.AccountID, session.UserID, session.PersonID, session.Email = uuid.Must(uuid.NewV7()), in.ID, in.UserID, who.ID, who.Email
	session.CreatedAt = s.moment()
	if session.ExpiresAt.IsZero() {
		session.ExpiresAt = session.CreatedAt.Add(s.Lifetime)
	}
	if v.Origin.IP.IsValid() {
		session.IP = v.Origin.IP.String()
	}
	session.UserAgent = shortened(v.UserAgent)
	self := in.principal(who, v)
	started := sessionEvent(self, session, audit.SessionStarted, session.CreatedAt)
	started.Details = []audit.Detail{
		{Name: "method", Value: session.Method}, {Name: "expiresAt", Value: session.ExpiresAt.Format(time.RFC3339)},
	}
	err = s.Repository.Begin(ctx, by, NewSession{
		Acceptance: in.acceptance(self, who, session.CreatedAt), Session: session, Digest: s.Keys.Digest(value), Grounds: g, Started: started,
	})
	if err == nil && s.onSession != nil {
		s.onSession(value)
	}
	return session, value, err
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

// choose picks the account of a session: one whose membership the person
// accepted before one that they accept by this. An account that is asked for by
// its id may be either.
func choose(all []Membership, asked uuid.UUID) (Membership, error) {
	for _, pending := range []bool{false, true} {
		for _, m := range all {
			if m.open() && m.Pending == pending && (m.ID == asked || asked == uuid.Nil) {
				return m, nil
			}
		}
	}
	if slices.ContainsFunc(all, func(m Membership) bool { return m.Barred && (m.ID == asked || asked == uuid.Nil) }) {
		return Membership{}, fault.Errorf(fault.Forbidden, "Others may know your password, so it does not open this account. Ask for a new one as for a forgotten password.")
	}
	if asked == uuid.Nil {
		return Membership{}, fault.Errorf(fault.Forbidden, "You are in no account that is in business. Ask the owner of one to add you.")
	}
	return Membership{}, fault.Errorf(fault.NotFound, "You are not in this account.")
}

// open reports whether a session in the account is possible. However people
// prove who they are, it is not where their password does not open the account:
// whoever knows that could have registered a passkey.
func (m Membership) open() bool { return m.Status != account.Suspended && !m.Barred }

// accepted are the memberships that are not pending.
func accepted(all []Membership) []Membership {
	return slices.DeleteFunc(slices.Clone(all), func(m Membership) bool { return m.Pending })
}

// Accounts returns the accounts that a person can have a session in, by name:
// those whose membership they accepted.
func (s *Service) Accounts(ctx context.Context, personID uuid.UUID) ([]account.Account, error) {
	all, err := s.Repository.Accounts(ctx, personID)
	return accountsOf(accepted(all)), err
}

// Invitations returns the accounts whose membership a person can accept or
// decline, by name.
func (s *Service) Invitations(ctx context.Context, personID uuid.UUID) ([]account.Account, error) {
	all, err := s.Repository.Accounts(ctx, personID)
	return accountsOf(slices.DeleteFunc(all, func(m Membership) bool { return !m.Pending })), err
}

// accountsOf are the accounts of memberships that a session is possible in.
func accountsOf(all []Membership) []account.Account {
	var open []account.Account
	for _, m := range all {
		if m.open() {
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
// is, in whatever account, newest first. Idle ones are
// not live.
func (s *Service) Sessions(ctx context.Context, by *auth.Principal) ([]user.Session, error) {
	all, err := s.sessions(ctx, by)
	return slices.DeleteFunc(all, func(each user.Session) bool {
		return s.Idle > 0 && each.ID != by.SessionID && s.Now().Sub(each.LastUsedAt) > s.Idle
	}), err
}

// sessions returns those that have neither ended nor expired.
func (s *Service) sessions(ctx context.Context, by *auth.Principal) ([]user.Session, error) {
	if by.Kind != auth.Session {
		return nil, auth.Denied()
	}
	return s.Repository.Sessions(ctx, user.SessionSelection{PersonID: by.Person()}, s.moment())
}

// End ends sessions of the principal's own person: those of the ids, or all but
// the principal's where there are none. It returns how many it ended, and
// fault.NotFound for an id that names no session of theirs.
func (s *Service) End(ctx context.Context, by *auth.Principal, ids ...uuid.UUID) (int, error) {
	own, err := s.sessions(ctx, by)
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
	which := user.SessionSelection{IDs: ids, PersonID: by.Person()}
	ended, err := s.Repository.EndSessions(ctx, by.Actor(), which, now, func(old user.Session) audit.Event { return user.SessionEnded(by, old, now) })
	return len(ended), err
}
