package cli

import (
	"context"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"latchkey/internal/clock"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

// Outcomes of attempts as metric labels.
const (
	outcomeDelivered = "delivered"
	outcomeFailed    = "failed"
	outcomeDead      = "dead"
	outcomeGone      = "gone"
)

// newAttempts counts the requests that this server sent to webhooks.
func newAttempts() (*prometheus.CounterVec, func(deliver.Outcome)) {
	counted := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "latchkey_webhook_attempts_total",
		Help: "Requests that this server sent to webhooks, by outcome: delivered, failed (a retry follows), dead or gone.",
	}, []string{"outcome"})
	for _, outcome := range []string{outcomeDelivered, outcomeFailed, outcomeDead, outcomeGone} {
		counted.WithLabelValues(outcome) // 0 and not absent before the first attempt
	}
	return counted, func(o deliver.Outcome) { counted.WithLabelValues(outcomeOf(o)).Inc() }
}

func outcomeOf(o deliver.Outcome) string {
	switch {
	case o.Gone:
		return outcomeGone
	case o.State == webhook.Delivered:
		return outcomeDelivered
	case o.State == webhook.Dead:
		return outcomeDead
	}
	return outcomeFailed
}

// statsTimeout limits the query for the metrics.
const statsTimeout = 2 * time.Second

// queueMetrics reads the figures of the queue at each scrape. It implements
// prometheus.Collector.
type queueMetrics struct {
	stats            func(context.Context) (deliver.Stats, error)
	now              clock.Clock
	oldest, webhooks *prometheus.Desc
}

func newQueueMetrics(stats func(context.Context) (deliver.Stats, error), now clock.Clock) queueMetrics {
	return queueMetrics{
		stats: stats, now: now,
		oldest: prometheus.NewDesc("latchkey_webhook_oldest_pending_seconds",
			"Age of the oldest pending delivery of an enabled webhook; 0 if there is none; NaN if the database does not answer.",
			nil, nil),
		webhooks: prometheus.NewDesc("latchkey_webhooks",
			"Webhooks by state; absent if the database does not answer.", []string{"state"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (m queueMetrics) Describe(to chan<- *prometheus.Desc) { to <- m.oldest; to <- m.webhooks }

// Collect implements prometheus.Collector.
func (m queueMetrics) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), statsTimeout)
	defer cancel()
	stats, err := m.stats(ctx)
	if err != nil {
		gauge(m.oldest, math.NaN())
		return
	}
	age := 0.0
	if !stats.OldestDue.IsZero() {
		age = max(0, m.now().Sub(stats.OldestDue).Seconds())
	}
	gauge(m.oldest, age)
	for _, state := range []webhook.State{webhook.Enabled, webhook.Paused, webhook.Disabled} {
		gauge(m.webhooks, float64(stats.Webhooks[state]), string(state))
	}
}
