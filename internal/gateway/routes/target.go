package routes

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// plain has the characters of a path that need no encoding (RFC 3986, section 3.3:
// pchar), and the slash. It omits the semicolon, since some servers cut off what
// follows it as a parameter.
const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,=:@/"

// isPlain is plain as a lookup table.
var isPlain = func() (table [256]bool) {
	for _, c := range []byte(plain) {
		table[c] = true
	}
	return table
}()

// decode returns the path of a request target, percent-decoded once. It rejects a
// path that does not begin with a slash, has empty segments or dot segments,
// encoded or not, segments with surrounding spaces, or characters that are
// unprintable or not allowed in a path. It also rejects invalid encodings, and
// those whose result another server could decode again or take for a separator.
func decode(target string) (string, bool) {
	path := target
	if query := strings.IndexByte(path, '?'); query >= 0 {
		path = path[:query]
	}
	encoded := false
	for i := range len(path) {
		if !isPlain[path[i]] {
			if path[i] != '%' {
				return "", false
			}
			encoded = true
		}
	}
	if encoded {
		var ok bool
		if path, ok = unescape(path); !ok {
			return "", false
		}
	}
	return path, wellSegmented(path)
}

// wellSegmented reports whether path is a sequence of segments with a slash before
// each. No segment may be empty, a dot segment (RFC 3986, section 5.2.4), or begin
// or end with a space, which some servers remove. A plus sign counts as a space,
// since some servers decode paths as forms.
func wellSegmented(path string) bool {
	if path == "" || path[0] != '/' {
		return false
	}
	start := 1
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		segment := path[start:i]
		if segment == "" || segment == "." || segment == ".." || isSpace(segment[0]) ||
			isSpace(segment[len(segment)-1]) {
			return false
		}
		start = i + 1
	}
	return true
}

func isSpace(c byte) bool { return c == ' ' || c == '+' }

// unescape decodes a path once. The result must not have further separators,
// percent signs, or unprintable characters: the only white space is the plain
// space, and there are no invisible characters. It must be in NFKC (Unicode,
// section 3.11), since a server that normalizes names would read "ｔransactions" as
// "transactions".
func unescape(path string) (string, bool) {
	text := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' {
			if i+2 >= len(path) {
				return "", false
			}
			high, low := hex(path[i+1]), hex(path[i+2])
			c = high<<4 | low
			if high > 15 || low > 15 || strings.IndexByte(`/\%;?#`, c) >= 0 {
				return "", false
			}
			i += 2
		}
		text = append(text, c)
	}
	decoded := string(text)
	return decoded, utf8.ValidString(decoded) && !strings.ContainsFunc(decoded, isUnseen) &&
		norm.NFKC.IsNormalString(decoded)
}

// isUnseen reports whether a character other than the space is invisible. Some of
// these characters are letters (Unicode, section 5.21).
func isUnseen(r rune) bool {
	return !unicode.IsPrint(r) || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// hex returns the value of a hexadecimal digit, or 255 for any other character.
func hex(c byte) byte {
	switch {
	case c-'0' < 10:
		return c - '0'
	case c-'a' < 6:
		return c - 'a' + 10
	case c-'A' < 6:
		return c - 'A' + 10
	}
	return 255
}
