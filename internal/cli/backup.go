package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"latchkey/internal/config"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/secret"
)

func (p *program) backupCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "backup --to FILE", Short: "Write a backup of the database to a file, while servers run",
		Args: cobra.NoArgs,
		Long: "Write a copy of the database, which shows one point in time, to a file that only its owner can read. " +
			"Servers keep running. The file is checked before it gets its name. PostgreSQL is backed up with pg_dump, in its custom format. " +
			"The key file is not in the backup: keep a copy of it elsewhere.",
		Example: "  latchkey backup --to /var/backups/latchkey/$(date +%F).backup",
	}
	to := c.Flags().String("to", "", "the file to write")
	force := c.Flags().Bool("force", false, "replace the file if it exists")
	must(c.MarkFlagRequired("to"))
	offer(c, config.Storage)
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error { return p.backUp(c, *to, *force) })
	return c
}

// backupView is the JSON output of backup.
type backupView struct {
	File     string `json:"file"`
	Bytes    int64  `json:"bytes"`
	Database string `json:"database"`
	Schema   int64  `json:"schemaVersion"`
	// CommittedBefore is the time before which everything that was committed is in the backup.
	CommittedBefore time.Time `json:"committedBefore"`
	// KeyFile is the path of the key file, which is not in the backup; empty if it was not set.
	KeyFile string         `json:"keyFile"`
	KeyIDs  []secret.KeyID `json:"keyIds"`
}

func (p *program) backUp(c *cobra.Command, to string, force bool) error {
	ctx, stop := stoppable(c.Context())
	defer stop()
	cfg, err := p.settings(c, config.Needs{})
	if err != nil {
		return err
	}
	b, err := openDatabase(ctx, cfg, config.Needs{}, p.commandLog(), nil)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := checkTarget(to, append(gormdb.Files(cfg.Database), cfg.KeyFile)); err != nil {
		return err
	}
	view := backupView{File: to, KeyFile: cfg.KeyFile}
	view.Bytes, err = writeBeside(to, force, func(file string) error {
		written, err := gormdb.WriteBackup(ctx, b.db, file)
		view.Database, view.Schema, view.CommittedBefore = written.Dialect, written.Schema, written.Until
		view.KeyIDs = append([]secret.KeyID{}, written.Keys...)
		return err
	})
	if ctx.Err() != nil && err != nil {
		return errBackupInterrupted
	}
	if err != nil {
		return err
	}
	return p.printed(view, "", func() {
		p.say("wrote %s: %s, %s, schema version %d", to, bytesText(view.Bytes), view.Database, view.Schema)
		p.say("it has everything that was committed before %s", view.CommittedBefore.Format(time.RFC3339Nano))
		where := "of the servers (--key-file)"
		if view.KeyFile != "" {
			where = view.KeyFile
		}
		p.say("it does not have the key file %s: keep a copy of that elsewhere. Without it no credential in the backup works",
			where)
	})
}

// checkTarget refuses to replace one of the files that the server needs.
func checkTarget(to string, needed []string) error {
	target, err := os.Stat(to)
	if err != nil {
		return nil //nolint:nilerr // there is no file to replace
	}
	for _, path := range needed {
		if info, err := os.Stat(path); err == nil && os.SameFile(info, target) {
			return fault.Errorf(fault.Conflict, "%s belongs to this database or is its key file. Name another file.",
				to).On("--to")
		}
	}
	return nil
}

// errBackupInterrupted reports a backup that a signal stopped.
var errBackupInterrupted = errors.New("interrupted: no backup was written")

// bytesText returns a size in words.
func bytesText(n int64) string {
	switch {
	case n < 1<<20:
		return fmt.Sprintf("%d KB", (n+1023)>>10)
	case n < 10<<30:
		return fmt.Sprintf("%d MB", (n+1<<19)>>20)
	}
	return fmt.Sprintf("%d GB", (n+1<<29)>>30)
}

// writeBeside calls write with an empty file beside path that only its owner can read. It makes what was written
// durable and gives it its name, so that a file of that name is always whole. It returns the size. A file that exists
// is replaced only with force. It returns fault.Conflict on --to if it exists.
func writeBeside(path string, force bool, write func(file string) error) (size int64, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return 0, cannot("write", "--to", path, err)
	}
	if info, err := os.Lstat(path); err == nil && (!force || !info.Mode().IsRegular()) {
		return 0, existsAlready(path)
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.partial") // with the mode 0600
	if err != nil {
		return 0, cannot("write", "--to", path, err)
	}
	partial := file.Name()
	defer func() { _ = os.Remove(partial) }() // after a rename there is none
	if err := errors.Join(file.Close(), write(partial)); err != nil {
		return 0, err
	}
	if size, err = syncedSize(partial); err != nil {
		return 0, cannot("write", "--to", path, err)
	}
	if err := nameFile(partial, path, force); err != nil {
		return 0, err
	}
	_, err = syncedSize(filepath.Dir(path))
	return size, err
}

// nameFile gives a file its name. Without force it never replaces another file, also not one that was just created.
func nameFile(partial, path string, force bool) error {
	if !force {
		err := os.Link(partial, path)
		if err == nil {
			return nil
		}
		if _, there := os.Lstat(path); there == nil || errors.Is(err, fs.ErrExist) {
			return existsAlready(path)
		}
		// The file system has no links.
	}
	if err := os.Rename(partial, path); err != nil {
		return cannot("write", "--to", path, err)
	}
	return nil
}

func existsAlready(path string) error {
	return fault.Errorf(fault.Conflict, "%s exists. Name another file, or replace it with --force.", path).On("--to")
}

// syncedSize makes a file or a directory durable and returns its size.
func syncedSize(path string) (int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	info, err := file.Stat()
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return 0, err
	}
	return info.Size(), nil
}
