package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"latchkey/internal/bulk/file"
	"latchkey/internal/bulk/run"
	"latchkey/internal/config"
	"latchkey/internal/membership"
)

// bulkCommand is the common part of the commands that process a list of
// users.
type bulkCommand struct {
	*program

	in     inputs
	remote *remote
	// Values of flags.
	accountID, file, fileFormat, reportFile string
	batch                                   int
	dryRun                                  bool
	// reviewHidden reports that the server hid the API tokens to review.
	reviewHidden bool
	// addresses reports that only the email column of the file is read.
	addresses bool
	// input is the input file; nil if it is not a regular file.
	input os.FileInfo
	// keptOwners are owners who are not in the file and are not removed.
	keptOwners []string
	// size is the size of the file and read counts the bytes read. size is 0 if
	// unknown.
	size int64
	read *counter
}

func newBulkCommand(p *program, c *cobra.Command) *bulkCommand {
	r := &bulkCommand{program: p, remote: newRemote(p, c), read: &counter{}}
	c.Flags().StringVar(&r.accountID, "account", "", "the account's UUID")
	c.Flags().StringVar(&r.file, "file", "", "the file of users; - is standard input")
	c.Flags().StringVar(&r.fileFormat, "format", "",
		"the file's format: csv or ndjson (default: by the file name's extension, or else csv)")
	c.Flags().StringVar(&r.reportFile, "report", "", "write the rows that failed, with the errors, to this CSV file")
	c.Flags().IntVar(&r.batch, "batch", run.DefaultBatch,
		fmt.Sprintf("number of users per request, 1 to %d", membership.MaxBulk))
	c.Flags().BoolVar(&r.dryRun, "dry-run", false, "print the changes without making them")
	must(c.MarkFlagRequired("account"))
	offer(c, config.Storage)
	return r
}

// act parses the flags, opens the input and the target, and runs work. ctx ends
// when the job must stop. act prints the results even if work fails.
func (r *bulkCommand) act(c *cobra.Command, emails []string,
	work func(context.Context, *run.Job, run.Source) error) error {
	accountID := r.in.id("--account", r.accountID)
	useServer := r.remote.used(c, &r.in)
	if r.batch < 1 || r.batch > membership.MaxBulk {
		r.in.wrong("--batch", fmt.Sprintf("must be 1 to %d.", membership.MaxBulk))
	}
	if !slices.Contains([]string{"", string(file.CSV), string(file.NDJSON)}, r.fileFormat) {
		r.in.wrong("--format", "must be csv or ndjson.")
	}
	if r.file == "-" && r.remote.tokenFile == "-" {
		r.in.wrong("--token-file", "cannot be standard input, which is the file of users.")
	}
	if err := r.in.faults.Err(); err != nil {
		return err
	}
	source, closeFile, err := r.source(emails)
	if err != nil {
		return err
	}
	defer closeFile()
	if err := r.checkReport(); err != nil {
		return err
	}
	target, closeTarget, err := r.target(c, useServer, accountID)
	if err != nil {
		return err
	}
	defer closeTarget()
	o, err := r.outcome()
	if err != nil {
		return err
	}
	ctx, stop := stoppable(c.Context())
	defer stop()
	o.job.Target = target
	return o.close(work(ctx, o.job, source))
}

// source opens the list of users.
func (r *bulkCommand) source(emails []string) (run.Source, func(), error) {
	if len(emails) > 0 {
		return run.Emails(emails), func() {}, nil
	}
	from, closeFile := r.stdin, func() {}
	if r.file != "-" {
		file, err := os.Open(r.file)
		if err != nil {
			return nil, nil, cannotRead("--file", r.file, err)
		}
		from, closeFile = file, func() { _ = file.Close() } // opened for reading
	}
	r.recordInput(from)
	r.read.from = from
	read := file.NewReader
	if r.addresses {
		read = file.NewAddressReader
	}
	rows, err := read(r.read, r.formatOf())
	if err != nil {
		closeFile()
		return nil, nil, allOn("--file", err)
	}
	return fileRows{rows}, closeFile, nil
}

// recordInput records the identity and size of the input file.
func (r *bulkCommand) recordInput(from io.Reader) {
	file, is := from.(*os.File)
	if !is {
		return
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	r.input = info
	if r.file != "-" {
		r.size = info.Size()
	}
}

func (r *bulkCommand) formatOf() file.Format {
	if r.fileFormat != "" {
		return file.Format(r.fileFormat)
	}
	switch strings.ToLower(filepath.Ext(r.file)) {
	case ".ndjson", ".jsonl":
		return file.NDJSON
	}
	return file.CSV
}

// fileRows reads the rows of the file. Its errors name the flag --file.
type fileRows struct{ *file.Reader }

// Next returns the next row.
func (r fileRows) Next() (file.Row, error) {
	row, err := r.Reader.Next()
	return row, allOn("--file", err)
}

// counter counts the bytes read.
type counter struct {
	from io.Reader
	n    atomic.Int64
}

// Read reads from the underlying reader.
func (c *counter) Read(into []byte) (int, error) {
	n, err := c.from.Read(into)
	c.n.Add(int64(n))
	return n, err
}

// target returns the account to change, on the server or in the database.
func (r *bulkCommand) target(c *cobra.Command, useServer bool, accountID uuid.UUID) (run.Target, func(), error) {
	if useServer {
		api, err := r.remote.client(accountID)
		return run.Server{API: api, ReviewHidden: func() { r.reviewHidden = true }}, func() {}, err
	}
	needs := config.Needs{Keys: true}
	cfg, err := r.settings(c, needs)
	if err != nil {
		return nil, nil, err
	}
	b, err := open(c.Context(), cfg, needs, r.commandLog())
	if err != nil {
		return nil, nil, err
	}
	closeDatabase := func() { _ = b.Close() } // everything is committed
	by := operator(accountID)
	if _, err := b.accounts.Account(c.Context(), by); err != nil {
		closeDatabase()
		return nil, nil, about("--account", err)
	}
	return run.Database{By: by, Users: b.users, Memberships: b.memberships}, closeDatabase, nil
}
