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

// ratesKept is how many tokens, accounts, addresses and credentials are told
// apart at once.
const ratesKept = 100_000

// rates refuses requests that are too many. What it counts is this process's.
// A nil *rates counts and refuses nothing.
type rates struct {
	tokens, accounts *ratelimit.Buckets[uuid.UUID]
	failures         *ratelimit.Failures
	// token, account and address say of which of the three an answer speaks.
	token, account, address limit
	log                     *slog.Logger
	// forwardedTold limits the warnings of proxies that are not trusted.
	forwardedTold minutely
}

// limit is what is the same in all answers that speak of one rate.
type limit struct {
	name          string
	quota, window []string // values of headers
	refused       prometheus.Counter
}

// newRates returns nil when rates are not limited.
func newRates(c config.Rates, m *metrics, log *slog.Logger) (*rates, error) {
	if !c.On {
		return nil, nil //nolint:nilnil // a nil *rates refuses nothing, which is what was asked for
	}
	r := &rates{
		token: m.limit("token", c.Token), account: m.limit("account", c.Account), address: m.limit("address", c.Failure), log: log,
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

// admit returns fault.RateLimited for a credential that is not to be judged,
// since too many from the client's address did not work. It is asked before
// the credential costs anything, and each credential that it admits is judged.
func (r *rates) admit(ctx context.Context, x *exchange, presented string) error {
	if r == nil || presented == "" {
		return nil
	}
	state, admission := r.failures.Admit(x.client, presented, x.started)
	x.onTrial = admission == ratelimit.OnTrial
	if admission != ratelimit.Refused {
		return nil
	}
	if x.forwarded && r.forwardedTold.due(x.started) {
		r.log.LogAttrs(ctx, slog.LevelWarn, "credentials are refused because too many from their address failed, and the address sends X-Forwarded-For "+
			"but is not among --trusted-proxies; if it is a proxy of yours, all its clients share this limit until you add it; "+
			"this is logged once a minute at most", slog.String("client", addressText(x.client)), slog.String("request_id", x.requestID[0]))
	}
	if r.failures.Tell(x.client, x.started) {
		r.tell(ctx, x, r.address, slog.String("client", addressText(x.client)))
	}
	return r.refuse(x, r.address, state)
}

// judged hears what came of a credential that was admitted.
func (r *rates) judged(x *exchange, presented string, err error) {
	if r == nil || presented == "" {
		return
	}
	if err == nil {
		r.failures.Worked(presented)
	}
	switch {
	case err == nil, isNoGuess(err):
		if x.onTrial {
			r.failures.Returned(x.client, x.started)
		}
	case fault.KindOf(err) == fault.Unauthenticated:
		r.failures.Failed(x.client, presented, x.started)
	}
	x.onTrial = false
}

// isNoGuess reports whether a credential was refused for another reason than
// being wrong. One that is malformed, such as a token that fails its check part,
// was refused without a look-up: counting it would only keep out what others at
// the address present. One that is suspended or used from the wrong address works
// at another time or place.
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
// judged also from an address with too many failures.
func (r *rates) issued(credential string) {
	if r != nil {
		r.failures.Worked(credential)
	}
}

// minutely says when something that may happen often is to be logged: once a
// minute. It is safe for concurrent use.
type minutely struct{ last atomic.Int64 }

// due reports whether a minute has passed since it last reported true.
func (m *minutely) due(now time.Time) bool {
	last := m.last.Load()
	return now.Sub(time.UnixMicro(last)).Abs() >= time.Minute && m.last.CompareAndSwap(last, now.UnixMicro())
}

// spend takes one of the requests that the principal and its account may make,
// and says in the answer's header how it stands: with whichever has fewer
// left. It returns fault.RateLimited when there is none.
func (r *rates) spend(ctx context.Context, x *exchange, p *auth.Principal) error {
	if r == nil {
		return nil
	}
	return r.take(ctx, x, p, 1, 1, x.started)
}

// take takes requests from the buckets of the principal and of its account.
func (r *rates) take(ctx context.Context, x *exchange, p *auth.Principal, ofToken, ofAccount int, now time.Time) error {
	token, taken := r.tokens.TakeN(p.ID, ofToken, now)
	if !taken {
		// The account does not pay for it: one token that asks without end
		// must not use up what the others have.
		if r.tokens.Tell(p.ID, now) {
			r.tell(ctx, x, r.token, slog.String("principal_id", p.ID.String()))
		}
		return r.refuse(x, r.token, token)
	}
	account, taken := r.accounts.TakeN(p.AccountID, ofAccount, now)
	switch {
	case !taken:
		if r.accounts.Tell(p.AccountID, now) {
			r.tell(ctx, x, r.account, slog.String("account_id", p.AccountID.String()))
		}
		return r.refuse(x, r.account, account)
	case account.Left < token.Left:
		x.stands(r.account, account)
	default:
		x.stands(r.token, token)
	}
	return nil
}

// refuse makes the answer one to a request too many.
func (r *rates) refuse(x *exchange, l limit, s ratelimit.State) error {
	l.refused.Inc()
	x.limited = true
	x.stands(l, s)
	// RFC 9110, section 10.2.3: whole seconds.
	seconds := max(1, int((s.Wait+time.Second-1)/time.Second))
	x.Header()["Retry-After"] = []string{strconv.Itoa(seconds)}
	return fault.Errorf(fault.RateLimited, "Too many requests. Wait for as many seconds as the header Retry-After says, and try again.")
}

// tell logs that requests are refused: once for a window, whoever's they are.
func (r *rates) tell(ctx context.Context, x *exchange, l limit, whose slog.Attr) {
	r.log.LogAttrs(ctx, slog.LevelInfo, "rate limit reached", slog.String("limit", l.name), whose,
		slog.String("request_id", x.requestID[0]))
}

// stands says in the answer's header how the client stands, in the words of
// the original API.
func (x *exchange) stands(l limit, s ratelimit.State) {
	var room [40]byte
	text := strconv.AppendInt(room[:0], int64(s.Left), 10)
	end := len(text)
	text = strconv.AppendInt(text, (s.Full + time.Millisecond - 1).Milliseconds(), 10)
	both := string(text)
	x.rates = [2]string{both[:end], both[end:]}
	h := x.Header()
	h["X-Rate-Limit-Requests-Quota"] = l.quota
	h["X-Rate-Limit-Requests-Left"] = x.rates[0:1:1]
	h["X-Rate-Limit-Time-Reset-Ms"] = x.rates[1:2:2]
	h["X-Rate-Limit-Time-Window-Ms"] = l.window
}
