package scope_test

import (
	"strings"
	"testing"

	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
)

const socks = `resources:
  - {key: socks, name: Socks, section: Goods, level: store, description: Socks., permissions: [
      {name: read-only, scope: socks_read, description: Read.},
      {name: modify, scope: socks, description: Write., implies: [socks_read]}]}
`

func catalogueOf(t *testing.T, text string) *scope.Catalogue {
	t.Helper()
	c, err := scope.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// While tokens are used, scopes can be added and described otherwise. Their rights stay.
func TestCompare(t *testing.T) {
	hats := `  - {key: hats, name: Hats, section: Goods, level: account, description: Hats., permissions: [
      {name: read-only, scope: hats_read, description: Read.}]}
`
	old := catalogueOf(t, socks)
	for _, tc := range []struct {
		name, next string
		want       scope.Difference
		reason     string
	}{
		{"the same", socks, scope.Difference{}, ""},
		{"a resource more", socks + hats, scope.Difference{Added: []string{"hats_read"}}, ""},
		{"a permission more", strings.Replace(socks, "description: Read.},", "description: Read.},\n"+
			"      {name: count, scope: socks_count, description: Count.},", 1),
			scope.Difference{Added: []string{"socks_count"}}, ""},
		{"another description", strings.Replace(socks, "Socks.", "Stockings.", 1), scope.Difference{Described: true},
			""},
		{"a scope less", strings.Replace(socks, "socks_read", "socks_see", 2), scope.Difference{},
			"socks_read was removed"},
		{"another level", strings.Replace(socks, "store", "account", 1), scope.Difference{}, "has another level"},
		{"a feature", strings.Replace(socks, "level: store", "level: store, feature: automated_billing", 1),
			scope.Difference{}, "needs another feature"},
		{"no implication", strings.Replace(socks, ", implies: [socks_read]", "", 1), scope.Difference{},
			"The scope socks implies other scopes"},
		{"an implication of a new scope", strings.Replace(socks, "implies: [socks_read]",
			"implies: [socks_read, hats_read]", 1) + strings.Replace(hats, "account", "store", 1), scope.Difference{},
			"implies other scopes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := old.Compare(catalogueOf(t, tc.next))
			if tc.reason != "" {
				if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), tc.reason) {
					t.Errorf("got %v, want %s", err, tc.reason)
				}
				return
			}
			check.Equal(t, err, nil, "error")
			check.Equal(t, got, tc.want, "difference")
		})
	}
}

func TestReplace(t *testing.T) {
	c := catalogueOf(t, socks)
	other := c.Copy()
	c.Replace(scope.Default())
	_, known := c.Lookup("account_read")
	check.Equal(t, known, true, "whether a scope of the new content is known")
	_, known = other.Lookup("account_read")
	check.Equal(t, known, false, "whether a copy has changed")
}
