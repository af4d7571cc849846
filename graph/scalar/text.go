package scalar

import (
	"strings"

	"github.com/99designs/gqlgen/graphql"

	"latchkey/internal/fault"
)

// MarshalString writes a text as the scalar String.
func MarshalString(s string) graphql.Marshaler { return graphql.MarshalString(s) }

// UnmarshalString reads a text. It returns fault.Invalid for what is no text
// (GraphQL, section 3.5.3: String, input coercion), and for one that holds
// NUL: PostgreSQL keeps and compares no such text, so nothing has it for its
// name.
func UnmarshalString(v any) (string, error) {
	text, is := v.(string)
	if !is {
		return "", fault.Errorf(fault.Invalid, "A text was expected here. Put the value in quotes.")
	}
	return withoutNUL(text, nil)
}

// MarshalID writes the text of an id as the scalar ID.
func MarshalID(id string) graphql.Marshaler { return graphql.MarshalID(id) }

// UnmarshalID reads the text of an id of any kind, and refuses what
// UnmarshalString refuses.
func UnmarshalID(v any) (string, error) { return withoutNUL(graphql.UnmarshalID(v)) }

func withoutNUL(text string, err error) (string, error) {
	if err == nil && strings.IndexByte(text, 0) >= 0 {
		return "", fault.Errorf(fault.Invalid, "A text cannot hold the character NUL.")
	}
	return text, err
}
