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

type linkRow struct {
	ID        uuid.UUID
	Purpose   string
	UserID    uuid.NullUUID
	AccountID uuid.NullUUID
	ShownTo   uuid.NullUUID
	Server    string
	Digest    []byte
	DigestKey string
	CreatedAt instant
	ExpiresAt instant
	// ByOperator reports whether the operator was shown the link.
	ByOperator bool
}

// TableName tells gorm the table.
func (linkRow) TableName() string { return "links" }

func noLink() *fault.Error { return signin.ErrNoLink() }

func (r linkRow) link() signin.Link {
	return signin.Link{
		ID: r.ID, Purpose: signin.Purpose(r.Purpose), UserID: r.UserID.UUID, AccountID: r.AccountID.UUID, ShownTo: r.ShownTo.UUID,
		Server: r.Server, ByOperator: r.ByOperator, CreatedAt: r.CreatedAt.Time, ExpiresAt: r.ExpiresAt.Time,
	}
}

// KeepLink keeps a link, and ends those that it replaces and those that have
// expired.
func (s signIns) KeepLink(ctx context.Context, by auth.Actor, l signin.Link, digest secret.KeyedDigest, own []audit.Event) error {
	row := linkRow{
		ID: l.ID, Purpose: string(l.Purpose), UserID: optional(l.UserID), AccountID: optional(l.AccountID), ShownTo: optional(l.ShownTo),
		Server: l.Server, Digest: digest.Digest[:], DigestKey: string(digest.Key), CreatedAt: instant{l.CreatedAt}, ExpiresAt: instant{l.ExpiresAt},
		ByOperator: l.ByOperator,
	}
	err := s.write(ctx, by, held{}, func(tx *gorm.DB) error {
		replaced := tx.Where("expires_at <= ?", instant{l.CreatedAt})
		if l.UserID != uuid.Nil {
			// An invitation of one account does not end that of another.
			replaced = replaced.Or("user_id = ? AND purpose = ? AND coalesce(CAST(account_id AS text), '') = ?", l.UserID, row.Purpose, textOfID(l.AccountID))
		} else {
			replaced = replaced.Or("user_id IS NULL AND server = ?", l.Server)
		}
		if err := tx.Where(replaced).Delete(&linkRow{}).Error; err != nil {
			return err
		}
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
		return recordAll(tx, own)
	})
	return failed(ctx, "keep a link", err)
}

// Link returns the link of a digest.
func (s signIns) Link(ctx context.Context, candidates []secret.KeyedDigest, at time.Time) (signin.OpenLink, error) {
	digests := make([][]byte, len(candidates))
	for i, c := range candidates {
		digests[i] = c.Digest[:]
	}
	row, err := one[linkRow](s.engine.reader(ctx).Where("digest IN ? AND expires_at > ?", digests, instant{at}), noLink())
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

// textOfID is a UUID as text; empty for the zero one.
func textOfID(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

// EndLink ends a link.
func (s signIns) EndLink(ctx context.Context, id uuid.UUID) error {
	err := s.write(ctx, auth.NoActor("a link that reached nobody is taken back"), held{}, func(tx *gorm.DB) error {
		return tx.Delete(&linkRow{}, "id = ?", id).Error
	})
	return failed(ctx, "end a link", err)
}
