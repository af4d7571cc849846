package server_test

import (
	"fmt"
	"strings"
	"testing"

	"latchkey/graph/server"
	"latchkey/internal/test/check"
)

// aliased is a document that asks for the same selection of the schema n times.
func aliased(n int, selection string) string {
	return "{ " + numbered(n, "a%d: __schema { "+selection+" }") + "}"
}

// A selection of the schema is resolved once, however often a document asks for
// it: forty, the first time, take about as many allocations as one.
func TestIntrospectionIsResolvedOnce(t *testing.T) {
	const selection = "types { name fields { name } }"
	one := testing.AllocsPerRun(1, func() { newAPI(t, nil).query(holding(), aliased(1, selection), nil) })
	forty := testing.AllocsPerRun(1, func() { newAPI(t, nil).query(holding(), aliased(40, selection), nil) })
	if forty > 2*one {
		t.Errorf("allocations of 40 selections: got %.0f, want at most twice those of one, %.0f", forty, one)
	}
	a := newAPI(t, nil)
	// AllocsPerRun has sent it before.
	if again := testing.AllocsPerRun(1, func() { a.query(holding(), aliased(40, selection), nil) }); again > one/2 {
		t.Errorf("allocations of 40 cached selections: got %.0f, want at most half of those of one, %.0f", again, one)
	}
}

// Answers to introspection that are kept are those that a new handler gives.
func TestIntrospectionThatIsKept(t *testing.T) {
	a := newAPI(t, nil)
	const deprecated = `query($d: Boolean, $n: String = "Account", $i: Boolean = true) {
		s: __schema { types { name fields(includeDeprecated: $d) { name isDeprecated } } }
		__type(name: $n) { name ...F @include(if: $i) } } fragment F on __Type { kind f: fields { name } }`
	for i, q := range []struct {
		query     string
		variables map[string]any
	}{
		{introspectionQuery(t), nil},
		{"{ __schema { queryType { name } } }", nil},
		{"{ again: __schema { queryType { name } } __schema { other: queryType { name } } }", nil},
		{"{ __schema { queryType { name } mutationType { name } } }", nil},
		{"{ a: __schema { ...F } b: __schema { ... { queryType { name } } } } fragment F on __Schema { queryType { name kind } }", nil},
		{"{ a: __schema { queryType { name } } } fragment F on __Schema { queryType { name } } query", nil},
		{`{ a: __type(name: "Account") { name } b: __type(name: "Store") { name } c: __type(name: "None") { name } d: __type(name: "Account") { name } }`, nil},
		{`{ __type(name: "Account") { name @skip(if: true) kind } }`, nil},
		{`{ __type(name: "Account") { name @skip(if: false) kind } }`, nil},
		{`{ a: __schema { queryType { name } } a: __schema { queryType { kind } } viewer { kind } }`, nil},
		{`{ ... { __schema { queryType { name } } } viewer { kind } }`, nil},
		{`{ ... @skip(if: true) { __schema { queryType { name } } } viewer { kind } }`, nil},
		{deprecated, map[string]any{"d": true}},
		{deprecated, map[string]any{"d": false}},
		{deprecated, map[string]any{"n": "Store"}},
		{deprecated, map[string]any{"i": false}},
		{deprecated, map[string]any{"d": nil}},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			want := newAPI(t, nil).query(holding(), q.query, q.variables)
			for range 2 {
				check.Equal(t, a.query(holding(), q.query, q.variables), want,
					"introspection")
			}
		})
	}
}

// What is kept of introspection is bounded, however many selections are asked for.
func TestIntrospectionThatIsKeptIsBounded(t *testing.T) {
	kept, err := server.NewIntrospections()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		kept.Add(i, strings.Repeat("x", 100<<10))
	}
	if now, most := kept.Weight(); now > most || now < most/2 {
		t.Errorf("cached: got %d bytes, want from %d to %d", now, most/2, most)
	}
}
