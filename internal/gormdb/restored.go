package gormdb

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/token"
	"latchkey/internal/webhook"
)

// restoringTable exists on PostgreSQL while a backup is restored. pg_restore commits before the data is checked and the
// restore is recorded, so without it a database whose restore was interrupted would look like one that was not.
const restoringTable = "latchkey_restoring"

const notRestored = "The data was restored, but not completely checked and recorded. Drop the database, create it again, and repeat \"latchkey restore\"."

var errRestoring error = fault.Errorf(fault.Conflict, notRestored)

// SealedSecret is the stored signing secret of a webhook.
type SealedSecret struct {
	secret.Sealed

	// For is the use that it was sealed for (secret.Keyring.Open).
	For string
}

// SealedSecrets returns one sealed secret for each server key that has sealed any.
func SealedSecrets(ctx context.Context, db *DB) ([]SealedSecret, error) {
	q := db.engine.reader(ctx)
	var keys []string
	if err := q.Table("webhooks").Where("secret_key <> ''").Distinct().Pluck("secret_key", &keys).Error; err != nil {
		return nil, failed(ctx, "read sealed secrets", err)
	}
	found := make([]SealedSecret, len(keys))
	for i, key := range keys {
		var row webhookRow
		if err := q.Where("secret_key = ?", key).Take(&row).Error; err != nil {
			return nil, failed(ctx, "read sealed secrets", err)
		}
		found[i] = SealedSecret{secret.Sealed{Key: secret.KeyID(key), Text: row.Secret}, webhook.SealedFor(row.ID)}
	}
	return found, nil
}

// CountUnderOtherKeys returns the number of access tokens of API tokens that are not revoked and whose digests were
// made with other keys than these.
func CountUnderOtherKeys(ctx context.Context, db *DB, ids []secret.KeyID) (n int64, err error) {
	err = db.engine.reader(ctx).Table("access_tokens").Where("ended_at IS NULL AND digest_key NOT IN ?",
		ids).Count(&n).Error
	return n, failed(ctx, "count access tokens by key", err)
}

// NewestCredential returns when the newest API token or session was created, by the clock of the server that created
// it. It is zero if there are none.
func NewestCredential(ctx context.Context, db *DB) (newest time.Time, err error) {
	for _, table := range []string{"api_tokens", "sessions"} {
		var last []instant
		q := db.engine.reader(ctx).Table(table).Order("created_at DESC").Limit(1)
		if err := q.Pluck("created_at", &last).Error; err != nil {
			return newest, failed(ctx, "find the newest credential", err)
		}
		if len(last) > 0 && last[0].After(newest) {
			newest = last[0].Time
		}
	}
	return newest, nil
}

// RecordRestore makes a restored database one of its own: it begins a new era of the event log, so that a reader that
// had read on before the restore misses no event after it, and appends the event of each account. It returns the number
// of accounts.
func RecordRestore(ctx context.Context, db *DB, at time.Time, event func(account.Account) audit.Event) (accounts int,
	err error) {
	err = db.write(ctx, auth.NoActor("the operator restored the database"), held{}, func(tx *gorm.DB) error {
		if err := beginEra(tx, at); err != nil {
			return err
		}
		var rows []accountRow
		if err := tx.Order("id").Find(&rows).Error; err != nil {
			return err
		}
		events := make([]audit.Event, len(rows))
		for i, r := range rows {
			events[i] = event(r.account())
		}
		accounts = len(rows)
		if err := appendEvents(tx, events...); err != nil {
			return err
		}
		if db.Dialect() != sqliteDialect.name {
			return tx.Exec("DROP TABLE IF EXISTS " + restoringTable).Error
		}
		// On SQLite positions count. A number that no count reaches has the effect of an era.
		return tx.Exec("UPDATE audit_events SET position = max(position, ?) WHERE action = ? AND at = ? AND sequence > 0",
			at.UnixMicro(), audit.AccountRestored, instant{at}).Error
	})
	return accounts, failed(ctx, "record that the database was restored", err)
}

// beginEra begins a new era on PostgreSQL. Its number is the time in microseconds, so that two restores of one backup
// have different eras.
func beginEra(tx *gorm.DB, at time.Time) error {
	if tx.Name() == sqliteDialect.name {
		return nil
	}
	if err := tx.Exec("LOCK TABLE audit_events IN EXCLUSIVE MODE").Error; err != nil {
		return err
	}
	o, err := originOf(tx)
	if err != nil {
		return err
	}
	err = tx.Exec("UPDATE log_era SET era = greatest(era + 1, ?), cluster = ?", at.UnixMicro(), o.Found).Error
	if err != nil {
		return err
	}
	if err := forgetOtherCluster(tx); err != nil {
		return err
	}
	return resealOnPostgres(tx)
}

// ActiveTokens returns up to limit API tokens that are active now and were created at or before a time, in the order of
// accounts and IDs, after the token after. A zero accountID selects all accounts.
func ActiveTokens(ctx context.Context, db *DB, accountID uuid.UUID, created, now time.Time, after token.Token,
	limit int) ([]token.Token, error) {
	q := db.engine.reader(ctx).Table("api_tokens AS t").
		Where("t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > ?)", instant{now}).
		Where("t.created_at <= ?", instant{created})
	if accountID != uuid.Nil {
		q = q.Where("t.account_id = ?", accountID)
	}
	if after.ID != uuid.Nil {
		q = q.Where("(t.account_id, t.id) > (?, ?)", after.AccountID, after.ID)
	}
	var rows []listedToken
	err := q.Joins("LEFT JOIN stores AS s ON s.account_id = t.account_id AND s.id = t.store_id").
		Select(listedTokenColumns).Order("t.account_id, t.id").Limit(limit).Scan(&rows).Error
	if err != nil {
		return nil, failed(ctx, "list API tokens", err)
	}
	found := make([]token.Token, len(rows))
	for i, r := range rows {
		if found[i], err = r.token(); err != nil {
			return nil, failed(ctx, "list API tokens", err)
		}
	}
	return found, nil
}
