// Package oauth grants short-lived access tokens to the clients of API tokens, which authenticate with their client
// secrets (RFC 6749, section 4.4), and revokes access tokens (RFC 7009).
//
// A granted access token never has more rights than its API token: it has the scopes it was granted that the API token
// still holds, and it stops working with the API token. Package access verifies access tokens.
package oauth

import (
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
)

const (
	// MaxLifetime is the maximum lifetime of a granted access token.
	MaxLifetime = time.Hour
	// MaxLive is the maximum number of live granted access tokens of one API token. It is enough for a fleet in which
	// every process has its own, and few enough to count for each grant.
	MaxLive = 500
)

// Client is the OAuth client of an API token.
type Client struct {
	// Principal is the API token with all its scopes.
	Principal auth.Principal
	// Secret is the digest of the client secret.
	Secret secret.KeyedDigest
	// Features are the account's features.
	Features []scope.Feature
	// Revoked reports whether the API token is revoked, and Suspended whether its
	// account or, for a store-level token, its store is suspended.
	Revoked, Suspended bool
}

// Draft is an access token to insert, with everything that the same transaction
// writes.
type Draft struct {
	AccountID, TokenID, ID uuid.UUID
	Digest                 secret.KeyedDigest
	Hint                   string
	Scopes                 scope.Set
	CreatedAt, ExpiresAt   time.Time
	Event                  audit.Event
	// MaxLive is the limit of live granted access tokens of the API token,
	// including this one.
	MaxLive int
}

// Revocation is the revocation of an access token of either kind, to be written.
type Revocation struct {
	AccountID, TokenID uuid.UUID
	Kind               secret.Kind
	Candidates         []secret.KeyedDigest
	At                 time.Time
	Event              audit.Event
}

// Repository stores granted access tokens. A write is atomic. When it returns, it
// is durable and every verifier in this process has processed it. It returns
// fault.Unauthenticated if the actor's credential no longer works, and
// fault.Conflict if its rights changed.
type Repository interface {
	// Client returns the client with the ID, with one query on a unique index. It
	// returns fault.NotFound if there is none.
	Client(ctx context.Context, clientID string) (Client, error)
	// Grant stores the draft if its API token has fewer than MaxLive live granted
	// access tokens when the draft is created, and deletes some expired ones of the
	// account. It returns fault.LimitReached if there are too many, and
	// fault.NotFound if the API token is revoked.
	Grant(ctx context.Context, by auth.Actor, d Draft) error
	// Revoke revokes the access token if it is the API token's and not yet revoked. It stops working at once by every
	// server's clock. An expired token is revoked as well, because it may not have expired by another server's clock.
	// Otherwise End changes nothing. It returns ErrNotIssuedToClient if a stored access token, live or not, belongs to
	// another API token, and nil otherwise.
	Revoke(ctx context.Context, by auth.Actor, e Revocation) error
}

// Granted is a new access token with its secret, which is not stored.
type Granted struct {
	AccessToken secret.Secret
	Scopes      scope.Set
	// Lifetime is the time from now until the token expires.
	Lifetime time.Duration
}

// Refusal is the reason why a client was not authenticated. It is for logs and
// metrics, and must not reach the client.
type Refusal struct {
	Reason Reason
	// Of is the API token of the client ID, or zero if there is none.
	Of uuid.UUID
}

// Error returns the reason.
func (r *Refusal) Error() string { return string(r.Reason) }

// Reason is a reason for rejecting a client.
type Reason string

// The reasons.
const (
	ReasonMalformed Reason = "malformed"
	// ReasonUnknown also covers a wrong secret.
	ReasonUnknown   Reason = "unknown"
	ReasonRevoked   Reason = "revoked"
	ReasonSuspended Reason = "suspended"
	ReasonExpired   Reason = "expired"
	ReasonAddress   Reason = "address not allowed"
)

// errClient is the error for every client that is not authenticated. It has one
// message, so that it does not reveal whether a guess was close.
func errClient() *fault.Error {
	return fault.Errorf(fault.Unauthenticated,
		"The client ID or secret is wrong, or the API token is expired, revoked, suspended, or used from an address it is not allowed from.")
}

// ErrNotIssuedToClient is the error for a client that revokes a token that was not
// issued to it (RFC 7009, section 2.1). It does not reveal whose token that is, or
// whether it works.
func ErrNotIssuedToClient() *fault.Error {
	return fault.Errorf(fault.Forbidden, "This token was not issued to this client, so the client cannot revoke it.")
}
