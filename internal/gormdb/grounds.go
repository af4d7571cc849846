package gormdb

import (
	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"latchkey/internal/signin"
)

// hold locks the rows that the grounds name until the transaction ends, and returns Refused with ReasonChanged if one
// of them has changed. It locks the user's row first. A change of the password or removal of a factor locks that row as
// well, so such a change is strictly ordered with a write that relies on the state before it.
func hold(tx *gorm.DB, g signin.Grounds) error {
	lock := tx.Session(&gorm.Session{}).Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Session(&gorm.Session{})
	changed := signin.Refuse(signin.ReasonChanged, nil)
	person, err := one[userRow](lock.Where("id = ?", g.UserID), changed)
	if err != nil {
		return err
	}
	if signin.VersionOf(textOf(person.PasswordHash), person.PasswordID.UUID) != g.Password {
		return changed
	}
	for _, each := range []struct {
		id    uuid.UUID
		table string
		where string
	}{
		{g.Passkey, "passkeys", "id = ? AND user_id = ?"},
		{g.Identity, "identities", "id = ? AND user_id = ?"},
		{g.Session, "sessions", "id = ? AND coalesce(person_id, user_id) = ? AND ended_at IS NULL"},
	} {
		if each.id == uuid.Nil {
			continue
		}
		var found []uuid.UUID
		if err := lock.Table(each.table).Where(each.where, each.id, g.UserID).Pluck("id", &found).Error; err != nil {
			return err
		}
		if len(found) == 0 {
			return changed
		}
	}
	return nil
}
