// Package leak finds genuine secrets in text where none may be: the output of
// a program, its logs, the files of a database or a dump of one (mission:
// promise 1). A secret is told by its check part, so whatever merely looks
// like one, such as an example in the documentation, is not found.
//
// It is for tests and tools. Nothing that is shipped needs to look for what
// must not be there.
package leak

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"

	"latchkey/internal/secret"
)

// length is that of a secret, in characters.
const length = 53

// Finding is a secret that was found. It holds nothing of the secret's random
// part, so that telling of a leak is not another.
type Finding struct {
	// Hint is the prefix and the last four characters of the secret.
	Hint string
	// Offset is where in the text the secret begins, in bytes.
	Offset int
	// Before is what comes before it, as far as that is plain and short.
	Before string
}

// String says what was found and after what.
func (f Finding) String() string {
	return fmt.Sprintf("%s at byte %d, after %q", f.Hint, f.Offset, f.Before)
}

// Find returns every secret in text, in order: as it is, and in hexadecimal,
// which is how databases print bytes.
func Find(text []byte) []Finding {
	var findings []Finding
	end := 0 // of the latest finding
	for i := 0; i+length <= len(text); {
		if text[i] != 'l' && text[i] != '6' { // as nearly everywhere
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

// at returns the secret with which text begins, and how many bytes it takes; 0
// if it begins with none.
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

// before is the end of text, which says where a secret is to whoever has to
// find out how it came there.
func before(text []byte) string {
	const enough = 60
	return strings.ToValidUTF8(string(text[max(0, len(text)-enough):]), ".")
}

// Redact returns text with every secret in it replaced by its hint in
// brackets, for output that shows what a program said to whoever may see it.
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
