package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"latchkey/graph"
	"latchkey/graph/server"
	"latchkey/internal/access"
	"latchkey/internal/account"
	"latchkey/internal/clock"
	"latchkey/internal/config"
	"latchkey/internal/directory"
	"latchkey/internal/fault"
	"latchkey/internal/feed"
	"latchkey/internal/gateway/canary"
	"latchkey/internal/gormdb"
	"latchkey/internal/httpserver"
	"latchkey/internal/httpserver/scimapi"
	"latchkey/internal/instance"
	"latchkey/internal/manifest/demo"
	"latchkey/internal/oauth"
	"latchkey/internal/panel"
)

func (p *program) serveCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "serve", Short: "Serve the Account API", Args: cobra.NoArgs,
		Long: "Serve the Account API until SIGTERM or SIGINT. SIGHUP makes the server read its files again (docs/settings.md). At the end it serves for --shutdown-delay more, no longer ready, and finishes the requests " +
			"in flight; another signal, a second later, ends the program at once.",
	}
	demo := c.Flags().Bool("demo", false, "create demo data and print how to try it out")
	offer(c, everything)
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		needs := config.Needs{Keys: true, Creates: true, Serves: true}
		cfg, ofTraces, err := servingSettings(p, c, needs)
		if err != nil {
			return err
		}
		if *demo {
			setUpDemo(&cfg, p.source(c))
		}
		ctx, stop := stopsAt(c.Context(), stopSignals...)
		defer stop()
		again, end := newReloads(p.source(c), needs, cfg)
		defer end()
		p.tuneGC(ctx)
		lines := newLineWriter(p.stderr)
		defer lines.Flush()
		log := newLeveledLog(cfg.Log, again.level, lines)
		traces, stopTraces, err := startTraces(ctx, cfg, ofTraces, log)
		if err != nil {
			return err
		}
		defer stopTraces()
		b, err := openTraced(ctx, cfg, needs, log, traces)
		if err != nil {
			return err
		}
		return inTime(ctx, cfg.ShutdownDelay+cfg.ShutdownGrace, log, func(answered func()) error {
			return errors.Join(p.serve(ctx, b, again, log, *demo, answered), b.Close())
		})
	})
	return c
}

// serve runs the server until ctx ends. It calls answered if no request was
// aborted.
func (p *program) serve(ctx context.Context, b *backend, again *reloads, log *slog.Logger, demo bool,
	answered func()) error {
	if err := findPorts(ctx, &b.cfg); err != nil {
		return err
	}
	baseURL := b.cfg.BaseURL(b.cfg.Addr)
	signIns, onAttempt := newSignIns(log)
	b.onAttempt = onAttempt
	if err := b.signInAt(baseURL); err != nil {
		return err
	}
	routes, secure, err := b.readServed()
	if err != nil {
		return err
	}
	self, err := replica(b.cfg)
	if err != nil {
		return err
	}
	v, err := newVerification(b, self, log)
	if err != nil {
		return err
	}
	unlock, err := v.useInstance(b.cfg.InstanceFile)
	if err != nil {
		return err
	}
	defer unlock()
	bills, err := newBillingRuns(ctx, b, log)
	if err != nil {
		return err
	}
	operations := newGraphCounts()
	api, err := newAPI(ctx, b, v.feed, baseURL, operations, log)
	if err != nil {
		return err
	}
	directories := directory.NewService(gormdb.Directory(b.db), b.memberships, clock.System, httpserver.Charge)
	pages := newPanel(b, v, api, directories, baseURL, log)
	sending := newDeliveries(b, baseURL, log)
	chains, cleaning := newAuditChains(b, self.Name, log), newCleaning(b, log)
	monitor := canary.New(b.gateways, v.feed.Replicas, secure.dial(), clock.System, log)
	if err := v.feed.Join(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // stopped while waiting for the replica name
		}
		return err
	}
	public, admin, err := listen(ctx, b.cfg)
	if err != nil {
		return err
	}
	defer public.Close()
	defer admin.Close()
	warnOfPlainHTTP(ctx, log, baseURL, public.Addr())
	reports, err := newLeaks(b, baseURL, log)
	if err != nil {
		return err
	}
	srv, err := httpserver.New(httpserver.Config{
		Public: public, Admin: admin, Limits: b.cfg.HTTP, Connections: b.cfg.Connections, Rates: b.cfg.Rates,
		Legacy: b.cfg.Legacy, TrustedProxies: b.cfg.TrustedProxies, GatewayAddresses: b.cfg.GatewayAddresses,
		Routes: routes, CORSOrigins: b.cfg.CORSOrigins, TLS: secure.config(), GatewayCert: secure.gatewayCert(),
		HTTPS: strings.HasPrefix(baseURL, "https://"), PublicURL: baseURL, Delay: b.cfg.ShutdownDelay,
		Grace: requestGrace(b.cfg.ShutdownGrace), Verifier: v.verifier, Canary: canary.Name, OAuth: newOAuth(b),
		Scopes: b.catalogue.Names, API: api, Panel: pages, WriteError: server.WriteError, LeakReports: reports.config,
		SCIM: scimapi.New(directories, baseURL, log), WriteSCIMError: scimapi.WriteError, Traces: b.traces,
		Checks: checks(b, v.feed), Silent: b.db.Silent, Profiles: b.cfg.Profiling, Log: log,
		Collectors: b.collectors(feedMetrics(v.feed), monitor.Collectors(), sending.collectors,
			bills.metrics.collectors(), operations.collectors(), secure.collectors(), again.collectors(),
			chains.collectors(), cleaning.collectors(),
			[]prometheus.Collector{signIns, newCacheMetrics(v.memory.Stats)}),
	})
	if err != nil {
		return err
	}
	admitIssued(b, srv)
	// Last uses recorded by the final requests are written after the server stopped.
	defer v.start(context.WithoutCancel(ctx), b, log)()
	defer startSignIn(context.WithoutCancel(ctx), b)()
	defer startExpirations(ctx, b, log)()
	defer reports.start(context.WithoutCancel(ctx))()
	defer startDirectories(context.WithoutCancel(ctx), directories, log)()
	if err := errors.Join(p.greet(ctx, b, demo, baseURL, self.Name), b.logOwners(ctx, log)); err != nil {
		return err
	}
	b.logStart(ctx, public.Addr(), admin.Addr(), baseURL)
	secure.report(ctx, log)
	defer (&reloader{reloads: again, catalogue: b.catalogue, useRoutes: srv.UseRoutes, routes: routes,
		useScanners: srv.UseScanners, scanners: reports.config.Scanners, tls: secure, log: log}).start(ctx)()
	defer startCanary(ctx, monitor, b.cfg.CanaryInterval)()
	defer sending.start(ctx, b)()
	defer startEach(ctx, bills.start, chains.start, cleaning.start)()
	go freeStartup()
	if err := srv.Run(ctx); err != nil {
		return err
	}
	answered()
	return nil
}

// startEach starts jobs, and returns the function that stops them, the last one first.
func startEach(ctx context.Context, jobs ...func(context.Context) (stop func())) (stop func()) {
	var stops []func()
	for _, start := range jobs {
		stops = append(stops, start(ctx))
	}
	return func() {
		for _, stop := range slices.Backward(stops) {
			stop()
		}
	}
}

// collectors returns the metrics of the backend and more.
func (b *backend) collectors(more ...[]prometheus.Collector) []prometheus.Collector {
	return slices.Concat(slices.Concat(more...), b.counts.collectors(), b.failures.collectors(), b.traces.Collectors(),
		[]prometheus.Collector{buildInfo(), newPoolMetrics(b.db)})
}

// logStart logs where the server listens.
func (b *backend) logStart(ctx context.Context, public, admin net.Addr, baseURL string) {
	b.log.InfoContext(ctx, "listening", "address", public.String(), "tls", b.cfg.TLS.Cert != "", "admin_address",
		admin.String(), "public_url", baseURL, "database", b.db.Dialect(), "version", programVersion())
	if len(b.cfg.Webhooks.Allow) > 0 {
		b.log.InfoContext(ctx, "webhooks may also be sent to these addresses, over http, too", "webhook_allow",
			b.cfg.Webhooks.Allow)
	}
}

// setUpDemo changes the defaults of settings for a demo.
func setUpDemo(cfg *config.Config, set config.Source) {
	if !config.IsSet(set, "shutdown-delay") {
		cfg.ShutdownDelay = 0 // a demo has no load balancer
	}
	if !config.IsSet(set, "webhook-allow") {
		cfg.Webhooks.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
}

// logOwners logs how many owners can still sign in if passwords are disabled.
func (b *backend) logOwners(ctx context.Context, log *slog.Logger) error {
	if b.cfg.SignIn.Passwords {
		return nil
	}
	owners, ready, err := b.signIn.OwnersWithoutPassword(ctx)
	if err != nil {
		return err
	}
	log.InfoContext(ctx,
		"sign-in with a password is disabled: owners need a passkey, a linked sign-in or a confirmed address at the provider",
		"owners", owners, "with_passkey_or_link", ready)
	return nil
}

// findPorts replaces the addresses of cfg with ones that listen can open, with
// port 0 resolved. It detects an occupied port before anything else is done.
// The listeners are opened later, when the server can answer requests.
func findPorts(ctx context.Context, cfg *config.Config) error {
	public, admin, err := listen(ctx, *cfg)
	if err != nil {
		return err
	}
	cfg.Addr, cfg.AdminAddr = public.Addr().String(), admin.Addr().String()
	return errors.Join(public.Close(), admin.Close())
}

// listen opens the public and the admin listener.
func listen(ctx context.Context, cfg config.Config) (public, admin net.Listener, err error) {
	if public, err = httpserver.Listen(ctx, cfg.Addr); err != nil {
		return nil, nil, cannotListen("addr", err)
	}
	if admin, err = httpserver.Listen(ctx, cfg.AdminAddr); err != nil {
		return nil, nil, errors.Join(cannotListen("admin-addr", err), public.Close())
	}
	return public, admin, nil
}

// replica returns the identity of this server among those that share its
// database.
func replica(cfg config.Config) (access.Replica, error) {
	machine, err := os.Hostname()
	if err != nil {
		return access.Replica{}, fmt.Errorf("find the machine's name: %w", err)
	}
	name, url := cfg.Replica(machine, cfg.Addr)
	return access.Replica{Name: name, URL: url}, nil
}

func cannotListen(flag string, err error) error {
	return fmt.Errorf("%s: %w; is another server running? Set another address", config.Called(flag), err)
}

// newAPI returns the handler of the Account API.
func newAPI(ctx context.Context, b *backend, replicas graph.Replicas, baseURL string,
	counts graphCounts, log *slog.Logger) (http.Handler, error) {
	sources, err := newEventSources(ctx, b)
	if err != nil {
		return nil, err
	}
	q := b.cfg.Query
	return graph.NewHandler(graph.Config{
		Accounts: b.accounts, Users: b.users, Tokens: b.tokens, Memberships: b.memberships, Audit: b.db.Audit(),
		EventSources: sources, Webhooks: b.webhooks, Events: b.events, Billing: b.billing, Runner: b.runner,
		Replicas: replicas, Catalogue: b.catalogue, PublicURL: baseURL,
		Limits: server.Limits{Depth: q.Depth, Complexity: q.Complexity, Aliases: q.Aliases, Directives: q.Directives},
		Log:    log, OnError: counts.onError, OnOperation: counts.onOperation, Traces: b.traces.Provider(),
		Charge: httpserver.Charge,
	})
}

// newPanel returns the control panel.
func newPanel(b *backend, v *verification, api http.Handler, directories *directory.Service, baseURL string,
	log *slog.Logger) *panel.Panel {
	return panel.New(panel.Config{
		Accounts: b.accounts, Users: b.users, Tokens: b.tokens, Memberships: b.memberships, SignIn: b.signIn,
		Setup: b.setup, Forms: b.forms, Webhooks: b.webhooks, Billing: b.billing, Directories: directories,
		Audit: b.db.Audit(), Catalogue: b.catalogue,
		Verify: v.verifier.Verify, API: api, SDL: graph.SDL, PublicURL: baseURL, Keys: b.keys, Random: rand.Reader,
		Now: clock.System, Log: log,
	})
}

// newOAuth returns the service of the OAuth endpoints.
func newOAuth(b *backend) *oauth.Service {
	return oauth.NewService(oauth.Config{
		Repository: b.db.Grants(), Catalogue: b.catalogue, Keys: b.keys, Lifetime: b.cfg.OAuthTokenLifetime,
		Random: rand.Reader, Now: clock.System,
	})
}

// verification is the verifier with its caches, its feed and its recorder of
// last uses.
type verification struct {
	verifier *access.Verifier
	memory   *access.Caches
	feed     *feed.Feed
	// uses records the last uses of tokens and sessions; nil if neither are
	// recorded.
	uses *access.Uses
}

// newVerification creates a verifier with caches. They are invalidated by the
// changes of this process, through the repositories, and by the changes of
// other processes, through the feed. From then on b.accounts uses the same
// caches.
func newVerification(b *backend, self access.Replica, log *slog.Logger) (*verification, error) {
	v := &verification{}
	if b.cfg.LastUseInterval > 0 || b.cfg.SessionIdle > 0 {
		v.uses = access.NewUses(b.db.Uses())
	}
	ofTokens := v.uses
	if b.cfg.LastUseInterval == 0 {
		ofTokens = nil
	}
	memory, err := access.NewCaches(b.cfg.CacheSize, b.cfg.CacheAge, func() bool { return v.feed.IsCurrent() },
		clock.System)
	if err != nil {
		return nil, fmt.Errorf("create the credential caches: %w", err)
	}
	v.memory = memory
	b.accounts = account.NewService(memory.Accounts(b.db.Accounts()))
	b.db.OnChange(memory.Invalidate)
	v.feed = feed.New(b.db.FeedSource(), self,
		feed.Subscriber{Changed: memory.Invalidate, Forget: memory.InvalidateAll}, log)
	v.feed.UseKeys(b.keys.IDs())
	v.verifier = access.NewVerifier(access.Config{
		Repository: b.db.Access(), Keys: b.keys, Catalogue: b.catalogue, Caches: memory, Uses: ofTokens,
		SessionUses: v.uses,
		SessionIdle: b.cfg.SessionIdle, Now: clock.System,
	})
	return v, nil
}

// useInstance locks the instance file, if one is configured, and returns the
// function that unlocks it.
func (v *verification) useInstance(path string) (unlock func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	file, err := instance.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", config.Called("instance-file"), err)
	}
	v.feed.UseInstance(file.ID())
	return func() { _ = file.Close() }, nil
}

// startCanary starts the canary if interval is positive, and returns the function
// that stops it.
func startCanary(ctx context.Context, monitor *canary.Canary, interval time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	if interval > 0 {
		running.Go(func() { monitor.Run(ctx, interval) })
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// usesInterval is the interval at which last uses of sessions are written if
// those of tokens are not recorded.
const usesInterval = 10 * time.Second

// flushGrace is the maximum time for writing last uses at shutdown.
const flushGrace = 5 * time.Second

// start runs the feed and the recorder of last uses. stop ends both and returns
// after everything was written.
func (v *verification) start(ctx context.Context, b *backend, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { v.feed.Run(ctx) })
	if v.uses != nil {
		running.Go(func() {
			v.uses.Run(ctx, cmp.Or(b.cfg.LastUseInterval, usesInterval), flushGrace, func(err error) {
				b.failures.uses.Inc()
				log.ErrorContext(ctx, "last uses could not be written", "error", err)
			})
		})
	}
	return func() {
		cancel()
		running.Wait()
		v.memory.Close()
	}
}

// requestsInterval is the interval at which the requests of identity providers are
// recorded.
const requestsInterval = 5 * time.Second

// startDirectories starts recording the requests of identity providers, and returns the
// function that records the last ones and stops.
func startDirectories(ctx context.Context, d *directory.Service, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		d.Run(ctx, requestsInterval, func(err error) {
			log.ErrorContext(ctx, "the requests of identity providers could not be recorded", "error", err)
		})
	})
	return func() {
		cancel()
		running.Wait()
	}
}

// greet records the server's URL for commands, and prints how to begin: with the
// demo, or with the first account.
func (p *program) greet(ctx context.Context, b *backend, demo bool, baseURL, server string) error {
	if err := gormdb.RecordPublicURL(ctx, b.db, baseURL); err != nil {
		return err
	}
	if demo {
		if err := p.welcome(ctx, b, baseURL); err != nil {
			return err
		}
	}
	return p.offerSetup(ctx, b, server)
}

// welcome creates the demo data and prints how to try it out.
func (p *program) welcome(ctx context.Context, b *backend, baseURL string) error {
	demo, err := demo.Make(ctx, b.manifests, b.users, b.signIn)
	if err != nil {
		return fmt.Errorf("create the demo data: %w", err)
	}
	type welcome struct {
		URL          string    `json:"url"`
		AccountID    uuid.UUID `json:"accountId"`
		OwnerEmail   string    `json:"ownerEmail"`
		Password     string    `json:"password"`
		SessionToken string    `json:"sessionToken"`
		ExpiresAt    time.Time `json:"expiresAt"`
	}
	return p.printed(welcome{baseURL, demo.AccountID, demo.OwnerEmail, demo.Password.Reveal(), demo.Session.Reveal(),
		demo.ExpiresAt}, demo.Welcome(baseURL), func() {})
}

// offerSetup prints the link that creates the first account, if there is none.
// The link is printed only here, because a user who has it owns the account.
func (p *program) offerSetup(ctx context.Context, b *backend, server string) error {
	address, until, err := b.setup.Offer(ctx, server)
	if fault.KindOf(err) == fault.Conflict || ctx.Err() != nil {
		return nil //nolint:nilerr // an account exists, or the server is stopping
	}
	if err != nil {
		return fmt.Errorf("offer to create the first account: %w", err)
	}
	type offer struct {
		SetupURL  string    `json:"setupUrl"`
		ExpiresAt time.Time `json:"expiresAt"`
	}
	return p.printed(offer{address, until}, address+"\n", func() {
		p.say(
			"There is no account yet. Open the link above in a browser to create the first one. The link works once, until %s; a restart prints a new one.",
			until.Format(time.RFC3339))
	})
}

// startSignIn starts the deferred work of sign-ins, such as sending mail, and returns
// the function that stops it.
func startSignIn(ctx context.Context, b *backend) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		b.signIn.Run(ctx)
	})
	return func() {
		cancel()
		running.Wait()
	}
}
