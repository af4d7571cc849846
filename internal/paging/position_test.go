package paging_test

import (
	"math"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/test/check"
)

func drawPosition(t *rapid.T, name string) paging.Position {
	number := rapid.OneOf(rapid.Int64Range(1, 3), rapid.Int64Range(1, math.MaxInt64))
	p := paging.Position{Era: number.Draw(t, name+" era"), Commit: uint64(number.Draw(t, name+" commit")),
		Sequence: number.Draw(t, name+" sequence"), ID: keyOne}
	p.ID[15] = rapid.Byte().Draw(t, name+" id")
	return p
}

func cursorOf(p paging.Position) string { return paging.Item[string]{Key: p.ID, Position: p}.Cursor() }

// A position is read from its cursor as it was, and cursors of other lists are refused.
func TestPositionCursor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPosition(t, "p")
		after, before := cursorOf(p), paging.Cursor(p.ID)
		w, err := paging.Request{After: &after}.LogWindow(paging.MaxSize)
		if err != nil || w.After == nil || *w.After != p {
			t.Fatalf("read %+v, %v; want %+v", w.After, err, p)
		}
		_, err = paging.Request{After: &after}.Window(paging.MaxSize)
		if fault.KindOf(err) != fault.Invalid {
			t.Fatalf("another list accepts the cursor: %v, want %s", err, fault.Invalid)
		}
		_, err = paging.Request{Before: &before}.LogWindow(paging.MaxSize)
		if list := fault.Flatten(err); len(list) != 1 || list[0].Field != "before" {
			t.Fatalf("the log answers the cursor of another list with %v, want an error on before", err)
		}
	})
}

func TestLogWindowRefuses(t *testing.T) {
	valid := cursorOf(paging.Position{Era: 1, Commit: 1, Sequence: 1, ID: uuid.New()})
	for name, cursor := range map[string]string{
		"empty": "", "short": valid[:53], "long": valid + "A", "padded": valid + "=",
		"a line break":   valid[:20] + "\n" + valid[20:],
		"no era":         cursorOf(paging.Position{Commit: 1, Sequence: 1, ID: uuid.New()}),
		"no sequence":    cursorOf(paging.Position{Era: 1, Commit: 1, ID: uuid.New()}),
		"a large commit": cursorOf(paging.Position{Era: 1, Commit: math.MaxUint64, Sequence: 1, ID: uuid.New()}),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := paging.Request{After: &cursor}.LogWindow(paging.MaxSize)
			check.Equal(t, fault.KindOf(err), fault.Invalid, "the kind of %v", err)
		})
	}
}

// Every text that is accepted as a cursor of the log is exactly the cursor of some item.
func FuzzLogCursor(f *testing.F) {
	f.Add(cursorOf(paging.Position{Era: 1, Commit: 700, Sequence: 2, ID: keyOne}))
	f.Add(paging.Cursor(keyOne))
	f.Fuzz(func(t *testing.T, cursor string) {
		w, err := paging.Request{After: &cursor}.LogWindow(paging.MaxSize)
		if err == nil && cursorOf(*w.After) != cursor {
			t.Fatalf("%q was accepted as %q", cursor, cursorOf(*w.After))
		}
	})
}
