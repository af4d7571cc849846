package auth

import (
	"errors"
	"time"

	"github.com/google/uuid"
)

// CredentialKind is the kind of secret that a principal presented.
type CredentialKind string

// The kinds of credentials that can act.
const (
	AccessToken        CredentialKind = "ACCESS_TOKEN"
	GrantedAccessToken CredentialKind = "GRANTED_ACCESS_TOKEN"
	ClientSecret       CredentialKind = "CLIENT_SECRET"
	UserSession        CredentialKind = "SESSION"
	// OwnerSession is a session of the account's owner, whose rights do not depend
	// on store memberships.
	OwnerSession CredentialKind = "OWNER_SESSION"
)

// IsSession reports whether the kind is that of a session.
func (k CredentialKind) IsSession() bool { return k == UserSession || k == OwnerSession }

// Rights is a digest of a credential's rights as stored in the database: scopes,
// address ranges, ownership and permissions. Equal rights have equal digests.
type Rights [32]byte

// Credential describes the secret that a principal presented, as of its
// verification.
type Credential struct {
	Kind CredentialKind
	// ID is the ID of the access token, the granted access token or the session. It
	// is zero for a client secret, which has no record apart from the API token.
	ID uuid.UUID
	// Rights are the rights on which authorization is based.
	Rights Rights
	// VerifiedAt is when the credential was last verified; zero in tests.
	VerifiedAt time.Time
}

// ErrStale is the cause of the error with which a write rejects an Actor. The
// credential stopped working, or its rights changed, after the request was
// authorized.
var ErrStale = errors.New("the cached credential is no longer valid")

// Actor identifies the credential that authorizes a write. The database checks it
// again in the transaction of the write: the credential must still work and have
// the same rights. The zero Actor may write nothing.
type Actor struct {
	Credential

	// AccountID is the principal's account. ID is its API token or user.
	AccountID, ID uuid.UUID
	// NoCredential is the reason why there is no credential to check, such as a
	// user who is signing in. It is empty if there is a credential.
	NoCredential string
}

// Actor returns p as the actor of a write. The actor of a principal that was not
// verified may write nothing unless NoCredential gives a reason.
func (p *Principal) Actor() Actor {
	return Actor{Credential: p.Credential, AccountID: p.AccountID, ID: p.ID, NoCredential: p.NoCredential}
}

// NoActor returns the actor of a write without a credential, with the reason why it
// needs none.
func NoActor(reason string) Actor { return Actor{NoCredential: reason} }
