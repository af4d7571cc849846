package manifest

import (
	"context"
	"errors"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/secret"
)

// Service applies manifests to the database.
type Service struct {
	repo Repository
	keys *secret.Keyring
	now  clock.Clock
}

// NewService returns a service over the repository. keys may be nil unless manifests declare legacy API accounts.
func NewService(repo Repository, keys *secret.Keyring, now clock.Clock) *Service {
	return &Service{repo: repo, keys: keys, now: now}
}

// errDry rolls back the transaction of a dry run.
var errDry = errors.New("dry run")

// Apply changes the database to match m in one transaction, and returns the audit events of the changes. It returns
// none if nothing changed. Anything that m does not mention stays unchanged. A dry run returns the same events and
// changes nothing.
//
// It returns fault.Forbidden for any principal but the operator. It returns fault.Invalid, with every error and its
// line, for conflicts with the database: a store or an app of another account, an unknown user without names, an app
// that does not exist or is not installed.
func (s *Service) Apply(ctx context.Context, by *auth.Principal, m Manifest, dry bool) ([]audit.Event, error) {
	if by.Kind != auth.Operator {
		return nil, auth.Denied()
	}
	var events []audit.Event
	err := s.repo.Atomically(ctx, func(repo Repository) (err error) {
		if events, err = s.ApplyWithin(ctx, repo, by, m); err == nil && dry {
			err = errDry
		}
		return err
	})
	if err != nil && !errors.Is(err, errDry) {
		return nil, err
	}
	return events, nil
}

// ApplyWithin is Apply in the caller's transaction.
func (s *Service) ApplyWithin(ctx context.Context, repo Repository, by *auth.Principal, m Manifest) ([]audit.Event,
	error) {
	if by.Kind != auth.Operator {
		return nil, auth.Denied()
	}
	a := newApplication(repo, s.keys, by, s.now.Timestamp())
	err := a.apply(ctx, m)
	return a.events, err
}
