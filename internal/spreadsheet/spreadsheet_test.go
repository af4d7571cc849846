package spreadsheet_test

import (
	"slices"
	"testing"

	"latchkey/internal/spreadsheet"
)

func TestHarmless(t *testing.T) {
	cells := []string{"", "Ann", "a=1", "'=1", "\xff=", "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "＋1", "－1", "＠1"}
	want := []string{"", "Ann", "a=1", "'=1", "\xff=", "'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\t=1", "'\r=1", "'＝1", "'＋1", "'－1", "'＠1"}
	before := slices.Clone(cells)
	if got := spreadsheet.Harmless(cells); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if !slices.Equal(cells, before) {
		t.Error("what was given is changed")
	}
	for i, cell := range want {
		if got := spreadsheet.Original(cell); cells[i] != "'=1" && got != cells[i] {
			t.Errorf("%q is made of %q and not of %q", cell, cells[i], got)
		}
	}
}
