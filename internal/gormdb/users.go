package gormdb

import (
	"context"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/account"
	"latchkey/internal/fault"
	"latchkey/internal/page"
	"latchkey/internal/user"
)

// users implements user.Repository.
type users struct{ *DB }

var _ user.Repository = users{}

// Users returns the repository of people, memberships and sessions.
func (db *DB) Users() user.Repository { return users{db} }

// Account finds an account.
func (u users) Account(ctx context.Context, id uuid.UUID) (account.Account, error) {
	return u.Accounts().Account(ctx, id)
}

type userRow struct {
	ID          uuid.UUID
	Email       string
	EmailFolded string
	FirstName   string
	LastName    string
	Locale      string
	CreatedAt   instant
}

// TableName tells gorm the table.
func (userRow) TableName() string { return "users" }

func (r userRow) user() user.User {
	return user.User{ID: r.ID, Email: r.Email, FirstName: r.FirstName, LastName: r.LastName, Locale: r.Locale, CreatedAt: r.CreatedAt.Time}
}

type accountUserRow struct {
	AccountID uuid.UUID
	UserID    uuid.UUID
	CreatedAt instant
	UpdatedAt instant
}

// TableName tells gorm the table.
func (accountUserRow) TableName() string { return "account_users" }

// MembersByID returns those of the people who are in the account.
func (u users) MembersByID(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]user.User, error) {
	q := u.engine.reader(ctx).Joins("JOIN account_users AS m ON m.user_id = users.id").
		Where("m.account_id = ? AND m.user_id IN ?", accountID, ids)
	return people(ctx, q)
}

// UsersByID returns the people that ids name.
func (u users) UsersByID(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]user.User, error) {
	return people(ctx, u.engine.reader(ctx).Where("id IN ?", ids))
}

func people(ctx context.Context, q *gorm.DB) (map[uuid.UUID]user.User, error) {
	var rows []userRow
	if err := q.Find(&rows).Error; err != nil {
		return nil, failed(ctx, "read users", err)
	}
	people := make(map[uuid.UUID]user.User, len(rows))
	for _, r := range rows {
		people[r.ID] = r.user()
	}
	return people, nil
}

type storeUserRow struct {
	AccountID   uuid.UUID
	ID          uuid.UUID
	StoreID     uuid.UUID
	UserID      uuid.UUID
	Status      string
	Permissions string
	LastLoginAt instant
	UpdatedAt   instant
}

// TableName tells gorm the table.
func (storeUserRow) TableName() string { return "store_users" }

func (r storeUserRow) place() user.Place {
	return user.Place{
		ID: r.ID, StoreID: r.StoreID, Status: user.Status(r.Status), Permissions: split[string](r.Permissions),
		LastLoginAt: r.LastLoginAt.Time, UpdatedAt: r.UpdatedAt.Time,
	}
}

// memberRow is a store's member with the person.
type memberRow struct {
	Place     storeUserRow `gorm:"embedded"`
	Email     string
	FirstName string
	LastName  string
	Locale    string
	CreatedAt instant
	Owner     bool
}

// memberColumns are the columns of a memberRow, of store_users AS m, users AS u
// and stores AS s.
const memberColumns = `m.account_id, m.id, m.store_id, m.user_id, m.status, m.permissions, m.last_login_at, m.updated_at,
	u.email, u.first_name, u.last_name, u.locale, u.created_at, s.owner_id = m.user_id AS owner`

func (r memberRow) member() user.StoreMember {
	person := userRow{ID: r.Place.UserID, Email: r.Email, FirstName: r.FirstName, LastName: r.LastName, Locale: r.Locale, CreatedAt: r.CreatedAt}
	return user.StoreMember{Place: r.Place.place(), User: person.user(), Owner: r.Owner}
}

// membersOf is a query for the members of stores.
func membersOf(q *gorm.DB, accountID uuid.UUID, storeIDs []uuid.UUID) *gorm.DB {
	return q.Table("store_users AS m").Where("m.account_id = ? AND m.store_id IN ?", accountID, storeIDs)
}

// StoreUsers returns a page of each store's members.
func (u users) StoreUsers(ctx context.Context, accountID uuid.UUID, storeIDs []uuid.UUID, w page.Window) (map[uuid.UUID]page.Page[user.StoreMember], error) {
	q := membersOf(u.engine.reader(ctx), accountID, storeIDs).Joins("JOIN users AS u ON u.id = m.user_id").Joins(storeOfPlace)
	var rows []memberRow
	if err := windowOfEach(q, memberColumns, "m.store_id", "m.id", w).Scan(&rows).Error; err != nil {
		return nil, failed(ctx, "list users of stores", err)
	}
	return pageOfEach(w, storeIDs, rows, func(r memberRow) (uuid.UUID, page.Item[user.StoreMember], error) {
		return r.Place.StoreID, page.Item[user.StoreMember]{Node: r.member(), Key: r.Place.ID}, nil
	})
}

// CountStoreUsers returns how many members each store has.
func (u users) CountStoreUsers(ctx context.Context, accountID uuid.UUID, storeIDs []uuid.UUID) (map[uuid.UUID]int64, error) {
	counts, err := countOfEach(membersOf(u.engine.reader(ctx), accountID, storeIDs), "m.store_id")
	return counts, failed(ctx, "count users of stores", err)
}

// Memberships returns the accounts that the person of that address is in.
func (u users) Memberships(ctx context.Context, foldedEmail string) (user.Memberships, error) {
	missing := fault.Errorf(fault.NotFound, "Nobody has this e-mail address.")
	row, err := one[userRow](u.engine.reader(ctx).Where("email_folded = ?", foldedEmail), missing)
	if err != nil {
		return user.Memberships{}, failed(ctx, "read user", err)
	}
	var accounts []uuid.UUID
	err = u.engine.reader(ctx).Table("account_users").Where("user_id = ?", row.ID).Order("account_id").Pluck("account_id", &accounts).Error
	return user.Memberships{User: row.user(), AccountIDs: accounts}, failed(ctx, "read a user's accounts", err)
}
