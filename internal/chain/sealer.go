package chain

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/clock"
	"latchkey/internal/secret"
)

// Sealed is the result of sealing a batch of events.
type Sealed struct {
	// Events is the number of events that were sealed.
	Events int
	// More reports that there were more events than one batch has.
	More bool
	// Totals are those after the batch.
	Totals Totals
}

// Repository stores the chains.
type Repository interface {
	// Seal seals up to limit events that are committed, in the order of their commits, at the time. Each event is
	// sealed once, also by several servers at once: one seals at a time, and the others seal nothing meanwhile. It
	// returns Broken if the totals do not continue last, or a head is not as it was signed.
	Seal(ctx context.Context, keys *secret.Keyring, last Totals, at time.Time, limit int) (Sealed, error)
	// Begin signs totals without an event, and reports whether it did. Without again it does nothing if the totals are
	// signed, and returns Broken if the database has accounts or events: in such a database only an operator can say
	// that nothing was removed. With again it removes all chains, so that all events are sealed again, and counts a
	// restart.
	Begin(ctx context.Context, keys *secret.Keyring, at time.Time, again bool) (totals Totals, begun bool, err error)
	// Renew signs up to limit heads, checkpoints and positions of streams that a previous key signed with the current
	// one, and the totals once nothing else is left. It returns how many it signed. It returns Broken for what no key
	// of the keyring signed.
	Renew(ctx context.Context, keys *secret.Keyring, limit int) (int, error)
	// Checkpoint signs up to limit heads that have new events and no checkpoint since the time since, and returns the
	// checkpoints. It returns Broken for a head that is not as it was signed.
	Checkpoint(ctx context.Context, keys *secret.Keyring, at, since time.Time, limit int) ([]Checkpoint, error)
	// WithOld returns up to limit accounts whose chain begins with an event from before a time, in the order of their
	// IDs, after an ID.
	WithOld(ctx context.Context, before time.Time, after uuid.UUID, limit int) ([]uuid.UUID, error)
	// Prune removes the account's events up to a number of its chain, signs a checkpoint that says so, and returns how
	// many it removed. It removes fewer, or none, to keep the last event of the chain, those with a delivery, and those
	// that a stream has not sent. It returns ErrBroken if the head is not signed by the server's keys.
	Prune(ctx context.Context, keys *secret.Keyring, accountID uuid.UUID, through int64, at time.Time) (int64, error)
	Reader
}

// CheckpointInterval is the longest time after which the head of a chain with new events is signed as a checkpoint.
const CheckpointInterval = time.Hour

const (
	// sealInterval is how often committed events are looked for.
	sealInterval = 500 * time.Millisecond
	// checkpointCheck is how often all heads are verified, and those without a checkpoint looked for.
	checkpointCheck = 5 * time.Minute
	// checkAgain is how soon it is done again after an error.
	checkAgain = time.Minute
	// sealBatch and checkpointBatch bound the time of a transaction.
	sealBatch       = 200
	checkpointBatch = 200
)

// Sealer seals committed events in the background, and signs checkpoints. It seals and signs nothing while the chains
// are not as they were signed.
type Sealer struct {
	repo Repository
	keys *secret.Keyring
	now  func() time.Time
	log  *slog.Logger
	// onSealed is called with the number of events of each batch.
	onSealed func(events int)

	// last are the last totals that this server has seen. An older state of the database does not continue them.
	last    Totals
	checked time.Time
	// sealing and checking say since when the two parts of the work have failed.
	sealing, checking failing
}

// failing is what a part of the work of a sealer failed with, and since when.
type failing struct {
	mu     sync.Mutex
	since  time.Time
	err    error
	logged time.Time
}

// set stores the result of the work. It reports whether to log it: at first, and every minute.
func (f *failing) set(err error, now time.Time) (log bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.since, f.err, f.logged = time.Time{}, nil, time.Time{}
		return false
	}
	if f.since.IsZero() {
		f.since = now
	}
	if f.err == nil || f.err.Error() != err.Error() || clock.Elapsed(f.logged, now) >= time.Minute {
		log, f.logged = true, now
	}
	f.err = err
	return log
}

func (f *failing) get() (since time.Time, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.since, f.err
}

// NewSealer returns a sealer. onSealed is called after each batch with the number of its events.
func NewSealer(repo Repository, keys *secret.Keyring, now func() time.Time, log *slog.Logger,
	onSealed func(events int)) *Sealer {
	return &Sealer{repo: repo, keys: keys, now: now, log: log, onSealed: onSealed}
}

// Failing returns since when events could not be sealed, for whatever reason. It is zero if they can.
func (s *Sealer) Failing() time.Time {
	since, _ := s.sealing.get()
	return since
}

// Broken reports whether the chains are not as the server signed them.
func (s *Sealer) Broken() bool {
	_, sealing := s.sealing.get()
	_, checking := s.checking.get()
	return IsBroken(sealing) || IsBroken(checking)
}

// Run seals events until ctx ends. It logs errors and tries again.
func (s *Sealer) Run(ctx context.Context) {
	tick := time.NewTicker(sealInterval)
	defer tick.Stop()
	for {
		s.Step(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Step does what is due: at first and then every few minutes Checkpoint, and Seal. It logs errors.
func (s *Sealer) Step(ctx context.Context) {
	_, broken := s.checking.get()
	past := clock.Elapsed(s.checked, s.now())
	if past >= checkpointCheck || broken != nil && past >= checkAgain {
		s.checked = s.now()
		broken = s.Checkpoint(ctx, CheckpointInterval-checkpointCheck)
		s.report(ctx, &s.checking, broken)
	}
	if IsBroken(broken) {
		s.report(ctx, &s.sealing, broken)
		return
	}
	s.report(ctx, &s.sealing, s.Seal(ctx))
}

func (s *Sealer) report(ctx context.Context, of *failing, err error) {
	switch {
	case err != nil && ctx.Err() != nil, !of.set(err, s.now()):
	case IsBroken(err):
		s.log.ErrorContext(ctx, "the audit chains are not as this server signed them, and nothing is sealed or signed; run latchkey audit verify",
			"error", err)
	default:
		s.log.ErrorContext(ctx, "audit events could not be sealed", "error", err)
	}
}

// Seal seals all events that are committed, batch by batch. Between two batches it waits as long as the last one took,
// so that half of the time is left for other writes. It returns Broken if the chains are not as they were signed.
func (s *Sealer) Seal(ctx context.Context) error {
	for {
		began := s.now()
		sealed, err := s.repo.Seal(ctx, s.keys, s.last, clock.Timestamp(s.now()), sealBatch)
		if err != nil {
			return err
		}
		if s.last.Epoch != uuid.Nil && s.last.Epoch != sealed.Totals.Epoch {
			s.log.WarnContext(ctx, "an operator began the audit chains again", "at", sealed.Totals.BegunAt)
		}
		s.last = sealed.Totals
		s.onSealed(sealed.Events)
		if !sealed.More {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(clock.Elapsed(began, s.now()), time.Second)):
		}
	}
}

// check returns Broken unless the heads of all accounts are those that the totals bind.
func (s *Sealer) check(ctx context.Context) error {
	totals, err := CheckHeads(ctx, s.repo, s.keys)
	if err != nil {
		return err
	}
	return totals.Continues(s.last, s.keys)
}

// Checkpoint signs the heads of chains with new events that have no checkpoint of the last interval, and logs each. The
// log is a copy outside the database, with which a rewritten chain does not agree. Before that, it verifies all heads,
// and signs with the current key what a previous one has signed.
func (s *Sealer) Checkpoint(ctx context.Context, interval time.Duration) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	if err := s.renew(ctx); err != nil {
		return err
	}
	for {
		at := clock.Timestamp(s.now())
		signed, err := s.repo.Checkpoint(ctx, s.keys, at, at.Add(-interval), checkpointBatch)
		if err != nil {
			return err
		}
		for _, c := range signed {
			s.log.InfoContext(ctx, "audit head signed", "account", c.AccountID, "number", c.Number, "hash", c.Hash)
		}
		if len(signed) < checkpointBatch {
			return nil
		}
	}
}

func (s *Sealer) renew(ctx context.Context) error {
	for all := 0; ; {
		n, err := s.repo.Renew(ctx, s.keys, checkpointBatch)
		if err != nil {
			return err
		}
		if all += n; n == 0 {
			if all > 0 {
				s.log.InfoContext(ctx, "the audit chains are signed with the current key; the previous keys are not needed for them",
					"key", s.keys.IDs()[0])
			}
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}
