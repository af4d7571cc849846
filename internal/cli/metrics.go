package cli

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"

	"latchkey/internal/fault"
	"latchkey/internal/feed"
	"latchkey/internal/signin"
)

// buildInfo returns a gauge whose labels identify the program.
func buildInfo() prometheus.Collector {
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "latchkey_build_info", Help: "Always 1; the labels identify the program.",
		ConstLabels: prometheus.Labels{"version": programVersion(), "go": runtime.Version()},
	})
	gauge.Set(1)
	return gauge
}

// feedMetrics returns the metrics of the revocation feed.
func feedMetrics(f *feed.Feed) []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "latchkey_feed_hearing",
			Help: "1 while revocations by other servers are received; 0 while every credential is looked up in the database.",
		}, func() float64 {
			if f.IsCurrent() {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "latchkey_feed_proof_age_seconds",
			Help: "Age of the latest proof that every revocation was received; NaN if there is none.",
		}, func() float64 {
			if age, proved := f.ProofAge(); proved {
				return age.Seconds()
			}
			return math.NaN()
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "latchkey_feed_interruptions_total",
			Help: "Failures of the feed's connection and of reconnection attempts.",
		}, func() float64 { return float64(f.Interruptions()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "latchkey_replica_namesakes",
			Help: "Other servers with this server's name; 0 unless names are misconfigured.",
		}, func() float64 { return float64(f.Namesakes()) }),
	}
}

// newSignIns counts sign-in attempts and logs those that are refused. The log
// has the id of the user, if known, and never what was typed: that may be a
// password in the wrong field.
func newSignIns(log *slog.Logger) (*prometheus.CounterVec, func(context.Context, signin.Attempt)) {
	counted := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "latchkey_sign_ins_total", Help: "Attempts to sign in to the control panel, by method and result.",
	}, []string{"method", "result"})
	return counted, func(ctx context.Context, a signin.Attempt) {
		result := resultOf(a.Err)
		counted.WithLabelValues(string(a.Method), result).Inc()
		if a.Err != nil {
			log.LogAttrs(ctx, slog.LevelInfo, "sign-in refused",
				slog.String("method", string(a.Method)), slog.String("result", result),
				slog.String("user_id", a.UserID.String()), slog.String("client_ip", a.Origin.IP.String()),
				slog.String("request_id", a.Origin.RequestID))
		}
	}
}

// resultOf returns the result of an attempt as a metric label.
func resultOf(err error) string {
	var refused *signin.Refused
	if errors.As(err, &refused) && refused.Reason != signin.ReasonUnreachable &&
		refused.Reason != signin.ReasonProvider {
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
