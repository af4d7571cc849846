package httpserver

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/config"
	"latchkey/internal/fault"
	"latchkey/internal/ratelimit"
)

// ratesKept is the number of tokens, accounts, addresses and credentials for
// which state is kept at once.
const ratesKept = 100_000

// rates enforces the rate limits of this process. A nil *rates limits and
// counts nothing.
type rates struct {
	tokens, accounts *ratelimit.Buckets[uuid.UUID]
	failures         *ratelimit.Failures
	// token, account and address describe the three limits in responses.
	token, account, address limit
	log                     *slog.Logger
	// forwardedLogged limits the warnings about untrusted proxies.
	forwardedLogged minutely
}

// limit is the part of a response that is the same for all requests under one
// rate limit.
type limit struct {
	name          string
	quota, window []string // values of headers
	refused       prometheus.Counter
}

// newRates returns nil if rate limits are off.
func newRates(c config.Rates, m *metrics, log *slog.Logger) (*rates, error) {
	if !c.On {
		return nil, nil //nolint:nilnil // a nil *rates limits nothing, as configured
	}
	r := &rates{
		token: m.limit("token", c.Token), account: m.limit("account", c.Account),
		address: m.limit("address", c.Failure), log: log,
	}
	var err error
	if r.failures, err = ratelimit.NewFailures(ratelimit.Rate(c.Failure), ratesKept); err != nil {
		return nil, fmt.Errorf("limit failures: %w", err)
	}
	if r.tokens, err = ratelimit.New[uuid.UUID](ratelimit.Rate(c.Token), ratesKept); err != nil {
		return nil, fmt.Errorf("limit tokens: %w", err)
	}
	if r.accounts, err = ratelimit.New[uuid.UUID](ratelimit.Rate(c.Account), ratesKept); err != nil {
		return nil, fmt.Errorf("limit accounts: %w", err)
	}
	return r, nil
}

// admit returns fault.RateLimited if too many credentials from the client's
// address failed. It must be called before a credential is verified, and every
// credential that it admits must be passed to record.
func (r *rates) admit(ctx context.Context, rs *requestState, presented string) error {
	if r == nil || presented == "" {
		return nil
	}
	state, admission := r.failures.Admit(rs.client, presented, rs.started)
	rs.onTrial = admission == ratelimit.OnTrial
	if admission != ratelimit.Refused {
		return nil
	}
	if rs.forwarded && r.forwardedLogged.due(rs.started) {
		r.log.LogAttrs(ctx, slog.LevelWarn,
			"credentials are refused because too many from their address failed, and the address sends X-Forwarded-For "+
				"but is not among --trusted-proxies; if it is a proxy of yours, all its clients share this limit until you add it; "+
				"this is logged once a minute at most", slog.String("client", addressText(rs.client)),
			slog.String("request_id", rs.requestID[0]))
	}
	if r.failures.ShouldReport(rs.client, rs.started) {
		r.logLimit(ctx, rs, r.address, slog.String("client", addressText(rs.client)))
	}
	return r.refuse(rs, r.address, state)
}

// record records the result of verifying a credential that was admitted.
func (r *rates) record(rs *requestState, presented string, err error) {
	if r == nil || presented == "" {
		return
	}
	if err == nil {
		r.failures.Worked(presented)
	}
	switch {
	case err == nil, isNoGuess(err):
		if rs.onTrial {
			r.failures.Returned(rs.client, rs.started)
		}
	case fault.KindOf(err) == fault.Unauthenticated:
		r.failures.Failed(rs.client, presented, rs.started)
	}
	rs.onTrial = false
}

// reported records whether a report, whose proof was admitted, failed.
func (r *rates) reported(rs *requestState, proof string, failed bool) {
	switch {
	case r == nil || proof == "":
		return
	case failed:
		r.failures.Failed(rs.client, proof, rs.started)
	case rs.onTrial:
		r.failures.Returned(rs.client, rs.started)
	}
	rs.onTrial = false
}

// isNoGuess reports whether a credential was refused for a reason other than
// being wrong. A malformed one, such as a token with a wrong checksum, was
// refused without a lookup; counting it would only lock out other clients at
// the same address. One that is suspended or used from a wrong address works at
// another time or place.
func isNoGuess(err error) bool {
	refusal := access.RefusalIn(err)
	if refusal == nil {
		return false
	}
	switch refusal.Reason {
	case access.ReasonMalformed, access.ReasonSuspended, access.ReasonAddress:
		return true
	}
	return false
}

// issued records that the server has just issued a credential, so that it is
// verified even from an address with too many failures.
func (r *rates) issued(credential string) {
	if r != nil {
		r.failures.Worked(credential)
	}
}

// minutely limits a repeated log line to once a minute. It is safe for
// concurrent use.
type minutely struct{ last atomic.Int64 }

// due reports whether a minute has passed since it last reported true.
func (m *minutely) due(now time.Time) bool {
	last := m.last.Load()
	return now.Sub(time.UnixMicro(last)).Abs() >= time.Minute && m.last.CompareAndSwap(last, now.UnixMicro())
}

// spend takes one request from the limits of the principal and its account, and
// writes the headers of the one that has fewer left. It returns
// fault.RateLimited if either has none left.
func (r *rates) spend(ctx context.Context, rs *requestState, p *auth.Principal) error {
	if r == nil {
		return nil
	}
	return r.take(ctx, rs, p, 1, 1, rs.started)
}

// take takes requests from the buckets of the principal and of its account.
func (r *rates) take(ctx context.Context, rs *requestState, p *auth.Principal, ofToken, ofAccount int,
	now time.Time) error {
	token, taken := r.tokens.TakeN(p.ID, ofToken, now)
	if !taken {
		// The account is not charged: one token that sends too many requests
		// must not use up the requests of the others.
		if r.tokens.ShouldReport(p.ID, now) {
			r.logLimit(ctx, rs, r.token, slog.String("principal_id", p.ID.String()))
		}
		return r.refuse(rs, r.token, token)
	}
	account, taken := r.accounts.TakeN(p.AccountID, ofAccount, now)
	switch {
	case !taken:
		if r.accounts.ShouldReport(p.AccountID, now) {
			r.logLimit(ctx, rs, r.account, slog.String("account_id", p.AccountID.String()))
		}
		return r.refuse(rs, r.account, account)
	case account.Left < token.Left:
		rs.setRateHeaders(r.account, account)
	default:
		rs.setRateHeaders(r.token, token)
	}
	return nil
}

// refuse returns the error for a request over a limit and sets its headers.
func (r *rates) refuse(rs *requestState, l limit, s ratelimit.State) error {
	l.refused.Inc()
	rs.limited = true
	rs.setRateHeaders(l, s)
	// RFC 9110, section 10.2.3: whole seconds.
	seconds := max(1, int((s.Wait+time.Second-1)/time.Second))
	rs.Header()["Retry-After"] = []string{strconv.Itoa(seconds)}
	return fault.Errorf(fault.RateLimited,
		"Too many requests. Wait for the number of seconds in the Retry-After header, and try again.")
}

// logLimit logs, once per window, that a rate limit was reached.
func (r *rates) logLimit(ctx context.Context, rs *requestState, l limit, caller slog.Attr) {
	r.log.LogAttrs(ctx, slog.LevelInfo, "rate limit reached", slog.String("limit", l.name), caller,
		slog.String("request_id", rs.requestID[0]))
}

// setRateHeaders sets the rate-limit headers of the response, named as in the
// original API.
func (rs *requestState) setRateHeaders(l limit, s ratelimit.State) {
	var room [40]byte
	text := strconv.AppendInt(room[:0], int64(s.Left), 10)
	end := len(text)
	text = strconv.AppendInt(text, (s.Full + time.Millisecond - 1).Milliseconds(), 10)
	both := string(text)
	rs.rateHeaders = [2]string{both[:end], both[end:]}
	h := rs.Header()
	h["X-Rate-Limit-Requests-Quota"] = l.quota
	h["X-Rate-Limit-Requests-Left"] = rs.rateHeaders[0:1:1]
	h["X-Rate-Limit-Time-Reset-Ms"] = rs.rateHeaders[1:2:2]
	h["X-Rate-Limit-Time-Window-Ms"] = l.window
}
