// Package audit says what an audit event is. Every capability writes its
// events in the transaction of the change itself (mission: promise 5), so
// there is no change without its event and no event without its change.
package audit

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/page"
)

// ActorKind says what sort of principal acted.
type ActorKind string

// The kinds of actors (design: "The API's additions").
const (
	ActorUser     ActorKind = "USER"
	ActorAPIToken ActorKind = "API_TOKEN"
	ActorOperator ActorKind = "OPERATOR"
)

// Actor is who did something, named as at that moment: a record, not a link.
type Actor struct {
	Kind ActorKind
	// ID is the user's or API token's; zero for the operator.
	ID   uuid.UUID
	Name string
}

// Action names what was done: the thing, a dot, and the deed.
type Action string

// The vocabulary of actions.
const (
	APITokenCreated Action = "api_token.created"
	APITokenUpdated Action = "api_token.updated"
	APITokenRotated Action = "api_token.rotated"
	APITokenRevoked Action = "api_token.revoked"
	// An access token that a client got for its client secret, or one of
	// either sort that its client ended. The target is the API token.
	AccessTokenGranted Action = "access_token.granted"
	AccessTokenRevoked Action = "access_token.revoked"
	// SignInFailed tells that sign-ins as a user, its target, failed: how many
	// since the last event of the kind, and by what method the last did. The
	// actor is who they would have been.
	SignInFailed   Action = "sign_in.failed"
	SessionStarted Action = "session.started"
	SessionEnded   Action = "session.ended"
	AccountCreated Action = "account.created"
	AccountUpdated Action = "account.updated"
	StoreCreated   Action = "store.created"
	StoreUpdated   Action = "store.updated"
	AppCreated     Action = "app.created"
	AppUpdated     Action = "app.updated"
	UserCreated    Action = "user.created"
	UserUpdated    Action = "user.updated"
	UserAdded      Action = "user.added"
	UserRemoved    Action = "user.removed"
	// UserInvited tells that a person, its target, was given a one-time link.
	UserInvited Action = "user.invited"
	// UserAccepted and UserDeclined tell what a person, its target, answered to
	// the membership. The operator can accept for them.
	UserAccepted Action = "user.accepted"
	UserDeclined Action = "user.declined"
	// PasswordSet tells that a person has another password.
	PasswordSet Action = "password.set"
	// PasswordRemoved tells that a password is gone that others may have known.
	PasswordRemoved Action = "password.removed"
	// What a person proves who they are with besides a password: codes of an
	// authenticator app, recovery codes, passkeys, identities at a provider.
	TOTPEnabled          Action = "totp.enabled"
	TOTPDisabled         Action = "totp.disabled"
	RecoveryCodesRenewed Action = "recovery_codes.renewed"
	RecoveryCodeUsed     Action = "recovery_code.used"
	PasskeyAdded         Action = "passkey.added"
	PasskeyRemoved       Action = "passkey.removed"
	IdentityLinked       Action = "identity.linked"
	IdentityUnlinked     Action = "identity.unlinked"
	// OwnershipTransferred tells that an account or a store, its target, has
	// another owner.
	OwnershipTransferred Action = "ownership.transferred"

	LegacyAccountCreated Action = "legacy_account.created"
	LegacyAccountUpdated Action = "legacy_account.updated"
	LegacyAccountDeleted Action = "legacy_account.deleted"
)

// Actions are all of the vocabulary, those about the same sort of thing
// together.
func Actions() []Action {
	return []Action{
		APITokenCreated, APITokenUpdated, APITokenRotated, APITokenRevoked, AccessTokenGranted, AccessTokenRevoked,
		UserCreated, UserInvited, UserAdded, UserAccepted, UserDeclined, UserUpdated, UserRemoved, OwnershipTransferred,
		SignInFailed, SessionStarted, SessionEnded, PasswordSet, PasswordRemoved, TOTPEnabled, TOTPDisabled, RecoveryCodesRenewed, RecoveryCodeUsed,
		PasskeyAdded, PasskeyRemoved, IdentityLinked, IdentityUnlinked,
		AccountCreated, AccountUpdated, StoreCreated, StoreUpdated, AppCreated, AppUpdated,
		LegacyAccountCreated, LegacyAccountUpdated, LegacyAccountDeleted,
	}
}

// Thing is what an action is about: what stands before its dot.
func (a Action) Thing() string {
	thing, _, _ := strings.Cut(string(a), ".")
	return thing
}

// TargetKind says what sort of thing was changed.
type TargetKind string

// The kinds of targets; the values are the key kinds of the API's ids.
const (
	TargetAccount  TargetKind = "account"
	TargetStore    TargetKind = "store"
	TargetApp      TargetKind = "app"
	TargetUser     TargetKind = "user"
	TargetAPIToken TargetKind = "apiToken"
	TargetSession  TargetKind = "session"

	TargetLegacyAccount TargetKind = "legacyAccount"
)

// Target is the thing that was changed, named as at that moment.
type Target struct {
	Kind TargetKind
	// Key is the target's key without the API's prefix: a UUID, or an app's
	// number.
	Key  string
	Name string
}

// Detail is one fact about the change, never a secret.
type Detail struct{ Name, Value string }

// Event is one change: who, what, when, from where.
type Event struct {
	ID        uuid.UUID
	AccountID uuid.UUID
	At        time.Time
	Actor     Actor
	Action    Action
	Target    Target
	// IP is the address of the request; empty for the operator's commands.
	IP string
	// RequestID finds the request in the logs; empty likewise.
	RequestID string
	Details   []Detail
}

// Filter narrows a list of events. Zero fields do not narrow.
type Filter struct {
	Actions []Action
	ActorID uuid.UUID
	// ActorName and TargetName are names as at the moment of the event, so that
	// they find those who have left, too.
	ActorName  string
	TargetKey  string
	TargetName string
	// After and Before are exclusive bounds on the time of the event.
	After, Before time.Time
}

// Reader reads an account's events. Writing is part of each capability's own
// repository, since it belongs to the transaction of the change.
type Reader interface {
	// Events returns a page of the account's events, newest first.
	Events(ctx context.Context, accountID uuid.UUID, f Filter, w page.Window) (page.Page[Event], error)
	// CountEvents returns how many events the filter admits.
	CountEvents(ctx context.Context, accountID uuid.UUID, f Filter) (int64, error)
}

// ActorOf names an actor from the words a principal uses of itself:
// audit.ActorOf(by.Subject()).
func ActorOf(kind string, id uuid.UUID, name string) Actor {
	return Actor{Kind: ActorKind(kind), ID: id, Name: name}
}
