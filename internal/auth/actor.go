package auth

import (
	"errors"
	"time"

	"github.com/google/uuid"
)

// CredentialKind says which sort of stored secret a principal presented.
type CredentialKind string

// The kinds of credentials that can act.
const (
	AccessToken        CredentialKind = "ACCESS_TOKEN"
	GrantedAccessToken CredentialKind = "GRANTED_ACCESS_TOKEN"
	ClientSecret       CredentialKind = "CLIENT_SECRET"
	UserSession        CredentialKind = "SESSION"
	// OwnerSession is the session of its account's owner, whose rights do not
	// depend on stores.
	OwnerSession CredentialKind = "OWNER_SESSION"
)

// IsSession reports whether a credential of the kind is a session.
func (k CredentialKind) IsSession() bool { return k == UserSession || k == OwnerSession }

// Rights is a digest of everything that the database said a credential may do:
// scopes, address ranges, ownership, permissions. It is equal for equal rights.
type Rights [32]byte

// Credential is the stored secret that a principal presented, and what was
// known of it when it was verified.
type Credential struct {
	Kind CredentialKind
	// ID is the access token's, the granted access token's or the session's;
	// zero for a client secret, which belongs to the API token itself.
	ID uuid.UUID
	// Rights are those that every decision about the principal is based on.
	Rights Rights
	// VerifiedAt is when the credential was last verified; zero in tests.
	VerifiedAt time.Time
}

// ErrStale is the cause of each refusal of an Actor: its credential stopped
// working, or its rights changed, after they were judged.
var ErrStale = errors.New("what was known of the credential is no longer true")

// Actor is the authority that a write is made on. The database checks it again
// in the transaction of the write: the credential must still work, and its
// rights must be the ones that were judged. The zero Actor may write nothing.
type Actor struct {
	Credential

	// AccountID and ID are the principal's: its account, and its API token or
	// its user.
	AccountID, ID uuid.UUID
	// NoCredential is why there is no credential to check, such as a person who
	// is signing in; empty where there is one.
	NoCredential string
}

// Actor returns the authority of what p does. A principal that was not verified
// yields an Actor that may write nothing, unless it says why (NoCredential).
func (p *Principal) Actor() Actor {
	return Actor{Credential: p.Credential, AccountID: p.AccountID, ID: p.ID, NoCredential: p.NoCredential}
}

// NoActor is the authority of a write that no credential asks for. The reason
// says why it needs none.
func NoActor(reason string) Actor { return Actor{NoCredential: reason} }
