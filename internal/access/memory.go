package access

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/maypok86/otter/v2"

	"latchkey/internal/secret"
)

// Memory remembers records by digest, for as long as it hears of every change
// that could take a right away.
//
// It counts the changes it hears. A record remembers the count from before it
// was read from the database, and each account the count of its latest
// change: a record is good if no change of its account came after it was
// read. Accounts share slots, which costs a needless read now and then and
// bounds the room they take.
type Memory struct {
	records *otter.Cache[secret.Digest, remembered]
	heard   atomic.Uint64
	floor   atomic.Uint64
	latest  [4096]atomic.Uint64
	hearing func() bool
}

type remembered struct {
	record *Record
	// before is the count of changes heard when the read began.
	before uint64
}

// NewMemory returns a memory of at most size records, each at most age old.
// It is used only while hearing reports that changes are heard; see Changed
// and Forget for what the hearer calls.
func NewMemory(size int, age time.Duration, hearing func() bool) (*Memory, error) {
	records, err := otter.New(&otter.Options[secret.Digest, remembered]{
		MaximumSize:      size,
		ExpiryCalculator: otter.ExpiryWriting[secret.Digest, remembered](age),
	})
	if err != nil {
		return nil, err
	}
	return &Memory{records: records, hearing: hearing}, nil
}

// Close ends the memory's housekeeping. It may be used afterwards, and drops
// aged records no more by itself but still when they are asked for.
func (m *Memory) Close() { m.records.StopAllGoroutines() }

// Changed tells the memory that something of the account changed. When it
// returns, nothing remembered of the account is used again.
func (m *Memory) Changed(accountID uuid.UUID) {
	count := m.heard.Add(1)
	raise(&m.latest[slot(accountID)], count)
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

func slot(accountID uuid.UUID) uint16 {
	return binary.BigEndian.Uint16(accountID[14:]) % 4096
}

// recall returns the record of the digest: the remembered one if it is good,
// otherwise what load returns.
func (m *Memory) recall(digest secret.Digest, load func() (*Record, error)) (*Record, error) {
	if !m.hearing() {
		return load()
	}
	if r, ok := m.records.GetIfPresent(digest); ok && m.good(r) {
		return r.record, nil
	}
	before := m.heard.Load()
	record, err := load()
	if err != nil {
		return nil, err
	}
	if r := (remembered{record, before}); m.good(r) {
		m.records.Set(digest, r)
	}
	return record, nil
}

func (m *Memory) good(r remembered) bool {
	return r.before >= m.floor.Load() && r.before >= m.latest[slot(r.record.Principal.AccountID)].Load()
}
