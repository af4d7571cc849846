package graph

import (
	"context"

	"github.com/google/uuid"

	"latchkey/graph/object"
	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/paging"
)

// pageRequest decodes the arguments of a connection, in the order of the schema.
func pageRequest(list object.List, before, after *string, first, last *int) paging.Request {
	return paging.Request{First: first, Last: last, After: list.Position(after), Before: list.Position(before)}
}

// fieldKey identifies a field of a list's elements, with its arguments. It is the
// key under which the field is loaded for all elements at once.
type fieldKey struct {
	field         string
	filter        string
	size          int
	backward      bool
	bounds        [2]bool
	after, before uuid.UUID
}

func keyFor(field, filter string, w paging.Window) fieldKey {
	q := fieldKey{field: field, filter: filter, size: w.Size, backward: w.Backward}
	if w.After != nil {
		q.bounds[0], q.after = true, *w.After
	}
	if w.Before != nil {
		q.bounds[1], q.before = true, *w.Before
	}
	return q
}

// connectionArgs returns the principal and the requested page of a connection.
func connectionArgs(ctx context.Context, list object.List, before, after *string, first, last *int) (*auth.Principal,
	paging.Window, error) {
	by, err := auth.From(ctx)
	if err != nil {
		return nil, paging.Window{}, err
	}
	w, err := pageRequest(list, before, after, first, last).Window(paging.MaxSize)
	return by, w, err
}

// counted returns a Counter for one sibling. The count is loaded for all siblings
// at once.
func counted[T any](s *object.Siblings[T], q fieldKey, key uuid.UUID,
	count func([]T) (map[uuid.UUID]int64, error)) object.Counter {
	return func(context.Context) (int64, error) {
		counts, err := object.Load(s, q, count)
		return counts[key], err
	}
}

// pagesOf returns the pages in the order of the stores.
func pagesOf[T any](stores []account.Store, pages map[uuid.UUID]paging.Page[T]) []paging.Page[T] {
	ordered := make([]paging.Page[T], len(stores))
	for i, s := range stores {
		ordered[i] = pages[s.ID]
	}
	return ordered
}
