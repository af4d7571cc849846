package gormdb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"latchkey/internal/user"
)

// sqliteByHand does the same work with database/sql only.
type sqliteByHand struct{ db *sql.DB }

func (s *sqliteByHand) transact(ctx context.Context, statements []string, args [][]any) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for i := range statements {
		if _, err := tx.ExecContext(ctx, statements[i], args[i]...); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}

func (s *sqliteByHand) users(ctx context.Context, statement string, args ...any) error {
	rows, err := s.db.QueryContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	found := make([]user.User, 0, 51)
	for rows.Next() {
		var u user.User
		if err := rows.Scan(&u.ID, &u.Email, &u.FirstName, &u.LastName, &u.Locale); err != nil {
			return err
		}
		found = append(found, u)
	}
	if len(found) != 51 {
		return fmt.Errorf("%d users", len(found))
	}
	return rows.Err()
}
