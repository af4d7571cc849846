// Package oauth lets the clients of API tokens have short-lived access tokens
// for their client secrets (OAuth 2.0: RFC 6749, section 4.4), and end access
// tokens that they need no more (RFC 7009).
//
// A granted access token stands for its API token and never for more: what it
// may do is what it was granted and the API token still holds, and it ends
// with the API token, however that ends. Verifying one is package access's
// work.
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
	// MaxLifetime is the longest that a granted access token may live.
	MaxLifetime = time.Hour
	// MaxLive is the most granted access tokens that one API token may have
	// alive: enough for a fleet of which every process has its own, and few
	// enough to be counted with each new one.
	MaxLive = 500
)

// Client is what is kept of the client that an API token is.
type Client struct {
	// Principal is the API token, with all scopes that it was given.
	Principal auth.Principal
	// Secret is the digest of the client secret.
	Secret secret.KeyedDigest
	// Features are the account's.
	Features []scope.Feature
	// Revoked says that the API token is; Suspended that the account is, or
	// the store of a store-level token.
	Revoked, Suspended bool
}

// Draft is an access token about to be kept, with all that is kept in the same
// transaction.
type Draft struct {
	AccountID, TokenID, ID uuid.UUID
	Digest                 secret.KeyedDigest
	Hint                   string
	Scopes                 scope.Set
	CreatedAt, ExpiresAt   time.Time
	Event                  audit.Event
	// MaxLive is the most live granted access tokens that the API token may
	// have, this one included.
	MaxLive int
}

// Ending is the end of an access token of either sort, about to be kept.
type Ending struct {
	AccountID, TokenID uuid.UUID
	Kind               secret.Kind
	Candidates         []secret.KeyedDigest
	At                 time.Time
	Event              audit.Event
}

// Repository keeps granted access tokens. Its writes take effect as a whole
// or not at all, and are durable and heard by every verifier of this process
// when they return. They return fault.Unauthenticated where the actor's
// credential does not work any more, and fault.Conflict where its rights changed.
type Repository interface {
	// Client finds a client by its id, with one query on a unique index. It
	// returns fault.NotFound when there is none.
	Client(ctx context.Context, clientID string) (Client, error)
	// Grant keeps the draft if fewer than MaxLive granted access tokens of its
	// API token live at its creation, and forgets some of the account's that
	// ended. It returns fault.LimitReached otherwise, and fault.NotFound when
	// the API token is revoked.
	Grant(ctx context.Context, by auth.Actor, d Draft) error
	// End ends the access token, at once by every server's clock, if it is the
	// API token's and was not ended before. Its own date may have passed: by
	// another server's clock it may not have. Otherwise it changes nothing,
	// which is no error unless the access token is another API token's, whether
	// it lives or not, and not yet forgotten: then it returns ErrAnothers.
	End(ctx context.Context, by auth.Actor, e Ending) error
}

// Granted is an access token as its client gets it, once.
type Granted struct {
	AccessToken secret.Secret
	Scopes      scope.Set
	// Lifetime is how long the token lives from now.
	Lifetime time.Duration
}

// Refusal is why a client was not let in: for logs and metrics, never for the
// client.
type Refusal struct {
	Reason Reason
	// Of is the API token whose client it claims to be, if there is one.
	Of uuid.UUID
}

// Error is the reason.
func (r *Refusal) Error() string { return string(r.Reason) }

// Reason is one of the few that there are for refusing a client.
type Reason string

// The reasons.
const (
	ReasonMalformed Reason = "malformed"
	// ReasonUnknown stands for a wrong secret, too.
	ReasonUnknown   Reason = "unknown"
	ReasonRevoked   Reason = "revoked"
	ReasonSuspended Reason = "suspended"
	ReasonExpired   Reason = "expired"
	ReasonAddress   Reason = "address not allowed"
)

// errClient is the answer to every client that is not let in, so that it tells
// nobody whether a guess was close.
func errClient() *fault.Error {
	return fault.Errorf(fault.Unauthenticated,
		"The client is unknown, its secret is wrong, or its API token does not work, or no longer, or not from here.")
}

// ErrAnothers is the answer to a client that asks to end what was not issued
// to it (RFC 7009, section 2.1). It says nothing of whose that is, nor of
// whether it works.
func ErrAnothers() *fault.Error {
	return fault.Errorf(fault.Forbidden, "This was not issued to the client that asks, so it may not end it.")
}
