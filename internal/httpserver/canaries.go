package httpserver

import (
	"crypto/sha256"
	"slices"
	"sync"
)

// reasonCanary is the logged reason for refusing the key of a canary.
const reasonCanary = "canary"

// canaries holds the digests of canary keys that recently worked here. A canary
// sends its key until the key is refused, so that refusal is expected and does
// not count as a failed credential. This cannot be abused: only a client that
// had the key while it worked can present it.
type canaries struct {
	mu sync.Mutex
	// seen is a ring buffer. The canary of every server calls every server, so
	// its size is the largest number of servers.
	seen [64][sha256.Size]byte
	next int
}

// worked adds the key of a canary.
func (c *canaries) worked(key string) {
	digest := sha256.Sum256([]byte(key))
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.seen[:], digest) {
		c.seen[c.next] = digest
		c.next = (c.next + 1) % len(c.seen)
	}
}

// knows reports whether key recently worked as a canary's.
func (c *canaries) knows(key string) bool {
	digest := sha256.Sum256([]byte(key))
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.seen[:], digest)
}
