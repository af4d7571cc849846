// Package formtoken issues one-time form tokens, so that a form that is submitted again, by a reload, a double click or
// the back button, is processed only once.
package formtoken

import (
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
)

// A token is accepted for OpenFor after it was issued. Used tokens are stored longer than that, so that none is ever
// accepted twice.
const (
	OpenFor   = 24 * time.Hour
	retention = 2 * OpenFor
)

// Repository stores the form tokens that were used.
type Repository interface {
	// Claim stores that the token was used, and reports whether this was its first use. Of concurrent calls for one
	// token, in any number of processes, exactly one gets true. It deletes tokens that were used before forget.
	Claim(ctx context.Context, by auth.Actor, accountID, formID uuid.UUID, at, forget time.Time) (first bool, err error)
}

// FormTokens issues form tokens and records their use.
type FormTokens struct {
	repo Repository
	now  clock.Clock
}

// NewFormTokens returns form tokens that are stored in the repository.
func NewFormTokens(repo Repository, now clock.Clock) *FormTokens { return &FormTokens{repo, now} }

// New returns a new form token.
func (f *FormTokens) New() string { return uuid.Must(uuid.NewV7()).String() }

// Claim records that the principal used a form token. It returns fault.Conflict if the token was used before, and
// fault.Invalid if it has expired or was never issued.
func (f *FormTokens) Claim(ctx context.Context, by *auth.Principal, id string) error {
	now := f.now.Timestamp()
	formID, err := uuid.Parse(id)
	if err != nil || formID.Version() != 7 {
		return fault.Errorf(fault.Invalid, "This form is not one that was shown here. Send the one below.")
	}
	shown := time.Unix(formID.Time().UnixTime())
	if age := now.Sub(shown); age > OpenFor || age < -OpenFor {
		return fault.Errorf(fault.Invalid,
			"This form was open for too long, and nothing was done. Look it over and send it again.")
	}
	first, err := f.repo.Claim(ctx, by.Actor(), by.AccountID, formID, now, now.Add(-retention))
	if err != nil {
		return err
	}
	if !first {
		return fault.Errorf(fault.Conflict, "This form was sent already.")
	}
	return nil
}
