package gormdb

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/auth"
	"latchkey/internal/user"
)

// refoldVersion is the migration since which addresses are folded as user.Fold does now. SQL cannot compute that.
const refoldVersion = 34

// refold folds addresses after a migration of a schema older than refoldVersion. It is idempotent.
func (db *DB) refold(ctx context.Context, had int64) error {
	if had >= refoldVersion {
		return nil
	}
	return db.write(ctx, auth.NoActor("a migration"), held{},
		func(tx *gorm.DB) error { return refold(tx.WithContext(ctx), db.log) })
}

// foldedRow is an address as it was typed, and its folded form, in a row of users or, with an account, of
// account_users.
type foldedRow struct {
	AccountID, UserID  uuid.UUID
	Email, EmailFolded string
}

const (
	// mayDiffer are the addresses that can have several forms.
	mayDiffer   = `(lower(u.email) LIKE '%xn--%' OR octet_length(u.email) <> length(u.email))`
	foldedUsers = `SELECT u.id AS user_id, u.email, u.email_folded FROM users AS u WHERE u.email_folded <> CAST(u.id AS text) AND ` + mayDiffer +
		" ORDER BY u.id"
	foldedMembers = `SELECT m.account_id, m.user_id, u.email, m.email_folded FROM account_users AS m JOIN users AS u ON u.id = m.user_id
		WHERE m.email_folded IS NOT NULL AND ` + mayDiffer + " ORDER BY m.account_id, m.user_id"
	refoldUser = `UPDATE users SET email_folded = @is WHERE id = @user AND NOT EXISTS
		(SELECT 1 FROM users AS o WHERE o.email_folded = @is)`
	refoldMember = `UPDATE account_users SET email_folded = @is WHERE account_id = @account AND user_id = @user AND NOT EXISTS
		(SELECT 1 FROM account_users AS o WHERE o.email_folded = @is AND o.account_id = @account)`
)

// refold folds the addresses that can have several forms. If another row has the new form already, in the same account
// or in users, the row stays unchanged: its address finds the other row from now on, and the log names its user. Of
// several such rows the user with the smallest ID gets the form, which is the one that was created first.
func refold(tx *gorm.DB, log *slog.Logger) error {
	for read, write := range map[string]string{foldedUsers: refoldUser, foldedMembers: refoldMember} {
		var rows []foldedRow
		if err := tx.Raw(read).Scan(&rows).Error; err != nil {
			return fmt.Errorf("read addresses: %w", err)
		}
		for _, r := range rows {
			is := user.Fold(r.Email)
			if is == r.EmailFolded {
				continue
			}
			args := map[string]any{"is": is, "user": r.UserID, "account": r.AccountID}
			done := tx.Exec(write, args)
			if done.Error != nil {
				return fmt.Errorf("fold an address: %w", done.Error)
			}
			if done.RowsAffected == 0 {
				log.WarnContext(tx.Statement.Context, "another user has the same email address in another spelling", "user", r.UserID,
					"account", r.AccountID)
			}
		}
	}
	return nil
}
