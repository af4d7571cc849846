package gormdb

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/signin"
)

type passkeyRow struct {
	ID             uuid.UUID
	UserID         uuid.UUID
	Name           string
	Site           string
	CredentialID   []byte
	PublicKey      []byte
	SignCount      int64
	Transports     string
	BackupEligible bool
	CreatedAt      instant
	LastUsedAt     instant
}

// TableName tells gorm the table.
func (passkeyRow) TableName() string { return "passkeys" }

func (r passkeyRow) passkey() signin.Passkey {
	return signin.Passkey{
		ID: r.ID, UserID: r.UserID, Name: r.Name, Site: r.Site, CredentialID: r.CredentialID, PublicKey: r.PublicKey,
		SignCount: uint32(r.SignCount), Transports: strings.Fields(r.Transports), BackupEligible: r.BackupEligible, //nolint:gosec // as it was kept
		CreatedAt: r.CreatedAt.Time, LastUsedAt: r.LastUsedAt.Time,
	}
}

type identityRow struct {
	ID         uuid.UUID
	UserID     uuid.UUID
	Issuer     string
	Subject    string
	Email      string
	CreatedAt  instant
	LastUsedAt instant
}

// TableName tells gorm the table.
func (identityRow) TableName() string { return "identities" }

func (r identityRow) identity() signin.Identity {
	return signin.Identity{
		ID: r.ID, UserID: r.UserID, Issuer: r.Issuer, Subject: r.Subject, Email: r.Email, CreatedAt: r.CreatedAt.Time, LastUsedAt: r.LastUsedAt.Time,
	}
}

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

// AddPasskey keeps a passkey.
func (s signIns) AddPasskey(ctx context.Context, by auth.Actor, p signin.Passkey, g signin.Grounds, events []audit.Event) error {
	row := passkeyRow{
		ID: p.ID, UserID: p.UserID, Name: p.Name, Site: p.Site, CredentialID: p.CredentialID, PublicKey: p.PublicKey, SignCount: int64(p.SignCount),
		Transports: joined(p.Transports), BackupEligible: p.BackupEligible, CreatedAt: instant{p.CreatedAt}, LastUsedAt: instant{p.LastUsedAt},
	}
	err := s.telling(ctx, by, g.UserID, events, func(tx *gorm.DB) error {
		if err := hold(tx, g); err != nil {
			return err
		}
		return tx.Create(&row).Error
	})
	return failed(ctx, "keep a passkey", err)
}

func noPasskey() error { return fault.Errorf(fault.NotFound, "You have no such passkey.") }

// RenamePasskey gives a passkey another name.
func (s signIns) RenamePasskey(ctx context.Context, by auth.Actor, g signin.Grounds, id uuid.UUID, name string) error {
	err := s.telling(ctx, by, g.UserID, nil, func(tx *gorm.DB) error {
		if err := hold(tx, g); err != nil {
			return err
		}
		return missingUnless(tx.Model(&passkeyRow{}).Where("user_id = ? AND id = ?", g.UserID, id).Update("name", name), noPasskey())
	})
	return failed(ctx, "rename a passkey", err)
}

// UsedPasskey notes a use of a passkey.
func (s signIns) UsedPasskey(ctx context.Context, id uuid.UUID, count uint32, at time.Time) error {
	err := s.write(ctx, proving, held{}, func(tx *gorm.DB) error {
		used := tx.Model(&passkeyRow{}).Where("id = ?", id).Updates(map[string]any{"sign_count": int64(count), "last_used_at": instant{at}})
		return missingUnless(used, noPasskey())
	})
	return failed(ctx, "note the use of a passkey", err)
}

// Identity returns who has the subject at the issuer.
func (s signIns) Identity(ctx context.Context, issuer, subject string) (signin.Identity, error) {
	missing := fault.Errorf(fault.NotFound, "Nobody is linked to this.")
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

// LinkIdentity keeps an identity.
func (s signIns) LinkIdentity(ctx context.Context, by auth.Actor, i signin.Identity, how signin.Linking, g signin.Grounds, events []audit.Event) error {
	row := identityRow{
		ID: i.ID, UserID: i.UserID, Issuer: i.Issuer, Subject: i.Subject, Email: i.Email, CreatedAt: instant{i.CreatedAt}, LastUsedAt: instant{i.LastUsedAt},
	}
	err := s.telling(ctx, by, g.UserID, events, func(tx *gorm.DB) error {
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

// unlinkedRow is an identity that its user unlinked.
type unlinkedRow struct {
	UserID     uuid.UUID
	Issuer     string
	Subject    string
	UnlinkedAt instant
}

// TableName tells gorm the table.
func (unlinkedRow) TableName() string { return "unlinked_identities" }

// relink returns Refused with WhyUnlinked for an identity that its user unlinked,
// or forgets that if the user links it on purpose.
func relink(tx *gorm.DB, i identityRow, how signin.Linking) error {
	const where = "user_id = ? AND issuer = ? AND subject = ?"
	if how == signin.OnPurpose {
		return tx.Where(where, i.UserID, i.Issuer, i.Subject).Delete(&unlinkedRow{}).Error
	}
	var n int64
	err := tx.Model(&unlinkedRow{}).Where(where, i.UserID, i.Issuer, i.Subject).Count(&n).Error
	if err == nil && n > 0 {
		err = signin.Refuse(signin.WhyUnlinked, nil)
	}
	return err
}

// UsedIdentity notes a use of an identity.
func (s signIns) UsedIdentity(ctx context.Context, id uuid.UUID, at time.Time) error {
	err := s.write(ctx, proving, held{}, func(tx *gorm.DB) error {
		return tx.Model(&identityRow{}).Where("id = ?", id).Update("last_used_at", instant{at}).Error
	})
	return failed(ctx, "note the use of an identity", err)
}

// Remove removes a passkey or an identity.
func (s signIns) Remove(ctx context.Context, by auth.Actor, g signin.Grounds, id uuid.UUID, at time.Time, check func(signin.Ways) error, event func(signin.Removed) []audit.Event) error {
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
			ways.Passkeys = append(ways.Passkeys, p.Site)
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
			row := unlinkedRow{i.UserID, i.Issuer, i.Subject, instant{at}}
			// A program of the version before links what was unlinked.
			if err := tx.Clauses(clause.OnConflict{DoNothing: true}).Create(&row).Error; err != nil {
				return err
			}
		}
		return removeFactors(tx, gone, event)
	})
	return failed(ctx, "remove a passkey or an identity", err)
}

// holdFactors reads the passkeys and identities of a person, and whether they
// have a password. Whoever else removes one waits until the transaction ends.
func holdFactors(tx *gorm.DB, userID uuid.UUID) (all signin.Removed, ways signin.Ways, err error) {
	lock := tx.Clauses(clause.Locking{Strength: "NO KEY UPDATE"})
	person, err := one[knownRow](lock.Where("id = ?", userID), fault.Errorf(fault.NotFound, "There is no such person."))
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

// removeFactors removes passkeys and identities, and tells of all that is gone.
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
	return recordAll(tx, event(gone))
}

// RemoveAll removes all that a person proves who they are with besides a
// password.
func (s signIns) RemoveAll(ctx context.Context, by auth.Actor, userID uuid.UUID, event func(signin.Removed) []audit.Event) (signin.Removed, error) {
	var gone signin.Removed
	err := s.write(ctx, by, held{person: userID}, func(tx *gorm.DB) (err error) {
		gone, err = removeAll(tx, userID, event)
		return err
	})
	return gone, failed(ctx, "remove what a person is known by", err)
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

// dropKnown removes what a person is known by besides their password when a
// password that others may have known gives way to one that is theirs alone:
// whoever knew it may have added a passkey.
func dropKnown(tx *gorm.DB, p signin.NewPassword) error {
	if p.VouchedBy != uuid.Nil {
		return nil
	}
	var vouched []uuid.UUID
	if err := tx.Table("users").Where("id = ? AND vouched_by IS NOT NULL", p.UserID).Pluck("id", &vouched).Error; err != nil || len(vouched) == 0 {
		return err
	}
	_, err := removeAll(tx, p.UserID, p.Removed)
	return err
}

// CountOwners returns how many people own an account, and how many of them can
// sign in without a password.
func (s signIns) CountOwners(ctx context.Context, site, issuer string) (all, ready int, err error) {
	var row struct{ Owners, Ready int }
	err = s.engine.reader(ctx).Raw(`SELECT count(*) AS owners, count(CASE WHEN
			EXISTS (SELECT 1 FROM passkeys AS p WHERE p.user_id = o.id AND p.site = ?) OR
			EXISTS (SELECT 1 FROM identities AS i WHERE i.user_id = o.id AND i.issuer = ?) THEN 1 END) AS ready
		FROM (SELECT DISTINCT coalesce(u.id, a.owner_id) AS id FROM accounts AS a
			LEFT JOIN account_users AS m ON m.account_id = a.id AND m.user_id = a.owner_id
			LEFT JOIN users AS u ON u.email_folded = m.email_folded) AS o`, site, issuer).Scan(&row).Error
	return row.Owners, row.Ready, failed(ctx, "count owners", err)
}
