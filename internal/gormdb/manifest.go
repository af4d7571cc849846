package gormdb

import (
	"cmp"
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

// manifests implements manifest.Repository, on the database or inside a transaction.
type manifests struct {
	*DB
	tx *gorm.DB // nil outside a transaction
	// saved are the accounts that the transaction changed.
	saved map[uuid.UUID]bool
}

var _ manifest.Repository = manifests{}

// Manifest returns the repository of the manifest, the data that the operator declares.
func (db *DB) Manifest() manifest.Repository { return manifests{DB: db} }

// byOperator is the actor of changes from the manifest.
var byOperator = auth.NoActor("the operator declares it")

// Atomically runs work in one transaction. Inside a transaction it uses that one.
func (m manifests) Atomically(ctx context.Context, work func(manifest.Repository) error) error {
	if m.tx != nil {
		return work(m)
	}
	inside := manifests{DB: m.DB, saved: map[uuid.UUID]bool{}}
	err := m.write(ctx, byOperator, held{}, func(tx *gorm.DB) error {
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
	m.publish(err, slices.Collect(maps.Keys(inside.saved))...)
	return failed(ctx, "apply the manifest", err)
}

// save runs a writing statement for the account, in the current transaction or in a new one. It returns
// fault.Conflict if the statement changes no row, which means that another account has the key.
func (m manifests) save(ctx context.Context, accountID uuid.UUID, statement func(*gorm.DB) *gorm.DB) error {
	if m.tx == nil {
		return m.Atomically(ctx, func(r manifest.Repository) error {
			return r.(manifests).save(ctx, accountID, statement)
		})
	}
	if accountID != uuid.Nil && !m.saved[accountID] {
		// The rights of sessions depend on the account's data. The lock orders their writes strictly before or after
		// this one.
		l := locker{tx: m.tx.WithContext(ctx)}
		l.advisory.exclude(ofUsers, accountID, accountID)
		if l.lock("accounts", "NO KEY UPDATE", "id = ?", accountID); l.err != nil {
			return failed(ctx, "lock account", l.err)
		}
		m.saved[accountID] = true
	}
	done := statement(m.tx.WithContext(ctx))
	if done.Error == nil && done.RowsAffected == 0 {
		return fault.Errorf(fault.Conflict, "Another account has this key already.")
	}
	return failed(ctx, "save the manifest", done.Error)
}

// saveRights is save for a statement on which the rights of API tokens depend if differs finds a row. Then it takes the
// advisory locks before the transaction locks a row of the account. A row that begins to differ afterwards is left to
// the statement's own lock.
func (m manifests) saveRights(ctx context.Context, accountID uuid.UUID, differs,
	statement func(*gorm.DB) *gorm.DB) error {
	if m.tx == nil {
		return m.Atomically(ctx, func(r manifest.Repository) error {
			return r.(manifests).saveRights(ctx, accountID, differs, statement)
		})
	}
	l := locker{tx: m.tx.WithContext(ctx)}
	var n int64
	if l.err = differs(m.tx.WithContext(ctx)).Count(&n).Error; n > 0 {
		l.advisory.exclude(ofUsers, accountID, accountID)
		l.advisory.exclude(ofTokens, accountID, accountID)
		l.lock("accounts", "UPDATE", "id = ?", accountID)
	}
	if l.err != nil {
		return failed(ctx, "lock account", l.err)
	}
	return m.save(ctx, accountID, statement)
}

// read returns gorm for reading, inside the transaction if there is one.
func (m manifests) read(ctx context.Context) *gorm.DB {
	if m.tx == nil {
		return m.engine.reader(ctx)
	}
	return m.tx.WithContext(ctx)
}

// replace returns a clause that makes an insert update the columns of the row with the same keys.
func replace(keys []string, columns ...string) clause.OnConflict {
	c := clause.OnConflict{DoUpdates: clause.AssignmentColumns(columns)}
	for _, k := range keys {
		c.Columns = append(c.Columns, clause.Column{Name: k})
	}
	return c
}

// Account returns the account with the id.
func (m manifests) Account(ctx context.Context, id uuid.UUID) (account.Account, error) {
	row, err := one[accountRow](m.read(ctx).Where("id = ?", id), noAccount())
	return row.account(), failed(ctx, "read account", err)
}

// StoreByHash returns the store with the hash, of any account.
func (m manifests) StoreByHash(ctx context.Context, hash string) (account.Store, error) {
	row, err := one[storeRow](m.read(ctx).Where("hash = ?", hash),
		fault.Errorf(fault.NotFound, "There is no such store."))
	return row.store(), failed(ctx, "read store", err)
}

// AppByID returns the app with the id, of any account.
func (m manifests) AppByID(ctx context.Context, id int64) (account.App, error) {
	row, err := one[appRow](m.read(ctx).Where("id = ?", id), fault.Errorf(fault.NotFound, "There is no such app."))
	return row.app(), failed(ctx, "read app", err)
}

// UserByEmail returns the person with the folded address.
func (m manifests) UserByEmail(ctx context.Context, folded string) (user.User, error) {
	row, err := one[userRow](m.read(ctx).Where("email_folded = ?", folded),
		fault.Errorf(fault.NotFound, "No user has this email address."))
	return row.person().User, failed(ctx, "read user", err)
}

// Member returns the account's user with the folded address.
func (m manifests) Member(ctx context.Context, accountID uuid.UUID, folded string) (user.Person, error) {
	q := m.read(ctx).Table("account_users AS a").Joins("JOIN users AS u ON u.id = a.user_id").
		Where("a.account_id = ? AND a.email_folded = ?", accountID, folded).Select(personColumns)
	row, err := one[personRow](q, fault.Errorf(fault.NotFound, "No user of this account has this email address."))
	return row.person(), failed(ctx, "read membership", err)
}

// StoreMember returns a user's place in a store.
func (m manifests) StoreMember(ctx context.Context, accountID, storeID, userID uuid.UUID) (user.StoreMember, error) {
	q := membersOf(m.read(ctx), accountID, []uuid.UUID{storeID}).Select(memberColumns).
		Joins(personOfPlace).Joins(storeOfPlace).Where("m.user_id = ?", userID)
	row, err := one[memberRow](q, fault.Errorf(fault.NotFound, "This user is not in the store."))
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

// SaveAccount inserts or updates an account. Its owner must exist.
func (m manifests) SaveAccount(ctx context.Context, a account.Account) error {
	row := accountRow{
		ID: a.ID, Name: a.Name, OwnerID: a.OwnerID, Features: joined(a.Features), Status: string(a.Status),
		CreatedAt: instant{a.CreatedAt}, OffboardingPolicy: string(cmp.Or(a.Offboarding, account.KeepTokens)),
		LeakPolicy: string(cmp.Or(a.Leaks, account.RevokeLeaked)),
	}
	differs := func(tx *gorm.DB) *gorm.DB {
		return tx.Table("accounts").Where("id = ? AND (status <> ? OR features <> ?)", a.ID, row.Status, row.Features)
	}
	return m.saveRights(ctx, a.ID, differs, func(tx *gorm.DB) *gorm.DB {
		// The rights of API tokens depend on these two columns. The lock orders their writes strictly before or after
		// this one. It is taken only if one of the columns changes, so that otherwise other rows can refer to the
		// account meanwhile.
		l := locker{tx: tx}
		if l.lock("accounts", "UPDATE", "id = ? AND (status <> ? OR features <> ?)", a.ID, row.Status,
			row.Features); l.err != nil {
			_ = tx.AddError(l.err) // AddError returns tx's own error
			return tx
		}
		return tx.Clauses(replace([]string{"id"}, "name", "owner_id", "features", "status")).Create(&row)
	})
}

// SaveStore inserts or updates a store. Its account must exist.
func (m manifests) SaveStore(ctx context.Context, s account.Store) error {
	row := newStoreRow(s)
	differs := func(tx *gorm.DB) *gorm.DB {
		return tx.Table("stores").Where("account_id = ? AND id = ? AND status <> ?", row.AccountID, row.ID, row.Status)
	}
	return m.saveRights(ctx, s.AccountID, differs, func(tx *gorm.DB) *gorm.DB {
		// The rights of the store's API tokens depend on its status, but their writes lock only the account. Locking
		// the account orders their grants strictly before or after a suspension.
		l := locker{tx: tx}
		other := differs(tx.Session(&gorm.Session{NewDB: true})).Select("1")
		if l.lock("accounts", "UPDATE", "id = ? AND EXISTS (?)", s.AccountID, other); l.err != nil {
			_ = tx.AddError(l.err) // AddError returns tx's own error
			return tx
		}
		return tx.Clauses(replace([]string{"account_id", "id"}, "hash", "name", "owner_id", "status")).Create(&row)
	})
}

// SaveApp inserts or updates an app. It returns fault.Conflict if another account has an app with the id.
func (m manifests) SaveApp(ctx context.Context, a account.App) error {
	row := appRow{AccountID: a.AccountID, Key: a.Key, ID: a.ID, Name: a.Name, Status: string(a.Status),
		CreatedAt: instant{a.CreatedAt}}
	replacing := replace([]string{"id"}, "name", "status")
	own := clause.Expr{SQL: "apps.account_id = excluded.account_id"}
	replacing.Where = clause.Where{Exprs: []clause.Expression{own}}
	return m.save(ctx, a.AccountID, func(tx *gorm.DB) *gorm.DB { return tx.Clauses(replacing).Create(&row) })
}

// SaveUser inserts or updates a person.
func (m manifests) SaveUser(ctx context.Context, u user.User) error {
	row := userRow{
		ID: u.ID, Email: u.Email, EmailFolded: user.Fold(u.Email), FirstName: u.FirstName, LastName: u.LastName,
		Locale: u.Locale, CreatedAt: instant{u.CreatedAt},
	}
	return m.save(ctx, uuid.Nil, func(tx *gorm.DB) *gorm.DB {
		return tx.Clauses(replace([]string{"id"}, "email", "email_folded", "first_name", "last_name",
			"locale")).Create(&row)
	})
}

// AddMember adds a user to an account. It changes nothing if they are a member already.
func (m manifests) AddMember(ctx context.Context, accountID uuid.UUID, u user.User, at time.Time) error {
	row := accountUserRow{
		AccountID: accountID, UserID: u.ID, EmailFolded: user.Fold(u.Email), Email: u.Email,
		FirstName: u.FirstName, LastName: u.LastName, Locale: u.Locale,
		AcceptedAt: instant{at}, CreatedAt: instant{at}, UpdatedAt: instant{at},
	}
	return m.add(ctx, accountID, []accountUserRow{row})
}

// SaveMember updates an account's record of a user and accepts the membership.
func (m manifests) SaveMember(ctx context.Context, accountID uuid.UUID, u user.User, at time.Time) error {
	return m.save(ctx, accountID, func(tx *gorm.DB) *gorm.DB {
		return tx.Table("account_users").Where("account_id = ? AND user_id = ?", accountID,
			u.ID).Updates(map[string]any{
			"first_name": u.FirstName, "last_name": u.LastName, "locale": u.Locale, "updated_at": instant{at},
			"accepted_at": gorm.Expr("coalesce(accepted_at, ?)", instant{at}),
		})
	})
}

// SaveStoreMember inserts or updates a user's place in a store. The user must be a member of the account.
func (m manifests) SaveStoreMember(ctx context.Context, accountID uuid.UUID, s user.StoreMember) error {
	row := storeUserRow{
		AccountID: accountID, ID: s.ID, StoreID: s.StoreID, UserID: s.User.ID, Status: string(s.Status),
		Permissions: joined(s.Permissions), LastLoginAt: instant{s.LastLoginAt}, UpdatedAt: instant{s.UpdatedAt},
	}
	return m.save(ctx, accountID, func(tx *gorm.DB) *gorm.DB {
		return tx.Clauses(replace([]string{"account_id", "id"}, "status", "permissions", "last_login_at",
			"updated_at")).Create(&row)
	})
}

// Touch sets the time of the last change of a user's membership.
func (m manifests) Touch(ctx context.Context, accountID, userID uuid.UUID, at time.Time) error {
	return m.save(ctx, accountID, func(tx *gorm.DB) *gorm.DB {
		done := tx.Table("account_users").Where("account_id = ? AND user_id = ?", accountID,
			userID).Update("updated_at", instant{at})
		done.RowsAffected = 1 // a user without membership is not a conflict
		return done
	})
}

// add inserts rows, a slice, and skips rows that exist.
func (m manifests) add(ctx context.Context, accountID uuid.UUID, rows any) error {
	return m.save(ctx, accountID, func(tx *gorm.DB) *gorm.DB {
		done := tx.Clauses(clause.OnConflict{DoNothing: true}).Create(rows)
		done.RowsAffected = 1 // inserting nothing is not a conflict
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
		rows[i] = storeAppRow{AccountID: accountID, StoreID: storeID, AppID: id}
	}
	return m.add(ctx, accountID, rows)
}

// GrantApps allows a store's member to use apps.
func (m manifests) GrantApps(ctx context.Context, accountID, memberID uuid.UUID, appIDs []int64) error {
	if len(appIDs) == 0 {
		return nil
	}
	rows := make([]storeUserAppRow, len(appIDs))
	for i, id := range appIDs {
		rows[i] = storeUserAppRow{AccountID: accountID, MemberID: memberID, AppID: id}
	}
	return m.add(ctx, accountID, rows)
}

// Record inserts an audit event.
func (m manifests) Record(ctx context.Context, e audit.Event) error {
	return m.save(ctx, e.AccountID, func(tx *gorm.DB) *gorm.DB {
		tx.RowsAffected = 1
		_ = tx.AddError(appendEvents(tx, e)) // AddError returns tx's own error
		return tx
	})
}
