package signin

import (
	"context"
	"sync/atomic"

	"latchkey/internal/secret"
)

// counting counts the passwords that are compared.
type counting struct {
	hasher

	n atomic.Int64
}

func (c *counting) Verify(ctx context.Context, p secret.Password, hash string) (bool, error) {
	c.n.Add(1)
	return c.hasher.Verify(ctx, p, hash)
}

// CountHashes returns what tells how many passwords were compared since.
func (s *Service) CountHashes() func() int64 {
	c := &counting{hasher: s.passwords}
	s.passwords = c
	return c.n.Load
}
