package httpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/config"
	"latchkey/internal/gateway/routes"
	"latchkey/internal/httpserver/connlimit"
	"latchkey/internal/leaks"
	"latchkey/internal/secret"
)

// Verifier verifies secrets. It is access.Verifier, whose methods document
// their errors.
type Verifier interface {
	Verify(ctx context.Context, presented string, origin auth.Origin) (*access.Record, error)
	Inspect(ctx context.Context, presented string, origin auth.Origin) (*access.Record, error)
	VerifyGateway(ctx context.Context, presented string, origin auth.Origin) (*access.Record, error)
	VerifyBasic(ctx context.Context, storeHash, username, token string, origin auth.Origin) (*access.Record, error)
	Store(ctx context.Context, hash string) (*access.Store, error)
}

// Traces records spans. See tracing.Tracing for its methods.
type Traces interface {
	// Provider returns nil if no spans are recorded.
	Provider() trace.TracerProvider
	Propagator() propagation.TextMapPropagator
}

// Config configures a Server.
type Config struct {
	// Public and Admin are open listeners (see Listen). The server closes them.
	Public, Admin net.Listener
	// Limits apply to each request. All must be positive.
	Limits config.HTTP
	// Connections limits the open connections of the public listener.
	Connections config.Connections
	// Rates limit how often callers may make requests.
	Rates config.Rates
	// Legacy has the dates in responses to requests with HTTP Basic.
	Legacy config.Legacy
	// TrustedProxies are the proxies whose forwarding headers are trusted.
	TrustedProxies []netip.Prefix
	// GatewayAddresses are the addresses of gateways that need no key.
	GatewayAddresses []netip.Prefix
	// CORSOrigins are the origins of web pages that may call the Account API from
	// a browser.
	CORSOrigins []string
	// Routes are the scopes that the APIs behind gateways require.
	Routes *routes.Table
	// HTTPS reports whether clients reach the public URL over TLS.
	HTTPS bool
	// TLS has the settings of the public listener; nil means plain HTTP. It must
	// provide certificates.
	TLS *tls.Config
	// GatewayCert reports whether the certificate of a gateway's connection is
	// accepted. If nil, gateways need none.
	GatewayCert func(*tls.ConnectionState) bool
	// Delay is how long both listeners keep serving after a stop begins, so
	// that load balancers notice that the server is not ready. It may be zero.
	Delay time.Duration
	// Grace is how long requests in flight may take to finish after that.
	Grace time.Duration

	// PublicURL is the URL of the public listener, without a trailing slash.
	PublicURL string

	Verifier Verifier
	// OAuth authenticates and serves the clients of API tokens.
	OAuth OAuth
	// Canary is the name of the gateway keys that canaries use; empty for none.
	Canary string
	// LeakReports configures the endpoint for reports of leaked secrets.
	LeakReports LeakReports
	// Scopes returns the scopes listed in the OAuth metadata; nil lists none.
	Scopes func() []string
	// API serves the Account API for the principal in the context.
	API http.Handler
	// Panel serves the control panel; nil disables it.
	Panel Panel
	// WriteError writes an error response in the format of the API.
	WriteError func(http.ResponseWriter, *http.Request, error)
	// SCIM serves the SCIM API for the principal in the context, with the path
	// below the API's as path value "resource"; nil disables it. WriteSCIMError
	// writes an error response in the format of SCIM.
	SCIM           http.Handler
	WriteSCIMError func(http.ResponseWriter, *http.Request, error)
	// Silent reports whether the database has answered nothing for that long.
	// Requests that wait for it are then canceled. If nil, none is.
	Silent func(time.Duration) bool
	// Checks are the conditions of readiness.
	Checks []Check
	// Collectors are additional metrics to expose.
	Collectors []prometheus.Collector
	// Traces records the requests of the public listener; nil records none.
	Traces Traces
	// Profiles makes the admin listener serve profiles of the process.
	Profiles bool
	Log      *slog.Logger
}

// Server serves the public and the admin listener.
type Server struct {
	public, admin *http.Server
	listeners     [2]net.Listener
	connections   *connlimit.Limiter
	delay, grace  time.Duration
	stopping      *atomic.Bool
	rates         *rates
	routes        *atomic.Pointer[routes.Table]
	scanners      *atomic.Pointer[leaks.Keys]
	log           *slog.Logger
}

// Listen listens on a TCP address. It turns Multipath TCP off: blockConnections
// does not work on such sockets.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	var l net.ListenConfig
	l.SetMultipathTCP(false)
	return l.Listen(ctx, "tcp", address)
}

// New returns a server that is not serving yet. It returns an error if a limit
// is missing, because net/http treats zero as no limit.
func New(c Config) (*Server, error) {
	l := c.Limits
	if l.MaxBody <= 0 || l.MaxHeader <= 0 || min(l.ReadTimeout, l.WriteTimeout, l.IdleTimeout, l.RequestTimeout,
		c.Grace) <= 0 {
		return nil, errors.New("make HTTP server: a limit is missing")
	}
	m := newMetrics(c.Collectors)
	rates, err := newRates(c.Rates, m, c.Log)
	if err != nil {
		return nil, err
	}
	public := newPublic(c, m, rates)
	clients, connections := newServer(c, public), newConnections(c, m)
	clients.ConnState = connections.ConnState
	if c.TLS != nil {
		clients.TLSConfig, clients.ErrorLog = reportHello(c.TLS, connections), log.New(&handshakeLog{log: c.Log}, "", 0)
		// A frame takes its whole size in memory as soon as its first bytes arrive: 1 MB by default.
		clients.HTTP2 = &http.HTTP2Config{MaxReadFrameSize: smallestFrames}
	}
	return &Server{
		connections: connections,
		public:      clients,
		admin:       newServer(c, newAdmin(c, m, &public.stopping)),
		listeners:   [2]net.Listener{c.Public, c.Admin},
		delay:       c.Delay, grace: c.Grace, stopping: &public.stopping, rates: rates,
		routes: public.routes, scanners: &public.scanners, log: c.Log,
	}, nil
}

// UseRoutes replaces the routes of the APIs behind gateways, for requests that
// begin after that. It is safe for concurrent use.
func (s *Server) UseRoutes(t *routes.Table) { s.routes.Store(t) }

// UseScanners replaces the keys of secret scanners, for reports that arrive after
// that. It is safe for concurrent use.
func (s *Server) UseScanners(k *leaks.Keys) { s.scanners.Store(k) }

// Issued records that this process has issued a credential, such as an access
// token or a session. The credential is then verified even from an address with
// too many failures. It is safe for concurrent use.
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

// Run serves until ctx ends or a listener fails, and then shuts down: it
// reports not ready but serves for Delay, then accepts no more connections and
// waits for requests in flight. It returns nil if all of them finished within
// Grace.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, 2)
	go func() {
		limited := s.connections.Listener(s.listeners[0])
		if s.public.TLSConfig == nil {
			failed <- s.public.Serve(limited)
			return
		}
		failed <- s.public.ServeTLS(limited, "", "")
	}()
	go func() { failed <- s.admin.Serve(s.listeners[1]) }()
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

// stop shuts down the public server first, so that the admin server can report
// it.
func (s *Server) stop(ctx context.Context) error {
	s.stopping.Store(true)
	s.log.InfoContext(ctx, "stopping", "delay", s.delay.String(), "grace", s.grace.String())
	time.Sleep(s.delay)
	if err := blockConnections(s.listeners[0]); err != nil {
		s.log.WarnContext(ctx, "cannot block new connections before the listener closes", "error", err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.grace)
	defer cancel()
	err := s.public.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests were aborted after %s: %w", s.grace, err), s.public.Close())
	}
	return errors.Join(err, s.admin.Close())
}
