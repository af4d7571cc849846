package strictyaml

import (
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Mapping are the values of a mapping. Its methods record what is wrong and
// then return a zero value.
type Mapping struct {
	// Line is where the mapping begins.
	Line   int
	faults *Faults
	what   string
	values map[string]*Node // nil when it was no mapping
}

// Is reports whether there was a mapping at all.
func (m Mapping) Is() bool { return m.values != nil }

// Value returns the value of a key; nil when it is not there.
func (m Mapping) Value(key string) *Node { return m.values[key] }

// Required is Value of a key that must be there.
func (m Mapping) Required(key string) *Node {
	n := m.values[key]
	if n == nil && m.Is() {
		m.faults.Add(m.Line, "%s needs %q", m.what, key)
	}
	return n
}

// LineOf returns the line of a key's value, or that of the mapping.
func (m Mapping) LineOf(key string) int {
	if n := m.values[key]; n != nil {
		return n.Line
	}
	return m.Line
}

// Text returns the text at key, which must be there and valid, as
// Faults.Text reads it.
func (m Mapping) Text(key string, valid func(string) bool, rule string) string {
	m.Required(key)
	return m.OptionalText(key, valid, rule)
}

// OptionalText is Text of a key that need not be there.
func (m Mapping) OptionalText(key string, valid func(string) bool, rule string) string {
	n := m.values[key]
	if n == nil {
		return ""
	}
	return m.faults.Text(n, key, valid, rule)
}

// List returns the elements at key; nil, and false, when it is not there.
func (m Mapping) List(key string) ([]*Node, bool) {
	n := m.values[key]
	if n == nil {
		return nil, false
	}
	if n.Kind != yaml.SequenceNode {
		m.faults.Add(n.Line, "%s must be a list", key)
		return nil, false
	}
	return n.Content, true
}

// Some returns the elements at key, which must be there and have some.
func (m Mapping) Some(key string) []*Node {
	m.Required(key)
	list, given := m.List(key)
	if given && len(list) == 0 {
		m.faults.Add(m.LineOf(key), "%s must be a list with at least one element", key)
	}
	return list
}

// Boolean returns the truth value at key, or otherwise when it is not there.
func (m Mapping) Boolean(key string, otherwise bool) bool {
	n := m.values[key]
	if n == nil {
		return otherwise
	}
	if n.Kind != yaml.ScalarNode || n.Value != "true" && n.Value != "false" {
		m.faults.Add(n.Line, "%s must be true or false", key)
		return false
	}
	return n.Value == "true"
}

// Choice returns what the text at key stands for; the zero value when it is
// not there.
func Choice[T any](m Mapping, key string, choices map[string]T) (chosen T) {
	n := m.values[key]
	if n == nil {
		return chosen
	}
	return Choose(m.faults, n, key, choices)
}

// Choose returns what the text of n stands for; what is its name in messages.
func Choose[T any](f *Faults, n *Node, what string, choices map[string]T) T {
	known := func(text string) bool { _, ok := choices[text]; return ok }
	return choices[f.Text(n, what, known, "is unknown; it can be "+strings.Join(slices.Sorted(maps.Keys(choices)), " or "))]
}
