package gormdb

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/access"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/legacy"
)

// legacies implements legacy.Repository.
type legacies struct{ *DB }

var _ legacy.Repository = legacies{}

// Legacy returns the repository of legacy API accounts.
func (db *DB) Legacy() legacy.Repository { return legacies{db} }

// legaciesOf is a query for the account's legacy API accounts, legacy_accounts AS l joined with stores AS s.
func legaciesOf(q *gorm.DB, accountID uuid.UUID) *gorm.DB {
	return q.Table("legacy_accounts AS l").Where("l.account_id = ?", accountID).
		Joins("JOIN stores AS s ON s.account_id = l.account_id AND s.id = l.store_id")
}

// Insert inserts a legacy API account.
func (l legacies) Insert(ctx context.Context, by auth.Actor, a legacy.Account, e audit.Event) error {
	row := newLegacyRow(a)
	err := l.change(ctx, by, e, func(tx *gorm.DB) error { return tx.Create(&row).Error })
	if isDuplicate(err) {
		return fault.Wrap(err, fault.Conflict,
			"The store has a legacy API account with this user name already.").On("username")
	}
	return failed(ctx, "keep a legacy API account", err)
}

// List returns an account's legacy API accounts.
func (l legacies) List(ctx context.Context, accountID uuid.UUID) ([]legacy.Account, error) {
	var rows []listedLegacy
	if err := legaciesOf(l.engine.reader(ctx),
		accountID).Select(listedLegacyColumns).Order("s.hash, l.username").Scan(&rows).Error; err != nil {
		return nil, failed(ctx, "list legacy API accounts", err)
	}
	all := make([]legacy.Account, len(rows))
	for i, r := range rows {
		var err error
		if all[i], err = r.account(); err != nil {
			return nil, failed(ctx, "list legacy API accounts", err)
		}
	}
	return all, nil
}

// Find returns a legacy API account.
func (l legacies) Find(ctx context.Context, accountID, id uuid.UUID) (legacy.Account, error) {
	q := legaciesOf(l.engine.reader(ctx), accountID).Select(listedLegacyColumns).Where("l.id = ?", id)
	a, err := oneLegacy[listedLegacy](q)
	return a, failed(ctx, "read a legacy API account", err)
}

func oneLegacy[R interface {
	account() (legacy.Account, error)
}](q *gorm.DB) (legacy.Account, error) {
	row, err := one[R](q, legacy.ErrNoAccount())
	if err != nil {
		return legacy.Account{}, err
	}
	return row.account()
}

// Delete deletes a legacy API account.
func (l legacies) Delete(ctx context.Context, by auth.Actor, a legacy.Account, e audit.Event) error {
	err := l.change(ctx, by, e, func(tx *gorm.DB) error {
		deleted := tx.Where("account_id = ? AND id = ?", a.AccountID, a.ID).Delete(&legacyRow{})
		if deleted.Error == nil && deleted.RowsAffected == 0 {
			return legacy.ErrNoAccount()
		}
		return deleted.Error
	})
	return failed(ctx, "delete a legacy API account", err)
}

// change runs work and records its event in one transaction, and removes the account from all caches.
func (l legacies) change(ctx context.Context, by auth.Actor, e audit.Event, work func(*gorm.DB) error) error {
	err := l.write(ctx, by, held{tokensOf: e.AccountID, urgent: true}, func(tx *gorm.DB) error {
		if err := work(tx); err != nil {
			return err
		}
		if err := appendEvents(tx, e); err != nil {
			return err
		}
		return l.engine.announce(tx, e.AccountID)
	})
	l.publish(err, e.AccountID)
	return err
}

// LegacyAccount returns a store's legacy API account with the user name.
func (m manifests) LegacyAccount(ctx context.Context, accountID, storeID uuid.UUID, username string) (legacy.Account,
	error) {
	q := legaciesOf(m.read(ctx), accountID).Select(savedLegacyColumns).
		Where("l.store_id = ? AND l.username = ?", storeID, username)
	a, err := oneLegacy[savedLegacy](q)
	return a, failed(ctx, "read a legacy API account", err)
}

// SaveLegacyAccount inserts or updates a legacy API account. Its store must exist.
func (m manifests) SaveLegacyAccount(ctx context.Context, a legacy.Account) error {
	row := newLegacyRow(a)
	return m.save(ctx, a.AccountID, func(tx *gorm.DB) *gorm.DB {
		return tx.Clauses(replace([]string{"account_id", "id"}, "digest", "digest_key")).Create(&row)
	})
}

// legacyFacts is what a look-up reads of a legacy API account.
type legacyFacts struct {
	ID            uuid.UUID `sql:"l"`
	Username      string    `sql:"l"`
	AccountID     uuid.UUID `sql:"l"`
	StoreID       uuid.UUID `sql:"l"`
	CreatedAt     instant   `sql:"l"`
	AccountStatus string    `sql:"a.status"`
	StoreHash     string    `sql:"s.hash"`
	StoreStatus   string    `sql:"s.status"`
}

var (
	legacyFactColumns = columnsOf[legacyFacts](nil)
	selectLegacy      = legacyFactColumns.list() + `
	FROM legacy_accounts AS l
	JOIN accounts AS a ON a.id = l.account_id
	JOIN stores AS s ON s.account_id = l.account_id AND s.id = l.store_id`
	readLegacy = reader(legacyFactColumns, (*legacyFacts).record)
)

func (f *legacyFacts) record() (access.Record, error) {
	return access.Record{
		Principal: auth.Principal{
			Kind: auth.LegacyAccount, ID: f.ID, Name: f.Username, AccountID: f.AccountID, StoreID: f.StoreID,
		},
		StoreHash: f.StoreHash, IssuedAt: f.CreatedAt.Time, Suspended: suspended(f.AccountStatus) ||
			suspended(f.StoreStatus),
	}, nil
}

// saveLegacyUses saves the last uses of legacy API accounts, at most one of each.
func (u uses) saveLegacyUses(ctx context.Context, list []use) error {
	for chunk := range slices.Chunk(list, u.engine.dialect().uses) {
		if err := u.engine.saveLegacyUses(ctx, chunk); err != nil {
			return err
		}
	}
	return nil
}

// keepLatestOfLegacy changes rows in the order of their keys, so that two replicas wait for each other and do not
// deadlock.
const keepLatestOfLegacy = `UPDATE legacy_accounts AS l SET last_used_at = o.at, last_used_ip = o.ip
	FROM (SELECT l.account_id, l.id, u.at, u.ip FROM legacy_accounts AS l
		JOIN unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[]) AS u (account_id, id, at, ip)
			ON l.account_id = u.account_id AND l.id = u.id
		ORDER BY l.account_id, l.id FOR NO KEY UPDATE OF l) AS o
	WHERE l.account_id = o.account_id AND l.id = o.id AND (l.last_used_at IS NULL OR l.last_used_at < o.at)`

func (p *postgres) saveLegacyUses(ctx context.Context, list []use) error {
	c := useColumnsOf(list)
	_, err := p.pool.Exec(ctx, keepLatestOfLegacy, c.accounts, c.tokens, c.times, c.ips)
	return err
}

func (s *sqlite) saveLegacyUses(ctx context.Context, list []use) error {
	batch, err := usesAsJSON(list)
	if err != nil {
		return err
	}
	return write(ctx, s, noting, held{}, func(tx *gorm.DB) error {
		return tx.Exec(`UPDATE legacy_accounts AS l SET last_used_at = u.at, last_used_ip = u.ip `+fromUses+
			`WHERE l.account_id = u.account_id AND l.id = u.token_id AND (l.last_used_at IS NULL OR l.last_used_at < u.at)`, batch).Error
	})
}
