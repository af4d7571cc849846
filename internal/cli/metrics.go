package cli

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"

	"latchkey/internal/gormdb"
)

// feedMetrics tell how the feed of revocations does.
func feedMetrics(feed *gormdb.Feed) []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "latchkey_feed_hearing", Help: "1 while revocations by others are heard; 0 while every credential is looked up in the database.",
		}, func() float64 {
			if feed.Hearing() {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "latchkey_feed_proof_age_seconds", Help: "Age of the latest proof that every revocation was heard; NaN while there is none.",
		}, func() float64 {
			if age, proved := feed.ProofAge(); proved {
				return age.Seconds()
			}
			return math.NaN()
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "latchkey_feed_interruptions_total", Help: "Failures of the feed's connection, and of attempts to make it again.",
		}, func() float64 { return float64(feed.Interruptions()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "latchkey_replica_namesakes", Help: "Other servers that run by the name of this one; 0 unless names are mixed up.",
		}, func() float64 { return float64(feed.Namesakes()) }),
	}
}
