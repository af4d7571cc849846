package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"latchkey/internal/secret"
)

// What a gateway asks: whether a token may read products of its store.
const (
	checkPath   = "/gateway/check"
	checkedPath = "/v3/catalog/products"
)

// The number of tokens in the two databases that a cold check is measured on, and of those that are asked about in turn.
// No cache of one holds any of them until it is asked about again.
const (
	fewTokens       = 1000
	manyPerStore    = 250 // of accountCount * storesOfAccount stores: a million
	askedAmongMany  = 20_000
	warmTokens      = 16
	replicaCount    = 3
	revocationsMade = 200
)

// checks returns the requests of a gateway about tokens.
func checks(tokens []known, key string) []request {
	requests := make([]request, len(tokens))
	for i, t := range tokens {
		r := request{method: http.MethodGet, path: checkPath, token: t.value, headers: []string{
			"X-Original-Method: GET", "X-Original-URI: /stores/" + t.store + checkedPath,
		}}
		if key != "" {
			r.headers = append(r.headers, "X-Latchkey-Gateway: "+key)
		}
		requests[i] = r
	}
	return requests
}

// cold is an installation that remembers nothing, on a copy of the database with a number of tokens.
type cold struct {
	*latchkey
	tokens []known
}

// prepareCold copies the database, fills the copy and starts a server on it that asks the database every time. It keeps no
// last uses, which would be those of more tokens where more are asked about: they have a row of their own.
func (s *suite) prepareCold(ctx context.Context, name string, keys *secret.Keyring, ofStore, asked int) (*cold, error) {
	dsn, err := s.copyDatabase(ctx, "raw", name)
	if err != nil {
		return nil, err
	}
	c := &cold{latchkey: s.postgres.on(dsn, "LATCHKEY_CACHE_SIZE=1", "LATCHKEY_LAST_USE_INTERVAL=off", "LATCHKEY_GATEWAY_ADDRESSES=127.0.0.1/32")}
	if c.tokens, err = addTokens(ctx, dsn, keys, ofStore, asked); err != nil {
		return nil, err
	}
	_, err = c.start(ctx)
	return c, err
}

// prepareGateway prepares what a gateway asks and whom.
func (s *suite) prepareGateway(ctx context.Context) error {
	keys, err := secret.ReadKeyring(s.postgres.keyFile())
	if err != nil {
		return err
	}
	if s.gatewayKey, err = s.postgres.command(ctx, "gateway", "create", "--name", "bench"); err != nil {
		return err
	}
	if s.warm, err = addTokens(ctx, s.cluster.DSN("latchkey"), keys, 0, warmTokens+revocationsMade); err != nil {
		return err
	}
	s.warm, s.revoked = s.warm[:warmTokens], s.warm[warmTokens:]
	if s.few, err = s.prepareCold(ctx, "few", keys, 0, fewTokens); err != nil {
		return err
	}
	if s.many, err = s.prepareCold(ctx, "many", keys, manyPerStore, askedAmongMany); err != nil {
		return err
	}
	if err := addCrowd(ctx, s.cluster.DSN("many"), s.crowdAccount(), crowdSize); err != nil {
		return err
	}
	// The others remember: one that does not keep last uses, and two more that share the database.
	dsn := s.cluster.DSN("latchkey")
	s.untracked = s.postgres.on(dsn, "LATCHKEY_LAST_USE_INTERVAL=off")
	s.others = []*latchkey{s.postgres.on(dsn), s.postgres.on(dsn)}
	for _, l := range append(slices.Clone(s.others), s.untracked) {
		if _, err := l.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *suite) checkWarm(ctx context.Context, d time.Duration) (measurement, error) {
	return s.check(ctx, s.postgres, s.warm, http.StatusNoContent, d)
}

// checkTracked is checkWarm on a server that has done nothing else in the round, as the one without last uses has not.
func (s *suite) checkTracked(ctx context.Context, d time.Duration) (measurement, error) {
	return s.check(ctx, s.others[0], s.warm, http.StatusNoContent, d)
}

func (s *suite) checkUntracked(ctx context.Context, d time.Duration) (measurement, error) {
	return s.check(ctx, s.untracked, s.warm, http.StatusNoContent, d)
}

func (s *suite) checkFew(ctx context.Context, d time.Duration) (measurement, error) {
	return s.check(ctx, s.few.latchkey, s.few.tokens, http.StatusNoContent, d)
}

func (s *suite) checkMany(ctx context.Context, d time.Duration) (measurement, error) {
	return s.check(ctx, s.many.latchkey, s.many.tokens, http.StatusNoContent, d)
}

// checkMistyped presents tokens whose check part is wrong to the Account API,
// where a client presents them itself: at a gateway's check, most of the answer
// would be to the gateway.
func (s *suite) checkMistyped(ctx context.Context, d time.Duration) (measurement, error) {
	mistyped := slices.Clone(s.warm)
	for i, t := range mistyped {
		other := "x"
		if strings.HasSuffix(t.value, other) {
			other = "y"
		}
		mistyped[i].value = t.value[:len(t.value)-1] + other
	}
	var requests []request
	for _, t := range mistyped {
		requests = append(requests, request{method: http.MethodGet, path: apiPath(s.accounts[0]), token: t.value})
	}
	return wrk{url: s.postgres.url, status: http.StatusUnauthorized}.run(ctx, s.dir, requests, d)
}

func (s *suite) check(ctx context.Context, l *latchkey, tokens []known, status int, d time.Duration) (measurement, error) {
	return wrk{url: l.url, status: status}.run(ctx, s.dir, checks(tokens, s.gatewayKey), d)
}

func (s *suite) introspect(ctx context.Context, d time.Duration) (measurement, error) {
	var requests []request
	for _, t := range s.warm {
		requests = append(requests, request{
			method: http.MethodPost, path: "/oauth2/introspect", body: url.Values{"token": {t.value}}.Encode(),
			headers: []string{"X-Latchkey-Gateway: " + s.gatewayKey, "Content-Type: application/x-www-form-urlencoded"},
		})
	}
	return wrk{url: s.postgres.url, wanted: `"active":true`}.run(ctx, s.dir, requests, d)
}

// stopGateway stops every server that prepareGateway started.
func (s *suite) stopGateway() error {
	all := append(slices.Clone(s.others), s.untracked)
	for _, c := range []*cold{s.few, s.many} {
		if c != nil {
			all = append(all, c.latchkey)
		}
	}
	var errs []error
	for _, l := range all {
		if l != nil {
			errs = append(errs, l.stop())
		}
	}
	return errors.Join(errs...)
}
