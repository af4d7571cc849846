package roster

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
	"latchkey/internal/spreadsheet"
)

// table reads CSV.
type table struct {
	bounded *bounded
	rows    *csv.Reader
	// titles are the columns of the file, in its order.
	titles []string
	// following is the line after the latest row.
	following int
	// addresses says that only that column counts.
	addresses bool
}

// bounded reads no more than may be read, and a bit.
type bounded struct {
	from io.Reader
	// read is how much was, and most how much may be, in bytes.
	read, most int64
	// cr and lf say which characters were met that end lines.
	cr, lf bool
}

var errTooLong = errors.New("the row is too long")

// Read reads unless all that may be read was.
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
	t.rows.FieldsPerRecord = -1 // told in our words, and not of the first line
	head, _, err := t.read()
	if errors.Is(err, io.EOF) {
		return nil, fault.Errorf(fault.Invalid, "The file is empty. Its first line names the columns: %s", strings.Join(columns(), ","))
	}
	if t.bounded.cr && !t.bounded.lf && (fault.KindOf(err) == fault.Invalid || strings.ContainsRune(strings.Join(head, ""), '\r')) {
		return nil, oldLineEnds()
	}
	if err != nil {
		return nil, err
	}
	return t, t.entitle(head)
}

// discardBOM skips the byte order mark with which spreadsheets and PowerShell
// begin files in UTF-8. It comes before the quotes of a quoted title, so the
// parser must not see it.
func discardBOM(text *bufio.Reader) {
	if start, _ := text.Peek(len(byteOrderMark)); string(start) == byteOrderMark {
		_, _ = text.Discard(len(byteOrderMark)) // the bytes are in the buffer
	}
}

// delimiter returns the character that separates the titles: a semicolon,
// which spreadsheets write in countries where the comma separates decimals, if
// the first line has more of them outside quotes than commas, and otherwise a
// comma.
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

// firstLine returns the first line without reading it, up to MaxRow bytes. It
// waits for no more than that line, since more may come only when its rows are
// done. An error of reading comes back with the first row.
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

// entitle reads the first line.
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
			wrong("There is no column %.40q; the columns are %s, with commas between them.", cell, strings.Join(columns(), ","))
		case !ignored && slices.Contains(t.titles, title):
			wrong("The column %q is there twice.", title)
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
			"line %d: The quotes are not in order: a cell with quotes, commas or line breaks stands in quotes, and a quote in it is written twice.", broken.StartLine)
	case errors.Is(err, io.EOF):
		return nil, 0, io.EOF
	case err != nil:
		return nil, 0, fmt.Errorf("read the file: %w", err)
	}
	line, _ := t.rows.FieldPos(0)
	t.following = line + 1 + strings.Count(strings.Join(cells, ""), "\n")
	return cells, line, nil
}

// next reads a person. Rows of empty cells, which spreadsheets write below a
// list, are skipped.
func (t *table) next() (Person, error) {
	cells, line, err := t.read()
	for err == nil && strings.TrimSpace(strings.Join(cells, "")) == "" {
		cells, line, err = t.read()
	}
	if err != nil {
		return Person{}, err
	}
	p := Person{Line: line}
	if len(cells) != len(t.titles) {
		return Person{}, &RowError{line, "", fault.List{fault.Errorf(fault.Invalid,
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
		cell = spreadsheet.Unescape(cell) // the exports escape cells
		switch title {
		case stores:
			p.Stores = listed(strings.Split(cell, ";"))
		case role:
			roleText = cell
		default:
			*p.text(title) = cell
		}
	}
	return p.check(roleText, faults)
}

// text is what the column of that name is kept in; nil for the columns that
// hold something else than a text.
func (p *Person) text(column string) *string {
	switch column {
	case email:
		return &p.Email
	case firstName:
		return &p.FirstName
	case lastName:
		return &p.LastName
	case locale:
		return &p.Locale
	case externalID:
		return &p.ExternalID
	}
	return nil
}
