package panel

import (
	"maps"
	"net/url"

	"latchkey/internal/page"
)

// turn are the addresses of the pages of a list beside the one that is shown;
// empty where the list ends.
type turn struct{ Newer, Older string }

// pageAsked is the page of a list that the address asks for: what comes after a
// cursor, or before one.
func (v *visit) pageAsked(size int) page.Request {
	query := v.r.URL.Query()
	if before := query.Get("before"); before != "" {
		return page.Request{Last: &size, Before: &before}
	}
	request := page.Request{First: &size}
	if after := query.Get("after"); after != "" {
		request.After = &after
	}
	return request
}

// turnOf are the pages beside p.
func turnOf[T any](v *visit, p page.Page[T]) turn {
	var t turn
	if len(p.Items) == 0 {
		return t
	}
	if p.HasPrevious {
		t.Newer = v.asking("before", p.Items[0].Cursor())
	}
	if p.HasNext {
		t.Older = v.asking("after", p.Items[len(p.Items)-1].Cursor())
	}
	return t
}

// asking is the address of the visit with other parameters, from pairs of name
// and value: an empty value takes one away. What turns pages goes, unless it is
// among them.
func (v *visit) asking(pairs ...string) string {
	query := maps.Clone(v.r.URL.Query())
	for _, name := range []string{"before", "after", "notice", "n"} {
		query.Del(name)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		query.Del(pairs[i])
		if pairs[i+1] != "" {
			query.Set(pairs[i], pairs[i+1])
		}
	}
	return (&url.URL{Path: v.r.URL.Path, RawQuery: query.Encode()}).String()
}
