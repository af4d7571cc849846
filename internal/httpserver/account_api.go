package httpserver

import (
	"context"
	"net/http"
	"time"

	"latchkey/internal/auth"
	"latchkey/internal/bulkhead"
)

// accountAPI serves the Account API.
type accountAPI struct {
	*endpoint

	next http.Handler // the API
	// large limits the requests with large bodies that are in memory.
	large *bulkhead.Bulkhead
}

// serve authenticates and rate limits the request before it reads the body, and
// then calls the API with the principal and the deadline in the context.
func (a *accountAPI) serve(rs *requestState, r *http.Request) {
	ctx := a.bounded(rs, r)
	defer ctx.release()
	_, presented, err := a.authenticate(ctx, rs, r.Header) //nolint:contextcheck // the deadline's parent is the request's
	if err == nil {
		err = a.rates.spend(r.Context(), rs, rs.principal)
	}
	if err != nil {
		rs.refused = true
		a.refuse(rs, r, presented, err)
		return
	}
	if r.ContentLength > int64(a.limits.MaxBody) {
		rs.tooLarge(a.limits.MaxBody)
		return
	}
	leave, err := a.receive(ctx, rs, r) //nolint:contextcheck // the deadline's parent is the request's
	if err != nil {
		a.writeError(rs, r, err)
		return
	}
	defer leave()
	// Reading the body may have taken seconds. Verify again, so that a token
	// revoked meanwhile is refused and its current permissions apply.
	record, err := a.verify(ctx, presented, rs.origin()) //nolint:contextcheck // the deadline's parent is the request's
	if err != nil {
		rs.refused = true
		a.recordUncounted(rs, presented, err)
		a.refuse(rs, r, presented, err)
		return
	}
	rs.principal = &record.Principal
	if rs.account != "" {
		r.SetPathValue("account_uuid", rs.account) // as the mux would
	}
	origin := rs.origin()
	verify := func(ctx context.Context) (*auth.Principal, error) {
		record, err := a.verify(ctx, presented, origin)
		if err != nil {
			return nil, err
		}
		return record.For(origin, time.Now()), nil
	}
	a.next.ServeHTTP(rs, r.WithContext(auth.WithRenewal(ctx, record.For(origin, time.Now()), verify))) //nolint:contextcheck // the deadline's parent is the request's
}
