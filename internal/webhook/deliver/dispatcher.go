package deliver

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/clock"
	"latchkey/internal/webhook"
)

const (
	// poll is the longest time between two claims, for deliveries that other servers recorded.
	poll = 500 * time.Millisecond
	// spacing is the shortest time from a claim that found nothing to the next one. Commits that record no delivery
	// wake the dispatcher, too.
	spacing = 10 * time.Millisecond
	// maxRecorded is the maximum number of outcomes that are recorded together.
	maxRecorded = 256
	// margin is the part of a lease that must be left after an attempt, to record its outcome.
	margin = 5 * time.Second
	// queryTimeout bounds one call of the queue, and claimGrace a claim after the dispatcher was stopped.
	queryTimeout = 10 * time.Second
	claimGrace   = time.Second
	// gather is how long the first outcome of a batch waits for those of other attempts in flight. It waits up to
	// maxGather while enough deliveries wait in the lines to go on sending meanwhile.
	gather    = 2 * time.Millisecond
	maxGather = 5 * gather
	// firstBackoff and lastBackoff are the pauses while the database cannot be reached.
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// DispatcherConfig configures a Dispatcher.
type DispatcherConfig struct {
	Queue Queue
	// Send makes an attempt (Sender.Send).
	Send func(context.Context, Job) (Outcome, error)
	// InFlight is the maximum number of concurrent attempts, at least 1.
	InFlight int
	// Grace is how long attempts may go on after the end of Run's context.
	Grace time.Duration
	// Disabled returns the event of a webhook that is disabled for a reason.
	Disabled func(w webhook.Webhook, reason string) audit.Event
	// OnAttempt is called with each outcome; nil to ignore them. It is safe for concurrent use.
	OnAttempt func(Outcome)
	Now       clock.Clock
	Log       *slog.Logger
}

// Dispatcher claims due deliveries and attempts them, each webhook's in up to MaxInFlight goroutines. Wake is safe for
// concurrent use.
type Dispatcher struct {
	c DispatcherConfig
	// wake has an element if there may be something to claim.
	wake chan struct{}
	// idle is set while there are no webhooks at all.
	idle atomic.Bool
	// lines are the claimed deliveries, and places are held by the attempts in flight.
	lines  lines
	places places
	// stopping is set when no attempt may begin any more.
	stopping atomic.Bool
	attempts sync.WaitGroup
	finished chan Finished
	// down is set while the database cannot be reached, and busy if the last claim found something. Only the claiming
	// goroutine uses them.
	down, busy bool
}

// NewDispatcher returns a Dispatcher.
func NewDispatcher(c DispatcherConfig) *Dispatcher {
	// finished has room for an outcome of every place. While the database cannot be reached, no more is sent.
	return &Dispatcher{c: c, wake: make(chan struct{}, 1), finished: make(chan Finished, c.InFlight),
		lines: lines{of: map[uuid.UUID]*line{}}, places: places{all: c.InFlight, held: map[uuid.UUID]int{}}}
}

// Wake makes the dispatcher claim soon, after a commit that may have recorded deliveries. It does not block.
func (d *Dispatcher) Wake() {
	if !d.idle.Load() {
		d.signal()
	}
}

func (d *Dispatcher) signal() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Run claims and attempts deliveries until ctx ends. Then it waits until the attempts in flight are recorded, for at
// most the grace period. Attempts that take longer are aborted; another server repeats them when their leases end. Run
// is called once.
func (d *Dispatcher) Run(ctx context.Context) {
	sending, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	var recorder sync.WaitGroup
	recorder.Go(func() { d.record(sending) })
	backoff := firstBackoff
	for ctx.Err() == nil {
		wait, err := d.round(ctx, sending)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			d.failed(ctx, err)
			pause(ctx, backoff)
			backoff = min(2*backoff, lastBackoff)
		default:
			d.recovered(ctx)
			backoff = firstBackoff
			d.sleep(ctx, wait)
		}
	}
	d.stopping.Store(true)
	overdue := time.AfterFunc(d.c.Grace, abort)
	defer overdue.Stop()
	d.giveBack(sending, d.lines.takeAll())
	d.attempts.Wait()
	close(d.finished)
	recorder.Wait()
}

// round claims what is due and starts its attempts. It returns how long to wait for the next round unless there is a
// wake-up.
func (d *Dispatcher) round(ctx, sending context.Context) (wait time.Duration, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = d.panicked(ctx, p)
		}
	}()
	stopped := ctx
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	// While deliveries are claimed, there are webhooks.
	if !d.busy {
		some, err := d.c.Queue.Any(ctx)
		if err != nil {
			return 0, err
		}
		d.idle.Store(!some)
		if !some {
			return poll, nil
		}
	}
	d.busy = false
	free := d.places.free(MaxClaim, d.lines.run())
	if free.Most <= 0 {
		return poll, nil
	}
	claimed, err := d.claim(stopped, free)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, c := range claimed {
		n += len(c.Jobs)
	}
	d.busy = n > 0
	d.release(sending, d.lines.add(claimed))
	if stopped.Err() != nil {
		d.giveBack(sending, d.lines.takeAll())
		return 0, nil
	}
	for _, c := range claimed {
		d.start(sending, c.Webhook.ID)
	}
	if n >= free.Most {
		d.signal()
		return poll, nil
	}
	// What is due and has no place is claimed when one becomes free.
	if n > 0 || d.places.limited() {
		return poll, nil
	}
	return d.untilDue(ctx)
}

// claim claims deliveries. A claim that is in progress when stopped ends goes on for a short time: the database would
// complete it without the dispatcher, and nothing would be sent until the leases end.
func (d *Dispatcher) claim(stopped context.Context, free Places) ([]Claimed, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(stopped), queryTimeout)
	defer cancel()
	defer context.AfterFunc(stopped, func() { time.AfterFunc(claimGrace, cancel) })()
	return d.c.Queue.Claim(ctx, free, d.lines.holdings())
}

// untilDue returns the time until the next delivery is due, at most poll. What is due already may wait for another
// delivery or be claimed by another server.
func (d *Dispatcher) untilDue(ctx context.Context) (time.Duration, error) {
	pause(ctx, spacing)
	due, err := d.c.Queue.NextDue(ctx)
	if err != nil || due.IsZero() {
		return poll, err
	}
	return min(max(due.Sub(d.c.Now()), 5*spacing), poll), nil
}

// sleep waits for the time or a wake-up.
func (d *Dispatcher) sleep(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-d.wake:
	case <-timer.C:
	}
}

func pause(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// failed logs the first error of an outage.
func (d *Dispatcher) failed(ctx context.Context, err error) {
	if !d.down {
		d.c.Log.WarnContext(ctx, "deliveries of webhooks cannot be claimed; they wait", "error", err)
	}
	d.down = true
}

func (d *Dispatcher) recovered(ctx context.Context) {
	if d.down {
		d.c.Log.InfoContext(ctx, "deliveries of webhooks can be claimed again")
	}
	d.down = false
}

func (d *Dispatcher) panicked(ctx context.Context, p any) error {
	d.c.Log.ErrorContext(ctx, "panic in the delivery of webhooks", "panic", fmt.Sprint(p), "stack",
		string(debug.Stack()))
	return fmt.Errorf("panic: %v", p)
}
