package signin

import (
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/secret"
	"latchkey/internal/user"
)

// Repository stores credentials and sessions. A lookup of one record returns
// fault.NotFound if it does not exist. A write returns fault.Unauthenticated if
// the actor's credential no longer works, and fault.Conflict if its rights have
// changed.
type Repository interface {
	PersonRepository
	PasswordRepository
	LinkRepository
	SessionRepository
	MembershipRepository
	FactorRepository
	EventRepository
}

// PersonRepository reads the identities that sign in.
type PersonRepository interface {
	// Person returns the person of the folded email address.
	Person(ctx context.Context, foldedEmail string) (Person, error)
	// Known returns the identities with the folded email address: the person,
	// and users with a password that their account chose.
	Known(ctx context.Context, foldedEmail string) ([]Person, error)
	// EnsurePerson is Person for an address that some account has. If there is
	// no person yet, it creates one with the given time.
	EnsurePerson(ctx context.Context, foldedEmail string, at time.Time) (Person, error)
	// PersonByID returns a person of any account.
	PersonByID(ctx context.Context, id uuid.UUID) (Person, error)
	// Accounts returns the memberships of a person, sorted by account name.
	Accounts(ctx context.Context, userID uuid.UUID) ([]Membership, error)
}

// PasswordRepository stores passwords.
type PasswordRepository interface {
	// SetPassword replaces a person's password, deletes their one-time links,
	// and ends all of their sessions except the one to keep. It returns
	// fault.NotFound if the link that sets it no longer exists, and Refused
	// with ReasonChanged if the grounds no longer hold. When it returns, every
	// verifier in this process has processed the change.
	SetPassword(ctx context.Context, by auth.Actor, p NewPassword) error
}

// LinkRepository stores one-time links.
type LinkRepository interface {
	// SaveLink saves a link by its digest, with its events, and deletes the
	// links that it replaces: its user's with the same purpose, or its
	// server's.
	SaveLink(ctx context.Context, by auth.Actor, l Link, digest secret.KeyedDigest, own []audit.Event) error
	// Link returns the link with one of the digests that has not expired at the
	// given time, with what is needed to check it.
	Link(ctx context.Context, candidates []secret.KeyedDigest, at time.Time) (OpenLink, error)
	// Invitations returns, by user, the invitation from the account that expires
	// last, for those of the users whose membership is pending. It may have
	// expired.
	Invitations(ctx context.Context, accountID uuid.UUID, userIDs []uuid.UUID) (map[uuid.UUID]Link, error)
	// EndLink deletes a link. It succeeds if the link no longer exists.
	EndLink(ctx context.Context, id uuid.UUID) error
}

// SessionRepository stores sessions.
type SessionRepository interface {
	// Begin saves a session, records the sign-in at the user's memberships in
	// the account, accepts the membership, and ends the session of its grounds,
	// if there is one. It returns Refused with ReasonChanged if the grounds no
	// longer hold, and fault.NotFound if the user is not in the account. When
	// it returns, every verifier in this process has processed the change.
	Begin(ctx context.Context, by auth.Actor, n NewSession) error
	// Sessions returns the selected live sessions, newest first.
	Sessions(ctx context.Context, which user.SessionSelection, at time.Time) ([]user.Session, error)
	// EndSessions is that of user.Repository.
	EndSessions(ctx context.Context, by auth.Actor, which user.SessionSelection, at time.Time,
		event func(user.Session) audit.Event) ([]user.Session, error)
}

// MembershipRepository stores the acceptance of memberships.
type MembershipRepository interface {
	// Accept accepts a membership. It returns fault.NotFound if the link no
	// longer exists. When it returns, every verifier in this process has
	// processed the change.
	Accept(ctx context.Context, by auth.Actor, a Acceptance) error
}

// EventRepository stores audit events.
type EventRepository interface {
	// Record saves events that come with no other change.
	Record(ctx context.Context, by auth.Actor, events []audit.Event) error
}

// Acceptance is the acceptance of a membership.
type Acceptance struct {
	AccountID, UserID uuid.UUID
	// PersonID is the person who gave the proof.
	PersonID uuid.UUID
	// Link is the one-time link that accepts it; zero for none.
	Link uuid.UUID
	At   time.Time
	// Event is the event of the acceptance. Ended and Removed return the events
	// of the sessions and factors that it removes: those of a password that the
	// account chose.
	Event   audit.Event
	Ended   func(user.Session) audit.Event
	Removed func(Removed) []audit.Event
}

// NewSession is a session to be saved.
type NewSession struct {
	// Acceptance is that of the session's membership, if it is pending.
	Acceptance

	Session user.Session
	Digest  secret.KeyedDigest
	// Grounds are what the session rests on. It replaces their session.
	Grounds Grounds
	Started audit.Event
}

// NewPassword is a password to be saved.
type NewPassword struct {
	UserID uuid.UUID
	// Hash is in PHC string format. An empty hash sets no password: one that
	// others may know is removed, and one that only the user knows is kept.
	Hash string
	// ID distinguishes this password from all others, even with the same text.
	ID uuid.UUID
	// Grounds are what the change rests on; zero for none.
	Grounds Grounds
	// VouchedBy is the account whose members may know the password; zero for
	// none.
	VouchedBy uuid.UUID
	// Link is the one-time link that sets it; zero for none.
	Link uuid.UUID
	// Keep is the session that does not end; zero for none.
	Keep uuid.UUID
	At   time.Time
	// Own are the events of the password. Ended returns the event of a session
	// that ends. Removed returns those of the factors that are removed together
	// with a password that others may have known, since others may have added
	// them.
	Own     []audit.Event
	Ended   func(user.Session) audit.Event
	Removed func(Removed) []audit.Event
	// SignedIn limits the ended sessions to those that a person signed in to.
	SignedIn bool
}
