package gormdb

import (
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/scim"
)

// filterField is a field of a SCIM filter in SQL.
type filterField struct {
	// column is an expression of the field's value.
	column string
	kind   filterKind
	// nullable says that the column can be null.
	nullable bool
}

// filterKind is how values of a column are compared.
type filterKind int

const (
	// inGo: SQL cannot compare the column as package scim does, because names are folded in Go.
	inGo filterKind = iota
	// asText: the column is a text, which is compared by its bytes.
	asText
	asID
	asTime
	// asCondition: column is a condition, whose value is true or false.
	asCondition
	// absent: the resource never has a value.
	absent
)

// filter compiles the condition of a SCIM filter to SQL. It has two results: what SQL can decide without package scim,
// and, for the rest, a condition to evaluate in Go.
//
// Compiled conditions are never null, so that NOT of them is what scim.Not is.
type filter struct {
	*conditions

	d      dialect
	fields map[scim.Field]filterField
	// members is the beginning of a subquery for the members of a group, for scim.AnyMember.
	members string
}

// compile returns a condition that every resource meets that meets c. If exact is true, no other resource meets it.
// An empty text is a condition that all resources meet.
func (f filter) compile(c scim.Condition) (sql string, exact bool) {
	before := len(f.args)
	if sql, exact = f.compiled(c); sql == "" {
		f.args = f.args[:before] // those of a part that was left out
	}
	return sql, exact
}

func (f filter) compiled(c scim.Condition) (sql string, exact bool) {
	switch c := c.(type) {
	case nil:
		return "", true
	case scim.And:
		return f.allOf(c)
	case scim.Or:
		return f.anyOf(c)
	case scim.Not:
		of, exact := f.compile(c.Condition)
		switch {
		case !exact:
			return "", false
		case of == "":
			return never, true
		}
		return "NOT (" + of + ")", true
	case scim.AnyMember:
		of, exact := f.compile(c.Condition)
		if of != "" {
			of = " AND (" + of + ")"
		}
		return "EXISTS (" + f.members + of + ")", exact
	case scim.Comparison:
		return f.comparison(c)
	}
	return "", false
}

const never = "1 = 0"

func (f filter) allOf(list scim.And) (sql string, exact bool) {
	var parts []string
	exact = true
	for _, c := range list {
		part, is := f.compile(c)
		exact = exact && is
		if part != "" {
			parts = append(parts, "("+part+")")
		}
	}
	return strings.Join(parts, " AND "), exact
}

func (f filter) anyOf(list scim.Or) (sql string, exact bool) {
	parts := make([]string, len(list))
	exact = true
	for i, c := range list {
		part, is := f.compile(c)
		exact = exact && is
		if part == "" {
			return "", is
		}
		parts[i] = "(" + part + ")"
	}
	if len(parts) == 0 {
		return never, true
	}
	return strings.Join(parts, " OR "), exact
}

func (f filter) comparison(c scim.Comparison) (sql string, exact bool) {
	field := f.fields[c.Field]
	switch field.kind {
	case inGo:
		return "", false
	case absent:
		return never, true
	case asCondition:
		switch {
		case c.Op == scim.Present:
			return "", true
		case c.Value == "true":
			return field.column, true
		}
		return "NOT (" + field.column + ")", true
	case asTime:
		if c.Op == scim.Present {
			return "", true
		}
		return field.column + comparisons[c.Op] + f.arg(f.d.timestamp(c.Time())), true
	case asID:
		return f.id(field, c), true
	}
	return f.text(field, c), true
}

// comparisons are the operators of SQL.
var comparisons = map[scim.Op]string{scim.Equal: " = ", scim.Greater: " > ", scim.GreaterOrEqual: " >= ",
	scim.Less: " < ", scim.LessOrEqual: " <= "}

// id compares a UUID. Equality uses the column's type, so that an index serves it.
func (f filter) id(field filterField, c scim.Comparison) string {
	if c.Op != scim.Equal {
		return f.text(filterField{column: "CAST(" + field.column + " AS text)"}, c)
	}
	id, err := uuid.Parse(c.Value)
	if err != nil || id.String() != c.Value {
		return never
	}
	return field.column + " = " + f.arg(f.d.id(id))
}

// text compares a text with the comparison's value, which is not empty except for scim.Present.
func (f filter) text(field filterField, c scim.Comparison) string {
	value := c.Value
	if before, _, has := strings.Cut(value, "\x00"); has {
		// PostgreSQL has no such character, and neither database has a text with one. So the order of a text and the
		// value is that of the text and the part before the character, unless they are equal, which makes it less.
		switch c.Op {
		case scim.Greater, scim.GreaterOrEqual:
			c.Op = scim.Greater
		case scim.Less, scim.LessOrEqual:
			c.Op = scim.LessOrEqual
		default:
			return never
		}
		if value = before; value == "" {
			if c.Op == scim.LessOrEqual {
				return never
			}
			c.Op = scim.Present
		}
	}
	column := field.column
	sql := ""
	switch c.Op {
	case scim.Present:
		sql = column + " <> ''"
	case scim.Equal:
		sql = column + " = " + f.arg(value)
	case scim.Contains:
		sql = f.d.find + "(" + column + ", " + f.textArg(value) + ") > 0"
	case scim.StartsWith:
		arg := f.textArg(value)
		sql = "substr(" + column + ", 1, length(" + arg + ")) = " + arg
	case scim.EndsWith:
		arg := f.textArg(value)
		sql = "length(" + column + ") >= length(" + arg + ") AND substr(" + column +
			", length(" + column + ") - length(" + arg + ") + 1) = " + arg
	default:
		sql = f.d.bytes(column) + comparisons[c.Op] + f.textArg(value)
		if c.Op == scim.Less || c.Op == scim.LessOrEqual {
			sql += " AND " + column + " <> ''"
		}
	}
	if field.nullable {
		sql = column + " IS NOT NULL AND " + sql
	}
	return sql
}

// textArg adds an argument whose type PostgreSQL cannot infer from its place.
func (f filter) textArg(value string) string { return "CAST(" + f.arg(value) + " AS text)" }

// flags replaces the parts of a condition that compare members, which are not read with a group, by flags. It returns
// the conditions in SQL that set them.
func (f filter) flags(c scim.Condition) (scim.Condition, []string, []*bool) {
	var columns []string
	var set []*bool
	var replaced func(scim.Condition) scim.Condition
	replaced = func(c scim.Condition) scim.Condition {
		switch c := c.(type) {
		case scim.And:
			all := make(scim.And, len(c))
			for i, each := range c {
				all[i] = replaced(each)
			}
			return all
		case scim.Or:
			one := make(scim.Or, len(c))
			for i, each := range c {
				one[i] = replaced(each)
			}
			return one
		case scim.Not:
			return scim.Not{Condition: replaced(c.Condition)}
		case scim.AnyMember:
			sql, _ := f.compile(c) // IDs are compared in SQL
			columns, set = append(columns, sql), append(set, new(bool))
			return flag{set[len(set)-1]}
		}
		return c
	}
	c = replaced(c)
	return c, columns, set
}

// flag is a condition that SQL has decided for the current row.
type flag struct{ set *bool }

// Matches returns the flag.
func (f flag) Matches(scim.Values) bool { return *f.set }
