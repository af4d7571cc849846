package deliver_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/test/check"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

type mailed struct {
	to  []uuid.UUID
	err error
}

// WebhookFailing implements deliver.Notifier.
func (m *mailed) WebhookFailing(_ context.Context, w webhook.Webhook) error {
	m.to = append(m.to, w.ID)
	return m.err
}

func failingEvent(w webhook.Webhook) audit.Event {
	e := disabledEvent(w, "")
	e.Action, e.Details = audit.WebhookFailing, nil
	return e
}

// Rule 7: a webhook that fails for 24 hours is reported once, and one that fails for five days is disabled. Each time
// it begins to fail counts again.
func TestHealth(t *testing.T) {
	f, m, mail := newFixture(t), newMemory(), &mailed{}
	now := time.Date(2026, 12, 10, 12, 0, 0, 0, time.UTC)
	health := deliver.NewHealth(deliver.HealthConfig{Queue: m, Notifier: mail, Failing: failingEvent,
		Disabled: disabledEvent, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)})
	w := f.webhook(t, "https://example.com")
	m.add(t, w)
	m.add(t, f.webhook(t, "https://healthy.example.com"))
	since := func(at time.Time) {
		own := m.webhooks[w.ID]
		own.FailingSince, own.reported = at, false
	}
	checkAfter := func(d time.Duration) {
		t.Helper()
		now = now.Add(d)
		if err := health.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	actions := func() []audit.Action {
		var list []audit.Action
		for _, e := range m.events {
			list = append(list, e.Action)
		}
		return list
	}
	since(now)
	checkAfter(23 * time.Hour)
	check.Equal(t, actions(), nil, "events after 23 hours")
	checkAfter(2 * time.Hour)
	checkAfter(time.Minute)
	check.Equal(t, actions(), []audit.Action{audit.WebhookFailing}, "events after 25 hours")
	check.Equal(t, mail.to, []uuid.UUID{w.ID}, "mails after 25 hours")

	since(time.Time{}) // it worked again
	checkAfter(time.Hour)
	since(now)
	checkAfter(25 * time.Hour)
	check.Equal(t, actions(), []audit.Action{audit.WebhookFailing, audit.WebhookFailing}, "events of the second time")
	check.Equal(t, len(mail.to), 2, "mails of the second time")

	checkAfter(94 * time.Hour)
	check.Equal(t, m.get(t, w.ID).State, webhook.Enabled, "the state one hour before five days")
	checkAfter(2 * time.Hour)
	check.Equal(t, m.get(t, w.ID).State, webhook.Disabled, "the state after five days")
	check.Equal(t, m.get(t, w.ID).StateReason, deliver.ReasonFailed, "the reason")
	checkAfter(time.Hour)
	check.Equal(t, actions(), []audit.Action{audit.WebhookFailing, audit.WebhookFailing, audit.WebhookDisabled},
		"all events")
}

// A paused webhook does not fail, since nothing is sent to it.
func TestHealthOfPausedWebhooks(t *testing.T) {
	f, m := newFixture(t), newMemory()
	w := f.webhook(t, "https://example.com")
	w.State, w.FailingSince = webhook.Paused, time.Now().Add(-100*24*time.Hour)
	m.add(t, w)
	health := deliver.NewHealth(deliver.HealthConfig{Queue: m, Failing: failingEvent, Disabled: disabledEvent,
		Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	check.Equal(t, health.Check(t.Context()), nil, "the error")
	check.Equal(t, m.get(t, w.ID).State, webhook.Paused, "the state")
	check.Equal(t, len(m.events), 0, "events")
}

// A mail that cannot be sent does not keep other webhooks from being checked.
func TestHealthWithoutMail(t *testing.T) {
	f, m := newFixture(t), newMemory()
	for range 3 {
		w := f.webhook(t, "https://example.com")
		w.FailingSince = time.Now().Add(-30 * time.Hour)
		m.add(t, w)
	}
	mail := &mailed{err: errors.New("no mail server")}
	health := deliver.NewHealth(deliver.HealthConfig{Queue: m, Notifier: mail, Failing: failingEvent,
		Disabled: disabledEvent, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err := health.Check(t.Context()); err == nil {
		t.Error("Check with failing mails: got no error, want one")
	}
	check.Equal(t, len(m.events), 3, "events")
	check.Equal(t, len(mail.to), 3, "mails")
}

// Rule 12: deliveries are kept for 30 days, and deleted in slices.
func TestPrune(t *testing.T) {
	f, m := newFixture(t), newMemory()
	w := f.webhook(t, "https://example.com")
	m.add(t, w)
	for i := range 2500 {
		e := event("a", i+1)
		if i < 2400 {
			e.At = time.Now().Add(-31 * 24 * time.Hour)
		} else {
			e.At = time.Now().Add(-29 * 24 * time.Hour)
		}
		m.emit(t, e)
	}
	health := deliver.NewHealth(deliver.HealthConfig{Queue: m, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	check.Equal(t, health.Prune(t.Context()), nil, "the error")
	check.Equal(t, len(m.list(t, w.ID)), 100, "deliveries that are left")
}
