package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// pollPause is the pause between two polls: a fraction of the measured time, and little load.
const pollPause = 200 * time.Microsecond

// revocationLag revokes tokens on the replicas in turn. It returns the sorted times from each response until the last
// replica accepted the token.
func (s *suite) revocationLag(ctx context.Context) ([]time.Duration, error) {
	replicas := append([]*latchkey{s.postgres}, s.others...)
	var lags []time.Duration
	for i, t := range s.revoked {
		lag, err := s.lagOf(ctx, t, replicas[i%len(replicas)], replicas)
		if err != nil {
			return nil, fmt.Errorf("revocation %d: %w", i, err)
		}
		lags = append(lags, lag)
	}
	slices.Sort(lags)
	return lags, nil
}

// lagOf revokes a token that every replica has cached, and returns how long after the response the last of them
// accepted it.
func (s *suite) lagOf(ctx context.Context, t knownToken, at *latchkey, replicas []*latchkey) (time.Duration, error) {
	for _, l := range replicas {
		for range 2 {
			if accepted, err := s.accepts(ctx, l, t); err != nil || !accepted {
				return 0, fmt.Errorf("an active token is accepted: %v, %w", accepted, err)
			}
		}
	}
	account := s.accountOf(t)
	r, err := graphql(account, s.sessions[account.uuid], revokeDocument,
		input("ids", []string{"bc/account/apiToken/" + t.id}))
	if err != nil {
		return 0, err
	}
	var last [replicaCount]time.Time
	polls, ctx := errgroup.WithContext(ctx)
	for i, l := range replicas {
		polls.Go(func() (err error) {
			last[i], err = s.lastAccepted(ctx, l, t)
			return err
		})
	}
	if err := at.query(ctx, r, &struct{}{}); err != nil {
		return 0, err
	}
	answered := time.Now()
	if err := polls.Wait(); err != nil {
		return 0, err
	}
	latest := slices.MaxFunc(last[:], time.Time.Compare)
	return max(0, latest.Sub(answered)), nil
}

// lastAccepted polls until the token is refused, and returns the start of the last request that accepted it.
func (s *suite) lastAccepted(ctx context.Context, l *latchkey, t knownToken) (time.Time, error) {
	var last time.Time
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(pollPause) {
		sent := time.Now()
		accepted, err := s.accepts(ctx, l, t)
		if err != nil || !accepted {
			return last, err
		}
		last = sent
	}
	return last, fmt.Errorf("the token was still accepted after 10 s")
}

// accepts asks a replica about the token.
func (s *suite) accepts(ctx context.Context, l *latchkey, t knownToken) (bool, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.url+checkPath, http.NoBody)
	if err != nil {
		return false, err
	}
	r.Header.Set("X-Auth-Token", t.value)
	r.Header.Set("X-Latchkey-Gateway", s.gatewayKey)
	r.Header.Set("X-Original-Method", http.MethodGet)
	r.Header.Set("X-Original-Uri", "/stores/"+t.store+checkedPath)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return false, err
	}
	defer func() { _ = response.Body.Close() }()
	switch response.StatusCode {
	case http.StatusNoContent:
		return true, nil
	case http.StatusUnauthorized:
		return false, nil
	}
	return false, fmt.Errorf("%s answered %s", checkPath, response.Status)
}

// accountOf returns the account of a token's store, whose hash begins with the account's number.
func (s *suite) accountOf(t knownToken) account {
	var number, store int
	if _, err := fmt.Sscanf(t.store, "bench%dx%d", &number, &store); err != nil || number >= len(s.accounts) {
		return account{}
	}
	return s.accounts[number]
}
