package gormdb

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
)

func noLink() *fault.Error { return signin.ErrNoLink() }

// SaveLink inserts a link, and deletes the links that it replaces and expired ones. It keeps expired invitations of
// accounts: one for each user, until the account sends another or the user accepts or is removed.
func (s signIns) SaveLink(ctx context.Context, by auth.Actor, l signin.Link, digest secret.KeyedDigest,
	own []audit.Event) error {
	row := linkRow{
		ID: l.ID, Purpose: string(l.Purpose), UserID: optional(l.UserID), AccountID: optional(l.AccountID),
		ShownTo: optional(l.ShownTo),
		Server:  l.Server, Digest: digest.Digest[:], DigestKey: string(digest.Key), CreatedAt: instant{l.CreatedAt},
		ExpiresAt:  instant{l.ExpiresAt},
		ByOperator: l.ByOperator,
	}
	err := s.write(ctx, by, held{}, func(tx *gorm.DB) error {
		if err := holdInvited(tx, l); err != nil {
			return err
		}
		replaced := tx.Where("expires_at <= ? AND (purpose <> ? OR account_id IS NULL)", instant{l.CreatedAt},
			string(signin.Invitation))
		if l.UserID != uuid.Nil {
			// An invitation of one account does not replace that of another.
			replaced = replaced.Or("user_id = ? AND purpose = ? AND coalesce(CAST(account_id AS text), '') = ?",
				l.UserID, row.Purpose, textOfID(l.AccountID))
		} else {
			replaced = replaced.Or("user_id IS NULL AND server = ?", l.Server)
		}
		if err := tx.Where(replaced).Delete(&linkRow{}).Error; err != nil {
			return err
		}
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
		return appendEvents(tx, own...)
	})
	return failed(ctx, "insert a link", err)
}

// holdInvited is holdMember for the user who receives a link of an account. It does nothing for a link without
// account.
func holdInvited(tx *gorm.DB, l signin.Link) error {
	if l.AccountID == uuid.Nil {
		return nil
	}
	var member []struct {
		UserID      uuid.UUID
		EmailFolded string
	}
	q := tx.Table("account_users").Where("account_id = ?", l.AccountID).
		Where("user_id = ? OR email_folded = (SELECT email_folded FROM users WHERE id = ?)", l.UserID, l.UserID)
	if err := q.Select("user_id, email_folded").Scan(&member).Error; err != nil {
		return err
	}
	if len(member) == 0 {
		return errNoMember()
	}
	folded, err := holdMember(tx, l.AccountID, member[0].UserID)
	if err == nil && folded != member[0].EmailFolded { // the address was changed meanwhile
		err = errNoMember()
	}
	return err
}

// Link returns the link with the digest.
func (s signIns) Link(ctx context.Context, candidates []secret.KeyedDigest, at time.Time) (signin.OpenLink, error) {
	digests := make([][]byte, len(candidates))
	for i, c := range candidates {
		digests[i] = c.Digest[:]
	}
	row, err := one[linkRow](s.engine.reader(ctx).Where("digest IN ? AND expires_at > ?", digests, instant{at}),
		noLink())
	if err != nil {
		return signin.OpenLink{}, failed(ctx, "read a link", err)
	}
	found := signin.OpenLink{Link: row.link()}
	if found.UserID == uuid.Nil {
		return found, nil
	}
	if found.Person, err = s.PersonByID(ctx, found.UserID); err != nil {
		return signin.OpenLink{}, err
	}
	all, err := s.Accounts(ctx, found.UserID)
	for _, a := range all {
		if a.ID != found.AccountID {
			found.Elsewhere = found.Elsewhere || !a.Pending
			continue
		}
		found.AccountName, found.AccountOwner, found.Membership = a.Name, a.OwnerID, a
	}
	return found, err
}

// invitationRow is an invitation with the user of the account who is invited.
type invitationRow struct {
	Member uuid.UUID
	Link   linkRow `gorm:"embedded"`
}

// Invitations returns the invitation of each user that expires last. A link that was shown has the user's id, and one
// that was mailed that of the person with the same address.
func (s signIns) Invitations(ctx context.Context, accountID uuid.UUID,
	userIDs []uuid.UUID) (map[uuid.UUID]signin.Link, error) {
	const of = "SELECT m.user_id AS member, l.* FROM account_users AS m JOIN links AS l ON l.account_id = m.account_id" +
		" AND l.user_id IN (m.user_id, (SELECT p.id FROM users AS p WHERE p.email_folded = m.email_folded))" +
		" WHERE m.account_id = ? AND m.user_id IN ? AND m.accepted_at IS NULL AND l.purpose = ?" +
		" ORDER BY l.expires_at"
	var rows []invitationRow
	err := s.engine.reader(ctx).Raw(of, accountID, userIDs, string(signin.Invitation)).Scan(&rows).Error
	found := make(map[uuid.UUID]signin.Link, len(rows))
	for _, r := range rows {
		found[r.Member] = r.Link.link()
	}
	return found, failed(ctx, "read invitations", err)
}

// textOfID returns a UUID as text, or "" for the zero UUID.
func textOfID(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

// EndLink deletes a link.
func (s signIns) EndLink(ctx context.Context, id uuid.UUID) error {
	err := s.write(ctx, auth.NoActor("a link that could not be delivered is deleted"), held{}, func(tx *gorm.DB) error {
		return tx.Delete(&linkRow{}, "id = ?", id).Error
	})
	return failed(ctx, "delete a link", err)
}
