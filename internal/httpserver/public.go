package httpserver

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"latchkey/internal/bulkhead"
	"latchkey/internal/fault"
	"latchkey/internal/gateway/routes"
	"latchkey/internal/leaks"
)

// route is a mux pattern and the methods that it accepts.
type route struct {
	pattern string
	methods []string
	serve   func(*requestState, *http.Request)
	metrics *routeMetrics
	// quiet reports that successful requests are logged at level debug.
	quiet bool
	// oauth and scim report that errors have the format of OAuth or SCIM, not of
	// the API.
	oauth, scim bool
	// cors lets pages of other origins call the route; nil lets none.
	cors *cors
}

// public is the handler of the public listener. Its routes are served by the
// Account API, the gateway check, the OAuth endpoints and the pages.
type public struct {
	mux     *http.ServeMux
	account *route // of the Account API
	check   *route // of gateways
	// routes are those of check, which can be replaced.
	routes *atomic.Pointer[routes.Table]
	// scanners are the keys of secret scanners, which can be replaced.
	scanners  atomic.Pointer[leaks.Keys]
	unmatched *route
	headers   []header
	metrics   *metrics
	log       *slog.Logger
	spans     *spans // nil while traces are off
	ids       *ids
	proxies   proxies
	// forwardedLogged reports that logForwarded has logged its warning.
	forwardedLogged atomic.Bool
	// stopping reports that the server is shutting down: it still serves
	// requests but asks clients not to reuse their connections.
	stopping atomic.Bool
}

func newPublic(c Config, m *metrics, r *rates) *public {
	p := &public{
		mux: http.NewServeMux(), headers: securityHeaders(c.HTTPS), metrics: m, log: c.Log, ids: newIDs(),
		proxies: c.TrustedProxies, spans: newSpans(c),
	}
	e := &endpoint{
		verifier: c.Verifier, rates: r, metrics: m, limits: c.Limits, silent: c.Silent, writeError: c.WriteError,
		log: c.Log,
	}
	api := &accountAPI{endpoint: e, next: c.API, large: bulkhead.New(largeBodies)}
	keys := &gatewayKeys{endpoint: e, canary: c.Canary, cert: c.GatewayCert}
	check := &gatewayCheck{
		endpoint: e, keys: keys, addresses: c.GatewayAddresses, proxies: c.TrustedProxies,
		legacy: legacyHeaders(c.Legacy),
	}
	check.routes.Store(c.Routes)
	p.routes = &check.routes
	server := &oauthServer{e, c.OAuth}
	p.account = p.handle(accountPrefix+"{account_uuid}"+accountSuffix, api.serve, http.MethodGet, http.MethodPost)
	p.account.cors = newCORS(c.CORSOrigins)
	p.check = p.handle("/gateway/check", check.serve)
	p.check.quiet = true
	if c.SCIM != nil {
		p.handleSCIM(api, c.SCIM, c.WriteSCIMError)
	}
	if c.LeakReports.Leaks != nil {
		p.handle(leaksPath, newLeakEndpoint(e, c.LeakReports, &p.scanners).serve, http.MethodPost)
	}
	p.handleOAuth(server, &introspection{server, keys, c.PublicURL}, newMetadata(c.PublicURL, c.Scopes))
	p.handlePanel(&pages{e, c.Panel})
	return p
}

// handle registers a route. Without methods it accepts all.
func (p *public) handle(pattern string, serve func(*requestState, *http.Request), methods ...string) *route {
	rt := &route{pattern: pattern, methods: methods, serve: serve, metrics: p.metrics.route(pattern)}
	p.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		rs, ok := w.(*requestState)
		if !ok {
			panic("httpserver: a route was reached past ServeHTTP")
		}
		rt.answer(rs, r)
	})
	return rt
}

func (p *public) handleOAuth(o *oauthServer, i *introspection, m metadata) {
	p.handleForOAuth(tokenPath, o.token, http.MethodPost)
	p.handleForOAuth(introspectPath, i.serve, http.MethodPost).quiet = true
	p.handleForOAuth(revokePath, o.revoke, http.MethodPost)
	for _, path := range m.paths() {
		p.handleForOAuth(path, m.serve, http.MethodGet, http.MethodHead)
	}
	for _, below := range []string{"/oauth2", "/oauth2/"} {
		p.handleForOAuth(below, func(rs *requestState, _ *http.Request) {
			rs.problem(http.StatusNotFound, fault.NotFound,
				"There is nothing at this address. POST to "+tokenPath+", "+introspectPath+" or "+revokePath+".")
		})
	}
}

// handleForOAuth registers a route whose errors have the format of OAuth.
func (p *public) handleForOAuth(pattern string, serve func(*requestState, *http.Request), methods ...string) *route {
	rt := p.handle(pattern, serve, methods...)
	rt.oauth = true
	return rt
}

// handlePanel registers the pages of the panel. An unknown path is a page, too,
// for a client that accepts HTML.
func (p *public) handlePanel(all *pages) {
	p.unmatched = p.handle("/", all.unknownPath)
	if all.panel == nil {
		return
	}
	for _, pattern := range all.panel.Patterns() {
		p.handle(pattern, all.serve).quiet = strings.HasPrefix(pattern, "/static/")
	}
}

// answer serves a request if the route accepts its method.
func (rt *route) answer(rs *requestState, r *http.Request) {
	rs.route = rt
	if rt.cors != nil && rt.cors.answer(rs, r) {
		return
	}
	if len(rt.methods) > 0 && !slices.Contains(rt.methods, r.Method) {
		rs.Header().Set("Allow", strings.Join(rt.methods, ", "))
		rs.problem(http.StatusMethodNotAllowed, fault.Invalid,
			"This URL supports only "+strings.Join(rt.methods, " and ")+".")
		return
	}
	rt.serve(rs, r)
}

func notFound(rs *requestState, _ *http.Request) {
	rs.problem(http.StatusNotFound, fault.NotFound,
		"There is nothing at this address. The Account API is at /accounts/{account_uuid}/graphql.")
}

// ServeHTTP does the processing that is common to all requests.
func (p *public) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	peer := peerAddress(r)
	trusted := p.proxies.trusts(peer)
	rs := requestStates.Get().(*requestState)
	*rs = requestState{ResponseWriter: w, started: time.Now(), route: p.unmatched, peer: peer, client: peer,
		headers: p.headers}
	if trusted {
		rs.client = p.proxies.clientBehind(peer, r.Header)
	} else if r.Header["X-Forwarded-For"] != nil {
		rs.forwarded = true
		p.logForwarded(r.Context(), peer)
	}
	rs.requestID[0] = p.requestID(trusted, r.Header)
	w.Header()[requestIDHeader] = rs.requestID[:] // handlers read it from here
	if p.spans != nil {
		r = p.spans.begin(rs, r, trusted)
	}
	defer p.finish(rs, r)
	if p.stopping.Load() || mayBeSmuggled(r) {
		w.Header()["Connection"] = closeConnection
	}
	if rt, account := p.fastRoute(r.URL); rt != nil {
		rs.account = account
		rt.answer(rs, r)
		return
	}
	p.mux.ServeHTTP(rs, r)
}

// logForwarded warns once about an untrusted peer that sends X-Forwarded-For.
// It may be the operator's proxy; all its clients then share one address.
func (p *public) logForwarded(ctx context.Context, peer netip.Addr) {
	if !p.forwardedLogged.Load() && p.forwardedLogged.CompareAndSwap(false, true) {
		p.log.WarnContext(ctx,
			"X-Forwarded-For is ignored: it comes from an address that is not among --trusted-proxies; "+
				"if it is a proxy of yours, all its clients share one address until you add it", "peer",
			addressText(peer))
	}
}

var closeConnection = []string{"close"}

// mayBeSmuggled reports whether a request may have had both Transfer-Encoding
// and Content-Length. The connection must be closed after the response to such a
// request (RFC 9112, section 6.1). net/http removes the Content-Length, so every
// request with a Transfer-Encoding counts. Of an HTTP/1.0 request it removes the
// Transfer-Encoding, so every such request counts.
func mayBeSmuggled(r *http.Request) bool { return len(r.TransferEncoding) > 0 || !r.ProtoAtLeast(1, 1) }

// The path of the Account API is the account's UUID between these two.
const (
	accountPrefix = "/accounts/"
	accountSuffix = "/graphql"
)

// fastRoute returns the route of the most frequent requests, in their canonical
// form, and the account in the path. The mux would find the same route but is
// slower. It handles all other paths.
func (p *public) fastRoute(u *url.URL) (rt *route, account string) {
	const length = len("00000000-0000-0000-0000-000000000000")
	path := u.Path
	switch {
	case u.RawPath != "":
		return nil, ""
	case path == p.check.pattern:
		return p.check, ""
	case len(path) != len(accountPrefix)+length+len(accountSuffix) || !strings.HasPrefix(path, accountPrefix) ||
		!strings.HasSuffix(path, accountSuffix):
		return nil, ""
	}
	account = path[len(accountPrefix):][:length]
	if strings.Contains(account, "/") {
		return nil, ""
	}
	return p.account, account
}

// finish recovers a panic of the handler and logs the request.
func (p *public) finish(rs *requestState, r *http.Request) {
	switch panicked := recover(); panicked {
	case nil:
	case http.ErrAbortHandler: // the handler has logged the reason
		rs.broken = true
	default:
		p.panicked(rs, r, panicked)
	}
	if rs.status == 0 {
		rs.WriteHeader(http.StatusOK)
	}
	took := time.Since(rs.started)
	rs.route.metrics.observe(rs.status, took)
	rs.log(r.Context(), p.log, r.Method, took)
	if rs.span != nil {
		p.spans.end(rs, r.Method)
	}
	broken := rs.broken
	*rs = requestState{} // a handler that still uses it fails, and no data of the request stays in the pool
	requestStates.Put(rs)
	if broken {
		// Part of the response was sent. Aborting the connection shows the client that it is incomplete.
		panic(http.ErrAbortHandler)
	}
}

// panicked logs a panic and writes the error response. The value may contain
// secrets, so only the text of runtime errors is logged.
func (p *public) panicked(rs *requestState, r *http.Request, value any) {
	what := fmt.Sprintf("a value of type %T", value)
	if err, ok := value.(runtime.Error); ok {
		what = err.Error()
	}
	p.log.LogAttrs(r.Context(), slog.LevelError, "handler panicked", slog.String("panic", what),
		slog.String("request_id", rs.requestID[0]), slog.String("route", rs.route.pattern),
		slog.String("stack", string(debug.Stack())))
	if rs.status != 0 {
		rs.broken = true
		return
	}
	rs.problem(http.StatusInternalServerError, fault.Internal, fault.Flatten(fmt.Errorf("panic"))[0].Message)
}
