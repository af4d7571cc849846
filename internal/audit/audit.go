// Package audit defines audit events. Every capability writes its events in the
// transaction of the change, so that each change has an event and each event a
// change.
package audit

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/paging"
)

// ActorKind is the kind of principal that acted.
type ActorKind string

// The kinds of actors.
const (
	ActorUser     ActorKind = "USER"
	ActorAPIToken ActorKind = "API_TOKEN"
	ActorOperator ActorKind = "OPERATOR"
)

// Actor is the principal that acted. Its name is the name at the time of the event: a record, not a reference.
type Actor struct {
	Kind ActorKind
	// ID is the ID of the user or API token. It is zero for the operator, and for one of another account, whose name
	// is that of the account.
	ID   uuid.UUID
	Name string
}

// Action is the type of an event: the resource, a dot and a past participle.
type Action string

// The actions.
const (
	APITokenCreated Action = "api_token.created"
	APITokenUpdated Action = "api_token.updated"
	APITokenRotated Action = "api_token.rotated"
	APITokenRevoked Action = "api_token.revoked"
	// APITokenExpiring: the token expires in less than 7 days. APITokenExpired: it has expired.
	APITokenExpiring Action = "api_token.expiring"
	APITokenExpired  Action = "api_token.expired"
	// APITokenLeaked: a secret of the token was reported as leaked, and was not revoked by the account's policy.
	APITokenLeaked Action = "api_token.leaked"
	// Changes to access tokens. A granted one was issued to a client for its client
	// secret; a client can revoke access tokens of both kinds. The target is the
	// API token.
	AccessTokenGranted Action = "access_token.granted"
	AccessTokenRevoked Action = "access_token.revoked"
	// SignInFailed: sign-ins as the target user failed. The details are the number
	// of failures since the last such event and the method of the last one. The
	// actor is the same user.
	SignInFailed   Action = "sign_in.failed"
	SessionStarted Action = "session.started"
	SessionEnded   Action = "session.ended"
	AccountCreated Action = "account.created"
	AccountUpdated Action = "account.updated"
	// AccountRestored: the operator restored the database, and so the target account, from a backup.
	AccountRestored Action = "account.restored"
	StoreCreated    Action = "store.created"
	StoreUpdated    Action = "store.updated"
	// StoreSuspended: the store was changed, and its status is suspended now.
	StoreSuspended Action = "store.suspended"
	AppCreated     Action = "app.created"
	AppUpdated     Action = "app.updated"
	// EventSourceCreated and EventSourceDeleted: the target app got or lost an event source in Amazon EventBridge.
	EventSourceCreated Action = "app.event_source_created"
	EventSourceDeleted Action = "app.event_source_deleted"
	UserCreated        Action = "user.created"
	UserUpdated        Action = "user.updated"
	UserAdded          Action = "user.added"
	UserRemoved        Action = "user.removed"
	// UserDeactivated and UserReactivated: a user's membership in the account was
	// deactivated, or made active again.
	UserDeactivated Action = "user.deactivated"
	UserReactivated Action = "user.reactivated"
	// UserReleased: the target user, who was provisioned, is managed by hand.
	UserReleased Action = "user.released"
	// UserRemovalRefused: an identity provider's request to deactivate or remove the target user was refused.
	UserRemovalRefused Action = "user.removal_refused"
	// Changes to a user's membership in a store.
	StoreUserAdded   Action = "store_user.added"
	StoreUserUpdated Action = "store_user.updated"
	StoreUserRemoved Action = "store_user.removed"
	// UserInvited: a one-time link was sent to the target user.
	UserInvited Action = "user.invited"
	// UserAccepted and UserDeclined: the target user answered an invitation. The
	// operator can accept on a user's behalf.
	UserAccepted Action = "user.accepted"
	UserDeclined Action = "user.declined"
	// PasswordSet: a user's password was set or changed.
	PasswordSet Action = "password.set"
	// PasswordRemoved: a password that others may have known was removed.
	PasswordRemoved Action = "password.removed"
	// Changes of credentials other than the password: authenticator apps, recovery codes, passkeys and identities at an
	// identity provider.
	TOTPEnabled          Action = "totp.enabled"
	TOTPDisabled         Action = "totp.disabled"
	RecoveryCodesRenewed Action = "recovery_codes.renewed"
	RecoveryCodeUsed     Action = "recovery_code.used"
	PasskeyAdded         Action = "passkey.added"
	PasskeyRemoved       Action = "passkey.removed"
	IdentityLinked       Action = "identity.linked"
	IdentityUnlinked     Action = "identity.unlinked"
	// OwnershipTransferred: the target, an account or a store, has a new owner.
	OwnershipTransferred Action = "ownership.transferred"

	LegacyAccountCreated Action = "legacy_account.created"
	LegacyAccountUpdated Action = "legacy_account.updated"
	LegacyAccountDeleted Action = "legacy_account.deleted"

	WebhookCreated Action = "webhook.created"
	// WebhookUpdated: the settings, the state or the signing secrets of a webhook changed.
	WebhookUpdated Action = "webhook.updated"
	WebhookDeleted Action = "webhook.deleted"
	// WebhookFailing: no attempt of a webhook succeeded for 24 hours.
	WebhookFailing  Action = "webhook.failing"
	WebhookDisabled Action = "webhook.disabled"
	// WebhookTest: a test event was sent to a webhook.
	WebhookTest Action = "webhook.test"
	// WebhookReplayed: deliveries of a webhook were scheduled again.
	WebhookReplayed Action = "webhook.replayed"

	// The events of automated billing that both the partner and the merchant have in their logs.
	CheckoutCreated       Action = "checkout.created"
	CheckoutApproved      Action = "checkout.approved"
	CheckoutDeclined      Action = "checkout.declined"
	SubscriptionCreated   Action = "subscription.created"
	SubscriptionUpdated   Action = "subscription.updated"
	SubscriptionCancelled Action = "subscription.cancelled"
	// SubscriptionEnded: the last paid day of a cancelled subscription is over.
	SubscriptionEnded     Action = "subscription.ended"
	SubscriptionSuspended Action = "subscription.suspended"
	SubscriptionResumed   Action = "subscription.resumed"
	// Changes of charges are in the partner's log, except those of Carried charges, which are in the merchant's.
	ChargeCreated  Action = "charge.created"
	ChargeDeleted  Action = "charge.deleted"
	ChargeInvoiced Action = "charge.invoiced"
	// InvoiceIssued is in the merchant's log.
	InvoiceIssued Action = "invoice.issued"
)

// Actions returns all actions, grouped by resource.
func Actions() []Action {
	return []Action{
		APITokenCreated, APITokenUpdated, APITokenRotated, APITokenRevoked, APITokenExpiring, APITokenExpired,
		APITokenLeaked,
		AccessTokenGranted, AccessTokenRevoked,
		UserCreated, UserInvited, UserAdded, UserAccepted, UserDeclined, UserUpdated, UserDeactivated, UserReactivated,
		UserReleased, UserRemoved, UserRemovalRefused,
		StoreUserAdded, StoreUserUpdated, StoreUserRemoved, OwnershipTransferred,
		SignInFailed, SessionStarted, SessionEnded, PasswordSet, PasswordRemoved, TOTPEnabled, TOTPDisabled,
		RecoveryCodesRenewed, RecoveryCodeUsed,
		PasskeyAdded, PasskeyRemoved, IdentityLinked, IdentityUnlinked,
		AccountCreated, AccountUpdated, AccountRestored, StoreCreated, StoreUpdated, StoreSuspended, AppCreated,
		AppUpdated,
		EventSourceCreated, EventSourceDeleted,
		LegacyAccountCreated, LegacyAccountUpdated, LegacyAccountDeleted,
		WebhookCreated, WebhookUpdated, WebhookDeleted, WebhookFailing, WebhookDisabled, WebhookTest, WebhookReplayed,
		CheckoutCreated, CheckoutApproved, CheckoutDeclined,
		SubscriptionCreated, SubscriptionUpdated, SubscriptionCancelled, SubscriptionEnded, SubscriptionSuspended,
		SubscriptionResumed,
		ChargeCreated, ChargeDeleted, ChargeInvoiced, InvoiceIssued,
	}
}

// Thing returns the resource of the action: the part before the dot.
func (a Action) Thing() string {
	thing, _, _ := strings.Cut(string(a), ".")
	return thing
}

// TargetKind is the kind of resource that was changed.
type TargetKind string

// The kinds of targets. The values are the kinds in the API's IDs.
const (
	TargetAccount  TargetKind = "account"
	TargetStore    TargetKind = "store"
	TargetApp      TargetKind = "app"
	TargetUser     TargetKind = "user"
	TargetAPIToken TargetKind = "apiToken"
	TargetSession  TargetKind = "session"
	TargetWebhook  TargetKind = "webhook"

	TargetCheckout     TargetKind = "checkout"
	TargetSubscription TargetKind = "subscription"
	TargetCharge       TargetKind = "charge"
	TargetInvoice      TargetKind = "invoice"

	// TargetStoreUser is a user's membership in a store. Its key is the user's UUID, a colon and the store's hash, and
	// its name is that of the user.
	TargetStoreUser TargetKind = "storeUser"

	TargetLegacyAccount TargetKind = "legacyAccount"
)

// Target is the resource that was changed. Its name is the name at the time of the event.
type Target struct {
	Kind TargetKind
	// Key is the target's key without the API's prefix: a UUID, or an app's
	// number.
	Key  string
	Name string
}

// Object returns the target as an object of the API. For a user's membership in a store that is the user.
func (t Target) Object() Target {
	if t.Kind == TargetStoreUser {
		t.Kind = TargetUser
		t.Key, _, _ = strings.Cut(t.Key, ":")
	}
	return t
}

// Detail is one fact about the change, never a secret.
type Detail struct{ Name, Value string }

// Event is one audit event.
type Event struct {
	ID        uuid.UUID
	AccountID uuid.UUID
	At        time.Time
	Actor     Actor
	Action    Action
	Target    Target
	// IP is the address of the request; empty for the operator's commands.
	IP string
	// RequestID finds the request in the logs; empty for the operator's commands.
	RequestID string
	Details   []Detail
	// Version is the version of the form of Data; 0 is stored as 1. Sequence counts the events of the target that have
	// a type, from 1 on: the log sets it. It is 0 for events without a type (Action.Type) and for those that were
	// recorded before there were sequences.
	Version  int
	Sequence int64
	// Data is the target after the change as the API shows it, a JSON object without any secret; nil for "{}".
	Data json.RawMessage
}

// Filter selects events. Zero fields match all events.
type Filter struct {
	Actions []Action
	// ActorID matches all actors if it is nil. The zero UUID matches no event.
	ActorID *uuid.UUID
	// ActorName and TargetName match the names at the time of the event, so that they also find users who were removed.
	ActorName  string
	TargetKey  string
	TargetName string
	// After and Before are exclusive bounds on the time of the event.
	After, Before time.Time
}

// Reader reads an account's events. Each capability's own repository writes them,
// in the transaction of the change.
type Reader interface {
	// Events returns a page of the account's events, newest first.
	Events(ctx context.Context, accountID uuid.UUID, f Filter, w paging.Window) (paging.Page[Event], error)
	// CountEvents returns the number of events that the filter selects.
	CountEvents(ctx context.Context, accountID uuid.UUID, f Filter) (int64, error)
}

// ActorOf returns the actor for a principal's subject: audit.ActorOf(by.Subject()).
func ActorOf(kind string, id uuid.UUID, name string) Actor {
	return Actor{Kind: ActorKind(kind), ID: id, Name: name}
}
