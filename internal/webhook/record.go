package webhook

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
)

// newEvent returns the event of a change to a webhook.
func newEvent(by *auth.Principal, action audit.Action, w Webhook, at time.Time, details ...audit.Detail) audit.Event {
	e := audit.Event{
		ID: uuid.Must(uuid.NewV7()), AccountID: w.AccountID, At: at, Actor: audit.ActorOf(by.Subject()), Action: action,
		Target: w.Target(), RequestID: by.Origin.RequestID, Details: details, Version: 1, Data: w.Data(at),
	}
	if by.Origin.IP.IsValid() {
		e.IP = by.Origin.IP.String()
	}
	return e
}

// fields returns the fields of a webhook that an update can change, as text.
func fields(w Webhook) []audit.Detail {
	return []audit.Detail{
		{Name: "url", Value: w.URL},
		{Name: "description", Value: w.Description},
		{Name: "eventTypes", Value: strings.Join(w.Types, " ")},
		{Name: "state", Value: string(w.State)},
	}
}

// createdDetails returns the fields of a new webhook that are not empty.
func createdDetails(w Webhook) []audit.Detail {
	var details []audit.Detail
	for _, f := range fields(w) {
		if f.Value != "" {
			details = append(details, f)
		}
	}
	return details
}

// changeEvents returns the events of an update: one that says that it disabled the webhook, and one for all other
// changes. It returns none if nothing changed.
func changeEvents(by *auth.Principal, before, after Webhook, at time.Time) []audit.Event {
	var details []audit.Detail
	old := fields(before)
	disabled := before.State != Disabled && after.State == Disabled
	for i, f := range fields(after) {
		if f != old[i] && !(disabled && f.Name == "state") {
			details = append(details, f)
		}
	}
	var events []audit.Event
	if len(details) > 0 || !before.FailingSince.IsZero() && after.FailingSince.IsZero() {
		events = append(events, newEvent(by, audit.WebhookUpdated, after, at, details...))
	}
	if disabled {
		events = append(events, newEvent(by, audit.WebhookDisabled, after, at,
			audit.Detail{Name: "reason", Value: after.StateReason}))
	}
	return events
}
