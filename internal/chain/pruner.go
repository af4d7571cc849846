package chain

import (
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
)

// pruneBatch bounds the events that one transaction removes.
const pruneBatch = 200

// ErrBroken is the error of a chain that does not verify. Its events are kept as evidence.
func ErrBroken() *fault.Error {
	return fault.Errorf(fault.Conflict, "The audit chain is not in order. Run \"latchkey audit verify\".")
}

// Pruner removes old events from the beginning of chains. It removes only what it has verified.
type Pruner struct {
	repo Repository
	keys *secret.Keyring
	now  clock.Clock
}

// NewPruner returns a pruner.
func NewPruner(repo Repository, keys *secret.Keyring, now clock.Clock) *Pruner {
	return &Pruner{repo, keys, now}
}

// Accounts returns up to limit accounts with an event from before a time, in the order of their IDs, after an ID.
func (p *Pruner) Accounts(ctx context.Context, before time.Time, after uuid.UUID, limit int) ([]uuid.UUID, error) {
	return p.repo.WithOld(ctx, before, after, limit)
}

// Prune removes one batch of the account's events from before a time, and reports whether there may be more. It returns
// ErrBroken if one of them was changed, or one before it is missing.
func (p *Pruner) Prune(ctx context.Context, accountID uuid.UUID, before time.Time) (removed int64, more bool,
	err error) {
	pruned, err := prunedUpTo(ctx, p.repo, p.keys, accountID)
	if err != nil {
		return 0, false, err
	}
	links, err := p.repo.Links(ctx, accountID, pruned.Number, pruneBatch)
	if err != nil {
		return 0, false, err
	}
	number, hash := pruned.Number, pruned.Hash
	var broken error
	for _, l := range links {
		if l.Number != number+1 || l.Event == nil || !l.follows(hash) {
			broken = ErrBroken()
			break
		}
		if !l.Event.At.Before(before) {
			break
		}
		number, hash = l.Number, l.Hash
	}
	if number > pruned.Number {
		removed, err = p.repo.Prune(ctx, p.keys, accountID, number, p.now.Timestamp())
	}
	if err == nil {
		err = broken
	}
	return removed, err == nil && removed == pruneBatch, err
}

// follows reports whether the link has the hash of its event after a hash.
func (s Stored) follows(previous Hash) bool {
	return s.Event.hash(previous, s.Number) == s.Hash
}
