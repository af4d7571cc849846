package gormdb

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/offboard"
	"latchkey/internal/user"
)

// peoplePerStatement bounds how many rows one statement is about: SQLite and
// PostgreSQL bound its arguments (32,766 and 65,535).
const peoplePerStatement = 1000

// rowsPerInsert bounds the rows of one insert further: SQLite's driver looks
// each argument up by walking along all of them, so that twice the rows take
// four times as long. Measured on a thousand people, 250 take a third of the
// time that 1,000 do.
const rowsPerInsert = 250

// peopleChange implements user.Change.
type peopleChange struct {
	*DB
	tx        *gorm.DB
	accountID uuid.UUID
	// wrote is set by whatever is written.
	wrote *bool
}

var (
	_ user.Change     = peopleChange{}
	_ offboard.Change = peopleChange{}
)

// Change lets work change the people of an account. The account's row is
// locked meanwhile, in a way that lets others refer to it; on SQLite the
// transaction itself keeps other writers out.
func (u users) Change(ctx context.Context, by auth.Actor, accountID uuid.UUID, work func(user.Change) error) error {
	return u.changePeople(ctx, by, held{account: accountID}, func(c peopleChange) error { return work(c) })
}

// changePeople runs work in a transaction. This process forgets the account
// whatever was left to change, or refused because it is gone: another replica
// may have made the same change a moment ago, unheard by this one.
func (db *DB) changePeople(ctx context.Context, by auth.Actor, h held, work func(peopleChange) error) error {
	wrote, accountID := false, h.account
	err := db.write(ctx, by, h, func(tx *gorm.DB) error {
		c := peopleChange{db, tx, accountID, &wrote}
		if _, err := c.Account(ctx); err != nil {
			return err
		}
		if err := work(c); err != nil || !wrote {
			return err
		}
		return db.engine.announce(tx, accountID)
	})
	db.forget(err, accountID)
	if wrote && !isFault(err) {
		db.engine.hurry()
	}
	return failed(ctx, "change people", err)
}

// writing returns the transaction to write in.
func (c peopleChange) writing(ctx context.Context) *gorm.DB {
	*c.wrote = true
	return c.tx.WithContext(ctx)
}

// Account returns the account.
func (c peopleChange) Account(ctx context.Context) (account.Account, error) {
	row, err := one[accountRow](c.tx.Where("id = ?", c.accountID), noAccount())
	return row.account(), failed(ctx, "read account", err)
}

// Stores returns stores of the account.
func (c peopleChange) Stores(ctx context.Context, refs []account.StoreRef) ([]account.Store, error) {
	var ids []uuid.UUID
	var hashes []string
	for _, ref := range refs {
		if ref.ID != uuid.Nil {
			ids = append(ids, ref.ID)
			continue
		}
		hashes = append(hashes, ref.Hash)
	}
	byID, err := storesWhere(c, "id", ids)
	byHash, hashErr := storesWhere(c, "hash", hashes)
	all := slices.CompactFunc(slices.SortedFunc(slices.Values(append(byID, byHash...)), byStoreID), func(a, b account.Store) bool { return a.ID == b.ID })
	return all, failed(ctx, "read stores", errors.Join(err, hashErr))
}

// OwnedStores returns the stores that people own.
func (c peopleChange) OwnedStores(ctx context.Context, userIDs []uuid.UUID) ([]account.Store, error) {
	stores, err := storesWhere(c, "owner_id", userIDs)
	return stores, failed(ctx, "read what people own", err)
}

func byStoreID(a, b account.Store) int { return slices.Compare(a.ID[:], b.ID[:]) }

// storesWhere returns the account's stores whose column has one of the values.
func storesWhere[V any](c peopleChange, column string, values []V) ([]account.Store, error) {
	var stores []account.Store
	for chunk := range slices.Chunk(values, peoplePerStatement) {
		var rows []storeRow
		if err := c.tx.Where("account_id = ? AND "+column+" IN ?", c.accountID, chunk).Find(&rows).Error; err != nil {
			return nil, err
		}
		for _, r := range rows {
			stores = append(stores, r.store())
		}
	}
	return stores, nil
}

// CreateUsers keeps people.
func (c peopleChange) CreateUsers(ctx context.Context, list []user.NewUser) error {
	type newUserRow struct {
		Person       userRow `gorm:"embedded"`
		PasswordHash *string
		VouchedBy    uuid.NullUUID
	}
	rows := make([]newUserRow, len(list))
	for i, u := range list {
		rows[i] = newUserRow{recordOf(u.User), optionalText(u.PasswordHash), optional(u.VouchedBy)}
	}
	return keep(ctx, c, "keep people", c.tx.Table("users"), rows)
}

// recordOf is the row of what one account records of a person. It is found by
// no address, so it is the same whether somebody else has the address or not.
func recordOf(u user.User) userRow {
	return userRow{
		ID: u.ID, Email: u.Email, EmailFolded: u.ID.String(), FirstName: u.FirstName, LastName: u.LastName,
		Locale: u.Locale, CreatedAt: instant{u.CreatedAt},
	}
}

// SaveMembers keeps what the account records of people. Those who are new are
// pending.
func (c peopleChange) SaveMembers(ctx context.Context, members []user.Membership) error {
	type row struct {
		Record     accountUserRow `gorm:"embedded"`
		ExternalID *string
	}
	rows := make([]row, len(members))
	for i, m := range members {
		rows[i] = row{accountUserRow{
			AccountID: c.accountID, UserID: m.UserID, EmailFolded: user.Fold(m.Email), FirstName: m.FirstName, LastName: m.LastName, Locale: m.Locale,
			CreatedAt: instant{m.JoinedAt}, UpdatedAt: instant{m.UpdatedAt},
		}, optionalText(m.ExternalID)}
	}
	replacing := replace([]string{"account_id", "user_id"}, "first_name", "last_name", "locale", "external_id", "updated_at")
	return keep(ctx, c, "keep members", c.tx.Table("account_users").Clauses(replacing), rows)
}

// SavePlaces keeps places in stores.
func (c peopleChange) SavePlaces(ctx context.Context, places map[uuid.UUID][]user.Place) error {
	var rows []storeUserRow
	for userID, list := range places {
		for _, p := range list {
			rows = append(rows, storeUserRow{
				AccountID: c.accountID, ID: p.ID, StoreID: p.StoreID, UserID: userID, Status: string(p.Status),
				Permissions: joined(p.Permissions), LastLoginAt: instant{p.LastLoginAt}, UpdatedAt: instant{p.UpdatedAt},
			})
		}
	}
	replacing := replace([]string{"account_id", "id"}, "status", "permissions", "last_login_at", "updated_at")
	return keep(ctx, c, "keep places in stores", c.tx.Clauses(replacing), rows)
}

// keep inserts rows, if there are any.
func keep[R any](ctx context.Context, c peopleChange, what string, q *gorm.DB, rows []R) error {
	if len(rows) == 0 {
		return nil
	}
	*c.wrote = true
	return failed(ctx, what, q.WithContext(ctx).CreateInBatches(rows, rowsPerInsert).Error)
}

// RemovePlaces takes people out of stores.
func (c peopleChange) RemovePlaces(ctx context.Context, ids []uuid.UUID) error {
	for chunk := range slices.Chunk(ids, peoplePerStatement) {
		for _, statement := range []string{
			"DELETE FROM store_user_apps WHERE account_id = ? AND member_id IN ?",
			"DELETE FROM store_users WHERE account_id = ? AND id IN ?",
		} {
			if err := c.writing(ctx).Exec(statement, c.accountID, chunk).Error; err != nil {
				return failed(ctx, "remove people from stores", err)
			}
		}
	}
	return nil
}

// RemoveMembers takes people out of the account, with the links by which it
// invited them.
func (c peopleChange) RemoveMembers(ctx context.Context, ids []uuid.UUID) error {
	for chunk := range slices.Chunk(ids, peoplePerStatement) {
		// A link that was mailed is the person's, one that was shown the user's.
		const of = "DELETE FROM links WHERE account_id = ? AND (user_id IN ? OR user_id IN (SELECT p.id FROM users AS p" +
			" JOIN account_users AS m ON m.email_folded = p.email_folded WHERE m.account_id = ? AND m.user_id IN ?))"
		tx := c.writing(ctx)
		if err := tx.Exec(of, c.accountID, chunk, c.accountID, chunk).Error; err != nil {
			return failed(ctx, "end the links of people", err)
		}
		if err := tx.Exec("DELETE FROM account_users WHERE account_id = ? AND user_id IN ?", c.accountID, chunk).Error; err != nil {
			return failed(ctx, "remove people from the account", err)
		}
	}
	return nil
}

// EndSessions ends people's sessions.
func (c peopleChange) EndSessions(ctx context.Context, userIDs []uuid.UUID, at time.Time, event func(user.Session) audit.Event) error {
	for chunk := range slices.Chunk(userIDs, peoplePerStatement) {
		these := picked(user.SessionSelection{AccountID: c.accountID})
		these.and("sessions.user_id IN ?", chunk)
		if _, err := endSessions(c.writing(ctx), these, at, event); err != nil {
			return failed(ctx, "end sessions", err)
		}
	}
	return nil
}

// SetOwner gives the account, or a store of it, another owner.
func (c peopleChange) SetOwner(ctx context.Context, storeID, userID uuid.UUID) error {
	q := c.writing(ctx).Table("accounts").Where("id = ?", c.accountID)
	missing := noAccount()
	if storeID != uuid.Nil {
		q = c.writing(ctx).Table("stores").Where("account_id = ? AND id = ?", c.accountID, storeID)
		missing = fault.Errorf(fault.NotFound, "There is no such store.")
	}
	done := q.Update("owner_id", userID)
	if done.Error == nil && done.RowsAffected == 0 {
		return missing
	}
	return failed(ctx, "change the owner", done.Error)
}

// Record keeps audit events.
func (c peopleChange) Record(ctx context.Context, list []audit.Event) error {
	rows := make([]eventRow, len(list))
	for i, e := range list {
		var err error
		if rows[i], err = newEventRow(e); err != nil {
			return err
		}
	}
	return keep(ctx, c, "keep audit events", c.tx.Model(&eventRow{}), rows)
}
