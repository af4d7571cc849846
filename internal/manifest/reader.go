package manifest

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"latchkey/internal/fault"
)

// maxSize is the largest manifest read, in bytes: some hundred thousand people.
const maxSize = 32 << 20

// faults are what is wrong with a file, each with its line.
type faults struct{ found []located }

type located struct {
	line  int
	fault *fault.Error
}

// add records a fault at a line.
func (f *faults) add(line int, format string, args ...any) {
	f.found = append(f.found, located{line, fault.Errorf(fault.Invalid, "line %d: %s", line, fmt.Sprintf(format, args...))})
}

// err returns everything found, in the order of the lines.
func (f *faults) err() error {
	slices.SortStableFunc(f.found, func(a, b located) int { return a.line - b.line })
	var list fault.List
	for _, l := range f.found {
		list = append(list, l.fault)
	}
	return list.Err()
}

// document returns the root of the one YAML document in r.
func document(r io.Reader) (*yaml.Node, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	if len(text) > maxSize {
		return nil, fault.Errorf(fault.Invalid, "The manifest has more than %d bytes. Split it.", maxSize)
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	var first, second yaml.Node
	err = decoder.Decode(&first)
	if errors.Is(err, io.EOF) {
		return nil, fault.Errorf(fault.Invalid, "The manifest is empty.")
	}
	if err == nil {
		err = decoder.Decode(&second)
	}
	switch {
	case errors.Is(err, io.EOF):
		return first.Content[0], nil
	case err != nil:
		return nil, fault.Wrap(err, fault.Invalid, "The manifest is not YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	default:
		return nil, fault.Errorf(fault.Invalid, "line %d: a second document; a manifest is one", second.Line)
	}
}

// fields are the values of a mapping whose keys are known and unique. Its
// methods record what is wrong and then return a zero value.
type fields struct {
	*faults
	line   int
	what   string
	values map[string]*yaml.Node // nil when it was no mapping
}

// mapping reads n as a mapping of known keys; what is its name in messages.
// Aliases and merge keys are not taken: a manifest says what it says.
func (f *faults) mapping(n *yaml.Node, what string, known ...string) fields {
	m := fields{faults: f, line: n.Line, what: what}
	if n.Kind != yaml.MappingNode {
		f.add(n.Line, "%s has the keys %s", what, strings.Join(known, ", "))
		return m
	}
	m.values = make(map[string]*yaml.Node, len(known))
	keys := make(seen[string], len(known))
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode || !slices.Contains(known, key.Value):
			f.add(key.Line, "unknown key %.40q; %s has %s", key.Value, what, strings.Join(known, ", "))
		case !keys.again(f, key.Value, key.Line, fmt.Sprintf("key %q", key.Value)):
			m.values[key.Value] = value
		}
	}
	return m
}

// lineOf returns the line of a key's value, or that of the mapping.
func (m fields) lineOf(key string) int {
	if n := m.values[key]; n != nil {
		return n.Line
	}
	return m.line
}

// text returns the text at key: one line that is valid. Only a required key
// must be there.
func (m fields) text(key string, required bool, valid func(string) bool, rule string) string {
	n := m.values[key]
	if n == nil {
		if required && m.values != nil {
			m.add(m.line, "%s needs %q", m.what, key)
		}
		return ""
	}
	return m.scalar(n, key, valid, rule)
}

func (m fields) scalar(n *yaml.Node, what string, valid func(string) bool, rule string) string {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		m.add(n.Line, "%s must be text; quote it if it looks like something else", what)
		return ""
	}
	if !valid(n.Value) {
		m.add(n.Line, "%s %.80q %s", what, n.Value, rule)
		return ""
	}
	return n.Value
}

// list returns the elements at key; nil, and false, when it is not there.
func (m fields) list(key string) ([]*yaml.Node, bool) {
	n := m.values[key]
	if n == nil {
		return nil, false
	}
	if n.Kind != yaml.SequenceNode {
		m.add(n.Line, "%s must be a list", key)
		return nil, false
	}
	return n.Content, true
}

// number reads n as the number of an app.
func (f *faults) number(n *yaml.Node) int64 {
	id, err := strconv.ParseInt(n.Value, 10, 64)
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || err != nil || id <= 0 || strconv.FormatInt(id, 10) != n.Value {
		f.add(n.Line, "an app's id must be a whole number greater than 0")
		return 0
	}
	return id
}

// choice returns what the text at key stands for; the zero value when it is
// not there.
func choice[T any](m fields, key string, choices map[string]T) T {
	return choose(m, m.values[key], key, choices)
}

func choose[T any](m fields, n *yaml.Node, what string, choices map[string]T) (chosen T) {
	if n == nil {
		return chosen
	}
	known := func(text string) bool { _, ok := choices[text]; return ok }
	text := m.scalar(n, what, known, "is unknown; it can be "+strings.Join(slices.Sorted(maps.Keys(choices)), " or "))
	return choices[text]
}

// seen remembers on which line something was first named.
type seen[K comparable] map[K]int

// again reports whether the key was named before, and records the fault.
func (s seen[K]) again(f *faults, key K, line int, what string) bool {
	if first, twice := s[key]; twice {
		f.add(line, "%s is on line %d already", what, first)
		return true
	}
	s[key] = line
	return false
}
