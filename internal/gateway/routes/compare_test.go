package routes_test

import (
	"strings"
	"testing"

	"latchkey/internal/gateway/routes"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
)

func TestCompare(t *testing.T) {
	table := func(text string) *routes.Table {
		t.Helper()
		parsed, err := routes.Parse(strings.NewReader("routes:\n"+text), scope.Default())
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	const before = "  - {paths: [/v9/b, /v9/a, \"/v9/a/{id}\", /v9/c/**], read: any}\n"
	old := table(before)
	got := old.Compare(table("  - {paths: [\"/v9/a/{number}\", /v9/d], read: any}\n  - {paths: [/v9/a], modify: any}\n"))
	check.Equal(t, got, routes.Difference{Added: []string{"/v9/d"}, Removed: []string{"/v9/b", "/v9/c/**"},
		Changed: []string{"/v9/a"}}, "difference")
	check.Equal(t, got.IsZero(), false, "whether the tables are the same")
	check.Equal(t, old.Compare(table(before)).IsZero(), true, "whether a table is the same as another of the same text")
}
