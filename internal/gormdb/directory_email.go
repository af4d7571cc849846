package gormdb

import (
	"context"

	"github.com/google/uuid"

	"latchkey/internal/fault"
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

// SetSpelling changes how an address is written. The record of a person who signs in is left unchanged, since other
// accounts may show it.
func (c userChange) SetSpelling(ctx context.Context, userID uuid.UUID, email string) (bool, error) {
	is, err := c.addressed(ctx, userID)
	if err != nil || !is.Own {
		return false, err
	}
	q := c.writing(ctx).Table("users").Where("id = ?", userID)
	return true, failed(ctx, "change how an address is written", q.Update("email", email).Error)
}

// ChangeEmail changes the address of a member. A password that the account chose is deleted, because it works with the
// former address only.
func (c userChange) ChangeEmail(ctx context.Context, userID uuid.UUID, email string) error {
	is, err := c.addressed(ctx, userID)
	if err != nil {
		return err
	}
	if !is.Own || is.Accepted && is.Elsewhere {
		return fault.Errorf(fault.Conflict, "The address of this user belongs to the user and cannot be changed here. "+
			"Remove the user, and add a user with the new address.").On("userName")
	}
	if err := c.deleteLinks(ctx, []uuid.UUID{userID}); err != nil {
		return err
	}
	err = c.writing(ctx).Table("users").Where("id = ?", userID).Updates(map[string]any{"email": email,
		"password_hash": nil, "password_id": nil, "vouched_by": nil}).Error
	if err == nil {
		err = c.writing(ctx).
			Table("account_users").
			Where("account_id = ? AND user_id = ?", c.accountID, userID).
			Updates(
				map[string]any{"email_folded": user.Fold(email), "accepted_at": nil}).
			Error
	}
	return failed(ctx, "change a user's address", err)
}
