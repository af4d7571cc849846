// Package strictyaml reads YAML files with a fixed structure: one document, mappings of known keys, no aliases and no
// merge keys. It collects all errors in a file, each with its line.
package strictyaml

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"latchkey/internal/fault"
)

// Node is a node of a YAML document.
type Node = yaml.Node

// Read returns the root of the document in r. what names the file in error messages, such as "manifest". It returns
// fault.Invalid if the file has more than limit bytes, is not YAML, or does not hold exactly one document.
func Read(r io.Reader, what string, limit int64) (*Node, error) {
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read the %s: %w", what, err)
	}
	if int64(len(text)) > limit {
		return nil, fault.Errorf(fault.Invalid, "The %s has more than %d bytes.", what, limit)
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	var first, second Node
	err = decoder.Decode(&first)
	if errors.Is(err, io.EOF) {
		return nil, fault.Errorf(fault.Invalid, "The %s is empty.", what)
	}
	if err == nil {
		err = decoder.Decode(&second)
	}
	switch {
	case errors.Is(err, io.EOF):
		return first.Content[0], nil
	case err != nil:
		return nil, fault.Wrap(err, fault.Invalid, "The %s is not YAML: %s", what,
			strings.TrimPrefix(err.Error(), "yaml: "))
	default:
		return nil, fault.Errorf(fault.Invalid, "line %d: a second document; a %s must hold one document only",
			second.Line, what)
	}
}

// Faults collects the errors in a file. The zero value has none.
type Faults struct{ found []located }

type located struct {
	line  int
	fault *fault.Error
}

// Add records an error at a line.
func (f *Faults) Add(line int, format string, args ...any) {
	f.found = append(f.found, located{line, fault.Errorf(fault.Invalid, "line %d: %s", line,
		fmt.Sprintf(format, args...))})
}

// Err returns all recorded errors in the order of their lines, or nil if there are none.
func (f *Faults) Err() error {
	slices.SortStableFunc(f.found, func(a, b located) int { return a.line - b.line })
	var list fault.List
	for _, l := range f.found {
		list = append(list, l.fault)
	}
	return list.Err()
}

// Mapping reads n as a mapping of known keys, each at most once. what names it in error messages. If n is not a
// mapping, it records an error and returns a Mapping without values.
func (f *Faults) Mapping(n *Node, what string, known ...string) Mapping {
	m := Mapping{faults: f, Line: n.Line, what: what}
	if n.Kind != yaml.MappingNode {
		f.Add(n.Line, "%s has the keys %s", what, strings.Join(known, ", "))
		return m
	}
	m.values = make(map[string]*Node, len(known))
	keys := make(Seen[string], len(known))
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode || !slices.Contains(known, key.Value):
			f.Add(key.Line, "unknown key %.40q; %s has %s", key.Value, what, strings.Join(known, ", "))
		case !keys.Again(f, key.Value, key.Line, fmt.Sprintf("key %q", key.Value)):
			m.values[key.Value] = value
		}
	}
	return m
}

// Text reads n as a valid text. what names it in error messages, and rule is the end of the message for an invalid
// text. It returns "" if it records an error.
func (f *Faults) Text(n *Node, what string, valid func(string) bool, rule string) string {
	switch {
	case n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str":
		f.Add(n.Line, "%s must be text; quote it if it looks like something else", what)
	case !valid(n.Value):
		f.Add(n.Line, "%s %.80q %s", what, n.Value, rule)
	default:
		return n.Value
	}
	return ""
}

// Seen maps each name to the line where it was first used.
type Seen[K comparable] map[K]int

// Again reports whether the key was used before, and if so records an error.
func (s Seen[K]) Again(f *Faults, key K, line int, what string) bool {
	if first, twice := s[key]; twice {
		f.Add(line, "%s is on line %d already", what, first)
		return true
	}
	s[key] = line
	return false
}
