package page_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"latchkey/internal/fault"
	"latchkey/internal/page"
)

var (
	keyOne = uuid.MustParse("01980000-0000-7000-8000-000000000001")
	keyTwo = uuid.MustParse("01980000-0000-7000-8000-000000000002")
)

func TestWindow(t *testing.T) {
	one, two := page.Cursor(keyOne), page.Cursor(keyTwo)
	for _, tc := range []struct {
		name string
		req  page.Request
		want page.Window
	}{
		{"nothing asked", page.Request{}, page.Window{Size: page.DefaultSize}},
		{"the first few", page.Request{First: new(3)}, page.Window{Size: 3}},
		{"none", page.Request{First: new(0)}, page.Window{}},
		{"as many as there may be", page.Request{First: new(page.MaxSize)}, page.Window{Size: page.MaxSize}},
		{"the last few", page.Request{Last: new(3)}, page.Window{Size: 3, Backward: true}},
		{"after a cursor", page.Request{First: new(3), After: &one}, page.Window{Size: 3, After: &keyOne}},
		{"before a cursor", page.Request{Last: new(3), Before: &two}, page.Window{Size: 3, Before: &keyTwo, Backward: true}},
		{"between cursors", page.Request{After: &two, Before: &one}, page.Window{Size: page.DefaultSize, After: &keyTwo, Before: &keyOne}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := tc.req.Window(page.MaxSize)
			if err != nil || !equalWindows(got, tc.want) {
				t.Errorf("got %+v, %v, want %+v", got, err, tc.want)
			}
		})
	}
}

func TestWindowRefuses(t *testing.T) {
	empty, short, padded, broken := "", page.Cursor(keyOne)[:21], page.Cursor(keyOne)+"=", page.Cursor(keyOne)[:11]+"\n"+page.Cursor(keyOne)[11:]
	loose := page.Cursor(keyOne)[:21] + "R" // the last character's spare bits are not zero
	for _, tc := range []struct {
		name    string
		req     page.Request
		largest int
		fields  []string
	}{
		{"both directions", page.Request{First: new(1), Last: new(1)}, page.MaxSize, []string{"last"}},
		{"fewer than none", page.Request{First: new(-1)}, page.MaxSize, []string{"first"}},
		{"one too many", page.Request{Last: new(page.MaxSize + 1)}, page.MaxSize, []string{"last"}},
		{"one too many for subscriptions", page.Request{First: new(page.MaxSubscriptions + 1)}, page.MaxSubscriptions, []string{"first"}},
		{"an empty cursor", page.Request{After: &empty}, page.MaxSize, []string{"after"}},
		{"half a cursor", page.Request{Before: &short}, page.MaxSize, []string{"before"}},
		{"a cursor with padding", page.Request{After: &padded}, page.MaxSize, []string{"after"}},
		{"a cursor with a line break", page.Request{After: &broken}, page.MaxSize, []string{"after"}},
		{"another spelling of a cursor", page.Request{After: &loose}, page.MaxSize, []string{"after"}},
		{"everything at once", page.Request{First: new(-1), Last: new(251), After: &empty, Before: &short}, page.MaxSize,
			[]string{"last", "first", "last", "after", "before"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := tc.req.Window(tc.largest)
			var fields []string
			for _, f := range fault.Flatten(err) {
				if f.Kind != fault.Invalid {
					t.Errorf("%v is %s, want %s", f, f.Kind, fault.Invalid)
				}
				fields = append(fields, f.Field)
			}
			if !slices.Equal(fields, tc.fields) {
				t.Errorf("fields %q are at fault, want %q", fields, tc.fields)
			}
		})
	}
}

func equalWindows(a, b page.Window) bool {
	equal := func(a, b *uuid.UUID) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }
	return a.Size == b.Size && a.Backward == b.Backward && equal(a.After, b.After) && equal(a.Before, b.Before)
}

// A list walked page by page, whatever the sizes, is the list: no item is left out and none comes twice. Both ways the
// walk ends exactly where the page says so.
func TestPagesAreTheList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := drawList(t)
		backward := rapid.Bool().Draw(t, "backward")
		var walked []uuid.UUID
		var req page.Request
		for range len(list) + 1 {
			size := rapid.IntRange(1, 5).Draw(t, "size")
			req.First, req.Last = &size, nil
			if backward {
				req.First, req.Last = nil, &size
			}
			w, err := req.Window(page.MaxSize)
			if err != nil {
				t.Fatal(err)
			}
			got := page.Cut(w, fetch(list, w))
			var keys []uuid.UUID
			for _, item := range got.Items {
				keys = append(keys, item.Key)
			}
			more := got.HasNext
			if backward {
				walked, more = append(keys, walked...), got.HasPrevious
			} else {
				walked = append(walked, keys...)
			}
			if !more {
				break
			}
			if len(keys) != size {
				t.Fatalf("a page of %d of %d, though the list goes on", len(keys), size)
			}
			if backward {
				req.Before = new(got.Items[0].Cursor())
			} else {
				req.After = new(got.Items[len(keys)-1].Cursor())
			}
		}
		if !slices.Equal(walked, list) {
			t.Fatalf("walked %v, the list is %v", walked, list)
		}
	})
}

// A page is a piece of the bounded list, in its order and at the right end, and says truly whether more is beyond.
func TestCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := drawList(t)
		w := page.Window{Size: rapid.IntRange(0, 6).Draw(t, "size"), Backward: rapid.Bool().Draw(t, "backward")}
		if len(list) > 0 && rapid.Bool().Draw(t, "bounded after") {
			w.After = new(rapid.SampledFrom(list).Draw(t, "after"))
		}
		if len(list) > 0 && rapid.Bool().Draw(t, "bounded before") {
			w.Before = new(rapid.SampledFrom(list).Draw(t, "before"))
		}
		inside := bounded(list, w)
		want := inside[:min(w.Size, len(inside))]
		if w.Backward {
			want = inside[max(0, len(inside)-w.Size):]
		}
		got := page.Cut(w, fetch(list, w))
		if len(got.Items) != len(want) {
			t.Fatalf("%d items, want %d", len(got.Items), len(want))
		}
		for i, item := range got.Items {
			if item.Key != want[i] || item.Node != want[i].String() || item.Cursor() != page.Cursor(want[i]) {
				t.Fatalf("item %d is %v, want %v", i, item, want[i])
			}
		}
		more := len(inside) > w.Size
		next, previous := w.Before != nil, w.After != nil // what bounds the list lies beyond the page
		if w.Backward {
			previous = previous || more
		} else {
			next = next || more
		}
		if got.HasNext != next || got.HasPrevious != previous {
			t.Fatalf("next %v, previous %v; want %v, %v", got.HasNext, got.HasPrevious, next, previous)
		}
	})
}

// drawList draws distinct keys in list order, newest first.
func drawList(t *rapid.T) []uuid.UUID {
	numbers := rapid.SliceOfNDistinct(rapid.Uint16(), 0, 20, rapid.ID[uint16]).Draw(t, "list")
	list := make([]uuid.UUID, len(numbers))
	for i, n := range numbers {
		list[i] = keyOne
		list[i][5], list[i][7] = byte(n>>8), byte(n)
	}
	slices.SortFunc(list, func(a, b uuid.UUID) int { return bytes.Compare(b[:], a[:]) })
	return list
}

// bounded is the part of the list within the window's bounds.
func bounded(list []uuid.UUID, w page.Window) []uuid.UUID {
	var inside []uuid.UUID
	for _, key := range list {
		if (w.After == nil || bytes.Compare(key[:], w.After[:]) < 0) && (w.Before == nil || bytes.Compare(key[:], w.Before[:]) > 0) {
			inside = append(inside, key)
		}
	}
	return inside
}

// fetch is what a repository does for a window.
func fetch(list []uuid.UUID, w page.Window) []page.Item[string] {
	inside := bounded(list, w)
	if w.Backward {
		slices.Reverse(inside)
	}
	var items []page.Item[string]
	for _, key := range inside[:min(w.Size+1, len(inside))] {
		items = append(items, page.Item[string]{Node: key.String(), Key: key})
	}
	return items
}

// Whatever is accepted as a cursor is the very text that some item's cursor is.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"", "AA", page.Cursor(keyOne), page.Cursor(uuid.Nil), page.Cursor(keyTwo) + "=", "AZgAAAAAcACAAAAA\nAAAAAQ"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		w, err := page.Request{After: &cursor}.Window(page.MaxSize)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		if got := page.Cursor(*w.After); got != cursor {
			t.Fatalf("%q was accepted for %q", cursor, got)
		}
	})
}
