package export_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/internal/bulk/export"
	"latchkey/internal/bulk/file"
	"latchkey/internal/test/check"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// acme is a page of two users, one without stores.
func acme() []export.Person {
	hr := "-7"
	return []export.Person{
		{
			ID: "bc/account/user/1", Email: "+ann@acme.example", FirstName: "=1+1", LastName: `O"Neil, Ann`,
			Locale: "en", ExternalID: &hr, CreatedAt: noon, UpdatedAt: noon.Add(time.Hour),
			Stores: []export.Place{
				{StoreHash: "us", StoreName: "@Acme", Role: "SALES_STAFF", Status: "ACTIVE",
					Permissions: []string{"Add_Orders"}, LastLoginAt: &noon},
				{StoreHash: "eu", StoreName: "Ünder\r\nline", Role: "CUSTOM", Status: "INACTIVE",
					Permissions: []string{}},
			},
		},
		{ID: "bc/account/user/2", Email: "bo@acme.example", FirstName: "Bo", LastName: "<B>", Locale: "de",
			CreatedAt: noon, UpdatedAt: noon, Stores: []export.Place{}},
	}
}

func written(t *testing.T, format string, pages ...[]export.Person) string {
	t.Helper()
	var text bytes.Buffer
	n, err := export.Copy(t.Context(), paged(pages...), export.NewWriter(format, &text), func(int64) {})
	if err != nil || n != int64(2*len(pages)) && pages[0] != nil {
		t.Fatalf("Copy() = %d, %v, want %d", n, err, 2*len(pages))
	}
	return text.String()
}

// paged returns a source of the given pages.
func paged(pages ...[]export.Person) export.Source {
	return func(_ context.Context, after string) ([]export.Person, string, error) {
		i := len(after)
		if i+1 == len(pages) {
			return pages[i], "", nil
		}
		return pages[i], after + "x", nil
	}
}

// row is a line of CSV with every cell in quotes.
func row(cells ...string) string { return `"` + strings.Join(cells, `","`) + "\"\r\n" }

var header = row("user_id", "email", "first_name", "last_name", "locale", "external_id", "created_at", "updated_at",
	"store_hash", "store_name", "role", "status", "last_login_at")

func TestCSV(t *testing.T) {
	ann := []string{"bc/account/user/1", "'+ann@acme.example", "'=1+1", `O""Neil, Ann`, "en", "'-7",
		"2026-03-04T12:00:00Z", "2026-03-04T13:00:00Z"}
	want := header +
		row(append(slices.Clone(ann), "us", "'@Acme", "SALES_STAFF", "ACTIVE", "2026-03-04T12:00:00Z")...) +
		row(append(slices.Clone(ann), "eu", "Ünder\r\nline", "CUSTOM", "INACTIVE", "")...) +
		row("bc/account/user/2", "bo@acme.example", "Bo", "<B>", "de", "", "2026-03-04T12:00:00Z",
			"2026-03-04T12:00:00Z",
			"", "", "", "", "")
	check.Equal(t, written(t, "csv", acme()), want, "written(t, \"csv\", acme())")
	check.Equal(t, written(t, "csv", acme(), acme()), want+strings.TrimPrefix(want, header), "two pages")
	check.Equal(t, written(t, "csv", nil), header, "no users")
}

func TestJSON(t *testing.T) {
	for name, pages := range map[string][][]export.Person{"no users": {nil}, "a page": {acme()},
		"three pages": {acme(), acme(), acme()}} {
		t.Run(name, func(t *testing.T) {
			var document struct{ Users []export.Person }
			if err := json.Unmarshal([]byte(written(t, "json", pages...)), &document); err != nil {
				t.Fatal(err)
			}
			lines := json.NewDecoder(strings.NewReader(written(t, "ndjson", pages...)))
			for i := 0; ; i++ {
				var p export.Person
				if err := lines.Decode(&p); errors.Is(err, io.EOF) {
					check.Equal(t, i, len(document.Users), "i")
					return
				}
				if want := acme()[i%2]; fmt.Sprint(p.Email, p.Stores) == "" || p.Email != want.Email ||
					document.Users[i].LastName != want.LastName || len(p.Stores) != len(want.Stores) {
					t.Errorf("line %d is %+v, want %+v", i, p, want)
				}
			}
		})
	}
}

func TestTable(t *testing.T) {
	want := "EMAIL              NAME             EXTERNAL ID  STORES                          UPDATED\n" +
		"+ann@acme.example  =1+1 O\"Neil, Ann  -7           us:SALES_STAFF eu:CUSTOM:INACTIVE  2026-03-04 13:00\n" +
		"bo@acme.example    Bo <B>           -            -                               2026-03-04 12:00\n"
	if got := strings.Fields(written(t, "table", acme())); strings.Join(got, " ") != strings.Join(strings.Fields(want),
		" ") {
		t.Errorf("the table: got %q, want %q", got, strings.Fields(want))
	}
}

// limitedWriter accepts left bytes and then fails.
type limitedWriter struct{ left int }

func (w *limitedWriter) Write(text []byte) (int, error) {
	if len(text) > w.left {
		return 0, errors.New("the disk is full")
	}
	w.left -= len(text)
	return len(text), nil
}

func TestCopyFails(t *testing.T) {
	for _, format := range export.Formats() {
		full := func(left int) error {
			_, err := export.Copy(t.Context(), paged(acme(), acme()), export.NewWriter(format, &limitedWriter{left}),
				func(int64) {})
			return err
		}
		if full(0) == nil || full(len(written(t, format, acme(), acme()))-1) == nil {
			t.Errorf("%s, a writer that fails: got no error, want one", format)
		}
	}
	broken := errors.New("no database")
	n, err := export.Copy(t.Context(), func(context.Context, string) ([]export.Person, string,
		error) {
		return nil, "", broken
	},
		export.NewWriter("csv", io.Discard), func(int64) {})
	if n != 0 || !errors.Is(err, broken) {
		t.Errorf("Copy() = %d, %v, want 0 and the error %v", n, err, broken)
	}
}

// counting counts the lines written to it.
type counting struct{ lines int }

func (c *counting) Write(text []byte) (int, error) {
	c.lines += bytes.Count(text, []byte("\n"))
	return len(text), nil
}

// Copy holds one page at a time: when it reads the next page, all earlier ones have been written.
func TestCopyKeepsOnePage(t *testing.T) {
	const pages, size = 400, 250
	var out counting
	served := 0
	source := func(_ context.Context, after string) ([]export.Person, string, error) {
		if held := served - (out.lines - min(1, out.lines)); held != 0 {
			return nil, "", fmt.Errorf("%d users are held", held)
		}
		users := make([]export.Person, size)
		served += size
		if served == pages*size {
			return users, "", nil
		}
		return users, after + ".", nil
	}
	n, err := export.Copy(t.Context(), source, export.NewWriter("csv", &out), func(int64) {})
	if n != pages*size || err != nil || out.lines != pages*size+1 {
		t.Errorf("Copy() = %d, %v, with %d lines, want %d users and a line more", n, err, out.lines, pages*size)
	}
}

// Unescaping restores what was written, and no cell begins a formula.
func FuzzCSV(f *testing.F) {
	f.Add("=cmd|' /C calc'!A0", "a,\"b\"", "\t+1")
	f.Add("", "\r\n", "＝1")
	f.Fuzz(func(t *testing.T, first, last, external string) {
		var text bytes.Buffer
		err := export.NewWriter("csv", &text).Write([]export.Person{{FirstName: first, LastName: last,
			ExternalID: &external}})
		if err != nil {
			t.Fatal(err)
		}
		records, err := csv.NewReader(&text).ReadAll()
		if err != nil || len(records) != 2 {
			t.Fatalf("records: got %q, %v, want 2", records, err)
		}
		for i, want := range []string{first, last, external} {
			written := strings.ReplaceAll(file.Escape(want), "\r\n", "\n") // as encoding/csv reads it
			check.Equal(t, records[1][2+i+i/2], written, "cell %d is read", i)
		}
		for _, cell := range records[1] {
			if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r") {
				t.Errorf("the cell %q begins a formula, want it escaped", cell)
			}
		}
	})
}
