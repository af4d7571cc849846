package scope

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"latchkey/internal/fault"
)

// catalogueLimit is the largest catalogue read, in bytes: more than ten times
// the built-in one.
const catalogueLimit = 256 << 10

// levels and features are what a catalogue calls them.
var (
	levels   = map[string]Level{"account": LevelAccount, "store": LevelStore}
	features = map[string]Feature{"automated_billing": FeatureAutomatedBilling}
	validKey = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

// Parse reads a catalogue in the form that the built-in one explains. It
// returns Invalid with every fault and its line: unknown or repeated keys and
// scopes, missing values, wrong levels, features or scope syntax, and implied
// scopes that do not exist, go in a circle or would give more than their own
// scope may.
func Parse(r io.Reader) (*Catalogue, error) {
	text, err := io.ReadAll(io.LimitReader(r, catalogueLimit+1))
	if err != nil {
		return nil, fmt.Errorf("read catalogue of scopes: %w", err)
	}
	if len(text) > catalogueLimit {
		return nil, fault.Errorf(fault.Invalid, "the catalogue of scopes is larger than %d bytes", catalogueLimit)
	}
	root, err := document(string(text))
	if err != nil {
		return nil, err
	}
	p := &parser{scopes: map[string]entry{}, keys: map[string]int{}}
	p.catalogue(root)
	p.checkImplied()
	if err := p.sorted().Err(); err != nil {
		return nil, err
	}
	return &Catalogue{resources: p.resources, grants: p.grants()}, nil
}

// document returns the root of the one YAML document in text.
func document(text string) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(strings.NewReader(text))
	var first, second yaml.Node
	err := decoder.Decode(&first)
	if errors.Is(err, io.EOF) {
		return nil, fault.Errorf(fault.Invalid, "the catalogue of scopes is empty")
	}
	if err == nil {
		err = decoder.Decode(&second)
	}
	switch {
	case errors.Is(err, io.EOF):
		return first.Content[0], nil
	case err != nil:
		return nil, fault.Wrap(err, fault.Invalid, "the catalogue of scopes is not YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	default:
		return nil, fault.Errorf(fault.Invalid, "line %d: a second document; a catalogue of scopes is one", second.Line)
	}
}

// parser gathers the resources of a catalogue and everything wrong with it.
type parser struct {
	resources []Resource
	order     []string         // scopes, in the order of the file
	scopes    map[string]entry // by scope
	keys      map[string]int   // line by key of resource
	faults    []located
}

// entry is a scope, what the file says of it, and where.
type entry struct {
	grant   Grant // Implies as in the file
	line    int
	implied []int // lines of Implies
}

// located is a fault and its line.
type located struct {
	line  int
	fault *fault.Error
}

// fail records a fault at a line.
func (p *parser) fail(line int, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	p.faults = append(p.faults, located{line, fault.Errorf(fault.Invalid, "line %d: %s", line, text)})
}

// sorted returns the faults in the order of their lines.
func (p *parser) sorted() fault.List {
	slices.SortStableFunc(p.faults, func(a, b located) int { return a.line - b.line })
	var list fault.List
	for _, f := range p.faults {
		list = append(list, f.fault)
	}
	return list
}

func (p *parser) catalogue(root *yaml.Node) {
	f := p.mapping(root, "the catalogue", "resources")
	for _, n := range f.list("resources") {
		if r, ok := p.resource(n); ok {
			p.resources = append(p.resources, r)
		}
	}
}

// resource reads one resource, and says whether it is one at all.
func (p *parser) resource(n *yaml.Node) (Resource, bool) {
	f := p.mapping(n, "a resource", "key", "name", "section", "level", "feature", "description", "permissions")
	if f.values == nil {
		return Resource{}, false
	}
	r := Resource{
		Key:         f.text("key"),
		Name:        f.text("name"),
		Section:     f.text("section"),
		Description: f.text("description"),
		Level:       choice(f, "level", levels),
	}
	if f.has("feature") {
		r.Feature = choice(f, "feature", features)
	}
	if r.Key != "" {
		p.resourceKey(f.values["key"], r.Key)
	}
	names := map[string]int{}
	for _, n := range f.list("permissions") {
		permission, line := p.permission(n, r)
		if first, twice := names[permission.Name]; twice && permission.Name != "" {
			p.fail(line, "permission %q is on line %d already", permission.Name, first)
		}
		names[permission.Name] = line
		r.Permissions = append(r.Permissions, permission)
	}
	return r, true
}

// resourceKey checks the key of a resource and that it is the only one.
func (p *parser) resourceKey(n *yaml.Node, key string) {
	if !validKey.MatchString(key) {
		p.fail(n.Line, "key %q is not made of lower-case letters, digits and \"_\"", key)
	}
	if first, twice := p.keys[key]; twice {
		p.fail(n.Line, "resource %q is on line %d already", key, first)
		return
	}
	p.keys[key] = n.Line
}

// permission reads one permission of r and the line of its name.
func (p *parser) permission(n *yaml.Node, r Resource) (Permission, int) {
	f := p.mapping(n, "a permission", "name", "scope", "description", "implies", "delegable")
	if f.values == nil {
		return Permission{}, n.Line
	}
	permission := Permission{Name: f.text("name"), Scope: f.text("scope"), Description: f.text("description")}
	e := entry{line: n.Line, grant: Grant{
		Scope: permission.Scope, Level: r.Level, Feature: r.Feature, Delegable: !f.has("delegable") || f.boolean("delegable"),
	}}
	if f.has("implies") {
		for _, implied := range f.list("implies") {
			if name := f.scalar(implied, "a scope in implies"); name != "" {
				permission.Implies = append(permission.Implies, name)
				e.implied = append(e.implied, implied.Line)
			}
		}
	}
	e.grant.Implies = permission.Implies
	if permission.Scope != "" {
		p.scope(f.values["scope"].Line, e)
	}
	return permission, n.Line
}

// scope checks a scope by itself and that it is the only one.
func (p *parser) scope(line int, e entry) {
	name := e.grant.Scope
	if !validToken(name) {
		p.fail(line, "scope %q is not printable ASCII without spaces, double quotes and backslashes (RFC 6749, section 3.3)", name)
	}
	// Promised to owners, and so not for the file to decide: no token can make
	// one mightier than itself.
	if name == AccountAPITokensWrite && e.grant.Delegable {
		p.fail(line, "scope %q must have \"delegable: false\"", name)
	}
	if first, twice := p.scopes[name]; twice {
		p.fail(line, "scope %q is on line %d already", name, first.line)
		return
	}
	e.line = line
	p.scopes[name] = e
	p.order = append(p.order, name)
}
