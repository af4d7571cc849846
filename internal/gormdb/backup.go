package gormdb

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"time"

	"latchkey/internal/fault"
	"latchkey/internal/regularfile"
	"latchkey/internal/secret"
)

// Backup describes a backup file.
type Backup struct {
	// Dialect is "sqlite" or "postgres".
	Dialect string
	// Schema is the version of its schema.
	Schema int64
	// Until is a time before which everything that was committed is in the backup. It is zero if it is not known.
	Until time.Time
	// Keys are the IDs of the server keys under which its credentials are stored.
	Keys []secret.KeyID
}

// backupBegins are the first bytes of backup files.
var backupBegins = map[string][]byte{sqliteDialect.name: []byte(sqliteHeader), postgresDialect.name: []byte("PGDMP")}

// Files returns the paths of the files that the database at a URL consists of, whether they exist or not. There are
// none for PostgreSQL.
func Files(url string) []string {
	path, isSQLite := sqlitePath(url)
	if !isSQLite {
		return nil
	}
	return []string{path, path + besideSuffixes[0], path + besideSuffixes[1], path + "-journal"}
}

// WriteBackup writes a copy of the database, as it was at one time, to an empty file, and checks the copy. Other
// processes may read and write the database meanwhile. The schema may have any version.
func WriteBackup(ctx context.Context, db *DB, file string) (Backup, error) {
	if err := db.engine.backUp(ctx, file); err != nil {
		return Backup{}, failed(ctx, "back up the database", err)
	}
	return ReadBackup(ctx, file)
}

// ReadBackup describes a backup file. It returns fault.Invalid if the file is not a whole backup of a Latchkey
// database.
func ReadBackup(ctx context.Context, file string) (Backup, error) {
	dialect, err := dialectOf(file)
	if err != nil {
		return Backup{}, err
	}
	read := readSQLiteBackup
	if dialect == postgresDialect.name {
		read = readPostgresBackup
	}
	b, err := read(ctx, file)
	b.Dialect = dialect
	if err == nil && b.Schema == 0 {
		err = notABackup(file)
	}
	return b, failed(ctx, "read the backup "+file, err)
}

// dialectOf returns the dialect of a backup file by its first bytes.
func dialectOf(file string) (string, error) {
	opened, _, err := regularfile.Open(file)
	if err != nil {
		return "", cannotReadBackup(file, err)
	}
	defer func() { _ = opened.Close() }() // it was only read
	begin := make([]byte, len(sqliteHeader))
	if _, err := io.ReadFull(opened, begin); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err,
		io.EOF) {
		return "", cannotReadBackup(file, err)
	}
	for dialect, begins := range backupBegins {
		if bytes.HasPrefix(begin, begins) {
			return dialect, nil
		}
	}
	return "", notABackup(file)
}

func cannotReadBackup(file string, err error) error {
	var onPath *fs.PathError
	if errors.As(err, &onPath) {
		err = onPath.Err
	}
	return fault.Wrap(err, fault.Invalid, "The file %s cannot be read: %v.", file, err)
}

func notABackup(file string) error {
	return fault.Errorf(fault.Invalid, "The file %s is not a backup of a Latchkey database, or not the whole one.",
		file)
}

// RestoreBackup copies a backup to the database that c names, which must be missing or empty, and calls finish with it.
// On SQLite the file appears under its name only after finish has returned nil. On PostgreSQL everything is restored
// in one transaction before finish is called, so that after an error of finish the database has to be created again.
//
// It returns fault.Conflict if the database is not empty, or if a server is seen to use it.
func RestoreBackup(ctx context.Context, c Config, file string, finish func(*DB) error) error {
	dialect, err := dialectOf(file)
	if err != nil {
		return err
	}
	path, isSQLite := sqlitePath(c.URL)
	if isSQLite != (dialect == sqliteDialect.name) {
		return fault.Errorf(fault.Invalid, "The backup %s is one of a %s database, and this is not one.", file,
			map[string]string{sqliteDialect.name: "SQLite", postgresDialect.name: "PostgreSQL"}[dialect]).On("database")
	}
	if isSQLite {
		err = restoreSQLite(ctx, c, path, file, finish)
	} else {
		err = restorePostgres(ctx, c, file, finish)
	}
	return failed(ctx, "restore the database", err)
}
