package server

import (
	"cmp"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"latchkey/internal/fault"
)

// Limits bounds one operation. Zero means the default.
type Limits struct {
	// Depth is the largest number of nested fields of an operation; 20 by
	// default. Fields below __schema and __type do not count: the introspection
	// queries of tools are deep, and a validation rule bounds them.
	Depth int
	// Complexity is the largest number of fields in a response, where the
	// fields of each list element count; 50,000 by default. It also bounds the
	// number of selections of a document with its fragments expanded.
	Complexity int
	// Aliases and Directives are the largest number of each in a document; 100
	// by default.
	Aliases, Directives int
	// Tokens is the largest number of lexical tokens in a document; 10,000 by
	// default.
	Tokens int
}

// WithDefaults returns the limits with the defaults for zero values.
func (l Limits) WithDefaults() Limits {
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

// extent is the size of selections with their fragments expanded.
type extent struct{ depth, selections int }

// survey holds the counts of a document that the limits bound. The document is
// not validated yet: fragments may be missing or cyclic, which validation reports
// later.
type survey struct {
	fragments map[string]*ast.FragmentDefinition
	// measured are the extents of fragments. The extent is zero while a fragment
	// is being measured.
	measured map[string]extent
	// selections, aliases and directives are counted without expanding
	// fragments.
	selections, aliases, directives int
}

// survey measures a document and returns a refusal if it is over the limits.
func (l Limits) survey(doc *ast.QueryDocument) (*survey, *refusal) {
	s := &survey{fragments: map[string]*ast.FragmentDefinition{}, measured: map[string]extent{}}
	for _, f := range doc.Fragments {
		s.fragments[f.Name] = f
		s.directives += len(f.Directives)
	}
	depth, expanded := 0, 0
	for _, op := range doc.Operations {
		s.directives += len(op.Directives)
		for _, v := range op.VariableDefinitions {
			s.directives += len(v.Directives)
		}
		e := s.measure(op.SelectionSet)
		depth, expanded = max(depth, e.depth), add(expanded, e.selections)
	}
	for _, f := range doc.Fragments {
		expanded = add(expanded, s.fragment(f.Name).selections)
	}
	switch {
	case depth > l.Depth:
		return nil, tooMuch("The query is %d levels deep, and the limit is %d. "+
			"Request the inner levels in a separate request.", depth, l.Depth)
	case s.aliases > l.Aliases:
		return nil, tooMuch("The document has %d aliases, and the limit is %d. Send several requests.", s.aliases,
			l.Aliases)
	case s.directives > l.Directives:
		return nil, tooMuch("The document has %d directives, and the limit is %d. "+
			"Send several requests.", s.directives, l.Directives)
	case expanded > l.Complexity:
		return nil, tooMuch("The document has %d selections with its fragments expanded, and the limit is %d. "+
			"Request less at once.", expanded, l.Complexity)
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
	if e, ok := s.measured[name]; ok {
		return e
	}
	s.measured[name] = extent{}
	if f := s.fragments[name]; f != nil {
		s.measured[name] = s.measure(f.SelectionSet)
	}
	return s.measured[name]
}

// isIntrospection reports whether the field is __schema or __type.
func isIntrospection(name string) bool { return strings.HasPrefix(name, "__") && name != "__typename" }

// countless exceeds every limit. Sums and products saturate there.
const countless = 1 << 40

func add(a, b int) int { return min(a+b, countless) }

func multiply(a, b int) int {
	if a > 0 && b > countless/a {
		return countless
	}
	return a * b
}
