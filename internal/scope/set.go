package scope

import (
	"slices"
	"strings"
)

// Set is an immutable set of scopes. The zero Set is empty. Use Equal to compare
// sets.
type Set struct {
	names []string // sorted, each once, none empty
}

// NewSet returns the set of the names, without duplicates and empty names. It does
// not check whether they are scopes.
func NewSet(names ...string) Set {
	return own(slices.Clone(names))
}

// ParseSet parses the format of String: scopes separated by spaces (RFC 6749,
// section 3.3). It allows repeated spaces.
func ParseSet(spaceSeparated string) Set {
	return own(strings.Split(spaceSeparated, " "))
}

// own returns a set of the names. It takes ownership of the slice.
func own(names []string) Set {
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > 0 && names[0] == "" {
		names = names[1:]
	}
	return Set{names: names}
}

// Has reports whether name is in the set. It does not allocate.
func (s Set) Has(name string) bool {
	_, found := slices.BinarySearch(s.names, name)
	return found
}

// HasAll reports whether every name is in the set. It is true without names. It
// does not allocate.
func (s Set) HasAll(names ...string) bool {
	for _, name := range names {
		if !s.Has(name) {
			return false
		}
	}
	return true
}

// Contains reports whether every scope of other is in the set.
func (s Set) Contains(other Set) bool {
	return s.HasAll(other.names...)
}

// Missing returns the names that are not in the set, in their order, or nil if
// there are none.
func (s Set) Missing(names ...string) []string {
	var missing []string
	for _, name := range names {
		if !s.Has(name) {
			missing = append(missing, name)
		}
	}
	return missing
}

// Intersect returns the scopes that are in both sets.
func (s Set) Intersect(other Set) Set {
	if other.Contains(s) {
		return s
	}
	return Set{names: slices.DeleteFunc(slices.Clone(s.names), func(name string) bool { return !other.Has(name) })}
}

// Equal reports whether both sets have the same scopes.
func (s Set) Equal(other Set) bool { return slices.Equal(s.names, other.names) }

// Names returns the scopes in alphabetical order. The result is a copy and not nil.
func (s Set) Names() []string { return append([]string{}, s.names...) }

// Len returns the number of scopes.
func (s Set) Len() int { return len(s.names) }

// String returns the scopes in alphabetical order, separated by spaces
// (RFC 6749, section 3.3).
func (s Set) String() string { return strings.Join(s.names, " ") }
