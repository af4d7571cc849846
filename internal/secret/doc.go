// Package secret generates, parses, digests and redacts credentials
// (docs/architecture.md: "Secrets").
//
// A secret is 53 ASCII characters: a four-character prefix that names its kind, 43
// base62 characters that encode a random 256-bit number in fixed width, and 6
// base62 characters that encode the CRC-32 (IEEE) of everything before them. The
// checksum is not a protection, since an attacker can compute it; with it, a
// mistyped or truncated secret is rejected without a lookup. It detects every
// change of one character, every lost or added one, and every swap of two
// neighbors: a CRC-32 detects all bursts of up to 32 bits.
//
// The database stores the HMAC-SHA-256 of a secret under a server key of a Keyring.
// A fast digest is enough, because 256 random bits cannot be guessed. Without the
// key, a stolen table cannot even be used to test whether it contains a known
// secret.
package secret
