package scope

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"latchkey/internal/strictyaml"
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
	root, err := strictyaml.Read(r, "catalogue of scopes", catalogueLimit)
	if err != nil {
		return nil, err
	}
	p := &parser{scopes: map[string]entry{}, keys: strictyaml.Seen[string]{}}
	p.catalogue(root)
	p.checkImplied()
	if err := p.Err(); err != nil {
		return nil, err
	}
	return &Catalogue{resources: p.resources, grants: p.grants()}, nil
}

// parser gathers the resources of a catalogue and everything wrong with it.
type parser struct {
	strictyaml.Faults
	resources []Resource
	order     []string                // scopes, in the order of the file
	scopes    map[string]entry        // by scope
	keys      strictyaml.Seen[string] // of resources
}

// entry is a scope, what the file says of it, and where.
type entry struct {
	grant   Grant // Implies as in the file
	line    int
	implied []int // lines of Implies
}

// blankRule is said of a text that is not notBlank.
const blankRule = "must not be blank"

func notBlank(text string) bool { return strings.TrimSpace(text) != "" }

// text returns the text at key, which must be there and not be blank.
func text(m strictyaml.Mapping, key string) string { return m.Text(key, notBlank, blankRule) }

func (p *parser) catalogue(root *strictyaml.Node) {
	m := p.Mapping(root, "the catalogue", "resources")
	for _, n := range m.Some("resources") {
		if r, ok := p.resource(n); ok {
			p.resources = append(p.resources, r)
		}
	}
}

// resource reads one resource, and says whether it is one at all.
func (p *parser) resource(n *strictyaml.Node) (Resource, bool) {
	m := p.Mapping(n, "a resource", "key", "name", "section", "level", "feature", "description", "permissions")
	if !m.Is() {
		return Resource{}, false
	}
	r := Resource{
		Key:         text(m, "key"),
		Name:        text(m, "name"),
		Section:     text(m, "section"),
		Description: text(m, "description"),
		Level:       strictyaml.Choice(m, "level", levels),
		Feature:     strictyaml.Choice(m, "feature", features),
	}
	m.Required("level")
	if r.Key != "" {
		p.resourceKey(m.LineOf("key"), r.Key)
	}
	names := strictyaml.Seen[string]{}
	for _, n := range m.Some("permissions") {
		permission, line := p.permission(n, r)
		if permission.Name != "" {
			names.Again(&p.Faults, permission.Name, line, fmt.Sprintf("permission %q", permission.Name))
		}
		r.Permissions = append(r.Permissions, permission)
	}
	return r, true
}

// resourceKey checks the key of a resource and that it is the only one.
func (p *parser) resourceKey(line int, key string) {
	if !validKey.MatchString(key) {
		p.Add(line, "key %q is not made of lower-case letters, digits and \"_\"", key)
	}
	p.keys.Again(&p.Faults, key, line, fmt.Sprintf("resource %q", key))
}

// permission reads one permission of r and the line of its name.
func (p *parser) permission(n *strictyaml.Node, r Resource) (Permission, int) {
	m := p.Mapping(n, "a permission", "name", "scope", "description", "implies", "delegable")
	if !m.Is() {
		return Permission{}, n.Line
	}
	permission := Permission{Name: text(m, "name"), Scope: text(m, "scope"), Description: text(m, "description")}
	e := entry{line: n.Line, grant: Grant{
		Scope: permission.Scope, Level: r.Level, Feature: r.Feature, Delegable: m.Boolean("delegable", true),
	}}
	if m.Value("implies") != nil {
		for _, implied := range m.Some("implies") {
			if name := p.Text(implied, "a scope in implies", notBlank, blankRule); name != "" {
				permission.Implies = append(permission.Implies, name)
				e.implied = append(e.implied, implied.Line)
			}
		}
	}
	e.grant.Implies = permission.Implies
	if permission.Scope != "" {
		p.scope(m.LineOf("scope"), e)
	}
	return permission, n.Line
}

// scope checks a scope by itself and that it is the only one.
func (p *parser) scope(line int, e entry) {
	name := e.grant.Scope
	if !validToken(name) {
		p.Add(line, "scope %q is not printable ASCII without spaces, double quotes and backslashes (RFC 6749, section 3.3)", name)
	}
	// Promised to owners, and so not for the file to decide: no token can make
	// one mightier than itself.
	if name == AccountAPITokensWrite && e.grant.Delegable {
		p.Add(line, "scope %q must have \"delegable: false\"", name)
	}
	if first, twice := p.scopes[name]; twice {
		p.Add(line, "scope %q is on line %d already", name, first.line)
		return
	}
	e.line = line
	p.scopes[name] = e
	p.order = append(p.order, name)
}
