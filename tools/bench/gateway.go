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

// The number of tokens in the two databases for the uncached check, and the number of those that are checked in turn.
// Their servers do not cache them.
const (
	fewTokens        = 1000
	manyPerStore     = 250 // of accountCount * storesOfAccount stores: a million
	checkedAmongMany = 20_000
	warmTokens       = 16
	replicaCount     = 3
	revocationsMade  = 200
)

// checks returns the requests of a gateway about tokens.
func checks(tokens []knownToken, key string) []request {
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

// cold is an installation without caches, on a copy of the database with a number of tokens.
type cold struct {
	*latchkey
	tokens []knownToken
}

// prepareCold copies the database, adds the tokens and starts a server that reads the database for every request. The
// server does not record last uses, because the two databases would record different numbers of them; last uses have a
// row of their own.
func (s *suite) prepareCold(ctx context.Context, name string, keys *secret.Keyring, ofStore, checked int) (*cold,
	error) {
	dsn, err := s.copyDatabase(ctx, "raw", name)
	if err != nil {
		return nil, err
	}
	c := &cold{latchkey: s.postgres.on(dsn, "LATCHKEY_CACHE_SIZE=1", "LATCHKEY_LAST_USE_INTERVAL=off",
		"LATCHKEY_GATEWAY_ADDRESSES=127.0.0.1/32")}
	if c.tokens, err = addTokens(ctx, dsn, keys, ofStore, checked); err != nil {
		return nil, err
	}
	_, err = c.start(ctx)
	return c, err
}

// prepareGateway prepares the gateway's requests and the servers for them.
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
	if s.many, err = s.prepareCold(ctx, "many", keys, manyPerStore, checkedAmongMany); err != nil {
		return err
	}
	if err := addCrowd(ctx, s.cluster.DSN("many"), s.crowdAccount(), crowdSize); err != nil {
		return err
	}
	if err := addCrowd(ctx, s.cluster.DSN("few"), s.crowdAccount(), smallCrowd); err != nil {
		return err
	}
	// The others use caches: one that does not record last uses, and two more that share the database.
	dsn := s.cluster.DSN("latchkey")
	s.untracked = s.postgres.on(dsn, "LATCHKEY_LAST_USE_INTERVAL=off")
	s.others = []*latchkey{s.postgres.on(dsn), s.postgres.on(dsn)}
	// No collector listens there: its work is not the server's. The queue is full after a while, and spans are dropped.
	s.sampled = s.postgres.on(dsn, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1",
		"OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.01")
	for _, l := range append(slices.Clone(s.others), s.untracked, s.sampled) {
		if _, err := l.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *suite) checkWarm(ctx context.Context, d time.Duration) (measurement, error) {
	return s.check(ctx, s.postgres, s.warm, http.StatusNoContent, d)
}

// checkTracked is checkWarm on a server that has had no other load in the round, like the server without last uses.
func (s *suite) checkTracked(ctx context.Context, d time.Duration) (measurement, error) {
	return s.check(ctx, s.others[0], s.warm, http.StatusNoContent, d)
}

func (s *suite) checkUntracked(ctx context.Context, d time.Duration) (measurement, error) {
	return s.check(ctx, s.untracked, s.warm, http.StatusNoContent, d)
}

// checkSampled is checkTracked on a server with traces.
func (s *suite) checkSampled(ctx context.Context, d time.Duration) (measurement, error) {
	return s.check(ctx, s.sampled, s.warm, http.StatusNoContent, d)
}

func (s *suite) checkFew(ctx context.Context, d time.Duration) (measurement, error) {
	return s.check(ctx, s.few.latchkey, s.few.tokens, http.StatusNoContent, d)
}

func (s *suite) checkMany(ctx context.Context, d time.Duration) (measurement, error) {
	return s.check(ctx, s.many.latchkey, s.many.tokens, http.StatusNoContent, d)
}

// checkMistyped sends tokens with a wrong checksum to the Account API, where the client sends them itself. In a gateway
// check, most of the response would be for the gateway.
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

func (s *suite) check(ctx context.Context, l *latchkey, tokens []knownToken, status int, d time.Duration) (measurement,
	error) {
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
	return wrk{url: s.postgres.url, expected: `"active":true`}.run(ctx, s.dir, requests, d)
}

// stopGateway stops every server that prepareGateway started.
func (s *suite) stopGateway() error {
	all := append(slices.Clone(s.others), s.untracked, s.sampled)
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
