package signin

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"latchkey/internal/clock"
	"latchkey/internal/secret"
	"latchkey/internal/secret/password"
	"latchkey/internal/user"
)

// Config configures a Service.
type Config struct {
	Repository Repository
	// Users creates and adds the invited users.
	Users *user.Service
	// Mail sends links and notices; nil if mail is not set up.
	Mail Mail
	// PublicURL is the URL of the panel, without a trailing slash. Passkeys
	// work for its host.
	PublicURL string
	Keys      *secret.Keyring
	Random    io.Reader
	Now       clock.Clock
	// Lifetime is the lifetime of a session.
	Lifetime time.Duration
	// Idle is how long a session lasts without a use; zero for no limit.
	Idle time.Duration
	// Provider authenticates users; nil for none.
	Provider Provider
	// NoPasswords turns passwords off: no user signs in with one or sets one,
	// and a link signs a user in only if the operator was shown it.
	NoPasswords bool
	// Unlimited disables the limits on attempts.
	Unlimited bool
	// OnAttempt is called for each attempt, if not nil, with the context of its request.
	OnAttempt func(context.Context, Attempt)
	// OnMailFailed is called for each mail that could not be sent, if not nil.
	// The errors contain the mail server's name and answer, and are for the log
	// only.
	OnMailFailed func(ctx context.Context, err error)
	// OnEventsFailed is called if events about failed sign-ins could not be
	// written, if not nil. They are written later, unless the server stops.
	OnEventsFailed func(ctx context.Context, err error)
}

// Service signs users in and out. It has a service for each topic, and their
// methods.
type Service struct {
	*Passwords
	*Codes
	*Passkeys
	*Identities
	*Links
	*Resets
	*Inviter
	*Sessions
	*Memberships
	*Factors
	*Devices

	// NoPasswords and Provider are those of Config.
	NoPasswords bool
	Provider    Provider

	persons  *persons
	failures *failures
	notices  *notices
}

// NewService returns a service.
func NewService(c Config) (*Service, error) {
	if c.OnMailFailed == nil {
		c.OnMailFailed = func(context.Context, error) {}
	}
	now := c.Now
	persons := &persons{c.Repository, now}
	c.Mail = newPost(c.Mail, persons)
	attempts, errAttempts := newAttempts(c.Unlimited)
	invitations, errInvitations := newInvitations(c.Unlimited)
	notices, errNotices := newNotices(c, persons)
	authn, site, errAuthn := newAuthn(c.PublicURL)
	if err := errors.Join(errAttempts, errInvitations, errNotices, errAuthn); err != nil {
		return nil, err
	}
	failures, flows := newFailures(c, persons), &flows{c.Repository, c.Keys, c.Random, now}

	s := &Service{NoPasswords: c.NoPasswords, Provider: c.Provider, persons: persons, failures: failures,
		notices: notices}
	s.Devices = &Devices{persons, c.Keys, c.Random, now}
	s.Memberships = &Memberships{persons, c.Repository, c.Users, now}
	s.Factors = &Factors{persons, c.Repository, notices, site, c.Provider, c.NoPasswords, now}
	s.Passkeys = &Passkeys{persons, c.Repository, flows, attempts, failures, notices, authn, site, now}
	s.Passwords = &Passwords{
		persons: persons, repo: c.Repository, hasher: password.NewHasher(c.Random), keys: c.Keys, attempts: attempts,
		devices: s.Devices, failures: failures, notices: notices, publicURL: c.PublicURL, noPasswords: c.NoPasswords,
		now: now,
	}
	s.Codes = &Codes{
		persons: persons, repo: c.Repository, flows: flows, attempts: attempts, devices: s.Devices, failures: failures,
		notices: notices, keys: c.Keys, random: c.Random, noPasswords: c.NoPasswords, now: now,
	}
	s.Identities = &Identities{
		persons: persons, repo: c.Repository, provider: c.Provider, flows: flows, passwords: s.Passwords,
		attempts: attempts, failures: failures, notices: notices, random: c.Random, now: now,
	}
	s.Links = &Links{
		persons: persons, repo: c.Repository, memberships: c.Repository, passwords: s.Passwords, factors: s.Factors,
		failures: failures, keys: c.Keys, random: c.Random, publicURL: c.PublicURL, noPasswords: c.NoPasswords,
		now: now,
	}
	s.Resets = &Resets{persons, s.Links, attempts, c.Mail, c.NoPasswords, now, make(chan string, mostWaiting)}
	s.Inviter = &Inviter{
		persons: persons, users: c.Users, links: s.Links, factors: s.Factors, mail: c.Mail, mailFailed: c.OnMailFailed,
		limits: invitations, publicURL: c.PublicURL, noPasswords: c.NoPasswords, now: now,
	}
	s.Sessions = &Sessions{
		persons: persons, repo: c.Repository, codes: s.Codes, devices: s.Devices, notices: notices, keys: c.Keys,
		random: c.Random, lifetime: c.Lifetime, idle: c.Idle, noPasswords: c.NoPasswords, now: now,
	}
	return s, nil
}

// Run does the queued work until ctx ends.
func (s *Service) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { s.failures.run(ctx) })
	s.runMails(ctx)
	running.Wait()
}

func (s *Service) runMails(ctx context.Context) {
	// Notices are about past events, so a stopping server still sends those in
	// the queue, for a limited time.
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(noticesGrace, cancel) })()
	for {
		select {
		case <-ctx.Done():
			s.notices.drain(lasting)
			return
		case next := <-s.notices.waiting:
			s.notices.send(lasting, next)
		case email := <-s.Resets.waiting:
			if err := s.Resets.send(ctx, email); err != nil && ctx.Err() == nil {
				s.notices.mailFailed(ctx, err)
			}
		}
	}
}

// SendNotices mails the queued notices until ctx ends. Run calls it; call it
// only if Run is not running.
func (s *Service) SendNotices(ctx context.Context) { s.notices.drain(ctx) }

// noticesGrace is how long a stopping server keeps sending notices.
const noticesGrace = 5 * time.Second
