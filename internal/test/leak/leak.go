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

// length is the length of a secret in characters.
const length = 53

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
	for i := 0; i+length <= len(text); {
		if text[i] != 'l' && text[i] != '6' { // the common case
			i++
			continue
		}
		value, size := at(text[i:])
		if size == 0 {
			i++
			continue
		}
		findings = append(findings, Finding{Hint: value.Hint(), Offset: i, Before: before(text[end:i])})
		i += size
		end = i
	}
	return findings
}

// at returns the secret at the start of text and its length in bytes, or 0 if text does not start with one.
func at(text []byte) (secret.Secret, int) {
	if text[0] == 'l' && text[1] == 'k' {
		if value, err := secret.Parse(string(text[:length])); err == nil {
			return value, length
		}
	}
	if text[0] != '6' || len(text) < 2*length || !bytes.EqualFold(text[:4], []byte("6c6b")) {
		return secret.Secret{}, 0
	}
	var plain [length]byte
	if _, err := hex.Decode(plain[:], text[:2*length]); err != nil {
		return secret.Secret{}, 0
	}
	value, err := secret.Parse(string(plain[:]))
	if err != nil {
		return secret.Secret{}, 0
	}
	return value, 2 * length
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
		if i+length <= len(text) {
			if value, size := at([]byte(text[i:min(len(text), i+2*length)])); size > 0 {
				redacted.WriteString("[" + value.Hint() + "]")
				i += size
				continue
			}
		}
		redacted.WriteByte(text[i])
		i++
	}
	return redacted.String()
}
