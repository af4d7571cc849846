package access

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/secret"
)

// Memory remembers what the database said, for as long as it hears of every
// change that could take a right away.
//
// It counts the changes it hears. What is remembered has the count from before
// it was read from the database, and each account and API token the count of
// its latest change: it is good if no change of its account, nor of itself,
// came after it was read. Accounts and tokens share slots, which costs a
// needless read now and then and bounds the room they take.
type Memory struct {
	records *shelf[secret.Digest, Record] // by fingerprint, or by digest where there is none
	stores  *shelf[string, Store]
	places  *shelf[placeName, place]
	// familiar are some of the records, in front of them all.
	familiar familiar
	heard    atomic.Uint64
	floor    atomic.Uint64
	latest   [65536]atomic.Uint64
	hearing  func() bool
	now      func() time.Time
}

// NewMemory returns a memory of at most size credentials, and as many stores of
// either sort, each at most age old. It is used only while hearing reports that
// changes are heard; see Changed and Forget for what the hearer calls. The time
// that reading takes is told by now.
func NewMemory(size int, age time.Duration, hearing func() bool, now func() time.Time) (*Memory, error) {
	m := &Memory{hearing: hearing, now: now}
	m.familiar = familiar{memory: m, slots: make([]atomic.Pointer[acquaintance], max(0, min(size/4, mostFamiliar)))}
	var err error
	m.records, err = newShelf(m, size-len(m.familiar.slots), age, func(d secret.Digest) string { return string(d[:]) },
		func(r *Record) [2]uuid.UUID { return [2]uuid.UUID{r.Principal.AccountID, r.Principal.ID} })
	if err != nil {
		return nil, err
	}
	m.stores, err = newShelf(m, size, age, func(hash string) string { return hash }, func(s *Store) [2]uuid.UUID { return [2]uuid.UUID{s.AccountID, s.AccountID} })
	if err != nil {
		return nil, err
	}
	if m.places, err = newShelf(m, size, age, placeName.text, (*place).changesWith); err != nil {
		return nil, err
	}
	return m, nil
}

// Close ends the memory's housekeeping. It may be used afterwards, and drops
// aged records no more by itself but still when they are asked for.
func (m *Memory) Close() {
	m.records.close()
	m.stores.close()
	m.places.close()
}

// Changed tells the memory that something of an account changed, or of one
// principal in it, such as an API token. When it returns, nothing remembered of
// the account or the principal is used again.
func (m *Memory) Changed(id uuid.UUID) {
	count := m.heard.Add(1)
	raise(&m.latest[slot(id)], count)
}

// Forget tells the memory that changes may have been missed.
func (m *Memory) Forget() { raise(&m.floor, m.heard.Add(1)) }

// raise lifts a counter to at least count: of two changes at once, the later
// one stays.
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

// good says whether what was read of an account and a principal, when before
// changes had been heard, is still true.
func (m *Memory) good(before uint64, of [2]uuid.UUID) bool {
	return before >= m.floor.Load() && before >= m.latest[slot(of[0])].Load() && before >= m.latest[slot(of[1])].Load()
}
