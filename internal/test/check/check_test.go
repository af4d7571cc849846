package check_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"latchkey/internal/test/check"
)

// recorder records what a test reports.
type recorder struct {
	testing.TB

	text string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) { r.text += fmt.Sprintf(format, args...) }

type point struct{ x, Y int }

func TestEqual(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name    string
		compare func(testing.TB) bool
		want    []string // parts of the message, none if the values are equal
	}{
		{"equal numbers", func(t testing.TB) bool { return check.Equal(t, 1, 1, "n") }, nil},
		{"numbers", func(t testing.TB) bool { return check.Equal(t, 1, 2, "row %d", 7) },
			[]string{"row 7: got 1, want 2"}},
		{"texts", func(t testing.TB) bool { return check.Equal(t, "a b", "", "name") },
			[]string{`name: got "a b", want ""`}},
		{"long texts", func(t testing.TB) bool { return check.Equal(t, "a\nb", "a\nc", "body") },
			[]string{"body: got the lines with +", "b", "c"}},
		{"equal times", func(t testing.TB) bool { return check.Equal(t, at, at.In(time.FixedZone("", 3600)), "at") },
			nil},
		{"times", func(t testing.TB) bool { return check.Equal(t, at, at.Add(1), "at") },
			[]string{"at: got 2026-03-01 12:00:00 +0000 UTC"}},
		{"empty lists", func(t testing.TB) bool { return check.Equal(t, nil, []string{}, "list") }, nil},
		{"lists", func(t testing.TB) bool { return check.Equal(t, []string{"a", "b"}, []string{"a"}, "list") },
			[]string{"list: got the lines with +, want the lines with -", `+`, `"b"`}},
		{"structs", func(t testing.TB) bool { return check.Equal(t, point{1, 2}, point{3, 2}, "point") },
			[]string{"x", "3", "1"}},
		{"errors", func(t testing.TB) bool { return check.Equal[error](t, nil, fmt.Errorf("broken"), "err") },
			[]string{"err: got <nil>, want broken"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &recorder{TB: t}
			if equal := tc.compare(r); equal != (tc.want == nil) || equal != (r.text == "") {
				t.Errorf("Equal: got %t and the message %q, want equal %t and a message only if not", equal, r.text,
					tc.want == nil)
			}
			for _, part := range tc.want {
				if !strings.Contains(r.text, part) {
					t.Errorf("message: got %q, want it to contain %q", r.text, part)
				}
			}
		})
	}
}
