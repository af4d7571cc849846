// Package ratelimit limits the rate of requests by key, such as an API token or a
// client's address, with the generic cell rate algorithm (GCRA). A rate of 100 a
// minute allows a burst of 100 requests, and then one every 600 ms.
//
// Each process has its own buckets. N replicas behind a load balancer allow up to
// N times the rate.
//
// A clock that is set back makes requests wait longer, by half a window at most:
// buckets that would then take longer to fill count as full.
package ratelimit

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
)

// Rate is the number of requests that a key may make in a window. Both are positive.
type Rate struct {
	Requests int
	Window   time.Duration
}

// State is the state of a key's bucket.
type State struct {
	// Left is the number of requests that the key may make at once.
	Left int
	// Full is the time until the bucket is full again.
	Full time.Duration
	// Wait is the time until the key may make the next request; zero while some are
	// left. If TakeN took nothing, it is the time until its n requests can be taken.
	Wait time.Duration
}

// Buckets are the buckets of one rate. They are safe for concurrent use, and do not
// need to be closed.
type Buckets[K comparable] struct {
	// emissionInterval is the time in which a bucket gains one request, and burst the
	// time in which an empty bucket becomes full.
	burst, emissionInterval time.Duration
	window                  time.Duration
	requests                int
	buckets                 *otter.Cache[K, *bucket]
	// added counts the buckets that were added since the last sweep.
	added atomic.Int64
}

// bucket holds two times, in Unix time in nanoseconds. Both are changed without a lock.
// tat is the theoretical arrival time of GCRA: when the bucket is full. reportedAt is
// when a refusal was last reported.
type bucket struct {
	tat        atomic.Int64
	reportedAt atomic.Int64
}

// New returns buckets for at most most keys. With more keys than that, those
// that are seldom used are evicted and start full. It returns an error for a rate or a number
// that is not positive, and for more than one request per nanosecond.
func New[K comparable](r Rate, most int) (*Buckets[K], error) {
	if r.Requests <= 0 || most <= 0 || r.Window < time.Duration(r.Requests) {
		return nil, errors.New("make rate limit: the rate and the number of keys must be positive")
	}
	buckets, err := otter.New(&otter.Options[K, *bucket]{MaximumSize: most})
	if err != nil {
		return nil, err
	}
	// Rounded up: rounded down, a short window would allow more than the rate in the long run.
	interval := (r.Window + time.Duration(r.Requests) - 1) / time.Duration(r.Requests)
	return &Buckets[K]{
		burst: interval * time.Duration(r.Requests), emissionInterval: interval, window: r.Window, requests: r.Requests,
		buckets: buckets,
	}, nil
}

// Take takes one request from the key's bucket. It returns the state afterwards, and
// whether a request was left.
func (b *Buckets[K]) Take(key K, now time.Time) (State, bool) { return b.TakeN(key, 1, now) }

// TakeN takes n requests from the key's bucket, or none if fewer are left. It returns
// the state afterwards, and whether they were taken. It never takes more than Limit.
func (b *Buckets[K]) TakeN(key K, n int, now time.Time) (State, bool) {
	one, known := b.buckets.GetIfPresent(key)
	if !known {
		b.sweep(now)
		one, _ = b.buckets.ComputeIfAbsent(key, func() (*bucket, bool) { return &bucket{}, false })
	}
	cost := b.emissionInterval * time.Duration(n)
	for {
		before := one.tat.Load()
		missing := b.untilTAT(before, now)
		if cost > 0 && missing+cost > b.burst {
			return b.state(missing, cost), false
		}
		after := now.Add(missing + cost).UnixNano()
		if one.tat.CompareAndSwap(before, after) {
			return b.state(missing+cost, b.emissionInterval), true
		}
	}
}

// Limit returns the number of requests in a full bucket.
func (b *Buckets[K]) Limit() int { return b.requests }

// minSweep is the minimum number of buckets that are added between two sweeps.
const minSweep = 1024

// sweep drops full buckets, which carry no information. It runs once half as many were
// added as there are, so that the amortized cost of adding one is constant. A request
// that is taken from a full bucket during the sweep may not be counted.
func (b *Buckets[K]) sweep(now time.Time) {
	added := b.added.Add(1)
	if added < int64(max(minSweep, b.buckets.EstimatedSize()/2)) || !b.added.CompareAndSwap(added, 0) {
		return
	}
	for key, one := range b.buckets.All() {
		sinceReport := time.Duration(now.UnixNano() - one.reportedAt.Load()).Abs()
		if b.untilTAT(one.tat.Load(), now) == 0 && sinceReport >= b.burst {
			b.buckets.Invalidate(key)
		}
	}
}

// Peek returns the state of the key's bucket without taking a request.
func (b *Buckets[K]) Peek(key K, now time.Time) State {
	one, known := b.buckets.GetIfPresent(key)
	if !known {
		return State{Left: b.requests}
	}
	return b.state(b.untilTAT(one.tat.Load(), now), b.emissionInterval)
}

// untilTAT returns the time from now until tat, when the bucket is full. Concurrent
// requests have slightly different clocks, so it can slightly exceed burst. A tat that
// is more than half a burst beyond that comes from a clock that was set back since; it
// is ignored.
func (b *Buckets[K]) untilTAT(tat int64, now time.Time) time.Duration {
	missing := time.Duration(tat - now.UnixNano())
	if missing < 0 || missing > b.burst+b.burst/2 {
		return 0
	}
	return missing
}

// state returns the state of a bucket that is full after the time missing. next is the
// cost of the next request.
func (b *Buckets[K]) state(missing, next time.Duration) State {
	return State{
		Left: max(0, int((b.burst-missing)/b.emissionInterval)),
		Full: max(0, missing-(b.burst-b.window)),
		Wait: max(0, missing+next-b.burst),
	}
}

// ShouldReport reports whether a refusal of the key should be logged. It reports
// true for the first one in a window.
func (b *Buckets[K]) ShouldReport(key K, now time.Time) bool {
	one, known := b.buckets.GetIfPresent(key)
	if !known {
		return false
	}
	last := one.reportedAt.Load()
	return time.Duration(now.UnixNano()-last).Abs() >= b.burst && one.reportedAt.CompareAndSwap(last, now.UnixNano())
}

// Return returns one request to the key's bucket.
func (b *Buckets[K]) Return(key K, now time.Time) {
	one, known := b.buckets.GetIfPresent(key)
	for known {
		before := one.tat.Load()
		after := now.Add(max(0, b.untilTAT(before, now)-b.emissionInterval)).UnixNano()
		if after >= before || one.tat.CompareAndSwap(before, after) {
			return
		}
	}
}

// Reset fills the key's bucket.
func (b *Buckets[K]) Reset(key K) { b.buckets.Invalidate(key) }
