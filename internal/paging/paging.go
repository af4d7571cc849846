// Package paging implements keyset paging in both directions, for the Relay
// connections of the API (GraphQL Cursor Connections Specification, section 4).
//
// Every list is ordered by a UUID version 7, which increases with time, newest
// first; the event log is ordered by Position, oldest first. So a cursor is a
// position and not an offset: page 10,000 costs as much as page 1.
package paging

import (
	"encoding/base64"
	"slices"

	"github.com/google/uuid"

	"latchkey/internal/fault"
)

// Sizes of pages (docs/compatibility.md: "Additions").
const (
	// DefaultSize is the number of items if the request does not give one.
	DefaultSize = 10
	// MaxSize is the most items on a page.
	MaxSize = 250
	// MaxSubscriptions is the most subscriptions on a page.
	MaxSubscriptions = 50
)

// Request has the paging arguments of a query, unchecked.
type Request struct {
	First, Last   *int
	After, Before *string
}

// Window is a checked Request for a list that is ordered by UUID, newest first: an
// item comes after a cursor if its key is smaller.
type Window = WindowOf[uuid.UUID]

// WindowOf is a checked Request for a list that is ordered by K.
type WindowOf[K any] struct {
	// Size is the most items to return, at least 0.
	Size int
	// After and Before are exclusive bounds in list order. Nil means no bound.
	After, Before *K
	// Backward selects the last Size items within the bounds instead of the first.
	// The page is in list order either way.
	Backward bool
}

// Window checks r. largest is the most items allowed. It returns fault.Invalid for
// each invalid argument.
func (r Request) Window(largest int) (Window, error) { return windowOf(r, largest, parseCursor) }

// LogWindow is Window for the event log.
func (r Request) LogWindow(largest int) (WindowOf[Position], error) {
	return windowOf(r, largest, parsePosition)
}

func windowOf[K any](r Request, largest int, parse func(string) (K, *fault.Error)) (WindowOf[K], error) {
	w := WindowOf[K]{Size: DefaultSize}
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
	bound := func(field string, cursor *string) *K {
		if cursor == nil {
			return nil
		}
		key, err := parse(*cursor)
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
	// Items are in list order.
	Items []Item[T]
	// HasNext and HasPrevious report whether there are items after the last item
	// and before the first one.
	HasNext, HasPrevious bool
}

// Item is one element of a list with its position.
type Item[T any] struct {
	Node T
	Key  uuid.UUID
	// Position is the item's position in the event log, and zero in other lists.
	Position Position
}

// Cursor returns the item's position, which is opaque to clients.
func (i Item[T]) Cursor() string {
	if i.Position != (Position{}) {
		return i.Position.cursor()
	}
	return Cursor(i.Key)
}

// Cut returns the page of w. fetched has up to w.Size+1 items in the order in which
// they were fetched: that of the list, and the opposite one for a backward window.
func Cut[K, T any](w WindowOf[K], fetched []Item[T]) Page[T] {
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
	raw, ok := decode(cursor, len(uuid.UUID{}))
	if !ok {
		return uuid.UUID{}, errNoCursor()
	}
	return uuid.UUID(raw), nil
}

// decode returns the bytes of a cursor, if it has this many.
func decode(cursor string, size int) ([]byte, bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	// The decoder ignores line breaks, which are not valid in a cursor.
	ok := err == nil && len(raw) == size && base64.RawURLEncoding.EncodeToString(raw) == cursor
	return raw, ok
}

func errNoCursor() *fault.Error {
	return fault.Errorf(fault.Invalid, "This is not a cursor. Pass one that this list returned, unchanged.")
}
