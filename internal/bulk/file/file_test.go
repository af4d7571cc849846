package file_test

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"latchkey/internal/account"
	"latchkey/internal/bulk/file"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/user"
)

// read reads a whole file. It returns the users and the errors of invalid rows. The error is the one that stopped
// reading early.
func read(text string, format file.Format) (rows []file.Row, wrong []string, err error) {
	r, err := file.NewReader(strings.NewReader(text), format)
	if err != nil {
		return nil, nil, err
	}
	for {
		next, err := r.Next()
		var invalid *file.RowError
		switch {
		case errors.Is(err, io.EOF):
			return rows, wrong, nil
		case errors.As(err, &invalid):
			wrong = append(wrong, invalid.Error())
		case err != nil:
			return rows, wrong, err
		default:
			rows = append(rows, next)
		}
	}
}

const header = "email,first_name,last_name,locale,external_id,stores,role\n"

type item = membership.ProvisionItem

func stores(hashes ...string) []account.StoreRef {
	var refs []account.StoreRef
	for _, hash := range hashes {
		refs = append(refs, account.StoreRef{Hash: hash})
	}
	return refs
}

var ann = file.Row{Line: 2, ProvisionItem: item{
	Email: "ann@acme.example", FirstName: new("Ann"), LastName: new(`O"Hara, Jr.`), Locale: new("en-GB"),
	ExternalID: new("4711"),
	Stores:     stores("acme1us", "acme2eu"), Role: new(user.SalesStaff),
}}

func TestRead(t *testing.T) {
	bob := file.Row{Line: 3, ProvisionItem: item{Email: "bob@acme.example"}}
	for _, tc := range []struct {
		name   string
		format file.Format
		text   string
		want   []file.Row
	}{
		{"all columns", file.CSV,
			header + `ann@acme.example,Ann,"O""Hara, Jr.",en-GB,4711,acme1us;acme2eu,SALES_STAFF` +
				"\nbob@acme.example,,,,,,\n", []file.Row{ann, bob}},
		{"as spreadsheets write it", file.CSV, "\ufeff" + strings.ReplaceAll(header, "\n", "\r\n") +
			`ann@acme.example, Ann ,"O""Hara, Jr.",en-GB,4711,acme1us; acme2eu;;acme1us,sales  staff` + "\r\n",
			[]file.Row{ann}},
		{"columns in another order", file.CSV, "first_name,email\nBo,bo@acme.example",
			[]file.Row{{Line: 2, ProvisionItem: item{Email: "bo@acme.example", FirstName: new("Bo")}}}},
		{"a line break in a cell", file.CSV, "email,first_name\n\"a@b.example\",\"A\nB\"\nbob@acme.example,B\n",
			[]file.Row{{Line: 2, ProvisionItem: item{Email: "a@b.example", FirstName: new("A\nB")}},
				{Line: 4, ProvisionItem: item{Email: "bob@acme.example", FirstName: new("B")}}}},
		{"no address", file.CSV, header, nil},
		{"titles without case", file.CSV, " Email ,FIRST_NAME\nbo@acme.example,Bo\n",
			[]file.Row{{Line: 2, ProvisionItem: item{Email: "bo@acme.example", FirstName: new("Bo")}}}},
		{"the same in other words", file.CSV,
			"email,stores,role\na@b.example,x;y,SALES_STAFF\nA@b.example,y; x,Sales Staff\n",
			[]file.Row{{Line: 2, ProvisionItem: item{Email: "a@b.example", Stores: stores("x", "y"),
				Role: new(user.SalesStaff)}}}},
		{"the same again", file.CSV, "email,role\na@b.example,\n\nA@b.example,\n",
			[]file.Row{{Line: 2, ProvisionItem: item{Email: "a@b.example"}}}},
		{"a byte order mark before a quoted title", file.CSV,
			"\ufeff\"email\",\"first_name\"\r\n\"bo@acme.example\",\"Bo\"\r\n",
			[]file.Row{{Line: 2, ProvisionItem: item{Email: "bo@acme.example", FirstName: new("Bo")}}}},
		{"rows of empty cells", file.CSV, "email,first_name\n,\nbo@acme.example,Bo\n , \n\"\",\n",
			[]file.Row{{Line: 3, ProvisionItem: item{Email: "bo@acme.example", FirstName: new("Bo")}}}},
		{"semicolons between the cells", file.CSV,
			"\ufeffemail;\"first_name\";stores\r\nbo@acme.example;Bo, Jr.;\"acme1us; acme2eu\"\r\n;;\r\n",
			[]file.Row{{Line: 2, ProvisionItem: item{Email: "bo@acme.example", FirstName: new("Bo, Jr."),
				Stores: stores("acme1us", "acme2eu")}}}},
		{"cells escaped by an export", file.CSV,
			"email,first_name,last_name,external_id\n'+bo@acme.example,'=1+1,''=x,'-4711\n",
			[]file.Row{{Line: 2, ProvisionItem: item{Email: "+bo@acme.example", FirstName: new("=1+1"),
				LastName: new("'=x"), ExternalID: new("-4711")}}}},
		{"cells as typed by hand", file.CSV, "email,first_name,external_id\nbo@acme.example,'Bo,-4711\n",
			[]file.Row{{Line: 2, ProvisionItem: item{Email: "bo@acme.example", FirstName: new("'Bo"),
				ExternalID: new("-4711")}}}},
		{"objects", file.NDJSON,
			"\ufeff\n" + `{"email":"ann@acme.example","first_name":"Ann","last_name":"O\"Hara, Jr.","locale":"en-GB",` +
				`"external_id":"4711","stores":["acme1us","acme2eu"],"role":"Sales_Staff"}` + "\r\n" +
				`{"email":" bob@acme.example ","stores":null,"role":null}`, []file.Row{ann, bob}},
		{"no objects", file.NDJSON, "\n \n", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, wrong, err := read(tc.text, tc.format)
			if err != nil || len(wrong) > 0 || !reflect.DeepEqual(got, tc.want) {
				t.Errorf("read: got %+v, %q, %v, want %+v", got, wrong, err, tc.want)
			}
		})
	}
}

func TestInvalidRows(t *testing.T) {
	for _, tc := range []struct {
		name   string
		format file.Format
		text   string
		want   string
	}{
		{"no address", file.CSV, "email,locale\n,en\n", "line 2: email: Every row needs an email address."},
		{"all errors of a row", file.CSV, "email,role\n,Boss\n",
			`line 2: email: Every row needs an email address.; role: "Boss" is not a role. ` +
				"The roles are STORE_OWNER, STORE_ADMINISTRATOR, SALES_MANAGER, SALES_STAFF, CUSTOM."},
		{"too few cells", file.CSV, "email,role\na@b.example\n",
			"line 2: The row has 1 cells, and the first line names 2 columns."},
		{"another encoding", file.CSV, "email,last_name\na@b.example,M\xfcller\n",
			"line 2: last_name: This is not UTF-8 text. Save the file as UTF-8."},
		{"another encoding of the address", file.CSV, "email\n\xfc@b.example\n",
			"line 2: email: This is not UTF-8 text. Save the file as UTF-8."},
		{"a repeated address with other values", file.CSV, "email,role\na@b.example,\nA@b.example,SALES_STAFF\n",
			"line 3: email: Line 2 has the same address with different values."},
		{"a NUL", file.CSV, "email,last_name\na@b.example,M\x00ller\n",
			"line 2: last_name: The value contains a NUL character."},
		{"a NUL in an object", file.NDJSON, `{"email":"a@b.example","last_name":"\u0000"}`,
			"line 1: last_name: The value contains a NUL character."},
		{"no object", file.NDJSON, "[]", `line 1: Each line is a JSON object such as {"email": "ann@acme.example"}.`},
		{"half an object", file.NDJSON, `{"email":"a@b.example"`, "line 1: The line is not JSON."},
		{"more than an object", file.NDJSON, `{"email":"a@b.example"} {}`,
			"line 1: Each line must hold exactly one JSON object."},
		{"an unknown key", file.NDJSON, `{"email":"a@b.example","Email":"x"}`,
			"line 1: Email: The key is unknown. The keys are email, first_name, last_name, locale, external_id, stores, role."},
		{"a key twice", file.NDJSON, `{"email":"a@b.example","email":"b@b.example"}`,
			"line 1: email: The key appears twice."},
		{"a number", file.NDJSON, `{"email":"a@b.example","external_id":4711}`,
			"line 1: external_id: The value must be a string."},
		{"stores in a text", file.NDJSON, `{"email":"a@b.example","stores":"a;b"}`,
			`line 1: stores: The value must be a list of store hashes such as ["acme1us"].`},
		{"another encoding of an object", file.NDJSON, "{\"email\":\"\xfc@b.example\"}",
			"line 1: This is not UTF-8 text. Save the file as UTF-8."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// After any invalid row, the next one is read.
			next := "\n"
			if tc.format == file.NDJSON {
				next += `{"email":"next@b.example"}`
			} else {
				next = strings.TrimSuffix(tc.text[:strings.IndexByte(tc.text, '\n')], "\n")
				next = "next@b.example" + strings.Repeat(",", strings.Count(next, ",")) + "\n"
			}
			users, wrong, err := read(tc.text+next, tc.format)
			if err != nil || len(wrong) != 1 || wrong[0] != tc.want {
				t.Errorf("invalid rows: got %q, %v, want %q", wrong, err, tc.want)
			}
			if len(users) == 0 || users[len(users)-1].Email != "next@b.example" {
				t.Errorf("the next row: got %+v, want next@b.example as the last", users)
			}
		})
	}
}

// An invalid row does not count as a duplicate of another: each is reported.
func TestInvalidRowsAreNotDuplicates(t *testing.T) {
	users, wrong, err := read("email,role\na@b.example,Boss\na@b.example,Boss\na@b.example,\n", file.CSV)
	if err != nil || len(wrong) != 2 || strings.Contains(wrong[1], "same address") || len(users) != 1 ||
		users[0].Line != 4 {
		t.Errorf("read: got %+v, %q, %v, want one user, of line 4, and two invalid rows that are not duplicates",
			users, wrong, err)
	}
}

// NewAddressReader uses only the email address.
func TestAddresses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		format file.Format
		text   string
	}{
		{"an export", file.CSV,
			"user_id,email,role,role,\n1,a@b.example,Boss,,\n1,A@b.example,SALES_STAFF,\xff,\n2,'+c@b.example,,,\n"},
		{"objects", file.NDJSON, `{"id":1,"email":"a@b.example","stores":[{"hash":"x"}],"role":"Boss"}` + "\n" +
			`{"email":"a@b.example"}` + "\n" + `{"email":"+c@b.example","email_":0}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := file.NewAddressReader(strings.NewReader(tc.text), tc.format)
			if err != nil {
				t.Fatal(err)
			}
			first, firstErr := r.Next()
			second, secondErr := r.Next()
			_, end := r.Next()
			if err := errors.Join(firstErr, secondErr); err != nil || first.Email != "a@b.example" ||
				second.Email != "+c@b.example" || !errors.Is(end, io.EOF) {
				t.Errorf("Next: got %+v, %+v, %v, then %v, want a@b.example, +c@b.example, then %v",
					first, second, err, end, io.EOF)
			}
		})
	}
	for _, text := range []string{"user_id\n1\n", "email,Email\na@b.example,c@b.example\n"} {
		if _, err := file.NewAddressReader(strings.NewReader(text), file.CSV); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q: got error %v, want kind %s", text, err, fault.Invalid)
		}
	}
}

func TestUnreadableFiles(t *testing.T) {
	const saveIt = "Save it as UTF-8 text with ordinary line ends (LF or CRLF)."
	const oldLineEnds = "line 1: The file's lines end in carriage returns (CR) only. " + saveIt
	long := strings.Repeat("x", 2*file.MaxRow)
	for _, tc := range []struct {
		name   string
		format file.Format
		text   string
		want   string
	}{
		{"empty", file.CSV, "",
			"The file is empty. Its first line names the columns: email,first_name,last_name,locale,external_id,stores,role"},
		{"other columns", file.CSV, "mail,role,role,Phone\n",
			`line 1: The column "mail" is unknown. The columns are ` + strings.TrimSpace(header) +
				`, with commas between them.; ` +
				`line 1: The column "role" appears twice.; line 1: The column "Phone" is unknown. The columns are ` +
				strings.TrimSpace(header) +
				`, with commas between them.; line 1: The column "email" is missing.`},
		{"an open quote", file.CSV, "email\na@b.example\n\"b@b.example\n",
			"line 3: The quotes are unbalanced. Enclose a cell with quotes, commas or line breaks in quotes, and double the quotes inside it."},
		{"a long row", file.CSV, "email\na@b.example\n" + long,
			"line 3: A row has at most 65536 bytes. Is a quote left open?"},
		{"a long cell", file.CSV, "email\n\"a\nb\"\n\"" + strings.Repeat("x\n", file.MaxRow),
			"line 4: A row has at most 65536 bytes. Is a quote left open?"},
		{"a long object", file.NDJSON, "{}\n" + long, "line 2: A row has at most 65536 bytes. Is a quote left open?"},
		{"UTF-16, little end first", file.CSV, "\xff\xfee\x00m\x00", "The file is UTF-16. " + saveIt},
		{"UTF-16, big end first", file.NDJSON, "\xfe\xff\x00{", "The file is UTF-16. " + saveIt},
		{"old line ends", file.CSV, "email,role\ra@b.example,\rb@b.example,\r", oldLineEnds},
		{"old line ends and quotes", file.CSV, "email,first_name\r\"a@b.example\",\"A \"\"a\"\"\"\r", oldLineEnds},
		{"old line ends in a long file", file.CSV, "email\r" + strings.Repeat("a@b.example\r", file.MaxRow/10),
			oldLineEnds},
		{"old line ends of objects", file.NDJSON, `{"email":"a@b.example"}` + "\r" + `{"email":"b@b.example"}` + "\r",
			oldLineEnds},
		{"another format", "xls", "", "The format must be csv or ndjson."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := read(tc.text, tc.format)
			if fault.KindOf(err) != fault.Invalid || err.Error() != tc.want {
				t.Errorf("read: got error %v, want %q", err, tc.want)
			}
		})
	}
	for _, format := range []file.Format{file.CSV, file.NDJSON} {
		r, err := file.NewReader(iotest.ErrReader(io.ErrUnexpectedEOF), format)
		if err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("a reader that fails, %s: got error %v, want %v", format, err, io.ErrUnexpectedEOF)
		}
	}
}

// A row is returned as soon as it arrives, because a sender may wait for its result before it sends the next one.
func TestNextDoesNotReadAhead(t *testing.T) {
	from, into := io.Pipe()
	read := make(chan struct{})
	go func() {
		fmt.Fprint(into, "email;role\na@b.example;\n")
		<-read
		fmt.Fprint(into, "c@b.example;\n")
		_ = into.Close()
	}()
	r, err := file.NewReader(from, file.CSV)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a@b.example", "c@b.example"} {
		if p, err := r.Next(); err != nil || p.Email != want {
			t.Fatalf("got %+v, %v; want %s", p, err, want)
		}
		if want == "a@b.example" {
			close(read)
		}
	}
}

// A file is not kept in memory: apart from the digests of its addresses, memory use does not grow with the file.
func TestLongFile(t *testing.T) {
	const users = 20_000
	from, into := io.Pipe()
	go func() {
		fmt.Fprint(into, "email,last_name\n")
		for i := range users {
			fmt.Fprintf(into, "p%d@acme.example,%s\n", i, strings.Repeat("x", 80))
		}
		_ = into.Close()
	}()
	r, err := file.NewReader(from, file.CSV)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; err == nil; n++ {
		_, err = r.Next()
	}
	if !errors.Is(err, io.EOF) || n-1 != users {
		t.Errorf("read: got %d users, %v, want %d", n-1, err, users)
	}
}

// For any input, reading ends, and every user that it returns has an address that no earlier user has.
func FuzzRead(f *testing.F) {
	f.Add(header+"ann@acme.example,Ann,,,,a;b,Sales Staff\n", true)
	f.Add("\ufeffemail\r\n\"a\r\nb\"\r\n", true)
	f.Add("email,role\n\"a", true)
	f.Add(`{"email":"a@b.example","stores":["a"],"role":"CUSTOM"}`+"\n{}\n", false)
	f.Fuzz(func(t *testing.T, text string, table bool) {
		format := file.NDJSON
		if table {
			format = file.CSV
		}
		users, wrong, _ := read(text, format)
		if len(users)+len(wrong) > strings.Count(text, "\n")+1 {
			t.Errorf("read: got %d users and %d invalid rows, want %d, the lines, at most",
				len(users), len(wrong), strings.Count(text, "\n")+1)
		}
		met := map[string]bool{}
		line := 0
		for _, p := range users {
			if p.Email == "" || met[user.Fold(p.Email)] || p.Line <= line {
				t.Errorf("user: got %+v, want an address, no duplicate, on a line after %d", p, line)
			}
			met[user.Fold(p.Email)], line = true, p.Line
		}
	})
}
