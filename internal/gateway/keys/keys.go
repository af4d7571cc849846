// Package keys manages gateway keys, the credentials of proxies and services in
// front of the platform's other APIs, which check the credentials of clients.
//
// A gateway key belongs to no account, so no account's audit log mentions it. Its
// record, which also stays after a revocation, says when it was created and
// revoked.
package keys

import (
	"context"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
)

// MaxName is the most characters of a name. A secret is longer, so a name cannot
// contain one by mistake.
const MaxName = 50

// Key is a gateway key without its digest.
type Key struct {
	ID uuid.UUID
	// Name is a display name. It need not be unique.
	Name string
	// Hint is the part of the secret by which its holder can recognize it.
	Hint      string
	CreatedAt time.Time
	// RevokedAt is when the key was revoked, or zero.
	RevokedAt time.Time
}

// Repository stores gateway keys.
type Repository interface {
	// Insert stores a key under the digest of its secret.
	Insert(ctx context.Context, by auth.Actor, k Key, digest secret.KeyedDigest) error
	// List returns all keys, newest first.
	List(ctx context.Context) ([]Key, error)
	// Revoke revokes a key now, unless it is already revoked, and returns the
	// updated key. It returns fault.NotFound if there is none.
	Revoke(ctx context.Context, by auth.Actor, id uuid.UUID, at time.Time) (Key, error)
	// Delete deletes a key and its record. It returns fault.NotFound if there is
	// none.
	Delete(ctx context.Context, by auth.Actor, id uuid.UUID) error
}

// Service creates, revokes and deletes gateway keys. Every method returns
// fault.Forbidden unless the principal is the operator.
type Service struct {
	repo   Repository
	keys   *secret.Keyring
	random io.Reader
	now    clock.Clock
}

// NewService returns a service that stores the digests of secrets under keys.
func NewService(repo Repository, keys *secret.Keyring, random io.Reader, now clock.Clock) *Service {
	return &Service{repo: repo, keys: keys, random: random, now: now}
}

// Create creates a key and returns it with its secret, which is not stored. It
// returns fault.Invalid for a name that is not one line of 1 to MaxName characters.
func (s *Service) Create(ctx context.Context, by *auth.Principal, name string) (Key, secret.Secret, error) {
	if by.Kind != auth.Operator {
		return Key{}, secret.Secret{}, auth.Denied()
	}
	name = strings.TrimSpace(name)
	if !validName(name) {
		return Key{}, secret.Secret{}, fault.Errorf(fault.Invalid,
			"A gateway's name is one line of 1 to %d characters.", MaxName).On("name")
	}
	value, err := secret.Generate(s.random, secret.GatewayKey)
	if err != nil {
		return Key{}, secret.Secret{}, err
	}
	k := Key{ID: uuid.Must(uuid.NewV7()), Name: name, Hint: value.Hint(), CreatedAt: s.now.Timestamp()}
	if err := s.repo.Insert(ctx, by.Actor(), k, s.keys.Digest(value)); err != nil {
		return Key{}, secret.Secret{}, err
	}
	return k, value, nil
}

// List returns all keys, including revoked ones, newest first.
func (s *Service) List(ctx context.Context, by *auth.Principal) ([]Key, error) {
	if by.Kind != auth.Operator {
		return nil, auth.Denied()
	}
	return s.repo.List(ctx)
}

// Revoke revokes a key immediately and keeps its record. It does nothing for a key
// that is already revoked. It returns fault.NotFound if the key does not exist.
func (s *Service) Revoke(ctx context.Context, by *auth.Principal, id uuid.UUID) (Key, error) {
	if by.Kind != auth.Operator {
		return Key{}, auth.Denied()
	}
	return s.repo.Revoke(ctx, by.Actor(), id, s.now.Timestamp())
}

// Delete deletes a key immediately, with its record: it is for keys of a test. It
// returns fault.NotFound if the key does not exist.
func (s *Service) Delete(ctx context.Context, by *auth.Principal, id uuid.UUID) error {
	if by.Kind != auth.Operator {
		return auth.Denied()
	}
	return s.repo.Delete(ctx, by.Actor(), id)
}

// ErrNoKey is the error for the ID of a key that does not exist.
func ErrNoKey() *fault.Error {
	return fault.Errorf(fault.NotFound, "There is no such gateway key.").On("id")
}

func validName(name string) bool {
	n := utf8.RuneCountInString(name)
	breaks := func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) }
	return n >= 1 && n <= MaxName && utf8.ValidString(name) && !strings.ContainsFunc(name, breaks)
}
