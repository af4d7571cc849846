package object

import (
	"time"

	"latchkey/graph/scalar"
	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/webhook"
)

// Webhook is a webhook with its siblings, as of a time.
type Webhook struct {
	webhook.Webhook

	Siblings *Siblings[webhook.Webhook]
	now      time.Time
}

// NewWebhooks returns webhooks at the time now as each other's siblings.
func NewWebhooks(webhooks []webhook.Webhook, now time.Time) func(webhook.Webhook) Webhook {
	siblings := NewSiblings(webhooks)
	return func(w webhook.Webhook) Webhook { return Webhook{w, siblings, now} }
}

// NewWebhook returns a webhook without siblings.
func NewWebhook(w webhook.Webhook, now time.Time) Webhook {
	return NewWebhooks([]webhook.Webhook{w}, now)(w)
}

// IsNode marks a Node.
func (Webhook) IsNode() {}

// GlobalID is the webhook's id.
func (w Webhook) GlobalID() scalar.NodeID { return id(scalar.Webhook, w.ID) }

// Reason is the reason for the webhook's state, or nil.
func (w Webhook) Reason() *string { return optional(w.StateReason) }

// Creator is the actor that created the webhook.
func (w Webhook) Creator() Actor { return Actor{w.CreatedBy} }

// Hints are the hints of the secrets that sign requests.
func (w Webhook) Hints() []string { return w.SecretHints(w.now) }

// Delivery is a delivery.
type Delivery struct{ webhook.Delivery }

// GlobalID is the delivery's ID: those of its webhook and its event.
func (d Delivery) GlobalID() string {
	return account.IDPrefix + string(scalar.Delivery) + "/" + d.WebhookID.String() + ":" + d.Delivery.Event.ID.String()
}

// OfEvent is the event.
func (d Delivery) OfEvent() Event { return Event{d.Delivery.Event} }

// AttemptList is the attempts.
func (d Delivery) AttemptList() []DeliveryAttempt {
	list := make([]DeliveryAttempt, len(d.Attempts))
	for i, a := range d.Attempts {
		list[i] = DeliveryAttempt{a}
	}
	return list
}

// DeliveryAttempt is a request of a delivery.
type DeliveryAttempt struct{ webhook.Attempt }

// HTTPStatus is the status of the response, or nil if there was none.
func (a DeliveryAttempt) HTTPStatus() *int {
	if a.Status == 0 {
		return nil
	}
	return &a.Status
}

// DurationMs is the duration in milliseconds.
func (a DeliveryAttempt) DurationMs() int { return int(a.Duration.Milliseconds()) }

// Failure is the reason why the attempt failed, or nil if it succeeded.
func (a DeliveryAttempt) Failure() *string { return optional(a.Error) }

// Head is the start of the response's body, or nil if it was empty.
func (a DeliveryAttempt) Head() *string { return optional(a.ResponseHead) }

// EventType is a type of events.
type EventType struct{ audit.TypeInfo }

// TypeName is the name of the type.
func (t EventType) TypeName() string { return string(t.Name) }

// Event is an event of the event log.
type Event struct{ audit.Event }

// IsNode marks a Node.
func (Event) IsNode() {}

// GlobalID is the event's id.
func (e Event) GlobalID() scalar.NodeID { return id(scalar.Event, e.ID) }

// TypeName is the type of the event.
func (e Event) TypeName() string { return string(e.Action.Type()) }

// SubjectID is the ID of the object that the event is about.
func (e Event) SubjectID() string {
	return account.IDPrefix + string(e.Target.Kind) + "/" + e.Target.Key
}

// ActedBy is the actor of the change.
func (e Event) ActedBy() Actor { return Actor{e.Actor} }

// JSON is the data, a JSON object.
func (e Event) JSON() string {
	if len(e.Data) == 0 {
		return "{}"
	}
	return string(e.Data)
}
