package gormdb

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/gateway"
	"latchkey/internal/secret"
)

// gateways implements gateway.Repository.
type gateways struct{ *DB }

var _ gateway.Repository = gateways{}

// Gateways returns the repository of gateways' keys.
func (db *DB) Gateways() gateway.Repository { return gateways{db} }

type gatewayRow struct {
	ID        uuid.UUID
	Name      string
	Digest    []byte
	DigestKey string
	Hint      string
	CreatedAt instant
	RevokedAt instant
}

// TableName tells gorm the table.
func (gatewayRow) TableName() string { return "gateway_keys" }

func (r gatewayRow) key() gateway.Key {
	return gateway.Key{ID: r.ID, Name: r.Name, Hint: r.Hint, CreatedAt: r.CreatedAt.Time, RevokedAt: r.RevokedAt.Time}
}

// Insert keeps a key.
func (g gateways) Insert(ctx context.Context, by auth.Actor, k gateway.Key, digest secret.KeyedDigest) error {
	row := gatewayRow{
		ID: k.ID, Name: k.Name, Digest: digest.Digest[:], DigestKey: string(digest.Key), Hint: k.Hint,
		CreatedAt: instant{k.CreatedAt}, RevokedAt: instant{k.RevokedAt},
	}
	err := g.write(ctx, by, held{}, func(tx *gorm.DB) error { return tx.Create(&row).Error })
	return failed(ctx, "keep a gateway's key", err)
}

// List returns all keys.
func (g gateways) List(ctx context.Context) ([]gateway.Key, error) {
	var rows []gatewayRow
	if err := g.engine.reader(ctx).Order("id DESC").Find(&rows).Error; err != nil {
		return nil, failed(ctx, "list gateways' keys", err)
	}
	keys := make([]gateway.Key, len(rows))
	for i, r := range rows {
		keys[i] = r.key()
	}
	return keys, nil
}

// Revoke ends a key.
func (g gateways) Revoke(ctx context.Context, by auth.Actor, id uuid.UUID, at time.Time) (gateway.Key, error) {
	var k gateway.Key
	err := g.ending(ctx, by, func(tx *gorm.DB) error {
		err := tx.Model(&gatewayRow{}).Where("id = ? AND revoked_at IS NULL", id).Update("revoked_at", instant{at}).Error
		if err != nil {
			return err
		}
		row, err := one[gatewayRow](tx.Where("id = ?", id), gateway.ErrNoKey())
		k = row.key()
		return err
	})
	return k, failed(ctx, "revoke a gateway's key", err)
}

// Delete removes a key.
func (g gateways) Delete(ctx context.Context, by auth.Actor, id uuid.UUID) error {
	err := g.ending(ctx, by, func(tx *gorm.DB) error {
		deleted := tx.Where("id = ?", id).Delete(&gatewayRow{})
		if deleted.Error == nil && deleted.RowsAffected == 0 {
			return gateway.ErrNoKey()
		}
		return deleted.Error
	})
	return failed(ctx, "delete a gateway's key", err)
}

// ending runs work that ends a key, and tells everybody who may remember it.
// Keys are of no account, and are remembered under the zero UUID.
func (g gateways) ending(ctx context.Context, by auth.Actor, work func(*gorm.DB) error) error {
	err := g.write(ctx, by, held{urgent: true}, func(tx *gorm.DB) error {
		if err := work(tx); err != nil {
			return err
		}
		return g.engine.announce(tx, uuid.Nil)
	})
	g.tell(err, uuid.Nil)
	return err
}

const gatewayByDigest = `SELECT g.digest, g.id, g.name, g.created_at, g.revoked_at FROM gateway_keys AS g WHERE g.digest IN `

func readGateway(scan scan) (access.Record, error) {
	p := auth.Principal{Kind: auth.Gateway}
	var issued, revoked instant
	err := scan((*key)(&p.ID), &p.Name, &issued, &revoked)
	return access.Record{Principal: p, IssuedAt: issued.Time, Ended: !revoked.IsZero()}, err
}
