package tracing

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// queue passes ended spans to an exporter in batches, in the background. It drops and counts spans if too many wait, so
// that an exporter that is slow or away never delays a request. The SDK's processor, which it uses, drops spans too,
// but does not say how many.
type queue struct {
	sdk.SpanProcessor

	exporter sdk.SpanExporter
	// waiting is the number of spans that have ended and are not exported yet, at most most.
	waiting           atomic.Int64
	most              int64
	exported          prometheus.Counter
	dropped           *prometheus.CounterVec
	droppedFull, lost prometheus.Counter
	// full and failing report that the first span of a series was dropped, and logged.
	full, failing atomic.Bool
	log           *slog.Logger
}

var (
	_ sdk.SpanProcessor = (*queue)(nil)
	_ sdk.SpanExporter  = exporting{}
)

func newQueue(e sdk.SpanExporter, size int, log *slog.Logger) *queue {
	q := &queue{
		exporter: e, most: int64(size), log: log,
		exported: prometheus.NewCounter(prometheus.CounterOpts{Name: "latchkey_trace_spans_exported_total",
			Help: "Spans that the receiver of traces accepted."}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "latchkey_trace_spans_dropped_total",
			Help: "Spans that were not exported, by reason: queue_full, or export_failed."}, []string{"reason"}),
	}
	q.droppedFull, q.lost = q.dropped.WithLabelValues("queue_full"), q.dropped.WithLabelValues("export_failed")
	// It never has more than most spans, and so drops none.
	q.SpanProcessor = sdk.NewBatchSpanProcessor(exporting{q}, sdk.WithMaxQueueSize(size))
	return q
}

// OnEnd queues a span, or drops it. It does not block.
func (q *queue) OnEnd(s sdk.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if q.waiting.Add(1) <= q.most {
		q.SpanProcessor.OnEnd(s)
		return
	}
	q.waiting.Add(-1)
	q.droppedFull.Inc()
	if q.full.CompareAndSwap(false, true) {
		q.log.WarnContext(context.Background(),
			"spans are dropped, because too many wait to be exported; latchkey_trace_spans_dropped_total counts them",
			"most", q.most)
	}
}

// exporting is the exporter of a queue. It counts what it exports.
type exporting struct{ *queue }

// ExportSpans exports a batch. An error is counted and logged once, until a batch is accepted again. It is not
// returned, because the SDK would log it each time.
func (e exporting) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := e.exporter.ExportSpans(ctx, spans)
	e.waiting.Add(-int64(len(spans)))
	if err != nil {
		e.lost.Add(float64(len(spans)))
		if e.failing.CompareAndSwap(false, true) {
			e.log.WarnContext(ctx, "spans could not be exported and are dropped; latchkey_trace_spans_dropped_total counts them",
				"error", err)
		}
		return nil
	}
	e.exported.Add(float64(len(spans)))
	e.full.Store(false)
	if e.failing.CompareAndSwap(true, false) {
		e.log.InfoContext(ctx, "spans are exported again")
	}
	return nil
}

// Shutdown stops the exporter.
func (e exporting) Shutdown(ctx context.Context) error { return e.exporter.Shutdown(ctx) }
