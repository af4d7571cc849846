package access

import (
	"slices"
	"sync/atomic"
	"time"

	"latchkey/internal/clock"
	"latchkey/internal/secret"
)

// hotCache holds recently verified credentials. A hit skips parsing and digesting, which pays off for gateways: they
// present their key with each request, and their clients come back.
//
// An entry shares its record with the credential cache and is valid while it stays there. Entries expire after
// hotTTL, so that the credential cache sees which records are in use when it evicts.
type hotCache struct {
	caches *Caches
	slots  []atomic.Pointer[hotEntry]
}

const (
	hotTTL = time.Second
	// maxHot bounds the entries to about 100 KB.
	maxHot = 1024
)

type hotEntry struct {
	fingerprint secret.Digest
	kind        secret.Kind
	record      cached[Record]
	expiresAt   time.Time
}

// slot returns the slot of the secret, chosen by its last two characters. These are part of its checksum and evenly
// distributed. It returns nil if there is no slot.
func (f *hotCache) slot(presented string) *atomic.Pointer[hotEntry] {
	n := len(presented)
	if len(f.slots) == 0 || n < 2 {
		return nil
	}
	return &f.slots[(int(presented[n-1])<<5^int(presented[n-2]))%len(f.slots)]
}

// get returns the cached record of a secret of one of the kinds, or nil on a miss.
func (f *hotCache) get(presented string, kinds []secret.Kind, now clock.Clock) *Record {
	slot := f.slot(presented)
	if slot == nil {
		return nil
	}
	a := slot.Load()
	if a == nil || !f.valid(a, now()) || a.fingerprint != secret.Fingerprint(presented) ||
		!slices.Contains(kinds, a.kind) {
		return nil
	}
	f.caches.records.counts.hits.Add(1)
	return a.record.value
}

// put adds a secret that is in the credential cache, unless its slot has a valid entry. An entry keeps its slot until
// it expires, so that secrets that share a slot do not keep replacing each other.
func (f *hotCache) put(value secret.Secret, fingerprint secret.Digest, now time.Time) {
	slot := f.slot(value.Reveal())
	if slot == nil {
		return
	}
	if before := slot.Load(); before != nil && f.valid(before, now) {
		return
	}
	if e, ok := f.caches.records.hits.GetEntry(fingerprint); ok {
		slot.Store(&hotEntry{fingerprint, value.Kind(), e.Value, now.Add(min(hotTTL, e.ExpiresAfter()))})
	}
}

func (f *hotCache) valid(a *hotEntry, now time.Time) bool {
	return now.Before(a.expiresAt) && f.caches.subscribed() && f.caches.records.valid(a.record)
}
