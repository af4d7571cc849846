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
	// silent are the same rules, without suggesting names that may have been
	// meant: looking for those takes time by the length of the wrong ones.
	silent []core.Rule
}

func newValidation(schema *ast.Schema) validation {
	all := rules.NewDefaultRules()
	// See conflict.
	all.RemoveRule(rules.OverlappingFieldsCanBeMergedRule.Name)
	v := validation{schema: schema, rules: listed(all)}
	for suggesting, silent := range map[string]core.Rule{
		rules.FieldsOnCorrectTypeRule.Name: rules.FieldsOnCorrectTypeRuleWithoutSuggestions,
		rules.KnownArgumentNamesRule.Name:  rules.KnownArgumentNamesRuleWithoutSuggestions,
		rules.KnownTypeNamesRule.Name:      rules.KnownTypeNamesRuleWithoutSuggestions,
		rules.ScalarLeafsRule.Name:         rules.ScalarLeafsRuleWithoutSuggestions,
		rules.ValuesOfCorrectTypeRule.Name: rules.ValuesOfCorrectTypeRuleWithoutSuggestions,
	} {
		all.ReplaceRule(suggesting, silent.RuleFunc)
	}
	v.silent = listed(all)
	return v
}

// listed returns the rules in an order that is always the same.
func listed(all *rules.Rules) []core.Rule {
	var list []core.Rule
	inner := all.GetInner()
	for _, name := range slices.Sorted(maps.Keys(inner)) {
		list = append(list, core.Rule{Name: name, RuleFunc: inner[name]})
	}
	return list
}

// enough ends a walk through a document that has errors enough.
type enough struct{}

// check returns what is wrong with the document, mostErrors at most. It stops
// there, lest a document take as long as it has room for errors.
func (v validation) check(doc *ast.QueryDocument, list []core.Rule) (errs gqlerror.List) {
	defer func() {
		if stopped := recover(); stopped != nil && stopped != (enough{}) {
			panic(stopped)
		}
	}()
	observers := &core.Events{}
	for _, rule := range list {
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
