package gormdb

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"latchkey/internal/fault"
)

//go:embed migrations
var migrationFiles embed.FS

// Migrations returns the migration files of a dialect, "sqlite" or "postgres", in the order of their names.
func Migrations(dialect string) (fs.FS, error) {
	files, err := fs.Sub(migrationFiles, path.Join("migrations", dialect))
	if err != nil {
		return nil, fmt.Errorf("migrations of %s: %w", dialect, err)
	}
	return files, nil
}

// Migrate migrates the schema to this program's version and returns the names of the files that it applied. Several
// processes may migrate at once: each file is applied by one of them.
func (db *DB) Migrate(ctx context.Context) (applied []string, err error) {
	err = db.engine.alone(ctx, func() error {
		applied, err = db.migrate(ctx)
		return err
	})
	return applied, failed(ctx, "migrate the database", err)
}

// migrate applies the missing migrations. SQLite has no lock that spans several transactions, so a step fails if
// another process applied it first (versions). If the schema has moved on, migrate tries the rest again.
func (db *DB) migrate(ctx context.Context) (applied []string, err error) {
	if restoring, err := hasTable(ctx, db.engine, restoringTable); err != nil || restoring {
		return nil, cmp.Or(err, errRestoring)
	}
	provider, err := db.provider()
	if err != nil {
		return nil, err
	}
	first, err := db.version(ctx)
	have := first
	for err == nil && have < newest(provider) {
		results, stepErr := provider.Up(ctx)
		var partial *goose.PartialError
		if errors.As(stepErr, &partial) {
			results = partial.Applied
		}
		for _, r := range results {
			applied = append(applied, path.Base(r.Source.Path))
			db.log.InfoContext(ctx, "migration applied", "file", path.Base(r.Source.Path), "took", r.Duration)
		}
		before := have
		if have, err = db.version(ctx); err != nil || have <= before {
			return applied, cmp.Or(stepErr, err)
		}
	}
	if err != nil {
		return applied, err
	}
	return applied, db.refold(ctx, first)
}

func (db *DB) provider() (*goose.Provider, error) {
	files, err := Migrations(db.Dialect())
	if err != nil {
		return nil, err
	}
	dialect, over := db.engine.migrations()
	recorded, err := newVersions(dialect)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectCustom, over, files, goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger()), goose.WithStore(recorded))
}

// versions records the applied migrations. Each is recorded in the transaction that applies it, so an error undoes it.
type versions struct{ database.Store }

func newVersions(dialect database.Dialect) (versions, error) {
	store, err := database.NewStore(dialect, goose.DefaultTablename)
	return versions{store}, err
}

// Insert records a version. It fails if the version is recorded already, because another process applied the migration
// in the meantime. Without that, a migration that may run twice, such as one that only updates rows, would do so.
func (v versions) Insert(ctx context.Context, db database.DBTxConn, req database.InsertRequest) error {
	n := strconv.FormatInt(req.Version, 10)
	done, err := db.ExecContext(ctx, "INSERT INTO "+v.Tablename()+" (version_id, is_applied) SELECT "+n+
		", true WHERE NOT EXISTS (SELECT 1 FROM "+v.Tablename()+" WHERE version_id = "+n+")")
	if err != nil {
		return err
	}
	if inserted, err := done.RowsAffected(); err != nil || inserted == 0 {
		return errors.Join(err, fmt.Errorf("another process applied version %d", req.Version))
	}
	return nil
}

func newest(p *goose.Provider) int64 {
	sources := p.ListSources() // in order
	return sources[len(sources)-1].Version
}

// Schema compares the database's schema with this program.
type Schema struct {
	// Have is the version of the schema in the database, or 0 if the database is empty.
	Have int64
	// Want is the version that this program was written for.
	Want int64
	// OldestProgram is the oldest version whose programs work with a schema that is newer than this program. It is 0
	// if the schema is not newer.
	OldestProgram int64
	// Restoring reports that a backup was restored into the database, but not completely checked and recorded.
	Restoring bool
}

// Check returns nil if this program works with the schema: the schema has the program's own version, or is newer and
// declared to work with it. Otherwise it returns fault.Conflict with a message that says what to do.
func (s Schema) Check() error {
	switch {
	case s.Restoring:
		return errRestoring
	case s.Have < s.Want:
		return fault.Errorf(fault.Conflict,
			"The database's schema is at version %d and this program needs %d. Run \"latchkey migrate\".", s.Have,
			s.Want)
	case s.Newer() && s.OldestProgram > s.Want:
		return fault.Errorf(fault.Conflict,
			"The database's schema is at version %d, which works with programs from version %d on; this program is at %d. Run the newer Latchkey.",
			s.Have, s.OldestProgram, s.Want)
	}
	return nil
}

// Newer reports whether the schema is newer than this program.
func (s Schema) Newer() bool { return s.Have > s.Want }

// Schema compares the database's schema with this program. It changes nothing.
func (db *DB) Schema(ctx context.Context) (Schema, error) {
	provider, err := db.provider()
	if err != nil {
		return Schema{}, err
	}
	s := Schema{Want: newest(provider)}
	if s.Restoring, err = hasTable(ctx, db.engine, restoringTable); err == nil {
		s.Have, err = db.version(ctx)
	}
	if err == nil && s.Newer() {
		err = db.engine.reader(ctx).Table("schema_support").Select("oldest_program").Scan(&s.OldestProgram).Error
	}
	return s, failed(ctx, "read the schema's version", err)
}

func hasTable(ctx context.Context, in engine, name string) (bool, error) {
	var tables int64
	err := in.reader(ctx).Raw(in.dialect().tables, name).Scan(&tables).Error
	return tables > 0, err
}

func (db *DB) version(ctx context.Context) (version int64, err error) {
	if has, err := hasTable(ctx, db.engine, goose.DefaultTablename); err != nil || !has {
		return 0, err
	}
	const newest = "coalesce(max(version_id), 0)"
	err = db.engine.reader(ctx).Table(goose.DefaultTablename).Select(newest).Scan(&version).Error
	return version, err
}

// NewestSchema returns the version that this program was written for.
func NewestSchema(dialect string) (int64, error) {
	files, err := Migrations(dialect)
	if err != nil {
		return 0, err
	}
	names, err := fs.Glob(files, "*.sql")
	if err != nil || len(names) == 0 {
		return 0, errors.Join(err, fs.ErrNotExist)
	}
	return goose.NumericComponent(names[len(names)-1])
}
