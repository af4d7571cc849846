// Package scalar writes and reads the scalars of the schema that are the
// project's own.
//
// Beside Marshal and Unmarshal functions, which gqlgen calls, a scalar may
// have an Append function, which the generated code of plain objects calls
// instead (package plain). It appends the same and reports false for null.
package scalar

import (
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"latchkey/internal/fault"
)

// MarshalDateTime writes a moment in ISO 8601, in UTC, as the scalar DateTime.
// The zero time is null.
func MarshalDateTime(t time.Time) graphql.Marshaler {
	if t.IsZero() {
		return graphql.Null
	}
	return graphql.WriterFunc(func(w io.Writer) {
		b, _ := AppendDateTime(make([]byte, 0, len(time.RFC3339Nano)+2), t)
		_, _ = w.Write(b) // a Marshaler reports no error
	})
}

// AppendDateTime appends what MarshalDateTime writes.
func AppendDateTime(b []byte, t time.Time) ([]byte, bool) {
	if t.IsZero() {
		return b, false
	}
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, time.RFC3339Nano)
	return append(b, '"'), true
}

// UnmarshalDateTime reads a moment with any offset and returns it in UTC. It
// returns fault.Invalid for anything that is not one, and for two that are:
// the zero time, which programs send that have none, and which would ask for
// no expiry or no filter; and one beyond the year 9999, which ISO 8601 writes
// with more digits than readers take.
func UnmarshalDateTime(v any) (time.Time, error) {
	if s, ok := v.(string); ok {
		if t, err := time.Parse(time.RFC3339Nano, s); err == nil && !t.IsZero() && t.UTC().Year() <= 9999 {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fault.Errorf(fault.Invalid, "A DateTime is a string in ISO 8601 with an offset: 2026-01-31T09:30:00Z.")
}

// MarshalBigDecimal writes a decimal number as the scalar BigDecimal, a JSON
// number with every digit it has. The empty number is null.
func MarshalBigDecimal(n json.Number) graphql.Marshaler {
	if n == "" {
		return graphql.Null
	}
	return graphql.WriterFunc(func(w io.Writer) {
		_, _ = io.WriteString(w, string(n)) // a Marshaler reports no error
	})
}

// UnmarshalBigDecimal reads a decimal number from a JSON number or string. It
// returns fault.Invalid for anything else.
func UnmarshalBigDecimal(v any) (json.Number, error) {
	var text string
	switch v := v.(type) {
	case json.Number:
		text = v.String()
	case string:
		text = v
	case int64: // a literal in the query
		text = strconv.FormatInt(v, 10)
	case float64: // a literal in the query; the shortest form is what was written, up to 15 digits
		text = strconv.FormatFloat(v, 'f', -1, 64)
	}
	if !isDecimal(text) {
		return "", fault.Errorf(fault.Invalid, "A BigDecimal is a number: 19.99.")
	}
	return json.Number(text), nil
}

// A number longer than this is no amount of anything.
const longestDecimal = 100

// isDecimal reports whether the text is a number in JSON without an exponent:
// a few characters of exponent are a number that fills the memory.
func isDecimal(text string) bool {
	if text == "" || len(text) > longestDecimal || strings.Trim(text, "-.0123456789") != "" {
		return false
	}
	return json.Valid([]byte(text))
}
