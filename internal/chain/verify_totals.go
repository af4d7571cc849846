package chain

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// beginSlack is how much earlier than the chains the first account and event can have been recorded, as the clocks of
// servers differ.
const beginSlack = 10 * time.Minute

// totals verifies what concerns all accounts.
func (v *Verifier) totals(ctx context.Context, now time.Time) error {
	s, t := v.state, v.state.Totals
	signed := t.Signed(v.keys)
	switch {
	case s.Removed:
		v.report(Finding{Kind: Forged, Problem: "The totals of all chains were removed."})
	case !signed:
		v.report(Finding{Kind: Forged, Problem: "The totals of all chains are not signed by this server's keys."})
	case !v.begun.IsZero() && !t.BegunAt.Equal(v.begun):
		v.report(Finding{Kind: Restarted, Problem: fmt.Sprintf("The chains began at %s, and not at the expected time.",
			t.BegunAt.Format(time.RFC3339Nano))})
	case t.Restarts > 0 && v.begun.IsZero():
		v.report(Finding{Kind: Restarted, Problem: fmt.Sprintf(
			"An operator began the chains again, %d times, the last time at %s. What was changed before that is not found.", t.Restarts,
			t.BegunAt.Format(time.RFC3339Nano))})
	case t.Restarts == 0 && !s.FirstAccount.IsZero() && s.FirstAccount.Before(t.BegunAt.Add(-beginSlack)):
		v.report(Finding{Kind: Restarted, Problem: fmt.Sprintf(
			"The chains began at %s in an empty database, but an account was created before, at %s. The database was emptied and filled again.",
			t.BegunAt.Format(time.RFC3339), s.FirstAccount.Format(time.RFC3339))})
	}
	if signed {
		if err := v.heads(ctx); err != nil {
			return err
		}
		if err := v.positions(ctx); err != nil {
			return err
		}
	}
	if s.Ahead {
		v.report(Finding{Kind: Forged, Problem: "Events are to be sealed after a transaction that the database has not reached, and so never."})
	}
	if late := now.Sub(s.Pending); !s.Pending.IsZero() && late > SealBound {
		v.report(Finding{Kind: Late, Problem: fmt.Sprintf("Events have waited to be sealed since %s. Servers seal events: is one running?",
			s.Pending.Format(time.RFC3339))})
	}
	return nil
}

// heads compares all heads with the totals.
func (v *Verifier) heads(ctx context.Context) error {
	totals, err := CheckHeads(ctx, v.repo, v.keys)
	var broken *Broken
	if !errors.As(err, &broken) {
		return err
	}
	kind := Forged
	if totals.Signed(v.keys) && broken.AccountID == uuid.Nil {
		kind = Missing
	}
	v.report(Finding{Kind: kind, AccountID: broken.AccountID, Problem: fmt.Sprintf(
		"The heads of all chains do not have the signed sum: %s. A chain was removed, added or set back.", broken.Problem)})
	return nil
}

// positions verifies how far streams are.
func (v *Verifier) positions(ctx context.Context) error {
	list, err := v.repo.Positions(ctx)
	if err != nil {
		return err
	}
	for _, p := range list {
		if p.Epoch = v.state.Totals.Epoch; !p.Signed(v.keys) {
			v.report(Finding{Kind: Forged, Problem: fmt.Sprintf(
				"The position of the stream to %s is not signed by this server's keys. Events may not have arrived there.", p.Target)})
		}
	}
	return nil
}

// zero verifies that no row has the zero account, which no page of accounts has.
func (v *Verifier) zero(ctx context.Context) error {
	links, err := v.repo.Links(ctx, uuid.Nil, 0, 1)
	if err != nil {
		return err
	}
	events, err := v.repo.Unsealed(ctx, uuid.Nil, uuid.Nil, 1)
	if err == nil && len(links)+len(events) > 0 {
		v.report(Finding{Kind: Added, Problem: "There are events of an account with an ID of zeros, which no account has."})
	}
	return err
}
