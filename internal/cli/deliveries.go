package cli

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"latchkey/internal/audit"
	"latchkey/internal/clock"
	"latchkey/internal/signin/mail"
	"latchkey/internal/user"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
	"latchkey/internal/webhook/deliver/egress"
)

// deliveries is the part of a server that sends webhooks and watches those that
// fail. Without --webhook-workers it only counts.
type deliveries struct {
	sender     *deliver.Sender
	dispatcher *deliver.Dispatcher
	health     *deliver.Health
	collectors []prometheus.Collector
}

// newDeliveries returns the deliveries of a server whose panel is at baseURL.
func newDeliveries(b *backend, baseURL string, log *slog.Logger) *deliveries {
	queue := b.db.Queue()
	attempts, onAttempt := newAttempts()
	d := &deliveries{collectors: []prometheus.Collector{attempts, newQueueMetrics(queue.Stats, clock.System)}}
	if b.cfg.Webhooks.Workers == 0 {
		return d
	}
	d.sender = deliver.NewSender(deliver.SenderConfig{
		Keys: b.keys, Egress: egress.New(b.cfg.Webhooks.Allow, net.DefaultResolver), EventBridge: b.publisher,
		UserAgent: "Latchkey/" + programVersion(), Now: clock.System, Random: rand.Float64,
		Traces: b.traces.Provider(), TraceContext: b.traces.Propagator(),
	})
	disabled := func(w webhook.Webhook, reason string) audit.Event {
		return webhook.DisabledEvent(w, reason, clock.Timestamp(clock.System()))
	}
	d.dispatcher = deliver.NewDispatcher(deliver.DispatcherConfig{
		Queue: queue, Send: d.sender.Send, InFlight: b.cfg.Webhooks.Workers, Grace: requestGrace(b.cfg.ShutdownGrace),
		Disabled: disabled, OnAttempt: onAttempt, Now: clock.System, Log: log,
	})
	health := deliver.HealthConfig{
		Queue: queue, Disabled: disabled, Now: clock.System, Log: log,
		Failing: func(w webhook.Webhook) audit.Event {
			return webhook.FailingEvent(w, clock.Timestamp(clock.System()))
		},
	}
	if b.cfg.Mail.Host != "" {
		health.Notifier = failureMails{b, mail.New(mail.Config(b.cfg.Mail)), baseURL}
	}
	d.health = deliver.NewHealth(health)
	return d
}

// start sends webhooks until stopping ends and the delay has passed, as the
// server answers requests until then. stop waits until the attempts in flight
// are recorded.
func (d *deliveries) start(stopping context.Context, b *backend) (stop func()) {
	if d.dispatcher == nil {
		return func() {}
	}
	b.db.OnEvents(d.dispatcher.Wake)
	ctx, cancel := context.WithCancel(context.WithoutCancel(stopping))
	context.AfterFunc(stopping, func() { time.AfterFunc(b.cfg.ShutdownDelay, cancel) })
	var running sync.WaitGroup
	running.Go(func() { d.dispatcher.Run(ctx) })
	running.Go(func() { d.health.Run(ctx) })
	return func() {
		cancel()
		running.Wait()
		d.sender.Close()
	}
}

// failureMails tells owners that a webhook fails.
type failureMails struct {
	b       *backend
	mail    *mail.Sender
	baseURL string
}

// WebhookFailing implements deliver.Notifier.
func (f failureMails) WebhookFailing(ctx context.Context, w webhook.Webhook) error {
	to, err := f.b.ownerOf(ctx, w.AccountID)
	if err != nil {
		return err
	}
	return f.mail.WebhookFailing(ctx, to, w.FailingSince,
		f.baseURL+"/accounts/"+w.AccountID.String()+"/webhooks/"+w.ID.String())
}

// ownerOf returns the owner of an account, with the address that mails go to.
func (b *backend) ownerOf(ctx context.Context, accountID uuid.UUID) (user.User, error) {
	by := operator(accountID)
	a, err := b.accounts.Account(ctx, by)
	if err != nil {
		return user.User{}, err
	}
	owners, err := b.users.MembersByID(ctx, by, []uuid.UUID{a.OwnerID})
	if err != nil {
		return user.User{}, err
	}
	return b.signIn.Recipient(ctx, owners[a.OwnerID])
}
