// Package canary continuously measures how long a revocation takes to reach every
// replica. It creates a gateway key, lets every replica cache it, deletes it, and
// sends it to each replica until the replica rejects it.
package canary

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/gateway/keys"
	"latchkey/internal/secret"
)

// Name is the name of the canary's keys, which exist for one round.
const Name = "Latchkey's canary, gone in a moment"

const (
	// patience is the time in which a replica must answer, and must reject the key.
	// It is longer than the lease, so that lags beyond the lease are measured.
	patience = 5 * time.Second
	// pollInterval is the time between two requests to a replica.
	pollInterval = 2 * time.Millisecond
	// abandonedAfter is the age at which a key is deleted because the server that
	// created it must have stopped.
	abandonedAfter = 10 * time.Minute
	// path is the path of introspection (RFC 7662), which accepts a gateway key.
	path = "/oauth2/introspect"
)

// Keys creates and deletes gateway keys.
type Keys interface {
	Create(ctx context.Context, by *auth.Principal, name string) (keys.Key, secret.Secret, error)
	Delete(ctx context.Context, by *auth.Principal, id uuid.UUID) error
	List(ctx context.Context, by *auth.Principal) ([]keys.Key, error)
}

// Canary measures the lag of revocations.
type Canary struct {
	keys     Keys
	replicas func(context.Context) ([]access.Replica, error)
	by       auth.Principal
	client   *http.Client
	now      clock.Clock
	lag      *prometheus.HistogramVec
	failures prometheus.Counter
	last     prometheus.Gauge
	log      *slog.Logger
}

// Dial connects to a replica whose URL is https.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// New returns a canary that measures the replicas that the function returns. It
// does nothing until Run or Round. If dial is nil, the certificates of replicas
// must be valid for the hosts of their URLs.
func New(keys Keys, replicas func(context.Context) ([]access.Replica, error), dial Dial, now clock.Clock,
	log *slog.Logger) *Canary {
	return &Canary{
		keys: keys, replicas: replicas, by: auth.OperatorPrincipal(), now: now, log: log,
		client: &http.Client{
			Timeout:   patience,
			Transport: &http.Transport{DialTLSContext: dial, MaxIdleConnsPerHost: 1, IdleConnTimeout: patience},
			// A key is sent only to replicas.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		lag: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "latchkey_revocation_lag_seconds",
			Help:    "Time from the answer to a revocation until the replica rejected the credential, or until it was last seen to accept it, measured by this server's canary.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 5},
		}, []string{"replica"}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "latchkey_canary_failures_total",
			Help: "Replicas that the canary could not measure, and rounds that it could not run.",
		}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "latchkey_canary_last_success_timestamp_seconds",
			Help: "When the canary last measured every replica, in seconds since 1970; 0 before the first time.",
		}),
	}
}

// Collectors returns the canary's metrics.
func (c *Canary) Collectors() []prometheus.Collector {
	return []prometheus.Collector{c.lag, c.failures, c.last}
}

// Run measures at every interval until ctx ends.
func (c *Canary) Run(ctx context.Context, interval time.Duration) {
	defer c.client.CloseIdleConnections()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.Round(ctx)
		}
	}
}

// Round measures every replica once. It counts and logs failures.
func (c *Canary) Round(ctx context.Context) {
	if err := c.round(ctx); err != nil && ctx.Err() == nil {
		c.failures.Inc()
		c.log.WarnContext(ctx, "the canary could not run", "error", err)
	}
}

func (c *Canary) round(ctx context.Context) error {
	if err := c.sweep(ctx); err != nil {
		return err
	}
	replicas, err := c.replicas(ctx)
	if err != nil {
		return err
	}
	key, value, err := c.keys.Create(ctx, &c.by, Name)
	if err != nil {
		return err
	}
	warm := c.each(ctx, replicas, func(r access.Replica) error {
		if shared(replicas, r) {
			return errors.New(
				"another replica has the same URL, so the replica that answers is ambiguous: set --replica-url")
		}
		return c.warm(ctx, r, value)
	})
	// Delete the key even if ctx is done.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := c.keys.Delete(ending, &c.by, key.ID); err != nil {
		return fmt.Errorf("delete the canary's key: %w", err)
	}
	deleted := c.now()
	measured := c.each(ctx, warm, func(r access.Replica) error { return c.measure(ctx, r, value, deleted) })
	if len(measured) == len(replicas) {
		c.last.Set(float64(c.now().Unix()))
	}
	return nil
}

// shared reports whether a replica with another name has the same URL, such as
// servers of several machines on a loopback address. An entry with the same name is
// the same server, from before a crash.
func shared(replicas []access.Replica, r access.Replica) bool {
	return slices.ContainsFunc(replicas, func(other access.Replica) bool {
		return other.URL == r.URL &&
			other.Name != r.Name
	})
}

// sweep deletes the keys of canaries that stopped during a round.
func (c *Canary) sweep(ctx context.Context) error {
	keys, err := c.keys.List(ctx, &c.by)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if k.Name == Name && c.now().Sub(k.CreatedAt) > abandonedAfter {
			// Another replica's canary may have deleted it first.
			if err := c.keys.Delete(ctx, &c.by, k.ID); err != nil && fault.KindOf(err) != fault.NotFound {
				return err
			}
		}
	}
	return nil
}

// each calls work for all replicas concurrently, and returns the replicas for which
// it succeeded. It counts and logs the errors of the others, unless ctx is done.
func (c *Canary) each(ctx context.Context, replicas []access.Replica,
	work func(access.Replica) error) []access.Replica {
	errs := make([]error, len(replicas))
	var working sync.WaitGroup
	for i, r := range replicas {
		working.Go(func() { errs[i] = work(r) })
	}
	working.Wait()
	var good []access.Replica
	for i, r := range replicas {
		switch {
		case errs[i] == nil:
			good = append(good, r)
		case ctx.Err() == nil:
			c.failures.Inc()
			c.log.WarnContext(ctx, "the canary could not measure a replica", "replica", r.Name, "error", errs[i])
		}
	}
	return good
}

// warm makes the replica cache the key. It sends the key twice: the first request
// can be answered from the database, the second only from the cache.
func (c *Canary) warm(ctx context.Context, r access.Replica, key secret.Secret) error {
	for range 2 {
		status, err := c.ask(ctx, r, key)
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return fmt.Errorf("it answered %d to a valid key", status)
		}
	}
	return nil
}

// measure records the time from the deletion of the key until the replica rejected
// it. If the replica did not reject it, measure records how long the replica
// accepted it, if that is longer than the lease.
func (c *Canary) measure(ctx context.Context, r access.Replica, key secret.Secret, deleted time.Time) error {
	lag, err := c.watch(ctx, r, key, deleted)
	if err == nil || lag > access.Lease {
		c.lag.WithLabelValues(r.Name).Observe(lag.Seconds())
	}
	return err
}

// watch sends the key until it is rejected, and returns the time since its
// deletion. With an error it returns the time for which the replica was seen to
// accept the deleted key.
func (c *Canary) watch(ctx context.Context, r access.Replica, key secret.Secret, deleted time.Time) (time.Duration,
	error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var accepted time.Duration
	for {
		sent := c.now()
		status, err := c.ask(ctx, r, key)
		switch {
		case err == nil && status == http.StatusUnauthorized:
			return c.now().Sub(deleted), nil
		case err == nil && status != http.StatusOK:
			return accepted, fmt.Errorf("it answered %d to a deleted key", status)
		case err == nil:
			accepted = sent.Sub(deleted)
		case ctx.Err() == nil:
			return accepted, err
		}
		select {
		case <-ctx.Done():
			return accepted, unrefused(accepted)
		case <-time.After(pollInterval):
		}
	}
}

// unrefused returns the error for a replica that did not reject the key in time.
func unrefused(accepted time.Duration) error {
	if accepted == 0 {
		return fmt.Errorf("it did not answer within %s after the deletion of the key", patience)
	}
	return fmt.Errorf("it accepted a key %s after the deletion, and did not reject it within %s",
		accepted.Round(time.Millisecond), patience)
}

// ask sends the key to a replica as both the credential and the token to
// introspect. Errors do not contain the key.
func (c *Canary) ask(ctx context.Context, r access.Replica, key secret.Secret) (status int, err error) {
	form := url.Values{"token": {key.Reveal()}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL+path, strings.NewReader(form))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Bearer "+key.Reveal())
	res, err := c.client.Do(req)
	if err != nil {
		return 0, err
	}
	// The connection is reused only if the response is read.
	const longest = 1 << 16
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, longest))
	return res.StatusCode, errors.Join(err, res.Body.Close())
}
