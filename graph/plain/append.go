package plain

import (
	"io"

	"github.com/99designs/gqlgen/graphql"
)

const hex = "0123456789ABCDEF"

// AppendString appends s as a JSON string, byte for byte as
// graphql.MarshalString writes it.
func AppendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\t':
			b = append(b, '\\', 't')
		case '\r':
			b = append(b, '\\', 'r')
		case '\n':
			b = append(b, '\\', 'n')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		}
		start = i + 1
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// AppendNull appends null.
func AppendNull(b []byte) []byte { return append(b, "null"...) }

// AppendMarshaler appends the output of m. For null it appends nothing and reports
// false.
func AppendMarshaler(b []byte, m graphql.Marshaler) ([]byte, bool) {
	if m == graphql.Null {
		return b, false
	}
	w := writer{b}
	m.MarshalGQL(&w)
	return w.bytes, true
}

type writer struct{ bytes []byte }

func (w *writer) Write(p []byte) (int, error) {
	w.bytes = append(w.bytes, p...)
	return len(p), nil
}

func (w *writer) WriteString(s string) (int, error) {
	w.bytes = append(w.bytes, s...)
	return len(s), nil
}

// Lone returns an object with one field. It returns null if the value is null and
// nonNull is set.
func Lone(name string, value graphql.Marshaler, nonNull bool) graphql.Marshaler {
	if value == graphql.RequiredNull || nonNull && value == graphql.Null {
		return graphql.Null
	}
	return lone{name, value}
}

type lone struct {
	name  string
	value graphql.Marshaler
}

// MarshalGQL writes the object. A name needs no escaping: see key.
func (l lone) MarshalGQL(w io.Writer) {
	// A Marshaler cannot return an error; the owner of w checks for it.
	_, _ = io.WriteString(w, `{"`)
	_, _ = io.WriteString(w, l.name)
	_, _ = io.WriteString(w, `":`)
	l.value.MarshalGQL(w)
	_, _ = io.WriteString(w, `}`)
}
