package server

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

// maxErrors is the largest number of errors reported for a document. A short
// document can have many long errors.
const maxErrors = 20

// validation validates documents by the rules of GraphQL (section "Validation").
type validation struct {
	schema *ast.Schema
	rules  []core.Rule
	// silent are the same rules without suggestions of similar names, whose cost
	// grows with the length of the wrong names.
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

// listed returns the rules in a fixed order.
func listed(all *rules.Rules) []core.Rule {
	var list []core.Rule
	inner := all.GetInner()
	for _, name := range slices.Sorted(maps.Keys(inner)) {
		list = append(list, core.Rule{Name: name, RuleFunc: inner[name]})
	}
	return list
}

// tooManyErrors is the panic value that stops validation at maxErrors.
type tooManyErrors struct{}

// check returns the document's errors, up to maxErrors. It stops there, so that
// a document with many errors does not take long. It also restores the values of
// strings with escapes.
func (v validation) check(doc *ast.QueryDocument, list []core.Rule, escapes escapes) (errs gqlerror.List) {
	defer func() {
		if stopped := recover(); stopped != nil && stopped != (tooManyErrors{}) {
			panic(stopped)
		}
	}()
	observers := &core.Events{}
	var current *ast.Value
	observers.OnValue(func(_ *core.Walker, value *ast.Value) {
		current = value
		escapes.restore(value)
	})
	for _, rule := range list {
		rule.RuleFunc(observers, func(options ...core.ErrorOption) {
			e := &gqlerror.Error{}
			for _, option := range options {
				option(e)
			}
			if rule.Name == rules.ValuesOfCorrectTypeRule.Name {
				e.Message = wrongValue(current, e.Message)
			}
			if errs = append(errs, e); len(errs) == maxErrors {
				panic(tooManyErrors{})
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

// wrongValue returns the message for a value of the wrong type, with the expected
// type and the kind of the value. The rule's own message contains the value, which
// may be a password; only its messages about input fields are returned unchanged.
func wrongValue(v *ast.Value, message string) string {
	if v.Kind == ast.ObjectValue && v.Definition.Kind == ast.InputObject &&
		!strings.HasPrefix(message, "Expected value") {
		return message
	}
	expected := fmt.Sprintf("%q", v.ExpectedType.String())
	if v.Definition.Kind == ast.Enum {
		expected += " (" + enumNames(v.Definition) + ")"
	}
	return fmt.Sprintf("Expected a value of type %s, found %s.", expected, kindOf(v))
}

// kindOf returns the kind of a literal, for messages.
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

// literalFound matches the parser's message for an unexpected literal.
var literalFound = regexp.MustCompile(`^((?:Unexpected|Expected "\w+", found) (?:String|BlockString|Int|Float)) ".*`)

// withoutLiteral returns the parser's message without the value of an unexpected
// literal.
func withoutLiteral(message string) string { return literalFound.ReplaceAllString(message, "$1") }
