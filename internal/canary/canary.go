// Package canary measures, all the time and on the real thing, how long a
// revocation takes to be refused everywhere: it makes a gateway's key, has it
// remembered by every replica, deletes it, and asks each of them for it until
// it is refused.
package canary

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
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
	"latchkey/internal/fault"
	"latchkey/internal/gateway"
	"latchkey/internal/secret"
)

// Name is that of the canary's keys, which live for as long as a round takes.
const Name = "Latchkey's canary, gone in a moment"

const (
	// patience is how long a replica has to answer, and to refuse. It is more
	// than the bound, so that what breaks the bound is measured.
	patience = 5 * time.Second
	// pollInterval lies between two questions to a replica.
	pollInterval = 2 * time.Millisecond
	// abandonedAfter is the age of a key whose maker must have died.
	abandonedAfter = 10 * time.Minute
	// path is where a replica is asked: introspection (RFC 7662), which a
	// gateway's key opens.
	path = "/oauth2/introspect"
)

// Keys makes and ends keys of gateways.
type Keys interface {
	Create(ctx context.Context, by *auth.Principal, name string) (gateway.Key, secret.Secret, error)
	Delete(ctx context.Context, by *auth.Principal, id uuid.UUID) error
	List(ctx context.Context, by *auth.Principal) ([]gateway.Key, error)
}

// Canary measures the lag of revocations.
type Canary struct {
	keys     Keys
	replicas func(context.Context) ([]access.Replica, error)
	by       auth.Principal
	client   *http.Client
	now      func() time.Time
	lag      *prometheus.HistogramVec
	failures prometheus.Counter
	log      *slog.Logger
}

// New returns a canary that does nothing until it runs. It asks the replicas
// that the function returns.
func New(keys Keys, replicas func(context.Context) ([]access.Replica, error), now func() time.Time, log *slog.Logger) *Canary {
	return &Canary{
		keys: keys, replicas: replicas, by: auth.OperatorPrincipal(), now: now, log: log,
		client: &http.Client{
			Timeout:   patience,
			Transport: &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: patience},
			// A key is shown to nobody but a replica.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		lag: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "latchkey_revocation_lag_seconds", Help: "Time from the answer to a revocation until the replica refused the credential, or was last seen to honour it, measured by this server's canary.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 5},
		}, []string{"replica"}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "latchkey_canary_failures_total", Help: "Replicas that the canary could not measure, and rounds that it could not run.",
		}),
	}
}

// Collectors are the canary's metrics.
func (c *Canary) Collectors() []prometheus.Collector {
	return []prometheus.Collector{c.lag, c.failures}
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

// Round measures every replica once. What cannot be measured is counted and
// logged.
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
			return errors.New("another replica has the same URL, so nobody knows who answers: set --replica-url")
		}
		return c.warm(ctx, r, value)
	})
	// The key goes, whatever has become of ctx.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := c.keys.Delete(ending, &c.by, key.ID); err != nil {
		return fmt.Errorf("delete the canary's key: %w", err)
	}
	deleted := c.now()
	c.each(ctx, warm, func(r access.Replica) error { return c.measure(ctx, r, value, deleted) })
	return nil
}

// shared reports whether a replica of another name has the same URL, as those
// do that listen on the loopback addresses of several machines. One of the same
// name is the same, before a crash.
func shared(replicas []access.Replica, r access.Replica) bool {
	return slices.ContainsFunc(replicas, func(other access.Replica) bool { return other.URL == r.URL && other.Name != r.Name })
}

// sweep deletes the keys of canaries that died in the middle of a round.
func (c *Canary) sweep(ctx context.Context) error {
	keys, err := c.keys.List(ctx, &c.by)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if k.Name == Name && c.now().Sub(k.CreatedAt) > abandonedAfter {
			// Another replica's canary may have been quicker.
			if err := c.keys.Delete(ctx, &c.by, k.ID); err != nil && fault.KindOf(err) != fault.NotFound {
				return err
			}
		}
	}
	return nil
}

// each does work for all replicas at once and returns those where it went
// well. The others are counted and logged, unless ctx has ended.
func (c *Canary) each(ctx context.Context, replicas []access.Replica, work func(access.Replica) error) []access.Replica {
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

// warm has the replica remember the key: it is asked twice, since what the
// first answer takes from the database the second takes from memory.
func (c *Canary) warm(ctx context.Context, r access.Replica, key secret.Secret) error {
	for range 2 {
		status, err := c.ask(ctx, r, key)
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return fmt.Errorf("it answers %d to a key that works", status)
		}
	}
	return nil
}

// measure notes how long after its deletion the key was refused and, where it
// was not, how long it was honoured, if that breaks the bound.
func (c *Canary) measure(ctx context.Context, r access.Replica, key secret.Secret, deleted time.Time) error {
	lag, err := c.watch(ctx, r, key, deleted)
	if err == nil || lag > access.Lease {
		c.lag.WithLabelValues(r.Name).Observe(lag.Seconds())
	}
	return err
}

// watch asks until the key is refused, and returns how long after its deletion
// that was answered. With an error it returns for how long after its deletion
// the key was seen to be honoured.
func (c *Canary) watch(ctx context.Context, r access.Replica, key secret.Secret, deleted time.Time) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var honoured time.Duration
	for {
		asked := c.now()
		status, err := c.ask(ctx, r, key)
		switch {
		case err == nil && status == http.StatusUnauthorized:
			return c.now().Sub(deleted), nil
		case err == nil && status != http.StatusOK:
			return honoured, fmt.Errorf("it answers %d to a key that was deleted", status)
		case err == nil:
			honoured = asked.Sub(deleted)
		case ctx.Err() == nil:
			return honoured, err
		}
		select {
		case <-ctx.Done():
			return honoured, unrefused(honoured)
		case <-time.After(pollInterval):
		}
	}
}

// unrefused says what was seen of a replica whose refusal was waited for in
// vain.
func unrefused(honoured time.Duration) error {
	if honoured == 0 {
		return fmt.Errorf("it has not answered within %s after a key was deleted", patience)
	}
	return fmt.Errorf("it honoured a key %s after that was deleted, and has not refused it within %s", honoured.Round(time.Millisecond), patience)
}

// ask asks a replica about the key, by the key. No error holds it.
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
	// The connection is used again only if the answer is read.
	const longest = 1 << 16
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, longest))
	return res.StatusCode, errors.Join(err, res.Body.Close())
}
