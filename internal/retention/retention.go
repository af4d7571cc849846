// Package retention removes rows that are no longer needed: what ended long ago, and old audit events
// (docs/retention.md). It works in small batches beside other writes.
package retention

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/clock"
	"latchkey/internal/fault"
)

// Table is a kind of rows that are removed.
type Table string

// The tables.
const (
	APITokens    Table = "api_tokens"
	AccessTokens Table = "access_tokens"
	Sessions     Table = "sessions"
	AuditEvents  Table = "audit_events"
)

// Tables returns all tables.
func Tables() []Table { return []Table{APITokens, AccessTokens, Sessions, AuditEvents} }

// Ended is a batch of what ended.
type Ended struct {
	// Removed is how many were removed. The access tokens that are removed with an API token do not count.
	Removed int64
	// Next is where the next batch begins. It is zero if there is none.
	Next Cursor
}

// Cursor is the place of a batch in a table.
type Cursor struct {
	// EndedAt, AccountID and ID are those of the last row of the batch before.
	EndedAt       time.Time
	AccountID, ID uuid.UUID
}

// Repository stores what ends.
type Repository interface {
	// Lease takes or renews the lease of the one server that removes rows, and reports whether the holder has it.
	Lease(ctx context.Context, holder uuid.UUID, ttl time.Duration) (ours bool, err error)
	// Release gives the lease back.
	Release(ctx context.Context, holder uuid.UUID) error
	// RemoveRevoked removes up to limit API tokens that were revoked before a time, and RemoveExpired those that
	// expired before it and were not revoked, with their access tokens. A token stays for as long as another one that
	// it issued, at any depth, has not ended before that time: who knew its secret can know the other one.
	RemoveRevoked(ctx context.Context, before time.Time, after Cursor, limit int) (Ended, error)
	RemoveExpired(ctx context.Context, before time.Time, after Cursor, limit int) (Ended, error)
	// RemoveAccess removes up to limit access tokens that were replaced by a rotation and ended before a time. Those of
	// an API token that issued another one stay until that API token is removed.
	RemoveAccess(ctx context.Context, before time.Time, after Cursor, limit int) (Ended, error)
	// RemoveSessions removes up to limit sessions that would have expired before a time, revoked or not.
	RemoveSessions(ctx context.Context, before time.Time, limit int) (Ended, error)
}

// Events removes audit events (chain.Pruner).
type Events interface {
	Accounts(ctx context.Context, before time.Time, after uuid.UUID, limit int) ([]uuid.UUID, error)
	Prune(ctx context.Context, accountID uuid.UUID, before time.Time) (removed int64, more bool, err error)
}

const (
	// Interval is the time between two runs.
	Interval = time.Hour
	// batch bounds the rows in one transaction, and accounts those that are read at once.
	batch    = 100
	accounts = 500
	// leaseTTL is how long a server that was killed keeps others from running.
	leaseTTL = time.Minute
	// longestPause is the longest pause between two batches.
	longestPause = time.Second
)

// Config configures a Job.
type Config struct {
	Repository Repository
	Events     Events
	// Ended is how long what ended is kept, and Audit how long audit events are. Zero keeps them without an end.
	Ended, Audit time.Duration
	Now          clock.Clock
	Log          *slog.Logger
	// OnRemoved is called with the number of rows of each batch. It must not be nil.
	OnRemoved func(t Table, rows int64)
}

// Job removes rows in the background. Every server runs it, and one works at a time.
type Job struct {
	c      Config
	holder uuid.UUID
	// leasedAt is when the lease was last taken.
	leasedAt time.Time
	removed  map[Table]int64
}

// New returns a job.
func New(c Config) *Job { return &Job{c: c, holder: uuid.New()} }

// errElsewhere is returned by a step if another server has the lease.
var errElsewhere = errors.New("another server removes old rows")

// Result is what a run did.
type Result struct {
	// Elsewhere reports that another server has the lease.
	Elsewhere bool
	// Broken is the number of accounts whose audit chain is not in order, so that their events were kept.
	Broken int
	// Removed are the rows that were removed.
	Removed map[Table]int64
}

// Run removes rows at once and then every hour until ctx ends. It calls done after each run.
func (j *Job) Run(ctx context.Context, done func(Result, error)) {
	next := time.NewTicker(Interval)
	defer next.Stop()
	for {
		result, err := j.Once(ctx)
		if ctx.Err() != nil {
			return
		}
		done(result, err)
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
	}
}

// Once removes all rows that are old now. An error of one table does not keep the others.
func (j *Job) Once(ctx context.Context) (Result, error) {
	j.removed, j.leasedAt = map[Table]int64{}, time.Time{}
	result := Result{Removed: j.removed}
	err := j.all(ctx, &result)
	if result.Elsewhere = errors.Is(err, errElsewhere); result.Elsewhere {
		return result, nil
	}
	// The lease ends by itself if it cannot be released.
	releasing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return result, errors.Join(err, j.c.Repository.Release(releasing, j.holder))
}

func (j *Job) all(ctx context.Context, result *Result) error {
	var errs []error
	repo, now := j.c.Repository, j.c.Now.Timestamp()
	if j.c.Ended > 0 {
		before := now.Add(-j.c.Ended)
		sessions := func(ctx context.Context, before time.Time, _ Cursor, limit int) (Ended, error) {
			return repo.RemoveSessions(ctx, before, limit)
		}
		for _, each := range []struct {
			of     Table
			remove func(context.Context, time.Time, Cursor, int) (Ended, error)
		}{
			{APITokens, repo.RemoveRevoked}, {APITokens, repo.RemoveExpired}, {AccessTokens, repo.RemoveAccess},
			{Sessions, sessions},
		} {
			remove := func(ctx context.Context, c Cursor) (Ended, error) { return each.remove(ctx, before, c, batch) }
			err := j.table(ctx, each.of, remove)
			if errors.Is(err, errElsewhere) || ctx.Err() != nil {
				return err
			}
			errs = append(errs, err)
		}
	}
	if j.c.Audit > 0 {
		errs = append(errs, j.events(ctx, now.Add(-j.c.Audit), result))
	}
	return errors.Join(errs...)
}

// table removes the rows of a table, batch by batch.
func (j *Job) table(ctx context.Context, of Table, remove func(context.Context, Cursor) (Ended, error)) error {
	for at := (Cursor{}); ; {
		var ended Ended
		err := j.step(ctx, of, func() (n int64, err error) {
			ended, err = remove(ctx, at)
			return ended.Removed, err
		})
		if at = ended.Next; err != nil || at == (Cursor{}) {
			return err
		}
	}
}

// step runs one batch under the lease, and then waits for as long as it took, so that half of the time is left for
// other writes.
func (j *Job) step(ctx context.Context, of Table, work func() (int64, error)) error {
	begun := j.c.Now()
	if j.leasedAt.IsZero() || clock.Elapsed(j.leasedAt, begun) > leaseTTL/3 {
		ours, err := j.c.Repository.Lease(ctx, j.holder, leaseTTL)
		if err != nil {
			return err
		}
		if !ours {
			return errElsewhere
		}
		j.leasedAt = begun
	}
	n, err := work()
	if n > 0 {
		j.removed[of] += n
		j.c.OnRemoved(of, n)
	}
	if err != nil || n == 0 {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(min(clock.Elapsed(begun, j.c.Now()), longestPause)):
		return nil
	}
}

// events removes the audit events of all accounts.
func (j *Job) events(ctx context.Context, before time.Time, result *Result) error {
	for after := (uuid.UUID{}); ; {
		list, err := j.c.Events.Accounts(ctx, before, after, accounts)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, id := range list {
			if err := j.eventsOf(ctx, id, before, result); err != nil {
				return err
			}
		}
		after = list[len(list)-1]
	}
}

func (j *Job) eventsOf(ctx context.Context, accountID uuid.UUID, before time.Time, result *Result) error {
	for more := true; more; {
		err := j.step(ctx, AuditEvents, func() (n int64, err error) {
			n, more, err = j.c.Events.Prune(ctx, accountID, before)
			return n, err
		})
		if fault.KindOf(err) == fault.Conflict {
			result.Broken++
			j.c.Log.ErrorContext(ctx, "the old audit events of an account were kept, because its chain is not in order; run latchkey audit verify",
				"account", accountID)
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}
