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
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"latchkey/graph"
	"latchkey/internal/access"
	"latchkey/internal/account"
	"latchkey/internal/canary"
	"latchkey/internal/config"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/httpserver"
	"latchkey/internal/instance"
	"latchkey/internal/oauth"
	"latchkey/internal/panel"
	"latchkey/internal/seed"
)

func (p *program) serveCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "serve", Short: "Serve the Account API", Args: cobra.NoArgs,
		Long: "Serve the Account API until SIGTERM, SIGINT or SIGHUP. The server then serves for --shutdown-delay more, no longer ready, and finishes the requests " +
			"in flight; another signal, a second later, ends the program at once.",
	}
	demo := c.Flags().Bool("demo", false, "make demo data, and print how to try it out")
	offer(c, true)
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		needs := config.Needs{Keys: true, Creates: true}
		cfg, err := p.settings(c, needs)
		if err != nil {
			return err
		}
		if *demo && !config.IsSet(p.source(c), "shutdown-delay") {
			cfg.ShutdownDelay = 0 // no load balancer sends anybody to a demo
		}
		ctx, stop := stoppable(c.Context())
		defer stop()
		p.tuneGC(ctx)
		lines := newLineWriter(p.stderr)
		defer lines.Flush()
		log := newLog(cfg.Log, lines)
		b, err := open(ctx, cfg, needs, log)
		if err != nil {
			return err
		}
		return inTime(ctx, cfg.ShutdownDelay+cfg.ShutdownGrace, func() error { return errors.Join(p.serve(ctx, b, log, *demo), b.Close()) })
	})
	return c
}

// stoppable returns a context that the first signal to stop ends. What comes a
// second later is left to the system, and ends the program at once; within that
// second it is the same wish: timeout(1) sends its signal twice.
func stoppable(ctx context.Context) (stopping context.Context, release func()) {
	signals := []os.Signal{syscall.SIGTERM, syscall.SIGINT}
	if !signal.Ignored(syscall.SIGHUP) { // nohup(1) ignores it
		signals = append(signals, syscall.SIGHUP)
	}
	stopping, release = signal.NotifyContext(ctx, signals...)
	context.AfterFunc(stopping, func() { time.AfterFunc(time.Second, release) })
	return stopping, release
}

// inTime runs work and returns its error, or another one if work has not
// returned that long after the end of ctx: a database that does not answer can
// keep connections from being closed. The program must end then.
func inTime(ctx context.Context, most time.Duration, work func() error) error {
	done := make(chan error, 1)
	go func() { done <- work() }()
	overdue := make(chan struct{})
	defer context.AfterFunc(ctx, func() { time.AfterFunc(most, func() { close(overdue) }) })()
	select {
	case err := <-done:
		return err
	case <-overdue:
		return fmt.Errorf("the server did not stop within %s of the signal; the database may not answer", most)
	}
}

// requestGrace is how much of the grace requests in flight have: all but what
// it takes to write last uses and to close connections.
func requestGrace(grace time.Duration) time.Duration { return grace - min(flushGrace, grace/4) }

// serve runs everything that a server consists of until ctx ends.
func (p *program) serve(ctx context.Context, b *backend, log *slog.Logger, demo bool) error {
	if err := findPorts(ctx, &b.cfg); err != nil {
		return err
	}
	baseURL := b.cfg.BaseURL(b.cfg.Addr)
	signIns, onAttempt := newSignIns(log)
	b.onAttempt = onAttempt
	if err := b.signInAt(baseURL); err != nil {
		return err
	}
	routes, err := readRoutes(b.cfg.Routes, b.catalogue)
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
	graphErrors, onError := newGraphErrors()
	api, err := newAPI(b, v.feed, baseURL, onError, log)
	if err != nil {
		return err
	}
	pages := newPanel(b, v, api, baseURL, log)
	bird := canary.New(b.gateways, v.feed.Replicas, time.Now, log)
	if err := v.feed.Join(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop while it waited for its name
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
	server, err := httpserver.New(httpserver.Config{
		Public: public, Admin: admin, Limits: b.cfg.HTTP, Rates: b.cfg.Rates, Legacy: b.cfg.Legacy, TrustedProxies: b.cfg.TrustedProxies,
		GatewayAddresses: b.cfg.GatewayAddresses, Routes: routes,
		HTTPS: strings.HasPrefix(baseURL, "https://"), PublicURL: baseURL, Delay: b.cfg.ShutdownDelay, Grace: requestGrace(b.cfg.ShutdownGrace),
		Verifier: v.verifier, Canary: canary.Name, OAuth: newOAuth(b), Scopes: b.catalogue.Names(), API: api, Panel: pages, WriteError: graph.WriteError,
		Checks: checks(b, v.feed), Log: log,
		Collectors: slices.Concat(feedMetrics(v.feed), b.counts.collectors(), bird.Collectors(), []prometheus.Collector{buildInfo(), signIns, graphErrors}),
	})
	if err != nil {
		return err
	}
	admitIssued(b, server)
	// Whatever requests did on their way out is written after they ended.
	defer v.start(context.WithoutCancel(ctx), b.cfg, log)()
	defer mailing(context.WithoutCancel(ctx), b)()
	if demo {
		if err := p.welcome(ctx, b, baseURL); err != nil {
			return err
		}
	}
	if err := p.offerSetup(ctx, b, self.Name); err != nil {
		return err
	}
	if err := b.whoGetsIn(ctx, log); err != nil {
		return err
	}
	log.InfoContext(ctx, "listening", "address", public.Addr().String(), "admin_address", admin.Addr().String(), "public_url", baseURL,
		"database", b.db.Dialect(), "version", programVersion())
	defer release(ctx, bird, b.cfg.CanaryInterval)()
	go freeStartup()
	return server.Run(ctx)
}

// whoGetsIn says in the log who could still sign in where nobody does with a
// password.
func (b *backend) whoGetsIn(ctx context.Context, log *slog.Logger) error {
	if b.cfg.SignIn.Passwords {
		return nil
	}
	owners, ready, err := b.signIn.OwnersWithoutPassword(ctx)
	if err != nil {
		return err
	}
	log.InfoContext(ctx, "nobody signs in with a password: owners have a passkey or a linked sign-in, or need a confirmed address at the provider",
		"owners", owners, "with_passkey_or_link", ready)
	return nil
}

// warnOfPlainHTTP warns of a server that others than this machine reach without
// TLS.
func warnOfPlainHTTP(ctx context.Context, log *slog.Logger, baseURL string, listening net.Addr) {
	u, err := url.Parse(baseURL)
	if err != nil || u.Scheme != "http" || isLoopback(u.Hostname()) && isLoopback(hostOf(listening)) {
		return
	}
	log.WarnContext(ctx, "clients reach this server over plain http, which shows their credentials to the network; "+
		"put a proxy with TLS before it and set --public-url to its https:// address", "public_url", baseURL, "address", listening.String())
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func hostOf(address net.Addr) string {
	host, _, _ := net.SplitHostPort(address.String())
	return host
}

// findPorts replaces the addresses of cfg by those that listen can open, with a
// port where there was none. It is known before anything else is done whether a
// port is taken; they are open when requests can be answered.
func findPorts(ctx context.Context, cfg *config.Config) error {
	public, admin, err := listen(ctx, *cfg)
	if err != nil {
		return err
	}
	cfg.Addr, cfg.AdminAddr = public.Addr().String(), admin.Addr().String()
	return errors.Join(public.Close(), admin.Close())
}

// listen opens both listeners.
func listen(ctx context.Context, cfg config.Config) (public, admin net.Listener, err error) {
	if public, err = httpserver.Listen(ctx, cfg.Addr); err != nil {
		return nil, nil, cannotListen("--addr", err)
	}
	if admin, err = httpserver.Listen(ctx, cfg.AdminAddr); err != nil {
		return nil, nil, errors.Join(cannotListen("--admin-addr", err), public.Close())
	}
	return public, admin, nil
}

// replica is this server among those that share its database.
func replica(cfg config.Config) (access.Replica, error) {
	machine, err := os.Hostname()
	if err != nil {
		return access.Replica{}, fmt.Errorf("find the machine's name: %w", err)
	}
	name, url := cfg.Replica(machine, cfg.Addr)
	return access.Replica{Name: name, URL: url}, nil
}

func cannotListen(flag string, err error) error { return fmt.Errorf("%s: %w", flag, err) }

// newAPI makes the handler of the Account API.
func newAPI(b *backend, replicas graph.Replicas, baseURL string, onError func(_, _ string, _ fault.Kind), log *slog.Logger) (http.Handler, error) {
	q := b.cfg.Query
	return graph.NewHandler(graph.Config{
		Accounts: b.accounts, Users: b.users, Tokens: b.tokens, Offboard: b.offboard, Audit: b.db.Audit(), Replicas: replicas, Catalogue: b.catalogue, PublicURL: baseURL,
		Limits: graph.Limits{Depth: q.Depth, Complexity: q.Complexity, Aliases: q.Aliases, Directives: q.Directives}, Log: log, OnError: onError,
		Charge: httpserver.Charge,
	})
}

// newPanel makes the control panel.
func newPanel(b *backend, v *verification, api http.Handler, baseURL string, log *slog.Logger) *panel.Panel {
	return panel.New(panel.Config{
		Accounts: b.accounts, Users: b.users, Tokens: b.tokens, Offboard: b.offboard, SignIn: b.signIn, Setup: b.setup, Forms: b.forms,
		Audit: b.db.Audit(), Catalogue: b.catalogue,
		Look: v.verifier.Look, API: api, PublicURL: baseURL, Now: time.Now, Log: log,
	})
}

// newOAuth makes the service that the endpoints of OAuth stand on.
func newOAuth(b *backend) *oauth.Service {
	return oauth.NewService(oauth.Config{
		Repository: b.db.Grants(), Catalogue: b.catalogue, Keys: b.keys, Lifetime: b.cfg.OAuthTokenLifetime,
		Random: rand.Reader, Now: time.Now,
	})
}

// verification is the verifier with what it remembers, hears and notes.
type verification struct {
	verifier *access.Verifier
	memory   *access.Memory
	feed     *gormdb.Feed
	// uses are those of tokens and sessions; nil where neither are kept.
	uses *access.Uses
}

// newVerification makes a verifier whose memory hears of the changes that this
// process makes, from the repositories, and of all others, from the feed. The
// backend's accounts are looked up through the same memory from then on.
func newVerification(b *backend, self access.Replica, log *slog.Logger) (*verification, error) {
	v := &verification{}
	if b.cfg.LastUseInterval > 0 || b.cfg.SessionIdle > 0 {
		v.uses = access.NewUses(b.db.Uses())
	}
	ofTokens := v.uses
	if b.cfg.LastUseInterval == 0 {
		ofTokens = nil
	}
	memory, err := access.NewMemory(b.cfg.CacheSize, b.cfg.CacheAge, func() bool { return v.feed.Hearing() }, time.Now)
	if err != nil {
		return nil, fmt.Errorf("make the memory of credentials: %w", err)
	}
	v.memory = memory
	b.accounts = account.NewService(memory.Accounts(b.db.Accounts()))
	b.db.OnChange(memory.Changed)
	v.feed = b.db.NewFeed(self, gormdb.Ears{Changed: memory.Changed, Forget: memory.Forget}, log)
	v.feed.UseKeys(b.keys.IDs())
	v.verifier = access.NewVerifier(access.Config{
		Repository: b.db.Access(), Keys: b.keys, Catalogue: b.catalogue, Memory: memory, Uses: ofTokens, SessionUses: v.uses,
		SessionIdle: b.cfg.SessionIdle, Now: time.Now,
	})
	return v, nil
}

// useInstance locks the instance file, if there is one, until the function that
// it returns is called.
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

// release lets the canary fly, if it is to, until the function that it returns
// is called.
func release(ctx context.Context, bird *canary.Canary, interval time.Duration) (recall func()) {
	ctx, cancel := context.WithCancel(ctx)
	var flying sync.WaitGroup
	if interval > 0 {
		flying.Go(func() { bird.Run(ctx, interval) })
	}
	return func() {
		cancel()
		flying.Wait()
	}
}

// usesInterval is how often the last uses of sessions are written where those of
// tokens are not.
const usesInterval = 10 * time.Second

// flushGrace is how long the last uses of tokens and sessions have to be written
// at stop.
const flushGrace = 5 * time.Second

// start lets the verification hear and note until the function that it
// returns is called, which returns when all is written.
func (v *verification) start(ctx context.Context, cfg config.Config, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { v.feed.Run(ctx) })
	if v.uses != nil {
		running.Go(func() {
			v.uses.Run(ctx, cmp.Or(cfg.LastUseInterval, usesInterval), flushGrace, func(err error) {
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

// welcome makes the demo's data and tells how to try it out.
func (p *program) welcome(ctx context.Context, b *backend, baseURL string) error {
	demo, err := seed.Make(ctx, b.manifests, b.users, b.signIn)
	if err != nil {
		return fmt.Errorf("make the demo: %w", err)
	}
	type welcome struct {
		URL          string    `json:"url"`
		AccountID    uuid.UUID `json:"accountId"`
		OwnerEmail   string    `json:"ownerEmail"`
		Password     string    `json:"password"`
		SessionToken string    `json:"sessionToken"`
		ExpiresAt    time.Time `json:"expiresAt"`
	}
	return p.printed(welcome{baseURL, demo.AccountID, demo.OwnerEmail, demo.Password.Reveal(), demo.Session.Reveal(), demo.ExpiresAt}, demo.Welcome(baseURL), func() {})
}

// offerSetup prints the link by which the first account is made, where there is
// none: alone, and nowhere else, since whoever has it owns the account.
func (p *program) offerSetup(ctx context.Context, b *backend, server string) error {
	address, until, err := b.setup.Offer(ctx, server)
	if fault.KindOf(err) == fault.Conflict || ctx.Err() != nil {
		return nil //nolint:nilerr // there is an account, or it is time to stop
	}
	if err != nil {
		return fmt.Errorf("offer to make the first account: %w", err)
	}
	type offer struct {
		SetupURL  string    `json:"setupUrl"`
		ExpiresAt time.Time `json:"expiresAt"`
	}
	return p.printed(offer{address, until}, address+"\n", func() {
		p.say("There is no account yet. Open the link above in a browser to make the first one. It works once, until %s; a restart prints another.",
			until.Format(time.RFC3339))
	})
}

// mailing does what sign-ins put off, such as mails, until the function that it
// returns is called.
func mailing(ctx context.Context, b *backend) (stop func()) {
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
