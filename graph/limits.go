package graph

import (
	"cmp"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"latchkey/internal/fault"
)

// Limits bound what one operation may ask. Zero stands for a default.
type Limits struct {
	// Depth is how many levels of fields an operation has at most; 20 by
	// default. What is below __schema and __type does not count: its depth is
	// that of the tools' own query, and bounded elsewhere.
	Depth int
	// Complexity is how many fields an operation may make the server answer,
	// those of each element of a list counted each; 50,000 by default.
	// It also bounds how many selections a document has when its fragments
	// are written out.
	Complexity int
	// Aliases and Directives are how many of each a document has at most; 100
	// by default.
	Aliases, Directives int
	// Tokens is how many tokens a document has at most; 10,000 by default.
	Tokens int
}

func (l Limits) orDefault() Limits {
	return Limits{
		Depth:      cmp.Or(l.Depth, 20),
		Complexity: cmp.Or(l.Complexity, 50_000),
		Aliases:    cmp.Or(l.Aliases, 100),
		Directives: cmp.Or(l.Directives, 100),
		Tokens:     cmp.Or(l.Tokens, 10_000),
	}
}

func tooMuch(format string, args ...any) *refusal {
	return refuse(0, fault.ComplexityLimit, format, args...)
}

// extent is how far selections reach with their fragments written out.
type extent struct{ depth, selections int }

// survey is what the limits need to know of a document. It is made before the
// document is validated: fragments may be missing or go round in circles, which
// validation tells of.
type survey struct {
	fragments map[string]*ast.FragmentDefinition
	// known are the extents of fragments; zero while one is being measured.
	known map[string]extent
	// selections, aliases and directives are counted as they are written.
	selections, aliases, directives int
}

// survey measures a document and refuses one that is beyond the limits.
func (l Limits) survey(doc *ast.QueryDocument) (*survey, *refusal) {
	s := &survey{fragments: map[string]*ast.FragmentDefinition{}, known: map[string]extent{}}
	for _, f := range doc.Fragments {
		s.fragments[f.Name] = f
		s.directives += len(f.Directives)
	}
	depth, written := 0, 0
	for _, op := range doc.Operations {
		s.directives += len(op.Directives)
		for _, v := range op.VariableDefinitions {
			s.directives += len(v.Directives)
		}
		e := s.measure(op.SelectionSet)
		depth, written = max(depth, e.depth), add(written, e.selections)
	}
	for _, f := range doc.Fragments {
		written = add(written, s.fragment(f.Name).selections)
	}
	switch {
	case depth > l.Depth:
		return nil, tooMuch("The query is %d levels deep, and %d are the most. Ask for the inner ones in a request of their own.", depth, l.Depth)
	case s.aliases > l.Aliases:
		return nil, tooMuch("The document has %d aliases, and %d are the most. Send several requests.", s.aliases, l.Aliases)
	case s.directives > l.Directives:
		return nil, tooMuch("The document has %d directives, and %d are the most. Send several requests.", s.directives, l.Directives)
	case written > l.Complexity:
		return nil, tooMuch("The document has %d selections with its fragments written out, and %d are the most. Ask for less at once.", written, l.Complexity)
	}
	return s, nil
}

func (s *survey) measure(set ast.SelectionSet) extent {
	var sum extent
	for _, selection := range set {
		s.selections++
		var e extent
		switch sel := selection.(type) {
		case *ast.Field:
			s.directives += len(sel.Directives)
			if sel.Alias != sel.Name {
				s.aliases++
			}
			e = s.measure(sel.SelectionSet)
			if isIntrospection(sel.Name) {
				e.depth = 0
			}
			e.depth++
		case *ast.InlineFragment:
			s.directives += len(sel.Directives)
			e = s.measure(sel.SelectionSet)
		case *ast.FragmentSpread:
			s.directives += len(sel.Directives)
			e = s.fragment(sel.Name)
		}
		sum.depth = max(sum.depth, e.depth)
		sum.selections = add(sum.selections, e.selections+1)
	}
	return sum
}

func (s *survey) fragment(name string) extent {
	if e, ok := s.known[name]; ok {
		return e
	}
	s.known[name] = extent{}
	if f := s.fragments[name]; f != nil {
		s.known[name] = s.measure(f.SelectionSet)
	}
	return s.known[name]
}

// isIntrospection says whether the field is one of those that describe the
// schema.
func isIntrospection(name string) bool { return strings.HasPrefix(name, "__") && name != "__typename" }

// countless is more than any limit: sums and products stop there.
const countless = 1 << 40

func add(a, b int) int { return min(a+b, countless) }

func multiply(a, b int) int {
	if a > 0 && b > countless/a {
		return countless
	}
	return a * b
}
