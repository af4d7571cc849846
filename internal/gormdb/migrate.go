package gormdb

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/pressly/goose/v3"
)

//go:embed migrations
var migrationFiles embed.FS

// Migrations returns the files that make the schema of a dialect, "sqlite" or
// "postgres", in the order of their names.
func Migrations(dialect string) (fs.FS, error) {
	files, err := fs.Sub(migrationFiles, path.Join("migrations", dialect))
	if err != nil {
		return nil, fmt.Errorf("migrations of %s: %w", dialect, err)
	}
	return files, nil
}

// Migrate brings the schema up to this program's version and returns the
// names of the files that it applied. Several processes may migrate at once:
// each file is applied by one of them.
func (db *DB) Migrate(ctx context.Context) (applied []string, err error) {
	err = db.engine.alone(ctx, func() error {
		applied, err = db.migrate(ctx)
		return err
	})
	return applied, failed(ctx, "migrate the database", err)
}

// migrate applies what is missing. SQLite has no lock to hold over several
// transactions, so there a step can fail because another process made it
// first. Then the schema has moved on, and the rest is tried again.
func (db *DB) migrate(ctx context.Context) (applied []string, err error) {
	provider, err := db.provider()
	if err != nil {
		return nil, err
	}
	for {
		have, err := db.version(ctx)
		if err != nil || have >= newest(provider) {
			return applied, err
		}
		results, err := provider.Up(ctx)
		var partial *goose.PartialError
		if errors.As(err, &partial) {
			results = partial.Applied
		}
		for _, r := range results {
			applied = append(applied, path.Base(r.Source.Path))
			db.log.InfoContext(ctx, "migration applied", "file", path.Base(r.Source.Path), "took", r.Duration)
		}
		if err == nil {
			return applied, nil
		}
		if now, versionErr := db.version(ctx); versionErr != nil || now <= have {
			return applied, err
		}
	}
}

func (db *DB) provider() (*goose.Provider, error) {
	files, err := Migrations(db.Dialect())
	if err != nil {
		return nil, err
	}
	dialect, over := db.engine.migrations()
	return goose.NewProvider(dialect, over, files, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
}

func newest(p *goose.Provider) int64 {
	sources := p.ListSources() // in order
	return sources[len(sources)-1].Version
}

// SchemaState returns the version of the schema that the database has, zero
// for an empty one, and the version that this program wants. It changes
// nothing.
func (db *DB) SchemaState(ctx context.Context) (have, want int64, err error) {
	provider, err := db.provider()
	if err != nil {
		return 0, 0, err
	}
	have, err = db.version(ctx)
	return have, newest(provider), failed(ctx, "read the schema's version", err)
}

func (db *DB) version(ctx context.Context) (int64, error) {
	reader := db.engine.reader(ctx)
	var tables, version int64
	err := reader.Raw(db.engine.dialect().tables, goose.DefaultTablename).Scan(&tables).Error
	if err != nil || tables == 0 {
		return 0, err
	}
	err = reader.Table(goose.DefaultTablename).Select("coalesce(max(version_id), 0)").Scan(&version).Error
	return version, err
}
