package routes_test

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"latchkey/internal/fault"
	"latchkey/internal/gateway/routes"
	"latchkey/internal/scope"
)

func TestParseFaults(t *testing.T) {
	const malformed = "is not made of a slash and a segment"
	for _, tc := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", []string{"The table of routes is empty."}},
		{"no routes", "{}", []string{`line 1: a table of routes needs "routes"`}},
		{"empty routes", "routes: []", []string{"line 1: routes must be a list with at least one element"}},
		{"unknown key", "routes:\n  - {paths: [/a], write: any, read: any}",
			[]string{`line 2: unknown key "write"; a route has paths, read, modify`}},
		{"no paths", "routes:\n  - {read: any}", []string{`line 2: a route needs "paths"`}},
		{"paths as text", "routes:\n  - {paths: /a, read: any}", []string{"line 2: paths must be a list"}},
		{"neither read nor modify", "routes:\n  - {paths: [/a]}", []string{`line 2: a route needs "read" or "modify"`}},
		{"an unknown scope", "routes:\n  - {paths: [/a], read: store_everything}",
			[]string{`line 2: read "store_everything" is not in the catalogue of scopes`}},
		{"an unknown scope among several", "routes:\n  - {paths: [/a], modify: [store_cart,\n      x]}",
			[]string{`line 3: modify "x" is not`}},
		{"no scope", "routes:\n  - {paths: [/a], modify: []}",
			[]string{"line 2: modify must be a list with at least one"}},
		{"a scope that is a number", "routes:\n  - {paths: [/a], modify: 1}", []string{"line 2: modify must be text"}},
		{"a path that is a number", "routes:\n  - {paths: [1], read: any}", []string{"line 2: a path must be text"}},
		{"no slash", "routes:\n  - {paths: [a], read: any}", []string{"line 2: a path \"a\" " + malformed}},
		{"a slash at the end", "routes:\n  - {paths: [/a/], read: any}", []string{malformed}},
		{"only a slash", "routes:\n  - {paths: [/], read: any}", []string{malformed}},
		{"dots", "routes:\n  - {paths: [/a/..], read: any}", []string{malformed}},
		{"an escape", "routes:\n  - {paths: [/a%20b], read: any}", []string{malformed}},
		{"an asterisk", "routes:\n  - {paths: [/a/*], read: any}", []string{malformed}},
		{"asterisks before the end", "routes:\n  - {paths: [/**/a], read: any}", []string{malformed}},
		{"an unclosed name", "routes:\n  - {paths: ['/{a'], read: any}", []string{malformed}},
		{"a path twice", "routes:\n  - {paths: ['/a/{x}'], read: any}\n  - {paths: ['/a/{y}'], read: any}",
			[]string{"line 3: path /a/{y} is on line 2 already"}},
		{"any among others", "routes:\n  - {paths: [/a], read: [store_cart, any]}",
			[]string{`line 2: "any" admits every credential`}},
		{"below the store", "routes:\n  - {paths: ['/stores/{hash}/v3/a'], read: any}",
			[]string{"as it follows /stores/{hash}"}},
		{"several", "routes:\n  - {paths: [a], read: b}\n  - c",
			[]string{"line 2: read", "line 2: a path", "line 3: a route has the keys"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			table, err := routes.Parse(strings.NewReader(tc.text), scope.Default())
			faults := fault.Flatten(err)
			if table != nil || fault.KindOf(err) != fault.Invalid || len(faults) != len(tc.want) {
				t.Fatalf("Parse() = %v, %v, want no table and the faults %q", table, err, tc.want)
			}
			for i, want := range tc.want {
				if !strings.Contains(faults[i].Error(), want) {
					t.Errorf("fault %d is %q, want %q", i, faults[i], want)
				}
			}
		})
	}
}

func TestParseReportsABrokenReader(t *testing.T) {
	broken := errors.New("disk is gone")
	if table, err := routes.Parse(iotest.ErrReader(broken), scope.Default()); table != nil || !errors.Is(err, broken) {
		t.Errorf("Parse() = %v, %v, want no table and the error %v", table, err, broken)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(own)
	f.Add("routes:\n  - {paths: ['/{a}/**'], read: any}")
	f.Add("routes: [{paths: [*a]}]")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := routes.Parse(strings.NewReader(text), scope.Default())
		if err != nil {
			if table != nil || fault.KindOf(err) != fault.Invalid {
				t.Fatalf("Parse() = %v, %v, want no table and kind %s", table, err, fault.Invalid)
			}
			return
		}
		if _, ok := table.Match("GET", "/stores/s/../x"); ok {
			t.Fatal("a path with dots is allowed, want it refused")
		}
	})
}
