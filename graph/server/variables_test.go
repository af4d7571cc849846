package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"

	"latchkey/graph/server"
	"latchkey/internal/test/check"
)

// Values of each type, as JSON has them. An error names the variable, the path
// and the value as sent.
func TestVariablesAreCoercedStrictly(t *testing.T) {
	const (
		usersQuery = `query($v: Int) { account { users(first: $v) { edges { cursor } } } }`
		node       = `query($v: ID!) { node(id: $v) { id } }`
		nodes      = `query($v: [ID!]!) { nodes(ids: $v) { id } }`
		filter     = `query($v: UserFilterInput) { account { users(filter: $v) { edges { cursor } } } }`
		inside     = `query($v: DateTime, $s: String) { account { users(filter: {updatedAfter: $v, search: $s}) { edges { cursor } } } }`
		skip       = `query($v: Boolean!) { __typename @skip(if: $v) }`
		twice      = `query($v: ID!, $w: Int) { node(id: $v) { id } account { users(first: $w) { edges { cursor } } } }`
		create     = `mutation($v: CreateUserWithPasswordInput!) { user { createUserWithPassword(input: $v) { user { id } } } }`
		secret     = `mutation($v: String!) { user { createUserWithPassword(input: {email: "a@b.example", firstName: "A", lastName: "B",
			locale: "en", password: $v, passwordConfirmation: "x"}) { user { id } } } }`
		preset = `query($v: ID = "a") { node(id: $v) { id } }`
	)
	tests := []struct{ name, query, variables, want string }{
		{"an Int", usersQuery, `{"v":2}`, ""},
		{"an Int with a fraction of nothing", usersQuery, `{"v":2.0}`, ""},
		{"null", usersQuery, `{"v":null}`, ""},
		{"a string for an Int", usersQuery, `{"v":"2"}`,
			`Variable $v: "2" is not of type Int. An Int is a whole number of 32 bits, without quotes.`},
		{"a fraction for an Int", usersQuery, `{"v":2.5}`, `Variable $v: 2.5 is not of type Int.`},
		{"more than 32 bits", usersQuery, `{"v":2147483648}`, `Variable $v: 2147483648 is not of type Int.`},
		{"a boolean for an Int", usersQuery, `{"v":true}`, `Variable $v: true is not of type Int.`},
		{"an object for an Int", usersQuery, `{"v":{"a":1}}`, `Variable $v: {"a":1} is not of type Int.`},
		{"a list for an Int", usersQuery, `{"v":[1]}`, `Variable $v: [1] is not of type Int.`},
		{"an ID as a number", node, `{"v":4711}`, ""},
		{"a fraction for an ID", node, `{"v":4711.5}`,
			`Variable $v: 4711.5 is not of type ID. An ID is a string or a whole number.`},
		{"an exponent for an ID", node, `{"v":1e3}`, `Variable $v: 1e3 is not of type ID.`},
		{"a boolean for an ID", node, `{"v":false}`, `Variable $v: false is not of type ID.`},
		{"null for an ID", node, `{"v":null}`, `Variable $v: cannot be null.`},
		{"no ID", node, `{}`, `Variable $v: must be defined.`},
		{"null for an ID that has a default", preset, `{"v":null}`,
			`Variable $v: cannot be null. Omit it for its default.`},
		{"one ID for a list", nodes, `{"v":"a"}`, ""},
		{"a list in a list", nodes, `{"v":[["a"]]}`, `Variable $v.0: ["a"] is not of type ID.`},
		{"an element", nodes, `{"v":["a",true]}`, `Variable $v.1: true is not of type ID.`},
		{"a number for a String", filter, `{"v":{"search":12}}`,
			`Variable $v.search: 12 is not of type String. A String must be in quotes.`},
		{"a number in a list of Strings", filter, `{"v":{"emails":["a@b.example",12]}}`,
			`Variable $v.emails.1: 12 is not of type String.`},
		{"a string for a Boolean", filter, `{"v":{"withoutStores":"true"}}`,
			`Variable $v.withoutStores: "true" is not of type Boolean.`},
		{"a number for a condition", skip, `{"v":0}`,
			`Variable $v: 0 is not of type Boolean. A Boolean is true or false, without quotes.`},
		{"a string for an input", filter, `{"v":"x"}`,
			`Variable $v: "x" is not of type UserFilterInput. It must be an object.`},
		{"a field that is not", filter, `{"v":{"searches":"x"}}`, `Variable $v.searches: unknown field.`},
		{"the name of a type", filter, `{"v":{"search":"xx","__typename":"UserFilterInput"}}`, ""},
		{"within an input in the document", inside, `{"v":"2026-01-31"}`,
			`Variable $v: "2026-01-31" is not of type DateTime.`},
		{"neither sent", inside, `{}`, ""},
		{"a number that a text wants, within an input", inside, `{"s":7}`, `Variable $s: 7 is not of type String.`},
		{"a long value", node, `{"v":["` + strings.Repeat("x", 500) + `"]}`,
			`Variable $v: ["` + strings.Repeat("x", 98) + `… is not of type ID.`},
		{"two at once", twice, `{"v":true,"w":"1"}`, `Variable $w: "1" is not of type Int.`},
		{"a password in an input", create, `{"v":{"email":"a@b.example","password":4711}}`,
			`Variable $v.password: the value is not of type String.`},
		{"what may be a password, for an input", create, `{"v":"Sesame4711"}`,
			`Variable $v: the value is not of type CreateUserWithPasswordInput.`},
		{"a password by itself", secret, `{"v":4711}`, `Variable $v: the value is not of type String.`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := newAPI(t, withUsers)
			r := newRequest(http.MethodPost, "", `{"query":`+quoted(t, tt.query)+`,"variables":`+tt.variables+`}`)
			got := a.send(r, holding("account_users_read", "account_users_write")).Body.String()
			if tt.want == "" {
				if strings.Contains(got, "Variable $") {
					t.Errorf("got %s, want the variables accepted", got)
				}
				return
			}
			if want := strings.TrimSuffix(strings.TrimPrefix(quoted(t, tt.want), `"`), `"`); !strings.Contains(got,
				want) || strings.Contains(got, `"data"`) {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// quoted is a text in JSON, in which only what must be is escaped.
func quoted(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(b.String())
}

// Literals are held to the same, before anything runs.
func TestLiteralsAreReadBeforeAnythingRuns(t *testing.T) {
	a := newAPI(t, withUsers)
	for _, tt := range []struct{ name, query, want string }{
		{"a DateTime", `{ account { users(filter: {updatedAfter: "2026-01-31"}) { edges { cursor } } } }`,
			`{"message":"A DateTime is a string in RFC 3339: 2026-01-31T09:30:00Z.","locations":[{"line":1,"column":43}],"extensions":{"code":"INVALID","field":"filter.updatedAfter"`},
		{"a name for a DateTime", `{ account { users(filter: {updatedAfter: tomorrow}) { edges { cursor } } } }`,
			`A DateTime is a string`},
		{"an object for a DateTime", `{ account { users(filter: {updatedAfter: {year: 1}}) { edges { cursor } } } }`,
			`A DateTime is a string`},
		{"a variable in an object for a DateTime",
			`query($v: Int) { account { users(filter: {updatedAfter: {year: $v}}) { edges { cursor } } } }`,
			`A DateTime is a string`},
		{"a list for a DateTime",
			`{ account { users(filter: {updatedAfter: ["2026-01-31T09:30:00Z"]}) { edges { cursor } } } }`,
			`A DateTime is a string`},
		{"the default of a DateTime",
			`query($v: DateTime = "soon") { account { users(filter: {updatedAfter: $v}) { edges { cursor } } } }`,
			`"field":"v"`},
		{"more than 32 bits", `{ account { users(first: 2147483648) { edges { cursor } } } }`,
			`An Int is a whole number of 32 bits`},
		{"NUL", `{ nodes(ids: ["a", "\u0000"]) { id } }`,
			`A String cannot contain the NUL character.","locations":[{"line":1,"column":21}],"extensions":{"code":"INVALID","field":"ids.1"`},
		{"in a fragment", `{ ...F } fragment F on Query { node(id: "\u{0}") { id } }`,
			`A String cannot contain the NUL character.`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := a.query(holding("account_users_read"), tt.query, nil)
			if !strings.Contains(got, tt.want) || strings.Contains(got, `"data"`) {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
		})
	}
}

// Strings have the values that the specification gives their escapes.
func TestEscapesInStrings(t *testing.T) {
	d := newDocuments(t)
	for _, tt := range []struct{ literal, want string }{
		{`"a"`, "a"},
		{`"\u0041\u00e9"`, "Aé"},
		{`"\u{41}\u{1F600}\u{00000e9}"`, "A😀é"},
		{`"\uD83D\uDE00!"`, "😀!"},
		{`"a\\u{41} \"\/\b\f\n\r\t \u{41}"`, "a\\u{41} \"/\b\f\n\r\t A"},
		{`"ü😀\u{41}"`, "ü😀A"},
		{`"""a\u{41}"""`, `a\u{41}`},
		{`"""a\"""\u0041"""`, `a"""\u0041`},
		{"\"x\" # \"\\u{zz}\n", "x"},
	} {
		for _, before := range []string{"{",
			"{ viewer { kind }\r\n # ü \"\\uD800\n a: node(id: \"😀\\u{1F600}\") { id }\n"} {
			doc := d.Get(before + ` node(id: ` + tt.literal + `) { id } }`)
			if doc == nil {
				t.Errorf("%s after %q: got it refused, want it accepted", tt.literal, before)
				continue
			}
			set := doc.Operations[0].SelectionSet
			check.Equal(t, set[len(set)-1].(*ast.Field).Arguments[0].Value.Raw, tt.want, "%s", tt.literal)
		}
	}
	a := newAPI(t, nil)
	for literal, column := range map[string]int{
		`"\uD83D"`: 13, `"a\uDE00\uD83D"`: 14, `"\u{D800}"`: 13, `"\u{110000}"`: 13, `"\u{FFFFFFFFFFFFFFFF}"`: 13,
		`"\uD83Dx"`: 13,
		`"\u{}"`:    13, `"\u{4g}"`: 13, `"a\u{41"`: 14,
	} {
		got := a.query(holding(), "{\n\n  node(id: "+literal+`) { id } }`, nil)
		want := fmt.Sprintf(
			`{"errors":[{"message":"Invalid character escape sequence: not a valid Unicode character.","locations":[{"line":3,"column":%d}]`, column)
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %s, want %s", literal, got, want)
		}
	}
	for _, literal := range []string{`"\u41"`, `"\x"`, `"\u{41`, `"\u`, `"\`, `"""\u{41}`} {
		if d.Get(`{ node(id: `+literal+`) { id } }`) != nil {
			t.Errorf("%s: got it accepted, want it refused", literal)
		}
	}
	// What comes after an escape is where it was written.
	if got := a.query(holding(), `{ node(id: "\u{1F600}\uD83D\uDE00") { idd } }`, nil); !strings.Contains(got,
		`"column":39`) {
		t.Errorf("got %s, want an error in column 39", got)
	}
}

// FuzzEscapes: no text makes the reader fail, and what it does not change is read
// as before.
func FuzzEscapes(f *testing.F) {
	for _, seed := range []string{`{a(b:"\u{41}")}`, `"\u`, `"""\u0041`, `#\u` + "\n" + `"\uD800`, `"\\u{41}`} {
		f.Add(seed)
	}
	d, err := server.NewDocuments(schema())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(_ *testing.T, text string) { d.Get(`{ node(id: "` + text + `") { id } }`) })
}
