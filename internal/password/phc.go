package password

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// phc is a hash with all that it takes to make it again, in the form of the
// PHC string format: $argon2id$v=19$m=19456,t=2,p=1$salt$hash.
type phc struct {
	memory    uint32 // KiB
	passes    uint32
	lanes     uint8
	salt, sum []byte
}

// Bounds on what is read, so that no hash can ask for more than a server has.
// The least are RFC 9106's, section 3.1.
const (
	maxMemory = 256 * 1024 // KiB
	maxPasses = 16
	maxLanes  = 16
	minSalt   = 8
	minSum    = 16
	maxBytes  = 64
)

// errHash says nothing of what was read: it is as good as the password to
// whoever has time.
var errHash = errors.New("this is no argon2id hash in PHC's form, or one that asks for too much")

// unpadded is PHC's base64. Every hash has one way to be written.
var unpadded = base64.RawStdEncoding.Strict()

// String writes the hash. It must not be printed for people.
func (h phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.passes, h.lanes,
		unpadded.EncodeToString(h.salt), unpadded.EncodeToString(h.sum))
}

// parse reads what String writes, whatever the parameters are within bounds.
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
	h := phc{memory: number(settings[0], "m=", maxMemory), passes: number(settings[1], "t=", maxPasses), lanes: uint8(lanes)}
	h.salt, h.sum = decode(parts[4], minSalt), decode(parts[5], minSum)
	if h.passes == 0 || lanes == 0 || h.memory < 8*lanes || h.salt == nil || h.sum == nil {
		return phc{}, errHash
	}
	return h, nil
}

// number reads a setting, 1 to most; 0 if it is none.
func number(text, name string, most uint32) uint32 {
	digits, named := strings.CutPrefix(text, name)
	n, err := strconv.ParseUint(digits, 10, 32)
	if !named || err != nil || n > uint64(most) || strconv.FormatUint(n, 10) != digits {
		return 0
	}
	return uint32(n)
}

// decode reads bytes, least to maxBytes of them; nil if they are not.
func decode(text string, least int) []byte {
	raw, err := unpadded.DecodeString(text)
	// Decoding passes over line breaks, which no hash has.
	if err != nil || len(raw) < least || len(raw) > maxBytes || strings.ContainsAny(text, "\r\n") {
		return nil
	}
	return raw
}
