package billing

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
)

// Accounts finds accounts and apps, for their names in the logs and on the approval pages of other accounts.
type Accounts interface {
	Account(ctx context.Context, id uuid.UUID) (account.Account, error)
	// AppsByID returns the apps with the IDs that the account offers.
	AppsByID(ctx context.Context, accountID uuid.UUID, ids []int64) (map[int64]account.App, error)
}

// Config has the dependencies of a Service.
type Config struct {
	Repository Repository
	Accounts   Accounts
	// Now is the time of events. Billing time is Repository.Now.
	Now clock.Clock
}

// Service is automated billing for the principal's account: for partners and their API tokens, for the owners of
// merchants and of their stores, and for the operator.
type Service struct {
	repo     Repository
	accounts Accounts
	clock    clock.Clock
}

// NewService returns a service.
func NewService(c Config) *Service {
	return &Service{repo: c.Repository, accounts: c.Accounts, clock: c.Now}
}

// Now returns billing time.
func (s *Service) Now(ctx context.Context) (time.Time, error) { return s.repo.Now(ctx) }

// authorOf returns the principal as the author of events in the logs of two accounts.
func (s *Service) authorOf(ctx context.Context, by *auth.Principal) (author, error) {
	a := ownAuthor(s.clock, by)
	if by.Kind == auth.Operator {
		return a, nil
	}
	own, err := s.accounts.Account(ctx, by.AccountID)
	a.accountName = own.Name
	return a, err
}

// ownAuthor returns the principal as the author of events in the log of its own account.
func ownAuthor(now clock.Clock, by *auth.Principal) author {
	a := author{actor: audit.ActorOf(by.Subject()), accountID: by.AccountID, requestID: by.Origin.RequestID,
		at: now.Timestamp()}
	if by.Kind == auth.Operator {
		a.accountID = uuid.Nil
	}
	if by.Origin.IP.IsValid() {
		a.ip = by.Origin.IP.String()
	}
	return a
}

// theService is the author of the service's own changes.
func theService(now clock.Clock) author {
	return author{actor: audit.Actor{Kind: audit.ActorOperator, Name: audit.ServiceName}, at: now.Timestamp()}
}

// dry converts the error of a write that may have been a dry run.
func dry(err error) error {
	if errors.Is(err, ErrDryRun) {
		return nil
	}
	return err
}

// onField moves the error for an unknown object to the field that names the object.
func onField(err error, field string) error {
	var f *fault.Error
	if errors.As(err, &f) && f.Kind == fault.NotFound {
		return f.On(field)
	}
	return err
}
