package server

import (
	"fmt"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// conflict returns an error if two different fields have the same response name
// (GraphQL, section "Field Selection Merging"). It replaces the parser's rule,
// which compares every pair of fields: a document of 50 KB takes that rule half a
// minute. (The rule also misses conflicts in fragments that are spread several
// times.) Here each field is compared with the first of the same name, and the
// selections below all of them are checked together, so the time is linear in the
// number of selections.
//
// The document must be valid by all other rules.
func conflict(schema *ast.Schema, doc *ast.QueryDocument) *gqlerror.Error {
	for _, op := range doc.Operations {
		m := merger{schema}
		root := []ast.SelectionSet{op.SelectionSet}
		if err := m.sameFields(root); err != nil {
			return err
		}
		if err := m.sameShapes(root); err != nil {
			return err
		}
	}
	return nil
}

type merger struct{ schema *ast.Schema }

// sameFields returns an error if fields of the same name that can apply to one
// object are different fields or have different arguments.
func (m merger) sameFields(sets []ast.SelectionSet) *gqlerror.Error {
	for _, group := range byName(sets) {
		for _, fields := range byObject(group) {
			first := fields[0]
			for _, f := range fields[1:] {
				switch {
				case f == first:
				case f.Name != first.Name:
					return clash(first, f, fmt.Sprintf("%q and %q are different fields", first.Name, f.Name))
				case !sameArguments(f.Arguments, first.Arguments):
					return clash(first, f, "they have differing arguments")
				}
			}
			if err := m.sameFields(below(fields)); err != nil {
				return err
			}
		}
	}
	return nil
}

// sameShapes returns an error if fields of the same name have results of
// different shapes, which a client could not read without knowing the object's type.
func (m merger) sameShapes(sets []ast.SelectionSet) *gqlerror.Error {
	for _, group := range byName(sets) {
		first := group[0]
		for _, f := range group[1:] {
			if a, b := first.Definition.Type, f.Definition.Type; !m.sameShape(a, b) {
				return clash(first, f, fmt.Sprintf("they return conflicting types %q and %q", a, b))
			}
		}
		if err := m.sameShapes(below(group)); err != nil {
			return err
		}
	}
	return nil
}

func (m merger) sameShape(a, b *ast.Type) bool {
	switch {
	case a.NonNull != b.NonNull, (a.Elem == nil) != (b.Elem == nil):
		return false
	case a.Elem != nil:
		return m.sameShape(a.Elem, b.Elem)
	case a.NamedType == b.NamedType:
		return true
	default:
		return m.schema.Types[a.NamedType].IsCompositeType() && m.schema.Types[b.NamedType].IsCompositeType()
	}
}

// byName returns the fields that the sets select, including those of fragments,
// grouped by response name.
func byName(sets []ast.SelectionSet) [][]*ast.Field {
	c := collection{at: map[string]int{}, fragments: map[string]bool{}}
	for _, set := range sets {
		c.add(set)
	}
	return c.groups
}

type collection struct {
	groups    [][]*ast.Field
	at        map[string]int
	fragments map[string]bool
}

func (c *collection) add(set ast.SelectionSet) {
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			i, ok := c.at[s.Alias]
			if !ok {
				i = len(c.groups)
				c.at[s.Alias] = i
				c.groups = append(c.groups, nil)
			}
			c.groups[i] = append(c.groups[i], s)
		case *ast.InlineFragment:
			c.add(s.SelectionSet)
		case *ast.FragmentSpread:
			if !c.fragments[s.Name] {
				c.fragments[s.Name] = true
				c.add(s.Definition.SelectionSet)
			}
		}
	}
}

// byObject groups fields that can apply to one object: a group has the fields of
// one object type and those of interfaces.
func byObject(fields []*ast.Field) [][]*ast.Field {
	var abstract []*ast.Field
	var groups [][]*ast.Field
	at := map[string]int{}
	for _, f := range fields {
		of := f.ObjectDefinition
		if of.Kind != ast.Object {
			abstract = append(abstract, f)
			continue
		}
		i, ok := at[of.Name]
		if !ok {
			i = len(groups)
			at[of.Name] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], f)
	}
	if len(groups) == 0 {
		return [][]*ast.Field{abstract}
	}
	for i := range groups {
		groups[i] = append(groups[i], abstract...)
	}
	return groups
}

// below returns the selection sets of the fields.
func below(fields []*ast.Field) []ast.SelectionSet {
	var sets []ast.SelectionSet
	for _, f := range fields {
		if len(f.SelectionSet) > 0 {
			sets = append(sets, f.SelectionSet)
		}
	}
	return sets
}

func sameArguments(a, b ast.ArgumentList) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(arg *ast.Argument) bool {
		other := b.ForName(arg.Name)
		return other == nil || !sameValue(arg.Value, other.Value)
	})
}

func sameValue(a, b *ast.Value) bool {
	if a.Kind != b.Kind || a.Raw != b.Raw || len(a.Children) != len(b.Children) {
		return false
	}
	for i, child := range a.Children {
		other := b.Children[i].Value
		if a.Kind == ast.ObjectValue {
			other = b.Children.ForName(child.Name)
		}
		if other == nil || !sameValue(child.Value, other) {
			return false
		}
	}
	return true
}

func clash(a, b *ast.Field, reason string) *gqlerror.Error {
	return &gqlerror.Error{
		Message: fmt.Sprintf(
			"Fields %q conflict because %s. Use different aliases on the fields to fetch both if this was intentional.",
			a.Alias, reason),
		Locations: []gqlerror.Location{
			{Line: a.Position.Line, Column: a.Position.Column},
			{Line: b.Position.Line, Column: b.Position.Column},
		},
	}
}
