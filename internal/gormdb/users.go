package gormdb

import (
	"context"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/account"
	"latchkey/internal/paging"
	"latchkey/internal/user"
)

// users implements user.Repository.
type users struct{ *DB }

var _ user.Repository = users{}

// Users returns the repository of users, memberships and sessions.
func (db *DB) Users() user.Repository { return users{db} }

// Account returns the account with the id.
func (u users) Account(ctx context.Context, id uuid.UUID) (account.Account, error) {
	return u.Accounts().Account(ctx, id)
}

// MembersByID returns the users among ids who are members of the account.
func (u users) MembersByID(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]user.User, error) {
	q := u.engine.reader(ctx).Table("account_users AS a").Joins("JOIN users AS u ON u.id = a.user_id").
		Where("a.account_id = ? AND a.user_id IN ?", accountID, ids).Select(recordColumns)
	return usersByID(ctx, q)
}

// UsersByID returns the users with the ids. For a user who is no longer a member of the account it returns the data
// recorded when they joined.
func (u users) UsersByID(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]user.User, error) {
	q := u.engine.reader(ctx).Table("users AS u").Joins(
		"LEFT JOIN account_users AS a ON a.account_id = ? AND a.user_id = u.id", accountID).
		Where("u.id IN ?", ids).Select(joinedColumns)
	return usersByID(ctx, q)
}

// joinedColumns are the columns of a recordRow, from users AS u where account_users AS a has none.
var joinedColumns = columnsOf[recordRow](map[string]string{
	"first_name": "coalesce(a.first_name, u.first_name)", "last_name": "coalesce(a.last_name, u.last_name)",
	"locale":      "coalesce(a.locale, u.locale)",
	"updated_at":  "coalesce(a.updated_at, u.created_at)",
	"accepted_at": "CASE WHEN a.user_id IS NULL THEN u.created_at ELSE a.accepted_at END",
}).list()

func usersByID(ctx context.Context, q *gorm.DB) (map[uuid.UUID]user.User, error) {
	var rows []recordRow
	if err := q.Scan(&rows).Error; err != nil {
		return nil, failed(ctx, "read users", err)
	}
	byID := make(map[uuid.UUID]user.User, len(rows))
	for _, r := range rows {
		byID[r.ID] = r.user()
	}
	return byID, nil
}

// personOfPlace joins the account's record of the user of a place, store_users AS m.
const personOfPlace = "JOIN users AS u ON u.id = m.user_id JOIN account_users AS a ON a.account_id = m.account_id AND a.user_id = m.user_id"

// membersOf is a query for the members of stores.
func membersOf(q *gorm.DB, accountID uuid.UUID, storeIDs []uuid.UUID) *gorm.DB {
	return q.Table("store_users AS m").Where("m.account_id = ? AND m.store_id IN ?", accountID, storeIDs)
}

// StoreUsers returns a page of each store's members.
func (u users) StoreUsers(ctx context.Context, accountID uuid.UUID, storeIDs []uuid.UUID,
	w paging.Window) (map[uuid.UUID]paging.Page[user.StoreMember], error) {
	q := membersOf(u.engine.reader(ctx), accountID, storeIDs).Joins(personOfPlace).Joins(storeOfPlace)
	var rows []memberRow
	if err := windowOfEach(q, memberColumns, "m.store_id", "m.id", w).Scan(&rows).Error; err != nil {
		return nil, failed(ctx, "list users of stores", err)
	}
	return pageOfEach(w, storeIDs, rows, func(r memberRow) (uuid.UUID, paging.Item[user.StoreMember], error) {
		return r.Place.StoreID, paging.Item[user.StoreMember]{Node: r.member(), Key: r.Place.ID}, nil
	})
}

// CountStoreUsers returns how many members each store has.
func (u users) CountStoreUsers(ctx context.Context, accountID uuid.UUID, storeIDs []uuid.UUID) (map[uuid.UUID]int64,
	error) {
	counts, err := countOfEach(membersOf(u.engine.reader(ctx), accountID, storeIDs), "m.store_id")
	return counts, failed(ctx, "count users of stores", err)
}

// accountRecord is an account's record of a user, with the account. It is read from the tables of a recordRow.
type accountRecord struct {
	Record    recordRow `gorm:"embedded"`
	AccountID uuid.UUID `sql:"a"`
}

var accountRecordColumns = columnsOf[accountRecord](nil).list()

// Memberships returns the memberships of all accounts with the address.
func (u users) Memberships(ctx context.Context, foldedEmail string) ([]user.AccountUser, error) {
	var rows []accountRecord
	q := u.engine.reader(ctx).Table("account_users AS a").Joins("JOIN users AS u ON u.id = a.user_id").Where(
		"a.email_folded = ?", foldedEmail)
	if err := q.Select(accountRecordColumns).Order("a.account_id").Scan(&rows).Error; err != nil {
		return nil, failed(ctx, "read the accounts of an address", err)
	}
	all := make([]user.AccountUser, len(rows))
	for i, r := range rows {
		all[i] = user.AccountUser{AccountID: r.AccountID, User: r.Record.user()}
	}
	return all, nil
}
