package access

import (
	"time"

	"github.com/google/uuid"
	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"latchkey/internal/fault"
)

// Misses have a small cache of their own and a short TTL, so that made-up keys cannot evict values.
const (
	maxMisses = 10_000
	missTTL   = 5 * time.Second
)

// cache is one of the Caches.
type cache[K comparable, V any] struct {
	caches *Caches
	// hits holds the values that were found. misses is the negative cache: it holds the version at which each lookup of
	// a key that was not found began.
	hits    *otter.Cache[K, cached[V]]
	misses  *otter.Cache[K, uint64]
	flights singleflight.Group
	// flightKey returns the singleflight key, and owners the account and principal whose changes invalidate a value.
	flightKey func(K) string
	owners    func(*V) [2]uuid.UUID
	counts    cacheCounts
}

type cached[V any] struct {
	value *V
	// version is the value of Caches.version when the read began.
	version uint64
}

func newCache[K comparable, V any](
	caches *Caches, size int, age time.Duration, flightKey func(K) string, owners func(*V) [2]uuid.UUID,
) (*cache[K, V], error) {
	hits, err := otter.New(&otter.Options[K, cached[V]]{
		MaximumSize: size, ExpiryCalculator: otter.ExpiryWriting[K, cached[V]](age),
	})
	if err != nil {
		return nil, err
	}
	misses, err := otter.New(&otter.Options[K, uint64]{
		MaximumSize: min(size, maxMisses), ExpiryCalculator: otter.ExpiryWriting[K, uint64](min(age, missTTL)),
	})
	if err != nil {
		return nil, err
	}
	return &cache[K, V]{caches: caches, hits: hits, misses: misses, flightKey: flightKey, owners: owners}, nil
}

func (c *cache[K, V]) close() {
	c.hits.StopAllGoroutines()
	c.misses.StopAllGoroutines()
}

// get returns the cached value of the key if it is valid, otherwise the result of load. It returns fault.NotFound if
// there is no value.
func (c *cache[K, V]) get(key K, load func() (*V, error)) (*V, error) {
	if !c.caches.subscribed() {
		c.counts.misses.Add(1)
		return withinLease(c.caches.now, load)
	}
	if r, ok := c.hits.GetIfPresent(key); ok && c.valid(r) {
		c.counts.hits.Add(1)
		return r.value, nil
	}
	if c.isMiss(key) {
		c.counts.hits.Add(1)
		return nil, errNotFound()
	}
	c.counts.misses.Add(1)
	return c.coalesce(key, load)
}

// isMiss reports whether the key is in the negative cache and no change was received since, which could have added it.
func (c *cache[K, V]) isMiss(key K) bool {
	version, ok := c.misses.GetIfPresent(key)
	return ok && version == c.caches.version.Load()
}

func errNotFound() error { return fault.Errorf(fault.NotFound, "Not found.") }

// coalesce merges concurrent loads of the same key (singleflight). A caller does not use the shared result, and loads
// again, if a change arrived during the load, if the process is not subscribed to changes, or if another caller's load
// failed: that failure may be due to its own context.
func (c *cache[K, V]) coalesce(key K, load func() (*V, error)) (*V, error) {
	mine := false
	found, err, _ := c.flights.Do(c.flightKey(key), func() (any, error) {
		mine = true
		return c.load(key, load)
	})
	r, _ := found.(cached[V])
	switch {
	case mine && err != nil:
		return nil, err
	case !c.caches.subscribed():
	case err == nil && c.valid(r):
		return r.value, nil
	case fault.KindOf(err) == fault.NotFound && c.isMiss(key):
		return nil, err
	}
	return withinLease(c.caches.now, load)
}

// load reads the value, and caches it unless a change arrived during the read.
func (c *cache[K, V]) load(key K, load func() (*V, error)) (cached[V], error) {
	version := c.caches.version.Load()
	value, err := load()
	switch {
	case fault.KindOf(err) == fault.NotFound:
		c.misses.Set(key, version)
		return cached[V]{}, err
	case err != nil:
		return cached[V]{}, err
	}
	r := cached[V]{value, version}
	if c.valid(r) {
		c.hits.Set(key, r)
	}
	return r, nil
}

func (c *cache[K, V]) valid(r cached[V]) bool { return c.caches.valid(r.version, c.owners(r.value)) }
