// Package ratelimit counts requests against rates: one bucket for each key,
// such as an API token or a client's address. A bucket starts full, loses one
// for each request and fills evenly, so that a rate of 100 a minute allows 100
// requests at once, and then one every 600 ms.
//
// The buckets are those of one process. Several replicas behind a load
// balancer allow up to that many times the rate.
//
// A clock that is set back lets requests wait longer, by half a window at most:
// buckets that would then take longer to fill count as full.
package ratelimit

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
)

// Rate is how many requests a key may make in a window. Both are positive.
type Rate struct {
	Requests int
	Window   time.Duration
}

// State is how a key stands with its rate.
type State struct {
	// Left is how many requests it may make at once.
	Left int
	// Full is the time until it may make all of them again.
	Full time.Duration
	// Wait is the time until it may make the next one; zero while some are
	// left. When several could not be taken at once, it is the time until they
	// can be.
	Wait time.Duration
}

// Buckets are the buckets of one rate. They are safe for concurrent use, and
// have nothing that must be closed.
type Buckets[K comparable] struct {
	// full is what a full bucket is worth, and each is what one request costs.
	// Both are times: a bucket is known by how long it takes until it is full.
	full, each time.Duration
	window     time.Duration
	requests   int
	buckets    *otter.Cache[K, *bucket]
	// added counts the buckets that were added since the last sweep.
	added atomic.Int64
}

// bucket is two moments, in Unix time in nanoseconds. One moment is enough to
// say how full a bucket is, and is changed without a lock.
type bucket struct {
	fullAt atomic.Int64
	told   atomic.Int64
}

// New returns buckets for at most most keys. With more keys than that, those
// that are seldom used start anew. It returns an error for a rate or a number
// that is not positive, and for more than a request per nanosecond.
func New[K comparable](r Rate, most int) (*Buckets[K], error) {
	if r.Requests <= 0 || most <= 0 || r.Window < time.Duration(r.Requests) {
		return nil, errors.New("make rate limit: the rate and the number of keys must be positive")
	}
	buckets, err := otter.New(&otter.Options[K, *bucket]{MaximumSize: most})
	if err != nil {
		return nil, err
	}
	// Rounded up: rounded down, a short window would allow more than the rate in the long run.
	each := (r.Window + time.Duration(r.Requests) - 1) / time.Duration(r.Requests)
	return &Buckets[K]{
		full: each * time.Duration(r.Requests), each: each, window: r.Window, requests: r.Requests, buckets: buckets,
	}, nil
}

// Take takes one request from the key's bucket, and reports how the key stands
// then and whether there was one.
func (b *Buckets[K]) Take(key K, now time.Time) (State, bool) { return b.TakeN(key, 1, now) }

// TakeN takes n requests from the key's bucket, or none if there are fewer. It
// reports how the key stands then and whether they were taken. More than Most
// are never there.
func (b *Buckets[K]) TakeN(key K, n int, now time.Time) (State, bool) {
	one, known := b.buckets.GetIfPresent(key)
	if !known {
		b.sweep(now)
		one, _ = b.buckets.ComputeIfAbsent(key, func() (*bucket, bool) { return &bucket{}, false })
	}
	cost := b.each * time.Duration(n)
	for {
		before := one.fullAt.Load()
		missing := b.missing(before, now)
		if cost > 0 && missing+cost > b.full {
			return b.state(missing, cost), false
		}
		after := now.Add(missing + cost).UnixNano()
		if one.fullAt.CompareAndSwap(before, after) {
			return b.state(missing+cost, b.each), true
		}
	}
}

// Most is how many requests a full bucket has.
func (b *Buckets[K]) Most() int { return b.requests }

// fewestAdded is how many buckets are added at least between two sweeps.
const fewestAdded = 1024

// sweep drops the buckets that are full again, which say nothing, once half as
// many were added as there are: so adding one stays cheap. A request that is taken
// from a full bucket at this very moment may not be counted.
func (b *Buckets[K]) sweep(now time.Time) {
	added := b.added.Add(1)
	if added < int64(max(fewestAdded, b.buckets.EstimatedSize()/2)) || !b.added.CompareAndSwap(added, 0) {
		return
	}
	for key, one := range b.buckets.All() {
		told := time.Duration(now.UnixNano() - one.told.Load()).Abs()
		if b.missing(one.fullAt.Load(), now) == 0 && told >= b.full {
			b.buckets.Invalidate(key)
		}
	}
}

// Look reports how the key stands, without taking anything.
func (b *Buckets[K]) Look(key K, now time.Time) State {
	one, known := b.buckets.GetIfPresent(key)
	if !known {
		return State{Left: b.requests}
	}
	return b.state(b.missing(one.fullAt.Load(), now), b.each)
}

// missing is the time from now until fullAt, when a bucket is full. Requests
// at once come with moments a little apart, so it can be a little more than an
// empty bucket takes. A moment that is half a window further away than that was
// taken from a clock that was set back since, and means nothing any more.
func (b *Buckets[K]) missing(fullAt int64, now time.Time) time.Duration {
	missing := time.Duration(fullAt - now.UnixNano())
	if missing < 0 || missing > b.full+b.full/2 {
		return 0
	}
	return missing
}

// state is how a key stands whose bucket is full in the time that is missing,
// and that waits for what costs next.
func (b *Buckets[K]) state(missing, next time.Duration) State {
	return State{
		Left: max(0, int((b.full-missing)/b.each)),
		Full: max(0, missing-(b.full-b.window)),
		Wait: max(0, missing+next-b.full),
	}
}

// Tell reports whether a refusal of the key is worth a word: it is the first
// for a window.
func (b *Buckets[K]) Tell(key K, now time.Time) bool {
	one, known := b.buckets.GetIfPresent(key)
	if !known {
		return false
	}
	last := one.told.Load()
	return time.Duration(now.UnixNano()-last).Abs() >= b.full && one.told.CompareAndSwap(last, now.UnixNano())
}

// Return gives one request back to the key's bucket.
func (b *Buckets[K]) Return(key K, now time.Time) {
	one, known := b.buckets.GetIfPresent(key)
	for known {
		before := one.fullAt.Load()
		after := now.Add(max(0, b.missing(before, now)-b.each)).UnixNano()
		if after >= before || one.fullAt.CompareAndSwap(before, after) {
			return
		}
	}
}

// Forget fills the key's bucket.
func (b *Buckets[K]) Forget(key K) { b.buckets.Invalidate(key) }
