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

	"latchkey/internal/config"
	"latchkey/internal/provision"
	"latchkey/internal/roster"
)

// rosterCommand is what the commands share that work through a list of people.
type rosterCommand struct {
	*program

	in     inputs
	remote *remote
	// What the flags say.
	accountID, file, fileFormat, reportFile string
	batch                                   int
	dryRun                                  bool
	// unseen says that the server did not show the API tokens to review.
	unseen bool
	// addresses says that nothing but addresses counts in the file.
	addresses bool
	// input is the file of people; nil where that is no regular file.
	input os.FileInfo
	// staying are owners who are not in the file, and are not removed.
	staying []string
	// size and read are of the file, in bytes; 0 where nobody knows.
	size int64
	read *counter
}

func (p *program) rosterCommand(c *cobra.Command) *rosterCommand {
	r := &rosterCommand{program: p, remote: p.remote(c), read: &counter{}}
	c.Flags().StringVar(&r.accountID, "account", "", "the account's UUID")
	c.Flags().StringVar(&r.file, "file", "", "the file of people; - is standard input")
	c.Flags().StringVar(&r.fileFormat, "format", "", "the file's format: csv or ndjson (default: as the file's name ends, otherwise csv)")
	c.Flags().StringVar(&r.reportFile, "report", "", "write every row that failed to this CSV file, with why")
	c.Flags().IntVar(&r.batch, "batch", provision.DefaultBatch, fmt.Sprintf("how many people to send at once, 1 to %d", provision.MaxBatch))
	c.Flags().BoolVar(&r.dryRun, "dry-run", false, "tell what would be changed, and change nothing")
	must(c.MarkFlagRequired("account"))
	offer(c, false)
	return r
}

// act reads the flags, opens everything and runs work, which is given ctx to
// see whether to go on. However it ends, what was done is told.
func (r *rosterCommand) act(c *cobra.Command, emails []string, work func(context.Context, *provision.Job, provision.Source) error) error {
	accountID := r.in.id("--account", r.accountID)
	over := r.remote.given(c, &r.in)
	if r.batch < 1 || r.batch > provision.MaxBatch {
		r.in.wrong("--batch", fmt.Sprintf("must be 1 to %d.", provision.MaxBatch))
	}
	if !slices.Contains([]string{"", string(roster.CSV), string(roster.NDJSON)}, r.fileFormat) {
		r.in.wrong("--format", "must be csv or ndjson.")
	}
	if r.file == "-" && r.remote.tokenFile == "-" {
		r.in.wrong("--token-file", "cannot be standard input, which is the file of people.")
	}
	if err := r.in.faults.Err(); err != nil {
		return err
	}
	source, closeFile, err := r.source(emails)
	if err != nil {
		return err
	}
	defer closeFile()
	if err := r.sparing(); err != nil {
		return err
	}
	target, closeTarget, err := r.target(c, over, accountID)
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

// source opens the list of people.
func (r *rosterCommand) source(emails []string) (provision.Source, func(), error) {
	if len(emails) > 0 {
		return provision.Emails(emails), func() {}, nil
	}
	from, closeFile := r.stdin, func() {}
	if r.file != "-" {
		file, err := os.Open(r.file)
		if err != nil {
			return nil, nil, cannotRead("--file", r.file, err)
		}
		from, closeFile = file, func() { _ = file.Close() } // it was read only
	}
	r.know(from)
	r.read.from = from
	read := roster.NewReader
	if r.addresses {
		read = roster.NewAddressReader
	}
	people, err := read(r.read, r.formatOf())
	if err != nil {
		closeFile()
		return nil, nil, allOn("--file", err)
	}
	return rows{people}, closeFile, nil
}

// know keeps what must be known of the file of people before it is read.
func (r *rosterCommand) know(from io.Reader) {
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

func (r *rosterCommand) formatOf() roster.Format {
	if r.fileFormat != "" {
		return roster.Format(r.fileFormat)
	}
	switch strings.ToLower(filepath.Ext(r.file)) {
	case ".ndjson", ".jsonl":
		return roster.NDJSON
	}
	return roster.CSV
}

// rows are those of the file, whose faults are about the flag that names it.
type rows struct{ *roster.Reader }

// Next returns the next person.
func (r rows) Next() (roster.Person, error) {
	p, err := r.Reader.Next()
	return p, allOn("--file", err)
}

// counter counts what is read.
type counter struct {
	from io.Reader
	n    atomic.Int64
}

// Read reads.
func (c *counter) Read(into []byte) (int, error) {
	n, err := c.from.Read(into)
	c.n.Add(int64(n))
	return n, err
}

// target is the account, at the server that was named or in the database.
func (r *rosterCommand) target(c *cobra.Command, over bool, accountID uuid.UUID) (provision.Target, func(), error) {
	if over {
		api, err := r.remote.client(accountID)
		return provision.Server{API: api, Unseen: func() { r.unseen = true }}, func() {}, err
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
	closeDatabase := func() { _ = b.Close() } // all is committed
	by := operator(accountID)
	if _, err := b.accounts.Account(c.Context(), by); err != nil {
		closeDatabase()
		return nil, nil, about("--account", err)
	}
	return provision.Database{By: by, Users: b.users, Offboard: b.offboard}, closeDatabase, nil
}
