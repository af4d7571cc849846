package server

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// escapes are the strings of a document that the parser cannot read: it supports
// neither the escape \u{1F600} nor surrogate pairs (GraphQL, "String Value").
type escapes struct {
	// text is the document with those escapes replaced by as many other
	// characters, so that positions do not change.
	text string
	// values are the values of the strings, by the position of the opening
	// quote, in characters.
	values map[int]string
}

// readEscapes reads the strings of a document. It returns an error for an escape
// of an invalid character.
func readEscapes(text string) (escapes, *gqlerror.Error) {
	if !strings.Contains(text, `\u`) {
		return escapes{text: text}, nil
	}
	r := escapeReader{text: text, masked: []byte(text), values: map[int]string{}}
	for r.at < len(text) {
		rest := text[r.at:]
		switch {
		case strings.HasPrefix(rest, `"""`):
			r.skip(blockEnd(rest))
		case rest[0] == '"':
			if bad := r.string(); bad >= 0 {
				return escapes{}, errEscape(text, bad)
			}
		case rest[0] == '#':
			r.skip(lineEnd(rest))
		default:
			_, n := utf8.DecodeRuneInString(rest)
			r.skip(n)
		}
	}
	return escapes{text: string(r.masked), values: r.values}, nil
}

// restore sets the value of a string that the parser read.
func (e escapes) restore(v *ast.Value) {
	if v.Kind != ast.StringValue || v.Position == nil {
		return
	}
	if value, ok := e.values[v.Position.Start]; ok {
		v.Raw = value
	}
}

type escapeReader struct {
	text   string
	masked []byte
	values map[int]string
	// at is the offset in bytes, and characters in characters.
	at, characters int
}

func (r *escapeReader) skip(n int) {
	r.characters += utf8.RuneCountInString(r.text[r.at : r.at+n])
	r.at += n
}

// string reads a string. It returns the offset of an escape of an invalid
// character, or -1. The parser rejects other malformed escapes.
func (r *escapeReader) string() (bad int) {
	begin := r.characters
	var value strings.Builder
	r.skip(1)
	for r.at < len(r.text) {
		rest := r.text[r.at:]
		var n int
		switch c := rest[0]; {
		case c == '"':
			r.values[begin] = value.String()
			r.skip(1)
			return -1
		case c == '\n' || c == '\r':
			return -1
		case strings.HasPrefix(rest, `\u`):
			char, size, wellFormed := unicodeEscape(rest)
			braced := strings.HasPrefix(rest, `\u{`) // the parser does not support this form
			if !wellFormed && !braced {
				return -1
			}
			if !wellFormed || !utf8.ValidRune(char) {
				return r.at
			}
			value.WriteRune(char)
			copy(r.masked[r.at:], strings.Repeat("_", size))
			n = size
		case c == '\\' && len(rest) > 1:
			n = 2
			value.WriteByte(simpleEscapes[rest[1]])
		default:
			_, n = utf8.DecodeRuneInString(rest)
			value.WriteString(rest[:n])
		}
		r.skip(n)
	}
	return -1
}

// simpleEscapes are the escapes of one letter.
var simpleEscapes = map[byte]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

// unicodeEscape reads the escape at the start of s: \u{1F600}, \uD83D\uDE00 or
// \u00E9. It returns an invalid rune for an escape of an invalid character, and
// reports whether the escape is well-formed.
func unicodeEscape(s string) (char rune, size int, wellFormed bool) {
	if inner, braced := strings.CutPrefix(s, `\u{`); braced {
		digits, _, closed := strings.Cut(inner, "}")
		n, isHex := hex(digits)
		return n, len(`\u{}`) + len(digits), closed && isHex
	}
	first, ok := hexUnit(s)
	if !ok || !utf16.IsSurrogate(first) {
		return first, len(`\u0000`), ok
	}
	second, _ := hexUnit(s[len(`\u0000`):])
	if pair := utf16.DecodeRune(first, second); pair != utf8.RuneError {
		return pair, 2 * len(`\u0000`), true
	}
	return first, len(`\u0000`), true
}

func hexUnit(s string) (rune, bool) {
	const size = len(`\u0000`)
	if len(s) < size || s[:2] != `\u` {
		return 0, false
	}
	return hex(s[2:size])
}

// hex parses a hexadecimal number. For a number that overflows it returns an
// invalid rune.
func hex(digits string) (rune, bool) {
	if digits == "" || strings.Trim(digits, "0123456789abcdefABCDEF") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 16, 32)
	if err != nil {
		return utf8.MaxRune + 1, true
	}
	return rune(n), true
}

// blockEnd returns the length of the block string at the start of s.
func blockEnd(s string) int {
	for i := len(`"""`); i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], `\"""`):
			i += len(`"""`)
		case strings.HasPrefix(s[i:], `"""`):
			return i + len(`"""`)
		}
	}
	return len(s)
}

// lineEnd returns the length of the first line of s.
func lineEnd(s string) int {
	if i := strings.IndexAny(s, "\n\r"); i >= 0 {
		return i
	}
	return len(s)
}

func errEscape(text string, offset int) *gqlerror.Error {
	before := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text[:offset])
	line := strings.LastIndexByte(before, '\n') + 1
	return gqlerror.ErrorLocf("", 1+strings.Count(before, "\n"), 1+utf8.RuneCountInString(before[line:]),
		"Invalid character escape sequence: not a valid Unicode character.")
}
