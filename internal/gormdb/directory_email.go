package gormdb

import (
	"context"
	"maps"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// addressed is what decides whether a member's address can change.
type addressed struct {
	// Own reports whether the member's record is not also a person who signs in.
	Own bool
	// Accepted reports whether the membership was accepted, and Elsewhere whether another account has a member with the
	// address.
	Accepted, Elsewhere bool
}

func (c userChange) addressed(ctx context.Context, userID uuid.UUID) (addressed, error) {
	var row addressed
	err := c.tx.WithContext(ctx).
		Raw(`SELECT u.email_folded = CAST(u.id AS text) AS own, a.accepted_at IS NOT NULL AS accepted,
			EXISTS (SELECT 1 FROM account_users AS o WHERE o.email_folded = a.email_folded AND o.account_id <> a.account_id) AS elsewhere
		FROM account_users AS a JOIN users AS u ON u.id = a.user_id WHERE a.account_id = ? AND a.user_id = ?`,
			c.accountID, userID).
		Scan(&row).
		Error
	return row, failed(ctx, "read a user's address", err)
}

// ChangeEmail changes the address of a member. It removes all ways to sign in of the former person from the record,
// whether or not the membership was accepted.
func (c userChange) ChangeEmail(ctx context.Context, by *auth.Principal, of user.User, email string,
	at time.Time) error {
	is, err := c.addressed(ctx, of.ID)
	if err != nil {
		return err
	}
	if !is.Own || is.Accepted && is.Elsewhere {
		return fault.Errorf(fault.Conflict, "The address of this user belongs to the user and cannot be changed here. "+
			"Remove the user, and add a user with the new address.").On("userName")
	}
	if err := c.deleteLinks(ctx, []uuid.UUID{of.ID}); err != nil {
		return err
	}
	if err := c.removeWays(ctx, by, of, at); err != nil {
		return failed(ctx, "remove a former user's ways to sign in", err)
	}
	// The new ID of the password invalidates what was begun with the record's former state, even of a record that had
	// no password (hold).
	err = c.readdress(ctx, of.ID, email, at,
		map[string]any{"password_hash": nil, "password_id": uuid.Must(uuid.NewV7()), "vouched_by": nil},
		map[string]any{"email_folded": user.Fold(email), "accepted_at": nil})
	return failed(ctx, "change a user's address", err)
}

// removeWays deletes from a user's record the factors and the links of any purpose.
func (c userChange) removeWays(ctx context.Context, by *auth.Principal, of user.User, at time.Time) error {
	tx := c.writing(ctx)
	event := func(gone signin.Removed) []audit.Event { return signin.RemovalEvents(by, of, gone, at) }
	if _, err := removeAll(tx, of.ID, event); err != nil {
		return err
	}
	return tx.Delete(&linkRow{}, "user_id = ?", of.ID).Error
}

// readdress saves the address of a member's record and when it was recorded, with other columns of the record and of
// the membership.
func (c userChange) readdress(ctx context.Context, userID uuid.UUID, email string, at time.Time,
	record, member map[string]any) error {
	columns := map[string]any{"email": email}
	maps.Copy(columns, record)
	if err := c.writing(ctx).Table("users").Where("id = ?", userID).Updates(columns).Error; err != nil {
		return err
	}
	columns = map[string]any{"addressed_at": instant{at}}
	maps.Copy(columns, member)
	q := c.writing(ctx).Table("account_users").Where("account_id = ? AND user_id = ?", c.accountID, userID)
	return q.Updates(columns).Error
}
