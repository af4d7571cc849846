package httpserver

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/auth"
)

// requestIDHeader is in canonical form.
const requestIDHeader = "X-Request-Id"

// exchange is one request and its answer: everything that the way through the
// server finds out, in one value. It is the ResponseWriter of the handlers,
// and as theirs it is nobody's any more once they have returned.
type exchange struct {
	http.ResponseWriter
	started time.Time
	route   *route
	// account is the one in the path of the Account API, if the mux did not
	// find it there.
	account string
	// requestID is one, in the form of a header's values.
	requestID [1]string
	// peer is at the other end of the connection, and client the one for whom
	// it speaks where it may.
	peer, client netip.Addr
	principal    *auth.Principal
	status       int
	bytes        int
	// always are the headers that every answer has.
	always []header
	// rates are the values of the headers that say how the client stands.
	rates [2]string
	// found are the values of the headers that tell a gateway what was found.
	found [4]string
	// refused says that the request was not let in, and that the body says so
	// with the request's id.
	refused bool
	// forwarded says that the peer sent X-Forwarded-For and is not trusted.
	forwarded bool
	// onTrial says that the credential that is being judged was admitted on trial.
	onTrial bool
	// limited says that the request is one too many. It is counted, and has no
	// line in the log: a flood of requests must not be one of lines, too.
	limited bool
	// why says for what a request or a credential was refused, and of whose the
	// credential is, if that is known.
	why string
	of  uuid.UUID
	// broken says that the answer began and will not be finished.
	broken bool
}

// exchanges are there to be used again: what a request allocates is a good
// part of what it costs to refuse one.
var exchanges = sync.Pool{New: func() any { return &exchange{} }}

// WriteHeader notes the status and completes the header.
func (x *exchange) WriteHeader(status int) {
	// An informational status is not the answer's (RFC 9110, section 15.2).
	if x.status == 0 && status >= http.StatusOK {
		x.status = status
		x.complete()
	}
	x.ResponseWriter.WriteHeader(status)
}

// complete adds to the header what every answer has, unless it is there. An
// answer without content has nothing that could be misread or asked about: what
// says whether it may be kept is all that it needs. A refusal has its id in the
// body, and browsers do not sniff it: it is JSON (MIME Sniffing Standard,
// section 7), and as an error never run as a script (HTML Standard, "fetch a
// classic script").
func (x *exchange) complete() {
	headers, always := x.Header(), x.always
	switch {
	case x.status == http.StatusNoContent:
		always = always[:1]
		delete(headers, requestIDHeader)
	case x.refused:
		always = always[:len(always)-1]
		delete(headers, requestIDHeader)
	}
	for _, h := range always {
		if _, there := headers[h.name]; !there {
			headers[h.name] = h.values
		}
	}
}

// Write counts the bytes.
func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	n, err := x.ResponseWriter.Write(p)
	x.bytes += n
	return n, err
}

// Unwrap serves http.ResponseController.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// origin is where the request came from.
func (x *exchange) origin() auth.Origin { return auth.Origin{IP: x.client, RequestID: x.requestID[0]} }

// record writes the request's line in the log: what it was and how it ended,
// and nothing of what it said. Paths are left out, too, for the route: people
// paste tokens in the oddest places. What is refused for free is counted, and no
// news.
func (x *exchange) record(ctx context.Context, log *slog.Logger, method string, took time.Duration) {
	level := slog.LevelInfo
	if x.route.quiet && x.status < http.StatusBadRequest || x.free() {
		level = slog.LevelDebug
	}
	if x.limited || !log.Enabled(ctx, level) {
		return
	}
	// A record made by hand does without the look for the caller's line.
	r := slog.NewRecord(x.started.Add(took), level, "request", 0)
	r.AddAttrs(
		slog.String("method", plainMethod(method)),
		slog.String("route", x.route.pattern),
		slog.Int("status", x.status),
		slog.Int64("duration_us", took.Microseconds()),
		slog.Int("bytes", x.bytes),
		slog.String("request_id", x.requestID[0]),
		slog.String("client", addressText(x.client)),
	)
	if x.principal != nil {
		r.AddAttrs(slog.String("principal", string(x.principal.Kind)), slog.String("principal_id", x.principal.ID.String()))
	}
	if x.why != "" {
		r.AddAttrs(slog.String("refused_for", x.why))
	}
	if x.of != uuid.Nil {
		r.AddAttrs(slog.String("credential_of", x.of.String()))
	}
	// A log that cannot be written has nobody to tell.
	_ = log.Handler().Handle(ctx, r)
}

// free says whether the request was refused before any credential was judged:
// it presents none, several, or nothing that can be one, or is wrong in another
// way. That costs its sender nothing and no rate limits it, so that it must not
// cost more here. Nor must a canary that hears what it waits for.
func (x *exchange) free() bool {
	switch access.Reason(x.why) {
	case "", access.ReasonUnknown, access.ReasonKind, access.ReasonEnded, access.ReasonSuspended, access.ReasonExpired, access.ReasonIdle, access.ReasonAddress:
		return false
	}
	return x.principal == nil
}

// plainMethod is a method for the log: one of those that exist (RFC 9110,
// section 9.3; RFC 5789), since a client can write anything there.
func plainMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace:
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
