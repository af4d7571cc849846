package routes

import (
	"io"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"latchkey/internal/scope"
	"latchkey/internal/strictyaml"
)

// sizeLimit is the maximum size of a file in bytes: more than a hundred times that
// of the built-in one.
const sizeLimit = 1 << 20

var (
	literal  = regexp.MustCompile(`^[A-Za-z0-9._~-]+$`)
	variable = regexp.MustCompile(`^\{[a-z][a-z0-9_]*\}$`)
)

// Parse parses a table in the format that the built-in one explains. It returns
// fault.Invalid with every error and its line: unknown keys, malformed paths,
// repeated paths, scopes that are not in the catalogue, and routes with no scope or
// with "any" among others.
func Parse(r io.Reader, catalogue *scope.Catalogue) (*Table, error) {
	root, err := strictyaml.Read(r, "table of routes", sizeLimit)
	if err != nil {
		return nil, err
	}
	p := &parser{catalogue: catalogue, table: &Table{listed: map[string]listed{}}, paths: strictyaml.Seen[string]{}}
	top := p.Mapping(root, "a table of routes", "routes")
	for _, n := range top.Some("routes") {
		p.route(n)
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	return p.table, nil
}

type parser struct {
	strictyaml.Faults
	catalogue *scope.Catalogue
	table     *Table
	paths     strictyaml.Seen[string]
}

func (p *parser) route(n *strictyaml.Node) {
	m := p.Mapping(n, "a route", "paths", "read", "modify")
	if !m.Is() {
		return
	}
	modify := p.scopes(m, "modify")
	// Permission to modify includes permission to read.
	r := &rule{read: slices.Concat(p.scopes(m, "read"), modify), modify: modify}
	if m.Value("read") == nil && m.Value("modify") == nil {
		p.Add(m.Line, "a route needs %q or %q", "read", "modify")
	}
	for _, path := range m.Some("paths") {
		p.path(path, r)
	}
}

// scopes parses the scopes at key: one scope or a list. It returns nil if there are
// none.
func (p *parser) scopes(m strictyaml.Mapping, key string) []string {
	n := m.Value(key)
	if n == nil {
		return nil
	}
	elements := []*strictyaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		elements = m.Some(key)
	}
	known := func(name string) bool { _, known := p.catalogue.Lookup(name); return known || name == anyCredential }
	var all []string
	for _, element := range elements {
		if name := p.Text(element, key, known, "is not in the catalogue of scopes"); name != "" {
			all = append(all, name)
		}
	}
	if len(elements) > 1 && slices.Contains(all, anyCredential) {
		p.Add(n.Line, "%q admits every credential: list only it, or remove it", anyCredential)
	}
	return all
}

// path adds a path with its rule to the table.
func (p *parser) path(n *strictyaml.Node, r *rule) {
	path := p.Text(n, "a path", validPath,
		"is not made of a slash and a segment each time: letters, digits and -._~, or {name}, or ** at the end")
	if path == "" {
		return
	}
	if strings.HasPrefix(path, "/stores/{") {
		p.Add(n.Line, "write the path %q as it follows /stores/{hash}", path)
	}
	segments := strings.Split(path[1:], "/")
	for i, segment := range segments {
		if variable.MatchString(segment) {
			segments[i] = "{}" // with any name
		}
	}
	if p.paths.Again(&p.Faults, strings.Join(segments, "/"), n.Line, "path "+path) {
		return
	}
	p.table.listed[strings.Join(segments, "/")] = listed{path, r}
	at := &p.table.root
	for _, segment := range segments {
		if segment == "**" {
			at.below = r
			return
		}
		at = at.next(segment)
	}
	at.here = r
}

// next returns the node for a segment of a route, and creates it if necessary.
func (n *node) next(segment string) *node {
	if segment == "{}" {
		if n.any == nil {
			n.any = &node{}
		}
		return n.any
	}
	if n.literal == nil {
		n.literal = map[string]*node{}
	}
	if n.literal[segment] == nil {
		n.literal[segment] = &node{}
		n.names = append(n.names, segment)
	}
	return n.literal[segment]
}

func validPath(path string) bool {
	rest, rooted := strings.CutPrefix(path, "/")
	if !rooted {
		return false
	}
	segments := strings.Split(rest, "/")
	for i, segment := range segments {
		last := i == len(segments)-1
		dots := segment == "." || segment == ".."
		if (dots || !literal.MatchString(segment)) && !variable.MatchString(segment) && !(last && segment == "**") {
			return false
		}
	}
	return true
}
