package storeapi

import (
	"slices"
	"testing"
)

// A path of the built-in table that needs something else than all that is
// around it is named with all that is below it: nothing below it falls back to
// what the others need.
func TestBuiltInNamesWhatIsBelow(t *testing.T) {
	named := 0
	var walk func(at string, n *node, around *rule)
	walk = func(at string, n *node, around *rule) {
		if n.here != nil && around != nil && !slices.Equal(n.here.read, around.read) {
			named++
			if n.below == nil {
				t.Errorf("%s needs one of %v, and %s/** one of %v", at, n.here.read, at, around.read)
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
		t.Error("there is no such path")
	}
}
