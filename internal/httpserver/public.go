package httpserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// route is a pattern of the mux with the methods that it answers.
type route struct {
	pattern string
	methods []string
	serve   func(*exchange, *http.Request)
	metrics *routeMetrics
	// quiet says that good answers are no news: their lines are for debugging.
	quiet bool
	// oauth says that errors have the form of OAuth, not of the API.
	oauth bool
}

// public is the handler of the public listener.
type public struct {
	Config
	mux     *http.ServeMux
	account *route // of the Account API
	check   *route // of gateways
	headers []header
	metrics *metrics
	rates   *rates
	ids     *ids
	// canaries are told from others whose keys are refused.
	canaries canaries
	// keylessTold limits what tellKeyless logs.
	keylessTold minutely
	// legacy are headers of answers to whoever presents HTTP Basic.
	legacy    []header
	unmatched *route
	// forwardedTold says that tellForwarded has been called.
	forwardedTold atomic.Bool
	// stopping says that the server stops: it serves, and wants no connection
	// to be used again.
	stopping atomic.Bool
}

func newPublic(c Config, m *metrics, r *rates) *public {
	p := &public{Config: c, mux: http.NewServeMux(), headers: securityHeaders(c.HTTPS), metrics: m, rates: r, ids: newIDs(), legacy: legacyHeaders(c.Legacy)}
	p.account = p.handle(accountPrefix+"{account_uuid}"+accountSuffix, p.api, http.MethodGet, http.MethodPost)
	p.check = p.handle("/gateway/check", p.gatewayCheck)
	p.check.quiet = true
	p.handleOAuth()
	p.handlePanel()
	return p
}

// handle makes a route; without methods it answers all.
func (p *public) handle(pattern string, serve func(*exchange, *http.Request), methods ...string) *route {
	rt := &route{pattern: pattern, methods: methods, serve: serve, metrics: p.metrics.route(pattern)}
	p.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		x, ok := w.(*exchange)
		if !ok {
			panic("httpserver: a route was reached past ServeHTTP")
		}
		rt.answer(x, r)
	})
	return rt
}

// answer serves a request, if it is of one of the route's methods.
func (rt *route) answer(x *exchange, r *http.Request) {
	x.route = rt
	if len(rt.methods) > 0 && !slices.Contains(rt.methods, r.Method) {
		x.Header().Set("Allow", strings.Join(rt.methods, ", "))
		x.problem(http.StatusMethodNotAllowed, fault.Invalid, "This address answers "+strings.Join(rt.methods, " and ")+" only.")
		return
	}
	rt.serve(x, r)
}

func notFound(x *exchange, _ *http.Request) {
	x.problem(http.StatusNotFound, fault.NotFound, "There is nothing at this address. The Account API is at /accounts/{account_uuid}/graphql.")
}

// ServeHTTP sees to everything that is the same for every request.
func (p *public) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	peer := peerAddress(r)
	trusted := p.trusts(peer)
	x := exchanges.Get().(*exchange)
	*x = exchange{ResponseWriter: w, started: time.Now(), route: p.unmatched, peer: peer, client: peer, always: p.headers}
	if trusted {
		x.client = p.clientBehind(peer, r.Header)
	} else if r.Header["X-Forwarded-For"] != nil {
		x.forwarded = true
		p.tellForwarded(r.Context(), peer)
	}
	x.requestID[0] = p.requestID(trusted, r.Header)
	w.Header()[requestIDHeader] = x.requestID[:] // where handlers look for it
	defer p.finish(x, r)
	if p.stopping.Load() || mayBeSmuggled(r) {
		w.Header()["Connection"] = closeConnection
	}
	if rt, account := p.straight(r.URL); rt != nil {
		x.account = account
		rt.answer(x, r)
		return
	}
	p.mux.ServeHTTP(x, r)
}

// tellForwarded warns, once, of a peer whose X-Forwarded-For is not believed. It
// may be the operator's proxy, and then all its clients have one address.
func (p *public) tellForwarded(ctx context.Context, peer netip.Addr) {
	if !p.forwardedTold.Load() && p.forwardedTold.CompareAndSwap(false, true) {
		p.Log.WarnContext(ctx, "X-Forwarded-For is ignored: it comes from an address that is not among --trusted-proxies; "+
			"if it is a proxy of yours, all its clients share one address until you add it", "peer", addressText(peer))
	}
}

var closeConnection = []string{"close"}

// mayBeSmuggled reports whether a request may have had both Transfer-Encoding
// and Content-Length. The connection must be closed after the answer to one
// that had (RFC 9112, section 6.1). net/http removes the Content-Length, so
// that every request with a Transfer-Encoding is taken for one.
func mayBeSmuggled(r *http.Request) bool { return len(r.TransferEncoding) > 0 }

// An address of the Account API is the account's UUID between these.
const (
	accountPrefix = "/accounts/"
	accountSuffix = "/graphql"
)

// straight returns the route of what machines ask all the time, as they write
// it, and the account in the path. The mux would find the same, and takes
// longer; what is written in any other way is left to it.
func (p *public) straight(u *url.URL) (rt *route, account string) {
	const length = len("00000000-0000-0000-0000-000000000000")
	path := u.Path
	switch {
	case u.RawPath != "":
		return nil, ""
	case path == p.check.pattern:
		return p.check, ""
	case len(path) != len(accountPrefix)+length+len(accountSuffix) || !strings.HasPrefix(path, accountPrefix) || !strings.HasSuffix(path, accountSuffix):
		return nil, ""
	}
	account = path[len(accountPrefix):][:length]
	if strings.Contains(account, "/") {
		return nil, ""
	}
	return p.account, account
}

// finish answers for a handler that panicked, and records the request.
func (p *public) finish(x *exchange, r *http.Request) {
	switch panicked := recover(); panicked {
	case nil:
	case http.ErrAbortHandler: // which the handler said what of there is to say
		x.broken = true
	default:
		p.panicked(x, r, panicked)
	}
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	took := time.Since(x.started)
	x.route.metrics.observe(x.status, took)
	x.record(r.Context(), p.Log, r.Method, took)
	broken := x.broken
	*x = exchange{} // whoever still uses it shall notice, and nothing of the request stays
	exchanges.Put(x)
	if broken {
		// Part of an answer is out: nobody must take it for a whole one.
		panic(http.ErrAbortHandler)
	}
}

// panicked logs a panic and answers for it. What a handler panicked with may
// hold anything, so only the words of the runtime are repeated.
func (p *public) panicked(x *exchange, r *http.Request, value any) {
	what := fmt.Sprintf("a value of type %T", value)
	if err, ok := value.(runtime.Error); ok {
		what = err.Error()
	}
	p.Log.LogAttrs(r.Context(), slog.LevelError, "handler panicked", slog.String("panic", what),
		slog.String("request_id", x.requestID[0]), slog.String("route", x.route.pattern), slog.String("stack", string(debug.Stack())))
	if x.status != 0 {
		x.broken = true
		return
	}
	x.problem(http.StatusInternalServerError, fault.Internal, fault.Flatten(fmt.Errorf("panic"))[0].Message)
}

// authenticate finds out who presents the request's credential, unless the
// client's address presented too many that do not work. It returns what was
// presented whatever comes of it.
func (p *public) authenticate(ctx context.Context, x *exchange, h http.Header) (record *access.Record, presented string, err error) {
	presented, err = credential(h)
	if limited := p.rates.admit(ctx, x, presented); limited != nil {
		return nil, presented, limited
	}
	if err == nil {
		record, err = p.look(ctx, presented, x.origin())
	}
	p.judged(x, presented, err)
	if err != nil {
		return nil, presented, err
	}
	x.principal = &record.Principal
	return record, presented, nil
}

// look is Verifier.Look for everything but the control panel, whose alone the
// session of a browser is: out of its cookie it would do what the panel asks
// for another proof for.
func (p *public) look(ctx context.Context, presented string, origin auth.Origin) (*access.Record, error) {
	record, err := p.Verifier.Look(ctx, presented, origin)
	if err == nil && record.Method != "" {
		return nil, access.ErrRefused().Because(&access.Refusal{Reason: access.ReasonKind, Of: record.Principal.ID})
	}
	return record, err
}

// Why a request is refused that presents nothing, or more than one thing.
const (
	whyNone    = "no credential"
	whySeveral = "two credentials"
)

// judged hears what came of a credential that was looked at: for the rates,
// the metrics and the request's line in the log.
func (p *public) judged(x *exchange, presented string, err error) {
	p.rates.judged(x, presented, err)
	p.verified(x, presented, err)
}

// verified is judged for a credential whose failure is not its presenter's.
func (p *public) verified(x *exchange, presented string, err error) {
	refusal := access.RefusalIn(err)
	p.metrics.verified(presented, err, refusal)
	switch kind := fault.KindOf(err); {
	case refusal != nil:
		x.why, x.of = string(refusal.Reason), refusal.Of
	case kind == fault.Invalid:
		x.why = whySeveral
	case kind == fault.Unauthenticated && presented == "":
		x.why = whyNone
	case kind == fault.Unauthenticated: // no credential could be made of it
		x.why = string(access.ReasonMalformed)
	}
}

// api authenticates and counts before anything of the request's body is read,
// and hands it on with its principal and its end.
func (p *public) api(x *exchange, r *http.Request) {
	ctx := p.bounded(x, r)
	defer ctx.release()
	_, presented, err := p.authenticate(ctx, x, r.Header) //nolint:contextcheck // the deadline's parent is the request's
	if err == nil {
		err = p.rates.spend(r.Context(), x, x.principal)
	}
	if err != nil {
		x.refused = true
		p.refuse(x, r, presented, err)
		return
	}
	if r.ContentLength > int64(p.Limits.MaxBody) {
		x.tooLarge(p.Limits.MaxBody)
		return
	}
	r.Body = arrived(http.MaxBytesReader(x.ResponseWriter, r.Body, int64(p.Limits.MaxBody)))
	// The body may have taken seconds to arrive: what was revoked meanwhile does
	// not act, and what was narrowed acts as it is now.
	record, err := p.look(ctx, presented, x.origin()) //nolint:contextcheck // the deadline's parent is the request's
	if err != nil {
		x.refused = true
		p.verified(x, presented, err)
		p.refuse(x, r, presented, err)
		return
	}
	x.principal = &record.Principal
	if x.account != "" {
		r.SetPathValue("account_uuid", x.account) // as the mux does
	}
	origin := x.origin()
	verify := func(ctx context.Context) (*auth.Principal, error) {
		record, err := p.look(ctx, presented, origin)
		if err != nil {
			return nil, err
		}
		return record.For(origin, time.Now()), nil
	}
	p.API.ServeHTTP(x, r.WithContext(auth.WithRenewal(ctx, record.For(origin, time.Now()), verify))) //nolint:contextcheck // the deadline's parent is the request's
}

// arrived waits until all of a body is there, or the reason why it is not, and
// returns a body that reads the same.
func arrived(body io.ReadCloser) io.ReadCloser {
	all, err := io.ReadAll(body)
	if err == nil {
		err = io.EOF
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(all), failing{err}), body}
}

// failing is a reader that has nothing but an error.
type failing struct{ err error }

// Read returns the error.
func (f failing) Read([]byte) (int, error) { return 0, f.err }

// refuse answers a request that is not served for its credential's sake.
func (p *public) refuse(x *exchange, r *http.Request, presented string, err error) {
	switch fault.KindOf(err) {
	case fault.Unauthenticated:
		if x.Header()["Www-Authenticate"] == nil {
			x.Header()["Www-Authenticate"] = challenge(presented)
		}
	case fault.Internal:
		level := slog.LevelError
		if errors.Is(err, context.Canceled) { // the client is gone
			level = slog.LevelDebug
		}
		p.Log.LogAttrs(r.Context(), level, "credential could not be verified",
			slog.String("request_id", x.requestID[0]), slog.Any("error", err))
	}
	p.WriteError(x, r, err)
}
