package scope

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"latchkey/internal/strictyaml"
)

// catalogueLimit is the maximum size of a catalogue in bytes: more than ten times
// that of the built-in one.
const catalogueLimit = 256 << 10

// levels and features map the names in a catalogue's file.
var (
	levels   = map[string]Level{"account": LevelAccount, "store": LevelStore}
	features = map[string]Feature{"automated_billing": FeatureAutomatedBilling}
	validKey = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

// Parse parses a catalogue in the format that the built-in one explains. It returns
// fault.Invalid with every error and its line: unknown or repeated keys and scopes,
// missing values, wrong levels, features or scope syntax, and implied scopes that
// do not exist, form a cycle, or give more than their scope may.
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
	return newCatalogue(&content{resources: p.resources, grants: p.grants()}), nil
}

// parser collects the resources and the errors of a catalogue.
type parser struct {
	strictyaml.Faults
	resources []Resource
	order     []string                // scopes in file order
	scopes    map[string]entry        // by scope
	keys      strictyaml.Seen[string] // of resources
}

// entry is a scope of the file, with its properties and lines.
type entry struct {
	grant   Grant // Implies as in the file
	line    int
	implied []int // lines of Implies
}

// blankRule is the message for a blank text.
const blankRule = "must not be blank"

func notBlank(text string) bool { return strings.TrimSpace(text) != "" }

// text returns the text at key, which must not be missing or blank.
func text(m strictyaml.Mapping, key string) string { return m.Text(key, notBlank, blankRule) }

func (p *parser) catalogue(root *strictyaml.Node) {
	m := p.Mapping(root, "the catalogue", "resources")
	for _, n := range m.Some("resources") {
		if r, ok := p.resource(n); ok {
			p.resources = append(p.resources, r)
		}
	}
}

// resource parses one resource, and reports whether the node is one.
func (p *parser) resource(n *strictyaml.Node) (Resource, bool) {
	m := p.Mapping(n, "a resource", "key", "name", "section", "group", "level", "feature", "description", "permissions")
	if !m.Is() {
		return Resource{}, false
	}
	r := Resource{
		Key:         text(m, "key"),
		Name:        text(m, "name"),
		Section:     text(m, "section"),
		Group:       m.OptionalText("group", notBlank, blankRule),
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

// resourceKey checks the key of a resource, which must be unique.
func (p *parser) resourceKey(line int, key string) {
	if !validKey.MatchString(key) {
		p.Add(line, "key %q is not made of lower-case letters, digits and \"_\"", key)
	}
	p.keys.Again(&p.Faults, key, line, fmt.Sprintf("resource %q", key))
}

// permission parses one permission of r. It also returns the line of its name.
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

// scope checks the syntax of a scope, which must be unique.
func (p *parser) scope(line int, e entry) {
	name := e.grant.Scope
	if !validToken(name) {
		p.Add(line,
			"scope %q is not printable ASCII without spaces, double quotes and backslashes (RFC 6749, section 3.3)",
			name)
	}
	// docs/promises.md promises this, so the file cannot change it: no token can
	// create one with more rights than its own.
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
