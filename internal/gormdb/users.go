package gormdb

import (
	"context"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/account"
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

// isPerson reports whether the row is a person who signs in, and not what one
// account records of somebody.
func (r userRow) isPerson() bool { return r.EmailFolded != r.ID.String() }

// recordColumns are what an account records of a person, of users AS u and
// account_users AS a.
const recordColumns = "u.id, u.email, a.first_name, a.last_name, a.locale, u.created_at, a.accepted_at"

// recordRow is what an account records of a person.
type recordRow struct {
	ID         uuid.UUID
	Email      string
	FirstName  string
	LastName   string
	Locale     string
	CreatedAt  instant
	AcceptedAt instant
}

func (r recordRow) user() user.User {
	return user.User{
		ID: r.ID, Email: r.Email, FirstName: r.FirstName, LastName: r.LastName, Locale: r.Locale, CreatedAt: r.CreatedAt.Time,
		Pending: r.AcceptedAt.IsZero(),
	}
}

type accountUserRow struct {
	AccountID   uuid.UUID
	UserID      uuid.UUID
	EmailFolded string
	FirstName   string
	LastName    string
	Locale      string
	AcceptedAt  instant
	CreatedAt   instant
	UpdatedAt   instant
}

// TableName tells gorm the table.
func (accountUserRow) TableName() string { return "account_users" }

// MembersByID returns those of the people who are in the account.
func (u users) MembersByID(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]user.User, error) {
	q := u.engine.reader(ctx).Table("account_users AS a").Joins("JOIN users AS u ON u.id = a.user_id").
		Where("a.account_id = ? AND a.user_id IN ?", accountID, ids).Select(recordColumns)
	return people(ctx, q)
}

// UsersByID returns the people that ids name: of one who is no longer in the
// account, what was recorded when they came.
func (u users) UsersByID(ctx context.Context, accountID uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]user.User, error) {
	q := u.engine.reader(ctx).Table("users AS u").Joins("LEFT JOIN account_users AS a ON a.account_id = ? AND a.user_id = u.id", accountID).
		Where("u.id IN ?", ids).
		Select(`u.id, u.email, coalesce(a.first_name, u.first_name) AS first_name, coalesce(a.last_name, u.last_name) AS last_name,
			coalesce(a.locale, u.locale) AS locale, u.created_at, CASE WHEN a.user_id IS NULL THEN u.created_at ELSE a.accepted_at END AS accepted_at`)
	return people(ctx, q)
}

func people(ctx context.Context, q *gorm.DB) (map[uuid.UUID]user.User, error) {
	var rows []recordRow
	if err := q.Scan(&rows).Error; err != nil {
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
	Place      storeUserRow `gorm:"embedded"`
	Email      string
	FirstName  string
	LastName   string
	Locale     string
	CreatedAt  instant
	AcceptedAt instant
	Owner      bool
}

// memberColumns are the columns of a memberRow, of store_users AS m, and what
// personOfPlace and storeOfPlace join.
const memberColumns = `m.account_id, m.id, m.store_id, m.user_id, m.status, m.permissions, m.last_login_at, m.updated_at,
	u.email, a.first_name, a.last_name, a.locale, u.created_at, a.accepted_at, s.owner_id = m.user_id AS owner`

// personOfPlace joins what the account records of the person of a place,
// store_users AS m.
const personOfPlace = "JOIN users AS u ON u.id = m.user_id JOIN account_users AS a ON a.account_id = m.account_id AND a.user_id = m.user_id"

func (r memberRow) member() user.StoreMember {
	person := recordRow{
		ID: r.Place.UserID, Email: r.Email, FirstName: r.FirstName, LastName: r.LastName, Locale: r.Locale, CreatedAt: r.CreatedAt, AcceptedAt: r.AcceptedAt,
	}
	return user.StoreMember{Place: r.Place.place(), User: person.user(), Owner: r.Owner}
}

// membersOf is a query for the members of stores.
func membersOf(q *gorm.DB, accountID uuid.UUID, storeIDs []uuid.UUID) *gorm.DB {
	return q.Table("store_users AS m").Where("m.account_id = ? AND m.store_id IN ?", accountID, storeIDs)
}

// StoreUsers returns a page of each store's members.
func (u users) StoreUsers(ctx context.Context, accountID uuid.UUID, storeIDs []uuid.UUID, w page.Window) (map[uuid.UUID]page.Page[user.StoreMember], error) {
	q := membersOf(u.engine.reader(ctx), accountID, storeIDs).Joins(personOfPlace).Joins(storeOfPlace)
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

// Memberships returns the accounts that have the address.
func (u users) Memberships(ctx context.Context, foldedEmail string) ([]user.AccountUser, error) {
	var rows []struct {
		Record    recordRow `gorm:"embedded"`
		AccountID uuid.UUID
	}
	q := u.engine.reader(ctx).Table("account_users AS a").Joins("JOIN users AS u ON u.id = a.user_id").Where("a.email_folded = ?", foldedEmail)
	if err := q.Select(recordColumns + ", a.account_id").Order("a.account_id").Scan(&rows).Error; err != nil {
		return nil, failed(ctx, "read the accounts of an address", err)
	}
	all := make([]user.AccountUser, len(rows))
	for i, r := range rows {
		all[i] = user.AccountUser{AccountID: r.AccountID, User: r.Record.user()}
	}
	return all, nil
}
