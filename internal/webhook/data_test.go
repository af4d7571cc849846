package webhook_test

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/test/check"
	"latchkey/internal/webhook"
)

func TestDataOfAWebhook(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w := webhook.Webhook{
		AccountID: uuid.New(), ID: uuid.MustParse("019a1b2c-0005-7000-8000-000000000005"),
		URL: "https://hooks.example.com/latchkey", Types: []string{"api_token.*"}, State: webhook.Disabled,
		StateReason: "The receiver answered 410 Gone.", FailingSince: at.Add(time.Hour), CreatedAt: at,
		CreatedBy: audit.Actor{Kind: audit.ActorOperator, Name: "operator"},
		Secret:    webhook.SigningSecret{Hint: "whsec_…new="}, Previous: webhook.SigningSecret{Hint: "whsec_…old="},
		PreviousExpiresAt: at.Add(24 * time.Hour),
	}
	for _, tc := range []struct {
		name  string
		after time.Duration
		hints string
	}{
		{"during a rotation", time.Hour, `["whsec_…new=","whsec_…old="]`},
		{"after it", 24 * time.Hour, `["whsec_…new="]`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want := `{"id":"bc/account/webhook/019a1b2c-0005-7000-8000-000000000005",` +
				`"url":"https://hooks.example.com/latchkey","description":"","eventTypes":["api_token.*"],"state":"DISABLED","stateReason":"The receiver answered 410 Gone.",` +
				`"failingSince":"2026-03-01T13:00:00Z","createdAt":"2026-03-01T12:00:00Z",` +
				`"createdBy":{"kind":"OPERATOR","id":null,"name":"operator"},"secretHints":` + tc.hints + `}`
			check.Equal(t, string(w.Data(at.Add(tc.after))), want, "data")
		})
	}
	fields := func(data []byte) []string {
		var object map[string]any
		if err := json.Unmarshal(data, &object); err != nil {
			t.Fatal(err)
		}
		return slices.Sorted(maps.Keys(object))
	}
	for _, info := range audit.Catalogue() {
		if audit.Action(info.Name).Thing() == "webhook" {
			check.Equal(t, fields([]byte(info.Example)), fields(w.Data(at)), "the fields of the example of %s",
				info.Name)
		}
	}
}
