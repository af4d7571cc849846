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
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/secret"
	"latchkey/internal/secret/password"
)

// Repository stores users, memberships and sessions. A lookup of one record
// returns fault.NotFound if it does not exist; a lookup of several omits those
// that do not exist.
type Repository interface {
	// Account returns an account, or fault.NotFound.
	Account(ctx context.Context, id uuid.UUID) (account.Account, error)
	// MembersByID returns the users with the IDs who are in the account.
	MembersByID(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]User, error)
	// Users returns a page of the account's users that the filter selects.
	Users(ctx context.Context, accountID uuid.UUID, f Filter, w paging.Window) (paging.Page[User], error)
	CountUsers(ctx context.Context, accountID uuid.UUID, f Filter) (int64, error)
	// SortKeys returns the account's users that the filter selects, in no
	// particular order, and at most most of them.
	SortKeys(ctx context.Context, accountID uuid.UUID, f Filter, most int) ([]SortKey, error)
	// UsersByID returns users of the account by ID, including former members.
	UsersByID(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]User, error)
	// StoreUsers returns a page of each store's members.
	StoreUsers(ctx context.Context, accountID uuid.UUID, storeIDs []uuid.UUID,
		w paging.Window) (map[uuid.UUID]paging.Page[StoreMember], error)
	CountStoreUsers(ctx context.Context, accountID uuid.UUID, storeIDs []uuid.UUID) (map[uuid.UUID]int64, error)
	// UserPlaces returns a page of each user's memberships in the account's
	// stores. If only is not nil, it returns those in these stores; an empty
	// only selects none.
	UserPlaces(ctx context.Context, accountID uuid.UUID, userIDs, only []uuid.UUID,
		w paging.Window) (map[uuid.UUID]paging.Page[StorePlace], error)
	CountUserPlaces(ctx context.Context, accountID uuid.UUID, userIDs, only []uuid.UUID) (map[uuid.UUID]int64, error)

	// Change runs work in a transaction over the account's users. It returns
	// fault.NotFound if the account does not exist, and otherwise the error of
	// work. When it returns nil, every verifier in this process has processed
	// the change.
	Change(ctx context.Context, by auth.Actor, accountID uuid.UUID, work func(Change) error) error

	// Memberships returns the users of all accounts with the folded email
	// address, with their accounts.
	Memberships(ctx context.Context, foldedEmail string) ([]AccountUser, error)
	// StartSession saves a session under its digest, with the event started. If
	// the membership is pending, it accepts it and records the event accepted.
	// It returns fault.NotFound if the user is not in the account.
	StartSession(ctx context.Context, by auth.Actor, s Session, digest secret.KeyedDigest, started,
		accepted audit.Event) error
	// Sessions returns the selected sessions that are live at the given time,
	// newest first.
	Sessions(ctx context.Context, which SessionSelection, at time.Time) ([]Session, error)
	// EndSessions ends the selected sessions permanently, under every server's
	// clock. It returns those that were live at the given time, newest first,
	// and records an event for each. When it returns, every verifier in this
	// process has processed the change. If one of the selection's IDs matches
	// no session, it returns fault.NotFound and ends none.
	EndSessions(ctx context.Context, by auth.Actor, which SessionSelection, at time.Time,
		event func(Session) audit.Event) ([]Session, error)
}

// AccountUser is a user with the ID of their account.
type AccountUser struct {
	AccountID uuid.UUID
	User      User
}

// Service manages users, their memberships and their sessions.
type Service struct {
	repo   Repository
	keys   *secret.Keyring
	random io.Reader
	now    clock.Clock

	passwords    *password.Hasher
	serviceNames []string
	walks        *bulkhead.Bulkhead
	// hashes lets each account hash one password at a time: hashing is slow, and all accounts share it.
	hashes *bulkhead.Bulkhead
}

// NewService returns a service that stores the digests of session secrets under
// keys. A password must not consist of the service names, such as the public
// URL.
func NewService(repo Repository, keys *secret.Keyring, random io.Reader, now clock.Clock,
	serviceNames ...string) *Service {
	return &Service{
		repo: repo, keys: keys, random: random, now: now,
		passwords: password.NewHasher(random), serviceNames: serviceNames,
		walks: bulkhead.New(bulkhead.HalfTheProcessors()), hashes: bulkhead.Bounded(1, mostHashesInAccount, mostHashes),
	}
}

// Lifetimes of sessions.
const (
	// DefaultSessionTTL is the lifetime of a session by default.
	DefaultSessionTTL = time.Hour
	// MaxSessionTTL is the longest lifetime of a session.
	MaxSessionTTL = 30 * 24 * time.Hour
)

// SessionRequest is a request for a user's session in an account.
type SessionRequest struct {
	// Email is the user's address, compared without case.
	Email string
	// AccountID may be zero if the address is in one account only.
	AccountID uuid.UUID
	// TTL is the session's lifetime: one minute to MaxSessionTTL.
	TTL time.Duration
}

// StartSession starts a session and returns its secret, which is not stored. It
// returns fault.Invalid for each field that breaks a rule, fault.NotFound if no user of
// the account has the address, and fault.Conflict for a deactivated user.
func (s *Service) StartSession(ctx context.Context, by *auth.Principal, req SessionRequest) (Session, secret.Secret,
	error) {
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
	if err == nil && in.User.Deactivated() {
		err = errDeactivated().On("email")
	}
	if err != nil {
		return Session{}, secret.Secret{}, err
	}
	value, err := secret.Generate(s.random, secret.UserSession)
	if err != nil {
		return Session{}, secret.Secret{}, err
	}
	session, err := s.saveSession(ctx, by, in, req.TTL, value)
	if err != nil {
		return Session{}, secret.Secret{}, err
	}
	return session, value, nil
}

func (s *Service) saveSession(ctx context.Context, by *auth.Principal, in AccountUser, ttl time.Duration,
	value secret.Secret) (Session, error) {
	now := s.now.Timestamp()
	session := Session{ID: uuid.Must(uuid.NewV7()), AccountID: in.AccountID, UserID: in.User.ID, Email: in.User.Email,
		CreatedAt: now, ExpiresAt: now.Add(ttl)}
	started := sessionEvent(by, session, audit.SessionStarted, now)
	started.Details = []audit.Detail{{Name: "expiresAt", Value: session.ExpiresAt.Format(time.RFC3339)}}
	accepted := Event(by, audit.UserAccepted, in.User.Target(), now)
	accepted.AccountID = in.AccountID
	return session, s.repo.StartSession(ctx, by.Actor(), session, s.keys.Digest(value), started, accepted)
}

// chooseAccount returns the account of a new session: the requested one, or the
// only one. Its errors reveal other accounts, so only the operator may see
// them.
func chooseAccount(all []AccountUser, accountID uuid.UUID) (AccountUser, error) {
	if len(all) == 0 {
		return AccountUser{}, fault.Errorf(fault.NotFound, "No user has this email address.").On("email")
	}
	if accountID == uuid.Nil {
		return onlyAccount(all)
	}
	for _, in := range all {
		if in.AccountID == accountID {
			return in, nil
		}
	}
	return AccountUser{}, fault.Errorf(fault.NotFound, "This user is not in this account.").On("account")
}

// onlyAccount returns the only account of the address. It considers deactivated
// memberships only if there are no others, and pending ones only if none is accepted: an
// account must not change where a person's sessions start by inviting them.
func onlyAccount(all []AccountUser) (AccountUser, error) {
	in := unless(all, User.Deactivated)
	in = unless(in, func(u User) bool { return u.Pending })
	if len(in) > 1 {
		return AccountUser{}, fault.Errorf(fault.Invalid, "This user is in several accounts. Name one.").On("account")
	}
	return in[0], nil
}

// unless returns the users that are not excluded or, if all of them are, all.
func unless(all []AccountUser, excluded func(User) bool) []AccountUser {
	rest := slices.DeleteFunc(slices.Clone(all), func(one AccountUser) bool { return excluded(one.User) })
	if len(rest) == 0 {
		return all
	}
	return rest
}
