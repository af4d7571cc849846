package scalar

import (
	"encoding/json"
	"strconv"
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

// UnmarshalID reads the text of an id of any kind: a string, or a whole number
// (GraphQL, section 3.5.5: ID, input coercion). It returns fault.Invalid for
// anything else, and for a text that UnmarshalString refuses.
func UnmarshalID(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return withoutNUL(v, nil)
	case json.Number:
		if strings.Trim(v.String(), "-0123456789") == "" {
			return v.String(), nil
		}
	case int64: // a literal in the query
		return strconv.FormatInt(v, 10), nil
	}
	return "", fault.Errorf(fault.Invalid, "An ID is a string or a whole number.")
}

func withoutNUL(text string, err error) (string, error) {
	if err == nil && strings.IndexByte(text, 0) >= 0 {
		return "", fault.Errorf(fault.Invalid, "A text cannot hold the character NUL.")
	}
	return text, err
}
