package manifest

import (
	"context"
	"errors"
	"time"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/secret"
)

// Service makes the database agree with a manifest.
type Service struct {
	repo Repository
	keys *secret.Keyring
	now  func() time.Time
}

// NewService returns a service over the repository. Manifests with legacy API
// accounts need keys; others do without.
func NewService(repo Repository, keys *secret.Keyring, now func() time.Time) *Service {
	return &Service{repo: repo, keys: keys, now: now}
}

// errDry takes back the transaction of a dry run.
var errDry = errors.New("dry run")

// Apply makes the database agree with m in one transaction, and returns the
// audit events of what it changed: none when everything agreed. What m does
// not mention stays as it is. A dry run changes nothing and returns the same.
//
// It returns fault.Forbidden for anybody but the operator, and fault.Invalid
// with every fault and its line for what contradicts the database: a store or
// an app of another account, somebody unknown whose names are missing, an app
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

// ApplyWithin is Apply in a transaction of the caller's.
func (s *Service) ApplyWithin(ctx context.Context, repo Repository, by *auth.Principal, m Manifest) ([]audit.Event, error) {
	if by.Kind != auth.Operator {
		return nil, auth.Denied()
	}
	a := newApplication(repo, s.keys, by, s.now().UTC().Truncate(time.Microsecond))
	err := a.apply(ctx, m)
	return a.events, err
}
