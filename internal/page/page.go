// Package page cuts lists into pages by key, newest first, both ways: what
// the Relay cursor connections of the API are made from (GraphQL Cursor
// Connections Specification, section 4).
//
// Every list is ordered by a UUID version 7, which grows with time, so a
// cursor is a position and not an offset: page 10,000 costs what page 1 does.
package page

import (
	"encoding/base64"
	"slices"

	"github.com/google/uuid"

	"latchkey/internal/fault"
)

// Sizes of pages (design: "The API's additions").
const (
	// DefaultSize is the number of items when none is asked for.
	DefaultSize = 10
	// MaxSize is the most items one page may hold.
	MaxSize = 250
	// MaxSubscriptions is the most subscriptions one page may hold.
	MaxSubscriptions = 50
)

// Request is the paging part of a query as the caller wrote it.
type Request struct {
	First, Last   *int
	After, Before *string
}

// Window is a checked Request: which items to fetch.
type Window struct {
	// Size is the number of items wanted, 0 to the limit.
	Size int
	// After and Before are exclusive bounds in list order (newest first):
	// an item lies after a cursor if its key is smaller. Nil is no bound.
	After, Before *uuid.UUID
	// Backward asks for the last Size items of the bounded list instead of
	// the first. The items are in list order either way.
	Backward bool
}

// Window checks r against the largest size allowed. It returns every fault it
// finds (fault.Invalid), each with the argument at fault.
func (r Request) Window(largest int) (Window, error) {
	w := Window{Size: DefaultSize}
	var faults fault.List
	if r.First != nil && r.Last != nil {
		faults = append(faults, fault.Errorf(fault.Invalid, "Give first or last, not both.").On("last"))
	}
	size := func(field string, n *int) {
		if n == nil {
			return
		}
		if *n < 0 || *n > largest {
			faults = append(faults, fault.Errorf(fault.Invalid, "A page holds 0 to %d items.", largest).On(field))
		}
		w.Size = *n
	}
	size("first", r.First)
	size("last", r.Last)
	w.Backward = r.Last != nil
	bound := func(field string, cursor *string) *uuid.UUID {
		if cursor == nil {
			return nil
		}
		key, err := parseCursor(*cursor)
		if err != nil {
			faults = append(faults, err.On(field))
			return nil
		}
		return &key
	}
	w.After = bound("after", r.After)
	w.Before = bound("before", r.Before)
	return w, faults.Err()
}

// Page is one page of a list.
type Page[T any] struct {
	// Items are in list order, newest first.
	Items []Item[T]
	// HasNext and HasPrevious say whether the list goes on after the last
	// item and before the first one.
	HasNext, HasPrevious bool
}

// Item is one element of a list with its position.
type Item[T any] struct {
	Node T
	Key  uuid.UUID
}

// Cursor is the item's position, opaque to callers.
func (i Item[T]) Cursor() string { return Cursor(i.Key) }

// Cut makes a page of the items fetched for w: up to w.Size+1 of them, in the
// order they were fetched, which for a backward window is oldest first.
func Cut[T any](w Window, fetched []Item[T]) Page[T] {
	more := len(fetched) > w.Size
	if more {
		fetched = fetched[:w.Size]
	}
	if w.Backward {
		slices.Reverse(fetched)
		return Page[T]{Items: fetched, HasPrevious: more || w.After != nil, HasNext: w.Before != nil}
	}
	return Page[T]{Items: fetched, HasNext: more || w.Before != nil, HasPrevious: w.After != nil}
}

// Cursor encodes a key as an opaque cursor.
func Cursor(key uuid.UUID) string { return base64.RawURLEncoding.EncodeToString(key[:]) }

func parseCursor(cursor string) (uuid.UUID, *fault.Error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	// The decoder skips line breaks, which no cursor of ours has.
	if err != nil || len(raw) != len(uuid.UUID{}) || Cursor(uuid.UUID(raw)) != cursor {
		return uuid.UUID{}, fault.Errorf(fault.Invalid, "This is no cursor. Pass one that this list returned, unchanged.")
	}
	return uuid.UUID(raw), nil
}
