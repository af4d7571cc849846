package gormdb

import (
	"context"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/access"
	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/oauth"
	"latchkey/internal/paging"
	"latchkey/internal/secret"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// ViaGORM does through gorm what repositories do with hand-written statements. The benchmarks compare the two
// (docs/architecture.md: "GORM").
type ViaGORM struct{ *DB }

// Insert is tokens.Insert of a store's token.
func (v ViaGORM) Insert(ctx context.Context, by auth.Actor, d token.Draft) error {
	rows, err := newIssuedRows(d)
	if err != nil {
		return err
	}
	t := d.Token
	return v.write(ctx, by, held{tokensOf: t.AccountID}, func(tx *gorm.DB) error {
		l := locker{tx: tx}
		if l.lock("stores", "NO KEY UPDATE", "account_id = ? AND id = ?", t.AccountID, t.StoreID); l.err != nil {
			return l.err
		}
		var live int64
		q := tx.Model(&tokenRow{}).Where("account_id = ? AND store_id = ? AND revoked_at IS NULL", t.AccountID,
			t.StoreID).
			Where("expires_at IS NULL OR expires_at > ?", instant{t.CreatedAt})
		if err := q.Count(&live).Error; err != nil {
			return err
		}
		if live >= int64(d.MaxLive) {
			return fault.Errorf(fault.LimitReached, "The limit is reached.")
		}
		for _, row := range []any{&rows.token, &rows.access} {
			if err := tx.Create(row).Error; err != nil {
				return err
			}
		}
		return appendEvents(tx, d.Event)
	})
}

// Revoke is tokens.Revoke, as SQLite's engine does it.
func (v ViaGORM) Revoke(ctx context.Context, by auth.Actor, e token.RevocationDraft) error {
	err := v.write(ctx, by, held{tokensOf: e.AccountID, tokens: e.IDs, urgent: true}, func(tx *gorm.DB) error {
		if _, err := revokeLive(tx, e, e.IDs); err != nil {
			return err
		}
		return v.engine.announce(tx, e.AccountID)
	})
	v.publish(err, e.AccountID)
	return err
}

// Grant is grants.Grant, as SQLite's engine does it.
func (v ViaGORM) Grant(ctx context.Context, by auth.Actor, d oauth.Draft) error {
	row := newGrantRow(d)
	return v.write(ctx, by, held{tokensOf: d.AccountID}, func(tx *gorm.DB) error {
		l := locker{tx: tx}
		if l.lock("api_tokens", "NO KEY UPDATE", "account_id = ? AND id = ?", d.AccountID, d.TokenID); l.err != nil {
			return l.err
		}
		if err := pruneGrants(tx, d.AccountID, d.CreatedAt); err != nil {
			return err
		}
		if _, err := roomForGrant(tx, d); err != nil {
			return err
		}
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
		return appendEvents(tx, d.Event)
	})
}

// Credential is credentials.Credential of an access token.
func (v ViaGORM) Credential(ctx context.Context, candidates []secret.KeyedDigest) (access.Record, error) {
	q := v.engine.reader(ctx).Table("access_tokens AS x").Joins(
		"JOIN api_tokens AS t ON t.account_id = x.account_id AND t.id = x.api_token_id").
		Joins("JOIN accounts AS a ON a.id = x.account_id").Joins(
		"LEFT JOIN stores AS s ON s.account_id = t.account_id AND s.id = t.store_id").
		Select(accessFactColumns.list()).Where("x.digest IN ?", digestsOf(candidates))
	row, err := one[accessFacts](q, noCredential())
	if err != nil {
		return access.Record{}, err
	}
	return row.record()
}

// Store is accounts.Store.
func (v ViaGORM) Store(ctx context.Context, accountID uuid.UUID, ref account.StoreRef) (account.Store, error) {
	q := v.engine.reader(ctx).Table("stores AS s").Joins("JOIN accounts AS a ON a.id = s.account_id").
		Select(storeWithAccountColumns.list()).Where("s.account_id = ? AND s.hash = ?", accountID, ref.Hash)
	row, err := one[storeWithAccount](q, account.ErrNoStore())
	return row.Store.store(), err
}

// Users is users.Users without a filter.
func (v ViaGORM) Users(ctx context.Context, accountID uuid.UUID, w paging.Window) (paging.Page[user.User], error) {
	g, d := v.engine.reader(ctx), v.engine.dialect()
	keys := window(g.Table("account_users AS m").Select("m.user_id").Where("m.account_id = ?", accountID), "m.user_id",
		w)
	var rows []recordRow
	q := g.Table("users AS u").Joins("JOIN account_users AS a ON a.account_id = ? AND a.user_id = u.id", accountID).
		Select(recordColumns).Where("u.id "+d.among("?"), keys).Order("u.id " + direction(w))
	if err := q.Scan(&rows).Error; err != nil {
		return paging.Page[user.User]{}, err
	}
	return pageOf(w, rows, func(r recordRow) (paging.Item[user.User], error) {
		return paging.Item[user.User]{Node: r.user(), Key: r.ID}, nil
	})
}

// Record inserts audit events through gorm, without sequences and deliveries.
func (v ViaGORM) Record(ctx context.Context, by auth.Actor, events []audit.Event) error {
	rows, err := newEventRows(events)
	if err != nil {
		return err
	}
	return v.write(ctx, by, held{}, func(tx *gorm.DB) error {
		return tx.Omit("Sequence", "Era", "Position").CreateInBatches(rows, rowsPerInsert).Error
	})
}

// Record inserts audit events as repositories do.
func Record(ctx context.Context, db *DB, by auth.Actor, events []audit.Event) error {
	return db.write(ctx, by, held{}, func(tx *gorm.DB) error { return appendEvents(tx, events...) })
}
