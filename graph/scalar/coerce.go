package scalar

import (
	"encoding/json"
	"math"
	"strconv"

	"latchkey/internal/fault"
)

// EnumName is an enum literal, a name without quotes. No scalar accepts it.
type EnumName string

// Coerce returns the value of the named scalar for v, a value as encoding/json
// decodes it with UseNumber (GraphQL, "Scalars: Input Coercion"). An Int becomes
// an int64 and an ID a string; other values are returned unchanged for the
// Unmarshal functions. It returns fault.Invalid for a value that the scalar does
// not accept.
func Coerce(name string, v any) (any, error) {
	switch name {
	case "Int":
		return coerceInt(v)
	case "Float":
		return v, expect[json.Number](v, "A Float is a number, without quotes.")
	case "Boolean":
		return v, expect[bool](v, "A Boolean is true or false, without quotes.")
	case "String":
		_, err := UnmarshalString(v)
		return v, err
	case "ID":
		return UnmarshalID(v)
	case "DateTime":
		_, err := UnmarshalDateTime(v)
		return v, err
	case "BigDecimal":
		_, err := UnmarshalBigDecimal(v)
		return v, err
	case "Long":
		return coerceLong(v)
	default:
		return nil, fault.Errorf(fault.Internal, "The scalar %s cannot be read.", name)
	}
}

func expect[T any](v any, message string) error {
	if _, is := v.(T); !is {
		return fault.Errorf(fault.Invalid, "%s", message)
	}
	return nil
}

// coerceInt accepts 10.0 too: it is the same JSON number as 10, and some clients
// write all numbers with a fraction.
func coerceInt(v any) (any, error) {
	if n, is := v.(json.Number); is {
		f, err := n.Float64()
		if err == nil && f == math.Trunc(f) && f >= math.MinInt32 && f <= math.MaxInt32 {
			return int64(f), nil
		}
	}
	return nil, fault.Errorf(fault.Invalid, "An Int is a whole number of 32 bits, without quotes.")
}

func coerceLong(v any) (any, error) {
	if n, is := v.(json.Number); is {
		if i, err := strconv.ParseInt(n.String(), 10, 64); err == nil {
			return i, nil
		}
	}
	return nil, fault.Errorf(fault.Invalid, "A Long is a whole number of 64 bits, without quotes.")
}
