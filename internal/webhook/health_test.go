package webhook_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/test/check"
	"latchkey/internal/webhook"
)

// The events about health name the service as their actor, and show the webhook after the change.
func TestEventsOfHealth(t *testing.T) {
	since := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	w := webhook.Webhook{AccountID: uuid.New(), ID: uuid.New(), URL: "https://hooks.example.com/", Types: []string{"*"},
		State: webhook.Enabled, FailingSince: since}
	for _, tc := range []struct {
		event  audit.Event
		action audit.Action
		detail audit.Detail
		state  string
	}{
		{webhook.FailingEvent(w, since.Add(24*time.Hour)), audit.WebhookFailing,
			audit.Detail{Name: "failingSince", Value: "2026-11-24T12:00:00Z"}, "ENABLED"},
		{webhook.DisabledEvent(w, "Every attempt failed.", since.Add(120*time.Hour)), audit.WebhookDisabled,
			audit.Detail{Name: "reason", Value: "Every attempt failed."}, "DISABLED"},
	} {
		t.Run(string(tc.action), func(t *testing.T) {
			e := tc.event
			check.Equal(t, e.Action, tc.action, "the action")
			check.Equal(t, e.Actor, audit.Actor{Kind: audit.ActorOperator, Name: audit.ServiceName}, "the actor")
			check.Equal(t, e.Target, w.Target(), "the target")
			check.Equal(t, e.AccountID, w.AccountID, "the account")
			check.Equal(t, e.Details, []audit.Detail{tc.detail}, "the details")
			var data struct{ State string }
			if err := json.Unmarshal(e.Data, &data); err != nil {
				t.Fatal(err)
			}
			check.Equal(t, data.State, tc.state, "the state in the data")
		})
	}
}
