// Package password judges and keeps passwords: what people may choose, and
// argon2id hashes of what they chose.
package password

import (
	"context"
	"crypto/subtle"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"latchkey/internal/fault"
	"latchkey/internal/password/argon2id"
	"latchkey/internal/secret"
)

// Bounds of a password, in characters (NIST SP 800-63B, section 5.1.1.2: at
// least 8, and at least 64 must be allowed).
const (
	MinLength = 8
	MaxLength = 256
)

// Check returns every rule that the choice of a password breaks, on the fields
// "password" and "passwordConfirmation". There are none about kinds of
// characters. Refused are common passwords, repetitions and sequences, and what
// consists of names: the service's and those given, such as the user's e-mail
// address and name and the account's name (NIST SP 800-63B, section 5.1.1.2).
func Check(chosen, confirmation secret.Password, names ...string) fault.List {
	var faults fault.List
	if message := refusal(chosen.Reveal(), names); message != "" {
		faults = append(faults, fault.Errorf(fault.Invalid, "%s", message).On("password"))
	}
	if subtle.ConstantTimeCompare([]byte(chosen.Reveal()), []byte(confirmation.Reveal())) != 1 {
		faults = append(faults, fault.Errorf(fault.Invalid, "The two passwords differ.").On("passwordConfirmation"))
	}
	return faults
}

// refusal returns why a password cannot be chosen, or "".
func refusal(text string, names []string) string {
	n := utf8.RuneCountInString(text)
	if !utf8.ValidString(text) {
		return "The password is not valid UTF-8."
	}
	if n < MinLength || n > MaxLength {
		return fmt.Sprintf("A password has %d to %d characters.", MinLength, MaxLength)
	}
	folded := fold(text)
	switch {
	case isCommon(folded):
		return "This is one of the most common passwords, which are tried first. Choose another."
	case repeats([]rune(folded)):
		return "This password only repeats a few characters. Choose another."
	case isSequence([]rune(folded)):
		return "This password is made of sequences, such as \"abcd\" or \"4321\". Choose another."
	case isNames(folded, append(slices.Clone(names), serviceName)):
		return "This password is made of names: the service's, the account's, or the user's name or e-mail address. Choose another."
	}
	return ""
}

// The cost of a hash: what OWASP's Password Storage Cheat Sheet asks for at
// least, of argon2id (RFC 9106).
const (
	memory = argon2id.Reused // KiB
	passes = 2
	lanes  = 1
	// SaltSize is the size of a salt in bytes.
	SaltSize = 16
	sumSize  = 32
)

// Hasher makes hashes of passwords and compares passwords with them. All
// hashers of a process share the same Gate, because they share its memory.
type Hasher struct {
	random io.Reader
	gate   *Gate
}

// hashing bounds the hashes of this process.
var hashing = NewGate()

// NewHasher returns a hasher that draws salts from random, a cryptographic
// source.
func NewHasher(random io.Reader) *Hasher { return &Hasher{random: random, gate: hashing} }

// Hash returns a new hash of the password in PHC's form. It returns
// fault.RateLimited when too many wait already, and the error of ctx when that
// ends first.
func (h *Hasher) Hash(ctx context.Context, p secret.Password) (string, error) {
	var salt [SaltSize]byte
	if _, err := io.ReadFull(h.random, salt[:]); err != nil {
		return "", fmt.Errorf("draw a salt: %w", err)
	}
	return h.HashSalted(ctx, p, salt)
}

// HashSalted is Hash with a salt that is not drawn: for passwords that are
// compared together (Match).
func (h *Hasher) HashSalted(ctx context.Context, p secret.Password, salt [SaltSize]byte) (string, error) {
	made := phc{memory: memory, passes: passes, lanes: lanes, salt: salt[:]}
	var err error
	made.sum, err = h.derive(ctx, p, made, sumSize)
	if err != nil {
		return "", err
	}
	return made.String(), nil
}

// Verify reports whether the password is the one of the hash, in a time that
// does not depend on how they differ. The cost is the one that the hash was
// made with. It returns an error for a hash that is none, which says nothing of
// it, and errors as Hash does.
func (h *Hasher) Verify(ctx context.Context, p secret.Password, hash string) (bool, error) {
	kept, err := parse(hash)
	if err != nil {
		return false, err
	}
	sum, err := h.derive(ctx, p, kept, uint32(len(kept.sum)))
	return err == nil && subtle.ConstantTimeCompare(sum, kept.sum) == 1, err
}

// Nobodys is a hash with the salt that is no password's: to compare with where
// there is no other.
func Nobodys(salt [SaltSize]byte) string {
	return phc{memory: memory, passes: passes, lanes: lanes, salt: salt[:], sum: make([]byte, sumSize)}.String()
}

// Match returns the index of a hash that is the password's, or -1. It computes
// once for all hashes of one salt and cost, so its time tells how many different
// ones there are and not how many hashes. It returns errors as Verify does.
func (h *Hasher) Match(ctx context.Context, p secret.Password, hashes ...string) (int, error) {
	found := -1
	sums := map[string][]byte{}
	for i, hash := range hashes {
		kept, err := parse(hash)
		if err != nil {
			return -1, err
		}
		same := fmt.Sprint(kept.memory, kept.passes, kept.lanes, kept.salt, len(kept.sum))
		if sums[same] == nil {
			if sums[same], err = h.derive(ctx, p, kept, uint32(len(kept.sum))); err != nil { //nolint:gosec // at most maxBytes
				return -1, err
			}
		}
		if subtle.ConstantTimeCompare(sums[same], kept.sum) == 1 && found < 0 {
			found = i
		}
	}
	return found, nil
}

// derive hashes the password under the parameters. The same characters can be
// typed as different bytes, so they are brought to one form (NIST SP 800-63B,
// section 5.1.1.2).
func (h *Hasher) derive(ctx context.Context, p secret.Password, by phc, size uint32) ([]byte, error) {
	leave, err := h.gate.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	return argon2id.Key([]byte(norm.NFKC.String(p.Reveal())),
		argon2id.Parameters{Memory: by.memory, Passes: by.passes, Lanes: by.lanes, Salt: by.salt}, size), nil
}
