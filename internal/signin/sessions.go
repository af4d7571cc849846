package signin

import (
	"cmp"
	"context"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/user"
)

// Sessions starts, replaces and ends sessions.
type Sessions struct {
	persons *persons
	repo    SessionRepository
	codes   *Codes
	devices *Devices
	notices *notices
	keys    *secret.Keyring
	random  io.Reader
	// lifetime and idle are those of Config.
	lifetime, idle time.Duration
	noPasswords    bool
	// onSession is called with the secrets of new sessions, if not nil.
	onSession func(secret.Secret)
	now       clock.Clock
}

// OnSession sets the function that is called with the secret of each new
// session, once it works. It must be set before the service is used.
func (s *Sessions) OnSession(started func(secret.Secret)) { s.onSession = started }

// Begin starts a session of an authenticated user in the account or, if
// accountID is zero, in the first of their accounts that is open. It returns
// fault.Forbidden for a user in no such account, who still needs a code
// (NeedsCode), or whose sign-in method is turned off, and Refused with
// ReasonChanged if what the proof rests on has changed.
func (s *Sessions) Begin(ctx context.Context, p Proof, accountID uuid.UUID, v Visitor) (user.Session, secret.Secret,
	error) {
	if err := p.admit(s.noPasswords); err != nil {
		return user.Session{}, secret.Secret{}, err
	}
	if owes, err := s.codes.NeedsCode(ctx, p.User.ID, p.Method); err != nil || owes {
		return user.Session{}, secret.Secret{}, cmp.Or(err, error(errNeedsCode()))
	}
	all, err := s.persons.Accounts(ctx, p.User.ID)
	if err != nil {
		return user.Session{}, secret.Secret{}, err
	}
	begun := user.Session{Method: string(p.Method), AuthenticatedAt: s.now.Timestamp()}
	session, value, err := s.begin(ctx, proving(), p.User, all, accountID, begun, p.grounds, v)
	if err == nil && s.devices.knowsOf(v.Device, p.User.ID, p.grounds.Password) == "" {
		s.notices.notify(p.User.ID, v.Origin.IP, audit.SessionStarted)
	}
	return session, value, err
}

// Renew replaces the principal's session after the user has authenticated
// again. It returns Refused with ReasonChanged if the session has ended, or what
// the proof rests on has changed or was removed.
func (s *Sessions) Renew(ctx context.Context, by *auth.Principal, p Proof, v Visitor) (user.Session, secret.Secret,
	error) {
	if err := p.admit(s.noPasswords); err != nil {
		return user.Session{}, secret.Secret{}, err
	}
	if by.Kind != auth.Session || p.User.ID != by.Person() {
		return user.Session{}, secret.Secret{}, auth.Denied()
	}
	p.grounds.Session = by.SessionID
	all, err := s.persons.Accounts(ctx, p.User.ID)
	if err != nil {
		return user.Session{}, secret.Secret{}, err
	}
	return s.begin(ctx, by.Actor(), p.User, accepted(all), by.AccountID,
		user.Session{Method: string(p.Method), AuthenticatedAt: s.now.Timestamp()}, p.grounds, v)
}

// Switch replaces the principal's session with one in another account, which is
// as fresh as the old one. It returns fault.NotFound if the person is not in
// the account or it is suspended, and Refused with ReasonChanged if the session
// has ended.
func (s *Sessions) Switch(ctx context.Context, by *auth.Principal, accountID uuid.UUID, method Method,
	authenticatedAt time.Time, v Visitor) (user.Session, secret.Secret, error) {
	if by.Kind != auth.Session {
		return user.Session{}, secret.Secret{}, auth.Denied()
	}
	person, err := s.persons.PersonByID(ctx, by.Person())
	if err != nil {
		return user.Session{}, secret.Secret{}, err
	}
	all, err := s.persons.Accounts(ctx, by.Person())
	if err != nil {
		return user.Session{}, secret.Secret{}, err
	}
	kept := user.Session{Method: string(method), AuthenticatedAt: authenticatedAt, ExpiresAt: by.ExpiresAt}
	return s.begin(ctx, by.Actor(), person.User, accepted(all), accountID, kept,
		Grounds{UserID: person.ID, Password: person.version(), Session: by.SessionID}, v)
}

func (s *Sessions) begin(
	ctx context.Context, by auth.Actor, who user.User, all []Membership, accountID uuid.UUID, session user.Session,
	g Grounds, v Visitor,
) (user.Session, secret.Secret, error) {
	in, err := choose(all, accountID)
	if err != nil {
		return user.Session{}, secret.Secret{}, err
	}
	value, err := secret.Generate(s.random, secret.UserSession)
	if err != nil {
		return user.Session{}, secret.Secret{}, err
	}
	session.ID, session.AccountID, session.UserID, session.PersonID, session.Email = uuid.Must(uuid.NewV7()), in.ID,
		in.UserID, who.ID, who.Email
	session.CreatedAt = s.now.Timestamp()
	if session.ExpiresAt.IsZero() {
		session.ExpiresAt = session.CreatedAt.Add(s.lifetime)
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
	err = s.repo.Begin(ctx, by, NewSession{
		Acceptance: in.acceptance(self, who, session.CreatedAt), Session: session, Digest: s.keys.Digest(value),
		Grounds: g, Started: started,
	})
	if err == nil && s.onSession != nil {
		s.onSession(value)
	}
	return session, value, err
}

func sessionEvent(by *auth.Principal, s user.Session, action audit.Action, at time.Time) audit.Event {
	return user.Event(by, action, audit.Target{Kind: audit.TargetSession, Key: s.ID.String(), Name: s.Email}, at)
}

// shortened returns the part of a User-Agent header that is stored.
func shortened(agent string) string {
	agent = strings.ToValidUTF8(strings.ReplaceAll(agent, "\x00", ""), "")
	for i := range agent {
		if i+utf8.UTFMax > maxUserAgent {
			return agent[:i]
		}
	}
	return agent
}

// choose returns the account of a session: preferably one whose membership is
// accepted, otherwise a pending one, which the session accepts. An account
// with that ID may be either.
func choose(all []Membership, accountID uuid.UUID) (Membership, error) {
	for _, pending := range []bool{false, true} {
		for _, m := range all {
			if m.open() && m.Pending == pending && (m.ID == accountID || accountID == uuid.Nil) {
				return m, nil
			}
		}
	}
	if slices.ContainsFunc(all, func(m Membership) bool {
		return m.Barred &&
			(m.ID == accountID || accountID == uuid.Nil)
	}) {
		return Membership{}, fault.Errorf(fault.Forbidden,
			"Others may know your password, so it does not sign you in to this account. Reset it as if you had forgotten it.")
	}
	if accountID == uuid.Nil {
		return Membership{}, fault.Errorf(fault.Forbidden,
			"You are not a member of an active account. Ask the owner of one to add you, or to reactivate you if you were deactivated.")
	}
	return Membership{}, fault.Errorf(fault.NotFound, "You are not in this account.")
}

// open reports whether the person can have a session in the account. They
// cannot if their password does not sign in to it, with any method: a visitor
// who knows that password could have registered a passkey.
func (m Membership) open() bool { return m.Status != account.Suspended && !m.Barred }

// IsFresh reports whether the authentication is recent enough for actions that
// cannot be undone.
func (s *Sessions) IsFresh(authenticatedAt time.Time) bool {
	return !authenticatedAt.IsZero() && s.now().Sub(authenticatedAt) <= Fresh
}

// Live returns the live sessions of the principal's person in all accounts,
// newest first. Idle ones are not live.
func (s *Sessions) Live(ctx context.Context, by *auth.Principal) ([]user.Session, error) {
	if by.Kind != auth.Session {
		return nil, auth.Denied()
	}
	all, err := s.repo.Sessions(ctx, user.SessionSelection{PersonID: by.Person()}, s.now.Timestamp())
	return slices.DeleteFunc(all, func(each user.Session) bool {
		return s.idle > 0 && each.ID != by.SessionID && s.now().Sub(each.LastUsedAt) > s.idle
	}), err
}

// End ends a session of the principal's own person: the one with the ID and those
// that replaced it. Once it returns, none of them is live, even if a browser
// replaced one concurrently. It returns how many it ended, and fault.NotFound for
// an unknown ID.
func (s *Sessions) End(ctx context.Context, by *auth.Principal, id uuid.UUID) (int, error) {
	return s.end(ctx, by, user.SessionSelection{IDs: []uuid.UUID{id}})
}

// EndOthers ends all sessions of the principal's own person except the principal's
// and, unless operators is true, those that the operator started, which programs may
// use. It returns how many it ended, as End does.
func (s *Sessions) EndOthers(ctx context.Context, by *auth.Principal, operators bool) (int, error) {
	return s.end(ctx, by, user.SessionSelection{Except: by.SessionID, SignedIn: !operators})
}

func (s *Sessions) end(ctx context.Context, by *auth.Principal, which user.SessionSelection) (int, error) {
	if by.Kind != auth.Session {
		return 0, auth.Denied()
	}
	which.PersonID = by.Person()
	now := s.now.Timestamp()
	ended, err := s.repo.EndSessions(ctx, by.Actor(), which, now,
		func(old user.Session) audit.Event { return user.SessionEnded(by, old, now) })
	return len(ended), err
}
