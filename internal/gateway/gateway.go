// Package gateway keeps the keys of gateways: proxies and services in front
// of the platform's other APIs, which ask about the credentials of others.
//
// Keys belong to no account, so no account's audit log has them; what is kept
// of a key, revoked ones included, says since when it works and until when it
// did.
package gateway

import (
	"context"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
)

// MaxName is the length of the longest name, in characters. A secret is
// longer, so none can be kept in a name by mistake.
const MaxName = 50

// Key is what is kept of a gateway's key besides its digest.
type Key struct {
	ID uuid.UUID
	// Name is for people, and need not be the only one of its kind.
	Name string
	// Hint is enough of the secret for its holder to recognise it.
	Hint      string
	CreatedAt time.Time
	// RevokedAt is when the key ended; zero while it works.
	RevokedAt time.Time
}

// Repository keeps keys.
type Repository interface {
	// Insert keeps a key by the digest of its secret.
	Insert(ctx context.Context, by auth.Actor, k Key, digest secret.KeyedDigest) error
	// List returns all keys, newest first.
	List(ctx context.Context) ([]Key, error)
	// Revoke ends a key at the moment, unless it has ended, and returns it as
	// it is then. It returns fault.NotFound when there is none.
	Revoke(ctx context.Context, by auth.Actor, id uuid.UUID, at time.Time) (Key, error)
	// Delete removes a key without a trace. It returns fault.NotFound when
	// there is none.
	Delete(ctx context.Context, by auth.Actor, id uuid.UUID) error
}

// Service makes and ends keys. Only the operator may: every method returns
// fault.Forbidden to others.
type Service struct {
	repo   Repository
	keys   *secret.Keyring
	random io.Reader
	now    func() time.Time
}

// NewService returns a service over the repository that keeps secrets under
// keys.
func NewService(repo Repository, keys *secret.Keyring, random io.Reader, now func() time.Time) *Service {
	return &Service{repo: repo, keys: keys, random: random, now: now}
}

// Create makes a key and returns it with its secret, which cannot be had
// again. It returns fault.Invalid for a name that is not one line of 1 to
// MaxName characters.
func (s *Service) Create(ctx context.Context, by *auth.Principal, name string) (Key, secret.Secret, error) {
	if by.Kind != auth.Operator {
		return Key{}, secret.Secret{}, auth.Denied()
	}
	name = strings.TrimSpace(name)
	if !validName(name) {
		return Key{}, secret.Secret{}, fault.Errorf(fault.Invalid, "A gateway's name is one line of 1 to %d characters.", MaxName).On("name")
	}
	value, err := secret.Generate(s.random, secret.GatewayKey)
	if err != nil {
		return Key{}, secret.Secret{}, err
	}
	k := Key{ID: uuid.Must(uuid.NewV7()), Name: name, Hint: value.Hint(), CreatedAt: s.moment()}
	if err := s.repo.Insert(ctx, by.Actor(), k, s.keys.Digest(value)); err != nil {
		return Key{}, secret.Secret{}, err
	}
	return k, value, nil
}

// List returns all keys, revoked ones too, newest first.
func (s *Service) List(ctx context.Context, by *auth.Principal) ([]Key, error) {
	if by.Kind != auth.Operator {
		return nil, auth.Denied()
	}
	return s.repo.List(ctx)
}

// Revoke ends a key at once and keeps its record. Revoking it again changes
// nothing. It returns fault.NotFound when there is no such key.
func (s *Service) Revoke(ctx context.Context, by *auth.Principal, id uuid.UUID) (Key, error) {
	if by.Kind != auth.Operator {
		return Key{}, auth.Denied()
	}
	return s.repo.Revoke(ctx, by.Actor(), id, s.moment())
}

// Delete ends a key at once and keeps nothing of it: for keys that were made
// to try something out. It returns fault.NotFound when there is no such key.
func (s *Service) Delete(ctx context.Context, by *auth.Principal, id uuid.UUID) error {
	if by.Kind != auth.Operator {
		return auth.Denied()
	}
	return s.repo.Delete(ctx, by.Actor(), id)
}

// ErrNoKey is the answer to ids of keys that there are not.
func ErrNoKey() *fault.Error {
	return fault.Errorf(fault.NotFound, "There is no such gateway key.").On("id")
}

// moment is now as it is kept.
func (s *Service) moment() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

func validName(name string) bool {
	n := utf8.RuneCountInString(name)
	breaks := func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) }
	return n >= 1 && n <= MaxName && utf8.ValidString(name) && !strings.ContainsFunc(name, breaks)
}
