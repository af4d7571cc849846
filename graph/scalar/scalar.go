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
	"regexp"
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

// UnmarshalDateTime reads a moment as RFC 3339 has it, with any offset, and
// returns it in UTC. It returns fault.Invalid for anything that is not one, and
// for two that are: the zero time, which programs send that have none, and
// which would ask for no expiry or no filter; and one beyond the year 9999,
// which RFC 3339 cannot write.
func UnmarshalDateTime(v any) (time.Time, error) {
	if s, ok := v.(string); ok {
		if t, ok := parseRFC3339(s); ok && !t.IsZero() && t.Year() <= 9999 {
			return t, nil
		}
	}
	return time.Time{}, fault.Errorf(fault.Invalid, "A DateTime is a string in RFC 3339: 2026-01-31T09:30:00Z.")
}

// rfc3339 is the grammar of RFC 3339, section 5.6. time.Parse takes more: hours
// of one digit, a comma before the fraction, offsets of more than a day.
var rfc3339 = regexp.MustCompile(
	`^(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:)(\d\d)(\.\d+)?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)$`)

// parseRFC3339 reads a moment and returns it in UTC. A leap second is the
// moment at which it ends, as in the clocks of all computers here.
func parseRFC3339(s string) (time.Time, bool) {
	m := rfc3339.FindStringSubmatch(s)
	if m == nil {
		return time.Time{}, false
	}
	date, clock, second, fraction, offset := m[1], m[2], m[3], m[4], strings.ToUpper(m[5])
	leap := second == "60"
	if leap {
		second, fraction = "59", ""
	}
	t, err := time.Parse(time.RFC3339Nano, date+"T"+clock+second+fraction+offset)
	t = t.UTC()
	if leap {
		t = t.Add(time.Second)
		if t.Day() != 1 || t.Hour() != 0 || t.Minute() != 0 { // section 5.7
			return time.Time{}, false
		}
	}
	return t, err == nil
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
