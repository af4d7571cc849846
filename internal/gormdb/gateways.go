package gormdb

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/gateway/keys"
	"latchkey/internal/secret"
)

// gateways implements gateway.Repository.
type gateways struct{ *DB }

var _ keys.Repository = gateways{}

// Gateways returns the repository of gateway keys.
func (db *DB) Gateways() keys.Repository { return gateways{db} }

// Insert inserts a key.
func (g gateways) Insert(ctx context.Context, by auth.Actor, k keys.Key, digest secret.KeyedDigest) error {
	row := gatewayRow{
		ID: k.ID, Name: k.Name, Digest: digest.Digest[:], DigestKey: string(digest.Key), Hint: k.Hint,
		CreatedAt: instant{k.CreatedAt}, RevokedAt: instant{k.RevokedAt},
	}
	err := g.write(ctx, by, held{}, func(tx *gorm.DB) error { return tx.Create(&row).Error })
	return failed(ctx, "insert a gateway's key", err)
}

// List returns all keys.
func (g gateways) List(ctx context.Context) ([]keys.Key, error) {
	var rows []gatewayRow
	if err := g.engine.reader(ctx).Order("id DESC").Find(&rows).Error; err != nil {
		return nil, failed(ctx, "list gateways' keys", err)
	}
	keys := make([]keys.Key, len(rows))
	for i, r := range rows {
		keys[i] = r.key()
	}
	return keys, nil
}

// Revoke revokes a key.
func (g gateways) Revoke(ctx context.Context, by auth.Actor, id uuid.UUID, at time.Time) (keys.Key, error) {
	var k keys.Key
	err := g.ending(ctx, by, func(tx *gorm.DB) error {
		err := tx.Model(&gatewayRow{}).Where("id = ? AND revoked_at IS NULL", id).Update("revoked_at",
			instant{at}).Error
		if err != nil {
			return err
		}
		row, err := one[gatewayRow](tx.Where("id = ?", id), keys.ErrNoKey())
		k = row.key()
		return err
	})
	return k, failed(ctx, "revoke a gateway's key", err)
}

// Delete deletes a key.
func (g gateways) Delete(ctx context.Context, by auth.Actor, id uuid.UUID) error {
	err := g.ending(ctx, by, func(tx *gorm.DB) error {
		deleted := tx.Where("id = ?", id).Delete(&gatewayRow{})
		if deleted.Error == nil && deleted.RowsAffected == 0 {
			return keys.ErrNoKey()
		}
		return deleted.Error
	})
	return failed(ctx, "delete a gateway's key", err)
}

// ending runs work that revokes or deletes a key, and removes it from all caches. Keys belong to no account and are
// cached under the zero UUID.
func (g gateways) ending(ctx context.Context, by auth.Actor, work func(*gorm.DB) error) error {
	err := g.write(ctx, by, held{urgent: true}, func(tx *gorm.DB) error {
		if err := work(tx); err != nil {
			return err
		}
		return g.engine.announce(tx, uuid.Nil)
	})
	g.publish(err, uuid.Nil)
	return err
}

// gatewayFacts is what a look-up reads of a gateway's key.
type gatewayFacts struct {
	ID        uuid.UUID `sql:"g"`
	Name      string    `sql:"g"`
	CreatedAt instant   `sql:"g"`
	RevokedAt instant   `sql:"g"`
}

var (
	gatewayFactColumns = columnsOf[gatewayFacts](nil)
	selectGateway      = gatewayFactColumns.list() + ` FROM gateway_keys AS g`
	readGateway        = reader(gatewayFactColumns, (*gatewayFacts).record)
)

func (f *gatewayFacts) record() (access.Record, error) {
	p := auth.Principal{Kind: auth.Gateway, ID: f.ID, Name: f.Name}
	return access.Record{Principal: p, IssuedAt: f.CreatedAt.Time, Revoked: !f.RevokedAt.IsZero()}, nil
}
