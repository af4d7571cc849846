package scope

import (
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// fields are the values of a YAML mapping whose keys are known and unique.
// Its methods record what is wrong and then return a zero value.
type fields struct {
	p      *parser
	line   int
	what   string
	values map[string]*yaml.Node // nil when it was no mapping
}

// mapping reads n as a mapping of known keys; what is its name in messages.
func (p *parser) mapping(n *yaml.Node, what string, known ...string) fields {
	f := fields{p: p, line: n.Line, what: what}
	if n.Kind != yaml.MappingNode {
		p.fail(n.Line, "%s must have the keys %s", what, strings.Join(known, ", "))
		return f
	}
	f.values = make(map[string]*yaml.Node, len(known))
	lines := make(map[string]int, len(known))
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode || !slices.Contains(known, key.Value):
			p.fail(key.Line, "unknown key %q; %s has %s", key.Value, what, strings.Join(known, ", "))
		case f.values[key.Value] != nil:
			p.fail(key.Line, "key %q is on line %d already", key.Value, lines[key.Value])
		default:
			f.values[key.Value], lines[key.Value] = value, key.Line
		}
	}
	return f
}

func (f fields) has(key string) bool { return f.values[key] != nil }

// required returns the value of key, or nil after saying that it is missing.
func (f fields) required(key string) *yaml.Node {
	n := f.values[key]
	if n == nil && f.values != nil {
		f.p.fail(f.line, "%s needs %q", f.what, key)
	}
	return n
}

// text returns the text at key, which must be there and not be blank.
func (f fields) text(key string) string {
	n := f.required(key)
	if n == nil {
		return ""
	}
	return f.scalar(n, key)
}

// scalar returns the text of n, which must not be blank; what is its name.
func (f fields) scalar(n *yaml.Node, what string) string {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" || strings.TrimSpace(n.Value) == "" {
		f.p.fail(n.Line, "%s must be text; quote it if it looks like something else", what)
		return ""
	}
	return n.Value
}

// boolean returns the truth value at key.
func (f fields) boolean(key string) bool {
	n := f.values[key]
	if n.Kind != yaml.ScalarNode || n.Value != "true" && n.Value != "false" {
		f.p.fail(n.Line, "%s must be true or false", key)
		return false
	}
	return n.Value == "true"
}

// list returns the elements at key, which must be there and have some.
func (f fields) list(key string) []*yaml.Node {
	n := f.required(key)
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		f.p.fail(n.Line, "%s must be a list with at least one element", key)
		return nil
	}
	return n.Content
}

// choice returns what the text at key stands for.
func choice[T any](f fields, key string, choices map[string]T) T {
	text := f.text(key)
	chosen, known := choices[text]
	if text != "" && !known {
		names := slices.Sorted(maps.Keys(choices))
		f.p.fail(f.values[key].Line, "%s %q is unknown; it can be %s", key, text, strings.Join(names, " or "))
	}
	return chosen
}
