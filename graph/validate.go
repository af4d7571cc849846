package graph

import (
	"maps"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator/core"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// mostErrors is how many errors of a document are told. A short document can
// have many long ones.
const mostErrors = 20

// validation holds documents against the rules of GraphQL (section
// "Validation").
type validation struct {
	schema *ast.Schema
	rules  []core.Rule
}

func newValidation(schema *ast.Schema) validation {
	all := rules.NewDefaultRules()
	all.RemoveRule(rules.OverlappingFieldsCanBeMergedRule.Name)
	v := validation{schema: schema}
	inner := all.GetInner()
	for _, name := range slices.Sorted(maps.Keys(inner)) {
		v.rules = append(v.rules, core.Rule{Name: name, RuleFunc: inner[name]})
	}
	return v
}

// enough ends a walk through a document that has errors enough.
type enough struct{}

// check returns what is wrong with the document, mostErrors at most. It stops
// there, lest a document take as long as it has room for errors: looking for
// names that may have been meant takes time.
func (v validation) check(doc *ast.QueryDocument) (errs gqlerror.List) {
	defer func() {
		if stopped := recover(); stopped != nil && stopped != (enough{}) {
			panic(stopped)
		}
	}()
	observers := &core.Events{}
	for _, rule := range v.rules {
		rule.RuleFunc(observers, func(options ...core.ErrorOption) {
			e := &gqlerror.Error{}
			for _, option := range options {
				option(e)
			}
			if errs = append(errs, e); len(errs) == mostErrors {
				panic(enough{})
			}
		})
	}
	core.Walk(v.schema, doc, observers)
	if len(errs) == 0 {
		if e := conflict(v.schema, doc); e != nil {
			errs = append(errs, e)
		}
	}
	return errs
}
