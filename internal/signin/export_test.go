package signin

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/secret"
	"latchkey/internal/user"
)

// counting counts password comparisons.
type counting struct {
	hasher

	n atomic.Int64
}

func (c *counting) Match(ctx context.Context, p secret.Password, hashes ...string) (int, error) {
	c.n.Add(1)
	return c.hasher.Match(ctx, p, hashes...)
}

// CountHashes returns a function that returns how many passwords were compared
// since.
func (s *Service) CountHashes() func() int64 {
	c := &counting{hasher: s.Passwords.hasher}
	s.Passwords.hasher = c
	return c.n.Load
}

// caching computes each comparison once.
type caching struct {
	hasher

	mu    sync.Mutex
	known map[string]int
}

func (c *caching) Match(ctx context.Context, p secret.Password, hashes ...string) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := p.Reveal() + "\n" + strings.Join(hashes, "\n")
	if found, ok := c.known[key]; ok {
		return found, nil
	}
	found, err := c.hasher.Match(ctx, p, hashes...)
	if err == nil {
		c.known[key] = found
	}
	return found, err
}

// CacheHashes makes repeated comparisons cheap.
func (s *Service) CacheHashes() {
	s.Passwords.hasher = &caching{hasher: s.Passwords.hasher, known: map[string]int{}}
}

// Proved returns the proof of a user as if they had just given it.
func (s *Service) Proved(ctx context.Context, u user.User, by Method) (Proof, error) {
	person, err := s.Passwords.persons.PersonByID(ctx, u.ID)
	return prove(person, by), err
}

// Waiting returns the length of the mail queue.
func (s *Service) Waiting() int { return len(s.Resets.waiting) }

// WriteFailures writes the events about failed sign-ins that are due.
func (s *Service) WriteFailures(ctx context.Context) error { return s.failures.write(ctx, false) }

// Failing returns how many users' failed sign-ins are counted.
func (s *Service) Failing() int {
	s.failures.mu.Lock()
	defer s.failures.mu.Unlock()
	return len(s.failures.users)
}

// WaitingNotices returns the length of the notice queue.
func (s *Service) WaitingNotices() int { return len(s.notices.waiting) }

// FillNotices fills the queue of notices.
func (s *Service) FillNotices(userID uuid.UUID) {
	for len(s.notices.waiting) < cap(s.notices.waiting) {
		s.notices.waiting <- userNotice{Notice{Action: audit.PasswordSet}, userID}
	}
}

// MayMail counts an invitation to an address.
func (s *Service) MayMail(by *auth.Principal, email string) error {
	return s.limits.take(by, email, s.Inviter.now())
}
