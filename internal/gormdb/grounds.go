package gormdb

import (
	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"latchkey/internal/signin"
)

// hold locks what the grounds name until the transaction ends, and returns
// Refused with WhyChanged if one of them no longer holds. The user's row comes
// first: whoever changes the password or removes a factor locks it as well, so
// that a change and what rests on the state before it are one after the other.
func hold(tx *gorm.DB, g signin.Grounds) error {
	lock := tx.Session(&gorm.Session{}).Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Session(&gorm.Session{})
	changed := signin.Refuse(signin.WhyChanged, nil)
	person, err := one[knownRow](lock.Where("id = ?", g.UserID), changed)
	if err != nil {
		return err
	}
	if signin.VersionOf(textOf(person.PasswordHash)) != g.Password {
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
