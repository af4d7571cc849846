package gormdb

import (
	"context"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/manifest"
	"latchkey/internal/manifest/setup"
	"latchkey/internal/signin"
)

// setups implements setup.Repository.
type setups struct{ *DB }

var _ setup.Repository = setups{}

// Setup returns the repository for creating the first account.
func (db *DB) Setup() setup.Repository { return setups{db} }

// Empty reports whether there is no account.
func (s setups) Empty(ctx context.Context) (bool, error) {
	empty, err := noAccountAtAll(s.engine.reader(ctx))
	return empty, failed(ctx, "look for an account", err)
}

func noAccountAtAll(q *gorm.DB) (bool, error) {
	var some bool
	err := q.Raw("SELECT EXISTS (SELECT 1 FROM accounts)").Scan(&some).Error
	return !some, err
}

// First runs work while no other transaction can create an account. SQLite has only one writer; with PostgreSQL the
// table is locked against other writers.
func (s setups) First(ctx context.Context, link uuid.UUID, work func(setup.Change) error) error {
	return manifests{DB: s.DB}.Atomically(ctx, func(r manifest.Repository) error {
		inside := firstAccount{r.(manifests)}
		tx := inside.tx.WithContext(ctx)
		if s.Dialect() == postgresDialect.name {
			if err := tx.Exec("LOCK TABLE accounts IN SHARE ROW EXCLUSIVE MODE").Error; err != nil {
				return failed(ctx, "lock the accounts", err)
			}
		}
		empty, err := noAccountAtAll(tx)
		if err != nil {
			return failed(ctx, "look for an account", err)
		}
		used := tx.Delete(&linkRow{}, "id = ?", link)
		if used.Error != nil {
			return failed(ctx, "delete a link", used.Error)
		}
		if !empty || used.RowsAffected == 0 {
			return noLink()
		}
		if err := work(inside); err != nil {
			return err
		}
		return failed(ctx, "delete links", tx.Delete(&linkRow{}, "purpose = ?", string(signin.Setup)).Error)
	})
}

// firstAccount implements setup.Change.
type firstAccount struct{ manifests }

// SetPassword sets the password of the user with the address.
func (f firstAccount) SetPassword(ctx context.Context, foldedEmail, hash string) error {
	return f.save(ctx, uuid.Nil, func(tx *gorm.DB) *gorm.DB {
		return tx.Table("users").Where("email_folded = ?", foldedEmail).Updates(map[string]any{
			"password_hash": hash, "password_id": uuid.Must(uuid.NewV7()), "vouched_by": nil,
		})
	})
}
