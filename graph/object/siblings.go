package object

import (
	"sync"

	"github.com/google/uuid"

	"latchkey/internal/paging"
)

// Siblings are the objects of one type on one level of a response, across all
// lists of the level. A field of one of them is loaded for all of them at once, so
// a nested list costs one query for each level, not one for each object, and needs
// no timers to collect a batch. It is safe for concurrent use.
type Siblings[T any] struct {
	all func() []T

	mu    sync.Mutex
	loads map[any]func() (any, error)
}

// NewSiblings returns the objects as each other's siblings.
func NewSiblings[T any](all []T) *Siblings[T] {
	return &Siblings[T]{all: func() []T { return all }, loads: map[any]func() (any, error){}}
}

// SiblingsOf returns the items of pages as each other's siblings. They are collected when a field is loaded, which most
// requests for a list do not need.
func SiblingsOf[T any](pages ...paging.Page[T]) *Siblings[T] {
	return &Siblings[T]{all: func() []T { return Nodes(pages...) }, loads: map[any]func() (any, error){}}
}

// Load returns the values of a field for all siblings, by ID. key identifies the
// field and its arguments. The first call for a key runs load; the others wait and
// share its result or error.
func Load[T any, K comparable, V any](
	s *Siblings[T], key K, load func(all []T) (map[uuid.UUID]V, error),
) (map[uuid.UUID]V, error) {
	s.mu.Lock()
	once, ok := s.loads[key]
	if !ok {
		once = sync.OnceValues(func() (any, error) { return load(s.all()) })
		s.loads[key] = once
	}
	s.mu.Unlock()
	values, err := once()
	if err != nil {
		return nil, err
	}
	return values.(map[uuid.UUID]V), nil
}
