package object

import (
	"sync"

	"github.com/google/uuid"
)

// Siblings are the objects of one type that one level of an answer is made
// of, in whatever lists they stand. What is asked of one of them is asked for
// all, once: that is how a nested list costs one query per level, however many
// objects the level above has, without timers or luck.
type Siblings[T any] struct {
	all []T

	mu    sync.Mutex
	asked map[any]func() (any, error)
}

// NewSiblings returns the objects as each other's siblings.
func NewSiblings[T any](all []T) *Siblings[T] {
	return &Siblings[T]{all: all, asked: map[any]func() (any, error){}}
}

// Ask returns what answer says of all siblings to a question, which stands
// for the field and its arguments. The first to ask has it answered; all others
// wait and share the answer, or the error.
func Ask[T any, Q comparable, A any](s *Siblings[T], question Q, answer func(all []T) (map[uuid.UUID]A, error)) (map[uuid.UUID]A, error) {
	s.mu.Lock()
	once, known := s.asked[question]
	if !known {
		once = sync.OnceValues(func() (any, error) { return answer(s.all) })
		s.asked[question] = once
	}
	s.mu.Unlock()
	answers, err := once()
	if err != nil {
		return nil, err
	}
	return answers.(map[uuid.UUID]A), nil
}
