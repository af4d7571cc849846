package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"latchkey/internal/audit"
	"latchkey/internal/clock"
	"latchkey/internal/webhook"
)

// Limits of webhooks that fail, and of records.
const (
	// FailingAfter is how long a webhook fails before it is reported.
	FailingAfter = 24 * time.Hour
	// DisabledAfter is how long a webhook fails before it is disabled.
	DisabledAfter = 5 * 24 * time.Hour
	// Retention is how long deliveries and attempts are kept.
	Retention = 30 * 24 * time.Hour
)

// ReasonFailed is the reason of a webhook that was disabled because it failed for DisabledAfter.
const ReasonFailed = "Every attempt failed for 5 days."

const (
	healthInterval = time.Minute
	pruneInterval  = time.Hour
	// pruned is how many deliveries one statement deletes, so that it locks only for a short time.
	pruned = 1000
)

// Notifier tells the owner of an account that a webhook fails.
type Notifier interface {
	WebhookFailing(ctx context.Context, w webhook.Webhook) error
}

// HealthConfig configures a Health.
type HealthConfig struct {
	Queue Queue
	// Notifier is nil if mail is not configured.
	Notifier Notifier
	// Failing and Disabled return the events of a webhook that fails and of one that is disabled for a reason.
	Failing  func(w webhook.Webhook) audit.Event
	Disabled func(w webhook.Webhook, reason string) audit.Event
	Now      clock.Clock
	Log      *slog.Logger
}

// Health reports webhooks that fail, disables those that fail for long, and deletes old records. Several servers may
// run it at the same time: each webhook is reported once.
type Health struct{ c HealthConfig }

// NewHealth returns a Health.
func NewHealth(c HealthConfig) *Health { return &Health{c: c} }

// Run checks once a minute and prunes once an hour until ctx ends.
func (h *Health) Run(ctx context.Context) {
	var prunedAt time.Time
	for ctx.Err() == nil {
		h.contain(ctx, "check webhooks", h.Check)
		if now := h.c.Now(); prunedAt.IsZero() || now.Sub(prunedAt) >= pruneInterval {
			prunedAt = now
			h.contain(ctx, "delete old deliveries", h.Prune)
		}
		pause(ctx, healthInterval)
	}
}

// contain logs the error or the panic of work.
func (h *Health) contain(ctx context.Context, what string, work func(context.Context) error) {
	defer func() {
		if p := recover(); p != nil {
			h.c.Log.ErrorContext(ctx, "panic: "+what, "panic", fmt.Sprint(p))
		}
	}()
	if err := work(ctx); err != nil && ctx.Err() == nil {
		h.c.Log.WarnContext(ctx, "could not "+what, "error", err)
	}
}

// Check reports the webhooks that have failed for FailingAfter, once each time they begin to fail, and disables those
// that have failed for DisabledAfter. Webhooks that are paused are not checked, since nothing is sent to them.
func (h *Health) Check(ctx context.Context) error {
	now := clock.Timestamp(h.c.Now())
	list, err := h.c.Queue.Failing(ctx, now.Add(-FailingAfter))
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range list {
		if f.Webhook.State == webhook.Enabled {
			errs = append(errs, h.check(ctx, f, now))
		}
	}
	return errors.Join(errs...)
}

func (h *Health) check(ctx context.Context, f Failing, now time.Time) error {
	w := f.Webhook
	if !w.FailingSince.After(now.Add(-DisabledAfter)) {
		if _, err := h.c.Queue.Disable(ctx, w, ReasonFailed, h.c.Disabled(w, ReasonFailed)); err != nil {
			return fmt.Errorf("disable webhook %s: %w", w.ID, err)
		}
		return nil
	}
	if f.Reported {
		return nil
	}
	reported, err := h.c.Queue.ReportFailing(ctx, w, h.c.Failing(w))
	if err != nil {
		return fmt.Errorf("report that webhook %s fails: %w", w.ID, err)
	}
	if !reported || h.c.Notifier == nil {
		return nil
	}
	if err := h.c.Notifier.WebhookFailing(ctx, w); err != nil {
		return fmt.Errorf("mail that webhook %s fails: %w", w.ID, err)
	}
	return nil
}

// Prune deletes deliveries and attempts from before Retention.
func (h *Health) Prune(ctx context.Context) error {
	before := clock.Timestamp(h.c.Now().Add(-Retention))
	for {
		n, err := h.c.Queue.Prune(ctx, before, pruned)
		if err != nil || n == 0 {
			return err
		}
		// Other writers go first.
		pause(ctx, spacing)
	}
}
