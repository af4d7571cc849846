package httpserver

import (
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"latchkey/internal/access"
	"latchkey/internal/config"
	"latchkey/internal/fault"
)

// metrics are what the server counts, in a registry of its own.
type metrics struct {
	registry      *prometheus.Registry
	requests      *prometheus.CounterVec
	durations     *prometheus.HistogramVec
	verifications *prometheus.CounterVec
	limited       *prometheus.CounterVec
	// accepted is the one of verifications that counts most often.
	accepted prometheus.Counter
}

func newMetrics(others []prometheus.Collector) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_http_requests_total", Help: "Requests answered, by route and status.",
		}, []string{"route", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "latchkey_http_request_duration_seconds", Help: "Time from a request's header to the end of its answer, by route.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"route"}),
		verifications: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_verifications_total", Help: "Credentials judged: accepted, refused and why, missing, or not judged for an error.",
		}, []string{"outcome", "reason"}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_rate_limited_total", Help: "Requests refused for being too many, by whose they were: of one token or person, account or address.",
		}, []string{"limit"}),
	}
	m.accepted = m.verifications.WithLabelValues("accepted", "")
	m.registry.MustRegister(m.requests, m.durations, m.verifications, m.limited,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registry.MustRegister(others...)
	return m
}

// limit returns what the answers and the metrics say of a rate.
func (m *metrics) limit(name string, r config.Rate) limit {
	return limit{
		name: name, refused: m.limited.WithLabelValues(name),
		quota: []string{strconv.Itoa(r.Requests)}, window: []string{strconv.FormatInt(r.Window.Milliseconds(), 10)},
	}
}

// verified counts the outcome of a verification, and of a refusal the reason.
func (m *metrics) verified(presented string, err error) {
	if err == nil {
		m.accepted.Inc()
		return
	}
	outcome, reason := "", access.Reason("")
	switch kind := fault.KindOf(err); {
	case kind == fault.Unauthenticated && presented == "":
		outcome = "missing"
	case kind == fault.Internal:
		outcome = "error"
	default:
		outcome = "refused"
		if !errors.As(err, &reason) {
			reason = access.ReasonMalformed // no credential could be made of it
		}
	}
	m.verifications.WithLabelValues(outcome, string(reason)).Inc()
}

// routeMetrics are the metrics of one route.
type routeMetrics struct {
	pattern  string
	requests *prometheus.CounterVec
	duration prometheus.Observer
	// byStatus are the counters of requests that were needed so far.
	byStatus sync.Map
}

func (m *metrics) route(pattern string) *routeMetrics {
	return &routeMetrics{pattern: pattern, requests: m.requests, duration: m.durations.WithLabelValues(pattern)}
}

func (m *routeMetrics) observe(status int, took time.Duration) {
	m.counter(status).Inc()
	m.duration.Observe(took.Seconds())
}

func (m *routeMetrics) counter(status int) prometheus.Counter {
	if known, ok := m.byStatus.Load(status); ok {
		counter, _ := known.(prometheus.Counter)
		return counter
	}
	counter := m.requests.WithLabelValues(m.pattern, strconv.Itoa(status))
	m.byStatus.Store(status, counter)
	return counter
}
