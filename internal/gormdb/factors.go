package gormdb

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/signin"
)

// Passkeys returns a person's passkeys.
func (s signIns) Passkeys(ctx context.Context, userID uuid.UUID) ([]signin.Passkey, error) {
	all, err := passkeysOf(s.engine.reader(ctx), userID)
	return all, failed(ctx, "read passkeys", err)
}

func passkeysOf(q *gorm.DB, userID uuid.UUID) ([]signin.Passkey, error) {
	var rows []passkeyRow
	if err := q.Where("user_id = ?", userID).Order("id").Find(&rows).Error; err != nil {
		return nil, err
	}
	all := make([]signin.Passkey, len(rows))
	for i, row := range rows {
		all[i] = row.passkey()
	}
	return all, nil
}

// AddPasskey inserts a passkey.
func (s signIns) AddPasskey(ctx context.Context, by auth.Actor, p signin.Passkey, g signin.Grounds,
	events []audit.Event) error {
	row := passkeyRow{
		ID: p.ID, UserID: p.UserID, Name: p.Name, Site: p.Site, CredentialID: p.CredentialID, PublicKey: p.PublicKey,
		SignCount:  int64(p.SignCount),
		Transports: joined(p.Transports), BackupEligible: p.BackupEligible, CreatedAt: instant{p.CreatedAt},
		LastUsedAt: instant{p.LastUsedAt},
	}
	err := s.withEvents(ctx, by, g.UserID, events, func(tx *gorm.DB) error {
		if err := hold(tx, g); err != nil {
			return err
		}
		var n int64
		if err := tx.Model(&passkeyRow{}).Where("user_id = ?", g.UserID).Count(&n).Error; err != nil {
			return err
		}
		if n >= signin.MaxPasskeys {
			return signin.ErrTooManyPasskeys()
		}
		return tx.Create(&row).Error
	})
	return failed(ctx, "insert a passkey", err)
}

func noPasskey() error { return fault.Errorf(fault.NotFound, "You have no such passkey.") }

// RenamePasskey renames a passkey.
func (s signIns) RenamePasskey(ctx context.Context, by auth.Actor, g signin.Grounds, id uuid.UUID, name string) error {
	err := s.withEvents(ctx, by, g.UserID, nil, func(tx *gorm.DB) error {
		if err := hold(tx, g); err != nil {
			return err
		}
		return requireRow(tx.Model(&passkeyRow{}).Where("user_id = ? AND id = ?", g.UserID, id).Update("name", name),
			noPasskey())
	})
	return failed(ctx, "rename a passkey", err)
}

// UsedPasskey records a use of a passkey.
func (s signIns) UsedPasskey(ctx context.Context, id uuid.UUID, count uint32, at time.Time) error {
	err := s.write(ctx, proving, held{}, func(tx *gorm.DB) error {
		used := tx.Model(&passkeyRow{}).Where("id = ?",
			id).Updates(map[string]any{"sign_count": int64(count), "last_used_at": instant{at}})
		return requireRow(used, noPasskey())
	})
	return failed(ctx, "record the use of a passkey", err)
}

// Identity returns the identity with the subject at the issuer.
func (s signIns) Identity(ctx context.Context, issuer, subject string) (signin.Identity, error) {
	missing := fault.Errorf(fault.NotFound, "No user is linked to this identity.")
	row, err := one[identityRow](s.engine.reader(ctx).Where("issuer = ? AND subject = ?", issuer, subject), missing)
	return row.identity(), failed(ctx, "read an identity", err)
}

// Identities returns a person's identities.
func (s signIns) Identities(ctx context.Context, userID uuid.UUID) ([]signin.Identity, error) {
	all, err := identitiesOf(s.engine.reader(ctx), userID)
	return all, failed(ctx, "read identities", err)
}

func identitiesOf(q *gorm.DB, userID uuid.UUID) ([]signin.Identity, error) {
	var rows []identityRow
	if err := q.Where("user_id = ?", userID).Order("id").Find(&rows).Error; err != nil {
		return nil, err
	}
	all := make([]signin.Identity, len(rows))
	for i, row := range rows {
		all[i] = row.identity()
	}
	return all, nil
}

// LinkIdentity inserts an identity.
func (s signIns) LinkIdentity(ctx context.Context, by auth.Actor, i signin.Identity, how signin.Linking,
	g signin.Grounds, events []audit.Event) error {
	row := identityRow{
		ID: i.ID, UserID: i.UserID, Issuer: i.Issuer, Subject: i.Subject, Email: i.Email,
		CreatedAt: instant{i.CreatedAt}, LastUsedAt: instant{i.LastUsedAt},
	}
	err := s.withEvents(ctx, by, g.UserID, events, func(tx *gorm.DB) error {
		if err := hold(tx, g); err != nil {
			return err
		}
		if err := relink(tx, row, how); err != nil {
			return err
		}
		return tx.Create(&row).Error
	})
	return failed(ctx, "link an identity", err)
}

// relink returns Refused with ReasonUnlinked for an identity that its user unlinked. If the user links it on purpose,
// relink deletes the record of that instead.
func relink(tx *gorm.DB, i identityRow, how signin.Linking) error {
	const where = "user_id = ? AND issuer = ? AND subject = ?"
	if how == signin.LinkByUser {
		return tx.Where(where, i.UserID, i.Issuer, i.Subject).Delete(&unlinkedRow{}).Error
	}
	var n int64
	err := tx.Model(&unlinkedRow{}).Where(where, i.UserID, i.Issuer, i.Subject).Count(&n).Error
	if err == nil && n > 0 {
		err = signin.Refuse(signin.ReasonUnlinked, nil)
	}
	return err
}

// UsedIdentity records a use of an identity.
func (s signIns) UsedIdentity(ctx context.Context, id uuid.UUID, at time.Time) error {
	err := s.write(ctx, proving, held{}, func(tx *gorm.DB) error {
		return tx.Model(&identityRow{}).Where("id = ?", id).Update("last_used_at", instant{at}).Error
	})
	return failed(ctx, "record the use of an identity", err)
}

// Remove removes a passkey or an identity.
func (s signIns) Remove(ctx context.Context, by auth.Actor, g signin.Grounds, id uuid.UUID, at time.Time,
	check func(signin.Options) error, event func(signin.Removed) []audit.Event) error {
	err := s.write(ctx, by, held{person: g.UserID}, func(tx *gorm.DB) error {
		if err := hold(tx, g); err != nil {
			return err
		}
		all, ways, err := holdFactors(tx, g.UserID)
		if err != nil {
			return err
		}
		var gone signin.Removed
		for _, p := range all.Passkeys {
			if p.ID == id {
				gone.Passkeys = append(gone.Passkeys, p)
				continue
			}
			ways.Passkeys = append(ways.Passkeys, p)
		}
		for _, i := range all.Identities {
			if i.ID == id {
				gone.Identities = append(gone.Identities, i)
				continue
			}
			ways.Issuers = append(ways.Issuers, i.Issuer)
		}
		if len(gone.Passkeys)+len(gone.Identities) == 0 {
			return fault.Errorf(fault.NotFound, "You have no such passkey or link.")
		}
		if err := check(ways); err != nil {
			return err
		}
		for _, i := range gone.Identities {
			row := unlinkedRow{UserID: i.UserID, Issuer: i.Issuer, Subject: i.Subject, UnlinkedAt: instant{at}}
			// A server of the previous version may have linked it again, so the row may exist.
			if err := tx.Clauses(clause.OnConflict{DoNothing: true}).Create(&row).Error; err != nil {
				return err
			}
		}
		return removeFactors(tx, gone, event)
	})
	return failed(ctx, "remove a passkey or an identity", err)
}

// holdFactors reads the passkeys and identities of a person, and whether the person has a password. It locks the
// person: other removals wait until the transaction ends.
func holdFactors(tx *gorm.DB, userID uuid.UUID) (all signin.Removed, ways signin.Options, err error) {
	lock := tx.Clauses(clause.Locking{Strength: "NO KEY UPDATE"})
	person, err := one[userRow](lock.Where("id = ?", userID), errNoPerson())
	if err != nil {
		return all, ways, err
	}
	ways.Password = textOf(person.PasswordHash) != ""
	if all.Passkeys, err = passkeysOf(tx, userID); err != nil {
		return all, ways, err
	}
	all.Identities, err = identitiesOf(tx, userID)
	return all, ways, err
}

// removeFactors deletes passkeys and identities, and records the events for everything removed.
func removeFactors(tx *gorm.DB, gone signin.Removed, event func(signin.Removed) []audit.Event) error {
	for _, p := range gone.Passkeys {
		if err := tx.Where("id = ?", p.ID).Delete(&passkeyRow{}).Error; err != nil {
			return err
		}
	}
	for _, i := range gone.Identities {
		if err := tx.Where("id = ?", i.ID).Delete(&identityRow{}).Error; err != nil {
			return err
		}
	}
	return appendEvents(tx, event(gone)...)
}

// RemoveAll removes all factors of a person except the password.
func (s signIns) RemoveAll(ctx context.Context, by auth.Actor, userID uuid.UUID,
	event func(signin.Removed) []audit.Event) (signin.Removed, error) {
	var gone signin.Removed
	err := s.write(ctx, by, held{person: userID}, func(tx *gorm.DB) (err error) {
		gone, err = removeAll(tx, userID, event)
		return err
	})
	return gone, failed(ctx, "remove a person's factors", err)
}

func removeAll(tx *gorm.DB, userID uuid.UUID, event func(signin.Removed) []audit.Event) (signin.Removed, error) {
	gone, _, err := holdFactors(tx, userID)
	if err != nil {
		return gone, err
	}
	if err := tx.Where("user_id = ?", userID).Delete(&unlinkedRow{}).Error; err != nil {
		return gone, err
	}
	codes := tx.Where("user_id = ?", userID).Delete(&codeRow{})
	if codes.Error != nil {
		return gone, codes.Error
	}
	app := tx.Where("user_id = ?", userID).Delete(&totpRow{})
	if app.Error != nil {
		return gone, app.Error
	}
	gone.RecoveryCodes, gone.TOTP = int(codes.RowsAffected), app.RowsAffected > 0
	return gone, removeFactors(tx, gone, event)
}

// dropKnown removes all factors of a person except the password when a password that others may know is replaced by
// one that only the person knows: others may have added a passkey.
func dropKnown(tx *gorm.DB, p signin.NewPassword) error {
	if p.VouchedBy != uuid.Nil {
		return nil
	}
	var vouched []uuid.UUID
	if err := tx.Table("users").Where("id = ? AND vouched_by IS NOT NULL", p.UserID).Pluck("id",
		&vouched).Error; err != nil || len(vouched) == 0 {
		return err
	}
	_, err := removeAll(tx, p.UserID, p.Removed)
	return err
}

// ownersSQL selects the owners of the accounts.
const ownersSQL = `SELECT DISTINCT coalesce(u.id, a.owner_id) AS id FROM accounts AS a
	LEFT JOIN account_users AS m ON m.account_id = a.id AND m.user_id = a.owner_id
	LEFT JOIN users AS u ON u.email_folded = m.email_folded`

// CountOwners returns how many owners the accounts have, and how many of them can sign in without a password.
func (s signIns) CountOwners(ctx context.Context, issuer string, works func(signin.Passkey) bool) (all, ready int,
	err error) {
	var owners []struct {
		ID     uuid.UUID
		Linked bool
	}
	var passkeys []passkeyRow
	err = s.engine.reader(ctx).Raw("SELECT o.id, EXISTS (SELECT 1 FROM identities AS i WHERE i.user_id = o.id AND "+
		"i.issuer = ?) AS linked FROM ("+ownersSQL+") AS o", issuer).Scan(&owners).Error
	if err == nil {
		err = s.engine.reader(ctx).Where("user_id IN (" + ownersSQL + ")").Find(&passkeys).Error
	}
	signsIn := map[uuid.UUID]bool{}
	for _, row := range passkeys {
		signsIn[row.UserID] = signsIn[row.UserID] || works(row.passkey())
	}
	for _, o := range owners {
		if o.Linked || signsIn[o.ID] {
			ready++
		}
	}
	return len(owners), ready, failed(ctx, "count owners", err)
}
