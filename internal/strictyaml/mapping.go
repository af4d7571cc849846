package strictyaml

import (
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Mapping holds the values of a mapping. Its methods record errors in Faults and then return a zero value.
type Mapping struct {
	// Line is the line where the mapping begins.
	Line   int
	faults *Faults
	what   string
	values map[string]*Node // nil if the node was not a mapping
}

// Is reports whether the node was a mapping.
func (m Mapping) Is() bool { return m.values != nil }

// Value returns the value of a key, or nil if the key is missing.
func (m Mapping) Value(key string) *Node { return m.values[key] }

// Required returns the value of a key, and records an error if the key is missing.
func (m Mapping) Required(key string) *Node {
	n := m.values[key]
	if n == nil && m.Is() {
		m.faults.Add(m.Line, "%s needs %q", m.what, key)
	}
	return n
}

// LineOf returns the line of a key's value, or the mapping's line if the key is missing.
func (m Mapping) LineOf(key string) int {
	if n := m.values[key]; n != nil {
		return n.Line
	}
	return m.Line
}

// Text returns the text of a required key, validated as in Faults.Text.
func (m Mapping) Text(key string, valid func(string) bool, rule string) string {
	m.Required(key)
	return m.OptionalText(key, valid, rule)
}

// OptionalText is Text for an optional key.
func (m Mapping) OptionalText(key string, valid func(string) bool, rule string) string {
	n := m.values[key]
	if n == nil {
		return ""
	}
	return m.faults.Text(n, key, valid, rule)
}

// List returns the elements of the list at key, or nil and false if the key is missing.
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

// Some returns the elements of the list at key, which must not be missing or empty.
func (m Mapping) Some(key string) []*Node {
	m.Required(key)
	list, ok := m.List(key)
	if ok && len(list) == 0 {
		m.faults.Add(m.LineOf(key), "%s must be a list with at least one element", key)
	}
	return list
}

// Boolean returns the boolean at key, or otherwise if the key is missing.
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

// Choice returns the value for the text at key, or the zero value if the key is missing.
func Choice[T any](m Mapping, key string, choices map[string]T) (chosen T) {
	n := m.values[key]
	if n == nil {
		return chosen
	}
	return Choose(m.faults, n, key, choices)
}

// Choose returns the value for the text of n. what names n in error messages.
func Choose[T any](f *Faults, n *Node, what string, choices map[string]T) T {
	known := func(text string) bool { _, ok := choices[text]; return ok }
	return choices[f.Text(n, what, known, "is unknown; it can be "+strings.Join(slices.Sorted(maps.Keys(choices)),
		" or "))]
}
