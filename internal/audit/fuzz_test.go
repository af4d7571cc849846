package audit_test

import (
	"slices"
	"testing"

	"latchkey/internal/audit"
)

// A pattern selects the types that it names, and no others.
func FuzzTypesOf(f *testing.F) {
	for _, pattern := range []string{"*", "api_token.*", "user.added", ".*", "api_token.", "**"} {
		f.Add(pattern)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		for _, selected := range audit.TypesOf([]string{pattern}) {
			if !slices.Contains(selected.Patterns(), pattern) || !slices.Contains(audit.Types(), selected) {
				t.Errorf("%q selects %q", pattern, selected)
			}
		}
	})
}
