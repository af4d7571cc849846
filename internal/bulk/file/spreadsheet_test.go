package file_test

import (
	"encoding/csv"
	"errors"
	"slices"
	"strings"
	"testing"

	"latchkey/internal/bulk/file"
	"latchkey/internal/test/check"
)

func TestEscape(t *testing.T) {
	for _, tc := range []struct{ cell, want string }{
		{"", ""},
		{"Ann", "Ann"},
		{"a=1", "a=1"},
		{"\xff=", "\xff="},
		{"O'Hara", "O'Hara"},
		{"'quoted'", "'quoted'"},
		{"=1+1", "'=1+1"},
		{"-4711", "'-4711"},
		{"+1", "'+1"},
		{"@SUM(A1)", "'@SUM(A1)"},
		{"\t=1", "'\t'=1"},
		{"\r=1", "'\r'=1"},
		{"＝1", "'＝1"},
		{"＠1", "'＠1"},
		{"'=1", "''=1"},
		{"''=1", "'''=1"},
		{"a;=1", "a;'=1"},
		{"a;'=1;+2", "a;''=1;'+2"},
		{"a\t@b", "a\t'@b"},
		{"a\n-b", "a\n'-b"},
		{"a\r\n=b", "a\r\n'=b"},
		{";", ";"},
		{";;=", ";;'="},
		{`a;"=1+1`, `a;'"=1+1`},
		{`a;'"=1+1`, `a;''"=1+1`},
	} {
		got := file.Escape(tc.cell)
		check.Equal(t, got, tc.want, "file.Escape(%q)", tc.cell)
		check.Equal(t, file.Unescape(got), tc.cell, "file.Unescape(%q)", got)
	}
}

func TestUnescapeOfOtherWriters(t *testing.T) {
	for cell, want := range map[string]string{"-4711": "-4711", "'Ann": "'Ann", "a;=b": "a;=b", "'+49 30": "+49 30",
		"'": "'"} {
		check.Equal(t, file.Unescape(cell), want, "file.Unescape(%q)", cell)
	}
}

func TestWriterQuotesEveryCell(t *testing.T) {
	var out strings.Builder
	w := file.NewWriter(&out)
	w.Write([]string{"email", ""})
	w.Write([]string{"=1", `a "b", c`})
	if out.Len() > 0 {
		t.Errorf("written before Flush: got %q, want nothing", out.String())
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	check.Equal(t, out.String(), "\"email\",\"\"\r\n\"'=1\",\"a \"\"b\"\", c\"\r\n", "out.String()")
}

type brokenWriter struct{}

var errBroken = errors.New("disk full")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestFlushReportsTheWritersError(t *testing.T) {
	w := file.NewWriter(brokenWriter{})
	w.Write([]string{"a"})
	if err := w.Flush(); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want %v", err, errBroken)
	}
}

// FuzzEscape checks that every cell is restored, and that no part of an escaped cell starts with a formula at any
// separator.
func FuzzEscape(f *testing.F) {
	for _, seed := range []string{"=1", "'=1", "a;=1\t'+2\r\n-3", "\r\r", "'\t'", "＝"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cell string) {
		escaped := file.Escape(cell)
		if got := file.Unescape(escaped); got != cell {
			t.Fatalf("Unescape(%q) = %q, want %q", escaped, got, cell)
		}
		for _, separator := range []string{";", "\t", "\r", "\n", "\r\n"} {
			for _, part := range strings.Split(escaped, separator) {
				if part != "" && strings.ContainsAny(part[:1], "=+-@") {
					t.Fatalf("split at %q, %q has the part %q, want none that begins a formula",
						separator, escaped, part)
				}
			}
		}
		var out strings.Builder
		w := file.NewWriter(&out)
		w.Write([]string{cell, cell})
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		read, err := csv.NewReader(strings.NewReader(out.String())).Read()
		want := strings.ReplaceAll(escaped, "\r\n", "\n") // as encoding/csv reads it
		if err != nil || !slices.Equal(read, []string{want, want}) {
			t.Fatalf("read again: got %q, %v, want %q twice", read, err, want)
		}
	})
}

// Numbers of a numeric row are not escaped, and everything else is.
func TestWriteNumeric(t *testing.T) {
	var out strings.Builder
	w := file.NewWriter(&out)
	w.WriteNumeric([]string{"-15.00", "7", "-15.00+1", "-A1", "=1", "- 1"})
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	check.Equal(t, out.String(), `"-15.00","7","'-15.00+1","'-A1","'=1","'- 1"`+"\r\n", "the row")
}
