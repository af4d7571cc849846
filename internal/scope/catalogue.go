package scope

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Permission is one thing that can be allowed on a resource.
type Permission struct {
	// Name is for people: "read-only", "modify", "remove".
	Name string
	// Scope is what a token holds.
	Scope string
	// Description says in a sentence what it allows.
	Description string
	// Implies lists the scopes that come with this one, as the catalogue's
	// file has them; Expand follows them further.
	Implies []string
}

// Resource is something that tokens can be given permissions on.
type Resource struct {
	// Key names it for programs: "account_users".
	Key string
	// Name, Section and Description are for people; Section is the heading it
	// stands under.
	Name, Section, Description string
	// Level is that of all its scopes.
	Level Level
	// Feature is what an account must have to see it; empty for everyone.
	Feature Feature
	// Permissions are in the order in which they are offered.
	Permissions []Permission
}

// Grant is what the rules of issuing need to know of a scope.
type Grant struct {
	Scope string
	// Level is the scope's own. Tokens of LevelAccount hold store scopes too.
	Level Level
	// Feature is what an account must have for it; empty for everyone.
	Feature Feature
	// Delegable is false for a scope that a token can never grant to another.
	Delegable bool
	// Implies lists every scope that comes with this one, in alphabetical
	// order and without itself.
	Implies []string
}

// Catalogue is every scope there is. It never changes; the slices it returns
// are shared and must not be changed either.
type Catalogue struct {
	resources []Resource
	grants    map[string]Grant
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

// Resources returns, in the catalogue's order, what a token of the level can
// be offered by an account that has the features.
func (c *Catalogue) Resources(level Level, features []Feature) []Resource {
	var offered []Resource
	for _, r := range c.resources {
		if level.holds(r.Level) && (r.Feature == "" || slices.Contains(features, r.Feature)) {
			offered = append(offered, r)
		}
	}
	return offered
}

// Lookup returns what the catalogue says of a scope, and whether it is there.
func (c *Catalogue) Lookup(scope string) (Grant, bool) {
	grant, found := c.grants[scope]
	return grant, found
}

// Expand returns the set of names and everything they imply. Names that are
// not in the catalogue are kept as they are.
func (c *Catalogue) Expand(names ...string) Set {
	all := slices.Clone(names)
	for _, name := range names {
		all = append(all, c.grants[name].Implies...)
	}
	return own(all)
}

// Visible returns those of the scopes that an account with the features sees.
// Names that are not in the catalogue stay.
func (c *Catalogue) Visible(s Set, features []Feature) Set {
	hidden := func(name string) bool {
		feature := c.grants[name].Feature
		return feature != "" && !slices.Contains(features, feature)
	}
	if !slices.ContainsFunc(s.names, hidden) {
		return s
	}
	return Set{names: slices.DeleteFunc(slices.Clone(s.names), hidden)}
}

// Names returns every scope that accounts see without having to be enrolled in
// something, in the catalogue's order.
func (c *Catalogue) Names() []string {
	var names []string
	for _, r := range c.Resources(LevelAccount, nil) {
		for _, p := range r.Permissions {
			names = append(names, p.Scope)
		}
	}
	return names
}

// Told is what a set of scopes allows, in words.
type Told struct {
	// Resources are those that the set gives something on, in the catalogue's
	// order, each with the permissions given and without those that another of
	// the set implies.
	Resources []Resource
	// Unknown are the scopes that are not in the catalogue.
	Unknown []string
}

// Tell says what a set of scopes allows.
func (c *Catalogue) Tell(s Set) Told {
	var told Told
	implied := map[string]bool{}
	for _, name := range s.names {
		grant, known := c.grants[name]
		if !known {
			told.Unknown = append(told.Unknown, name)
		}
		for _, other := range grant.Implies {
			implied[other] = true
		}
	}
	for _, r := range c.resources {
		var given []Permission
		for _, p := range r.Permissions {
			if s.Has(p.Scope) && !implied[p.Scope] {
				given = append(given, p)
			}
		}
		if r.Permissions = given; len(given) > 0 {
			told.Resources = append(told.Resources, r)
		}
	}
	return told
}
