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

// OAuth issues access tokens to the clients of API tokens and revokes them. It
// is oauth.Service, whose methods document their errors.
type OAuth interface {
	Authenticate(ctx context.Context, id string, presented secret.Secret, from auth.Origin) (*auth.Principal, error)
	Grant(ctx context.Context, client *auth.Principal, scopes string) (oauth.Granted, error)
	Revoke(ctx context.Context, client *auth.Principal, presented string) error
}

// Paths of the OAuth 2.0 endpoints.
const (
	tokenPath      = "/oauth2/token"
	introspectPath = "/oauth2/introspect"
	revokePath     = "/oauth2/revoke"
	metadataPath   = "/.well-known/oauth-authorization-server"
)

// oauthServer serves the token and the revocation endpoint.
type oauthServer struct {
	*endpoint

	oauth OAuth
}

// oauthError is an error in the form of RFC 6749, section 5.2.
type oauthError struct {
	status int
	// code is one of the error codes of the RFC.
	code string
	// description has only the characters that the RFC allows: ASCII without
	// quotes and backslashes.
	description string
}

// Error returns the description.
func (e *oauthError) Error() string { return e.description }

func badRequest(description string) error {
	return &oauthError{http.StatusBadRequest, "invalid_request", description}
}

// asOAuth converts an error to the OAuth format. It hides the text of errors
// that are not a fault.Error.
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
	case fault.Invalid: // only the scope can be invalid here
		return &oauthError{http.StatusBadRequest, "invalid_scope", message}
	case fault.Forbidden: // revoking a token that was issued to another client
		return &oauthError{http.StatusBadRequest, "invalid_grant", message}
	case fault.Conflict: // the client's permissions changed meanwhile; a retry uses the new ones
		return &oauthError{http.StatusServiceUnavailable, "temporarily_unavailable", message}
	case fault.LimitReached, fault.RateLimited:
		// RFC 6749 defines no code for this at the token endpoint. The code is
		// from its section 4.1.2.1.
		return &oauthError{http.StatusTooManyRequests, "temporarily_unavailable", message}
	}
	return &oauthError{http.StatusInternalServerError, "server_error", message}
}

// problem writes the error response of an OAuth endpoint and logs internal
// errors.
func (o *oauthServer) problem(rs *requestState, r *http.Request, err error) {
	e := asOAuth(err)
	switch e.status {
	case http.StatusUnauthorized:
		if rs.Header()["Www-Authenticate"] == nil {
			rs.Header()["Www-Authenticate"] = []string{`Basic realm="latchkey"`}
		}
	case http.StatusRequestEntityTooLarge, http.StatusRequestTimeout:
		rs.Header().Set("Connection", "close")
	case http.StatusServiceUnavailable:
		rs.Header()["Retry-After"] = []string{"1"} // as in the API
		if fault.KindOf(err) == fault.Conflict {
			break // not a server error
		}
		fallthrough
	case http.StatusInternalServerError:
		o.log.LogAttrs(r.Context(), slog.LevelError, "OAuth endpoint failed",
			slog.String("request_id", rs.requestID[0]), slog.Any("error", err))
	}
	rs.oauthError(e)
}

func (rs *requestState) oauthError(e *oauthError) {
	writeJSON(rs, e.status, struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}{e.code, e.description})
}

// withClient is the common part of the token and revocation endpoints: it reads the request, authenticates its client
// and runs work, limited by auth.WriteTimeout from when the body was read. The response must not be cached (RFC 6749,
// section 5.1).
func (o *oauthServer) withClient(ctx context.Context, rs *requestState, r *http.Request, f *form,
	work func(context.Context) error) error {
	rs.Header()["Pragma"] = []string{"no-cache"}
	if err := o.readForm(rs, r, f); err != nil {
		return err
	}
	client, err := o.clientCredentials(rs, r.Header, f)
	if err != nil {
		return err
	}
	return auth.BoundWrite(ctx, func(ctx context.Context) error {
		if err := o.authenticateClient(ctx, rs, client); err != nil {
			return err
		}
		return work(ctx)
	})
}

// clientCredentials returns the client's credentials and records the failure if
// there are none.
func (o *oauthServer) clientCredentials(rs *requestState, h http.Header, f *form) (clientCredentials, error) {
	client, err := clientCredentialsOf(h, f)
	if err != nil {
		rs.reason = reasonSeveral
		if fault.KindOf(err) == fault.Unauthenticated {
			o.recordUncounted(rs, strings.Join(h["Authorization"], ""), err)
		}
	}
	return client, err
}

// authenticateClient authenticates the client, which is an API token, and sets
// the principal of the request. It returns fault.Unauthenticated if the
// credentials do not work.
func (o *oauthServer) authenticateClient(ctx context.Context, rs *requestState, client clientCredentials) error {
	// Failures are counted by the credentials presented.
	presented := clientCredential(client.id, client.secret)
	if err := o.rates.admit(ctx, rs, presented); err != nil {
		return err
	}
	var err error
	rs.principal, err = o.oauth.Authenticate(ctx, client.id, client.secret, rs.origin())
	o.record(rs, presented, refusedClient(err))
	if err == nil {
		err = o.rates.spend(ctx, rs, rs.principal)
	}
	return err
}

// clientCredential returns the form of a client's credentials by which rate
// limits count them.
func clientCredential(id string, s secret.Secret) string { return id + ":" + s.Reveal() }

// refusedClient converts the refusal of a client to the refusal of a
// credential. It returns any other error unchanged.
func refusedClient(err error) error {
	var r *oauth.Refusal
	if !errors.As(err, &r) {
		return err
	}
	reasons := map[oauth.Reason]access.Reason{
		oauth.ReasonMalformed: access.ReasonMalformed, oauth.ReasonUnknown: access.ReasonUnknown,
		oauth.ReasonRevoked:   access.ReasonRevoked,
		oauth.ReasonSuspended: access.ReasonSuspended, oauth.ReasonExpired: access.ReasonExpired,
		oauth.ReasonAddress: access.ReasonAddress,
	}
	return access.ErrRefused().Because(&access.Refusal{Reason: reasons[r.Reason], PrincipalID: r.Of})
}

// token is the token endpoint. It supports the client credentials grant (RFC
// 6749, section 4.4).
func (o *oauthServer) token(rs *requestState, r *http.Request) {
	ctx := o.bounded(rs, r)
	defer ctx.release()
	granted, err := o.grant(ctx, rs, r) //nolint:contextcheck // the deadline's parent is the request's
	if err != nil {
		o.problem(rs, r, err)
		return
	}
	o.rates.issued(granted.AccessToken.Reveal())
	body := append(make([]byte, 0, 512), `{"access_token":`...)
	body = plainjson.AppendString(body, granted.AccessToken.Reveal())
	body = append(body, `,"token_type":"Bearer","expires_in":`...)
	// A token issued in the last second of its API token's life lives less than a second; 0 would mean expired.
	body = strconv.AppendInt(body, max(1, int64(granted.Lifetime/time.Second)), 10)
	body = append(body, `,"scope":`...)
	body = plainjson.AppendString(body, granted.Scopes.String())
	rs.json(append(body, '}'))
}

func (o *oauthServer) grant(ctx context.Context, rs *requestState, r *http.Request) (granted oauth.Granted, err error) {
	var f form
	err = o.withClient(ctx, rs, r, &f, func(ctx context.Context) (err error) {
		switch f.get("grant_type") {
		case "client_credentials":
			granted, err = o.oauth.Grant(ctx, rs.principal, f.get("scope"))
			return err
		case "":
			return badRequest("The parameter grant_type is missing. Send grant_type=client_credentials in the body.")
		}
		return &oauthError{http.StatusBadRequest, "unsupported_grant_type",
			"The only supported grant type is client_credentials."}
	})
	return granted, err
}

// revoke is the revocation endpoint (RFC 7009).
func (o *oauthServer) revoke(rs *requestState, r *http.Request) {
	ctx := o.bounded(rs, r)
	defer ctx.release()
	var f form
	err := o.withClient(ctx, rs, r, &f, func(ctx context.Context) error { //nolint:contextcheck // the deadline's parent is the request's
		if f.get("token") == "" {
			return badRequest("The parameter token is missing.")
		}
		err := o.oauth.Revoke(ctx, rs.principal, f.get("token"))
		if fault.KindOf(err) == fault.Forbidden {
			rs.reason = "another client's token"
		}
		return err
	})
	if err != nil {
		o.problem(rs, r, err)
		return
	}
	rs.WriteHeader(http.StatusOK)
}

// jsonType is shared by all responses and must not be modified.
var jsonType = []string{"application/json"}

// json writes a JSON response.
func (rs *requestState) json(body []byte) {
	rs.Header()["Content-Type"] = jsonType
	// An error means that the client closed the connection.
	_, _ = rs.Write(body)
}
