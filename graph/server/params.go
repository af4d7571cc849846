package server

import (
	"encoding/json"
	"slices"
	"unicode/utf8"
)

// decodeParams reads the parameters of a POST request. For speed, it splits the
// outermost object itself. encoding/json checks that the body is valid JSON, and
// decodes the parameters.
func decodeParams(body []byte) (params, *refusal) {
	if !json.Valid(body) {
		return params{}, badRequest("The request's body is not JSON.")
	}
	if !utf8.Valid(body) {
		return params{}, badRequest("The request's body is not in UTF-8.")
	}
	s := scanner{body, skipSpace(body, 0)}
	switch body[s.at] {
	case '{':
	case '[':
		return params{},
			badRequest(
				"A request must be a JSON object. Batches are not supported: send the requests one by one, or as one document.")
	default:
		return params{}, badRequest("A request must be a JSON object.")
	}
	var raw struct{ query, operationName, variables, extensions []byte }
	for s.next() {
		name, value := s.member()
		text, ok := verbatim(name)
		if !ok {
			text = []byte(unquoted(name))
		}
		switch string(text) {
		case "query":
			raw.query = value
		case "operationName":
			raw.operationName = value
		case "variables":
			raw.variables = value
		case "extensions":
			raw.extensions = value
		}
	}
	return decodeEach(raw.query, raw.operationName, raw.variables, raw.extensions)
}

func decodeEach(query, operationName, variables, extensions []byte) (p params, refused *refusal) {
	if p.query, refused = readText("query", query); refused != nil {
		return params{}, refused
	}
	if p.query == "" {
		named, _ := readMap("extensions", extensions)
		return params{}, missingQuery(named)
	}
	if p.operationName, refused = readText("operationName", operationName); refused != nil {
		return params{}, refused
	}
	if len(extensions) > 0 && extensions[0] != '{' && extensions[0] != 'n' {
		return params{}, badRequest("The parameter \"extensions\" must be an object, in JSON.")
	}
	if p.variables, refused = readMap("variables", variables); refused != nil {
		return params{}, refused
	}
	return p, nil
}

// readText reads a parameter that is a string, null or missing.
func readText(name string, text []byte) (string, *refusal) {
	if len(text) == 0 || text[0] == 'n' {
		return "", nil
	}
	if text[0] != '"' {
		return "", badRequest("The parameter %q must be a string.", name)
	}
	return unquoted(text), nil
}

// unquoted returns the value of a valid JSON string.
func unquoted(quoted []byte) string {
	if inner, ok := verbatim(quoted); ok {
		return string(inner)
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // cannot fail: the string is valid
	return s
}

// verbatim returns the text between the quotes of a valid JSON string, and
// reports whether it is the string's value, without escapes.
func verbatim(quoted []byte) ([]byte, bool) {
	inner := quoted[1 : len(quoted)-1]
	return inner, !slices.ContainsFunc(inner, func(c byte) bool { return c == '\\' || c >= utf8.RuneSelf })
}

// scanner iterates over the members of a valid JSON object.
type scanner struct {
	text []byte
	at   int
}

// next advances to the next member. It reports false at the end of the object.
func (s *scanner) next() bool {
	if s.text[s.at] == '}' {
		return false
	}
	s.at = skipSpace(s.text, s.at+1) // past the brace or comma
	return s.text[s.at] == '"'
}

// member returns a member's quoted name and its value, and advances to the comma
// or brace after them.
func (s *scanner) member() (name, value []byte) {
	begin := s.at
	s.at = skipString(s.text, s.at)
	name = s.text[begin:s.at]
	s.at = skipSpace(s.text, s.at)
	begin = skipSpace(s.text, s.at+1) // past the colon
	s.at = skipValue(s.text, begin)
	value = s.text[begin:s.at]
	s.at = skipSpace(s.text, s.at)
	return name, value
}

func skipSpace(text []byte, i int) int {
	for text[i] == ' ' || text[i] == '\n' || text[i] == '\t' || text[i] == '\r' {
		i++
	}
	return i
}

// skipString returns the end of the string that begins at i.
func skipString(text []byte, i int) int {
	for i++; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// skipValue returns the end of the value that begins at i, within an object.
func skipValue(text []byte, i int) int {
	depth := 0
	for {
		switch text[i] {
		case '"':
			i = skipString(text, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			switch depth--; depth {
			case -1: // the end of the object around the value
				return i
			case 0:
				return i + 1
			}
		case ',', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return i
			}
		}
		i++
	}
}
