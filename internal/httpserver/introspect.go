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

// introspection serves the introspection endpoint, whose clients authenticate
// as at the token endpoint, too.
type introspection struct {
	*oauthServer

	keys      *gatewayKeys
	publicURL string
}

// serve is the introspection endpoint (RFC 7662). A gateway may introspect any
// token, a client the tokens of its own API token, and a token itself.
func (i *introspection) serve(rs *requestState, r *http.Request) {
	ctx := i.bounded(rs, r)
	defer ctx.release()
	record, err := i.introspect(ctx, rs, r) //nolint:contextcheck // the deadline's parent is the request's
	switch {
	case err != nil:
		i.problem(rs, r, err)
	case record == nil:
		rs.json([]byte(`{"active":false}`))
	default:
		rs.json(i.appendActive(make([]byte, 0, 448+len(record.ScopeText)), record))
	}
}

// introspect returns the record of the token in the request. It returns nil for
// a token that is not active or that does not belong to the client.
func (i *introspection) introspect(ctx context.Context, rs *requestState, r *http.Request) (*access.Record, error) {
	if r.Header[gatewayHeader] == nil && (len(r.Header["Authorization"]) == 0 || hasBasicScheme(r.Header)) {
		return i.forClient(ctx, rs, r)
	}
	presented, err := callerCredential(r.Header)
	if err != nil {
		rs.reason = reasonSeveral // challenged overwrites it if there is no credential
		return nil, rs.challenged(presented, err)
	}
	gateway := r.Header[gatewayHeader] != nil || strings.HasPrefix(presented, string(secret.GatewayKey))
	if gateway {
		_, err = i.keys.verifyCertified(ctx, rs, r, presented)
	}
	if err != nil {
		return nil, rs.challenged(presented, err)
	}
	var f form
	if err := i.readForm(rs, r, &f); err != nil {
		return nil, err
	}
	if gateway {
		if err := i.keys.reverify(ctx, rs, presented); err != nil {
			return nil, rs.challenged(presented, err)
		}
	}
	switch token := f.get("token"); {
	case f.get("client_secret") != "":
		return nil, badRequest("The request carries several credentials. Send one.")
	case token == "":
		return nil, errNoToken
	case !gateway:
		return i.ofItself(ctx, rs, presented, token)
	}
	return i.ofToken(ctx, rs, &f, i.verify)
}

var errNoToken = badRequest("The parameter token is missing.")

// forClient handles a request that authenticates as at the token endpoint (RFC
// 7662, section 2.1): a gateway with its id and key for any token, or the
// client of an API token for its own tokens.
func (i *introspection) forClient(ctx context.Context, rs *requestState, r *http.Request) (*access.Record, error) {
	var f form
	if err := i.readForm(rs, r, &f); err != nil {
		return nil, err
	}
	if len(r.Header["Authorization"]) == 0 && f.get("client_secret") == "" {
		presented, err := callerCredential(r.Header)
		return nil, rs.challenged(presented, err)
	}
	c, err := i.clientCredentials(rs, r.Header, &f)
	if err != nil {
		return nil, err
	}
	var client *auth.Principal // nil for a gateway
	if c.gatewayKey != "" {
		err = i.authenticateGateway(ctx, rs, r, c)
	} else {
		err = i.authenticateClient(ctx, rs, c)
		client = rs.principal
	}
	if err != nil {
		return nil, err
	}
	if f.get("token") == "" {
		return nil, errNoToken
	}
	verify := i.verify
	if client != nil {
		verify = i.verifier.Inspect
	}
	record, err := i.ofToken(ctx, rs, &f, verify)
	if client != nil && record != nil && (record.Principal.Kind != auth.APIToken || record.Principal.ID != client.ID) {
		return nil, nil //nolint:nilnil // the token of another client, which must look inactive
	}
	return record, err
}

// authenticateGateway returns fault.Unauthenticated unless the client is a
// gateway: its secret is a gateway key and its id is the id of that key.
func (i *introspection) authenticateGateway(ctx context.Context, rs *requestState, r *http.Request,
	c clientCredentials) error {
	record, err := i.keys.verifyCertified(ctx, rs, r, c.gatewayKey)
	if err == nil && c.id != record.Principal.ID.String() {
		rs.reason = "another gateway's id"
		return errGatewayKey
	}
	return err
}

// ofToken returns the record of the token in the form. It returns nil for a
// token that is not active. The caller has been authorized.
func (i *introspection) ofToken(ctx context.Context, rs *requestState, f *form,
	verify func(context.Context, string, auth.Origin) (*access.Record, error)) (*access.Record, error) {
	token := f.get("token")
	if strings.HasPrefix(token, string(secret.GatewayKey)) {
		return nil, nil //nolint:nilnil // a gateway key is not a token, and the canary sends one repeatedly
	}
	from, err := clientIP(f)
	if err != nil {
		return nil, err
	}
	record, err := verify(ctx, token, auth.Origin{IP: from, RequestID: rs.requestID[0]})
	i.recordUncounted(rs, token, err)
	if fault.KindOf(err) == fault.Unauthenticated {
		return nil, nil //nolint:nilnil // inactive, which is not an error
	}
	return record, err
}

// ofItself handles a token that authenticates with itself. It may introspect no
// other token.
func (i *introspection) ofItself(ctx context.Context, rs *requestState, presented, token string) (*access.Record,
	error) {
	if presented != token {
		rs.reason = "another token"
		return nil, rs.challenged(presented, access.ErrRefused())
	}
	if err := i.rates.admit(ctx, rs, presented); err != nil {
		return nil, err
	}
	record, err := i.verify(ctx, token, rs.origin())
	i.record(rs, presented, err)
	if err == nil {
		err = i.rates.spend(ctx, rs, &record.Principal)
	}
	if err != nil {
		return nil, rs.challenged(presented, err)
	}
	return record, nil
}

// callerCredential returns the credential of the caller: the gateway key, or the bearer
// token. Its errors are those of credential.
func callerCredential(h http.Header) (string, error) {
	var keys []string
	if keys = h[gatewayHeader]; len(keys) == 0 {
		return bearer(h)
	}
	if len(keys) > 1 || h["Authorization"] != nil {
		return "",
			badRequest(
				"The request carries several credentials. Send the key in X-Latchkey-Gateway or as a bearer token.")
	}
	return keys[0], nil
}

// bearer returns the bearer token of the request.
func bearer(h http.Header) (string, error) {
	lines := h["Authorization"]
	if len(lines) > 1 {
		return "", badRequest("The request has several Authorization headers. Send one.")
	}
	if len(lines) == 1 {
		scheme, token, _ := strings.Cut(lines[0], " ")
		if strings.EqualFold(scheme, "Bearer") && token != "" {
			return strings.TrimLeft(token, " "), nil
		}
	}
	return "", fault.Errorf(fault.Unauthenticated,
		"Authenticate as a client, or send a gateway key in X-Latchkey-Gateway or as a bearer token, or the token itself as a bearer token.")
}

// challenged adds a bearer challenge to the response (RFC 6750, section 3) if
// err is fault.Unauthenticated.
func (rs *requestState) challenged(presented string, err error) error {
	if fault.KindOf(err) != fault.Unauthenticated {
		return err
	}
	rs.Header()["Www-Authenticate"] = challenge(presented)
	if presented == "" {
		rs.reason = reasonNone
	}
	return &oauthError{http.StatusUnauthorized, "invalid_token", fault.Flatten(err)[0].Message}
}

// clientIP returns the address from which, according to the gateway, the token
// is used. Without the parameter it returns the zero Addr, which is in no
// range.
func clientIP(f *form) (netip.Addr, error) {
	text := f.get("client_ip")
	if text == "" {
		return netip.Addr{}, nil
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, badRequest("The parameter client_ip is not an IP address.")
	}
	return plain(ip), nil
}

// appendActive appends the response for an active token (RFC 7662, section
// 2.2).
func (i *introspection) appendActive(b []byte, r *access.Record) []byte {
	who := &r.Principal
	b = append(b, `{"active":true`...)
	if r.ScopeText != "" { // a scope must not be empty (RFC 6749, section 3.3)
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
	b = plainjson.AppendString(append(b, `,"iss":`...), i.publicURL)
	b = plainjson.AppendString(append(b, `,"account_uuid":`...), r.AccountText)
	if r.StoreHash != "" {
		b = plainjson.AppendString(append(b, `,"store_hash":`...), r.StoreHash)
	}
	if who.Kind == auth.APIToken {
		b = plainjson.AppendString(append(b, `,"level":`...), string(levelOf(who)))
	}
	return append(b, '}')
}

// levelOf returns the level of the principal's API token.
func levelOf(p *auth.Principal) scope.Level {
	if p.StoreID == uuid.Nil {
		return scope.LevelAccount
	}
	return scope.LevelStore
}

// appendTime appends a time in Unix seconds, unless it is zero.
func appendTime(b []byte, name string, at time.Time) []byte {
	if at.IsZero() {
		return b
	}
	return strconv.AppendInt(append(b, name...), at.Unix(), 10)
}
