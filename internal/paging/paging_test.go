package paging_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/test/check"
)

var (
	keyOne = uuid.MustParse("01980000-0000-7000-8000-000000000001")
	keyTwo = uuid.MustParse("01980000-0000-7000-8000-000000000002")
)

func TestWindow(t *testing.T) {
	one, two := paging.Cursor(keyOne), paging.Cursor(keyTwo)
	for _, tc := range []struct {
		name string
		req  paging.Request
		want paging.Window
	}{
		{"no arguments", paging.Request{}, paging.Window{Size: paging.DefaultSize}},
		{"the first few", paging.Request{First: new(3)}, paging.Window{Size: 3}},
		{"none", paging.Request{First: new(0)}, paging.Window{}},
		{"the most", paging.Request{First: new(paging.MaxSize)}, paging.Window{Size: paging.MaxSize}},
		{"the last few", paging.Request{Last: new(3)}, paging.Window{Size: 3, Backward: true}},
		{"after a cursor", paging.Request{First: new(3), After: &one}, paging.Window{Size: 3, After: &keyOne}},
		{"before a cursor", paging.Request{Last: new(3), Before: &two},
			paging.Window{Size: 3, Before: &keyTwo, Backward: true}},
		{"between cursors", paging.Request{After: &two, Before: &one},
			paging.Window{Size: paging.DefaultSize, After: &keyTwo, Before: &keyOne}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := tc.req.Window(paging.MaxSize)
			if err != nil || !equalWindows(got, tc.want) {
				t.Errorf("got %+v, %v, want %+v", got, err, tc.want)
			}
		})
	}
}

func TestWindowRefuses(t *testing.T) {
	empty, short, padded, broken := "", paging.Cursor(keyOne)[:21], paging.Cursor(keyOne)+"=",
		paging.Cursor(keyOne)[:11]+"\n"+paging.Cursor(keyOne)[11:]
	loose := paging.Cursor(keyOne)[:21] + "R" // the last character's spare bits are not zero
	for _, tc := range []struct {
		name    string
		req     paging.Request
		largest int
		fields  []string
	}{
		{"both directions", paging.Request{First: new(1), Last: new(1)}, paging.MaxSize, []string{"last"}},
		{"a negative number", paging.Request{First: new(-1)}, paging.MaxSize, []string{"first"}},
		{"one too many", paging.Request{Last: new(paging.MaxSize + 1)}, paging.MaxSize, []string{"last"}},
		{"one too many for subscriptions", paging.Request{First: new(paging.MaxSubscriptions + 1)},
			paging.MaxSubscriptions, []string{"first"}},
		{"an empty cursor", paging.Request{After: &empty}, paging.MaxSize, []string{"after"}},
		{"half a cursor", paging.Request{Before: &short}, paging.MaxSize, []string{"before"}},
		{"a cursor with padding", paging.Request{After: &padded}, paging.MaxSize, []string{"after"}},
		{"a cursor with a line break", paging.Request{After: &broken}, paging.MaxSize, []string{"after"}},
		{"a cursor in another encoding", paging.Request{After: &loose}, paging.MaxSize, []string{"after"}},
		{"everything at once", paging.Request{First: new(-1), Last: new(251), After: &empty, Before: &short},
			paging.MaxSize,
			[]string{"last", "first", "last", "after", "before"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := tc.req.Window(tc.largest)
			var fields []string
			for _, f := range fault.Flatten(err) {
				check.Equal(t, f.Kind, fault.Invalid, "%v", f)
				fields = append(fields, f.Field)
			}
			check.Equal(t, fields, tc.fields, "errors on")
		})
	}
}

func equalWindows(a, b paging.Window) bool {
	equal := func(a, b *uuid.UUID) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }
	return a.Size == b.Size && a.Backward == b.Backward && equal(a.After, b.After) && equal(a.Before, b.Before)
}

// Reading a list in pages of any sizes returns every item once. In both directions
// the last page says that it is the last.
func TestPagesAreTheList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := drawList(t)
		backward := rapid.Bool().Draw(t, "backward")
		var walked []uuid.UUID
		var req paging.Request
		for range len(list) + 1 {
			size := rapid.IntRange(1, 5).Draw(t, "size")
			req.First, req.Last = &size, nil
			if backward {
				req.First, req.Last = nil, &size
			}
			w, err := req.Window(paging.MaxSize)
			if err != nil {
				t.Fatal(err)
			}
			got := paging.Cut(w, fetch(list, w))
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
				t.Fatalf("a page of %d of %d before the end of the list", len(keys), size)
			}
			if backward {
				req.Before = new(got.Items[0].Cursor())
			} else {
				req.After = new(got.Items[len(keys)-1].Cursor())
			}
		}
		if !slices.Equal(walked, list) {
			t.Fatalf("read %v, want %v", walked, list)
		}
	})
}

// A page is a part of the bounded list, in its order and from the correct end, and
// reports correctly whether there is more.
func TestCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := drawList(t)
		w := paging.Window{Size: rapid.IntRange(0, 6).Draw(t, "size"), Backward: rapid.Bool().Draw(t, "backward")}
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
		got := paging.Cut(w, fetch(list, w))
		if len(got.Items) != len(want) {
			t.Fatalf("%d items, want %d", len(got.Items), len(want))
		}
		for i, item := range got.Items {
			if item.Key != want[i] || item.Node != want[i].String() || item.Cursor() != paging.Cursor(want[i]) {
				t.Fatalf("item %d is %v, want %v", i, item, want[i])
			}
		}
		more := len(inside) > w.Size
		next, previous := w.Before != nil, w.After != nil // the bounds are outside the page
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

// bounded returns the part of the list within the window's bounds.
func bounded(list []uuid.UUID, w paging.Window) []uuid.UUID {
	var inside []uuid.UUID
	for _, key := range list {
		if (w.After == nil || bytes.Compare(key[:], w.After[:]) < 0) &&
			(w.Before == nil || bytes.Compare(key[:], w.Before[:]) > 0) {
			inside = append(inside, key)
		}
	}
	return inside
}

// fetch returns the items that a repository returns for a window.
func fetch(list []uuid.UUID, w paging.Window) []paging.Item[string] {
	inside := bounded(list, w)
	if w.Backward {
		slices.Reverse(inside)
	}
	var items []paging.Item[string]
	for _, key := range inside[:min(w.Size+1, len(inside))] {
		items = append(items, paging.Item[string]{Node: key.String(), Key: key})
	}
	return items
}

// Every text that is accepted as a cursor is exactly the cursor of some item.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"", "AA", paging.Cursor(keyOne), paging.Cursor(uuid.Nil), paging.Cursor(keyTwo) + "=",
		"AZgAAAAAcACAAAAA\nAAAAAQ"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		w, err := paging.Request{After: &cursor}.Window(paging.MaxSize)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatalf("got %v", err)
			}
			return
		}
		if got := paging.Cursor(*w.After); got != cursor {
			t.Fatalf("%q was accepted as %q", cursor, got)
		}
	})
}
