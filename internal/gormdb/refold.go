package gormdb

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"latchkey/internal/auth"
	"latchkey/internal/user"
)

// refoldVersion is the migration with which addresses began to be folded with
// one form of their domain (user.Fold). SQL cannot do that.
const refoldVersion = 19

// refold brings addresses to that form after a migration of a schema of the
// version, if that is an older one. To do it again changes nothing.
func (db *DB) refold(ctx context.Context, had int64) error {
	if had >= refoldVersion {
		return nil
	}
	return db.write(ctx, auth.NoActor("a migration"), held{}, func(tx *gorm.DB) error { return refold(ctx, tx.Statement.ConnPool) })
}

// refold folds addresses anew whose domain can have two forms. Where both are
// there already, in one account or as two people, each stays as it is: the one in
// Unicode is found by either form from then on.
func refold(ctx context.Context, tx gorm.ConnPool) error {
	changed, err := unfolded(ctx, tx)
	if err != nil {
		return fmt.Errorf("read addresses: %w", err)
	}
	for was, is := range changed {
		for _, statement := range []string{
			`UPDATE users SET email_folded = $1 WHERE email_folded = $2 AND NOT EXISTS (SELECT 1 FROM users AS o WHERE o.email_folded = $1)`,
			`UPDATE account_users SET email_folded = $1 WHERE email_folded = $2 AND NOT EXISTS
				(SELECT 1 FROM account_users AS o WHERE o.email_folded = $1 AND o.account_id = account_users.account_id)`,
		} {
			if _, err := tx.ExecContext(ctx, statement, is, was); err != nil {
				return fmt.Errorf("fold an address: %w", err)
			}
		}
	}
	return nil
}

// unfolded returns the addresses that are folded otherwise now, and how.
func unfolded(ctx context.Context, tx gorm.ConnPool) (map[string]string, error) {
	rows, err := tx.QueryContext(ctx, `SELECT email_folded FROM account_users WHERE email_folded LIKE '%xn--%' OR octet_length(email_folded) <> length(email_folded)
		UNION SELECT email_folded FROM users WHERE email_folded LIKE '%xn--%' OR octet_length(email_folded) <> length(email_folded)`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	changed := map[string]string{}
	for rows.Next() {
		var was string
		if err := rows.Scan(&was); err != nil {
			return nil, err
		}
		if is := user.Fold(was); is != was {
			changed[was] = is
		}
	}
	return changed, rows.Err()
}
