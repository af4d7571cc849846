package user

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/bulkhead"
	"latchkey/internal/fault"
	"latchkey/internal/page"
	"latchkey/internal/password"
	"latchkey/internal/secret"
)

// Repository keeps people, memberships and sessions. A look-up of one thing
// returns fault.NotFound when there is none; a batch leaves out what there is
// not.
type Repository interface {
	// Account returns an account, or fault.NotFound.
	Account(ctx context.Context, id uuid.UUID) (account.Account, error)
	// MembersByID returns those of the people who are in the account.
	MembersByID(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]User, error)
	// MembershipsByID returns the places in the account of those of the people
	// who are in it.
	MembershipsByID(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]Membership, error)
	// Users returns a page of those of the account's users that the filter
	// admits.
	Users(ctx context.Context, accountID uuid.UUID, f Filter, w page.Window) (page.Page[User], error)
	CountUsers(ctx context.Context, accountID uuid.UUID, f Filter) (int64, error)
	// UsersByID returns users of the account by id, and those who are no longer
	// in it.
	UsersByID(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]User, error)
	// StoreUsers returns a page of each store's members.
	StoreUsers(ctx context.Context, accountID uuid.UUID, storeIDs []uuid.UUID, w page.Window) (map[uuid.UUID]page.Page[StoreMember], error)
	CountStoreUsers(ctx context.Context, accountID uuid.UUID, storeIDs []uuid.UUID) (map[uuid.UUID]int64, error)
	// UserPlaces returns a page of each person's places in the account's
	// stores. A non-nil only narrows it to those stores, an empty one to nothing.
	UserPlaces(ctx context.Context, accountID uuid.UUID, userIDs, only []uuid.UUID, w page.Window) (map[uuid.UUID]page.Page[StorePlace], error)
	CountUserPlaces(ctx context.Context, accountID uuid.UUID, userIDs, only []uuid.UUID) (map[uuid.UUID]int64, error)

	// Change runs work on the account's people. It returns fault.NotFound when
	// there is no such account, and what work returns. When it returns nil,
	// every verifier of this process has heard of it.
	Change(ctx context.Context, by auth.Actor, accountID uuid.UUID, work func(Change) error) error

	// Memberships returns the users of all accounts that have the folded e-mail
	// address, by account.
	Memberships(ctx context.Context, foldedEmail string) ([]AccountUser, error)
	// StartSession keeps a session by its digest, with its event. It accepts the
	// membership if it is pending, with that event. It returns fault.NotFound
	// when the person is not in the account.
	StartSession(ctx context.Context, by auth.Actor, s Session, digest secret.KeyedDigest, started, accepted audit.Event) error
	// Sessions returns those of the selection that are live at the moment,
	// newest first.
	Sessions(ctx context.Context, which SessionSelection, at time.Time) ([]Session, error)
	// EndSessions ends those of the selection, for good and by every server's
	// clock, and returns those that were live at the moment, newest first, each
	// of which has its event. When it returns, every verifier of this process
	// has heard of it. It returns fault.NotFound, and ends none, when one of the
	// selection's ids names no session there.
	EndSessions(ctx context.Context, by auth.Actor, which SessionSelection, at time.Time, event func(Session) audit.Event) ([]Session, error)
}

// AccountUser is a user with their account.
type AccountUser struct {
	AccountID uuid.UUID
	User      User
}

// Service answers about people, and starts and ends their sessions.
type Service struct {
	repo   Repository
	keys   *secret.Keyring
	random io.Reader
	now    func() time.Time

	passwords    *password.Hasher
	serviceNames []string
	walks        *bulkhead.Bulkhead
}

// NewService returns a service over the repository that keeps session secrets
// under keys. No password may consist of the names of the service, such as its
// public URL.
func NewService(repo Repository, keys *secret.Keyring, random io.Reader, now func() time.Time, serviceNames ...string) *Service {
	return &Service{
		repo: repo, keys: keys, random: random, now: now,
		passwords: password.NewHasher(random), serviceNames: serviceNames, walks: bulkhead.New(),
	}
}

// Lifetimes of sessions.
const (
	// DefaultSessionTTL is how long a session lasts unless asked otherwise.
	DefaultSessionTTL = time.Hour
	// MaxSessionTTL is the longest a session may last.
	MaxSessionTTL = 30 * 24 * time.Hour
)

// SessionRequest asks for a session of a person in an account.
type SessionRequest struct {
	// Email is the person's address, compared without case.
	Email string
	// AccountID may be zero when the person is in one account only.
	AccountID uuid.UUID
	// TTL is how long the session lasts: a minute to MaxSessionTTL.
	TTL time.Duration
}

// StartSession starts a session and returns its secret, which cannot be had
// again. It returns fault.Invalid for input that breaks a rule, naming each
// field, and fault.NotFound when nobody of that address is in the account.
func (s *Service) StartSession(ctx context.Context, by *auth.Principal, req SessionRequest) (Session, secret.Secret, error) {
	if by.Kind != auth.Operator {
		return Session{}, secret.Secret{}, auth.Denied()
	}
	if req.TTL < time.Minute || req.TTL > MaxSessionTTL {
		return Session{}, secret.Secret{}, fault.Errorf(fault.Invalid, "A session lasts 1 minute to 30 days.").On("ttl")
	}
	all, err := s.repo.Memberships(ctx, Fold(req.Email))
	if err != nil {
		return Session{}, secret.Secret{}, err
	}
	in, err := chooseAccount(all, req.AccountID)
	if err != nil {
		return Session{}, secret.Secret{}, err
	}
	value, err := secret.Generate(s.random, secret.UserSession)
	if err != nil {
		return Session{}, secret.Secret{}, err
	}
	session, err := s.keep(ctx, by, in, req.TTL, value)
	if err != nil {
		return Session{}, secret.Secret{}, err
	}
	return session, value, nil
}

func (s *Service) keep(ctx context.Context, by *auth.Principal, in AccountUser, ttl time.Duration, value secret.Secret) (Session, error) {
	now := s.moment()
	session := Session{ID: uuid.Must(uuid.NewV7()), AccountID: in.AccountID, UserID: in.User.ID, Email: in.User.Email, CreatedAt: now, ExpiresAt: now.Add(ttl)}
	started := sessionEvent(by, session, audit.SessionStarted, now)
	started.Details = []audit.Detail{{Name: "expiresAt", Value: session.ExpiresAt.Format(time.RFC3339)}}
	accepted := Event(by, audit.UserAccepted, in.User.Target(), now)
	accepted.AccountID = in.AccountID
	return session, s.repo.StartSession(ctx, by.Actor(), session, s.keys.Digest(value), started, accepted)
}

// chooseAccount picks the account of a session: the one asked for, or the only
// one. To the operator it tells what no account is told.
func chooseAccount(all []AccountUser, asked uuid.UUID) (AccountUser, error) {
	if len(all) == 0 {
		return AccountUser{}, fault.Errorf(fault.NotFound, "Nobody has this e-mail address.").On("email")
	}
	if asked == uuid.Nil {
		return onlyAccount(all)
	}
	for _, in := range all {
		if in.AccountID == asked {
			return in, nil
		}
	}
	return AccountUser{}, fault.Errorf(fault.NotFound, "This person is not in this account.").On("account")
}

// onlyAccount returns the one account that the person is in. Pending memberships
// are considered only if none was accepted: an account must not change where a
// person's sessions start by inviting them.
func onlyAccount(all []AccountUser) (AccountUser, error) {
	in := slices.DeleteFunc(slices.Clone(all), func(one AccountUser) bool { return one.User.Pending })
	if len(in) == 0 {
		in = all
	}
	if len(in) > 1 {
		return AccountUser{}, fault.Errorf(fault.Invalid, "This person is in several accounts. Name one.").On("account")
	}
	return in[0], nil
}
