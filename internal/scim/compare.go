package scim

import (
	"slices"
	"strings"
	"time"

	"latchkey/internal/user"
)

// literal is the value in a filter.
type literal struct {
	text   string
	quoted bool
}

// null reports whether the value is null, which means no value (RFC 7643, section 2.5). So does an empty text.
func (l literal) null() bool { return l.text == "" || !l.quoted && strings.EqualFold(l.text, "null") }

// operators are the operators of filters.
var operators = []Op{Present, Equal, notEqual, Contains, StartsWith, EndsWith, Greater, GreaterOrEqual, Less,
	LessOrEqual}

// notEqual is in filters only.
const notEqual Op = "ne"

// anyOf returns the condition that one of the attribute's values meets c. A user has exactly one address, so for emails
// that is c.
func anyOf(a *Attribute, c Condition) Condition {
	if value := named(a.SubAttributes, "value"); value != nil && value.field == MemberID {
		return AnyMember{c}
	}
	return c
}

// compare returns the condition that the operator compares the attribute, or one of its values, with the literal. If it
// cannot, it returns why.
func compare(r attributeRef, op Op, l literal) (Condition, string) {
	a := r.leaf()
	if a.Type == Complex {
		return compareComplex(r, op, l)
	}
	switch {
	case a.field == "" && a.constant == "":
		return nil, r.name() + " cannot be in a filter"
	case op == notEqual:
		c, why := compare(r, Equal, l)
		if why != "" {
			return nil, why
		}
		return Not{c}, ""
	case op == Present:
		return constantOr(a, Comparison{Field: a.field, Op: Present}), ""
	case !slices.Contains(a.Type.operators(), op):
		return nil, r.name() + " cannot be compared with " + string(op)
	case l.null():
		return compareNothing(a, op, l)
	}
	value, why := a.comparable(op, l)
	switch {
	case why != "":
		return nil, r.name() + " " + why
	case value == "": // spaces around an address do not count
		return compareNothing(a, op, l)
	}
	return constantOr(a, Comparison{a.field, op, value}), ""
}

// compareComplex compares an attribute that has parts: with pr whether it has any, otherwise its part named value.
func compareComplex(r attributeRef, op Op, l literal) (Condition, string) {
	a := r.attribute
	if value := named(a.SubAttributes, "value"); value != nil {
		return compare(attributeRef{attribute: a, sub: value}, op, l)
	}
	if op != Present {
		return nil, a.Name + " has parts: compare one of them, such as " + a.Name + "." + a.SubAttributes[0].Name
	}
	var any Or
	for i := range a.SubAttributes {
		if sub := &a.SubAttributes[i]; sub.field != "" || sub.constant != "" {
			any = append(any, constantOr(sub, Comparison{Field: sub.field, Op: Present}))
		}
	}
	return any, ""
}

// compareNothing compares with null or an empty text. Every text contains an empty one and is greater.
func compareNothing(a *Attribute, op Op, l literal) (Condition, string) {
	present := constantOr(a, Comparison{Field: a.field, Op: Present})
	switch {
	case op == Equal:
		return Not{present}, ""
	case !l.quoted:
		return nil, a.Name + " can be compared with null only by eq and ne"
	case op == Less || op == LessOrEqual:
		return Or{}, ""
	default:
		return present, ""
	}
}

// constantOr returns the comparison, or its result if the attribute has the same value in every resource.
func constantOr(a *Attribute, c Comparison) Condition {
	switch {
	case a.constant == "":
		return c
	case c.holds(a.form(c.Op, a.constant)):
		return And{}
	default:
		return Or{}
	}
}

// operators returns the operators for values of the type (RFC 7644, section 3.4.2.2).
func (t Type) operators() []Op {
	switch t {
	case Boolean:
		return []Op{Equal}
	case DateTime:
		return []Op{Equal, Greater, GreaterOrEqual, Less, LessOrEqual}
	default:
		return operators
	}
}

// comparable returns the value in the form of Comparison.Value, or why it is none of the attribute's type.
func (a *Attribute) comparable(op Op, l literal) (value, why string) {
	switch a.Type {
	case Boolean:
		if b, ok := boolean(l.text); ok {
			return b, ""
		}
		return "", "is compared with true or false"
	case DateTime:
		at, ok := parseTime(l.text)
		if !ok {
			return "", "is compared with a time such as 2026-03-04T12:00:00Z"
		}
		return timeText(at), ""
	default:
		return a.form(op, l.text), ""
	}
}

// form returns the form of a text in which the operator compares the attribute.
func (a *Attribute) form(op Op, text string) string {
	switch {
	case a.CaseExact:
		return text
	case a.field == UserName && !op.part():
		return user.Fold(text)
	default:
		return user.FoldText(text)
	}
}

// boolean reads a boolean in any case, since some clients send "True" and "False" as texts.
func boolean(text string) (value string, ok bool) {
	value = strings.ToLower(text)
	return value, value == "true" || value == "false"
}

// parseTime reads a time of XML Schema (RFC 7643, section 2.3.5), in UTC. A time without a zone is in UTC, too.
func parseTime(text string) (time.Time, bool) {
	for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if at, err := time.Parse(form, strings.ToUpper(text)); err == nil {
			at = at.UTC()
			return at, !at.IsZero() && at.Year() >= 0 && at.Year() <= 9999
		}
	}
	return time.Time{}, false
}
