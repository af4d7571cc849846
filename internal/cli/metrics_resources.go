package cli

import (
	"github.com/prometheus/client_golang/prometheus"

	"latchkey/internal/access"
	"latchkey/internal/gormdb"
)

// cacheMetrics reads the figures of the caches at each scrape. It implements prometheus.Collector.
type cacheMetrics struct {
	stats            func() []access.CacheStats
	lookups, entries *prometheus.Desc
}

func newCacheMetrics(stats func() []access.CacheStats) cacheMetrics {
	return cacheMetrics{
		stats: stats,
		lookups: prometheus.NewDesc("latchkey_cache_lookups_total",
			"Look-ups of credentials and stores, by cache and result: hit, or miss if the database was asked.",
			[]string{"cache", "result"}, nil),
		entries: prometheus.NewDesc("latchkey_cache_entries", "Values in memory, by cache.", []string{"cache"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (m cacheMetrics) Describe(to chan<- *prometheus.Desc) { to <- m.lookups; to <- m.entries }

// Collect implements prometheus.Collector.
func (m cacheMetrics) Collect(to chan<- prometheus.Metric) {
	for _, s := range m.stats() {
		to <- prometheus.MustNewConstMetric(m.lookups, prometheus.CounterValue, float64(s.Hits), s.Name, "hit")
		to <- prometheus.MustNewConstMetric(m.lookups, prometheus.CounterValue, float64(s.Misses), s.Name, "miss")
		to <- prometheus.MustNewConstMetric(m.entries, prometheus.GaugeValue, float64(s.Size), s.Name)
	}
}

// poolMetrics reads the figures of the database connections at each scrape. It implements prometheus.Collector.
type poolMetrics struct {
	db                               *gormdb.DB
	connections, most, waits, waited *prometheus.Desc
}

func newPoolMetrics(db *gormdb.DB) poolMetrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append([]string{"pool"}, labels...), nil)
	}
	return poolMetrics{
		db: db,
		connections: desc("latchkey_database_connections", "Open database connections, by pool and state: in_use or idle.",
			"state"),
		most: desc("latchkey_database_connections_max", "The most database connections that a pool may open."),
		waits: desc("latchkey_database_waits_total",
			"How often a database connection was wanted and none was free, by pool."),
		waited: desc("latchkey_database_wait_seconds_total", "Time spent waiting for a free database connection, by pool."),
	}
}

// Describe implements prometheus.Collector.
func (m poolMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.connections, m.most, m.waits, m.waited} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m poolMetrics) Collect(to chan<- prometheus.Metric) {
	for _, s := range gormdb.Pools(m.db) {
		gauge := func(d *prometheus.Desc, value int, labels ...string) {
			to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), labels...)
		}
		gauge(m.connections, s.InUse, s.Name, "in_use")
		gauge(m.connections, s.Idle, s.Name, "idle")
		gauge(m.most, s.Max, s.Name)
		to <- prometheus.MustNewConstMetric(m.waits, prometheus.CounterValue, float64(s.Waits), s.Name)
		to <- prometheus.MustNewConstMetric(m.waited, prometheus.CounterValue, s.Waited.Seconds(), s.Name)
	}
}

// failureCounts counts work in the background that failed and is not an error of any request.
type failureCounts struct{ mails, uses prometheus.Counter }

func newFailureCounts() failureCounts {
	return failureCounts{
		mails: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "latchkey_mail_failures_total", Help: "Mails that this server could not send.",
		}),
		uses: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "latchkey_last_use_failures_total",
			Help: "Attempts to write last uses of tokens and sessions that failed. The uses are written later.",
		}),
	}
}

func (c failureCounts) collectors() []prometheus.Collector {
	return []prometheus.Collector{c.mails, c.uses}
}
