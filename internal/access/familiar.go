package access

import (
	"slices"
	"sync/atomic"
	"time"

	"latchkey/internal/secret"
)

// familiar knows secrets again that were presented a moment ago, without taking
// them apart and looking them up: gateways show their keys whenever they ask,
// and the clients they ask about come back, too.
//
// What it keeps is the memory's, and good for as long as that is. After a
// second the memory is asked again, so that it hears which secrets are in use.
type familiar struct {
	memory *Memory
	slots  []atomic.Pointer[acquaintance]
}

const (
	familiarAge = time.Second
	// mostFamiliar bounds the room that they take to some 100 KB.
	mostFamiliar = 1024
)

type acquaintance struct {
	fingerprint secret.Digest
	kind        secret.Kind
	record      remembered[Record]
	until       time.Time
}

// slot returns where the secret has its place: by its last two characters,
// which are of its check part and so are any two with the same chance. It
// returns nil where there is none.
func (f *familiar) slot(presented string) *atomic.Pointer[acquaintance] {
	n := len(presented)
	if len(f.slots) == 0 || n < 2 {
		return nil
	}
	return &f.slots[(int(presented[n-1])<<5^int(presented[n-2]))%len(f.slots)]
}

// recall returns what is remembered of the secret, if it is of one of the
// kinds, or nil.
func (f *familiar) recall(presented string, kinds []secret.Kind, now func() time.Time) *Record {
	slot := f.slot(presented)
	if slot == nil {
		return nil
	}
	a := slot.Load()
	if a == nil || !f.good(a, now()) || a.fingerprint != secret.Fingerprint(presented) || !slices.Contains(kinds, a.kind) {
		return nil
	}
	return a.record.value
}

// keep makes a secret familiar that the memory knows, where there is room:
// whoever has a place keeps it for a second, so that many secrets do not spend
// their time on taking it from each other.
func (f *familiar) keep(value secret.Secret, fingerprint secret.Digest, now time.Time) {
	slot := f.slot(value.Reveal())
	if slot == nil {
		return
	}
	if before := slot.Load(); before != nil && f.good(before, now) {
		return
	}
	if e, ok := f.memory.records.there.GetEntry(fingerprint); ok {
		slot.Store(&acquaintance{fingerprint, value.Kind(), e.Value, now.Add(min(familiarAge, e.ExpiresAfter()))})
	}
}

func (f *familiar) good(a *acquaintance, now time.Time) bool {
	return now.Before(a.until) && f.memory.hearing() && f.memory.records.good(a.record)
}
