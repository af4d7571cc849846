// Package token issues, narrows, rotates and revokes API tokens, on both
// levels by one path: what differs between the levels is a row of data.
package token

import (
	"net/netip"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
)

// Token is an API token: the durable record that an owner creates. Its secret
// values are kept as keyed digests only and are no part of it.
type Token struct {
	ID        uuid.UUID
	AccountID uuid.UUID
	// StoreID is the store of a store-level token, zero on account level.
	StoreID uuid.UUID
	// StoreHash is that store's hash.
	StoreHash string
	Name      string
	ClientID  string
	// Scopes are those granted, with all that they imply.
	Scopes scope.Set
	// AllowedIPRanges are where the token may be used from; none is anywhere.
	AllowedIPRanges []netip.Prefix
	CreatedAt       time.Time
	CreatedBy       audit.Actor
	// ExpiresAt is zero for a token that does not expire.
	ExpiresAt time.Time
	// LastUsedAt and LastUsedIP are zero for a token that was never used.
	LastUsedAt time.Time
	LastUsedIP netip.Addr
	// Revocation is nil while the token is not revoked.
	Revocation *Revocation
}

// Revocation is the record of a token's end.
type Revocation struct {
	At     time.Time
	By     audit.Actor
	Reason string
}

// Level returns the token's level.
func (t Token) Level() scope.Level {
	if t.StoreID == uuid.Nil {
		return scope.LevelAccount
	}
	return scope.LevelStore
}

// Status is where a token is in its life.
type Status string

// The statuses of API tokens (design: "The API's additions").
const (
	Active  Status = "ACTIVE"
	Expired Status = "EXPIRED"
	Revoked Status = "REVOKED"
)

// Status returns the token's status at the moment now. A revoked token stays
// revoked after its expiry.
func (t Token) Status(now time.Time) Status {
	switch {
	case t.Revocation != nil:
		return Revoked
	case !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt):
		return Expired
	default:
		return Active
	}
}

// AccessToken is the record of one access token of an API token.
type AccessToken struct {
	ID         uuid.UUID
	APITokenID uuid.UUID
	// Hint is what may be shown of its value: prefix and last four characters.
	Hint      string
	CreatedAt time.Time
	// ExpiresAt is when a rotation ends it; zero while none has.
	ExpiresAt time.Time
	// LastUsedAt and LastUsedIP are zero for one that was never used.
	LastUsedAt time.Time
	LastUsedIP netip.Addr
}

// levelRow is all that differs between the levels.
type levelRow struct {
	// secretKind is the kind of the level's access tokens.
	secretKind secret.Kind
	// grantable are the levels of the scopes that the level's tokens hold.
	grantable []scope.Level
	// place names what the level's tokens belong to, for messages.
	place string
}

func rowOf(level scope.Level) levelRow {
	if level == scope.LevelStore {
		return levelRow{secret.StoreAccessToken, []scope.Level{scope.LevelStore}, "store"}
	}
	return levelRow{secret.AccountAccessToken, []scope.Level{scope.LevelAccount, scope.LevelStore}, "account"}
}

// Owner is what an API token belongs to: an account, or a store of one. It is
// a closed value, made by AccountOwner and StoreOwner.
type Owner struct {
	account account.Account
	store   account.Store
}

// AccountOwner is the owner of account-level tokens.
func AccountOwner(a account.Account) Owner { return Owner{account: a} }

// StoreOwner is the owner of the store-level tokens of a store. It returns
// fault.NotFound when the store is not the account's.
func StoreOwner(a account.Account, s account.Store) (Owner, error) {
	if s.AccountID != a.ID {
		return Owner{}, account.ErrNoStore()
	}
	return Owner{account: a, store: s}, nil
}

// Level returns the level of the tokens that belong to o.
func (o Owner) Level() scope.Level {
	if o.store.ID == uuid.Nil {
		return scope.LevelAccount
	}
	return scope.LevelStore
}

// Request asks for a new API token.
type Request struct {
	Owner  Owner
	Name   string
	Scopes []string
	// ExpiresAt is zero for a token that does not expire.
	ExpiresAt time.Time
	// AllowedIPRanges are CIDRs (RFC 4632, RFC 4291 section 2.3) or single
	// addresses; none is anywhere.
	AllowedIPRanges []string
}

// Issued is what creating a token returns: the record and its secret values,
// which nobody can have again.
type Issued struct {
	Token        Token
	AccessToken  secret.Secret
	ClientSecret secret.Secret
}

// Update asks for a token to be narrowed. Nil fields stay as they are.
type Update struct {
	ID     uuid.UUID
	Name   *string
	Scopes []string
	// ExpiresAt is the new, earlier end. A pointer to the zero time asks for
	// no end, which widens and is refused unless the token has none.
	ExpiresAt       *time.Time
	AllowedIPRanges []string
}

// Rotation is what rotating a token returns: the record, the new access
// token's value, and when the previous one ends.
type Rotation struct {
	Token             Token
	AccessToken       secret.Secret
	PreviousExpiresAt time.Time
}

// RevokeRequest asks for the end of one to MaxRevocations tokens.
type RevokeRequest struct {
	IDs    []uuid.UUID
	Reason string
	// Issued revokes the tokens that these issued, too, and those that these
	// issued, at every depth (Lister.IssuedBy). It takes the right to revoke
	// every token of the account.
	Issued bool
}

// RevokeResult is what a revocation did.
type RevokeResult struct {
	// At is when the tokens were revoked.
	At time.Time
	// IDs are the tokens of the request, each once.
	IDs []uuid.UUID
	// Issued are the tokens that were revoked because those issued them.
	Issued []uuid.UUID
}

// MaxRevocations is the most tokens that one revocation may name.
const MaxRevocations = 250

// ErrNoToken is the answer for a token that is not there, or not the
// principal's to see: one and the same.
func ErrNoToken() *fault.Error {
	return fault.Errorf(fault.NotFound, "There is no such API token in this account.")
}
