package main

import (
	"fmt"
	"go/types"

	"github.com/99designs/gqlgen/codegen/config"
	"github.com/99designs/gqlgen/codegen/templates"
	"github.com/vektah/gqlparser/v2/ast"
)

// Write returns the Go statements that append the field's value to b. They use obj (the object), f (its selection) and
// ok (a bool). They return b and false if a value violates the schema.
func (f plainField) Write() string {
	if f.IsMethod() {
		return fmt.Sprintf("v := %s.%s()\n", f.GoReceiverName, f.GoFieldName) + write(f.TypeReference, "v", "f.Sub", 0)
	}
	return write(f.TypeReference, f.GoReceiverName+"."+f.GoFieldName, "f.Sub", 0)
}

// WriteList returns the Go statements that append the list v of objects to b. s is the selection of every element.
// Otherwise they are like those of plainField.Write.
func (plainBuild) WriteList(ref *config.TypeReference) string { return writeElements(ref, "v", "s", 0) }

// write returns the statements for the value of a Go expression. sub is the expression for its selection; depth is the
// number of lists around it.
func write(ref *config.TypeReference, expr, sub string, depth int) string {
	switch {
	case ref.IsSlice():
		return writeList(ref, expr, sub, depth)
	case ref.IsPtr() && ref.Definition.Kind == ast.Object:
		return orNull(ref, expr+" == nil", writeObject(ref, expr, sub))
	case ref.IsPtr():
		return orNull(ref, expr+" == nil", writeLeaf(ref, "*"+expr))
	case ref.Definition.Kind == ast.Object:
		return writeObject(ref, "&"+expr, sub)
	default:
		return writeLeaf(ref, expr)
	}
}

func writeList(ref *config.TypeReference, expr, sub string, depth int) string {
	elements := writeElements(ref, expr, sub, depth)
	if ref.GQL.NonNull { // gqlgen answers a nil slice as an empty list here
		return elements
	}
	return orNull(ref, expr+" == nil", elements)
}

func writeElements(ref *config.TypeReference, expr, sub string, depth int) string {
	i := fmt.Sprintf("i%d", depth)
	return fmt.Sprintf(
		"b = append(b, '[')\nfor %s := range %s {\nif %s > 0 {\nb = append(b, ',')\n}\n%s}\nb = append(b, ']')\n",
		i, expr, i, write(ref.Elem(), expr+"["+i+"]", sub, depth+1))
}

func writeObject(ref *config.TypeReference, pointer, sub string) string {
	return fmt.Sprintf("if b, ok = ec.plain%s(ctx, b, %s, %s); !ok {\nreturn b, false\n}\n", ref.Definition.Name, sub,
		pointer)
}

// orNull guards the statements against null. If the schema forbids null, the fast path ends.
func orNull(ref *config.TypeReference, isNull, statements string) string {
	if ref.GQL.NonNull {
		return fmt.Sprintf("if %s {\nreturn b, false\n}\n%s", isNull, statements)
	}
	return fmt.Sprintf("if %s {\nb = plain.AppendNull(b)\n} else {\n%s}\n", isNull, statements)
}

func writeLeaf(ref *config.TypeReference, expr string) string {
	if ref.IsMarshaler {
		return appended(ref, "plain.AppendMarshaler(b, "+expr+")")
	}
	if ref.HasEnumValues() {
		expr = fmt.Sprintf("%s[%s]", ref.EnumMarshalVar(false), expr)
	} else if ref.CastType != nil {
		expr = fmt.Sprintf("%s(%s)", templates.CurrentImports.LookupType(ref.CastType), expr)
	}
	switch fn := ref.Marshaler; fn.FullName() {
	case graphqlPackage + ".MarshalString", graphqlPackage + ".MarshalID", scalarPackage + ".MarshalString",
		scalarPackage + ".MarshalID":
		return "b = plain.AppendString(b, " + expr + ")\n"
	case graphqlPackage + ".MarshalBoolean":
		return "b = strconv.AppendBool(b, " + expr + ")\n"
	case graphqlPackage + ".MarshalInt", graphqlPackage + ".MarshalInt32", graphqlPackage + ".MarshalInt64":
		return "b = strconv.AppendInt(b, int64(" + expr + "), 10)\n"
	default:
		if appender := appenderOf(fn); appender != nil {
			return appended(ref, templates.Call(appender)+"(b, "+expr+")")
		}
		return appended(ref, "plain.AppendMarshaler(b, "+templates.Call(fn)+"("+expr+"))")
	}
}

// The packages with functions that write the same as plain's.
const (
	graphqlPackage = "github.com/99designs/gqlgen/graphql"
	scalarPackage  = "latchkey/graph/scalar"
)

// appended returns the statements for a call that appends or reports null.
func appended(ref *config.TypeReference, call string) string {
	if ref.GQL.NonNull {
		return "if b, ok = " + call + "; !ok {\nreturn b, false\n}\n"
	}
	return "if b, ok = " + call + "; !ok {\nb = plain.AppendNull(b)\n}\n"
}

// appenderOf returns the function AppendX next to MarshalX, or nil if there is none.
func appenderOf(marshal *types.Func) *types.Func {
	name := "Append" + marshal.Name()[len("Marshal"):]
	appender, _ := marshal.Pkg().Scope().Lookup(name).(*types.Func)
	return appender
}
