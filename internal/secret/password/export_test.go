package password

import "strings"

// NewGatedHasher returns a hasher with its own gate.
func NewGatedHasher(h *Hasher, g *Gate) *Hasher { return &Hasher{random: h.random, gate: g} }

// Parse parses a hash and formats it again.
func Parse(text string) (string, error) {
	h, err := parse(text)
	if err != nil {
		return "", err
	}
	return h.String(), nil
}

// Hashing is the gate of the process.
func Hashing() *Gate { return hashing }

// CountCommon returns how many common passwords there are.
func CountCommon() int {
	n := 0
	for line := range strings.Lines(common) {
		if !strings.HasPrefix(line, "# ") && line != "#\n" {
			n++
		}
	}
	return n
}
