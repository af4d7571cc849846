package gormdb

import (
	"context"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
)

// AgreeOnKeys checks that the keyring belongs to the database. It returns fault.Conflict if no key of it has been
// used with the database before: the server would refuse every credential and issue credentials that other servers
// refuse. The first keyring is recorded, and so is each key that is used together with a recorded one.
func (db *DB) AgreeOnKeys(ctx context.Context, ids []secret.KeyID, now time.Time) error {
	known, err := storedKeys(db.engine.reader(ctx))
	if err != nil {
		return failed(ctx, "read the ids of server keys", err)
	}
	if isSubset(ids, known) {
		return nil
	}
	err = db.engine.alone(ctx, func() error {
		return db.write(ctx, auth.NoActor("the server says which keys it has"), held{},
			func(tx *gorm.DB) error { return keepKeys(tx, ids, now) })
	})
	return failed(ctx, "keep the ids of server keys", err)
}

// keepKeys repeats the check, because several processes may start at once, and inserts the ids if they belong to the
// database.
func keepKeys(tx *gorm.DB, ids []secret.KeyID, now time.Time) error {
	known, err := storedKeys(tx)
	if err != nil {
		return err
	}
	if len(known) > 0 && !slices.ContainsFunc(ids, func(id secret.KeyID) bool { return slices.Contains(known, id) }) {
		return fault.Errorf(fault.Conflict,
			"The key file does not belong to this database, whose credentials were issued under another key. Use the previous file.").On("--key-file")
	}
	for _, id := range ids {
		row := keyRow{ID: string(id), FirstUsedAt: instant{now.UTC()}}
		if err := tx.Clauses(clause.OnConflict{DoNothing: true}).Create(&row).Error; err != nil {
			return err
		}
	}
	return nil
}

func storedKeys(q *gorm.DB) ([]secret.KeyID, error) {
	var known []secret.KeyID
	return known, q.Table("server_keys").Pluck("id", &known).Error
}

func isSubset(ids, of []secret.KeyID) bool {
	return !slices.ContainsFunc(ids, func(id secret.KeyID) bool { return !slices.Contains(of, id) })
}
