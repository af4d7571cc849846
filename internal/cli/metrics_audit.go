package cli

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"latchkey/internal/chain"
	"latchkey/internal/chain/stream"
	"latchkey/internal/clock"
	"latchkey/internal/config"
	"latchkey/internal/gormdb"
)

// auditChains seals audit events, and counts them. It reads how late that is at each scrape, and implements
// prometheus.Collector for that.
type auditChains struct {
	repo   chain.Repository
	sealer *chain.Sealer
	events prometheus.Counter
	// stream is nil if events are not streamed.
	stream             *stream.Stream
	age, sent, waiting *prometheus.Desc
	broken             *prometheus.Desc
}

// newAuditChains returns what seals events, and streams them if the settings say so. server is this server's name.
func newAuditChains(b *backend, server string, log *slog.Logger) *auditChains {
	a := &auditChains{
		repo: recordSeals(gormdb.Chain(b.db), b.traces.Provider()),
		sent: prometheus.NewDesc("latchkey_audit_stream_sent_total",
			"Audit events that this server sent to --audit-stream, repetitions included.", nil, nil),
		waiting: prometheus.NewDesc("latchkey_audit_stream_waiting_seconds",
			"Time since the oldest sealed audit event happened that has not arrived at --audit-stream, if this server sends; otherwise 0; NaN if the database does not answer.", nil, nil),
		events: prometheus.NewCounter(prometheus.CounterOpts{Name: "latchkey_audit_sealed_total",
			Help: "Audit events that this server sealed."}),
		age: prometheus.NewDesc("latchkey_audit_unsealed_seconds",
			"Time since the oldest audit event happened that is not sealed, or since which this server cannot seal events, if that is longer; 0 if there is none; NaN if the database does not answer.", nil, nil),
		broken: prometheus.NewDesc("latchkey_audit_broken",
			"1 if this server found that the audit chains are not as they were signed, so that it seals no events; otherwise 0.", nil, nil),
	}
	a.sealer = chain.NewSealer(a.repo, b.keys, clock.System, log, func(n int) { a.events.Add(float64(n)) })
	if b.cfg.AuditStream.On() {
		a.stream = stream.New(a.repo, gormdb.AuditStreams(b.db, b.keys), auditTarget(b.cfg.AuditStream, server), server,
			clock.System, log)
	}
	return a
}

func auditTarget(to config.AuditStream, server string) stream.Target {
	switch {
	case to.File != "":
		return stream.NewFile(to.File, server)
	case to.TLS:
		return stream.NewSyslogTLS(to.Address, to.CA)
	}
	return stream.NewSyslog(to.Address)
}

func (a *auditChains) collectors() []prometheus.Collector { return []prometheus.Collector{a.events, a} }

// Describe implements prometheus.Collector.
func (a *auditChains) Describe(to chan<- *prometheus.Desc) {
	to <- a.age
	to <- a.broken
	to <- a.sent
	to <- a.waiting
}

// Collect implements prometheus.Collector.
func (a *auditChains) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), statsTimeout)
	defer cancel()
	age, broken := max(ageOf(a.repo.Pending(ctx)), ageOf(a.sealer.Failing(), nil)), 0.0 // NaN if one is
	if a.sealer.Broken() {
		broken = 1
	}
	to <- prometheus.MustNewConstMetric(a.age, prometheus.GaugeValue, age)
	to <- prometheus.MustNewConstMetric(a.broken, prometheus.GaugeValue, broken)
	sent, waiting := 0.0, 0.0
	if a.stream != nil {
		sent, waiting = float64(a.stream.Sent()), ageOf(a.stream.Waiting(ctx))
	}
	to <- prometheus.MustNewConstMetric(a.sent, prometheus.CounterValue, sent)
	to <- prometheus.MustNewConstMetric(a.waiting, prometheus.GaugeValue, waiting)
}

// ageOf returns the seconds since a time, 0 for a zero time and NaN after an error.
func ageOf(at time.Time, err error) float64 {
	switch {
	case err != nil:
		return math.NaN()
	case at.IsZero():
		return 0
	}
	return max(0, time.Since(at).Seconds())
}

// start begins to seal events. stop ends it; events of the last requests are sealed by another server, or at the next
// start.
func (a *auditChains) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { a.sealer.Run(ctx) })
	if a.stream != nil {
		running.Go(func() { a.stream.Run(ctx) })
	}
	return func() {
		cancel()
		running.Wait()
	}
}
