package cli

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"latchkey/internal/clock"
	"latchkey/internal/config"
	"latchkey/internal/fault"
	"latchkey/internal/gateway/routes"
	"latchkey/internal/leaks"
	"latchkey/internal/scope"
	"latchkey/internal/tlsfiles"
)

// reloads is how a server reads its settings and files again, at SIGHUP.
type reloads struct {
	source config.Source
	needs  config.Needs
	// level is the level of the log.
	level *slog.LevelVar
	// requested receives SIGHUP.
	requested <-chan os.Signal
	// before are the settings with which the server started.
	before config.Values
	// succeeded is 1 if the last reload did, and at is when one last did.
	succeeded, at prometheus.Gauge
}

// newReloads returns how the server of the settings reloads. The caller must call stop.
func newReloads(source config.Source, needs config.Needs, cfg config.Config) (r *reloads, stop func()) {
	requested, stop := hangUps()
	r = &reloads{
		source: source, needs: needs, level: &slog.LevelVar{}, requested: requested, before: config.ReadValues(source),
		succeeded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "latchkey_config_last_reload_successful",
			Help: "1 if the last reload of settings and files succeeded, or if there was none; otherwise 0.",
		}),
		at: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "latchkey_config_last_reload_success_timestamp_seconds",
			Help: "When settings and files were last read without an error, at the start or by a reload, in seconds since 1970.",
		}),
	}
	r.level.Set(cfg.Log.Level)
	r.record(nil)
	return r, stop
}

func (r *reloads) collectors() []prometheus.Collector {
	return []prometheus.Collector{r.succeeded, r.at}
}

func (r *reloads) record(err error) {
	if err != nil {
		r.succeeded.Set(0)
		return
	}
	r.succeeded.Set(1)
	r.at.Set(float64(clock.System().Unix()))
}

// hangUps returns a channel that receives SIGHUP, and the function that stops that. The channel receives nothing under
// nohup(1), which ignores the signal.
func hangUps() (requested <-chan os.Signal, stop func()) {
	received := make(chan os.Signal, 1)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(received, syscall.SIGHUP)
	}
	return received, func() { signal.Stop(received) }
}

// reloader reloads a running server.
type reloader struct {
	*reloads

	catalogue *scope.Catalogue
	// useRoutes makes the server use other routes than these.
	useRoutes func(*routes.Table)
	routes    *routes.Table
	// useScanners makes the server accept reports of the scanners with other keys than these.
	useScanners func(*leaks.Keys)
	scanners    *leaks.Keys
	tls         *publicTLS
	log         *slog.Logger
}

// start reloads whenever it is requested, and uses new certificates as they appear. It returns the function that stops
// that.
func (r *reloader) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		ticker := time.NewTicker(certificateInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-r.requested:
				r.reload(ctx)
			case <-ticker.C:
				r.tls.follow(ctx, r.log)
			}
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}

// next is what a reload has read and checked.
type next struct {
	level      slog.Level
	catalogue  *scope.Catalogue
	scopes     scope.Difference
	routes     *routes.Table
	changed    routes.Difference
	scanners   *leaks.Keys
	keys       leaks.Difference
	certs      *tlsfiles.Set // nil without TLS
	needsStart []string      // the settings that differ and need a restart
}

// reload reads everything, and uses it if all of it is valid. It logs what changed.
func (r *reloader) reload(ctx context.Context) {
	n, err := r.read()
	r.record(err)
	if err != nil {
		r.log.ErrorContext(ctx, "the reload failed and changed nothing", "error", err)
		return
	}
	changes := r.use(ctx, n)
	if len(n.needsStart) > 0 {
		r.log.WarnContext(ctx, "settings have changed that need a restart", "settings", n.needsStart)
		return
	}
	if changes == 0 {
		r.log.InfoContext(ctx, "reloaded, and nothing has changed")
	}
}

// read reads the settings and files. Its error names the file and the reason.
func (r *reloader) read() (next, error) {
	var n next
	cfg, err := config.Load(r.source, r.needs)
	if err != nil {
		return n, err
	}
	n.level = cfg.Log.Level
	if n.needsStart, err = r.compareSettings(); err != nil {
		return n, err
	}
	if n.catalogue, err = readCatalogue(cfg.Catalogue); err != nil {
		return n, inFile(cfg.Catalogue, err)
	}
	if n.scopes, err = r.catalogue.Compare(n.catalogue); err != nil {
		return n, inFile(cfg.Catalogue, allOn(config.Called("catalogue"), err))
	}
	if n.routes, err = readRoutes(cfg.Routes, n.catalogue); err != nil {
		return n, inFile(cfg.Routes, err)
	}
	n.changed = r.routes.Compare(n.routes)
	if n.scanners, err = readLeakKeys(cfg.Leaks.Keys); err != nil {
		return n, inFile(cfg.Leaks.Keys, err)
	}
	n.keys = r.scanners.Compare(n.scanners)
	if r.tls != nil {
		n.certs, err = r.tls.read()
	}
	return n, err
}

// compareSettings returns the settings that differ and need a restart. It returns fault.Invalid if the setting of a
// file is missing that the server was started with.
func (r *reloader) compareSettings() (needsStart []string, err error) {
	// A settings file that was cut must not replace the operator's own rules by the built-in ones.
	now := config.ReadValues(r.source)
	for flag, instead := range map[string]string{
		"catalogue": "use the built-in one", "routes": "use the built-in one",
		"leak-report-keys": "refuse signed reports",
	} {
		if r.before.IsSet(flag) && !now.IsSet(flag) {
			return nil, fault.Errorf(fault.Invalid,
				"is not set any more. Restart the server to %s.", instead).On(config.Called(flag))
		}
	}
	for _, flag := range r.before.Changed(now) {
		if !slices.Contains([]string{"log-level", "catalogue", "routes", "leak-report-keys"}, flag) {
			needsStart = append(needsStart, "--"+flag)
		}
	}
	return needsStart, nil
}

// inFile names the file in an error, unless the error does.
func inFile(path string, err error) error {
	if path == "" || strings.Contains(err.Error(), path) {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// use makes the server use what was read, the scopes before the routes that name them. It logs each change in a line
// and returns their number.
func (r *reloader) use(ctx context.Context, n next) (changes int) {
	log := func(message string, attributes ...any) {
		changes++
		r.log.InfoContext(ctx, message, attributes...)
	}
	if old := r.level.Level(); old != n.level {
		r.level.Set(min(old, n.level)) // so that the line is logged if either level shows it
		log("the log level was changed", "from", old.String(), "to", n.level.String())
		r.level.Set(n.level)
	}
	if len(n.scopes.Added) > 0 || n.scopes.Described {
		r.catalogue.Replace(n.catalogue)
		log("the catalogue of scopes was changed", "added", len(n.scopes.Added), "names", names(n.scopes.Added),
			"descriptions_changed", n.scopes.Described)
	}
	if d := n.changed; !d.IsZero() {
		r.useRoutes(n.routes)
		r.routes = n.routes
		log("the routes were changed", "added", len(d.Added), "added_paths", names(d.Added), "removed", len(d.Removed),
			"removed_paths", names(d.Removed), "changed", len(d.Changed), "changed_paths", names(d.Changed))
	}
	if d := n.keys; !d.IsZero() {
		r.useScanners(n.scanners)
		r.scanners = n.scanners
		log("the keys of secret scanners were changed", "added", len(d.Added), "added_keys", names(d.Added),
			"removed", len(d.Removed), "removed_keys", names(d.Removed), "changed", len(d.Changed), "changed_keys",
			names(d.Changed))
	}
	if n.certs != nil && !n.certs.Equal(r.tls.keeper.Current()) {
		changes++
		r.tls.use(ctx, n.certs, r.log)
	}
	return changes
}

// names returns the first names of a list for the log.
func names(all []string) []string {
	const most = 20
	if len(all) <= most {
		return all
	}
	return append(slices.Clone(all[:most]), fmt.Sprintf("and %d more", len(all)-most))
}
