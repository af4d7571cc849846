package chain

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/fault"
	"latchkey/internal/secret"
)

// Stored is a stored link with its event.
type Stored struct {
	Link

	// Event is nil if there is no such event.
	Event *Record
}

// State is how far the log is sealed.
type State struct {
	// Totals are zero if they were Removed.
	Totals  Totals
	Removed bool
	// Backlog reports that events from before the chains began are still being sealed.
	Backlog bool
	// Pending is when the oldest event that is committed and not sealed was recorded. It is zero if there is none.
	Pending time.Time
	// FirstAccount is when the oldest account was created; zero if there is none.
	FirstAccount time.Time
	// Ahead reports that sealing is to continue after a transaction that the database has not reached.
	Ahead bool
}

// SealedEvent is an event with its link. Place counts the events of all accounts in the order in which they were
// sealed.
type SealedEvent struct {
	Link  Link
	Event Record
	Place int64
}

// Filter selects sealed events. Zero fields select all.
type Filter struct {
	AccountID uuid.UUID
	// Since is the earliest time of an event.
	Since time.Time
}

// Reader reads the chains.
type Reader interface {
	State(ctx context.Context) (State, error)
	// Heads calls each with the totals and every head, in one state of the database, and returns the totals. It returns
	// Broken if there are no totals.
	Heads(ctx context.Context, each func(Totals, Head)) (Totals, error)
	// Positions returns the positions of all streams, without their epoch.
	Positions(ctx context.Context) ([]Position, error)
	// Pending returns State.Pending.
	Pending(ctx context.Context) (time.Time, error)
	// Accounts returns up to limit accounts in the order of their IDs, after an ID.
	Accounts(ctx context.Context, after uuid.UUID, limit int) ([]uuid.UUID, error)
	// Head returns the head of the account's chain. It returns fault.NotFound if there is none.
	Head(ctx context.Context, accountID uuid.UUID) (Head, error)
	// Links returns up to limit links of the account after a number.
	Links(ctx context.Context, accountID uuid.UUID, after int64, limit int) ([]Stored, error)
	// Checkpoints returns up to limit checkpoints of the account after a number.
	Checkpoints(ctx context.Context, accountID uuid.UUID, after int64, limit int) ([]Checkpoint, error)
	// Sealed returns up to limit events of all accounts after a place.
	Sealed(ctx context.Context, f Filter, after int64, limit int) ([]SealedEvent, error)
	// PlaceBefore returns the largest place before those of all events that happened at a time or later.
	PlaceBefore(ctx context.Context, since time.Time) (int64, error)
	// Unsealed returns up to limit events of the account after an ID that should have been sealed and are not in the
	// chain. Those that are not sealed yet are not among them.
	Unsealed(ctx context.Context, accountID, after uuid.UUID, limit int) ([]uuid.UUID, error)
}

// Kind is what is wrong with a chain.
type Kind string

// The kinds of findings.
const (
	// Changed: an event does not have the content that it had when it was sealed.
	Changed Kind = "changed"
	// Missing: a sealed event, or its link in the chain, was removed.
	Missing Kind = "missing"
	// Added: an event was added and not sealed although later ones were.
	Added Kind = "added"
	// Cut: the chain ends before a signed number, or continues after its head.
	Cut Kind = "cut"
	// Forged: a head, a checkpoint or the totals are not signed by the server's keys, or the chain has another hash
	// than the signed one.
	Forged Kind = "forged"
	// Restarted: the chains began again, which only an operator can do, or the database was emptied.
	Restarted Kind = "restarted"
	// Late: events wait to be sealed for longer than SealBound.
	Late Kind = "late"
)

// SealBound is the time after which a committed event that is not sealed is a finding.
const SealBound = 10 * time.Minute

// Finding is something that is wrong with the audit log.
type Finding struct {
	// AccountID is zero for a finding about all accounts.
	AccountID uuid.UUID
	Kind      Kind
	// Number is the number in the account's chain; 0 if the finding has none.
	Number int64
	// EventID is the event; zero if the finding is not about one.
	EventID uuid.UUID
	// Problem says in a sentence what is wrong.
	Problem string
}

// Verified counts what was verified.
type Verified struct {
	Accounts, Events, Findings int64
	// Backlog reports that events from before the chains began are still being sealed.
	Backlog bool
	// Begun is when the chains began. It is zero if the totals are not signed.
	Begun time.Time
}

// page is the number of rows that are read at once.
const page = 500

// Verifier verifies chains in constant memory.
type Verifier struct {
	repo Reader
	keys *secret.Keyring
	// found is called for each finding.
	found  func(Finding)
	result Verified
	state  State
	// begun is when the chains began, as the operator knows; zero if it is not known.
	begun time.Time
}

// NewVerifier returns a verifier that calls found for each finding.
func NewVerifier(repo Reader, keys *secret.Keyring, found func(Finding)) *Verifier {
	return &Verifier{repo: repo, keys: keys, found: found}
}

// ExpectBegun says when the chains began, as audit begin or an earlier verification printed it. Another time is a
// finding, and that an operator began the chains again at this time is none.
func (v *Verifier) ExpectBegun(at time.Time) { v.begun = at }

// Verify verifies the chain of an account, or of all if accountID is zero. Events may be sealed meanwhile.
func (v *Verifier) Verify(ctx context.Context, accountID uuid.UUID, now time.Time) (Verified, error) {
	v.result = Verified{}
	state, err := v.repo.State(ctx)
	if err != nil {
		return v.result, err
	}
	v.state = state
	v.result.Backlog = state.Backlog
	if state.Totals.Signed(v.keys) {
		v.result.Begun = state.Totals.BegunAt
	}
	if err := v.totals(ctx, now); err != nil {
		return v.result, err
	}
	if accountID != uuid.Nil {
		err = v.account(ctx, accountID)
		return v.result, err
	}
	if err := v.zero(ctx); err != nil {
		return v.result, err
	}
	for after := (uuid.UUID{}); ; {
		accounts, err := v.repo.Accounts(ctx, after, page)
		if err != nil || len(accounts) == 0 {
			return v.result, err
		}
		for _, id := range accounts {
			if err := v.account(ctx, id); err != nil {
				return v.result, err
			}
		}
		after = accounts[len(accounts)-1]
	}
}

func (v *Verifier) report(f Finding) {
	v.result.Findings++
	v.found(f)
}

// walk is the verification of one account.
type walk struct {
	*Verifier

	accountID uuid.UUID
	// number and hash are of the last link.
	number int64
	hash   Hash
	// checkpoints are those after the last link, as far as they were read. The last one that was read has the number
	// read.
	checkpoints []Checkpoint
	read        int64
	readAll     bool
	// agreed is the last signed checkpoint with which the chain agrees, and before the last one that was verified.
	agreed, before Checkpoint
	// place is of the last link.
	place int64
	early bool
}

func (v *Verifier) account(ctx context.Context, accountID uuid.UUID) error {
	v.result.Accounts++
	w := &walk{Verifier: v, accountID: accountID}
	if err := w.begin(ctx); err != nil {
		return err
	}
	head, err := w.links(ctx)
	if err != nil {
		return err
	}
	if err := w.end(ctx, head); err != nil {
		return err
	}
	return w.added(ctx)
}

func (w *walk) say(kind Kind, number int64, event uuid.UUID, format string, args ...any) {
	w.report(Finding{AccountID: w.accountID, Kind: kind, Number: number, EventID: event,
		Problem: fmt.Sprintf(format, args...)})
}

// begin finds where the chain begins: after the checkpoint that says that earlier events were removed.
func (w *walk) begin(ctx context.Context) error {
	pruned, err := prunedUpTo(ctx, w.repo, w.keys, w.accountID)
	if err != nil || pruned.Number == 0 {
		return err
	}
	w.number, w.hash, w.read, w.before = pruned.Number, pruned.Hash, pruned.Number, pruned
	first, err := w.repo.Links(ctx, w.accountID, 0, 1)
	if err == nil && len(first) > 0 && first[0].Number <= pruned.Number {
		w.say(Added, first[0].Number, first[0].EventID,
			"The events up to number %d were removed because they were old, and this one was added afterwards.", pruned.Number)
	}
	return err
}

// prunedUpTo returns the checkpoint of the account that says that the events up to it were removed. It is zero if there
// is none that is signed with a key of the keyring.
func prunedUpTo(ctx context.Context, repo Reader, keys *secret.Keyring, accountID uuid.UUID) (Checkpoint, error) {
	first, err := repo.Checkpoints(ctx, accountID, 0, 1)
	if err != nil || len(first) == 0 || !first[0].Pruned || !first[0].Signed(keys) {
		return Checkpoint{}, err
	}
	return first[0], nil
}

// links verifies the links up to the head, and returns it.
func (w *walk) links(ctx context.Context) (Head, error) {
	head, err := w.repo.Head(ctx, w.accountID)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return head, err
	}
	for {
		list, err := w.repo.Links(ctx, w.accountID, w.number, page)
		if err != nil {
			return head, err
		}
		for _, l := range list {
			if l.Number > head.Number {
				// Events can have been sealed since the head was read.
				if head, err = w.again(ctx, head); err != nil {
					return head, err
				}
				if l.Number > head.Number {
					w.say(Cut, l.Number, l.EventID, "The chain continues after its head, which has number %d. The head was set back or removed.",
						head.Number)
					return head, nil
				}
			}
			if err := w.link(ctx, l); err != nil {
				return head, err
			}
		}
		if len(list) < page {
			return head, nil
		}
	}
}

func (w *walk) again(ctx context.Context, head Head) (Head, error) {
	now, err := w.repo.Head(ctx, w.accountID)
	if fault.KindOf(err) == fault.NotFound {
		return head, nil
	}
	return now, err
}

// link verifies the next link.
func (w *walk) link(ctx context.Context, l Stored) error {
	w.result.Events++
	gap := l.Number != w.number+1
	if gap {
		// The missing events may have been removed since the walk began.
		pruned, err := prunedUpTo(ctx, w.repo, w.keys, w.accountID)
		if err != nil {
			return err
		}
		if pruned.Number == l.Number-1 && pruned.Number > w.number {
			w.number, w.hash, gap = pruned.Number, pruned.Hash, false
			w.forget(pruned)
		}
	}
	if gap {
		w.say(Missing, w.number+1, uuid.Nil, "The numbers %d to %d are missing in the chain.", w.number+1, l.Number-1)
	}
	switch {
	case l.Event == nil:
		w.say(Missing, l.Number, l.EventID, "The event was removed.")
	case gap: // the hash before it is not known
	case l.Event.hash(w.hash, l.Number) == l.Hash:
	default:
		w.say(Changed, l.Number, l.EventID, "The event, or its hash, was changed.")
	}
	w.number, w.hash = l.Number, l.Hash
	if l.Event != nil {
		w.recorded(l)
	}
	return w.compare(ctx)
}

// forget continues after a checkpoint that says that events were removed, with the checkpoints after it.
func (w *walk) forget(pruned Checkpoint) {
	w.before, w.checkpoints, w.read, w.readAll = pruned, nil, pruned.Number, false
}

// recorded verifies the place and the time of an event.
func (w *walk) recorded(l Stored) {
	if l.Event.Place <= w.place {
		w.say(Changed, l.Number, l.EventID,
			"The event has the place %d among those of all accounts, and the one before it %d.", l.Event.Place, w.place)
	}
	w.place = l.Event.Place
	begun := w.state.Totals.BegunAt
	early := l.Event.At.Before(begun.Add(-beginSlack))
	if early && w.state.Totals.Restarts == 0 && !w.result.Begun.IsZero() && !w.early {
		w.early = true
		w.say(Restarted, l.Number, l.EventID, "The event happened at %s, before the chains began in an empty database. The database was emptied and filled again.",
			l.Event.At.Format(time.RFC3339))
	}
}

// compare compares the last link with the checkpoint of its number.
func (w *walk) compare(ctx context.Context) error {
	for {
		if len(w.checkpoints) == 0 && !w.readAll {
			list, err := w.repo.Checkpoints(ctx, w.accountID, w.read, page)
			if err != nil {
				return err
			}
			w.checkpoints, w.readAll = list, len(list) < page
			if len(list) > 0 {
				w.read = list[len(list)-1].Number
			}
		}
		if len(w.checkpoints) == 0 || w.checkpoints[0].Number > w.number {
			return nil
		}
		c := w.checkpoints[0]
		w.checkpoints = w.checkpoints[1:]
		w.checkpoint(c)
	}
}

func (w *walk) checkpoint(c Checkpoint) {
	at := c.At.Format(time.RFC3339)
	before := w.before
	w.before = c
	if c.Signed(w.keys) && c.Previous != before.Number && (!before.Pruned || c.Previous > before.Number) {
		w.say(Missing, c.Number, uuid.Nil, "The checkpoint before that of %s, of number %d, was removed.", at, c.Previous)
	}
	switch {
	case !c.Signed(w.keys):
		w.say(Forged, c.Number, uuid.Nil, "The checkpoint of %s is not signed by this server's keys.", at)
	case c.Number == w.number && c.Hash != w.hash:
		since := "its beginning"
		if w.agreed.Number > 0 {
			since = fmt.Sprintf("number %d, the checkpoint of %s", w.agreed.Number, w.agreed.At.Format(time.RFC3339))
		}
		w.say(Forged, c.Number, uuid.Nil, "The chain has another hash than the checkpoint of %s. It was rewritten after %s.", at, since)
	case c.Number == w.number:
		w.agreed = c
	}
}

// end compares the last link with the head and with the checkpoints after it.
func (w *walk) end(ctx context.Context, head Head) error {
	switch {
	case head.Number == 0 && w.number == 0 && head.Mark.Key == "":
	case head.Number == 0:
		w.say(Forged, 0, uuid.Nil, "The chain has no head.")
	case !head.Signed(w.keys):
		w.say(Forged, head.Number, uuid.Nil, "The head of the chain is not signed by this server's keys.")
	case w.number < head.Number:
		w.say(Missing, w.number+1, uuid.Nil, "The numbers %d to %d at the end of the chain are missing.", w.number+1,
			head.Number)
	case w.number == head.Number && w.hash != head.Hash:
		w.say(Forged, head.Number, uuid.Nil, "The chain has another hash than its signed head. It was rewritten.")
	}
	if err := w.compare(ctx); err != nil {
		return err
	}
	for _, c := range w.checkpoints {
		if c.Number > max(head.Number, w.number) {
			w.say(Cut, c.Number, uuid.Nil, "The chain ends at number %d, before the checkpoint of %s. It was cut, or an older state was restored.",
				w.number, c.At.Format(time.RFC3339))
			break
		}
	}
	return w.newest(ctx)
}

// newest verifies that the last checkpoint is the one that the head names. A later one says that it is pruned.
func (w *walk) newest(ctx context.Context) error {
	const attempts = 3 // one can be signed between two statements
	for range attempts {
		head, err := w.again(ctx, Head{})
		if err != nil {
			return err
		}
		list, err := w.repo.Checkpoints(ctx, w.accountID, head.SignedNumber-1, 2)
		if err != nil {
			return err
		}
		if len(list) == 1 && (list[0].Number == head.SignedNumber || list[0].Pruned) ||
			len(list) == 0 && head.SignedNumber == 0 {
			return nil
		}
	}
	w.say(Missing, 0, uuid.Nil, "The last checkpoint is not the one that the head names. It was removed or added.")
	return nil
}

// added reports events that are not in the chain.
func (w *walk) added(ctx context.Context) error {
	for after := (uuid.UUID{}); ; {
		list, err := w.repo.Unsealed(ctx, w.accountID, after, page)
		if err != nil {
			return err
		}
		for _, id := range list {
			w.say(Added, 0, id, "The event is not in the chain, although later ones are. It was added, or its link was removed.")
		}
		if len(list) < page {
			return nil
		}
		after = list[len(list)-1]
	}
}
