package panel

import (
	"maps"
	"net/url"

	"latchkey/internal/paging"
)

// pageLinks holds the addresses of the neighboring pages of a list, empty at its ends.
type pageLinks struct{ Newer, Older string }

// pageRequest returns the page of a list that the address asks for: after a cursor, or before one.
func (q *request) pageRequest(size int) paging.Request {
	query := q.r.URL.Query()
	if before := query.Get("before"); before != "" {
		return paging.Request{Last: &size, Before: &before}
	}
	page := paging.Request{First: &size}
	if after := query.Get("after"); after != "" {
		page.After = &after
	}
	return page
}

// pageLinksOf returns the pages beside p.
func pageLinksOf[T any](q *request, p paging.Page[T]) pageLinks {
	var t pageLinks
	if len(p.Items) == 0 {
		return t
	}
	if p.HasPrevious {
		t.Newer = q.withQuery("before", p.Items[0].Cursor())
	}
	if p.HasNext {
		t.Older = q.withQuery("after", p.Items[len(p.Items)-1].Cursor())
	}
	return t
}

// withQuery returns the address of the request with parameters replaced, from pairs of name and value. An empty value
// removes a parameter. Cursors are removed unless they are among the pairs.
func (q *request) withQuery(pairs ...string) string {
	query := maps.Clone(q.r.URL.Query())
	for _, name := range []string{"before", "after"} {
		query.Del(name)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		query.Del(pairs[i])
		if pairs[i+1] != "" {
			query.Set(pairs[i], pairs[i+1])
		}
	}
	return (&url.URL{Path: q.r.URL.Path, RawQuery: query.Encode()}).String()
}
