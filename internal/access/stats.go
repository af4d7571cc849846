package access

import "sync/atomic"

// CacheStats are the figures of a cache since the start of the process.
type CacheStats struct {
	Name string
	// Hits is the number of look-ups that were answered from memory, also with the knowledge that there is nothing.
	// Misses is the number of the others, including all while the process is not subscribed to changes.
	Hits, Misses uint64
	// Size is about how many values are in memory.
	Size int
}

// cacheCounts are counters of look-ups.
type cacheCounts struct{ hits, misses atomic.Uint64 }

// Stats returns the figures of all caches.
func (m *Caches) Stats() []CacheStats {
	return []CacheStats{m.records.stats("credentials"), m.stores.stats("stores"),
		m.accountStores.stats("stores_of_accounts")}
}

func (c *cache[K, V]) stats(name string) CacheStats {
	return CacheStats{Name: name, Hits: c.counts.hits.Load(), Misses: c.counts.misses.Load(),
		Size: c.hits.EstimatedSize()}
}
