package access

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/clock"
	"latchkey/internal/secret"
)

// Caches holds the caches of credentials and stores. They are used only while the process is subscribed to every change
// that could remove a right.
//
// Invalidation is by version. version counts the changes received. A cached value has the version from before its read
// from the database, and each account and API token the version of its latest change. A value is valid if neither its
// account nor its principal changed after the read. Accounts and tokens share slots, which bounds the size and costs an
// unneeded read now and then.
type Caches struct {
	records       *cache[secret.Digest, Record] // by fingerprint, or by digest where there is none
	stores        *cache[string, Store]
	accountStores *cache[storeKey, accountStore]
	// hot holds some of the records, in front of the records cache.
	hot        hotCache
	version    atomic.Uint64
	floor      atomic.Uint64
	latest     [65536]atomic.Uint64
	subscribed func() bool
	now        clock.Clock
}

// NewCaches returns caches of at most size credentials, size stores and size stores with their accounts. Values expire
// after age. The caches are used only while subscribed reports true; the subscriber calls Invalidate and InvalidateAll.
// now measures how long reads take.
func NewCaches(size int, age time.Duration, subscribed func() bool, now clock.Clock) (*Caches, error) {
	m := &Caches{subscribed: subscribed, now: now}
	m.hot = hotCache{caches: m, slots: make([]atomic.Pointer[hotEntry], max(0, min(size/4, maxHot)))}
	var err error
	m.records, err = newCache(m, size-len(m.hot.slots), age, func(d secret.Digest) string { return string(d[:]) },
		func(r *Record) [2]uuid.UUID { return [2]uuid.UUID{r.Principal.AccountID, r.Principal.ID} })
	if err != nil {
		return nil, err
	}
	m.stores, err = newCache(m, size, age, func(hash string) string { return hash },
		func(s *Store) [2]uuid.UUID { return [2]uuid.UUID{s.AccountID, s.AccountID} })
	if err != nil {
		return nil, err
	}
	if m.accountStores, err = newCache(m, size, age, storeKey.text, (*accountStore).owners); err != nil {
		return nil, err
	}
	return m, nil
}

// Close stops the background work of the caches. They may be used afterwards: expired values are then dropped only when
// they are looked up.
func (m *Caches) Close() {
	m.records.close()
	m.stores.close()
	m.accountStores.close()
}

// Invalidate drops what is cached of an account, or of one principal in it, such as an API token. Once it returns, no
// earlier read of it is used again.
func (m *Caches) Invalidate(id uuid.UUID) {
	count := m.version.Add(1)
	raise(&m.latest[slot(id)], count)
}

// InvalidateAll drops all cached values, because changes may have been missed.
func (m *Caches) InvalidateAll() { raise(&m.floor, m.version.Add(1)) }

// raise sets a counter to at least count. Of concurrent calls, the highest count wins.
func raise(counter *atomic.Uint64, count uint64) {
	for old := counter.Load(); old < count; old = counter.Load() {
		if counter.CompareAndSwap(old, count) {
			return
		}
	}
}

func slot(id uuid.UUID) uint16 {
	return binary.BigEndian.Uint16(id[14:])
}

// valid reports whether a value that was read at the version is still valid for its owners, an account and a principal.
func (m *Caches) valid(version uint64, owners [2]uuid.UUID) bool {
	return version >= m.floor.Load() && version >= m.latest[slot(owners[0])].Load() &&
		version >= m.latest[slot(owners[1])].Load()
}
