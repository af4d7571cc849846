package scope

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Permission is a level of access to a resource.
type Permission struct {
	// Name is the display name: "read-only", "modify", "remove".
	Name string
	// Scope is the scope that gives the permission.
	Scope string
	// Description is a sentence about what the permission allows.
	Description string
	// Implies lists the scopes that the catalogue's file says this one implies.
	// Expand also follows their implications.
	Implies []string
}

// Resource is a resource on which tokens can have permissions.
type Resource struct {
	// Key is the name for programs, such as "account_users".
	Key string
	// Name, Section, Group and Description are for display. Section is the heading,
	// and Group a part of a long section, empty if it has no parts.
	Name, Section, Group, Description string
	// Level is the level of all its scopes.
	Level Level
	// Feature is the feature that an account must have to see the resource. It is
	// empty for all accounts.
	Feature Feature
	// Permissions are in display order.
	Permissions []Permission
}

// Grant has the properties of a scope for the rules of issuing.
type Grant struct {
	Scope string
	// Level is the level of the scope. Tokens of LevelAccount can also hold store
	// scopes.
	Level Level
	// Feature is the feature that an account must have. It is empty for all
	// accounts.
	Feature Feature
	// Delegable is false if no token can grant the scope to another token.
	Delegable bool
	// Implies lists every implied scope in alphabetical order, without the scope
	// itself.
	Implies []string
}

// Catalogue is the set of all scopes. It is safe for concurrent use; callers must
// not modify the slices that it returns. Only Replace changes it.
type Catalogue struct{ current atomic.Pointer[content] }

// content is what a catalogue has at a time. It is immutable.
type content struct {
	resources []Resource
	grants    map[string]Grant
}

func newCatalogue(c *content) *Catalogue {
	catalogue := &Catalogue{}
	catalogue.current.Store(c)
	return catalogue
}

//go:embed catalogue.yaml
var builtIn string

var defaultCatalogue = sync.OnceValue(func() *Catalogue {
	c, err := Parse(strings.NewReader(builtIn))
	if err != nil {
		panic(fmt.Sprintf("the built-in catalogue of scopes: %v", err))
	}
	return c
})

// Default returns the built-in catalogue.
func Default() *Catalogue { return defaultCatalogue() }

// Resources returns the resources on which a token of the level can have
// permissions, for an account with the features, in the catalogue's order.
func (c *Catalogue) Resources(level Level, features []Feature) []Resource {
	var offered []Resource
	for _, r := range c.current.Load().resources {
		if level.holds(r.Level) && (r.Feature == "" || slices.Contains(features, r.Feature)) {
			offered = append(offered, r)
		}
	}
	return offered
}

// All returns every resource, in the catalogue's order.
func (c *Catalogue) All() []Resource { return c.current.Load().resources }

// Lookup returns the properties of a scope, and whether it exists.
func (c *Catalogue) Lookup(scope string) (Grant, bool) {
	grant, found := c.current.Load().grants[scope]
	return grant, found
}

// Expand returns the set of the names and all scopes that they imply. It keeps
// unknown names.
func (c *Catalogue) Expand(names ...string) Set {
	all, grants := slices.Clone(names), c.current.Load().grants
	for _, name := range names {
		all = append(all, grants[name].Implies...)
	}
	return own(all)
}

// Visible returns the scopes that are visible to an account with the features. It
// keeps unknown names.
func (c *Catalogue) Visible(s Set, features []Feature) Set {
	grants := c.current.Load().grants
	hidden := func(name string) bool {
		feature := grants[name].Feature
		return feature != "" && !slices.Contains(features, feature)
	}
	if !slices.ContainsFunc(s.names, hidden) {
		return s
	}
	return Set{names: slices.DeleteFunc(slices.Clone(s.names), hidden)}
}

// Names returns every scope that requires no feature, in the catalogue's order.
func (c *Catalogue) Names() []string {
	var names []string
	for _, r := range c.Resources(LevelAccount, nil) {
		for _, p := range r.Permissions {
			names = append(names, p.Scope)
		}
	}
	return names
}

// Description describes what a set of scopes allows.
type Description struct {
	// Resources are the resources on which the set gives permissions, in the
	// catalogue's order. Each has only these permissions, without those that
	// another permission of the set implies.
	Resources []Resource
	// Unknown are the scopes that are not in the catalogue.
	Unknown []string
}

// Describe describes what a set of scopes allows.
func (c *Catalogue) Describe(s Set) Description {
	var d Description
	now := c.current.Load()
	implied := map[string]bool{}
	for _, name := range s.names {
		grant, known := now.grants[name]
		if !known {
			d.Unknown = append(d.Unknown, name)
		}
		for _, other := range grant.Implies {
			implied[other] = true
		}
	}
	for _, r := range now.resources {
		var granted []Permission
		for _, p := range r.Permissions {
			if s.Has(p.Scope) && !implied[p.Scope] {
				granted = append(granted, p)
			}
		}
		if r.Permissions = granted; len(granted) > 0 {
			d.Resources = append(d.Resources, r)
		}
	}
	return d
}
