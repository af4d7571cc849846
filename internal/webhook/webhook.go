// Package webhook manages webhooks: endpoints of an account to which its events are sent, signed as the Standard
// Webhooks specification (version 1) says. Package deliver sends them.
package webhook

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/paging"
	"latchkey/internal/secret"
)

// State is the state of a webhook.
type State string

// The states of webhooks.
const (
	// Enabled: events are sent.
	Enabled State = "ENABLED"
	// Paused: deliveries are recorded and wait.
	Paused State = "PAUSED"
	// Disabled: no deliveries are recorded. A webhook is disabled by hand, by an answer 410 and after five days of
	// failures. StateReason says which.
	Disabled State = "DISABLED"
)

// Kind is what a webhook's URL names.
type Kind string

// The kinds of webhooks.
const (
	// HTTP: the URL is an endpoint that receives signed requests. The account manages it with Service.
	HTTP Kind = "HTTP"
	// EventBridge: the URL is the ARN of an app's event source (package eventsource), and there is no secret.
	// Repository neither returns nor counts nor changes webhooks of this kind: package eventsource manages them. Queue
	// treats them as it treats others.
	EventBridge Kind = "EVENT_BRIDGE"
)

// Webhook is an endpoint of an account.
type Webhook struct {
	AccountID, ID    uuid.UUID
	Kind             Kind
	URL, Description string
	// Types are event types and patterns such as "api_token.*", sorted.
	Types       []string
	State       State
	StateReason string
	// FailingSince is when the first attempt failed after the last one that succeeded; zero if the last one succeeded.
	FailingSince time.Time
	CreatedAt    time.Time
	CreatedBy    audit.Actor
	// Secret signs. Previous signs, too, until PreviousExpiresAt; zero without one.
	Secret, Previous  SigningSecret
	PreviousExpiresAt time.Time
}

// Selects reports whether the webhook receives events of the action: those that its types select, and tests.
func (w Webhook) Selects(a audit.Action) bool {
	t := a.Type()
	return a == audit.WebhookTest ||
		slices.ContainsFunc(t.Patterns(), func(pattern string) bool { return slices.Contains(w.Types, pattern) })
}

// SigningSecret is a signing secret, sealed with a server key.
type SigningSecret struct {
	Sealed secret.Sealed
	// Hint is the prefix and the last four characters.
	Hint string
}

// SealedFor is what signing secrets of the webhook are sealed for (secret.Keyring.Seal).
func SealedFor(id uuid.UUID) string { return "webhook " + id.String() }

// DeliveryState is the state of a delivery.
type DeliveryState string

// The states of deliveries.
const (
	Pending   DeliveryState = "PENDING"
	Delivered DeliveryState = "DELIVERED"
	// Dead: the last attempt failed, or the webhook was disabled.
	Dead DeliveryState = "DEAD"
)

// Delivery is one event for one webhook.
type Delivery struct {
	WebhookID uuid.UUID
	Event     audit.Event
	State     DeliveryState
	// NextAttemptAt is the earliest time of the next attempt. It is zero unless the delivery is pending, and while it
	// waits for an earlier one of its subject.
	NextAttemptAt time.Time
	// Attempts are the newest MaxAttempts, in the order of their numbers.
	Attempts []Attempt
}

// MaxAttempts is the maximum number of attempts of a delivery that are kept, those of replays included. Each has up to
// MaxResponseHead bytes, and a page of deliveries is loaded with all of them.
const MaxAttempts = 20

// Attempt is one request of a delivery.
type Attempt struct {
	// Number counts all attempts of the delivery, from 1 on, also those that are no longer kept.
	Number int
	At     time.Time
	// Status is the HTTP status of the answer, or 0 if there was none.
	Status   int
	Duration time.Duration
	// Error says in one line why the attempt failed; empty if it succeeded.
	Error string
	// ResponseHead is the beginning of the answer's body, at most MaxResponseHead bytes of valid UTF-8.
	ResponseHead string
}

// MaxResponseHead is the size of Attempt.ResponseHead in bytes.
const MaxResponseHead = 1024

// DeliveryFilter selects deliveries. Zero fields select all.
type DeliveryFilter struct {
	States []DeliveryState
	// Types are exact event types.
	Types []string
	// EventID selects all events if it is nil. The zero UUID selects none.
	EventID *uuid.UUID
	// After and Before are exclusive bounds on the time of the event.
	After, Before time.Time
}

// Replay selects the events to deliver again. With EventIDs it is those, delivered or not, which must be events that
// the webhook's types select or that have a delivery. Otherwise it is the events in [Since, Until) that the webhook's
// types select; with States only those whose delivery has one of these states, and without also events that have no
// delivery.
type Replay struct {
	AccountID, WebhookID uuid.UUID
	EventIDs             []uuid.UUID
	Since, Until         time.Time
	States               []DeliveryState
	// Readable are the types of the events that may be replayed; nil for all.
	Readable []audit.Type
	// Limit is the maximum number of deliveries to schedule.
	Limit int
}

// HourCount counts the attempts of one hour.
type HourCount struct {
	// Hour is the start of the hour, in UTC.
	Hour              time.Time
	Delivered, Failed int64
}

// Repository stores webhooks. A write stores its events in the same transaction, and checks its actor there.
type Repository interface {
	// Insert stores a webhook if the account has fewer than most, and returns fault.LimitReached otherwise.
	// Concurrent inserts cannot exceed the limit.
	Insert(ctx context.Context, by auth.Actor, w Webhook, most int, e audit.Event) error
	// Change calls decide with the webhook, locked against other writers, and stores what it returns with its events.
	// An error of decide is returned, and nothing is stored. It returns fault.NotFound (ErrNoWebhook) if the account
	// has no such webhook. A webhook that becomes Disabled loses its pending deliveries: they become Dead. If it was
	// Enabled and no longer is, or has another URL, Change waits as Delete does.
	Change(ctx context.Context, by auth.Actor, accountID, id uuid.UUID,
		decide func(Webhook) (Webhook, []audit.Event, error)) error
	// Delete deletes a webhook with its deliveries. It returns fault.NotFound as Change does. event makes the event
	// from the deleted webhook.
	//
	// After Delete has returned, no server begins a request to the webhook (deliver.Queue). Requests that began
	// before the deletion was committed are not aborted: Delete waits until they have ended, but at most two seconds.
	// A request to a receiver that takes longer is still in flight when Delete returns, and ends within the time
	// limit of an attempt.
	Delete(ctx context.Context, by auth.Actor, accountID, id uuid.UUID, event func(Webhook) audit.Event) error

	// Webhook returns a webhook, or fault.NotFound.
	Webhook(ctx context.Context, accountID, id uuid.UUID) (Webhook, error)
	// WebhooksByID returns the account's webhooks among the IDs.
	WebhooksByID(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]Webhook, error)
	// Webhooks returns a page of the account's webhooks, newest first.
	Webhooks(ctx context.Context, accountID uuid.UUID, w paging.Window) (paging.Page[Webhook], error)
	CountWebhooks(ctx context.Context, accountID uuid.UUID) (int64, error)

	// Deliveries returns a page of each webhook's deliveries, those of the newest events first, and with attempts also
	// their attempts. The keys of the items are the IDs of the events.
	Deliveries(ctx context.Context, accountID uuid.UUID, webhookIDs []uuid.UUID, f DeliveryFilter,
		w paging.Window, attempts bool) (map[uuid.UUID]paging.Page[Delivery], error)
	CountDeliveries(ctx context.Context, accountID uuid.UUID, webhookIDs []uuid.UUID,
		f DeliveryFilter) (map[uuid.UUID]int64, error)
	// CountStates counts a webhook's deliveries by state, all at one time.
	CountStates(ctx context.Context, accountID, webhookID uuid.UUID, f DeliveryFilter) (map[DeliveryState]int64, error)
	// History counts attempts by hour from the hour of since on, oldest first, including hours without any.
	History(ctx context.Context, accountID, webhookID uuid.UUID, since, until time.Time) ([]HourCount, error)

	// Replay schedules deliveries at once and returns how many: pending ones too, from their first attempt on. A
	// delivery whose attempt is in flight stays scheduled and is not attempted twice at a time. If there are more than
	// the limit, it schedules those of the newest events. It returns fault.NotFound as Change does, ErrDisabled for a
	// webhook that is disabled, and ErrNoEvent for an event that cannot be replayed. event makes the event that records
	// a replay of at least one delivery. A replay without EventIDs is of a time range: Replay returns ErrReplaying
	// while another one of the account is being scheduled, on any server.
	//
	// Replay schedules many deliveries in several transactions, each within auth.WriteTimeout, so that others write in
	// between. Each selects its events again by what is true then. The first one stores the event with the number of
	// all. If a later one fails, what was scheduled before stays, and Replay returns its number with the error.
	Replay(ctx context.Context, by auth.Actor, r Replay,
		event func(scheduled int) audit.Event) (scheduled int, err error)
	// Test stores the event and its only delivery, to this webhook of any types.
	Test(ctx context.Context, by auth.Actor, accountID, id uuid.UUID, e audit.Event) error
}
