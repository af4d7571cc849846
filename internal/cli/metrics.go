package cli

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"

	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/signin"
)

// buildInfo is a gauge whose labels say which program runs.
func buildInfo() prometheus.Collector {
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "latchkey_build_info", Help: "Always 1; the labels say which program runs.",
		ConstLabels: prometheus.Labels{"version": programVersion(), "go": runtime.Version()},
	})
	gauge.Set(1)
	return gauge
}

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

// newSignIns counts attempts to sign in, and logs those that are refused: by
// the id of the person, if it is one, and never by what was typed, which may be
// a password that slipped into the wrong field.
func newSignIns(log *slog.Logger) (*prometheus.CounterVec, func(signin.Attempt)) {
	counted := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "latchkey_sign_ins_total", Help: "Attempts to sign in to the control panel, by method and result.",
	}, []string{"method", "result"})
	return counted, func(a signin.Attempt) {
		result := resultOf(a.Err)
		counted.WithLabelValues(string(a.Method), result).Inc()
		if a.Err != nil {
			log.LogAttrs(context.Background(), slog.LevelInfo, "sign-in refused", slog.String("method", string(a.Method)), slog.String("result", result),
				slog.String("user_id", a.UserID.String()), slog.String("client_ip", a.Origin.IP.String()), slog.String("request_id", a.Origin.RequestID))
		}
	}
}

// resultOf is an attempt's result in a word.
func resultOf(err error) string {
	var refused *signin.Refused
	if errors.As(err, &refused) && refused.Why != signin.WhyAway && refused.Why != signin.WhyProvider {
		return "refused"
	}
	switch fault.KindOf(err) {
	case "":
		return "ok"
	case fault.Internal:
		return "failed"
	case fault.RateLimited:
		return "limited"
	}
	return "refused"
}
