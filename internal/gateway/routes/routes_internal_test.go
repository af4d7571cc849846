package routes

import (
	"slices"
	"testing"
)

// A path of the built-in table that requires other scopes than the wildcard around
// it has its own wildcard: no path below it falls back to the outer wildcard.
func TestBuiltInWildcards(t *testing.T) {
	named := 0
	var walk func(at string, n *node, around *rule)
	walk = func(at string, n *node, around *rule) {
		if n.here != nil && around != nil && !slices.Equal(n.here.read, around.read) {
			named++
			if n.below == nil {
				t.Errorf("%s needs one of %v, but %s/** one of %v; want a path below it, or the same scopes",
					at, n.here.read, at, around.read)
			}
		}
		if n.below != nil {
			around = n.below
		}
		for literal, next := range n.literal {
			walk(at+"/"+literal, next, around)
		}
		if n.any != nil {
			walk(at+"/{}", n.any, around)
		}
	}
	walk("", &Default().root, nil)
	if named == 0 {
		t.Error("no path found, want one at least")
	}
}
