package httpserver

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/config"
	"latchkey/internal/fault"
)

// endpoint is what the handlers of all routes use.
type endpoint struct {
	verifier Verifier
	rates    *rates
	metrics  *metrics
	limits   config.HTTP
	// silent and writeError are Silent and WriteError of Config.
	silent     func(time.Duration) bool
	writeError func(http.ResponseWriter, *http.Request, error)
	log        *slog.Logger
}

// authenticate verifies the request's credential, unless too many from the
// client's address failed. It also returns the credential as presented, with or
// without an error.
func (e *endpoint) authenticate(ctx context.Context, rs *requestState, h http.Header) (record *access.Record,
	presented string, err error) {
	presented, err = credential(h)
	if limited := e.rates.admit(ctx, rs, presented); limited != nil {
		return nil, presented, limited
	}
	if err == nil {
		record, err = e.verify(ctx, presented, rs.origin())
	}
	e.record(rs, presented, err)
	if err != nil {
		return nil, presented, err
	}
	rs.principal = &record.Principal
	return record, presented, nil
}

// verify verifies a credential anywhere but in the control panel. It refuses
// browser sessions: taken out of its cookie, a session could do what the panel
// asks a second proof for.
func (e *endpoint) verify(ctx context.Context, presented string, origin auth.Origin) (*access.Record, error) {
	record, err := e.verifier.Verify(ctx, presented, origin)
	if err == nil && record.Method != "" {
		return nil, access.ErrRefused().Because(&access.Refusal{Reason: access.ReasonKind,
			PrincipalID: record.Principal.ID})
	}
	return record, err
}

// Reasons for refusing a request that presents no credential, or several.
const (
	reasonNone    = "no credential"
	reasonSeveral = "two credentials"
)

// record records the result of verifying a credential in the rate limits, the
// metrics and the request's log line.
func (e *endpoint) record(rs *requestState, presented string, err error) {
	e.rates.record(rs, presented, err)
	e.recordUncounted(rs, presented, err)
}

// recordUncounted is record for a failure that does not count against the
// caller.
func (e *endpoint) recordUncounted(rs *requestState, presented string, err error) {
	refusal := access.RefusalIn(err)
	e.metrics.verified(presented, err, refusal)
	switch kind := fault.KindOf(err); {
	case refusal != nil:
		rs.reason, rs.credentialOf = string(refusal.Reason), refusal.PrincipalID
	case kind == fault.Invalid:
		rs.reason = reasonSeveral
	case kind == fault.Unauthenticated && presented == "":
		rs.reason = reasonNone
	case kind == fault.Unauthenticated: // it could not be parsed
		rs.reason = string(access.ReasonMalformed)
	}
}

// refuse writes the error response for a request whose credential was refused.
func (e *endpoint) refuse(rs *requestState, r *http.Request, presented string, err error) {
	switch fault.KindOf(err) {
	case fault.Unauthenticated:
		if rs.Header()["Www-Authenticate"] == nil {
			rs.Header()["Www-Authenticate"] = challenge(presented)
		}
	case fault.Internal:
		level := slog.LevelError
		if errors.Is(err, context.Canceled) { // the client closed the connection
			level = slog.LevelDebug
		}
		e.log.LogAttrs(r.Context(), level, "credential could not be verified",
			slog.String("request_id", rs.requestID[0]), slog.Any("error", err))
	}
	e.writeError(rs, r, err)
}
