package graph

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

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
// there, lest a document take as long as it has room for errors. Strings get the
// values of their escapes.
func (v validation) check(doc *ast.QueryDocument, list []core.Rule, escapes escapes) (errs gqlerror.List) {
	defer func() {
		if stopped := recover(); stopped != nil && stopped != (enough{}) {
			panic(stopped)
		}
	}()
	observers := &core.Events{}
	var judged *ast.Value
	observers.OnValue(func(_ *core.Walker, value *ast.Value) {
		judged = value
		escapes.restore(value)
	})
	for _, rule := range list {
		rule.RuleFunc(observers, func(options ...core.ErrorOption) {
			e := &gqlerror.Error{}
			for _, option := range options {
				option(e)
			}
			if rule.Name == rules.ValuesOfCorrectTypeRule.Name {
				e.Message = wrongValue(judged, e.Message)
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

// wrongValue is what is told of a value that is not what its place takes: what
// that is, and what kind of value was found. The rule's own message repeats the
// value, which may be a password; what it says of the fields of an input stays.
func wrongValue(v *ast.Value, message string) string {
	if v.Kind == ast.ObjectValue && v.Definition.Kind == ast.InputObject && !strings.HasPrefix(message, "Expected value") {
		return message
	}
	expected := fmt.Sprintf("%q", v.ExpectedType.String())
	if v.Definition.Kind == ast.Enum {
		expected += " (" + enumNames(v.Definition) + ")"
	}
	return fmt.Sprintf("Expected a value of type %s, found %s.", expected, kindOf(v))
}

// kindOf says what sort of value was written.
func kindOf(v *ast.Value) string {
	switch v.Kind {
	case ast.IntValue:
		return "a whole number"
	case ast.FloatValue:
		return "a number"
	case ast.StringValue, ast.BlockValue:
		return "a string"
	case ast.BooleanValue:
		return "a boolean"
	case ast.NullValue:
		return "null"
	case ast.ListValue:
		return "a list"
	case ast.ObjectValue:
		return "an object"
	}
	if v.Definition.Kind == ast.Enum {
		return "another name"
	}
	return "a name"
}

// literalFound matches what the parser says of a literal where there should be none.
var literalFound = regexp.MustCompile(`^((?:Unexpected|Expected "\w+", found) (?:String|BlockString|Int|Float)) ".*`)

// withoutLiteral is what the parser says of a document, likewise without the
// value that it stopped at.
func withoutLiteral(message string) string { return literalFound.ReplaceAllString(message, "$1") }
