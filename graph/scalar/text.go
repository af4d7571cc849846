package scalar

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/99designs/gqlgen/graphql"

	"latchkey/internal/fault"
)

// MarshalString writes a string as the scalar String.
func MarshalString(s string) graphql.Marshaler { return graphql.MarshalString(s) }

// UnmarshalString reads a string. It returns fault.Invalid for any other value
// (GraphQL, section 3.5.3: String, input coercion), and for a string that contains
// NUL, which PostgreSQL cannot store or compare.
func UnmarshalString(v any) (string, error) {
	text, is := v.(string)
	if !is {
		return "", fault.Errorf(fault.Invalid, "A String must be in quotes.")
	}
	return withoutNUL(text, nil)
}

// MarshalID writes the text of an ID as the scalar ID.
func MarshalID(id string) graphql.Marshaler { return graphql.MarshalID(id) }

// UnmarshalID reads the text of an ID of any kind: a string or an integer
// (GraphQL, section 3.5.5: ID, input coercion). It returns fault.Invalid for any
// other value, and for a string that UnmarshalString rejects.
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
		return "", fault.Errorf(fault.Invalid, "A String cannot contain the NUL character.")
	}
	return text, err
}
