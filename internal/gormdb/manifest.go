package gormdb

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/manifest"
	"latchkey/internal/user"
)

// manifests implements manifest.Repository: over the database, or inside a
// transaction of it.
type manifests struct {
	*DB
	tx *gorm.DB // nil outside a transaction
	// saved are the accounts that the transaction changed.
	saved map[uuid.UUID]bool
}

var _ manifest.Repository = manifests{}

// Manifest returns the repository of what the operator declares.
func (db *DB) Manifest() manifest.Repository { return manifests{DB: db} }

// operating is the actor of what the operator declares.
var operating = auth.NoActor("the operator declares it")

// Atomically runs work in one transaction. Inside a transaction it joins it.
func (m manifests) Atomically(ctx context.Context, work func(manifest.Repository) error) error {
	if m.tx != nil {
		return work(m)
	}
	inside := manifests{DB: m.DB, saved: map[uuid.UUID]bool{}}
	err := m.write(ctx, operating, held{}, func(tx *gorm.DB) error {
		inside.tx = tx
		if err := work(inside); err != nil {
			return err
		}
		for id := range inside.saved {
			if err := m.engine.announce(tx, id); err != nil {
				return err
			}
		}
		return nil
	})
	m.tell(err, slices.Collect(maps.Keys(inside.saved))...)
	return failed(ctx, "apply what is declared", err)
}

// save runs a writing statement for the account in the transaction, or in one
// of its own. It returns fault.Conflict when the statement changes nothing,
// which is so when the key is another account's.
func (m manifests) save(ctx context.Context, accountID uuid.UUID, statement func(*gorm.DB) *gorm.DB) error {
	if m.tx == nil {
		return m.Atomically(ctx, func(r manifest.Repository) error {
			return r.(manifests).save(ctx, accountID, statement)
		})
	}
	if accountID != uuid.Nil && !m.saved[accountID] {
		// Sessions act by what is declared of the account: their writes are before
		// this or after it.
		l := locker{tx: m.tx.WithContext(ctx)}
		if l.lock("accounts", "NO KEY UPDATE", "id = ?", accountID); l.err != nil {
			return failed(ctx, "lock account", l.err)
		}
		m.saved[accountID] = true
	}
	done := statement(m.tx.WithContext(ctx))
	if done.Error == nil && done.RowsAffected == 0 {
		return fault.Errorf(fault.Conflict, "Another account has this key already.")
	}
	return failed(ctx, "save what is declared", done.Error)
}

// read returns gorm for reading, inside the transaction if there is one.
func (m manifests) read(ctx context.Context) *gorm.DB {
	if m.tx == nil {
		return m.engine.reader(ctx)
	}
	return m.tx.WithContext(ctx)
}

// replace makes an insert replace columns of the row that has the same key.
func replace(keys []string, columns ...string) clause.OnConflict {
	c := clause.OnConflict{DoUpdates: clause.AssignmentColumns(columns)}
	for _, k := range keys {
		c.Columns = append(c.Columns, clause.Column{Name: k})
	}
	return c
}

// Account finds an account.
func (m manifests) Account(ctx context.Context, id uuid.UUID) (account.Account, error) {
	row, err := one[accountRow](m.read(ctx).Where("id = ?", id), noAccount())
	return row.account(), failed(ctx, "read account", err)
}

// StoreByHash finds a store of any account.
func (m manifests) StoreByHash(ctx context.Context, hash string) (account.Store, error) {
	row, err := one[storeRow](m.read(ctx).Where("hash = ?", hash), fault.Errorf(fault.NotFound, "There is no such store."))
	return row.store(), failed(ctx, "read store", err)
}

// AppByID finds an app of any account.
func (m manifests) AppByID(ctx context.Context, id int64) (account.App, error) {
	row, err := one[appRow](m.read(ctx).Where("id = ?", id), fault.Errorf(fault.NotFound, "There is no such app."))
	return row.app(), failed(ctx, "read app", err)
}

// UserByEmail finds a person.
func (m manifests) UserByEmail(ctx context.Context, folded string) (user.User, error) {
	row, err := one[knownRow](m.read(ctx).Where("email_folded = ?", folded), fault.Errorf(fault.NotFound, "Nobody has this e-mail address."))
	return row.person().User, failed(ctx, "read user", err)
}

// Member finds a user of an account.
func (m manifests) Member(ctx context.Context, accountID uuid.UUID, folded string) (user.User, error) {
	q := m.read(ctx).Table("account_users AS a").Joins("JOIN users AS u ON u.id = a.user_id").
		Where("a.account_id = ? AND a.email_folded = ?", accountID, folded).Select(recordColumns)
	row, err := one[recordRow](q, fault.Errorf(fault.NotFound, "Nobody in this account has this e-mail address."))
	return row.user(), failed(ctx, "read membership", err)
}

// StoreMember finds a person's place in a store.
func (m manifests) StoreMember(ctx context.Context, accountID, storeID, userID uuid.UUID) (user.StoreMember, error) {
	q := membersOf(m.read(ctx), accountID, []uuid.UUID{storeID}).Select(memberColumns).
		Joins(personOfPlace).Joins(storeOfPlace).Where("m.user_id = ?", userID)
	row, err := one[memberRow](q, fault.Errorf(fault.NotFound, "This person is not in the store."))
	return row.member(), failed(ctx, "read membership of a store", err)
}

// InstalledApps returns the apps installed in a store.
func (m manifests) InstalledApps(ctx context.Context, accountID, storeID uuid.UUID) ([]int64, error) {
	var ids []int64
	q := m.read(ctx).Table("store_apps").Where("account_id = ? AND store_id = ?", accountID, storeID)
	err := q.Order("app_id").Pluck("app_id", &ids).Error
	return ids, failed(ctx, "read installed apps", err)
}

// MemberApps returns the apps that a store's member may use.
func (m manifests) MemberApps(ctx context.Context, accountID, memberID uuid.UUID) ([]int64, error) {
	var ids []int64
	q := m.read(ctx).Table("store_user_apps").Where("account_id = ? AND member_id = ?", accountID, memberID)
	err := q.Order("app_id").Pluck("app_id", &ids).Error
	return ids, failed(ctx, "read a member's apps", err)
}

// SaveAccount keeps an account; its owner must be kept already.
func (m manifests) SaveAccount(ctx context.Context, a account.Account) error {
	row := accountRow{
		ID: a.ID, Name: a.Name, OwnerID: a.OwnerID, Features: joined(a.Features), Status: string(a.Status),
		CreatedAt: instant{a.CreatedAt},
	}
	return m.save(ctx, a.ID, func(tx *gorm.DB) *gorm.DB {
		// API tokens act by these two columns: their writes are before this or
		// after it. To lock so only where one changes lets others refer to the row.
		l := locker{tx: tx}
		if l.lock("accounts", "UPDATE", "id = ? AND (status <> ? OR features <> ?)", a.ID, row.Status, row.Features); l.err != nil {
			_ = tx.AddError(l.err) // it is what tx holds now
			return tx
		}
		return tx.Clauses(replace([]string{"id"}, "name", "owner_id", "features", "status")).Create(&row)
	})
}

// SaveStore keeps a store of an account that is kept already.
func (m manifests) SaveStore(ctx context.Context, s account.Store) error {
	row := storeRow{
		AccountID: s.AccountID, ID: s.ID, Hash: s.Hash, Name: s.Name, OwnerID: s.OwnerID, Status: string(s.Status),
		CreatedAt: instant{s.CreatedAt},
	}
	return m.save(ctx, s.AccountID, func(tx *gorm.DB) *gorm.DB {
		// The store's API tokens act by its status, and lock no more than their
		// account: their grants are before a suspension or after it.
		l := locker{tx: tx}
		other := tx.Session(&gorm.Session{NewDB: true}).Table("stores").Select("1").
			Where("account_id = ? AND id = ? AND status <> ?", row.AccountID, row.ID, row.Status)
		if l.lock("accounts", "UPDATE", "id = ? AND EXISTS (?)", s.AccountID, other); l.err != nil {
			_ = tx.AddError(l.err) // it is what tx holds now
			return tx
		}
		return tx.Clauses(replace([]string{"account_id", "id"}, "hash", "name", "owner_id", "status")).Create(&row)
	})
}

// SaveApp keeps an app. It returns fault.Conflict for the number of another
// account's app.
func (m manifests) SaveApp(ctx context.Context, a account.App) error {
	row := appRow{AccountID: a.AccountID, Key: a.Key, ID: a.ID, Name: a.Name, Status: string(a.Status), CreatedAt: instant{a.CreatedAt}}
	replacing := replace([]string{"id"}, "name", "status")
	replacing.Where = clause.Where{Exprs: []clause.Expression{clause.Expr{SQL: "apps.account_id = excluded.account_id"}}}
	return m.save(ctx, a.AccountID, func(tx *gorm.DB) *gorm.DB { return tx.Clauses(replacing).Create(&row) })
}

// SaveUser keeps a person.
func (m manifests) SaveUser(ctx context.Context, u user.User) error {
	row := userRow{
		ID: u.ID, Email: u.Email, EmailFolded: user.Fold(u.Email), FirstName: u.FirstName, LastName: u.LastName,
		Locale: u.Locale, CreatedAt: instant{u.CreatedAt},
	}
	return m.save(ctx, uuid.Nil, func(tx *gorm.DB) *gorm.DB {
		return tx.Clauses(replace([]string{"id"}, "email", "email_folded", "first_name", "last_name", "locale")).Create(&row)
	})
}

// AddMember puts a person into an account; one who is in it stays.
func (m manifests) AddMember(ctx context.Context, accountID uuid.UUID, u user.User, at time.Time) error {
	row := accountUserRow{
		AccountID: accountID, UserID: u.ID, EmailFolded: user.Fold(u.Email), FirstName: u.FirstName, LastName: u.LastName, Locale: u.Locale,
		AcceptedAt: instant{at}, CreatedAt: instant{at}, UpdatedAt: instant{at},
	}
	return m.add(ctx, accountID, []accountUserRow{row})
}

// SaveMember replaces what an account records of a user, and accepts the
// membership.
func (m manifests) SaveMember(ctx context.Context, accountID uuid.UUID, u user.User, at time.Time) error {
	return m.save(ctx, accountID, func(tx *gorm.DB) *gorm.DB {
		return tx.Table("account_users").Where("account_id = ? AND user_id = ?", accountID, u.ID).Updates(map[string]any{
			"first_name": u.FirstName, "last_name": u.LastName, "locale": u.Locale, "updated_at": instant{at},
			"accepted_at": gorm.Expr("coalesce(accepted_at, ?)", instant{at}),
		})
	})
}

// SaveStoreMember keeps a person's place in a store. The person must be in
// the account already.
func (m manifests) SaveStoreMember(ctx context.Context, accountID uuid.UUID, s user.StoreMember) error {
	row := storeUserRow{
		AccountID: accountID, ID: s.ID, StoreID: s.StoreID, UserID: s.User.ID, Status: string(s.Status),
		Permissions: joined(s.Permissions), LastLoginAt: instant{s.LastLoginAt}, UpdatedAt: instant{s.UpdatedAt},
	}
	return m.save(ctx, accountID, func(tx *gorm.DB) *gorm.DB {
		return tx.Clauses(replace([]string{"account_id", "id"}, "status", "permissions", "last_login_at", "updated_at")).Create(&row)
	})
}

// Touch dates a person's place in the account.
func (m manifests) Touch(ctx context.Context, accountID, userID uuid.UUID, at time.Time) error {
	return m.save(ctx, accountID, func(tx *gorm.DB) *gorm.DB {
		done := tx.Table("account_users").Where("account_id = ? AND user_id = ?", accountID, userID).Update("updated_at", instant{at})
		done.RowsAffected = 1 // it is no conflict that the person is in no account
		return done
	})
}

type storeAppRow struct {
	AccountID uuid.UUID
	StoreID   uuid.UUID
	AppID     int64
}

// TableName tells gorm the table.
func (storeAppRow) TableName() string { return "store_apps" }

type storeUserAppRow struct {
	AccountID uuid.UUID
	MemberID  uuid.UUID
	AppID     int64
}

// TableName tells gorm the table.
func (storeUserAppRow) TableName() string { return "store_user_apps" }

// add inserts rows, a slice of them, of which those that are there stay.
func (m manifests) add(ctx context.Context, accountID uuid.UUID, rows any) error {
	return m.save(ctx, accountID, func(tx *gorm.DB) *gorm.DB {
		done := tx.Clauses(clause.OnConflict{DoNothing: true}).Create(rows)
		done.RowsAffected = 1 // it is no conflict that nothing is new
		return done
	})
}

// InstallApps adds apps to a store.
func (m manifests) InstallApps(ctx context.Context, accountID, storeID uuid.UUID, appIDs []int64) error {
	if len(appIDs) == 0 {
		return nil
	}
	rows := make([]storeAppRow, len(appIDs))
	for i, id := range appIDs {
		rows[i] = storeAppRow{accountID, storeID, id}
	}
	return m.add(ctx, accountID, rows)
}

// GrantApps lets a store's member use apps.
func (m manifests) GrantApps(ctx context.Context, accountID, memberID uuid.UUID, appIDs []int64) error {
	if len(appIDs) == 0 {
		return nil
	}
	rows := make([]storeUserAppRow, len(appIDs))
	for i, id := range appIDs {
		rows[i] = storeUserAppRow{accountID, memberID, id}
	}
	return m.add(ctx, accountID, rows)
}

// Record keeps an audit event.
func (m manifests) Record(ctx context.Context, e audit.Event) error {
	row, err := newEventRow(e)
	if err != nil {
		return err
	}
	return m.save(ctx, uuid.Nil, func(tx *gorm.DB) *gorm.DB { return tx.Create(&row) })
}
