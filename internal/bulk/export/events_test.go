package export_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/bulk/export"
	"latchkey/internal/test/check"
)

func TestEvents(t *testing.T) {
	id := uuid.MustParse("01980000-0000-7000-8000-000000000001")
	at := time.Date(2026, 3, 4, 23, 0, 0, 5000, time.FixedZone("", 3600))
	var text bytes.Buffer
	w := export.NewEventWriter(&text)
	for range 2 {
		err := w.Write([]audit.Event{
			{At: at, Actor: audit.Actor{Kind: audit.ActorAPIToken, ID: id, Name: "=1+1"}, Action: audit.UserUpdated,
				Target: audit.Target{Kind: audit.TargetUser, Key: "k", Name: "@ann, \"O\""}, IP: "192.0.2.1",
				RequestID: "-r",
				Details:   []audit.Detail{{Name: "firstName", Value: "=x"}, {Name: "to", Value: "b"}}},
			{At: at, Actor: audit.Actor{Kind: audit.ActorOperator, Name: "operator"}, Action: audit.AccountCreated,
				Details: []audit.Detail{{Name: "=", Value: "1"}}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	lines := row("2026-03-04T22:00:00.000005Z", "API_TOKEN", "01980000-0000-7000-8000-000000000001", "'=1+1",
		"user.updated",
		"user", "k", `'@ann, ""O""`, "192.0.2.1", "'-r", "firstName==x; to=b") +
		row("2026-03-04T22:00:00.000005Z", "OPERATOR", "", "operator", "account.created", "", "", "", "", "", "'==1")
	want := row("time", "actor_kind", "actor_id", "actor", "action", "target_kind", "target_id", "target", "ip",
		"request_id",
		"details") + lines + lines
	check.Equal(t, text.String(), want, "text.String()")
	if err := export.NewEventWriter(&limitedWriter{40}).Write(nil); err == nil {
		t.Error("a writer that fails: got no error, want one")
	}
}
