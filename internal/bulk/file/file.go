// Package file writes CSV that spreadsheets read safely, and reads lists of users from files, to add them to an account
// or remove them from it (docs/users.md: "Provisioning from a file").
//
// A file is read row by row. Only a digest of each row is kept, to detect repeated email addresses. An invalid row is
// reported with its line and columns, and reading continues with the next row.
package file

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"latchkey/internal/account"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/user"
)

// Format is a file format.
type Format string

// The formats.
const (
	// CSV is RFC 4180 with a first line that names the columns.
	CSV Format = "csv"
	// NDJSON is a JSON object on each line, with the columns as keys.
	NDJSON Format = "ndjson"
)

// MaxRow is the maximum length of a row in bytes.
const MaxRow = 64 << 10

// The columns. Only the first is required.
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

// Row is one row. A field that the file leaves out or empty is nil.
type Row struct {
	// Line is the line where the row begins, starting at 1.
	Line int

	membership.ProvisionItem
}

// set stores the value of a text column.
func (r *Row) set(column, text string) {
	field := map[string]**string{
		firstName: &r.FirstName, lastName: &r.LastName, locale: &r.Locale, externalID: &r.ExternalID,
	}[column]
	switch {
	case column == email:
		r.Email = text
	case text != "":
		*field = &text
	}
}

// setStores stores the hashes of stores.
func (r *Row) setStores(hashes []string) {
	for _, hash := range listed(hashes) {
		r.Stores = append(r.Stores, account.StoreRef{Hash: hash})
	}
}

// RowError reports an invalid row. Reading can continue with the next one.
type RowError struct {
	// Line is the line where the row begins.
	Line int
	// Email is the row's email address, if it could be read.
	Email string
	// Faults lists the errors, each on its column, or on no column if it concerns the whole row.
	Faults fault.List
}

// Error returns all errors after the line number.
func (e *RowError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Faults) }

// source reads rows of one format. It returns io.EOF after the last row, a *RowError for an invalid row, and
// fault.Invalid if reading cannot continue.
type source interface {
	next() (Row, error)
}

// Reader reads users from a file. It is not safe for concurrent use.
type Reader struct {
	rows source
	// seen holds the rows read so far, by lower-case email address.
	seen map[string]seenRow
	// addresses reports whether only the email address is read.
	addresses bool
}

// seenRow holds what is needed to compare a row with a later one.
type seenRow struct {
	line   int
	digest [sha256.Size]byte
}

// NewReader reads a file of the format from r. It returns fault.Invalid, with all errors found, for a CSV file whose
// first line does not name columns.
func NewReader(r io.Reader, format Format) (*Reader, error) {
	return newReader(r, format, false)
}

// NewAddressReader reads a file as NewReader does but uses only the email addresses. Other columns, known or unknown,
// are ignored. Rows with the same address count as one, so that an export with a row for each store can be used
// (docs/users.md: "Export").
func NewAddressReader(r io.Reader, format Format) (*Reader, error) {
	return newReader(r, format, true)
}

func newReader(r io.Reader, format Format, addresses bool) (*Reader, error) {
	reader := &Reader{seen: map[string]seenRow{}, addresses: addresses}
	text := bufio.NewReaderSize(r, MaxRow)
	// A read error is returned again when the rows are read.
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
		err = fault.Errorf(fault.Invalid, "The format must be csv or ndjson.")
	}
	return reader, err
}

// Next returns the next user, or io.EOF after the last one. A *RowError concerns one row; after any other error reading
// cannot continue. A row that repeats an earlier one is skipped. A row that has the address of an earlier one but other
// values is a *RowError that names the earlier line.
func (r *Reader) Next() (Row, error) {
	for {
		p, err := r.rows.next()
		if err != nil {
			return Row{}, err
		}
		this := seenRow{p.Line, p.digest()}
		earlier, known := r.seen[user.Fold(p.Email)]
		switch {
		case !known:
			r.seen[user.Fold(p.Email)] = this
			return p, nil
		case !r.addresses && earlier.digest != this.digest:
			return Row{}, &RowError{p.Line, p.Email, fault.List{fault.Errorf(fault.Invalid,
				"Line %d has the same address with different values.", earlier.line).On(email)}}
		}
	}
}

// digest returns the same value for rows with the same content. Stores are compared as a set.
func (r Row) digest() [sha256.Size]byte {
	values := []string{user.Fold(r.Email)}
	for _, field := range []*string{r.FirstName, r.LastName, r.Locale, r.ExternalID, (*string)(r.Role)} {
		if field == nil {
			field = new(string)
		}
		values = append(values, *field)
	}
	var hashes []string
	for _, store := range r.Stores {
		hashes = append(hashes, store.Hash)
	}
	return sha256.Sum256(fmt.Appendf(nil, "%q", append(values, slices.Sorted(slices.Values(hashes))...)))
}

// check validates a parsed row. It returns the row, or all errors including the faults found while parsing.
func (r Row) check(roleText string, faults fault.List) (Row, error) {
	wrong := func(column, format string, args ...any) {
		faults = append(faults, fault.Errorf(fault.Invalid, format, args...).On(column))
	}
	if r.Email == "" && !slices.ContainsFunc(faults, func(f *fault.Error) bool { return f.Field == email }) {
		wrong(email, "Every row needs an email address.")
	}
	switch parsed, known := parseRole(roleText); {
	case !known:
		wrong(role, "%.40q is not a role. The roles are %s.", roleText, roleNames())
	case parsed != "":
		r.Role = &parsed
	}
	if len(faults) > 0 {
		return Row{}, &RowError{r.Line, r.Email, faults}
	}
	return r, nil
}

// parseRole parses a role as the API writes it or with spaces: SALES_STAFF, "Sales Staff". An empty text means no role.
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

// tidy returns the cell without surrounding space, or the reason why it is not valid text.
func tidy(cell string) (text, wrong string) {
	switch {
	case !utf8.ValidString(cell):
		return "", notText
	case strings.ContainsRune(cell, 0):
		return "", "The value contains a NUL character."
	}
	return strings.TrimSpace(cell), ""
}

// listed returns the distinct elements that are not empty.
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

// oldLineEnds returns the error for a file with CR line ends, as the first Macintosh wrote them and some spreadsheets
// still offer.
func oldLineEnds() error {
	return fault.Errorf(fault.Invalid, "line 1: The file's lines end in carriage returns (CR) only. %s", saveIt)
}

func tooLong(line int) error {
	return fault.Errorf(fault.Invalid, "line %d: A row has at most %d bytes. Is a quote left open?", line, MaxRow)
}

// byteOrderMark is written by some programs at the start of UTF-8 files.
const byteOrderMark = "\ufeff"
