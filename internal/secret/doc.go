// Package secret holds credential values: how they are made, recognised,
// hidden and looked up (design: "Secrets").
//
// A secret is 53 characters of ASCII: a four-character prefix that names its
// kind, 43 base62 characters that are the fixed-width form of a random 256-bit
// number, and 6 base62 characters that are the CRC-32 (IEEE) of all before
// them. The check part is no protection against an attacker, who can compute
// it; it lets a mistyped or cut-off secret be refused without a look-up.
// Every change of one character, every lost or added one and every swap of two
// neighbours is found: a CRC-32 detects all bursts of up to 32 bits.
//
// What is stored in place of a secret is its HMAC-SHA-256 under a server key
// of a Keyring. A plain fast digest is enough, because 256 random bits leave
// nothing to guess; the key makes a stolen table useless even for telling
// whether a known secret is in it.
package secret
