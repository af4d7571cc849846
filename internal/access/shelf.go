package access

import (
	"time"

	"github.com/google/uuid"
	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"latchkey/internal/fault"
)

// What is not there is remembered apart from what is, in little room and for
// a short time, so that whoever makes things up can push nothing true out.
const (
	maxAbsent = 10_000
	absentAge = 5 * time.Second
)

// shelf is the part of a Memory for things of one sort.
type shelf[K comparable, V any] struct {
	memory *Memory
	// there and absent hold what a look-up found, and what it did not find
	// with the count of changes heard when it began.
	there   *otter.Cache[K, remembered[V]]
	absent  *otter.Cache[K, uint64]
	flights singleflight.Group
	// name makes a text of a key, and of tells whose changes end a value.
	name func(K) string
	of   func(*V) [2]uuid.UUID
}

type remembered[V any] struct {
	value *V
	// before is the count of changes heard when the read began.
	before uint64
}

func newShelf[K comparable, V any](m *Memory, size int, age time.Duration, name func(K) string, of func(*V) [2]uuid.UUID) (*shelf[K, V], error) {
	there, err := otter.New(&otter.Options[K, remembered[V]]{MaximumSize: size, ExpiryCalculator: otter.ExpiryWriting[K, remembered[V]](age)})
	if err != nil {
		return nil, err
	}
	absent, err := otter.New(&otter.Options[K, uint64]{MaximumSize: min(size, maxAbsent), ExpiryCalculator: otter.ExpiryWriting[K, uint64](min(age, absentAge))})
	if err != nil {
		return nil, err
	}
	return &shelf[K, V]{memory: m, there: there, absent: absent, name: name, of: of}, nil
}

func (s *shelf[K, V]) close() {
	s.there.StopAllGoroutines()
	s.absent.StopAllGoroutines()
}

// recall returns what is kept under the key: what is remembered if it is good,
// otherwise what load returns. It returns fault.NotFound when there is nothing.
func (s *shelf[K, V]) recall(key K, load func() (*V, error)) (*V, error) {
	if !s.memory.hearing() {
		return prompt(s.memory.now, load)
	}
	if r, ok := s.there.GetIfPresent(key); ok && s.good(r) {
		return r.value, nil
	}
	if s.isAbsent(key) {
		return nil, errAbsent()
	}
	return s.once(key, load)
}

// isAbsent says whether nothing was found lately, and nothing changed since
// that could have put something there.
func (s *shelf[K, V]) isAbsent(key K) bool {
	before, ok := s.absent.GetIfPresent(key)
	return ok && before == s.memory.heard.Load()
}

func errAbsent() error { return fault.Errorf(fault.NotFound, "There is no such thing.") }

// once lets one of those who ask at the same time load, and the others have
// what it found. If a change came meanwhile that it may not have seen, or could
// have come unheard, each of them loads alone, and so do the others if it
// failed: a failure can be its own.
func (s *shelf[K, V]) once(key K, load func() (*V, error)) (*V, error) {
	mine := false
	found, err, _ := s.flights.Do(s.name(key), func() (any, error) {
		mine = true
		return s.load(key, load)
	})
	r, _ := found.(remembered[V])
	switch {
	case mine && err != nil:
		return nil, err
	case !s.memory.hearing():
	case err == nil && s.good(r):
		return r.value, nil
	case fault.KindOf(err) == fault.NotFound && s.isAbsent(key):
		return nil, err
	}
	return prompt(s.memory.now, load)
}

// load reads, and remembers what it found unless it may be old already.
func (s *shelf[K, V]) load(key K, load func() (*V, error)) (remembered[V], error) {
	before := s.memory.heard.Load()
	value, err := load()
	switch {
	case fault.KindOf(err) == fault.NotFound:
		s.absent.Set(key, before)
		return remembered[V]{}, err
	case err != nil:
		return remembered[V]{}, err
	}
	r := remembered[V]{value, before}
	if s.good(r) {
		s.there.Set(key, r)
	}
	return r, nil
}

func (s *shelf[K, V]) good(r remembered[V]) bool { return s.memory.good(r.before, s.of(r.value)) }
