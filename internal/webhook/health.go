package webhook

import (
	"time"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
)

// FailingEvent returns the event of a webhook to which no attempt succeeded for a day. The actor is the service.
func FailingEvent(w Webhook, at time.Time) audit.Event {
	return newEvent(service(w), audit.WebhookFailing, w, at,
		audit.Detail{Name: "failingSince", Value: w.FailingSince.Format(time.RFC3339Nano)})
}

// DisabledEvent returns the event of a webhook that the service disables.
func DisabledEvent(w Webhook, reason string, at time.Time) audit.Event {
	w.State, w.StateReason = Disabled, reason
	return newEvent(service(w), audit.WebhookDisabled, w, at, audit.Detail{Name: "reason", Value: reason})
}

func service(w Webhook) *auth.Principal {
	return &auth.Principal{Kind: auth.Operator, Name: audit.ServiceName, AccountID: w.AccountID}
}
