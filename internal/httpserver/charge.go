package httpserver

import (
	"context"
	"time"
)

// What an operation takes from the buckets of its caller, by its price in
// fields (package graph). Up to fieldsOfOne it takes the request that it is;
// each further fieldsOfMore, or a part of them, take one more. An operation
// takes at most 1/mostShare of a bucket, so that every operation within the
// limits of complexity can run when the bucket is full.
const (
	fieldsOfOne  = 10_000
	fieldsOfMore = 100
	mostShare    = 10
)

// requestsOf returns how many requests an operation of the price is, for a
// bucket of that many.
func requestsOf(fields, quota int) int {
	more := (max(0, fields-fieldsOfOne) + fieldsOfMore - 1) / fieldsOfMore
	return max(1, min(1+more, quota/mostShare))
}

type meterKey struct{}

// meter is where the operation of a request is charged.
type meter struct {
	rates *rates
	x     *exchange
}

// Charge takes what an operation costs, in fields, from the rates of the caller
// whose request ctx belongs to, beside the request that was taken before its
// body was read. The answer's header says how the caller stands then. Charge
// returns fault.RateLimited, and nothing may run, when too few requests are
// left. It charges nothing for a context that is no request's.
func Charge(ctx context.Context, fields int) error {
	if fields <= fieldsOfOne {
		return nil
	}
	m, ok := ctx.Value(meterKey{}).(*meter)
	if !ok || m.rates == nil || m.x.principal == nil {
		return nil
	}
	token, account := requestsOf(fields, m.rates.tokens.Most()), requestsOf(fields, m.rates.accounts.Most())
	return m.rates.take(ctx, m.x, m.x.principal, token-1, account-1, time.Now())
}
