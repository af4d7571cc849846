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
	"latchkey/internal/secret"
)

// legacies implements legacy.Repository.
type legacies struct{ *DB }

var _ legacy.Repository = legacies{}

// Legacy returns the repository of legacy API accounts.
func (db *DB) Legacy() legacy.Repository { return legacies{db} }

type legacyRow struct {
	AccountID  uuid.UUID
	ID         uuid.UUID
	StoreID    uuid.UUID
	StoreHash  string `gorm:"->"` // of stores
	Username   string
	Digest     []byte
	DigestKey  string
	CreatedAt  instant
	LastUsedAt instant
	LastUsedIP *string
}

// legacyColumns are the columns of a legacyRow that a legacy API account is
// made of: those of legacy_accounts AS l and of stores AS s.
const legacyColumns = "l.account_id, l.id, l.store_id, s.hash AS store_hash, l.username, l.created_at, l.last_used_at, l.last_used_ip"

// TableName tells gorm the table.
func (legacyRow) TableName() string { return "legacy_accounts" }

func newLegacyRow(a legacy.Account) legacyRow {
	return legacyRow{
		AccountID: a.AccountID, ID: a.ID, StoreID: a.StoreID, Username: a.Username,
		Digest: a.Digest.Digest[:], DigestKey: string(a.Digest.Key), CreatedAt: instant{a.CreatedAt},
	}
}

func (r legacyRow) account() (legacy.Account, error) {
	ip, err := parseAddr(textOf(r.LastUsedIP))
	a := legacy.Account{
		AccountID: r.AccountID, ID: r.ID, StoreID: r.StoreID, StoreHash: r.StoreHash, Username: r.Username,
		CreatedAt: r.CreatedAt.Time, LastUsedAt: r.LastUsedAt.Time, LastUsedIP: ip,
	}
	a.Digest.Key = secret.KeyID(r.DigestKey)
	copy(a.Digest.Digest[:], r.Digest)
	return a, err
}

// legaciesOf is a query for the account's legacy API accounts: legacy_accounts
// AS l, and their stores AS s.
func legaciesOf(q *gorm.DB, accountID uuid.UUID) *gorm.DB {
	return q.Table("legacy_accounts AS l").Where("l.account_id = ?", accountID).
		Joins("JOIN stores AS s ON s.account_id = l.account_id AND s.id = l.store_id")
}

// Insert keeps a legacy API account.
func (l legacies) Insert(ctx context.Context, by auth.Actor, a legacy.Account, e audit.Event) error {
	row := newLegacyRow(a)
	err := l.change(ctx, by, e, func(tx *gorm.DB) error { return tx.Create(&row).Error })
	if isDuplicate(err) {
		return fault.Wrap(err, fault.Conflict, "The store has a legacy API account with this user name already.").On("username")
	}
	return failed(ctx, "keep a legacy API account", err)
}

// List returns an account's legacy API accounts.
func (l legacies) List(ctx context.Context, accountID uuid.UUID) ([]legacy.Account, error) {
	var rows []legacyRow
	if err := legaciesOf(l.engine.reader(ctx), accountID).Select(legacyColumns).Order("s.hash, l.username").Scan(&rows).Error; err != nil {
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
	q := legaciesOf(l.engine.reader(ctx), accountID).Select(legacyColumns).Where("l.id = ?", id)
	a, err := oneLegacy(q)
	return a, failed(ctx, "read a legacy API account", err)
}

func oneLegacy(q *gorm.DB) (legacy.Account, error) {
	row, err := one[legacyRow](q, legacy.ErrNoAccount())
	if err != nil {
		return legacy.Account{}, err
	}
	return row.account()
}

// Delete ends a legacy API account.
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

// change runs work with its event in one transaction, and tells everybody who
// may remember what it changes.
func (l legacies) change(ctx context.Context, by auth.Actor, e audit.Event, work func(*gorm.DB) error) error {
	event, err := newEventRow(e)
	if err != nil {
		return err
	}
	err = l.write(ctx, by, held{tokensOf: e.AccountID, urgent: true}, func(tx *gorm.DB) error {
		if err := work(tx); err != nil {
			return err
		}
		if err := tx.Create(&event).Error; err != nil {
			return err
		}
		return l.engine.announce(tx, e.AccountID)
	})
	l.tell(err, e.AccountID)
	return err
}

// LegacyAccount finds a store's legacy API account by its user name.
func (m manifests) LegacyAccount(ctx context.Context, accountID, storeID uuid.UUID, username string) (legacy.Account, error) {
	q := legaciesOf(m.read(ctx), accountID).Select(legacyColumns+", l.digest, l.digest_key").
		Where("l.store_id = ? AND l.username = ?", storeID, username)
	a, err := oneLegacy(q)
	return a, failed(ctx, "read a legacy API account", err)
}

// SaveLegacyAccount keeps a legacy API account of a store that is kept
// already.
func (m manifests) SaveLegacyAccount(ctx context.Context, a legacy.Account) error {
	row := newLegacyRow(a)
	return m.save(ctx, a.AccountID, func(tx *gorm.DB) *gorm.DB {
		return tx.Clauses(replace([]string{"account_id", "id"}, "digest", "digest_key")).Create(&row)
	})
}

const legacyByDigest = `SELECT l.digest, l.id, l.username, l.account_id, l.store_id, l.created_at, a.status, s.hash, s.status
	FROM legacy_accounts AS l
	JOIN accounts AS a ON a.id = l.account_id
	JOIN stores AS s ON s.account_id = l.account_id AND s.id = l.store_id
	WHERE l.digest IN `

func readLegacy(scan scan) (access.Record, error) {
	p := auth.Principal{Kind: auth.LegacyAccount}
	r := access.Record{}
	var created instant
	var status, storeStatus string
	err := scan((*key)(&p.ID), &p.Name, (*key)(&p.AccountID), (*key)(&p.StoreID), &created, &status, &r.StoreHash, &storeStatus)
	r.Principal, r.IssuedAt, r.Suspended = p, created.Time, suspended(status) || suspended(storeStatus)
	return r, err
}

// keepLegacyUses keeps the last uses of legacy API accounts, each of another.
func (u uses) keepLegacyUses(ctx context.Context, list []use) error {
	for chunk := range slices.Chunk(list, u.engine.dialect().uses) {
		if err := u.engine.keepLegacyUses(ctx, chunk); err != nil {
			return err
		}
	}
	return nil
}

// keepLatestOfLegacy changes rows in the order of their keys, so that two
// replicas at once wait for each other and do not lock each other out.
const keepLatestOfLegacy = `UPDATE legacy_accounts AS l SET last_used_at = o.at, last_used_ip = o.ip
	FROM (SELECT l.account_id, l.id, u.at, u.ip FROM legacy_accounts AS l
		JOIN unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[]) AS u (account_id, id, at, ip)
			ON l.account_id = u.account_id AND l.id = u.id
		ORDER BY l.account_id, l.id FOR NO KEY UPDATE OF l) AS o
	WHERE l.account_id = o.account_id AND l.id = o.id AND (l.last_used_at IS NULL OR l.last_used_at < o.at)`

func (p *postgres) keepLegacyUses(ctx context.Context, list []use) error {
	c := columnsOf(list)
	_, err := p.pool.Exec(ctx, keepLatestOfLegacy, c.accounts, c.tokens, c.times, c.ips)
	return err
}

func (s *sqlite) keepLegacyUses(ctx context.Context, list []use) error {
	batch, err := usesAsJSON(list)
	if err != nil {
		return err
	}
	return write(ctx, s, noting, held{}, func(tx *gorm.DB) error {
		return tx.Exec(`UPDATE legacy_accounts AS l SET last_used_at = u.at, last_used_ip = u.ip `+fromUses+
			`WHERE l.account_id = u.account_id AND l.id = u.token_id AND (l.last_used_at IS NULL OR l.last_used_at < u.at)`, batch).Error
	})
}
