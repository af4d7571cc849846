// Package leak finds real secrets in text that must not contain any: a program's output, its logs, the files of a
// database or a dump of one (docs/promises.md: 1). A secret is recognized by its checksum, so text that only looks like
// one, such as an example in the documentation, is not found.
//
// It is for tests and tools only; the shipped program does not use it.
package leak

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"

	"latchkey/internal/secret"
)

// Finding is a secret that was found. It does not contain the secret's random part, so that reporting a leak does not
// leak again.
type Finding struct {
	// Hint is the prefix and the last four characters of the secret.
	Hint string
	// Offset is the position of the secret in the text, in bytes.
	Offset int
	// Before is the printable text just before the secret.
	Before string
}

// String returns the hint, the offset and the text before the secret.
func (f Finding) String() string {
	return fmt.Sprintf("%s at byte %d, after %q", f.Hint, f.Offset, f.Before)
}

// Find returns every secret in text, in order. It finds them in plain text and in hexadecimal, which is how databases
// print bytes.
func Find(text []byte) []Finding {
	var findings []Finding
	end := 0 // of the last finding
	for i := 0; i < len(text); {
		if c := text[i]; c != 'l' && c != 'w' && c != '6' && c != '7' { // the common case
			i++
			continue
		}
		hint, size := at(text[i:])
		if size == 0 {
			i++
			continue
		}
		findings = append(findings, Finding{Hint: hint, Offset: i, Before: before(text[end:i])})
		i += size
		end = i
	}
	return findings
}

// format is the form of a kind of secrets. A signing secret has no checksum: every text of its form is one.
type format struct {
	// prefix is the start of a secret, and encoded the same in hexadecimal.
	prefix, encoded string
	// length is the length of a secret in characters.
	length int
	// hint returns the hint of a text of this length, if it is a secret.
	hint func(text string) (string, error)
}

// longest is the length of the longest secret in characters.
const longest = 53

var formats = []format{
	{"lk", "6c6b", longest, func(text string) (string, error) {
		value, err := secret.Parse(text)
		return value.Hint(), err
	}},
	{secret.WebhookPrefix, "77687365635f", 50, func(text string) (string, error) {
		value, err := secret.ParseWebhook(text)
		return value.Hint(), err
	}},
}

// at returns the hint of the secret at the start of text and its length in bytes, or 0 if text does not start with one.
func at(text []byte) (hint string, size int) {
	for _, f := range formats {
		if size := f.length; len(text) >= size && bytes.HasPrefix(text, []byte(f.prefix)) {
			if hint, err := f.hint(string(text[:size])); err == nil {
				return hint, size
			}
		}
		size := 2 * f.length
		if len(text) < size || !bytes.EqualFold(text[:len(f.encoded)], []byte(f.encoded)) {
			continue
		}
		plain := make([]byte, f.length)
		if _, err := hex.Decode(plain, text[:size]); err != nil {
			continue
		}
		if hint, err := f.hint(string(plain)); err == nil {
			return hint, size
		}
	}
	return "", 0
}

// before returns the end of text, which helps to find where a secret came from.
func before(text []byte) string {
	const enough = 60
	return strings.ToValidUTF8(string(text[max(0, len(text)-enough):]), ".")
}

// Redact returns text with every secret replaced by its hint in brackets.
func Redact(text string) string {
	var redacted strings.Builder
	for i := 0; i < len(text); {
		if hint, size := at([]byte(text[i:min(len(text), i+2*longest)])); size > 0 {
			redacted.WriteString("[" + hint + "]")
			i += size
			continue
		}
		redacted.WriteByte(text[i])
		i++
	}
	return redacted.String()
}
