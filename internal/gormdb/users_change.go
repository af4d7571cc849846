package gormdb

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/user"
)

// usersPerStatement bounds the number of rows per statement: SQLite and PostgreSQL limit the number of arguments
// (32,766 and 65,535).
const usersPerStatement = 1000

// rowsPerInsert is the smaller bound for an insert. SQLite's driver searches all arguments for each one, so twice the
// rows take four times as long. Measured with a thousand users, batches of 250 take a third of the time of one batch of
// 1,000.
const rowsPerInsert = 250

// userChange implements user.Change.
type userChange struct {
	*DB
	tx        *gorm.DB
	accountID uuid.UUID
	// wrote is set by every write.
	wrote *bool
}

var (
	_ user.Change       = userChange{}
	_ membership.Change = userChange{}
)

// Change runs work, which may change the users of an account. The account's row is locked meanwhile, with a lock that
// still lets other rows refer to it. On SQLite the transaction itself excludes other writers.
func (u users) Change(ctx context.Context, by auth.Actor, accountID uuid.UUID, work func(user.Change) error) error {
	return u.changeUsers(ctx, by, held{account: accountID}, func(c userChange) error { return work(c) })
}

// changeUsers runs work in a transaction. Afterwards this process removes the account from its cache, even if
// nothing was left to change or the account no longer exists: another replica may have just made the same change, and
// this one may not have received it yet.
func (db *DB) changeUsers(ctx context.Context, by auth.Actor, h held, work func(userChange) error) error {
	wrote, accountID := false, h.account
	err := db.write(ctx, by, h, func(tx *gorm.DB) error {
		c := userChange{db, tx, accountID, &wrote}
		if _, err := c.Account(ctx); err != nil {
			return err
		}
		if err := work(c); err != nil || !wrote {
			return err
		}
		return db.engine.announce(tx, accountID)
	})
	db.invalidate(err, accountID)
	if wrote && !isFault(err) {
		db.engine.notify()
	}
	return failed(ctx, "change users", err)
}

// writing returns the transaction and records that it writes.
func (c userChange) writing(ctx context.Context) *gorm.DB {
	*c.wrote = true
	return c.tx.WithContext(ctx)
}

// Account returns the account.
func (c userChange) Account(ctx context.Context) (account.Account, error) {
	row, err := one[accountRow](c.tx.Where("id = ?", c.accountID), noAccount())
	return row.account(), failed(ctx, "read account", err)
}

// Stores returns the account's stores that refs name.
func (c userChange) Stores(ctx context.Context, refs []account.StoreRef) ([]account.Store, error) {
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
	all := slices.CompactFunc(slices.SortedFunc(slices.Values(append(byID, byHash...)), byStoreID),
		func(a, b account.Store) bool { return a.ID == b.ID })
	return all, failed(ctx, "read stores", errors.Join(err, hashErr))
}

// OwnedStores returns the stores that the users own.
func (c userChange) OwnedStores(ctx context.Context, userIDs []uuid.UUID) ([]account.Store, error) {
	stores, err := storesWhere(c, "owner_id", userIDs)
	return stores, failed(ctx, "read the users' stores", err)
}

func byStoreID(a, b account.Store) int { return slices.Compare(a.ID[:], b.ID[:]) }

// storesWhere returns the account's stores whose column has one of the values.
func storesWhere[V any](c userChange, column string, values []V) ([]account.Store, error) {
	var stores []account.Store
	for chunk := range slices.Chunk(values, usersPerStatement) {
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

// CreateUsers inserts users.
func (c userChange) CreateUsers(ctx context.Context, list []user.NewUser) error {
	rows := make([]userRow, len(list))
	for i, u := range list {
		rows[i] = recordOf(u.User)
		rows[i].PasswordHash, rows[i].VouchedBy = optionalText(u.PasswordHash), optional(u.VouchedBy)
	}
	return keep(ctx, c, "insert users", c.tx, rows)
}

// recordOf returns the row of an account's record of a user. Its folded address is its id, so the record is never
// found by address and does not depend on whether another row has the address.
func recordOf(u user.User) userRow {
	return userRow{
		ID: u.ID, Email: u.Email, EmailFolded: u.ID.String(), FirstName: u.FirstName, LastName: u.LastName,
		Locale: u.Locale, CreatedAt: instant{u.CreatedAt},
	}
}

// SaveMembers inserts or updates members of the account. New members are pending.
func (c userChange) SaveMembers(ctx context.Context, members []user.Membership) error {
	rows := make([]accountUserRow, len(members))
	for i, m := range members {
		rows[i] = accountUserRow{
			AccountID: c.accountID, UserID: m.UserID, EmailFolded: user.Fold(m.Email), Email: m.Email,
			FirstName: m.FirstName, LastName: m.LastName, Locale: m.Locale,
			CreatedAt: instant{m.JoinedAt}, UpdatedAt: instant{m.UpdatedAt}, ExternalID: optionalText(m.ExternalID),
			ProvisionedBy: optional(m.ProvisionedBy),
		}
	}
	replacing := replace([]string{"account_id", "user_id"}, "first_name", "last_name", "locale", "external_id",
		"updated_at", "provisioned_by")
	return keep(ctx, c, "save members", c.tx.Clauses(replacing), rows)
}

// SavePlaces inserts or updates places in stores.
func (c userChange) SavePlaces(ctx context.Context, places map[uuid.UUID][]user.Place) error {
	var rows []storeUserRow
	for userID, list := range places {
		for _, p := range list {
			rows = append(rows, storeUserRow{
				AccountID: c.accountID, ID: p.ID, StoreID: p.StoreID, UserID: userID, Status: string(p.Status),
				Permissions: joined(p.Permissions), LastLoginAt: instant{p.LastLoginAt},
				UpdatedAt: instant{p.UpdatedAt},
			})
		}
	}
	replacing := replace([]string{"account_id", "id"}, "status", "permissions", "last_login_at", "updated_at")
	return keep(ctx, c, "save places in stores", c.tx.Clauses(replacing), rows)
}

// keep inserts rows, if there are any.
func keep[R any](ctx context.Context, c userChange, what string, q *gorm.DB, rows []R) error {
	if len(rows) == 0 {
		return nil
	}
	*c.wrote = true
	return failed(ctx, what, q.WithContext(ctx).CreateInBatches(rows, rowsPerInsert).Error)
}

// RemovePlaces removes users from stores.
func (c userChange) RemovePlaces(ctx context.Context, ids []uuid.UUID) error {
	for chunk := range slices.Chunk(ids, usersPerStatement) {
		for _, statement := range []string{
			"DELETE FROM store_user_apps WHERE account_id = ? AND member_id IN ?",
			"DELETE FROM store_users WHERE account_id = ? AND id IN ?",
		} {
			if err := c.writing(ctx).Exec(statement, c.accountID, chunk).Error; err != nil {
				return failed(ctx, "remove users from stores", err)
			}
		}
	}
	return nil
}

// RemoveMembers removes users from the account and deletes the links with which it invited them.
func (c userChange) RemoveMembers(ctx context.Context, ids []uuid.UUID) error {
	for chunk := range slices.Chunk(ids, usersPerStatement) {
		if err := c.deleteLinks(ctx, chunk); err != nil {
			return err
		}
		if err := c.writing(ctx).Exec("DELETE FROM account_users WHERE account_id = ? AND user_id IN ?", c.accountID,
			chunk).Error; err != nil {
			return failed(ctx, "remove users from the account", err)
		}
	}
	return nil
}

// deleteLinks deletes the links with which the account invited the users. A mailed link has the person's id, a
// displayed link the user's.
func (c userChange) deleteLinks(ctx context.Context, ids []uuid.UUID) error {
	const of = "DELETE FROM links WHERE account_id = ? AND (user_id IN ? OR user_id IN (SELECT p.id FROM users AS p" +
		" JOIN account_users AS m ON m.email_folded = p.email_folded WHERE m.account_id = ? AND m.user_id IN ?))"
	return failed(ctx, "delete the links of users",
		c.writing(ctx).Exec(of, c.accountID, ids, c.accountID, ids).Error)
}

// DeactivateMembers deactivates members of the account and deletes the links with which it invited them.
func (c userChange) DeactivateMembers(ctx context.Context, ids []uuid.UUID, at time.Time) error {
	for chunk := range slices.Chunk(ids, usersPerStatement) {
		if err := c.deleteLinks(ctx, chunk); err != nil {
			return err
		}
	}
	return c.setDeactivated(ctx, "deactivate users", ids, instant{at}, at)
}

// ReactivateMembers makes deactivated members of the account active.
func (c userChange) ReactivateMembers(ctx context.Context, ids []uuid.UUID, at time.Time) error {
	return c.setDeactivated(ctx, "reactivate users", ids, instant{}, at)
}

func (c userChange) setDeactivated(ctx context.Context, doing string, ids []uuid.UUID, deactivated instant,
	at time.Time) error {
	for chunk := range slices.Chunk(ids, usersPerStatement) {
		q := c.writing(ctx).Table("account_users").Where("account_id = ? AND user_id IN ?", c.accountID, chunk)
		err := q.Updates(map[string]any{"deactivated_at": deactivated, "updated_at": instant{at}}).Error
		if err != nil {
			return failed(ctx, doing, err)
		}
	}
	return nil
}

// SetOffboardingPolicy changes the account's off-boarding policy.
func (c userChange) SetOffboardingPolicy(ctx context.Context, policy account.OffboardingPolicy) error {
	done := c.writing(ctx).Table("accounts").Where("id = ?", c.accountID).Update("offboarding_policy", string(policy))
	return failed(ctx, "change the off-boarding policy", done.Error)
}

// SetLeakPolicy changes the account's leak policy.
func (c userChange) SetLeakPolicy(ctx context.Context, policy account.LeakPolicy) error {
	done := c.writing(ctx).Table("accounts").Where("id = ?", c.accountID).Update("leak_policy", string(policy))
	return failed(ctx, "change the leak policy", done.Error)
}

// EndSessions revokes the users' sessions. Until the transaction ends, no other transaction can start a session for
// them in the account.
func (c userChange) EndSessions(ctx context.Context, userIDs []uuid.UUID, at time.Time,
	event func(user.Session) audit.Event) error {
	for chunk := range slices.Chunk(userIDs, usersPerStatement) {
		if err := lockMembers(c.writing(ctx), c.accountID, chunk); err != nil {
			return failed(ctx, "lock members", err)
		}
		these := picked(user.SessionSelection{AccountID: c.accountID})
		these.and("sessions.user_id IN ?", chunk)
		if _, err := endSessions(c.writing(ctx), these, at, event); err != nil {
			return failed(ctx, "end sessions", err)
		}
	}
	return nil
}

// SetOwner changes the owner of the account, or of the store if storeID is not zero.
func (c userChange) SetOwner(ctx context.Context, storeID, userID uuid.UUID) error {
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

// CountStores returns the number of the account's stores.
func (c userChange) CountStores(ctx context.Context) (n int64, err error) {
	err = c.tx.WithContext(ctx).Table("stores").Where("account_id = ?", c.accountID).Count(&n).Error
	return n, failed(ctx, "count stores", err)
}

// AddStore inserts a store unless another one has the hash.
func (c userChange) AddStore(ctx context.Context, s account.Store) (bool, error) {
	row := newStoreRow(s)
	row.AccountID = c.accountID
	unlessTaken := clause.OnConflict{Columns: []clause.Column{{Name: "hash"}}, DoNothing: true}
	done := c.writing(ctx).Clauses(unlessTaken).Create(&row)
	return done.RowsAffected > 0, failed(ctx, "insert store", done.Error)
}

// RenameStore changes the name of a store.
func (c userChange) RenameStore(ctx context.Context, storeID uuid.UUID, name string) error {
	q := c.writing(ctx).Table("stores").Where("account_id = ? AND id = ?", c.accountID, storeID)
	return failed(ctx, "rename store", q.Update("name", name).Error)
}

// Record inserts audit events.
func (c userChange) Record(ctx context.Context, list []audit.Event) error {
	if len(list) == 0 {
		return nil
	}
	return failed(ctx, "insert audit events", appendEvents(c.writing(ctx), list...))
}
