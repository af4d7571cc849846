package httpserver

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"latchkey/internal/access"
	"latchkey/internal/auth"
)

// requestIDHeader is in canonical form.
const requestIDHeader = "X-Request-Id"

// requestState is the state of one request and its response. It is the
// ResponseWriter passed to the handlers, which must not use it after they
// return: request states are reused.
type requestState struct {
	http.ResponseWriter
	started time.Time
	route   *route
	// account is the account in the path of the Account API, if the request
	// bypassed the mux.
	account string
	// requestID is the request id, as the values of a header.
	requestID [1]string
	// peer is the address of the connection's peer. client is the address of
	// the client, which differs from peer behind a trusted proxy or a gateway.
	peer, client netip.Addr
	principal    *auth.Principal
	status       int
	bytes        int
	// headers are those that every response has.
	headers []header
	// rateHeaders are the values of the rate-limit headers.
	rateHeaders [2]string
	// gatewayHeaders are the values of the headers that describe the credential
	// to a gateway.
	gatewayHeaders [4]string
	// refused reports that authentication failed or the caller is over its rate
	// limit. The response body then has the request id.
	refused bool
	// forwarded reports that the peer sent X-Forwarded-For and is not trusted.
	forwarded bool
	// onTrial reports that the credential being verified was admitted on trial.
	onTrial bool
	// limited reports that the request was over a rate limit. It is counted but
	// not logged, so that a flood of requests does not flood the log.
	limited bool
	// reason is why the request or its credential was refused, and credentialOf
	// is the principal of that credential, if known.
	reason       string
	credentialOf uuid.UUID
	// span is the request's; nil while traces are off.
	span trace.Span
	// broken reports that the response was started and cannot be completed.
	broken bool
}

// requestStates pools request states: allocations are a large part of the cost
// of refusing a request.
var requestStates = sync.Pool{New: func() any { return &requestState{} }}

// WriteHeader records the status and adds the common headers.
func (rs *requestState) WriteHeader(status int) {
	// An informational status does not end the response (RFC 9110, section 15.2).
	if rs.status == 0 && status >= http.StatusOK {
		rs.status = status
		rs.addHeaders()
	}
	rs.ResponseWriter.WriteHeader(status)
}

// addHeaders adds the common headers that the handler has not set. A response
// without content needs only Cache-Control: it has no body that could be
// sniffed. A refusal has the request id in its body and needs no nosniff: it is
// JSON (MIME Sniffing Standard, section 7), and an error response never runs as
// a script (HTML Standard, "fetch a classic script").
func (rs *requestState) addHeaders() {
	h, common := rs.Header(), rs.headers
	switch {
	case rs.status == http.StatusNoContent:
		common = common[:1]
		if !rs.route.scim { // whose changes are answered like this, and looked up in the audit log by it
			delete(h, requestIDHeader)
		}
	case rs.refused:
		common = common[:len(common)-1]
		delete(h, requestIDHeader)
	}
	for _, one := range common {
		if _, set := h[one.name]; !set {
			h[one.name] = one.values
		}
	}
}

// Write counts the bytes of the response.
func (rs *requestState) Write(p []byte) (int, error) {
	if rs.status == 0 {
		rs.WriteHeader(http.StatusOK)
	}
	n, err := rs.ResponseWriter.Write(p)
	rs.bytes += n
	return n, err
}

// Unwrap supports http.ResponseController.
func (rs *requestState) Unwrap() http.ResponseWriter { return rs.ResponseWriter }

// origin returns the client's address and the request id.
func (rs *requestState) origin() auth.Origin {
	return auth.Origin{IP: rs.client, RequestID: rs.requestID[0]}
}

// log logs the request: its properties and outcome, but nothing of its content.
// It logs the route instead of the path, because users paste tokens
// into URLs. Requests refused before verification are logged at level debug.
func (rs *requestState) log(ctx context.Context, log *slog.Logger, method string, took time.Duration) {
	level := slog.LevelInfo
	if rs.route.quiet && rs.status < http.StatusBadRequest || rs.unverified() {
		level = slog.LevelDebug
	}
	if rs.limited || !log.Enabled(ctx, level) {
		return
	}
	// A slog.Record built here saves the lookup of the caller's source line.
	r := slog.NewRecord(rs.started.Add(took), level, "request", 0)
	r.AddAttrs(
		slog.String("method", plainMethod(method)),
		slog.String("route", rs.route.pattern),
		slog.Int("status", rs.status),
		slog.Int64("duration_us", took.Microseconds()),
		slog.Int("bytes", rs.bytes),
		slog.String("request_id", rs.requestID[0]),
		slog.String("client", addressText(rs.client)),
	)
	if rs.principal != nil {
		r.AddAttrs(slog.String("principal", string(rs.principal.Kind)),
			slog.String("principal_id", rs.principal.ID.String()))
	}
	if rs.reason != "" {
		r.AddAttrs(slog.String("refused_for", rs.reason))
	}
	if rs.credentialOf != uuid.Nil {
		r.AddAttrs(slog.String("credential_of", rs.credentialOf.String()))
	}
	// There is nowhere to report an error of the log.
	_ = log.Handler().Handle(ctx, r)
}

// unverified reports whether the request was refused before a credential was
// verified: it has none, several or a malformed one, or is wrong in another
// way. Such requests cost the sender nothing and are not rate limited, so they
// must not cost more here either. The expected refusal of a canary's key is
// free too.
func (rs *requestState) unverified() bool {
	switch access.Reason(rs.reason) {
	case "", access.ReasonUnknown, access.ReasonKind, access.ReasonRevoked, access.ReasonSuspended,
		access.ReasonExpired, access.ReasonIdle, access.ReasonAddress:
		return false
	}
	return rs.principal == nil
}

// standardMethods are those of RFC 9110, section 9.3, and RFC 5789.
var standardMethods = [...]string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace}

// plainMethod returns the method for the log: a standard one or "other", because
// a client can send any text as the method.
func plainMethod(method string) string {
	if slices.Contains(standardMethods[:], method) {
		return method
	}
	return "other"
}

func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return "unknown"
	}
	return a.String()
}
