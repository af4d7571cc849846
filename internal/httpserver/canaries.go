package httpserver

import (
	"crypto/sha256"
	"slices"
	"sync"
)

// whyCanary is why the key of a canary is refused.
const whyCanary = "canary"

// canaries are the keys of canaries that worked here a short while ago, as
// digests. A canary asks until its key is refused, so that this refusal is
// what it is after, and no sign of somebody who guesses. Nobody can claim it:
// whoever presents such a key held it while it worked.
type canaries struct {
	mu sync.Mutex
	// seen is a ring: with every server's canary asking every server, it is
	// as many keys as there may be servers.
	seen [64][sha256.Size]byte
	next int
}

// worked notes the key of a canary.
func (c *canaries) worked(key string) {
	digest := sha256.Sum256([]byte(key))
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.seen[:], digest) {
		c.seen[c.next] = digest
		c.next = (c.next + 1) % len(c.seen)
	}
}

// knows says whether the key was a canary's.
func (c *canaries) knows(key string) bool {
	digest := sha256.Sum256([]byte(key))
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.seen[:], digest)
}
