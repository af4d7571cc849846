package cli

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"latchkey/internal/test/check"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

// Every outcome is counted, and there is no label for a webhook.
func TestAttemptsAreCountedByOutcome(t *testing.T) {
	counted, onAttempt := newAttempts()
	for _, o := range []deliver.Outcome{
		{State: webhook.Delivered}, {State: webhook.Delivered}, {State: webhook.Pending}, {State: webhook.Dead},
		{State: webhook.Dead, Gone: true},
	} {
		onAttempt(o)
	}
	check.Equal(t, scraped(counted), `latchkey_webhook_attempts_total{outcome="dead"} 1
latchkey_webhook_attempts_total{outcome="delivered"} 2
latchkey_webhook_attempts_total{outcome="failed"} 1
latchkey_webhook_attempts_total{outcome="gone"} 1
`, "the metrics of attempts")
}

// The age is that of the oldest pending delivery, and never negative: the
// database's clock may be ahead.
func TestQueueMetrics(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	states := map[webhook.State]int64{webhook.Enabled: 3, webhook.Disabled: 1}
	for _, tc := range []struct {
		name   string
		oldest time.Time
		err    error
		want   string
	}{
		{name: "two minutes old", oldest: now.Add(-2 * time.Minute), want: "120"},
		{name: "none", want: "0"},
		{name: "from the future", oldest: now.Add(time.Second), want: "0"},
		{name: "no database", err: errors.New("no database"), want: "NaN"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			metrics := newQueueMetrics(func(context.Context) (deliver.Stats, error) {
				return deliver.Stats{OldestDue: tc.oldest, Webhooks: states}, tc.err
			}, func() time.Time { return now })
			want := "latchkey_webhook_oldest_pending_seconds " + tc.want + "\n"
			if tc.err == nil {
				want += `latchkey_webhooks{state="DISABLED"} 1
latchkey_webhooks{state="ENABLED"} 3
latchkey_webhooks{state="PAUSED"} 0
`
			}
			check.Equal(t, scraped(metrics), want, "the metrics")
		})
	}
}

// scraped returns a collector's metrics without comments.
func scraped(c prometheus.Collector) string {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	var lines strings.Builder
	for line := range strings.Lines(w.Body.String()) {
		if !strings.HasPrefix(line, "#") {
			lines.WriteString(line)
		}
	}
	return lines.String()
}
