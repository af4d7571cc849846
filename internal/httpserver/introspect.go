package httpserver

import (
	"context"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	plainjson "latchkey/graph/plain"
	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
)

// oauthIntrospect is the introspection endpoint (RFC 7662). It answers
// gateways about any token, a client about the tokens of its API token, and a
// token about itself.
func (p *public) oauthIntrospect(x *exchange, r *http.Request) {
	ctx := p.bounded(x, r)
	defer ctx.release()
	record, err := p.introspect(ctx, x, r) //nolint:contextcheck // the deadline's parent is the request's
	switch {
	case err != nil:
		p.oauthProblem(x, r, err)
	case record == nil:
		x.json([]byte(`{"active":false}`))
	default:
		x.json(p.appendActive(make([]byte, 0, 448+len(record.ScopeText)), record))
	}
}

// introspect returns the record of the token that is asked about; nil for one
// that is not live, or not the client's that asks.
func (p *public) introspect(ctx context.Context, x *exchange, r *http.Request) (*access.Record, error) {
	if r.Header[gatewayHeader] == nil && (len(r.Header["Authorization"]) == 0 || triesBasic(r.Header)) {
		return p.introspectForClient(ctx, x, r)
	}
	presented, err := asking(r.Header)
	if err != nil {
		x.why = whySeveral // unless there is none, which challenged knows
		return nil, x.challenged(presented, err)
	}
	gateway := r.Header[gatewayHeader] != nil || strings.HasPrefix(presented, string(secret.GatewayKey))
	if gateway {
		_, err = p.judgeGateway(ctx, x, presented)
	}
	if err != nil {
		return nil, x.challenged(presented, err)
	}
	var f form
	if err := p.readForm(x, r, &f); err != nil {
		return nil, err
	}
	if gateway {
		if err := p.stillGateway(ctx, x, presented); err != nil {
			return nil, x.challenged(presented, err)
		}
	}
	switch token := f.get("token"); {
	case f.get("client_secret") != "":
		return nil, badRequest("The request carries several credentials. Send one.")
	case token == "":
		return nil, errNoToken
	case !gateway:
		return p.introspectItself(ctx, x, presented, token)
	}
	return p.introspected(ctx, x, &f)
}

var errNoToken = badRequest("The parameter token is missing.")

// introspectForClient answers a request whose client authenticates as at the
// token endpoint (RFC 7662, section 2.1): a gateway by its id and key, about
// any token, or the client of an API token, about the tokens of its own.
func (p *public) introspectForClient(ctx context.Context, x *exchange, r *http.Request) (*access.Record, error) {
	var f form
	if err := p.readForm(x, r, &f); err != nil {
		return nil, err
	}
	if len(r.Header["Authorization"]) == 0 && f.get("client_secret") == "" {
		presented, err := asking(r.Header)
		return nil, x.challenged(presented, err)
	}
	c, err := p.clientCredentials(x, r.Header, &f)
	if err != nil {
		return nil, err
	}
	var client *auth.Principal // nil for a gateway
	if c.gatewayKey != "" {
		err = p.authenticateGateway(ctx, x, c)
	} else {
		err = p.authenticateClient(ctx, x, c)
		client = x.principal
	}
	if err != nil {
		return nil, err
	}
	if f.get("token") == "" {
		return nil, errNoToken
	}
	record, err := p.introspected(ctx, x, &f)
	if client != nil && record != nil && (record.Principal.Kind != auth.APIToken || record.Principal.ID != client.ID) {
		return nil, nil //nolint:nilnil // another's, of which nothing is told
	}
	return record, err
}

// authenticateGateway returns fault.Unauthenticated unless the client is a
// gateway: its id is that of the key that is its secret.
func (p *public) authenticateGateway(ctx context.Context, x *exchange, c clientCredentials) error {
	record, err := p.judgeGateway(ctx, x, c.gatewayKey)
	if err == nil && c.id != record.Principal.ID.String() {
		x.why = "another gateway's id"
		return errGatewayKey
	}
	return err
}

// introspected returns the record of the token in the form, for whoever may
// ask about it; nil for one that is not live.
func (p *public) introspected(ctx context.Context, x *exchange, f *form) (*access.Record, error) {
	token := f.get("token")
	if strings.HasPrefix(token, string(secret.GatewayKey)) {
		return nil, nil //nolint:nilnil // a gateway's key is no token, and asked about by the canary over and over
	}
	from, err := clientIP(f)
	if err != nil {
		return nil, err
	}
	record, err := p.look(ctx, token, auth.Origin{IP: from, RequestID: x.requestID[0]})
	p.verified(x, token, err)
	if fault.KindOf(err) == fault.Unauthenticated {
		return nil, nil //nolint:nilnil // not live, which is an answer
	}
	return record, err
}

// introspectItself answers a token that authenticates by itself, and no other.
func (p *public) introspectItself(ctx context.Context, x *exchange, presented, token string) (*access.Record, error) {
	if presented != token {
		x.why = "another token"
		return nil, x.challenged(presented, access.ErrRefused())
	}
	if err := p.rates.admit(ctx, x, presented); err != nil {
		return nil, err
	}
	record, err := p.look(ctx, token, x.origin())
	p.judged(x, presented, err)
	if err == nil {
		err = p.rates.spend(ctx, x, &record.Principal)
	}
	if err != nil {
		return nil, x.challenged(presented, err)
	}
	return record, nil
}

// asking returns the credential of whoever asks: in the gateway's header, or
// as a bearer token. Errors are those of credential.
func asking(h http.Header) (string, error) {
	var keys []string
	if keys = h[gatewayHeader]; len(keys) == 0 {
		return bearer(h)
	}
	if len(keys) > 1 || h["Authorization"] != nil {
		return "", badRequest("The request carries several credentials. Send the key in X-Latchkey-Gateway or as a bearer token.")
	}
	return keys[0], nil
}

// bearer returns the request's only bearer token.
func bearer(h http.Header) (string, error) {
	lines := h["Authorization"]
	if len(lines) > 1 {
		return "", badRequest("There are several Authorization headers. Send one.")
	}
	if len(lines) == 1 {
		scheme, token, _ := strings.Cut(lines[0], " ")
		if strings.EqualFold(scheme, "Bearer") && token != "" {
			return strings.TrimLeft(token, " "), nil
		}
	}
	return "", fault.Errorf(fault.Unauthenticated, "Authenticate as a client, or send the key of a gateway in X-Latchkey-Gateway or as a bearer token, or the token itself as one.")
}

// challenged asks for a bearer token along with the error (RFC 6750, section
// 3), if the error is that none was accepted.
func (x *exchange) challenged(presented string, err error) error {
	if fault.KindOf(err) != fault.Unauthenticated {
		return err
	}
	x.Header()["Www-Authenticate"] = challenge(presented)
	if presented == "" {
		x.why = whyNone
	}
	return &oauthError{http.StatusUnauthorized, "invalid_token", fault.Flatten(err)[0].Message}
}

// clientIP is where the gateway says that the token is used from. Without it
// that is nowhere, which is within no address range.
func clientIP(f *form) (netip.Addr, error) {
	text := f.get("client_ip")
	if text == "" {
		return netip.Addr{}, nil
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, badRequest("The parameter client_ip is no IP address.")
	}
	return plain(ip), nil
}

// appendActive appends what is told of a live token (RFC 7662, section 2.2).
func (p *public) appendActive(b []byte, r *access.Record) []byte {
	who := &r.Principal
	b = append(b, `{"active":true`...)
	if r.ScopeText != "" { // a scope has one token at least (RFC 6749, section 3.3)
		b = plainjson.AppendString(append(b, `,"scope":`...), r.ScopeText)
	}
	if r.ClientID != "" {
		b = plainjson.AppendString(append(b, `,"client_id":`...), r.ClientID)
	}
	if who.Kind == auth.Session {
		b = plainjson.AppendString(append(b, `,"username":`...), who.Name)
	}
	b = append(b, `,"token_type":"Bearer"`...)
	b = appendTime(b, `,"exp":`, who.ExpiresAt)
	b = appendTime(b, `,"iat":`, r.IssuedAt)
	b = plainjson.AppendString(append(b, `,"sub":`...), r.IDText)
	b = plainjson.AppendString(append(b, `,"iss":`...), p.PublicURL)
	b = plainjson.AppendString(append(b, `,"account_uuid":`...), r.AccountText)
	if r.StoreHash != "" {
		b = plainjson.AppendString(append(b, `,"store_hash":`...), r.StoreHash)
	}
	if who.Kind == auth.APIToken {
		b = plainjson.AppendString(append(b, `,"level":`...), string(levelOf(who)))
	}
	return append(b, '}')
}

// levelOf returns the level of the API token that the principal is.
func levelOf(p *auth.Principal) scope.Level {
	if p.StoreID == uuid.Nil {
		return scope.LevelAccount
	}
	return scope.LevelStore
}

// appendTime appends a moment in seconds since 1970, if it is one.
func appendTime(b []byte, name string, at time.Time) []byte {
	if at.IsZero() {
		return b
	}
	return strconv.AppendInt(append(b, name...), at.Unix(), 10)
}
