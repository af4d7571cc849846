// Package token issues, restricts, rotates and revokes API tokens of both levels.
// The levels share all code; levelRow has their differences.
package token

import (
	"net/netip"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
)

// Token is an API token. It has no secrets: only keyed digests of them are stored.
type Token struct {
	ID        uuid.UUID
	AccountID uuid.UUID
	// StoreID is the store of a store-level token, or zero.
	StoreID uuid.UUID
	// StoreHash is that store's hash.
	StoreHash string
	Name      string
	ClientID  string
	// Scopes are the granted scopes, including implied ones.
	Scopes scope.Set
	// AllowedIPRanges are the addresses from which the token may be used. If it is
	// empty, every address is allowed.
	AllowedIPRanges []netip.Prefix
	// ChargeLimit is the most that the token may charge in a month. Only a token with
	// account_charges_write can have one.
	ChargeLimit auth.ChargeLimit
	CreatedAt   time.Time
	CreatedBy   audit.Actor
	// ExpiresAt is zero if the token does not expire.
	ExpiresAt time.Time
	// LastUsedAt and LastUsedIP are zero if the token was never used.
	LastUsedAt time.Time
	LastUsedIP netip.Addr
	// Revocation is nil if the token is not revoked.
	Revocation *Revocation
}

// Revocation describes how a token was revoked.
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

// Status is the status of an API token.
type Status string

// The statuses of API tokens (docs/compatibility.md: "Additions").
const (
	Active  Status = "ACTIVE"
	Expired Status = "EXPIRED"
	Revoked Status = "REVOKED"
)

// Status returns the token's status at the time now. A revoked token stays revoked
// after its expiration time.
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
	// Hint is the part of the secret that may be shown: the prefix and the last
	// four characters.
	Hint      string
	CreatedAt time.Time
	// ExpiresAt is the expiration time that a rotation set, or zero.
	ExpiresAt time.Time
	// LastUsedAt and LastUsedIP are zero if it was never used.
	LastUsedAt time.Time
	LastUsedIP netip.Addr
}

// levelRow has the differences between the levels.
type levelRow struct {
	// secretKind is the kind of the level's access tokens.
	secretKind secret.Kind
	// grantable are the levels of the scopes that tokens of the level may hold.
	grantable []scope.Level
	// place names the owner of the level's tokens in messages.
	place string
}

func rowOf(level scope.Level) levelRow {
	if level == scope.LevelStore {
		return levelRow{secret.StoreAccessToken, []scope.Level{scope.LevelStore}, "store"}
	}
	return levelRow{secret.AccountAccessToken, []scope.Level{scope.LevelAccount, scope.LevelStore}, "account"}
}

// Owner is the account or store that an API token belongs to. It is made by
// AccountOwner or StoreOwner.
type Owner struct {
	account account.Account
	store   account.Store
}

// AccountOwner returns the owner of an account's account-level tokens.
func AccountOwner(a account.Account) Owner { return Owner{account: a} }

// StoreOwner returns the owner of a store's tokens. It returns fault.NotFound if
// the store does not belong to the account.
func StoreOwner(a account.Account, s account.Store) (Owner, error) {
	if s.AccountID != a.ID {
		return Owner{}, account.ErrNoStore()
	}
	return Owner{account: a, store: s}, nil
}

// Level returns the level of the owner's tokens.
func (o Owner) Level() scope.Level {
	if o.store.ID == uuid.Nil {
		return scope.LevelAccount
	}
	return scope.LevelStore
}

// Request is a request for a new API token.
type Request struct {
	Owner  Owner
	Name   string
	Scopes []string
	// ExpiresAt is zero if the token does not expire.
	ExpiresAt time.Time
	// AllowedIPRanges are CIDRs (RFC 4632, RFC 4291 section 2.3) or single
	// addresses. If it is empty, every address is allowed.
	AllowedIPRanges []string
	// ChargeLimit is nil for no limit.
	ChargeLimit *Amount
}

// Issued is a new token with its secrets, which cannot be shown again.
type Issued struct {
	Token        Token
	AccessToken  secret.Secret
	ClientSecret secret.Secret
}

// Update is a request to restrict a token. Nil fields are left unchanged.
type Update struct {
	ID     uuid.UUID
	Name   *string
	Scopes []string
	// ExpiresAt is the new, earlier expiration time. A pointer to the zero time
	// removes the expiration, which is an error unless the token has none.
	ExpiresAt       *time.Time
	AllowedIPRanges []string
	// ChargeLimit is the new, lower limit, or the first one.
	ChargeLimit *Amount
}

// Rotation is the result of a rotation: the token, its new access token, and the
// time when the previous one expires.
type Rotation struct {
	Token             Token
	AccessToken       secret.Secret
	PreviousExpiresAt time.Time
}

// RevokeRequest is a request to revoke 1 to MaxRevocations tokens.
type RevokeRequest struct {
	IDs    []uuid.UUID
	Reason string
	// Issued also revokes the tokens that these issued, at every depth
	// (Lister.IssuedBy). It requires the right to revoke every token of the
	// account.
	Issued bool
}

// RevokeResult is the result of a revocation.
type RevokeResult struct {
	// At is when the tokens were revoked.
	At time.Time
	// IDs are the IDs in the request, without duplicates.
	IDs []uuid.UUID
	// Issued are the IDs of the tokens that were revoked because tokens of the
	// request issued them.
	Issued []uuid.UUID
}

// MaxRevocations is the most tokens in one revocation.
const MaxRevocations = 250

// ErrNoToken is the error for a token that does not exist or that the principal may
// not see. It does not reveal which.
func ErrNoToken() *fault.Error {
	return fault.Errorf(fault.NotFound, "There is no such API token in this account.")
}
