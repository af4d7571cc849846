// Package roster reads lists of people from files: those that an enterprise
// hands over, to be put into an account or taken out of it (docs/users.md:
// "Provisioning from a file").
//
// A file is read person by person, and only what tells one address from
// another is kept of those who were read. A row that is wrong is told with its
// line and columns, and the next one is read.
package roster

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"latchkey/internal/fault"
	"latchkey/internal/user"
)

// Format is the form of a file.
type Format string

// The formats.
const (
	// CSV is RFC 4180 with a first line that names the columns.
	CSV Format = "csv"
	// NDJSON is a JSON object on each line, with the columns as keys.
	NDJSON Format = "ndjson"
)

// MaxRow is the longest row that is read, in bytes.
const MaxRow = 64 << 10

// The columns. A file has the first and any of the others.
const (
	email      = "email"
	firstName  = "first_name"
	lastName   = "last_name"
	locale     = "locale"
	externalID = "external_id"
	stores     = "stores"
	role       = "role"
)

func columns() []string {
	return []string{email, firstName, lastName, locale, externalID, stores, role}
}

// Person is one row. What the file does not say of somebody is empty.
type Person struct {
	// Line is where the row begins, from 1.
	Line int

	Email      string
	FirstName  string
	LastName   string
	Locale     string
	ExternalID string
	// Stores are hashes of stores.
	Stores []string
	Role   user.Role
}

// RowError is a row that cannot be used. The next one can be read.
type RowError struct {
	// Line is where the row begins.
	Line int
	// Email is the row's address, if that much is known.
	Email string
	// Faults are what is wrong, each on its column; on none where it is all of
	// the row.
	Faults fault.List
}

// Error tells all that is wrong, led by the line.
func (e *RowError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Faults) }

// source reads rows of one format. It returns io.EOF after the last one, a
// *RowError for one that is wrong, and fault.Invalid for what leaves nothing
// more to be read.
type source interface {
	next() (Person, error)
}

// Reader reads people. It is not safe for concurrent use.
type Reader struct {
	rows source
	// met are the rows so far, by address without case.
	met map[string]row
	// addresses says that nothing else of a row counts.
	addresses bool
}

// row is enough of a row to recognise it.
type row struct {
	line   int
	digest [sha256.Size]byte
}

// NewReader reads a file of the format from r. It returns fault.Invalid for a
// CSV file whose first line does not name columns, with all that is wrong.
func NewReader(r io.Reader, format Format) (*Reader, error) {
	return newReader(r, format, false)
}

// NewAddressReader reads a file as NewReader does, but for the addresses
// alone: whatever else it holds is ignored, known or not. Lines with the same
// address are one, so that an export with a line for each store (docs/users.md:
// "Export") will do.
func NewAddressReader(r io.Reader, format Format) (*Reader, error) {
	return newReader(r, format, true)
}

func newReader(r io.Reader, format Format, addresses bool) (*Reader, error) {
	reader := &Reader{met: map[string]row{}, addresses: addresses}
	text := bufio.NewReaderSize(r, MaxRow)
	// An error of reading comes back when the rows are read.
	if mark, _ := text.Peek(2); slices.Contains([]string{"\xff\xfe", "\xfe\xff"}, string(mark)) {
		return nil, fault.Errorf(fault.Invalid, "The file is UTF-16. %s", saveIt)
	}
	var err error
	switch format {
	case CSV:
		reader.rows, err = newTable(text, addresses)
	case NDJSON:
		reader.rows = newObjects(text, addresses)
	default:
		err = fault.Errorf(fault.Invalid, "A file of people is csv or ndjson.")
	}
	return reader, err
}

// Next returns the next person, and io.EOF after the last. A *RowError is
// about one row; after any other error there is nothing more to be read. Rows
// that repeat an earlier one are left out. One that has the address of an
// earlier one and differs is a *RowError that names the earlier.
func (r *Reader) Next() (Person, error) {
	for {
		p, err := r.rows.next()
		if err != nil {
			return Person{}, err
		}
		this := row{p.Line, p.digest()}
		earlier, known := r.met[user.Fold(p.Email)]
		switch {
		case !known:
			r.met[user.Fold(p.Email)] = this
			return p, nil
		case !r.addresses && earlier.digest != this.digest:
			return Person{}, &RowError{p.Line, p.Email, fault.List{fault.Errorf(fault.Invalid,
				"Line %d has the same address and says something else of the person.", earlier.line).On(email)}}
		}
	}
}

// digest is the same for rows that mean the same: stores have no order.
func (p Person) digest() [sha256.Size]byte {
	said := append([]string{user.Fold(p.Email), p.FirstName, p.LastName, p.Locale, p.ExternalID, string(p.Role)}, slices.Sorted(slices.Values(p.Stores))...)
	return sha256.Sum256(fmt.Appendf(nil, "%q", said))
}

// check returns the person of a row whose cells are read, or what is wrong
// with it besides the faults that were found already.
func (p Person) check(roleText string, faults fault.List) (Person, error) {
	wrong := func(column, format string, args ...any) {
		faults = append(faults, fault.Errorf(fault.Invalid, format, args...).On(column))
	}
	if p.Email == "" && !slices.ContainsFunc(faults, func(f *fault.Error) bool { return f.Field == email }) {
		wrong(email, "Every row needs an e-mail address.")
	}
	known := false
	if p.Role, known = parseRole(roleText); !known {
		wrong(role, "There is no role %.40q; the roles are %s.", roleText, roleNames())
	}
	if len(faults) > 0 {
		return Person{}, &RowError{p.Line, p.Email, faults}
	}
	return p, nil
}

// parseRole reads the name of a role as the API has it or as people do:
// SALES_STAFF, "Sales Staff". No text is no role.
func parseRole(text string) (user.Role, bool) {
	name := user.Role(strings.ToUpper(strings.Join(strings.Fields(strings.ReplaceAll(text, "_", " ")), "_")))
	return name, name == "" || slices.Contains(user.Roles(), name)
}

func roleNames() string {
	var names []string
	for _, r := range user.Roles() {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}

// tidy is a cell without space around it, or what keeps it from being text.
func tidy(cell string) (text, wrong string) {
	switch {
	case !utf8.ValidString(cell):
		return "", notText
	case strings.ContainsRune(cell, 0):
		return "", "There is a NUL character in it, which no text has."
	}
	return strings.TrimSpace(cell), ""
}

// listed are the elements of a list that are not empty, each once.
func listed(elements []string) []string {
	var list []string
	for _, one := range elements {
		if one = strings.TrimSpace(one); one != "" && !slices.Contains(list, one) {
			list = append(list, one)
		}
	}
	return list
}

const (
	notText = "This is not UTF-8 text. Save the file as UTF-8."
	saveIt  = "Save it as UTF-8 text with ordinary line ends (LF or CRLF)."
)

// oldLineEnds tells of a file whose lines end as on the first Macintosh, which
// some spreadsheets still offer.
func oldLineEnds() error {
	return fault.Errorf(fault.Invalid, "line 1: The file has no line ends but carriage returns (CR). %s", saveIt)
}

func tooLong(line int) error {
	return fault.Errorf(fault.Invalid, "line %d: A row has at most %d bytes. Is a quote left open?", line, MaxRow)
}

// byteOrderMark begins files in UTF-8 that some programs write.
const byteOrderMark = "\ufeff"
