package plain_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"pgregory.net/rapid"

	"latchkey/graph/plain"
	"latchkey/internal/test/check"
)

// AppendString writes every string as gqlgen does, including invalid UTF-8.
func TestAppendString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()),
			func(b []byte) string { return string(b) })).Draw(t, "s")
		var want bytes.Buffer
		graphql.MarshalString(s).MarshalGQL(&want)
		if got := plain.AppendString([]byte("x"), s); string(got) != "x"+want.String() {
			t.Errorf("got %q, want %q", got, want.String())
		}
	})
}

func TestMarshal(t *testing.T) {
	write := func(text string, ok bool) func([]byte) ([]byte, bool) {
		return func(b []byte) ([]byte, bool) { return append(b, text...), ok }
	}
	if m := plain.Marshal(write("half", false)); m != nil {
		t.Errorf("got %v after write reported false, want nil", m)
	}
	if m := plain.Marshal(func([]byte) ([]byte, bool) { panic("no") }); m != nil {
		t.Errorf("got %v after a panic, want nil", m)
	}
	a, b := plain.Marshal(write("first", true)), plain.Marshal(write("second", true))
	var out strings.Builder
	b.MarshalGQL(&out)
	a.MarshalGQL(&out)
	check.Equal(t, out.String(), "secondfirst", "got %q from two buffers in use at the same time", &out)
}

func TestAppendMarshaler(t *testing.T) {
	if b, ok := plain.AppendMarshaler([]byte("x"), graphql.MarshalInt(5)); string(b) != "x5" || !ok {
		t.Errorf("AppendMarshaler of a number: got %q, %t, want \"x5\", true", b, ok)
	}
	if b, ok := plain.AppendMarshaler([]byte("x"), graphql.Null); string(b) != "x" || ok {
		t.Errorf("AppendMarshaler of null: got %q, %t, want \"x\", false", b, ok)
	}
}
