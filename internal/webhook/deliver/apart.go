package deliver

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// slowRecord is how long recording takes at least that makes an account slow.
const slowRecord = 100 * time.Millisecond

// apart are the accounts whose outcomes took long to record, for example since their webhooks are locked by replays.
// Their outcomes are recorded apart from those of the others, which do not wait for them, one account at a time. It is
// safe for concurrent use.
type apart struct {
	mu sync.Mutex
	// slow are the outcomes to record by account. The accounts in it are slow, also those without outcomes.
	slow map[uuid.UUID][]Finished
	// turns are the accounts with outcomes, the next one first.
	turns []uuid.UUID
	// more has an element if there may be outcomes, and is closed when there will be no more.
	more chan struct{}
}

func newApart() *apart { return &apart{slow: map[uuid.UUID][]Finished{}, more: make(chan struct{}, 1)} }

// keep keeps the outcomes of slow accounts, and returns the others.
func (a *apart) keep(batch []Finished) (others []Finished) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.DeleteFunc(batch, func(f Finished) bool {
		account := f.Job.Webhook.AccountID
		waiting, is := a.slow[account]
		if !is {
			return false
		}
		if len(waiting) == 0 {
			a.turns = append(a.turns, account)
		}
		a.slow[account] = append(waiting, f)
		select {
		case a.more <- struct{}{}:
		default:
		}
		return true
	})
}

// next returns outcomes of the next account, and none if no account has any.
func (a *apart) next() (batch []Finished) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.turns) == 0 {
		return nil
	}
	account := a.turns[0]
	a.turns = a.turns[1:]
	waiting := a.slow[account]
	n := min(len(waiting), maxRecorded)
	if a.slow[account] = slices.Clone(waiting[n:]); n < len(waiting) {
		a.turns = append(a.turns, account)
	}
	return waiting[:n]
}

// took notes how long it took to record a batch. An account with outcomes that wait stays slow, so that no two of its
// batches are recorded at a time.
func (a *apart) took(batch []Finished, d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, f := range batch {
		account := f.Job.Webhook.AccountID
		switch waiting, is := a.slow[account]; {
		case d >= slowRecord && !is:
			a.slow[account] = nil
		case d < slowRecord && len(waiting) == 0:
			delete(a.slow, account)
		}
	}
}

// record records outcomes until finished is closed. Attempts that were claimed together often end together: to record
// them with one call saves more than the wait costs.
func (d *Dispatcher) record(sending context.Context) {
	slow := newApart()
	var apart sync.WaitGroup
	apart.Go(func() {
		for range slow.more {
			for batch := slow.next(); len(batch) > 0; batch = slow.next() {
				d.recordTogether(sending, slow, batch)
			}
		}
	})
	for f := range d.finished {
		if batch := slow.keep(d.gathered([]Finished{f})); len(batch) > 0 {
			d.recordTogether(sending, slow, batch)
		}
	}
	close(slow.more)
	apart.Wait()
}

func (d *Dispatcher) recordTogether(sending context.Context, slow *apart, batch []Finished) {
	began := d.c.Now()
	d.store(sending, batch)
	slow.took(batch, d.c.Now().Sub(began))
	if d.lines.low(batch) {
		d.signal()
	}
}
