package gormdb

import (
	"context"

	"gorm.io/gorm"

	"latchkey/internal/auth"
)

// PublicURL returns the URL at which clients reach the servers of the database, as the server that started last
// recorded it. It is empty if none did.
func PublicURL(ctx context.Context, db *DB) (string, error) {
	var url string
	err := db.engine.reader(ctx).Raw("SELECT url FROM public_url").Scan(&url).Error
	return url, failed(ctx, "read the public URL", err)
}

// RecordPublicURL records the URL at which clients reach this server, for commands.
func RecordPublicURL(ctx context.Context, db *DB, url string) error {
	if recorded, err := PublicURL(ctx, db); err != nil || recorded == url {
		return err
	}
	err := db.write(ctx, auth.NoActor("the server says how clients reach it"), held{}, func(tx *gorm.DB) error {
		return tx.Exec("INSERT INTO public_url (id, url) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET url = excluded.url",
			url).Error
	})
	return failed(ctx, "record the public URL", err)
}
