package gormdb

import (
	"context"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/account"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
)

// accounts implements account.Repository.
type accounts struct{ *DB }

var _ account.Repository = accounts{}

// Accounts returns the repository of accounts, stores and apps.
func (db *DB) Accounts() account.Repository { return accounts{db} }

func noAccount() error { return fault.Errorf(fault.NotFound, "There is no such account.") }

// one returns the row that q finds, or the error missing.
func one[R any](q *gorm.DB, missing error) (R, error) {
	var row R
	found := q.Limit(1).Find(&row)
	if found.Error == nil && found.RowsAffected == 0 {
		return row, missing
	}
	return row, found.Error
}

// Issuing reads the account, and the store if there is one, before it decides. Therefore these statements are written
// by hand.
var (
	accountByID = "SELECT " + accountColumns.list() + " FROM accounts WHERE id = $1"
	storeByRef  = "SELECT " + storeWithAccountColumns.list() +
		" FROM stores AS s JOIN accounts AS a ON a.id = s.account_id WHERE s.account_id = $1 AND "
	storeByID   = storeByRef + "s.id = $2"
	storeByHash = storeByRef + "s.hash = $2"
)

// storeWithAccount is a store with its account. It is read from stores AS s and accounts AS a.
type storeWithAccount struct {
	Account accountRow `gorm:"embedded;embeddedPrefix:account_" sql:"a"`
	Store   storeRow   `gorm:"embedded;embeddedPrefix:store_" sql:"s"`
}

var (
	storeWithAccountColumns = columnsOf[storeWithAccount](nil)

	readAccountRow       = reader(accountColumns, func(r *accountRow) (accountRow, error) { return *r, nil })
	readStoreWithAccount = reader(storeWithAccountColumns,
		func(r *storeWithAccount) (storeWithAccount, error) { return *r, nil })
)

// Account returns the account with the id.
func (a accounts) Account(ctx context.Context, id uuid.UUID) (account.Account, error) {
	row, err := onlyRow(ctx, a.engine, accountByID, []any{a.engine.dialect().id(id)}, readAccountRow, noAccount())
	return row.account(), failed(ctx, "read account", err)
}

// Store returns a store of the account, and the account.
func (a accounts) Store(ctx context.Context, accountID uuid.UUID, ref account.StoreRef) (account.Account, account.Store,
	error) {
	to := a.engine.dialect()
	statement, name := storeByHash, any(ref.Hash)
	if ref.ID != uuid.Nil {
		statement, name = storeByID, to.id(ref.ID)
	}
	row, err := onlyRow(ctx, a.engine, statement, []any{to.id(accountID), name}, readStoreWithAccount,
		account.ErrNoStore())
	if err != nil {
		return account.Account{}, account.Store{}, failed(ctx, "read store", err)
	}
	return row.Account.account(), row.Store.store(), nil
}

// refersTo narrows a query for stores to those that one of refs names.
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
func (a accounts) Stores(ctx context.Context, accountID uuid.UUID, f account.StoreFilter, only []uuid.UUID,
	w paging.Window) (paging.Page[account.Store], error) {
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
		return paging.Page[account.Store]{}, failed(ctx, "list stores", err)
	}
	return pageOf(w, rows, func(r storeRow) (paging.Item[account.Store], error) {
		return paging.Item[account.Store]{Node: r.store(), Key: r.ID}, nil
	})
}

// StoresByID returns the account's stores among ids.
func (a accounts) StoresByID(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]account.Store,
	error) {
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

// AppsByID returns the account's apps among ids.
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
func (a accounts) Apps(ctx context.Context, accountID uuid.UUID, w paging.Window) (paging.Page[account.App], error) {
	var rows []appRow
	if err := window(a.engine.reader(ctx).Where("account_id = ?", accountID), "key", w).Find(&rows).Error; err != nil {
		return paging.Page[account.App]{}, failed(ctx, "list apps", err)
	}
	return pageOf(w, rows, func(r appRow) (paging.Item[account.App], error) {
		return paging.Item[account.App]{Node: r.app(), Key: r.Key}, nil
	})
}

// AppsOfStores returns a page of the apps installed in each store.
func (a accounts) AppsOfStores(ctx context.Context, accountID uuid.UUID, storeIDs []uuid.UUID,
	w paging.Window) (map[uuid.UUID]paging.Page[account.App], error) {
	q := a.engine.reader(ctx).Table("store_apps AS held").Where("held.account_id = ? AND held.store_id IN ?", accountID,
		storeIDs)
	pages, err := appsOfEach(q, "held.store_id", storeIDs, w)
	return pages, failed(ctx, "list apps of stores", err)
}

// AppsOfMembers returns a page of the apps that each store's member may use.
func (a accounts) AppsOfMembers(ctx context.Context, accountID uuid.UUID, memberIDs []uuid.UUID,
	w paging.Window) (map[uuid.UUID]paging.Page[account.App], error) {
	q := a.engine.reader(ctx).Table("store_user_apps AS held").Where("held.account_id = ? AND held.member_id IN ?",
		accountID, memberIDs)
	pages, err := appsOfEach(q, "held.member_id", memberIDs, w)
	return pages, failed(ctx, "list apps of members", err)
}

// heldAppRow is an app with the id of its holder, a store or a store's member.
type heldAppRow struct {
	Holder uuid.UUID
	App    appRow `gorm:"embedded"`
}

// appsOfEach returns a page of apps for each holder. q is a query for rows that link holders to apps.
func appsOfEach(q *gorm.DB, holder string, holders []uuid.UUID,
	w paging.Window) (map[uuid.UUID]paging.Page[account.App], error) {
	q = q.Joins("JOIN apps ON apps.id = held.app_id")
	var rows []heldAppRow
	if err := windowOfEach(q, holder+" AS holder, "+appColumns.list(), holder, "apps.key",
		w).Scan(&rows).Error; err != nil {
		return nil, err
	}
	return pageOfEach(w, holders, rows, func(r heldAppRow) (uuid.UUID, paging.Item[account.App], error) {
		return r.Holder, paging.Item[account.App]{Node: r.App.app(), Key: r.App.Key}, nil
	})
}
