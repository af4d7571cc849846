package file

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"
)

// formula are the characters at the start of a cell that make a spreadsheet
// evaluate it, in their ASCII and their full-width forms.
const formula = "=+-@\t\r＝＋－＠"

// separators are the characters after which a spreadsheet may start a new cell when it is set to split at other
// characters than commas.
const separators = ";\t\r\n"

// Writer writes CSV (RFC 4180). Every cell is quoted and escaped.
type Writer struct {
	to     io.Writer
	buffer bytes.Buffer
}

// NewWriter returns a Writer that writes to w when it is flushed.
func NewWriter(w io.Writer) *Writer { return &Writer{to: w} }

// Write adds a row to what the next Flush writes.
func (w *Writer) Write(cells []string) { w.write(cells, Escape) }

func (w *Writer) write(cells []string, escape func(string) string) {
	for i, cell := range cells {
		if i > 0 {
			w.buffer.WriteByte(',')
		}
		w.buffer.WriteByte('"')
		w.buffer.WriteString(strings.ReplaceAll(escape(cell), `"`, `""`))
		w.buffer.WriteByte('"')
	}
	w.buffer.WriteString("\r\n")
}

// WriteNumeric is Write for a row in which cells that are decimal numbers are meant as such: a negative one is not
// escaped. A spreadsheet reads it as a number, and never as a formula.
func (w *Writer) WriteNumeric(cells []string) {
	w.write(cells, func(cell string) string {
		if decimal.MatchString(cell) {
			return cell
		}
		return Escape(cell)
	})
}

var decimal = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// Flush writes the rows added since the last Flush. It returns the error of
// the underlying writer.
func (w *Writer) Flush() error {
	_, err := w.buffer.WriteTo(w.to)
	return err
}

// Escape returns the cell with an apostrophe before each text that a
// spreadsheet could evaluate: at the start and after each separator within the
// cell. A text that already has apostrophes there gets one more, so that
// Unescape restores every cell exactly.
func Escape(cell string) string {
	return rewrite(cell, func(out *strings.Builder, rest string) string {
		if startsFormula(rest) {
			out.WriteByte('\'')
		}
		return rest
	})
}

// Unescape reverses Escape. A cell that Escape did not write is returned unchanged, unless it has an apostrophe before
// a formula. Spreadsheets also add that when a user types one to enter text.
func Unescape(cell string) string {
	return rewrite(cell, func(_ *strings.Builder, rest string) string {
		if after, quoted := strings.CutPrefix(rest, "'"); quoted && startsFormula(after) {
			return after
		}
		return rest
	})
}

// rewrite copies the cell. At each position where a spreadsheet may start a cell it calls at with the rest of the text,
// and continues with what at returns.
func rewrite(cell string, at func(out *strings.Builder, rest string) string) string {
	var out strings.Builder
	rest := at(&out, cell)
	for {
		i := strings.IndexAny(rest, separators)
		if i < 0 {
			out.WriteString(rest)
			return out.String()
		}
		out.WriteString(rest[:i+1])
		rest = at(&out, rest[i+1:])
	}
}

// startsFormula reports whether a spreadsheet could evaluate the text, which may be quoted: after a separator, quotes
// of the text are the quotes of a cell.
func startsFormula(text string) bool {
	text = strings.TrimLeft(text, `'"`)
	first, _ := utf8.DecodeRuneInString(text)
	return text != "" && strings.ContainsRune(formula, first)
}
