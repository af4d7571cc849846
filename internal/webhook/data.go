package webhook

import (
	"encoding/json"
	"time"

	"latchkey/internal/audit"
)

// webhookData is a webhook in the data of events: the fields of the API's Webhook without its deliveries.
type webhookData struct {
	ID           *string         `json:"id"`
	URL          string          `json:"url"`
	Description  string          `json:"description"`
	EventTypes   []string        `json:"eventTypes"`
	State        State           `json:"state"`
	StateReason  *string         `json:"stateReason"`
	FailingSince audit.Time      `json:"failingSince"`
	CreatedAt    audit.Time      `json:"createdAt"`
	CreatedBy    audit.ActorData `json:"createdBy"`
	SecretHints  []string        `json:"secretHints"`
}

// Target returns the webhook as the target of an event. Its name is the URL.
func (w Webhook) Target() audit.Target {
	return audit.Target{Kind: audit.TargetWebhook, Key: w.ID.String(), Name: w.URL}
}

// Data returns the webhook at the time now as the data of an event.
func (w Webhook) Data(now time.Time) json.RawMessage {
	return audit.DataOf(webhookData{
		ID: audit.TargetWebhook.ID(w.ID.String()), URL: w.URL, Description: w.Description,
		EventTypes: audit.List(w.Types), State: w.State, StateReason: audit.Text(w.StateReason),
		FailingSince: audit.Time(w.FailingSince), CreatedAt: audit.Time(w.CreatedAt), CreatedBy: w.CreatedBy.Data(),
		SecretHints: w.SecretHints(now),
	})
}
