// Package once lets every form that is sent be acted on once: sent again, by a
// reload, a double click or the way back, it is known.
package once

import (
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// A form can be sent for OpenFor after it was shown. That it was sent is
// remembered longer, so that it is never acted on twice.
const (
	OpenFor    = 24 * time.Hour
	remembered = 2 * OpenFor
)

// Repository remembers forms.
type Repository interface {
	// Claim remembers that the form was sent, unless that is remembered
	// already, and reports whether it was new. Of any number of calls for one
	// form, in however many processes, one gets that it was. It forgets forms
	// that were sent before the moment forget.
	Claim(ctx context.Context, by auth.Actor, accountID, formID uuid.UUID, at, forget time.Time) (first bool, err error)
}

// Forms gives forms their ids and takes note of those that were sent.
type Forms struct {
	repo Repository
	now  func() time.Time
}

// NewForms returns forms over the repository.
func NewForms(repo Repository, now func() time.Time) *Forms { return &Forms{repo, now} }

// New returns the id of a form that is about to be shown.
func (f *Forms) New() string { return uuid.Must(uuid.NewV7()).String() }

// Claim takes note that the principal sent the form with the id. It returns
// fault.Conflict for one that was sent before, and fault.Invalid for one that
// was shown too long ago, or never.
func (f *Forms) Claim(ctx context.Context, by *auth.Principal, id string) error {
	now := f.now().UTC().Truncate(time.Microsecond)
	formID, err := uuid.Parse(id)
	if err != nil || formID.Version() != 7 {
		return fault.Errorf(fault.Invalid, "This form is not one that was shown here. Send the one below.")
	}
	shown := time.Unix(formID.Time().UnixTime())
	if age := now.Sub(shown); age > OpenFor || age < -OpenFor {
		return fault.Errorf(fault.Invalid, "This form was open for too long, and nothing was done. Look it over and send it again.")
	}
	first, err := f.repo.Claim(ctx, by.Actor(), by.AccountID, formID, now, now.Add(-remembered))
	if err != nil {
		return err
	}
	if !first {
		return fault.Errorf(fault.Conflict, "This form was sent already.")
	}
	return nil
}
