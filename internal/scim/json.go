package scim

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a request's body. The server limits its size.
const (
	maxNesting = 16
	maxValues  = 250_000
)

// object is a JSON object whose members have the order of the text.
type object []member

type member struct {
	name  string
	value any // nil, bool, json.Number, string, object or []any
}

// foldName returns the form in which the names of members are compared: case does not matter (RFC 7643, section 2.1).
// It is the same for names that strings.EqualFold finds equal, and differs for others.
func foldName(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return least
	}, name)
}

// get returns the member with the name.
func (o object) get(name string) (value any, ok bool) {
	name = foldName(name)
	for _, m := range o {
		if foldName(m.name) == name {
			return m.value, true
		}
	}
	return nil, false
}

// readObject reads a body that is one JSON object. It returns an *Error with the type invalidSyntax if it is not, or if
// an object has two members whose names differ only in case: two readers could choose different ones.
func readObject(body []byte) (object, error) {
	if !utf8.Valid(body) {
		return nil, invalid("invalidSyntax", "The body is not in UTF-8.")
	}
	r := reader{decoder: json.NewDecoder(bytes.NewReader(body))}
	r.decoder.UseNumber()
	value, err := r.value(0)
	if err == nil {
		if _, after := r.decoder.Token(); !errors.Is(after, io.EOF) {
			err = invalid("invalidSyntax", "The body has text after its JSON object.")
		}
	}
	if err != nil {
		return nil, err
	}
	o, ok := value.(object)
	if !ok {
		return nil, invalid("invalidSyntax", "The body must be a JSON object.")
	}
	return o, nil
}

type reader struct {
	decoder *json.Decoder
	values  int
}

// token returns the next token. The decoder checks the syntax.
func (r *reader) token() (json.Token, error) {
	token, err := r.decoder.Token()
	if err != nil {
		return nil, invalid("invalidSyntax", "The body is not JSON: it is wrong at byte %d.", r.decoder.InputOffset()+1)
	}
	return token, nil
}

func (r *reader) value(depth int) (any, error) {
	token, err := r.token()
	if err != nil {
		return nil, err
	}
	if r.values++; r.values > maxValues {
		return nil, invalid("tooMany", "The body has more than %d values. Send them in several requests.", maxValues)
	}
	if depth > maxNesting {
		return nil, invalid("invalidSyntax", "The body is nested too deep.")
	}
	switch token {
	case json.Delim('{'):
		return r.object(depth)
	case json.Delim('['):
		return r.list(depth)
	}
	return token, nil
}

func (r *reader) object(depth int) (object, error) {
	o := object{}
	seen := map[string]bool{}
	for r.decoder.More() {
		token, err := r.token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string)
		folded := foldName(name)
		if seen[folded] {
			return nil, invalid("invalidSyntax", "An object has %q twice.", name)
		}
		seen[folded] = true
		value, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		o = append(o, member{name, value})
	}
	_, err := r.token()
	return o, err
}

func (r *reader) list(depth int) ([]any, error) {
	list := []any{}
	for r.decoder.More() {
		value, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	_, err := r.token()
	return list, err
}
