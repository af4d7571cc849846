package gormdb

import (
	"context"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/account"
	"latchkey/internal/fault"
	"latchkey/internal/page"
	"latchkey/internal/scope"
)

// accounts implements account.Repository.
type accounts struct{ *DB }

var _ account.Repository = accounts{}

// Accounts returns the repository of accounts, stores and apps.
func (db *DB) Accounts() account.Repository { return accounts{db} }

type accountRow struct {
	ID        uuid.UUID
	Name      string
	OwnerID   uuid.UUID
	Features  string
	Status    string
	CreatedAt instant
}

// TableName tells gorm the table.
func (accountRow) TableName() string { return "accounts" }

func (r accountRow) account() account.Account {
	return account.Account{
		ID: r.ID, Name: r.Name, OwnerID: r.OwnerID, Features: split[scope.Feature](r.Features), Status: account.Status(r.Status),
		CreatedAt: r.CreatedAt.Time,
	}
}

type storeRow struct {
	AccountID uuid.UUID
	ID        uuid.UUID
	Hash      string
	Name      string
	OwnerID   uuid.UUID
	Status    string
	CreatedAt instant
}

// TableName tells gorm the table.
func (storeRow) TableName() string { return "stores" }

func (r storeRow) store() account.Store {
	return account.Store{
		ID: r.ID, AccountID: r.AccountID, Hash: r.Hash, Name: r.Name, OwnerID: r.OwnerID, Status: account.Status(r.Status),
		CreatedAt: r.CreatedAt.Time,
	}
}

type appRow struct {
	AccountID uuid.UUID
	Key       uuid.UUID
	ID        int64 `gorm:"primaryKey;autoIncrement:false"`
	Name      string
	Status    string
	CreatedAt instant
}

// TableName tells gorm the table.
func (appRow) TableName() string { return "apps" }

func (r appRow) app() account.App {
	return account.App{ID: r.ID, Key: r.Key, AccountID: r.AccountID, Name: r.Name, Status: account.AppStatus(r.Status), CreatedAt: r.CreatedAt.Time}
}

func noAccount() error { return fault.Errorf(fault.NotFound, "There is no such account.") }

// one fetches the row that q finds, or returns missing.
func one[R any](q *gorm.DB, missing error) (R, error) {
	var row R
	found := q.Limit(1).Find(&row)
	if found.Error == nil && found.RowsAffected == 0 {
		return row, missing
	}
	return row, found.Error
}

// Issuing reads the account, and the store if there is one, before it can
// judge: these statements are written by hand.
const (
	accountByID = `SELECT a.id, a.name, a.owner_id, a.features, a.status, a.created_at FROM accounts AS a WHERE a.id = $1`
	storeByRef  = `SELECT a.id, a.name, a.owner_id, a.features, a.status, a.created_at,
			s.id, s.hash, s.name, s.owner_id, s.status, s.created_at
		FROM stores AS s JOIN accounts AS a ON a.id = s.account_id WHERE s.account_id = $1 AND `
	storeByID   = storeByRef + `s.id = $2`
	storeByHash = storeByRef + `s.hash = $2`
)

// to is where to scan the columns of an account.
func (r *accountRow) to() []any {
	return []any{(*key)(&r.ID), &r.Name, (*key)(&r.OwnerID), &r.Features, &r.Status, &r.CreatedAt}
}

// Account finds an account.
func (a accounts) Account(ctx context.Context, id uuid.UUID) (account.Account, error) {
	row, err := onlyRow(ctx, a.engine, accountByID, []any{a.engine.dialect().id(id)}, func(scan scan) (row accountRow, err error) {
		err = scan(row.to()...)
		return row, err
	}, noAccount())
	return row.account(), failed(ctx, "read account", err)
}

// Store finds a store of the account, and the account with it.
func (a accounts) Store(ctx context.Context, accountID uuid.UUID, ref account.StoreRef) (account.Account, account.Store, error) {
	to := a.engine.dialect()
	statement, name := storeByHash, any(ref.Hash)
	if ref.ID != uuid.Nil {
		statement, name = storeByID, to.id(ref.ID)
	}
	var owner accountRow
	st, err := onlyRow(ctx, a.engine, statement, []any{to.id(accountID), name}, func(scan scan) (storeRow, error) {
		st := storeRow{AccountID: accountID}
		err := scan(append(owner.to(), (*key)(&st.ID), &st.Hash, &st.Name, (*key)(&st.OwnerID), &st.Status, &st.CreatedAt)...)
		return st, err
	}, account.ErrNoStore())
	if err != nil {
		return account.Account{}, account.Store{}, failed(ctx, "read store", err)
	}
	return owner.account(), st.store(), nil
}

// refersTo narrows a query for stores to those that any of the refs names.
func refersTo(q *gorm.DB, refs []account.StoreRef) *gorm.DB {
	var ids []uuid.UUID
	var hashes []string
	for _, ref := range refs {
		if ref.ID != uuid.Nil {
			ids = append(ids, ref.ID)
		} else {
			hashes = append(hashes, ref.Hash)
		}
	}
	return q.Where("(id IN ? OR hash IN ?)", ids, hashes)
}

// Stores returns a page of the account's stores.
func (a accounts) Stores(ctx context.Context, accountID uuid.UUID, f account.StoreFilter, only []uuid.UUID, w page.Window) (page.Page[account.Store], error) {
	q := a.engine.reader(ctx).Where("account_id = ?", accountID)
	if f.IDs != nil {
		q = refersTo(q, f.IDs)
	}
	if f.Hashes != nil {
		q = q.Where("hash IN ?", f.Hashes)
	}
	if only != nil {
		q = q.Where("id IN ?", only)
	}
	var rows []storeRow
	if err := window(q, "id", w).Find(&rows).Error; err != nil {
		return page.Page[account.Store]{}, failed(ctx, "list stores", err)
	}
	return pageOf(w, rows, func(r storeRow) (page.Item[account.Store], error) {
		return page.Item[account.Store]{Node: r.store(), Key: r.ID}, nil
	})
}

// StoresByID returns those of the account's stores that ids name.
func (a accounts) StoresByID(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]account.Store, error) {
	var rows []storeRow
	if err := a.engine.reader(ctx).Where("account_id = ? AND id IN ?", accountID, ids).Find(&rows).Error; err != nil {
		return nil, failed(ctx, "read stores", err)
	}
	stores := make(map[uuid.UUID]account.Store, len(rows))
	for _, r := range rows {
		stores[r.ID] = r.store()
	}
	return stores, nil
}

// AppsByID returns those of the apps that the account offers.
func (a accounts) AppsByID(ctx context.Context, accountID uuid.UUID, ids []int64) (map[int64]account.App, error) {
	var rows []appRow
	if err := a.engine.reader(ctx).Where("account_id = ? AND id IN ?", accountID, ids).Find(&rows).Error; err != nil {
		return nil, failed(ctx, "read apps", err)
	}
	apps := make(map[int64]account.App, len(rows))
	for _, r := range rows {
		apps[r.ID] = r.app()
	}
	return apps, nil
}

// Apps returns a page of the apps that the account offers.
func (a accounts) Apps(ctx context.Context, accountID uuid.UUID, w page.Window) (page.Page[account.App], error) {
	var rows []appRow
	if err := window(a.engine.reader(ctx).Where("account_id = ?", accountID), "key", w).Find(&rows).Error; err != nil {
		return page.Page[account.App]{}, failed(ctx, "list apps", err)
	}
	return pageOf(w, rows, func(r appRow) (page.Item[account.App], error) {
		return page.Item[account.App]{Node: r.app(), Key: r.Key}, nil
	})
}

// AppsOfStores returns a page of the apps installed in each store.
func (a accounts) AppsOfStores(ctx context.Context, accountID uuid.UUID, storeIDs []uuid.UUID, w page.Window) (map[uuid.UUID]page.Page[account.App], error) {
	q := a.engine.reader(ctx).Table("store_apps AS held").Where("held.account_id = ? AND held.store_id IN ?", accountID, storeIDs)
	pages, err := appsOfEach(q, "held.store_id", storeIDs, w)
	return pages, failed(ctx, "list apps of stores", err)
}

// AppsOfMembers returns a page of the apps that each store's member may use.
func (a accounts) AppsOfMembers(ctx context.Context, accountID uuid.UUID, memberIDs []uuid.UUID, w page.Window) (map[uuid.UUID]page.Page[account.App], error) {
	q := a.engine.reader(ctx).Table("store_user_apps AS held").Where("held.account_id = ? AND held.member_id IN ?", accountID, memberIDs)
	pages, err := appsOfEach(q, "held.member_id", memberIDs, w)
	return pages, failed(ctx, "list apps of members", err)
}

// heldAppRow is an app in the list of whatever holds it.
type heldAppRow struct {
	Holder uuid.UUID
	App    appRow `gorm:"embedded"`
}

// appsOfEach pages the apps of q, a query for rows that hold apps, by holder.
func appsOfEach(q *gorm.DB, holder string, holders []uuid.UUID, w page.Window) (map[uuid.UUID]page.Page[account.App], error) {
	const columns = "apps.account_id, apps.key, apps.id, apps.name, apps.status, apps.created_at"
	q = q.Joins("JOIN apps ON apps.id = held.app_id")
	var rows []heldAppRow
	if err := windowOfEach(q, holder+" AS holder, "+columns, holder, "apps.key", w).Scan(&rows).Error; err != nil {
		return nil, err
	}
	return pageOfEach(w, holders, rows, func(r heldAppRow) (uuid.UUID, page.Item[account.App], error) {
		return r.Holder, page.Item[account.App]{Node: r.App.app(), Key: r.App.Key}, nil
	})
}
