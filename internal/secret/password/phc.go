package password

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// phc is a hash with its parameters, in the PHC string format:
// $argon2id$v=19$m=19456,t=2,p=1$salt$hash.
type phc struct {
	memory    uint32 // KiB
	passes    uint32
	lanes     uint8
	salt, sum []byte
}

// Limits of the parameters that are read, so that no hash needs more than a server
// has. The minimums are those of RFC 9106, section 3.1.
const (
	maxMemory = 256 * 1024 // KiB
	maxPasses = 16
	maxLanes  = 16
	minSalt   = 8
	minSum    = 16
	maxBytes  = 64
)

// errHash does not contain the text that was read: an attacker could recover the
// password from a hash.
var errHash = errors.New("not an argon2id hash in PHC string format within the limits")

// unpadded is the base64 encoding of the PHC string format. It is strict, so that
// every hash has one representation.
var unpadded = base64.RawStdEncoding.Strict()

// String returns the hash in PHC string format. It must not be logged or shown.
func (h phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.passes, h.lanes,
		unpadded.EncodeToString(h.salt), unpadded.EncodeToString(h.sum))
}

// parse parses a hash in PHC string format whose parameters are within the limits.
func parse(text string) (phc, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return phc{}, errHash
	}
	settings := strings.Split(parts[3], ",")
	if len(settings) != 3 {
		return phc{}, errHash
	}
	lanes := number(settings[2], "p=", maxLanes)
	h := phc{memory: number(settings[0], "m=", maxMemory), passes: number(settings[1], "t=", maxPasses),
		lanes: uint8(lanes)}
	h.salt, h.sum = decode(parts[4], minSalt), decode(parts[5], minSum)
	if h.passes == 0 || lanes == 0 || h.memory < 8*lanes || h.salt == nil || h.sum == nil {
		return phc{}, errHash
	}
	return h, nil
}

// number parses a parameter from 1 to most. It returns 0 for any other text.
func number(text, name string, most uint32) uint32 {
	digits, named := strings.CutPrefix(text, name)
	n, err := strconv.ParseUint(digits, 10, 32)
	if !named || err != nil || n > uint64(most) || strconv.FormatUint(n, 10) != digits {
		return 0
	}
	return uint32(n)
}

// decode decodes least to maxBytes bytes. It returns nil for any other text.
func decode(text string, least int) []byte {
	raw, err := unpadded.DecodeString(text)
	// The decoder ignores line breaks, which are not valid in a hash.
	if err != nil || len(raw) < least || len(raw) > maxBytes || strings.ContainsAny(text, "\r\n") {
		return nil
	}
	return raw
}
