// Package password checks which passwords users may choose, and hashes and verifies
// them with argon2id.
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
	"latchkey/internal/secret"
	"latchkey/internal/secret/password/argon2id"
)

// Limits of a password's length, in characters (NIST SP 800-63B, section 5.1.1.2:
// at least 8, and at least 64 must be allowed).
const (
	MinLength = 8
	MaxLength = 256
)

// Check returns an error for each rule that a chosen password breaks, on the fields
// "password" and "passwordConfirmation". No rule requires kinds of characters.
// Check rejects common passwords, repetitions and sequences, and passwords that
// consist of names: the service's and the given ones, such as the user's email
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

// refusal returns the error message for a password, or "" if it can be chosen.
func refusal(text string, names []string) string {
	n := utf8.RuneCountInString(text)
	if !utf8.ValidString(text) {
		return "The password is not valid UTF-8."
	}
	if n < MinLength || n > MaxLength {
		return fmt.Sprintf("Use %d to %d characters.", MinLength, MaxLength)
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
		return "This password is made of names: the service's, the account's, or the user's name or email address. Choose another."
	}
	return ""
}

// The cost of a hash: the minimum for argon2id (RFC 9106) in OWASP's Password
// Storage Cheat Sheet.
const (
	memory = argon2id.Reused // KiB
	passes = 2
	lanes  = 1
	// SaltSize is the size of a salt in bytes.
	SaltSize = 16
	sumSize  = 32
)

// cost is the memory of new hashes. Only LowerCost changes it.
var cost uint32 = memory

// LowerCost makes the new hashes of this process, and those of DummyHash, a thousand times cheaper. It is for the
// TestMain of packages whose tests hash thousands of passwords, and no other code may call it (internal/test/arch).
func LowerCost() { cost = memory / 1024 }

// Hasher hashes and verifies passwords. All hashers of a process share one Gate,
// because they share its memory.
type Hasher struct {
	random io.Reader
	gate   *Gate
}

// hashing limits the concurrent hashes of this process.
var hashing = NewGate()

// NewHasher returns a hasher that reads salts from random, a cryptographic source.
func NewHasher(random io.Reader) *Hasher { return &Hasher{random: random, gate: hashing} }

// Hash returns a new hash of the password in PHC string format. It returns
// fault.RateLimited if too many callers are waiting, or if ctx is done while the
// caller waits.
func (h *Hasher) Hash(ctx context.Context, p secret.Password) (string, error) {
	var salt [SaltSize]byte
	if _, err := io.ReadFull(h.random, salt[:]); err != nil {
		return "", fmt.Errorf("draw a salt: %w", err)
	}
	return h.HashSalted(ctx, p, salt)
}

// HashSalted is Hash with a given salt, for passwords that Match compares together.
func (h *Hasher) HashSalted(ctx context.Context, p secret.Password, salt [SaltSize]byte) (string, error) {
	made := phc{memory: cost, passes: passes, lanes: lanes, salt: salt[:]}
	var err error
	made.sum, err = h.derive(ctx, p, made, sumSize)
	if err != nil {
		return "", err
	}
	return made.String(), nil
}

// Verify reports whether the password matches the hash, in a time that does not
// depend on how they differ. The cost is that of the hash. It returns an error,
// which does not contain the text, if the text is not a hash, and otherwise the
// errors of Hash.
func (h *Hasher) Verify(ctx context.Context, p secret.Password, hash string) (bool, error) {
	stored, err := parse(hash)
	if err != nil {
		return false, err
	}
	sum, err := h.derive(ctx, p, stored, uint32(len(stored.sum)))
	return err == nil && subtle.ConstantTimeCompare(sum, stored.sum) == 1, err
}

// DummyHash returns a hash with the salt that no password matches, for a comparison
// of equal duration where there is no other hash.
func DummyHash(salt [SaltSize]byte) string {
	return phc{memory: cost, passes: passes, lanes: lanes, salt: salt[:], sum: make([]byte, sumSize)}.String()
}

// Match returns the index of the hash that matches the password, or -1. It hashes
// the password once for each distinct salt and cost, so the time depends on their
// number and not on the number of hashes. It returns the errors of Verify.
func (h *Hasher) Match(ctx context.Context, p secret.Password, hashes ...string) (int, error) {
	found := -1
	sums := map[string][]byte{}
	for i, hash := range hashes {
		stored, err := parse(hash)
		if err != nil {
			return -1, err
		}
		same := fmt.Sprint(stored.memory, stored.passes, stored.lanes, stored.salt, len(stored.sum))
		if sums[same] == nil {
			if sums[same], err = h.derive(ctx, p, stored, uint32(len(stored.sum))); err != nil { //nolint:gosec // at most maxBytes
				return -1, err
			}
		}
		if subtle.ConstantTimeCompare(sums[same], stored.sum) == 1 && found < 0 {
			found = i
		}
	}
	return found, nil
}

// derive hashes the password with the parameters. It normalizes the password first,
// because the same characters can be typed as different bytes (NIST SP 800-63B,
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
