package scope

import (
	"slices"
	"strings"
)

// Set is an immutable set of scopes. The zero Set is empty. Compare sets with
// Equal.
type Set struct {
	names []string // sorted, each once, none empty
}

// NewSet returns the set of names. Duplicates are folded and empty names left
// out; whether a name is a scope is not asked.
func NewSet(names ...string) Set {
	return own(slices.Clone(names))
}

// ParseSet reads a set as String writes it: scopes separated by spaces
// (RFC 6749, section 3.3). More than one space in a row is forgiven.
func ParseSet(spaceSeparated string) Set {
	return own(strings.Split(spaceSeparated, " "))
}

// own makes a set of names, which becomes part of it.
func own(names []string) Set {
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > 0 && names[0] == "" {
		names = names[1:]
	}
	return Set{names: names}
}

// Has says whether name is in the set. It allocates nothing.
func (s Set) Has(name string) bool {
	_, found := slices.BinarySearch(s.names, name)
	return found
}

// HasAll says whether every name is in the set, which is so for no names at
// all. It allocates nothing.
func (s Set) HasAll(names ...string) bool {
	for _, name := range names {
		if !s.Has(name) {
			return false
		}
	}
	return true
}

// Contains says whether every scope of other is in the set.
func (s Set) Contains(other Set) bool {
	return s.HasAll(other.names...)
}

// Missing returns those names that are not in the set, in the order given:
// nil when there are none.
func (s Set) Missing(names ...string) []string {
	var missing []string
	for _, name := range names {
		if !s.Has(name) {
			missing = append(missing, name)
		}
	}
	return missing
}

// Intersect returns the scopes that both sets hold.
func (s Set) Intersect(other Set) Set {
	if other.Contains(s) {
		return s
	}
	return Set{names: slices.DeleteFunc(slices.Clone(s.names), func(name string) bool { return !other.Has(name) })}
}

// Equal says whether both sets hold the same scopes.
func (s Set) Equal(other Set) bool { return slices.Equal(s.names, other.names) }

// Names returns the scopes in alphabetical order; the slice is the caller's,
// and never nil.
func (s Set) Names() []string { return append([]string{}, s.names...) }

// Len returns the number of scopes.
func (s Set) Len() int { return len(s.names) }

// String returns the scopes in alphabetical order, separated by spaces
// (RFC 6749, section 3.3).
func (s Set) String() string { return strings.Join(s.names, " ") }
