package httpserver

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"latchkey/internal/fault"
)

// Check is a condition that must hold for the server to be ready.
type Check struct {
	Name string
	// Run returns an error if the condition does not hold. The response shows
	// the message of a *fault.Error; any other error is only logged.
	Run func(context.Context) error
}

// checkTimeout bounds all checks of one readiness request.
const checkTimeout = 2 * time.Second

// admin is the handler of the admin listener.
type admin struct {
	checks   []Check
	stopping *atomic.Bool
	log      *slog.Logger
}

func newAdmin(c Config, m *metrics, stopping *atomic.Bool) http.Handler {
	a := &admin{checks: c.Checks, stopping: stopping, log: c.Log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", a.health)
	mux.HandleFunc("GET /readyz", a.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry,
		promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelWarn)}))
	paths := "/healthz, /readyz and /metrics"
	if c.Profiles {
		handleProfiles(mux)
		paths = "/healthz, /readyz, /metrics and /debug/pprof/"
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusNotFound,
			map[string]string{"error": "Not found. The paths are " + paths + "."})
	})
	return mux
}

// handleProfiles serves the profiles of net/http/pprof, but not the command line, which can contain a password.
func handleProfiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}

// health reports that the process is up. It does not check dependencies:
// restarting the process would not fix the database.
func (a *admin) health(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// outcome is the result of one check.
type outcome struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"`
}

// ready reports whether a load balancer should send requests to this server,
// and the reasons if not.
func (a *admin) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
	defer cancel()
	ready := !a.stopping.Load()
	results := []outcome{{Name: "serving", OK: ready}}
	if !ready {
		results[0].Reason = "The server is stopping."
	}
	for _, check := range a.checks {
		result := outcome{Name: check.Name, OK: true}
		if err := check.Run(ctx); err != nil {
			ready, result.OK, result.Reason = false, false, a.reason(ctx, check.Name, err)
		}
		results = append(results, result)
	}
	status := http.StatusOK
	if !ready {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, struct {
		Ready  bool      `json:"ready"`
		Checks []outcome `json:"checks"`
	}{ready, results})
}

func (a *admin) reason(ctx context.Context, name string, err error) string {
	var known *fault.Error
	if errors.As(err, &known) {
		return known.Message
	}
	a.log.WarnContext(ctx, "readiness check failed", "check", name, "error", err)
	return "The check failed. See the log for the reason."
}
