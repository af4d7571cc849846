package httpserver

import (
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"latchkey/internal/access"
	"latchkey/internal/config"
	"latchkey/internal/fault"
)

// metrics are the server's metrics, in a registry of their own.
type metrics struct {
	registry      *prometheus.Registry
	requests      *prometheus.CounterVec
	durations     *prometheus.HistogramVec
	verifications *prometheus.CounterVec
	limited       *prometheus.CounterVec
	closed        *prometheus.CounterVec
	// accepted, missing, failed and, by reason, refused are counters of
	// verifications. They are created at start, because any client can cause
	// any of them.
	accepted, missing, failed prometheus.Counter
	refused                   map[access.Reason]prometheus.Counter
}

func newMetrics(others []prometheus.Collector) *metrics {
	m := &metrics{
		refused:  map[access.Reason]prometheus.Counter{},
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_http_requests_total", Help: "Requests, by route and status.",
		}, []string{"route", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "latchkey_http_request_duration_seconds",
			Help:    "Time from the request header to the end of the response, by route.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"route"}),
		verifications: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_verifications_total",
			Help: "Credential verifications, by outcome (accepted, refused, missing or error) and reason.",
		}, []string{"outcome", "reason"}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_rate_limited_total",
			Help: "Requests refused by a rate limit, by limit: token (or user), account or address.",
		}, []string{"limit"}),
		closed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_connections_closed_total",
			Help: "Connections that were refused (address, total) or closed to make room (header, idle), by reason.",
		}, []string{"reason"}),
	}
	m.accepted = m.verifications.WithLabelValues("accepted", "")
	m.missing = m.verifications.WithLabelValues("missing", "")
	m.failed = m.verifications.WithLabelValues("error", "")
	for _, reason := range access.Reasons() {
		m.refused[reason] = m.verifications.WithLabelValues("refused", string(reason))
	}
	m.registry.MustRegister(m.requests, m.durations, m.verifications, m.limited, m.closed,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registry.MustRegister(others...)
	return m
}

// limit returns the headers and metrics of a rate limit.
func (m *metrics) limit(name string, r config.Rate) limit {
	return limit{
		name: name, refused: m.limited.WithLabelValues(name),
		quota: []string{strconv.Itoa(r.Requests)}, window: []string{strconv.FormatInt(r.Window.Milliseconds(), 10)},
	}
}

// verified counts the outcome of a verification.
func (m *metrics) verified(presented string, err error, refusal *access.Refusal) {
	switch {
	case err == nil:
		m.accepted.Inc()
	case refusal != nil:
		m.refused[refusal.Reason].Inc()
	case fault.KindOf(err) == fault.Internal:
		m.failed.Inc()
	case fault.KindOf(err) == fault.Unauthenticated && presented == "":
		m.missing.Inc()
	default:
		m.refused[access.ReasonMalformed].Inc() // it could not be parsed
	}
}

// routeMetrics are the metrics of one route.
type routeMetrics struct {
	pattern  string
	requests *prometheus.CounterVec
	duration prometheus.Observer
	// byStatus has the counters of the statuses seen so far. There are so few
	// that a linear search is the fastest.
	byStatus atomic.Pointer[[]statusCounter]
}

type statusCounter struct {
	status int
	prometheus.Counter
}

func (m *metrics) route(pattern string) *routeMetrics {
	of := &routeMetrics{pattern: pattern, requests: m.requests, duration: m.durations.WithLabelValues(pattern)}
	of.byStatus.Store(&[]statusCounter{})
	return of
}

func (m *routeMetrics) observe(status int, took time.Duration) {
	m.counter(status).Inc()
	m.duration.Observe(took.Seconds())
}

func (m *routeMetrics) counter(status int) prometheus.Counter {
	known := m.byStatus.Load()
	for _, counter := range *known {
		if counter.status == status {
			return counter.Counter
		}
	}
	counter := m.requests.WithLabelValues(m.pattern, strconv.Itoa(status))
	more := append(slices.Clip(*known), statusCounter{status, counter})
	m.byStatus.CompareAndSwap(known, &more) // otherwise the next request will
	return counter
}
