package httpserver

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/storeapi"
)

// The headers in which gateways say who they are and what is wanted: the ones
// that are usual with nginx, and those of Caddy and Traefik. Names are in
// canonical form.
const (
	gatewayHeader   = "X-Latchkey-Gateway"
	originalURI     = "X-Original-Uri"
	originalMethod  = "X-Original-Method"
	forwardedURI    = "X-Forwarded-Uri"
	forwardedMethod = "X-Forwarded-Method"
)

// gatewayCheck answers a gateway's question whether the client's credential
// may do what the client wants (docs/gateway.md). What is wrong with the
// gateway is told first, and then nothing of the client's credential.
func (p *public) gatewayCheck(x *exchange, r *http.Request) {
	ctx := p.bounded(x, r)
	defer ctx.release()
	if err := p.admitGateway(ctx, x, r.Header); err != nil { //nolint:contextcheck // the deadline's parent is the request's
		p.refuseGateway(x, r, err)
		return
	}
	x.client = p.clientOfGateway(x.peer, r.Header)
	presented, err := p.permit(ctx, x, r.Header) //nolint:contextcheck // the deadline's parent is the request's
	if err != nil {
		p.refuse(x, r, presented, err)
		return
	}
	x.WriteHeader(http.StatusNoContent)
}

// admitGateway returns fault.Unauthenticated for whoever is no gateway: shows
// no key that works, and does not ask from a gateway's address.
func (p *public) admitGateway(ctx context.Context, x *exchange, h http.Header) error {
	if within(p.GatewayAddresses, x.peer) {
		return nil
	}
	keys := h[gatewayHeader]
	if len(keys) != 1 {
		x.why = "not a gateway"
		p.tellKeyless(ctx, x)
		return fault.Errorf(fault.Unauthenticated, "Only gateways may ask. Send one key of a gateway in X-Latchkey-Gateway.")
	}
	_, err := p.judgeGateway(ctx, x, keys[0])
	return err
}

// tellKeyless logs, once a minute, that somebody asks without one key. The
// requests themselves have no line at info, since they are free for anybody;
// but who has set a gateway up without its key should find that here.
func (p *public) tellKeyless(ctx context.Context, x *exchange) {
	if p.keylessTold.due(x.started) {
		p.Log.LogAttrs(ctx, slog.LevelInfo, "a check was asked for without one gateway's key; this is said once a minute",
			slog.String("client", addressText(x.peer)), slog.String("request_id", x.requestID[0]))
	}
}

// judgeGateway returns the record of a gateway's key. It returns
// fault.Unauthenticated for one that does not work; those are counted as any
// other credential.
func (p *public) judgeGateway(ctx context.Context, x *exchange, key string) (*access.Record, error) {
	if err := p.rates.admit(ctx, x, key); err != nil {
		return nil, err
	}
	record, err := p.Verifier.Gateway(ctx, key, x.origin())
	refused := fault.KindOf(err) == fault.Unauthenticated
	switch {
	case err == nil && p.Canary != "" && record.Principal.Name == p.Canary:
		p.canaries.worked(key)
	case refused && p.canaries.knows(key):
		x.why = whyCanary
		return nil, err
	}
	p.rates.judged(x, key, err)
	if refused {
		p.verified(x, key, err)
		return nil, errGatewayKey.Because(err)
	}
	return record, err
}

// stillGateway is judgeGateway once the body of the gateway's request has
// arrived: the key may have been revoked meanwhile. It counts nothing.
func (p *public) stillGateway(ctx context.Context, x *exchange, key string) error {
	_, err := p.Verifier.Gateway(ctx, key, x.origin())
	switch {
	case fault.KindOf(err) != fault.Unauthenticated:
		return err
	case p.canaries.knows(key):
		x.why = whyCanary
		return err
	}
	p.verified(x, key, err)
	return errGatewayKey.Because(err)
}

var errGatewayKey = fault.Errorf(fault.Unauthenticated, "The gateway's key is unknown or does not work any more.")

// refuseGateway answers whoever is no gateway, or not known to be one.
func (p *public) refuseGateway(x *exchange, r *http.Request, err error) {
	switch fault.KindOf(err) {
	case fault.Unauthenticated, fault.RateLimited:
		// By this a proxy tells that its client is not meant.
		x.Header()["Www-Authenticate"] = challengeGateway
	}
	p.refuse(x, r, "", err)
}

// clientOfGateway is the address of the client for whom the gateway asks: the
// last entry of X-Forwarded-For is what the gateway saw. Where there is none
// the client's address is unknown, which is within no range: the gateway's own
// must not stand for it.
func (p *public) clientOfGateway(peer netip.Addr, h http.Header) netip.Addr {
	if len(h["X-Forwarded-For"]) == 0 {
		return netip.Addr{}
	}
	return p.clientBehind(peer, h)
}

// permit says in the answer's header whose credential the request presents, if
// that may do what is wanted. It returns what was presented whatever comes of
// it.
func (p *public) permit(ctx context.Context, x *exchange, h http.Header) (presented string, err error) {
	if triesBasic(h) {
		return p.permitBasic(ctx, x, h)
	}
	record, presented, err := p.authenticate(ctx, x, h)
	switch fault.KindOf(err) {
	case "":
		err = p.permitToken(ctx, x, record, h)
	case fault.Invalid:
		err = x.ambiguous(err)
	}
	return presented, err
}

// ambiguous makes a 401 of the refusal to choose among credentials, and says
// why in the challenge (RFC 6750, section 3). The RFC would have a 400, but
// proxies take a 401 and a 403 alone for the client's fault, and any other
// status for the gateway's.
func (x *exchange) ambiguous(err error) error {
	message := fault.Flatten(err)[0].Message
	x.Header()["Www-Authenticate"] = []string{`Bearer realm="latchkey", error="invalid_request", error_description="` + message + `"`}
	return fault.Wrap(err, fault.Unauthenticated, "%s", message)
}

// match returns what the gateway says is wanted. It returns fault.Forbidden
// for what no route names.
func (p *public) match(x *exchange, h http.Header) (storeapi.Match, error) {
	target, err := x.wanted(h[originalURI], h[forwardedURI])
	if err != nil {
		return storeapi.Match{}, err
	}
	method, err := x.wanted(h[originalMethod], h[forwardedMethod])
	if err != nil {
		return storeapi.Match{}, err
	}
	match, ok := p.Routes.Match(method, target)
	if !ok {
		return storeapi.Match{}, x.deny("no route")
	}
	return match, nil
}

// permitToken says in the answer's header whose the record is, if that may do
// what is wanted. Otherwise it returns fault.Forbidden, and has named the
// missing scope in the header if nothing else is missing.
func (p *public) permitToken(ctx context.Context, x *exchange, record *access.Record, h http.Header) error {
	match, err := p.match(x, h)
	if err != nil {
		return err
	}
	if who := &record.Principal; who.Kind != auth.APIToken {
		return x.deny("not an API token") // people's sessions are for the Account API
	}
	reached, err := p.reaches(ctx, record, match.Store)
	if err != nil {
		return err
	}
	if !reached {
		return x.deny("store")
	}
	if missing := match.Missing(record.Principal.Scopes); missing != "" {
		// RFC 6750, section 3.1. No scope has characters that would have to be
		// quoted (RFC 6749, section 3.3).
		x.Header()["Www-Authenticate"] = []string{`Bearer realm="latchkey", error="insufficient_scope", scope="` + missing + `"`}
		return x.deny("scope", missing)
	}
	x.tell(record, match.Store)
	return nil
}

// deny notes for the log why a request is refused, and returns what its client
// is told.
func (x *exchange) deny(why string, missing ...string) error {
	x.why = why
	return auth.Denied(missing...)
}

// wanted returns what the gateway's headers say, in either of two: all that
// they say must be the same, since a client may have sent the other one. It
// returns fault.Invalid where they say nothing.
func (x *exchange) wanted(original, forwarded []string) (string, error) {
	said := ""
	for _, values := range [2][]string{original, forwarded} {
		for _, value := range values {
			if said != "" && value != said {
				return "", x.deny("headers differ")
			}
			said = value
		}
	}
	if said == "" {
		return "", fault.Errorf(fault.Invalid,
			"The gateway does not say what is wanted. It must send X-Original-URI and X-Original-Method, or X-Forwarded-Uri and X-Forwarded-Method.")
	}
	return said, nil
}

// reaches says whether an API token works in the store.
func (p *public) reaches(ctx context.Context, record *access.Record, hash string) (bool, error) {
	if record.Principal.StoreID != uuid.Nil {
		return record.StoreHash == hash, nil // no token of a suspended store works at all
	}
	store, err := p.Verifier.Store(ctx, hash)
	if fault.KindOf(err) == fault.NotFound {
		return false, nil
	}
	return err == nil && store.AccountID == record.Principal.AccountID && !store.Suspended, err
}

// legacyKind is the header that legacy API accounts have. API tokens, which
// are nearly all, do without: each header costs as much as the look-up.
var legacyKind = []string{string(auth.LegacyAccount)}

// tell says in the answer's header what was found, for the servers behind the
// gateway.
func (x *exchange) tell(record *access.Record, hash string) {
	x.found = [4]string{record.AccountText, hash, record.IDText, record.ScopeText}
	h := x.Header()
	h["X-Latchkey-Account"] = x.found[0:1:1]
	h["X-Latchkey-Store"] = x.found[1:2:2]
	h["X-Latchkey-Token"] = x.found[2:3:3]
	h["X-Latchkey-Scopes"] = x.found[3:4:4]
	if record.Principal.Kind == auth.LegacyAccount {
		h["X-Latchkey-Kind"] = legacyKind
	}
}
