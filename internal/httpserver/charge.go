package httpserver

import (
	"context"
	"time"
)

// The number of requests that an operation takes from the buckets of its
// caller, by its cost in fields (package graph). An operation of up to
// fieldsOfOne fields costs one request; every further fieldsOfMore fields, or
// part of them, cost one more. An operation takes at most 1/mostShare of a
// bucket, so that every operation within the complexity limits can run when the
// bucket is full.
const (
	fieldsOfOne  = 10_000
	fieldsOfMore = 100
	mostShare    = 10
)

// requestsOf returns the number of requests that an operation with that many
// fields costs, for a bucket of size quota.
func requestsOf(fields, quota int) int {
	more := (max(0, fields-fieldsOfOne) + fieldsOfMore - 1) / fieldsOfMore
	return max(1, min(1+more, quota/mostShare))
}

type meterKey struct{}

// meter charges the operations of one request.
type meter struct {
	rates *rates
	rs    *requestState
}

// Charge takes the cost of an operation, in fields, from the rate limits of the
// caller of the request that ctx belongs to, in addition to the request that
// was taken before its body was read. It updates the rate-limit headers of the
// response. Charge returns fault.RateLimited if too few requests are left; the
// operation must not run then. It charges nothing if ctx does not belong to a
// request.
func Charge(ctx context.Context, fields int) error {
	if fields <= fieldsOfOne {
		return nil
	}
	m, ok := ctx.Value(meterKey{}).(*meter)
	if !ok || m.rates == nil || m.rs.principal == nil {
		return nil
	}
	token, account := requestsOf(fields, m.rates.tokens.Limit()), requestsOf(fields, m.rates.accounts.Limit())
	return m.rates.take(ctx, m.rs, m.rs.principal, token-1, account-1, time.Now())
}
