package file

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"latchkey/internal/fault"
)

// table reads CSV.
type table struct {
	bounded *bounded
	rows    *csv.Reader
	// titles holds the columns in the order of the file.
	titles []string
	// following is the number of the line after the row last read.
	following int
	// addresses reports whether only the email column is read.
	addresses bool
}

// bounded limits how much the CSV parser reads ahead. It may read slightly more than most.
type bounded struct {
	from io.Reader
	// read is the number of bytes read, most the limit.
	read, most int64
	// cr and lf report which line-end characters have been read.
	cr, lf bool
}

var errTooLong = errors.New("the row is too long")

// Read returns errTooLong once the limit is reached.
func (b *bounded) Read(into []byte) (int, error) {
	if b.read > b.most {
		return 0, errTooLong
	}
	n, err := b.from.Read(into)
	b.read += int64(n)
	b.cr, b.lf = b.cr || bytes.IndexByte(into[:n], '\r') >= 0, b.lf || bytes.IndexByte(into[:n], '\n') >= 0
	return n, err
}

// newTable reads the first line of a file.
func newTable(text *bufio.Reader, addresses bool) (*table, error) {
	discardBOM(text)
	t := &table{bounded: &bounded{from: text}, following: 1, addresses: addresses}
	comma := delimiter(text)
	t.rows = csv.NewReader(t.bounded)
	t.rows.Comma = comma
	t.rows.FieldsPerRecord = -1 // next checks the number of cells, with an error text of its own
	head, _, err := t.read()
	if errors.Is(err, io.EOF) {
		return nil, fault.Errorf(fault.Invalid, "The file is empty. Its first line names the columns: %s",
			strings.Join(columns(), ","))
	}
	if t.bounded.cr && !t.bounded.lf && (fault.KindOf(err) == fault.Invalid ||
		strings.ContainsRune(strings.Join(head, ""), '\r')) {
		return nil, oldLineEnds()
	}
	if err != nil {
		return nil, err
	}
	return t, t.entitle(head)
}

// discardBOM skips the byte order mark that spreadsheets and PowerShell write at the start of UTF-8 files. The parser
// must not see it, because it precedes the quotes of a quoted title.
func discardBOM(text *bufio.Reader) {
	if start, _ := text.Peek(len(byteOrderMark)); string(start) == byteOrderMark {
		_, _ = text.Discard(len(byteOrderMark)) // the bytes are in the buffer
	}
}

// delimiter returns the character that separates the titles. It is a semicolon if the first line has more semicolons
// than commas outside quotes, and otherwise a comma. Spreadsheets write semicolons in countries where the comma is the
// decimal separator.
func delimiter(text *bufio.Reader) rune {
	quoted, count := false, map[byte]int{}
	for _, c := range firstLine(text) {
		if c == '"' {
			quoted = !quoted
		}
		if !quoted {
			count[c]++
		}
	}
	if count[';'] > count[','] {
		return ';'
	}
	return ','
}

// firstLine returns the first line without consuming it, up to MaxRow bytes. It does not wait for more than that line,
// because the sender may wait for an answer to each row. A read error is returned again with the first row.
func firstLine(text *bufio.Reader) []byte {
	for {
		head, _ := text.Peek(text.Buffered())
		if end := bytes.IndexAny(head, "\r\n"); end >= 0 {
			return head[:end]
		}
		if _, err := text.Peek(len(head) + 1); err != nil {
			return head
		}
	}
}

// entitle checks the first line and stores its titles.
func (t *table) entitle(head []string) error {
	var faults fault.List
	wrong := func(format string, args ...any) {
		faults = append(faults, fault.Errorf(fault.Invalid, "line 1: "+format, args...))
	}
	for _, cell := range head {
		cell = strings.TrimSpace(cell)
		title := strings.ToLower(cell)
		ignored := t.addresses && title != email
		switch {
		case !ignored && !slices.Contains(columns(), title):
			wrong("The column %.40q is unknown. The columns are %s, with commas between them.", cell,
				strings.Join(columns(), ","))
		case !ignored && slices.Contains(t.titles, title):
			wrong("The column %q appears twice.", title)
		}
		t.titles = append(t.titles, title)
	}
	if !slices.Contains(t.titles, email) {
		wrong("The column %q is missing.", email)
	}
	return faults.Err()
}

// read returns a row's cells and the line where it begins.
func (t *table) read() ([]string, int, error) {
	t.bounded.most = t.rows.InputOffset() + MaxRow
	cells, err := t.rows.Read()
	var broken *csv.ParseError
	switch {
	case errors.Is(err, errTooLong):
		return nil, 0, tooLong(t.following)
	case errors.As(err, &broken):
		return nil, 0, fault.Wrap(err, fault.Invalid,
			"line %d: The quotes are unbalanced. Enclose a cell with quotes, commas or line breaks in quotes, and double the quotes inside it.", broken.StartLine)
	case errors.Is(err, io.EOF):
		return nil, 0, io.EOF
	case err != nil:
		return nil, 0, fmt.Errorf("read the file: %w", err)
	}
	line, _ := t.rows.FieldPos(0)
	t.following = line + 1 + strings.Count(strings.Join(cells, ""), "\n")
	return cells, line, nil
}

// next reads the next row. Rows of empty cells, which spreadsheets write below a list, are skipped.
func (t *table) next() (Row, error) {
	cells, line, err := t.read()
	for err == nil && strings.TrimSpace(strings.Join(cells, "")) == "" {
		cells, line, err = t.read()
	}
	if err != nil {
		return Row{}, err
	}
	r := Row{Line: line}
	if len(cells) != len(t.titles) {
		return Row{}, &RowError{line, "", fault.List{fault.Errorf(fault.Invalid,
			"The row has %d cells, and the first line names %d columns.", len(cells), len(t.titles))}}
	}
	var faults fault.List
	var roleText string
	for i, title := range t.titles {
		if t.addresses && title != email {
			continue
		}
		cell, wrong := tidy(cells[i])
		if wrong != "" {
			faults = append(faults, fault.Errorf(fault.Invalid, "%s", wrong).On(title))
			continue
		}
		cell = Unescape(cell) // the exports escape cells
		switch title {
		case stores:
			r.setStores(strings.Split(cell, ";"))
		case role:
			roleText = cell
		default:
			r.set(title, cell)
		}
	}
	return r.check(roleText, faults)
}
