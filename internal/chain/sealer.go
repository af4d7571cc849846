package chain

import (
	"context"
	"log/slog"
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
	// Restarted are the accounts whose head was not signed by the server's key, so that their chain was begun again.
	Restarted []uuid.UUID
	// TotalsRestarted reports the same of the totals.
	TotalsRestarted bool
}

// Repository stores the chains.
type Repository interface {
	// Seal seals up to limit events that are committed, in the order of their commits, at the time. Each event is
	// sealed once, also by several servers at once: one seals at a time, and the others seal nothing meanwhile.
	Seal(ctx context.Context, keys *secret.Keyring, at time.Time, limit int) (Sealed, error)
	// Checkpoint signs up to limit heads that have new events and no checkpoint since the time since, or that are
	// signed with a previous key. It returns the checkpoints.
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
	// checkpointCheck is how often heads without a checkpoint are looked for.
	checkpointCheck = 5 * time.Minute
	// sealBatch and checkpointBatch bound the time of a transaction.
	sealBatch       = 200
	checkpointBatch = 200
)

// Sealer seals committed events in the background, and signs checkpoints.
type Sealer struct {
	repo Repository
	keys *secret.Keyring
	now  func() time.Time
	log  *slog.Logger
	// onSealed is called with the number of events of each batch.
	onSealed func(events int)
}

// NewSealer returns a sealer. onSealed is called after each batch with the number of its events.
func NewSealer(repo Repository, keys *secret.Keyring, now func() time.Time, log *slog.Logger,
	onSealed func(events int)) *Sealer {
	return &Sealer{repo, keys, now, log, onSealed}
}

// Run seals events until ctx ends. It logs errors and tries again.
func (s *Sealer) Run(ctx context.Context) {
	tick := time.NewTicker(sealInterval)
	defer tick.Stop()
	var checked time.Time
	for {
		err := s.Seal(ctx)
		if err == nil && clock.Elapsed(checked, s.now()) >= checkpointCheck {
			checked = s.now()
			err = s.Checkpoint(ctx, CheckpointInterval-checkpointCheck)
		}
		if err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "audit events could not be sealed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Seal seals all events that are committed, batch by batch. Between two batches it waits as long as the last one took,
// so that half of the time is left for other writes.
func (s *Sealer) Seal(ctx context.Context) error {
	for {
		began := s.now()
		sealed, err := s.repo.Seal(ctx, s.keys, clock.Timestamp(s.now()), sealBatch)
		if err != nil {
			return err
		}
		s.report(ctx, sealed)
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

func (s *Sealer) report(ctx context.Context, sealed Sealed) {
	s.onSealed(sealed.Events)
	for _, accountID := range sealed.Restarted {
		s.log.ErrorContext(ctx, "the head of an account's audit chain was not signed by this server's keys, and its chain begins again; run latchkey audit verify",
			"account", accountID)
	}
	if sealed.TotalsRestarted {
		s.log.ErrorContext(ctx, "the totals of the audit chains were not signed by this server's keys; run latchkey audit verify")
	}
}

// Checkpoint signs the heads of chains with new events that have no checkpoint of the last interval, and logs each. The
// log is a copy outside the database, with which a rewritten chain does not agree.
func (s *Sealer) Checkpoint(ctx context.Context, interval time.Duration) error {
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
