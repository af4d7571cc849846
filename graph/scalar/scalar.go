// Package scalar encodes and decodes the custom scalars of the schema.
//
// gqlgen calls the Marshal and Unmarshal functions of a scalar. If it also has an
// Append function, the generated code of package plain calls that instead. It
// appends the same output and reports false for null.
package scalar

import (
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"latchkey/internal/fault"
)

// MarshalDateTime writes a time in UTC in RFC 3339 format, as the scalar DateTime.
// The zero time is null.
func MarshalDateTime(t time.Time) graphql.Marshaler {
	if t.IsZero() {
		return graphql.Null
	}
	return graphql.WriterFunc(func(w io.Writer) {
		b, _ := AppendDateTime(make([]byte, 0, len(time.RFC3339Nano)+2), t)
		_, _ = w.Write(b) // a Marshaler cannot return an error
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

// UnmarshalDateTime reads a time in RFC 3339 format, with any offset, and returns
// it in UTC. It returns fault.Invalid for any other value. It also rejects the zero
// time, which clients send by mistake for a missing time and which would mean no
// expiration or no filter, and times before the year 0 or after 9999 in UTC, which
// RFC 3339 cannot represent.
func UnmarshalDateTime(v any) (time.Time, error) {
	if s, ok := v.(string); ok {
		if t, ok := parseRFC3339(s); ok && !t.IsZero() && t.Year() >= 0 && t.Year() <= 9999 {
			return t, nil
		}
	}
	return time.Time{}, fault.Errorf(fault.Invalid, "A DateTime is a string in RFC 3339: 2026-01-31T09:30:00Z.")
}

// rfc3339 is the grammar of RFC 3339, section 5.6. time.Parse accepts more: hours
// of one digit, a comma before the fraction, offsets of more than a day.
var rfc3339 = regexp.MustCompile(
	`^(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:)(\d\d)(\.\d+)?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)$`)

// parseRFC3339 parses a time and returns it in UTC. A leap second becomes the
// instant at which it ends, because Go's clock has no leap seconds.
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
		_, _ = io.WriteString(w, string(n)) // a Marshaler cannot return an error
	})
}

// UnmarshalBigDecimal reads a decimal number from a JSON number or string. It
// returns fault.Invalid for any other value. A number in the document arrives as a
// string (package server).
func UnmarshalBigDecimal(v any) (json.Number, error) {
	var text string
	switch v := v.(type) {
	case json.Number:
		text = v.String()
	case string:
		text = v
	}
	if !isDecimal(text) {
		return "", fault.Errorf(fault.Invalid, "A BigDecimal is a number: 19.99.")
	}
	return json.Number(text), nil
}

// longestDecimal is the largest length of a BigDecimal, in characters.
const longestDecimal = 100

// isDecimal reports whether the text is a JSON number without an exponent. A short
// exponent can make a number that exhausts memory.
func isDecimal(text string) bool {
	if text == "" || len(text) > longestDecimal || strings.Trim(text, "-.0123456789") != "" {
		return false
	}
	return json.Valid([]byte(text))
}
