package cli

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"latchkey/internal/chain"
	"latchkey/internal/clock"
	"latchkey/internal/gormdb"
	"latchkey/internal/retention"
)

// cleaning removes old rows, and counts them.
type cleaning struct {
	job  *retention.Job
	on   bool
	rows *prometheus.CounterVec
	runs *prometheus.CounterVec
	last prometheus.Gauge
	log  *slog.Logger
}

// Results of runs as metric labels, besides those of billing runs.
const runKept = "kept"

func newCleaning(b *backend, log *slog.Logger) *cleaning {
	c := &cleaning{
		on: b.cfg.EndedRetention > 0 || b.cfg.AuditRetention > 0, log: log,
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_retention_removed_total", Help: "Rows that this server removed because they were old, by table.",
		}, []string{"table"}),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_retention_runs_total",
			Help: "Runs of this server that remove old rows, by result: completed, failed, elsewhere if another server was at work, or kept if audit events were kept because their chain is not in order.",
		}, []string{"result"}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "latchkey_retention_last_run_timestamp_seconds",
			Help: "When this server last completed a run that removes old rows, in seconds since 1970; 0 before the first.",
		}),
	}
	for _, t := range retention.Tables() {
		c.rows.WithLabelValues(string(t)) // 0 and not absent before the first row
	}
	for _, result := range []string{runCompleted, runFailed, runElsewhere, runKept} {
		c.runs.WithLabelValues(result)
	}
	c.job = retention.New(retention.Config{
		Repository: gormdb.Retention(b.db), Events: chain.NewPruner(gormdb.Chain(b.db), b.keys, clock.System),
		Ended: b.cfg.EndedRetention, Audit: b.cfg.AuditRetention, Now: clock.System, Log: log,
		OnRemoved: func(t retention.Table, rows int64) { c.rows.WithLabelValues(string(t)).Add(float64(rows)) },
	})
	return c
}

func (c *cleaning) collectors() []prometheus.Collector {
	return []prometheus.Collector{c.rows, c.runs, c.last}
}

// start begins to remove old rows, at once and then every hour. stop ends a run that is at work, which leaves nothing
// half-done.
func (c *cleaning) start(ctx context.Context) (stop func()) {
	if !c.on {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { c.job.Run(ctx, func(r retention.Result, err error) { c.report(ctx, r, err) }) })
	return func() {
		cancel()
		running.Wait()
	}
}

func (c *cleaning) report(ctx context.Context, r retention.Result, err error) {
	if len(r.Removed) > 0 {
		args := make([]any, 0, 2*len(retention.Tables()))
		for _, t := range retention.Tables() {
			args = append(args, string(t), r.Removed[t])
		}
		c.log.InfoContext(ctx, "old rows removed", args...)
	}
	switch {
	case err != nil:
		c.runs.WithLabelValues(runFailed).Inc()
		c.log.ErrorContext(ctx, "old rows could not be removed", "error", err)
		return
	case r.Elsewhere:
		c.runs.WithLabelValues(runElsewhere).Inc()
		return
	case r.Broken > 0:
		c.runs.WithLabelValues(runKept).Inc()
	default:
		c.runs.WithLabelValues(runCompleted).Inc()
	}
	c.last.Set(float64(time.Now().Unix()))
}
