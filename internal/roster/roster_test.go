package roster_test

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"latchkey/internal/fault"
	"latchkey/internal/roster"
	"latchkey/internal/user"
)

// read reads all of a file: people, and what is wrong with rows. The error is
// the one that ended it before its end.
func read(text string, format roster.Format) (people []roster.Person, wrong []string, err error) {
	r, err := roster.NewReader(strings.NewReader(text), format)
	if err != nil {
		return nil, nil, err
	}
	for {
		p, err := r.Next()
		var row *roster.RowError
		switch {
		case errors.Is(err, io.EOF):
			return people, wrong, nil
		case errors.As(err, &row):
			wrong = append(wrong, row.Error())
		case err != nil:
			return people, wrong, err
		default:
			people = append(people, p)
		}
	}
}

const header = "email,first_name,last_name,locale,external_id,stores,role\n"

var ann = roster.Person{
	Line: 2, Email: "ann@acme.example", FirstName: "Ann", LastName: `O"Hara, Jr.`, Locale: "en-GB", ExternalID: "4711",
	Stores: []string{"acme1us", "acme2eu"}, Role: user.SalesStaff,
}

func TestRead(t *testing.T) {
	bob := roster.Person{Line: 3, Email: "bob@acme.example"}
	for _, tc := range []struct {
		name   string
		format roster.Format
		text   string
		want   []roster.Person
	}{
		{"all columns", roster.CSV, header + `ann@acme.example,Ann,"O""Hara, Jr.",en-GB,4711,acme1us;acme2eu,SALES_STAFF` + "\nbob@acme.example,,,,,,\n", []roster.Person{ann, bob}},
		{"as spreadsheets write it", roster.CSV, "\ufeff" + strings.ReplaceAll(header, "\n", "\r\n") +
			`ann@acme.example, Ann ,"O""Hara, Jr.",en-GB,4711,acme1us; acme2eu;;acme1us,sales  staff` + "\r\n", []roster.Person{ann}},
		{"columns in another order", roster.CSV, "first_name,email\nBo,bo@acme.example", []roster.Person{{Line: 2, Email: "bo@acme.example", FirstName: "Bo"}}},
		{"a line break in a cell", roster.CSV, "email,first_name\n\"a@b.example\",\"A\nB\"\nbob@acme.example,B\n",
			[]roster.Person{{Line: 2, Email: "a@b.example", FirstName: "A\nB"}, {Line: 4, Email: "bob@acme.example", FirstName: "B"}}},
		{"nobody", roster.CSV, header, nil},
		{"titles without case", roster.CSV, " Email ,FIRST_NAME\nbo@acme.example,Bo\n", []roster.Person{{Line: 2, Email: "bo@acme.example", FirstName: "Bo"}}},
		{"the same in other words", roster.CSV, "email,stores,role\na@b.example,x;y,SALES_STAFF\nA@b.example,y; x,Sales Staff\n",
			[]roster.Person{{Line: 2, Email: "a@b.example", Stores: []string{"x", "y"}, Role: user.SalesStaff}}},
		{"the same again", roster.CSV, "email,role\na@b.example,\n\nA@b.example,\n", []roster.Person{{Line: 2, Email: "a@b.example"}}},
		{"a byte order mark before a quoted title", roster.CSV, "\ufeff\"email\",\"first_name\"\r\n\"bo@acme.example\",\"Bo\"\r\n",
			[]roster.Person{{Line: 2, Email: "bo@acme.example", FirstName: "Bo"}}},
		{"rows of empty cells", roster.CSV, "email,first_name\n,\nbo@acme.example,Bo\n , \n\"\",\n",
			[]roster.Person{{Line: 3, Email: "bo@acme.example", FirstName: "Bo"}}},
		{"semicolons between the cells", roster.CSV, "\ufeffemail;\"first_name\";stores\r\nbo@acme.example;Bo, Jr.;\"acme1us; acme2eu\"\r\n;;\r\n",
			[]roster.Person{{Line: 2, Email: "bo@acme.example", FirstName: "Bo, Jr.", Stores: []string{"acme1us", "acme2eu"}}}},
		{"cells escaped by an export", roster.CSV, "email,first_name,last_name,external_id\n'+bo@acme.example,'=1+1,''=x,'-4711\n",
			[]roster.Person{{Line: 2, Email: "+bo@acme.example", FirstName: "=1+1", LastName: "'=x", ExternalID: "-4711"}}},
		{"cells as somebody typed them", roster.CSV, "email,first_name,external_id\nbo@acme.example,'Bo,-4711\n",
			[]roster.Person{{Line: 2, Email: "bo@acme.example", FirstName: "'Bo", ExternalID: "-4711"}}},
		{"objects", roster.NDJSON, "\ufeff\n" + `{"email":"ann@acme.example","first_name":"Ann","last_name":"O\"Hara, Jr.","locale":"en-GB",` +
			`"external_id":"4711","stores":["acme1us","acme2eu"],"role":"Sales_Staff"}` + "\r\n" + `{"email":" bob@acme.example ","stores":null,"role":null}`, []roster.Person{ann, bob}},
		{"no objects", roster.NDJSON, "\n \n", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, wrong, err := read(tc.text, tc.format)
			if err != nil || len(wrong) > 0 || !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %+v, %q, %v", got, wrong, err)
			}
		})
	}
}

func TestWrongRows(t *testing.T) {
	for _, tc := range []struct {
		name   string
		format roster.Format
		text   string
		want   string
	}{
		{"nobody", roster.CSV, "email,locale\n,en\n", "line 2: email: Every row needs an e-mail address."},
		{"all that is wrong", roster.CSV, "email,role\n,Boss\n", `line 2: email: Every row needs an e-mail address.; role: There is no role "Boss"; ` +
			"the roles are STORE_OWNER, STORE_ADMINISTRATOR, SALES_MANAGER, SALES_STAFF, CUSTOM."},
		{"too few cells", roster.CSV, "email,role\na@b.example\n", "line 2: The row has 1 cells, and the first line names 2 columns."},
		{"another encoding", roster.CSV, "email,last_name\na@b.example,M\xfcller\n", "line 2: last_name: This is not UTF-8 text. Save the file as UTF-8."},
		{"another encoding of the address", roster.CSV, "email\n\xfc@b.example\n", "line 2: email: This is not UTF-8 text. Save the file as UTF-8."},
		{"two of one address", roster.CSV, "email,role\na@b.example,\nA@b.example,SALES_STAFF\n", "line 3: email: Line 2 has the same address and says something else of the person."},
		{"a NUL", roster.CSV, "email,last_name\na@b.example,M\x00ller\n", "line 2: last_name: There is a NUL character in it, which no text has."},
		{"a NUL in an object", roster.NDJSON, `{"email":"a@b.example","last_name":"\u0000"}`, "line 1: last_name: There is a NUL character in it, which no text has."},
		{"no object", roster.NDJSON, "[]", `line 1: Each line is a JSON object such as {"email": "ann@acme.example"}.`},
		{"half an object", roster.NDJSON, `{"email":"a@b.example"`, "line 1: The line is not JSON."},
		{"more than an object", roster.NDJSON, `{"email":"a@b.example"} {}`, "line 1: There is something after the object: each line is one."},
		{"an unknown key", roster.NDJSON, `{"email":"a@b.example","Email":"x"}`,
			"line 1: Email: There is no such key; the keys are email, first_name, last_name, locale, external_id, stores, role."},
		{"a key twice", roster.NDJSON, `{"email":"a@b.example","email":"b@b.example"}`, "line 1: email: The key is there twice."},
		{"a number", roster.NDJSON, `{"email":"a@b.example","external_id":4711}`, "line 1: external_id: The value must be a text."},
		{"stores in a text", roster.NDJSON, `{"email":"a@b.example","stores":"a;b"}`, `line 1: stores: The value must be a list of stores' hashes such as ["acme1us"].`},
		{"another encoding of an object", roster.NDJSON, "{\"email\":\"\xfc@b.example\"}", "line 1: This is not UTF-8 text. Save the file as UTF-8."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// Whatever is wrong with a row, the next one is read.
			next := "\n"
			if tc.format == roster.NDJSON {
				next += `{"email":"next@b.example"}`
			} else {
				next = strings.TrimSuffix(tc.text[:strings.IndexByte(tc.text, '\n')], "\n")
				next = "next@b.example" + strings.Repeat(",", strings.Count(next, ",")) + "\n"
			}
			people, wrong, err := read(tc.text+next, tc.format)
			if err != nil || len(wrong) != 1 || wrong[0] != tc.want {
				t.Errorf("got %q, %v", wrong, err)
			}
			if len(people) == 0 || people[len(people)-1].Email != "next@b.example" {
				t.Errorf("the next one is lost: %+v", people)
			}
		})
	}
}

// A row that is wrong is not what another repeats: each is told of by itself.
func TestWrongRowsAgain(t *testing.T) {
	people, wrong, err := read("email,role\na@b.example,Boss\na@b.example,Boss\na@b.example,\n", roster.CSV)
	if err != nil || len(wrong) != 2 || strings.Contains(wrong[1], "same address") || len(people) != 1 || people[0].Line != 4 {
		t.Errorf("%+v, %q, %v", people, wrong, err)
	}
}

// Of leavers nothing but the address counts.
func TestAddresses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		format roster.Format
		text   string
	}{
		{"an export", roster.CSV, "user_id,email,role,role,\n1,a@b.example,Boss,,\n1,A@b.example,SALES_STAFF,\xff,\n2,'+c@b.example,,,\n"},
		{"objects", roster.NDJSON, `{"id":1,"email":"a@b.example","stores":[{"hash":"x"}],"role":"Boss"}` + "\n" + `{"email":"a@b.example"}` + "\n" + `{"email":"+c@b.example","email_":0}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := roster.NewAddressReader(strings.NewReader(tc.text), tc.format)
			if err != nil {
				t.Fatal(err)
			}
			first, firstErr := r.Next()
			second, secondErr := r.Next()
			_, end := r.Next()
			if err := errors.Join(firstErr, secondErr); err != nil || first.Email != "a@b.example" || second.Email != "+c@b.example" || !errors.Is(end, io.EOF) {
				t.Errorf("%+v, %+v, %v, %v", first, second, err, end)
			}
		})
	}
	for _, text := range []string{"user_id\n1\n", "email,Email\na@b.example,c@b.example\n"} {
		if _, err := roster.NewAddressReader(strings.NewReader(text), roster.CSV); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestUnreadableFiles(t *testing.T) {
	const saveIt = "Save it as UTF-8 text with ordinary line ends (LF or CRLF)."
	const oldLineEnds = "line 1: The file has no line ends but carriage returns (CR). " + saveIt
	long := strings.Repeat("x", 2*roster.MaxRow)
	for _, tc := range []struct {
		name   string
		format roster.Format
		text   string
		want   string
	}{
		{"empty", roster.CSV, "", "The file is empty. Its first line names the columns: email,first_name,last_name,locale,external_id,stores,role"},
		{"other columns", roster.CSV, "mail,role,role,Phone\n", `line 1: There is no column "mail"; the columns are ` + strings.TrimSpace(header) + `, with commas between them.; ` +
			`line 1: The column "role" is there twice.; line 1: There is no column "Phone"; the columns are ` + strings.TrimSpace(header) +
			`, with commas between them.; line 1: The column "email" is missing.`},
		{"an open quote", roster.CSV, "email\na@b.example\n\"b@b.example\n", "line 3: The quotes are not in order: a cell with quotes, commas or line breaks stands in quotes, and a quote in it is written twice."},
		{"a long row", roster.CSV, "email\na@b.example\n" + long, "line 3: A row has at most 65536 bytes. Is a quote left open?"},
		{"a long cell", roster.CSV, "email\n\"a\nb\"\n\"" + strings.Repeat("x\n", roster.MaxRow), "line 4: A row has at most 65536 bytes. Is a quote left open?"},
		{"a long object", roster.NDJSON, "{}\n" + long, "line 2: A row has at most 65536 bytes. Is a quote left open?"},
		{"UTF-16, little end first", roster.CSV, "\xff\xfee\x00m\x00", "The file is UTF-16. " + saveIt},
		{"UTF-16, big end first", roster.NDJSON, "\xfe\xff\x00{", "The file is UTF-16. " + saveIt},
		{"old line ends", roster.CSV, "email,role\ra@b.example,\rb@b.example,\r", oldLineEnds},
		{"old line ends and quotes", roster.CSV, "email,first_name\r\"a@b.example\",\"A \"\"a\"\"\"\r", oldLineEnds},
		{"old line ends in a long file", roster.CSV, "email\r" + strings.Repeat("a@b.example\r", roster.MaxRow/10), oldLineEnds},
		{"old line ends of objects", roster.NDJSON, `{"email":"a@b.example"}` + "\r" + `{"email":"b@b.example"}` + "\r", oldLineEnds},
		{"another format", "xls", "", "A file of people is csv or ndjson."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := read(tc.text, tc.format)
			if fault.KindOf(err) != fault.Invalid || err.Error() != tc.want {
				t.Errorf("got %v", err)
			}
		})
	}
	for _, format := range []roster.Format{roster.CSV, roster.NDJSON} {
		r, err := roster.NewReader(iotest.ErrReader(io.ErrUnexpectedEOF), format)
		if err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("a file that breaks off, %s: %v", format, err)
		}
	}
}

// A row is read when it has come, also from a program that sends the next one
// only when this one is done.
func TestReadsNoFurtherThanARow(t *testing.T) {
	from, into := io.Pipe()
	read := make(chan struct{})
	go func() {
		fmt.Fprint(into, "email;role\na@b.example;\n")
		<-read
		fmt.Fprint(into, "c@b.example;\n")
		_ = into.Close()
	}()
	r, err := roster.NewReader(from, roster.CSV)
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

// A file is not kept in memory: one of any length is read in the same space,
// but for the addresses.
func TestLongFile(t *testing.T) {
	const people = 20_000
	from, into := io.Pipe()
	go func() {
		fmt.Fprint(into, "email,last_name\n")
		for i := range people {
			fmt.Fprintf(into, "p%d@acme.example,%s\n", i, strings.Repeat("x", 80))
		}
		_ = into.Close()
	}()
	r, err := roster.NewReader(from, roster.CSV)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; err == nil; n++ {
		_, err = r.Next()
	}
	if !errors.Is(err, io.EOF) || n-1 != people {
		t.Errorf("%d people, %v", n-1, err)
	}
}

// Whatever a file holds: reading it ends, and whoever comes out of it has an
// address that nobody before them has.
func FuzzRead(f *testing.F) {
	f.Add(header+"ann@acme.example,Ann,,,,a;b,Sales Staff\n", true)
	f.Add("\ufeffemail\r\n\"a\r\nb\"\r\n", true)
	f.Add("email,role\n\"a", true)
	f.Add(`{"email":"a@b.example","stores":["a"],"role":"CUSTOM"}`+"\n{}\n", false)
	f.Fuzz(func(t *testing.T, text string, table bool) {
		format := roster.NDJSON
		if table {
			format = roster.CSV
		}
		people, wrong, _ := read(text, format)
		if len(people)+len(wrong) > strings.Count(text, "\n")+1 {
			t.Errorf("%d people and %d wrong rows on %d lines", len(people), len(wrong), strings.Count(text, "\n")+1)
		}
		met := map[string]bool{}
		line := 0
		for _, p := range people {
			if p.Email == "" || met[user.Fold(p.Email)] || p.Line <= line {
				t.Errorf("%+v", p)
			}
			met[user.Fold(p.Email)], line = true, p.Line
		}
	})
}
