package httpserver

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/gateway/routes"
)

// The headers in which a gateway authenticates and describes the client's
// request: those that are common with nginx, and those of Caddy and Traefik.
// Names are in canonical form.
const (
	gatewayHeader   = "X-Latchkey-Gateway"
	originalURI     = "X-Original-Uri"
	originalMethod  = "X-Original-Method"
	forwardedURI    = "X-Forwarded-Uri"
	forwardedMethod = "X-Forwarded-Method"
)

// gatewayCheck answers gateways.
type gatewayCheck struct {
	*endpoint

	keys *gatewayKeys
	// addresses are those of gateways that need no key.
	addresses []netip.Prefix
	proxies   proxies
	routes    atomic.Pointer[routes.Table]
	// legacy are the headers of responses to requests with HTTP Basic.
	legacy []header
	// keylessLogged limits the log lines of logKeyless.
	keylessLogged minutely
}

// serve answers a gateway that asks whether the client's credential may make
// the client's request (docs/gateway.md). It verifies the gateway first.
// If that fails, the response reveals nothing about the client's credential.
func (g *gatewayCheck) serve(rs *requestState, r *http.Request) {
	ctx := g.bounded(rs, r)
	defer ctx.release()
	if err := g.admit(ctx, rs, r); err != nil { //nolint:contextcheck // the deadline's parent is the request's
		g.refuseGateway(rs, r, err)
		return
	}
	rs.client = g.clientOf(rs.peer, r.Header)
	presented, err := g.permit(ctx, rs, r.Header) //nolint:contextcheck // the deadline's parent is the request's
	if err != nil {
		g.refuse(rs, r, presented, err)
		return
	}
	rs.WriteHeader(http.StatusNoContent)
}

// admit returns fault.Unauthenticated for a caller that is not a gateway: one that presents no valid gateway key and
// whose address is not a gateway's, or that lacks a certificate where gateways must have one.
func (g *gatewayCheck) admit(ctx context.Context, rs *requestState, r *http.Request) error {
	if err := g.keys.certified(ctx, rs, r); err != nil || within(g.addresses, rs.peer) {
		return err
	}
	keys := r.Header[gatewayHeader]
	if len(keys) != 1 {
		rs.reason = "not a gateway"
		g.logKeyless(ctx, rs)
		return fault.Errorf(fault.Unauthenticated,
			"Only gateways may use this endpoint. Send one gateway key in X-Latchkey-Gateway.")
	}
	_, err := g.keys.verify(ctx, rs, keys[0])
	return err
}

// logKeyless logs, at most once a minute, that a client called the endpoint
// without exactly one key. The requests themselves are not logged at level
// info, because they cost the client nothing. An operator whose gateway sends
// no key finds this line.
func (g *gatewayCheck) logKeyless(ctx context.Context, rs *requestState) {
	if g.keylessLogged.due(rs.started) {
		g.log.LogAttrs(ctx, slog.LevelInfo,
			"gateway check without exactly one gateway key; this is logged once a minute at most",
			slog.String("client", addressText(rs.peer)), slog.String("request_id", rs.requestID[0]))
	}
}

// refuseGateway writes the error response for a caller whose gateway key was
// not accepted.
func (g *gatewayCheck) refuseGateway(rs *requestState, r *http.Request, err error) {
	switch fault.KindOf(err) {
	case fault.Unauthenticated, fault.RateLimited:
		// A proxy can tell from this that the error is not about its client.
		rs.Header()["Www-Authenticate"] = challengeGateway
	}
	g.refuse(rs, r, "", err)
}

// clientOf returns the address of the gateway's client: the last entry
// of X-Forwarded-For is the peer that the gateway saw. Without that header it
// returns the zero Addr, which is in no range: the gateway's own address must
// not count as the client's.
func (g *gatewayCheck) clientOf(peer netip.Addr, h http.Header) netip.Addr {
	if len(h["X-Forwarded-For"]) == 0 {
		return netip.Addr{}
	}
	return g.proxies.clientBehind(peer, h)
}

// permit describes the credential of the request in the response headers if
// that credential may make the client's request. It also returns the credential
// as presented, with or without an error.
func (g *gatewayCheck) permit(ctx context.Context, rs *requestState, h http.Header) (presented string, err error) {
	if hasBasicScheme(h) {
		return g.permitBasic(ctx, rs, h)
	}
	record, presented, err := g.authenticate(ctx, rs, h)
	switch fault.KindOf(err) {
	case "":
		err = g.permitToken(ctx, rs, record, h)
	case fault.Invalid:
		err = rs.ambiguous(err)
	}
	return presented, err
}

// ambiguous turns the error for several credentials into a 401 with the reason
// in the challenge (RFC 6750, section 3). The RFC asks for a 400, but proxies
// forward only 401 and 403 to the client and treat any other status as an error
// of the gateway.
func (rs *requestState) ambiguous(err error) error {
	message := fault.Flatten(err)[0].Message
	rs.Header()["Www-Authenticate"] = []string{`Bearer realm="latchkey", error="invalid_request", error_description="` +
		message + `"`}
	return fault.Wrap(err, fault.Unauthenticated, "%s", message)
}

// match returns the route of the request that the gateway describes. It returns
// fault.Forbidden if no route matches.
func (g *gatewayCheck) match(rs *requestState, h http.Header) (routes.Match, error) {
	target, err := rs.singleValue(h[originalURI], h[forwardedURI])
	if err != nil {
		return routes.Match{}, err
	}
	method, err := rs.singleValue(h[originalMethod], h[forwardedMethod])
	if err != nil {
		return routes.Match{}, err
	}
	match, ok := g.routes.Load().Match(method, target)
	if !ok {
		return routes.Match{}, rs.deny("no route")
	}
	return match, nil
}

// permitToken describes the token in the response headers if it may make the
// client's request. Otherwise it returns fault.Forbidden. If only a scope is
// missing, it names the scope in the WWW-Authenticate header.
func (g *gatewayCheck) permitToken(ctx context.Context, rs *requestState, record *access.Record, h http.Header) error {
	match, err := g.match(rs, h)
	if err != nil {
		return err
	}
	if who := &record.Principal; who.Kind != auth.APIToken {
		return rs.deny("not an API token") // users' sessions are for the Account API
	}
	reached, err := g.reaches(ctx, record, match.Store)
	if err != nil {
		return err
	}
	if !reached {
		return rs.deny("store")
	}
	if missing := match.Missing(record.Principal.Scopes); missing != "" {
		// RFC 6750, section 3.1. A scope has no characters that need quoting
		// (RFC 6749, section 3.3).
		rs.Header()["Www-Authenticate"] = []string{`Bearer realm="latchkey", error="insufficient_scope", scope="` +
			missing + `"`}
		return rs.deny("scope", missing)
	}
	rs.describe(record, match.Store)
	return nil
}

// deny records the reason for the log and returns the error for the client.
func (rs *requestState) deny(reason string, missing ...string) error {
	rs.reason = reason
	return auth.Denied(missing...)
}

// singleValue returns the value of the gateway's headers. All of them must have
// the same value, because a client may have sent the other header itself. It
// returns fault.Invalid if there is none.
func (rs *requestState) singleValue(original, forwarded []string) (string, error) {
	single := ""
	for _, values := range [2][]string{original, forwarded} {
		for _, value := range values {
			if single != "" && value != single {
				return "", rs.deny("headers differ")
			}
			single = value
		}
	}
	if single == "" {
		return "", fault.Errorf(fault.Invalid,
			"The gateway does not describe the client's request. It must send X-Original-URI and X-Original-Method, or X-Forwarded-Uri and X-Forwarded-Method.")
	}
	return single, nil
}

// reaches reports whether an API token works in the store.
func (g *gatewayCheck) reaches(ctx context.Context, record *access.Record, hash string) (bool, error) {
	if record.Principal.StoreID != uuid.Nil {
		return record.StoreHash == hash, nil // no token of a suspended store works at all
	}
	store, err := g.verifier.Store(ctx, hash)
	if fault.KindOf(err) == fault.NotFound {
		return false, nil
	}
	return err == nil && store.AccountID == record.Principal.AccountID && !store.Suspended, err
}

// legacyKind is the header of legacy API accounts. API tokens, which are nearly
// all credentials, do without it: each header costs as much as the lookup.
var legacyKind = []string{string(auth.LegacyAccount)}

// describe describes the credential in the response headers, for the servers behind
// the gateway.
func (rs *requestState) describe(record *access.Record, hash string) {
	rs.gatewayHeaders = [4]string{record.AccountText, hash, record.IDText, record.ScopeText}
	h := rs.Header()
	h["X-Latchkey-Account"] = rs.gatewayHeaders[0:1:1]
	h["X-Latchkey-Store"] = rs.gatewayHeaders[1:2:2]
	h["X-Latchkey-Token"] = rs.gatewayHeaders[2:3:3]
	h["X-Latchkey-Scopes"] = rs.gatewayHeaders[3:4:4]
	if record.Principal.Kind == auth.LegacyAccount {
		h["X-Latchkey-Kind"] = legacyKind
	}
}
