package signin

import (
	"context"
	"sync/atomic"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/secret"
	"latchkey/internal/user"
)

// counting counts the passwords that are compared.
type counting struct {
	hasher

	n atomic.Int64
}

func (c *counting) Match(ctx context.Context, p secret.Password, hashes ...string) (int, error) {
	c.n.Add(1)
	return c.hasher.Match(ctx, p, hashes...)
}

// CountHashes returns what tells how many passwords were compared since.
func (s *Service) CountHashes() func() int64 {
	c := &counting{hasher: s.passwords}
	s.passwords = c
	return c.n.Load
}

// Proved returns the proof of a user as if they had just given it.
func (s *Service) Proved(ctx context.Context, u user.User, by Method) (Proof, error) {
	person, err := s.Repository.PersonByID(ctx, u.ID)
	return prove(person, by), err
}

// Waiting returns how many mails wait to be sent.
func (s *Service) Waiting() int { return len(s.forgotten) }

// WriteFailures writes the events about failed sign-ins that are due.
func (s *Service) WriteFailures(ctx context.Context) error { return s.writeFailures(ctx, false) }

// Failing returns how many users' failed sign-ins are counted.
func (s *Service) Failing() int {
	s.failures.mu.Lock()
	defer s.failures.mu.Unlock()
	return len(s.failures.users)
}

// WaitingNotices returns how many notices wait to be mailed.
func (s *Service) WaitingNotices() int { return len(s.notices.waiting) }

// FillNotices fills the queue of notices.
func (s *Service) FillNotices(userID uuid.UUID) {
	for len(s.notices.waiting) < cap(s.notices.waiting) {
		s.notices.waiting <- userNotice{Notice{What: audit.PasswordSet}, userID}
	}
}

// MayMail counts an invitation to an address.
func (s *Service) MayMail(by *auth.Principal, email string) error { return s.mayMail(by, email) }
