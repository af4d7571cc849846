// Package check compares what a test got with what it wants, and reports both if they differ.
package check

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Equal reports an error unless got equals want. The message begins with what was compared, in the form of fmt.Sprintf.
// Lists, maps, structs and long texts are shown as a diff. An empty list or map equals nil, and values that have an
// Equal method, such as times, are compared by it. Equal returns whether they are equal.
func Equal[T any](t testing.TB, got, want T, format string, args ...any) bool {
	t.Helper()
	if same(got, want) {
		return true
	}
	diff := cmp.Diff(want, got, options...)
	if diff == "" {
		return true
	}
	what := fmt.Sprintf(format, args...)
	if !composed(got) && !composed(want) {
		t.Errorf("%s: got %s, want %s", what, text(got), text(want))
		return false
	}
	t.Errorf("%s: got the lines with +, want the lines with -\n%s", what, diff)
	return false
}

// same reports whether the values are of a simple type and equal. Exhaustive tests compare millions of them, for which
// cmp.Diff takes a minute.
func same(got, want any) bool {
	switch got.(type) {
	case string, bool, int, int64:
		return got == want
	}
	return false
}

var options = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateErrors(), cmp.Exporter(exported)}

// exported reports whether the unexported fields of a type are compared: not those of a secret, which a diff would
// print.
func exported(t reflect.Type) bool { return !strings.HasSuffix(t.PkgPath(), "internal/secret") }

// composed reports whether a value is read more easily in a diff.
func composed(value any) bool {
	switch v := value.(type) {
	case string:
		return len(v) > 80 || strings.Contains(v, "\n")
	case nil, error, fmt.Stringer:
		return false
	}
	switch reflect.TypeOf(value).Kind() {
	case reflect.Slice, reflect.Map, reflect.Struct, reflect.Pointer:
		return true
	default:
		return false
	}
}

func text(value any) string {
	if s, is := value.(string); is {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%+v", value)
}
