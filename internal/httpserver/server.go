package httpserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/config"
	"latchkey/internal/secret"
	"latchkey/internal/storeapi"
)

// Verifier says whom secrets stand for. It is access.Verifier, whose methods
// say which errors they return.
type Verifier interface {
	Look(ctx context.Context, presented string, origin auth.Origin) (*access.Record, error)
	Gateway(ctx context.Context, presented string, origin auth.Origin) (*access.Record, error)
	VerifyBasic(ctx context.Context, storeHash, username, token string, origin auth.Origin) (*access.Record, error)
	Store(ctx context.Context, hash string) (*access.Store, error)
}

// Config is what a Server is made of.
type Config struct {
	// Public and Admin are open listeners (Listen), which the server closes.
	Public, Admin net.Listener
	// Limits bound each request. All must be positive.
	Limits config.HTTP
	// Rates bound how often requests are made.
	Rates config.Rates
	// Legacy is what answers to whoever presents HTTP Basic say of it.
	Legacy config.Legacy
	// TrustedProxies are whose forwarding headers are believed.
	TrustedProxies []netip.Prefix
	// GatewayAddresses are those of gateways that need no key.
	GatewayAddresses []netip.Prefix
	// Routes are what the APIs behind gateways ask for.
	Routes *storeapi.Table
	// HTTPS says that clients reach the public listener through TLS.
	HTTPS bool
	// Delay is how long both listeners go on serving at stop, so that load
	// balancers notice that the server is not ready. It may be zero.
	Delay time.Duration
	// Grace is how long requests in flight then have to finish.
	Grace time.Duration

	// PublicURL is how clients reach the public listener, without a slash at
	// its end.
	PublicURL string

	Verifier Verifier
	// OAuth serves the clients of API tokens.
	OAuth OAuth
	// Canary is the name of the keys by which canaries ask; empty for none.
	Canary string
	// Scopes are those that the metadata of OAuth lists.
	Scopes []string
	// API answers the Account API for the principal in the context.
	API http.Handler
	// Panel serves people's browsers; nil serves none.
	Panel Panel
	// WriteError answers an error as the API would.
	WriteError func(http.ResponseWriter, *http.Request, error)
	// Checks are what must hold for the server to be ready.
	Checks []Check
	// Collectors are metrics of other parts, shown beside the server's own.
	Collectors []prometheus.Collector
	Log        *slog.Logger
}

// Server serves both listeners.
type Server struct {
	public, admin *http.Server
	listeners     [2]net.Listener
	delay, grace  time.Duration
	stopping      *atomic.Bool
	rates         *rates
	log           *slog.Logger
}

// Listen listens on a TCP address. The listener takes no part in Multipath TCP,
// whose sockets cannot hold off new connections at stop.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	var l net.ListenConfig
	l.SetMultipathTCP(false)
	return l.Listen(ctx, "tcp", address)
}

// New returns a server that serves nothing yet. It returns an error for
// limits that are missing: net/http would take them for no limit at all.
func New(c Config) (*Server, error) {
	l := c.Limits
	if l.MaxBody <= 0 || l.MaxHeader <= 0 || min(l.ReadTimeout, l.WriteTimeout, l.IdleTimeout, l.RequestTimeout, c.Grace) <= 0 {
		return nil, errors.New("make HTTP server: a limit is missing")
	}
	m := newMetrics(c.Collectors)
	rates, err := newRates(c.Rates, m, c.Log)
	if err != nil {
		return nil, err
	}
	public := newPublic(c, m, rates)
	return &Server{
		public:    newServer(c, public),
		admin:     newServer(c, newAdmin(c, m, &public.stopping)),
		listeners: [2]net.Listener{c.Public, c.Admin},
		delay:     c.Delay, grace: c.Grace, stopping: &public.stopping, rates: rates, log: c.Log,
	}, nil
}

// Issued records that this process has issued a credential, such as an access
// token or a session. The limit on failed credentials then lets it in from any
// address from its first use on. It is safe for concurrent use.
func (s *Server) Issued(credential secret.Secret) { s.rates.issued(credential.Reveal()) }

// IssuedClient is Issued for the credentials of an OAuth client.
func (s *Server) IssuedClient(id string, clientSecret secret.Secret) {
	s.rates.issued(clientCredential(id, clientSecret))
}

func newServer(c Config, h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: c.Limits.ReadTimeout,
		ReadTimeout:       c.Limits.ReadTimeout,
		WriteTimeout:      c.Limits.WriteTimeout,
		IdleTimeout:       c.Limits.IdleTimeout,
		MaxHeaderBytes:    c.Limits.MaxHeader,
		ErrorLog:          slog.NewLogLogger(c.Log.Handler(), slog.LevelWarn),
	}
}

// Run serves until ctx ends or a listener fails, and then stops in order: it
// is no longer ready but serves for the delay, takes no more connections, and
// lets the requests in flight finish. It returns nil when all of them did
// within the grace.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, 2)
	for i, server := range []*http.Server{s.public, s.admin} {
		go func() { failed <- server.Serve(s.listeners[i]) }()
	}
	var failure error
	running := 2
	select {
	case <-ctx.Done():
	case err := <-failed:
		running--
		failure = fmt.Errorf("serve: %w", err)
	}
	if failure != nil {
		s.delay = 0
	}
	failure = errors.Join(failure, s.stop(context.WithoutCancel(ctx)))
	for range running {
		if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
			failure = errors.Join(failure, fmt.Errorf("serve: %w", err))
		}
	}
	return failure
}

// stop ends the public server first, so that the admin one can tell of it.
func (s *Server) stop(ctx context.Context) error {
	s.stopping.Store(true)
	s.log.InfoContext(ctx, "stopping", "delay", s.delay.String(), "grace", s.grace.String())
	time.Sleep(s.delay)
	if err := settle(s.listeners[0]); err != nil {
		s.log.WarnContext(ctx, "new connections cannot be held off before the listener closes", "error", err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.grace)
	defer cancel()
	err := s.public.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests were cut off after %s: %w", s.grace, err), s.public.Close())
	}
	return errors.Join(err, s.admin.Close())
}
