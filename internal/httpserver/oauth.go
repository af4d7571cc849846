package httpserver

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	plainjson "latchkey/graph/plain"
	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/oauth"
	"latchkey/internal/secret"
)

// OAuth gives the clients of API tokens access tokens, and ends them. It is
// oauth.Service, whose methods say which errors they return.
type OAuth interface {
	Authenticate(ctx context.Context, id string, presented secret.Secret, from auth.Origin) (*auth.Principal, error)
	Grant(ctx context.Context, client *auth.Principal, asked string) (oauth.Granted, error)
	Revoke(ctx context.Context, client *auth.Principal, presented string) error
}

// The paths of the endpoints of OAuth 2.0.
const (
	tokenPath      = "/oauth2/token"
	introspectPath = "/oauth2/introspect"
	revokePath     = "/oauth2/revoke"
	metadataPath   = "/.well-known/oauth-authorization-server"
)

func (p *public) handleOAuth() {
	p.handleForOAuth(tokenPath, p.oauthToken, http.MethodPost)
	p.handleForOAuth(introspectPath, p.oauthIntrospect, http.MethodPost).quiet = true
	p.handleForOAuth(revokePath, p.oauthRevoke, http.MethodPost)
	p.handleMetadata()
	for _, below := range []string{"/oauth2", "/oauth2/"} {
		p.handleForOAuth(below, func(x *exchange, _ *http.Request) {
			x.problem(http.StatusNotFound, fault.NotFound, "There is nothing at this address. POST to "+tokenPath+", "+introspectPath+" or "+revokePath+".")
		})
	}
}

// handleForOAuth makes a route whose errors, whoever answers them, have the
// form that clients of OAuth read.
func (p *public) handleForOAuth(pattern string, serve func(*exchange, *http.Request), methods ...string) *route {
	rt := p.handle(pattern, serve, methods...)
	rt.oauth = true
	return rt
}

// oauthError is an error in the form of RFC 6749, section 5.2.
type oauthError struct {
	status int
	// code is one of the RFC's.
	code string
	// description is in the RFC's letters: ASCII without quotes and
	// backslashes.
	description string
}

// Error is the description.
func (e *oauthError) Error() string { return e.description }

func badRequest(description string) error {
	return &oauthError{http.StatusBadRequest, "invalid_request", description}
}

// asOAuth puts an error into the form of OAuth. Of an error that is no fault
// it tells nothing.
func asOAuth(err error) *oauthError {
	var known *oauthError
	if errors.As(err, &known) {
		return known
	}
	message := fault.Flatten(err)[0].Message
	switch fault.KindOf(err) {
	case fault.Internal:
		if errors.Is(err, fault.ErrUnavailable) {
			return &oauthError{http.StatusServiceUnavailable, "temporarily_unavailable", message}
		}
	case fault.Unauthenticated:
		return &oauthError{http.StatusUnauthorized, "invalid_client", message}
	case fault.Invalid: // of all that the service is given, a scope alone can be
		return &oauthError{http.StatusBadRequest, "invalid_scope", message}
	case fault.Forbidden: // to end what was issued to another client
		return &oauthError{http.StatusBadRequest, "invalid_grant", message}
	case fault.Conflict: // the rights of the client changed meanwhile: sent again, the request is judged by the new ones
		return &oauthError{http.StatusServiceUnavailable, "temporarily_unavailable", message}
	case fault.LimitReached, fault.RateLimited:
		// The RFC has no code for this and the like here; these are of its
		// section 4.1.2.1.
		return &oauthError{http.StatusTooManyRequests, "temporarily_unavailable", message}
	}
	return &oauthError{http.StatusInternalServerError, "server_error", message}
}

// oauthProblem answers an error of an endpoint of OAuth, and logs one that is
// ours.
func (p *public) oauthProblem(x *exchange, r *http.Request, err error) {
	e := asOAuth(err)
	switch e.status {
	case http.StatusUnauthorized:
		if x.Header()["Www-Authenticate"] == nil {
			x.Header()["Www-Authenticate"] = []string{`Basic realm="latchkey"`}
		}
	case http.StatusRequestEntityTooLarge, http.StatusRequestTimeout:
		x.Header().Set("Connection", "close")
	case http.StatusServiceUnavailable:
		x.Header()["Retry-After"] = []string{"1"} // as the API answers
		if fault.KindOf(err) == fault.Conflict {
			break // no failure of ours
		}
		fallthrough
	case http.StatusInternalServerError:
		p.Log.LogAttrs(r.Context(), slog.LevelError, "an endpoint of OAuth failed", slog.String("request_id", x.requestID[0]), slog.Any("error", err))
	}
	x.oauthError(e)
}

func (x *exchange) oauthError(e *oauthError) {
	writeJSON(x, e.status, struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}{e.code, e.description})
}

// oauthClient is the part of the token and revocation endpoints that is the
// same: it reads the request, lets its client in and runs work, bounded by
// auth.WriteTimeout once the request is read. Nothing of an answer is to be kept
// (RFC 6749, section 5.1).
func (p *public) oauthClient(ctx context.Context, x *exchange, r *http.Request, f *form, work func(context.Context) error) error {
	x.Header()["Pragma"] = []string{"no-cache"}
	if err := p.readForm(x, r, f); err != nil {
		return err
	}
	client, err := p.clientCredentials(x, r.Header, f)
	if err != nil {
		return err
	}
	return auth.BoundWrite(ctx, func(ctx context.Context) error {
		if err := p.authenticateClient(ctx, x, client); err != nil {
			return err
		}
		return work(ctx)
	})
}

// clientCredentials reads how the client authenticates, and notes it where it
// does not.
func (p *public) clientCredentials(x *exchange, h http.Header, f *form) (clientCredentials, error) {
	client, err := clientCredentialsOf(h, f)
	if err != nil {
		x.why = whySeveral
		if fault.KindOf(err) == fault.Unauthenticated {
			p.verified(x, strings.Join(h["Authorization"], ""), err)
		}
	}
	return client, err
}

// authenticateClient finds the API token that the client is, and makes it the
// principal of the request. It returns fault.Unauthenticated if there is none.
func (p *public) authenticateClient(ctx context.Context, x *exchange, client clientCredentials) error {
	// Whoever fails too often is told by what it presents.
	presented := clientCredential(client.id, client.secret)
	if err := p.rates.admit(ctx, x, presented); err != nil {
		return err
	}
	var err error
	x.principal, err = p.OAuth.Authenticate(ctx, client.id, client.secret, x.origin())
	p.judged(x, presented, refusedClient(err))
	if err == nil {
		err = p.rates.spend(ctx, x, x.principal)
	}
	return err
}

// clientCredential is what a client's credentials are counted by.
func clientCredential(id string, s secret.Secret) string { return id + ":" + s.Reveal() }

// refusedClient returns the refusal of a client as that of a credential, which
// it is, and any other error as it is.
func refusedClient(err error) error {
	var r *oauth.Refusal
	if !errors.As(err, &r) {
		return err
	}
	reasons := map[oauth.Reason]access.Reason{
		oauth.ReasonMalformed: access.ReasonMalformed, oauth.ReasonUnknown: access.ReasonUnknown, oauth.ReasonRevoked: access.ReasonEnded,
		oauth.ReasonSuspended: access.ReasonSuspended, oauth.ReasonExpired: access.ReasonExpired, oauth.ReasonAddress: access.ReasonAddress,
	}
	return access.ErrRefused().Because(&access.Refusal{Reason: reasons[r.Reason], Of: r.Of})
}

// oauthToken is the token endpoint, of which there is the client credentials
// grant (RFC 6749, section 4.4).
func (p *public) oauthToken(x *exchange, r *http.Request) {
	ctx := p.bounded(x, r)
	defer ctx.release()
	granted, err := p.grant(ctx, x, r) //nolint:contextcheck // the deadline's parent is the request's
	if err != nil {
		p.oauthProblem(x, r, err)
		return
	}
	p.rates.issued(granted.AccessToken.Reveal())
	body := append(make([]byte, 0, 512), `{"access_token":`...)
	body = plainjson.AppendString(body, granted.AccessToken.Reveal())
	body = append(body, `,"token_type":"Bearer","expires_in":`...)
	// A token of the last second of its API token lives less, and 0 would read as ended.
	body = strconv.AppendInt(body, max(1, int64(granted.Lifetime/time.Second)), 10)
	body = append(body, `,"scope":`...)
	body = plainjson.AppendString(body, granted.Scopes.String())
	x.json(append(body, '}'))
}

func (p *public) grant(ctx context.Context, x *exchange, r *http.Request) (granted oauth.Granted, err error) {
	var f form
	err = p.oauthClient(ctx, x, r, &f, func(ctx context.Context) (err error) {
		switch f.get("grant_type") {
		case "client_credentials":
			granted, err = p.OAuth.Grant(ctx, x.principal, f.get("scope"))
			return err
		case "":
			return badRequest("The parameter grant_type is missing. Send grant_type=client_credentials in the body.")
		}
		return &oauthError{http.StatusBadRequest, "unsupported_grant_type", "There is the grant type client_credentials only."}
	})
	return granted, err
}

// oauthRevoke is the revocation endpoint (RFC 7009).
func (p *public) oauthRevoke(x *exchange, r *http.Request) {
	ctx := p.bounded(x, r)
	defer ctx.release()
	var f form
	err := p.oauthClient(ctx, x, r, &f, func(ctx context.Context) error { //nolint:contextcheck // the deadline's parent is the request's
		if f.get("token") == "" {
			return badRequest("The parameter token is missing.")
		}
		err := p.OAuth.Revoke(ctx, x.principal, f.get("token"))
		if fault.KindOf(err) == fault.Forbidden {
			x.why = "another client's token"
		}
		return err
	})
	if err != nil {
		p.oauthProblem(x, r, err)
		return
	}
	x.WriteHeader(http.StatusOK)
}

// jsonType is shared by all answers and never changed.
var jsonType = []string{"application/json"}

// json answers with a body of JSON.
func (x *exchange) json(body []byte) {
	x.Header()["Content-Type"] = jsonType
	// A client that is gone is no failure of ours.
	_, _ = x.Write(body)
}
