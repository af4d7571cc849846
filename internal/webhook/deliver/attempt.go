package deliver

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/clock"
	"latchkey/internal/webhook"
)

// start starts attempts of the jobs that wait in a line.
func (d *Dispatcher) start(ctx context.Context, hook uuid.UUID) {
	for j, ok := d.lines.begin(hook); ok; j, ok = d.lines.begin(hook) {
		d.places.take(j)
		d.attempts.Go(func() { d.work(ctx, j) })
	}
}

// work attempts a job, and then those that wait in its line.
func (d *Dispatcher) work(ctx context.Context, j Job) {
	for ok := true; ok; {
		hook, began := j.Webhook.ID, d.c.Now()
		d.attempt(ctx, j)
		scarce := d.places.scarce(j)
		if scarce || d.stopping.Load() {
			d.giveBack(ctx, d.lines.take(hook))
		}
		d.places.release(j)
		d.lines.end(hook, d.c.Now().Sub(began))
		if scarce {
			d.signal()
		}
		if j, ok = d.lines.begin(hook); ok {
			d.places.take(j)
		}
	}
}

// attempt attempts a job and passes on its outcome, if there is one.
func (d *Dispatcher) attempt(ctx context.Context, j Job) {
	f, done := d.try(ctx, j)
	if !done {
		return
	}
	var unsent []Job
	if f.Outcome.State != webhook.Delivered {
		// A claim decides how many attempts a webhook that fails may have in flight.
		unsent = d.lines.take(j.Webhook.ID)
	}
	if d.c.OnAttempt != nil {
		d.c.OnAttempt(f.Outcome)
	}
	d.finished <- f
	d.giveBack(ctx, unsent)
}

// giveBack gives up jobs that are not attempted, which are claimed again. The leases of lines without other jobs
// are released.
func (d *Dispatcher) giveBack(ctx context.Context, jobs []Job) {
	if len(jobs) == 0 {
		return
	}
	d.release(ctx, d.lines.drop(jobs))
	d.signal()
}

// release releases leases. If that fails, their webhooks wait for the end of the leases.
func (d *Dispatcher) release(ctx context.Context, leases []Lease) {
	if len(leases) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	if err := d.c.Queue.Release(ctx, leases); err != nil {
		d.c.Log.WarnContext(ctx, "leases of webhooks could not be released; their deliveries wait", "webhooks",
			len(leases), "error", err)
	}
}

// try makes the attempt of a job, unless it may no longer begin or cannot be sent.
func (d *Dispatcher) try(ctx context.Context, j Job) (f Finished, done bool) {
	began := false
	defer func() {
		if p := recover(); p != nil {
			_ = d.panicked(ctx, p)
			f, done = Finished{Job: j, Outcome: d.broken(j)}, began
		}
	}()
	j, may := d.begin(ctx, j)
	if !may {
		return Finished{}, false
	}
	began = true
	o, err := d.c.Send(ctx, j)
	if err != nil {
		if ctx.Err() == nil {
			d.c.Log.ErrorContext(ctx, "an event could not be sent; it waits", "webhook", j.Webhook.ID, "event",
				j.Event.ID, "error", err)
		}
		// The others cannot be sent either. They wait for the end of the lease, too.
		d.lines.abandon(j.Webhook.ID)
		return Finished{}, false
	}
	f = Finished{Job: j, Outcome: o}
	if o.Gone {
		f.Disabled = d.c.Disabled(j.Webhook, GoneReason(j.Webhook))
	}
	return f, true
}

// begin reports whether the attempt of a job may begin now, and returns the job with its webhook as it is now. If the
// webhook was read a while ago, it is checked again. If the server may not send its events any more, nothing that waits
// for it begins.
func (d *Dispatcher) begin(ctx context.Context, j Job) (Job, bool) {
	j, may := d.lines.current(j)
	if may && d.stale(j) {
		// Attempts of a webhook that begin at the same time share a check.
		defer d.lines.check(j.Webhook.ID)()
		j, may = d.lines.current(j)
	}
	if !may {
		d.giveBack(ctx, []Job{j})
		return j, false
	}
	if d.stale(j) {
		checked, cancel := context.WithTimeout(ctx, queryTimeout)
		defer cancel()
		now, is, err := d.c.Queue.Recheck(checked, j)
		if err != nil {
			d.c.Log.WarnContext(ctx, "an attempt of a webhook could not begin; it is repeated", "webhook",
				j.Webhook.ID, "error", err)
		}
		if may = is && err == nil; may {
			d.lines.rechecked(now)
			j = now
		}
	}
	// An attempt that outlives its lease could reach the receiver after a later event of the same subject.
	if may = may && clock.Elapsed(j.Lease.Until, d.c.Now()) <= -Timeout-margin; !may {
		d.giveBack(ctx, append(d.lines.take(j.Webhook.ID), j))
	}
	return j, may
}

// stale reports whether what was read of the job's webhook no longer counts.
func (d *Dispatcher) stale(j Job) bool { return clock.Elapsed(j.Lease.Checked, d.c.Now()) >= Fresh }

// GoneReason returns the reason of a webhook that an answer disabled.
func GoneReason(w webhook.Webhook) string {
	if w.Kind == webhook.EventBridge {
		return ReasonNoSource
	}
	return ReasonGone
}

// The reasons of webhooks that an answer disabled: that of a receiver, or of Amazon EventBridge.
const (
	ReasonGone     = "The receiver answered that it is gone (410)."
	ReasonNoSource = "Amazon EventBridge does not have the event source."
)

// broken is the outcome of an attempt that panicked: a failure that is not the receiver's.
func (d *Dispatcher) broken(j Job) Outcome {
	now := d.c.Now()
	o := Outcome{Attempt: webhook.Attempt{At: clock.Timestamp(now), Error: "the server failed"}, State: webhook.Dead}
	if in, again := retryIn(j.Attempts+1, 0, 0.5); again {
		o.State, o.NextAt = webhook.Pending, clock.Timestamp(now.Add(in))
	}
	return o
}

// gathered returns the batch with outcomes that other attempts in flight pass on soon.
func (d *Dispatcher) gathered(batch []Finished) []Finished {
	for waited := time.Duration(0); waited < maxGather && d.places.inFlight() > 1; waited += gather {
		time.Sleep(gather)
		if batch = d.drained(batch); len(batch) >= maxRecorded || d.lines.low(batch) {
			return batch
		}
	}
	return d.drained(batch)
}

// drained returns the batch with the outcomes that have been passed on, up to maxRecorded.
func (d *Dispatcher) drained(batch []Finished) []Finished {
	for len(batch) < maxRecorded {
		select {
		case next, open := <-d.finished:
			if !open {
				return batch
			}
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}

// store records a batch, and releases the leases of lines without other jobs. While the database cannot be reached
// it tries again, as long as the leases may hold and the server is not stopping. An outcome that is lost costs another
// attempt.
func (d *Dispatcher) store(sending context.Context, batch []Finished) {
	began := d.c.Now()
	released, err := d.finish(sending, batch)
	for backoff := firstBackoff; err != nil; backoff = min(2*backoff, lastBackoff) {
		if sending.Err() != nil || d.c.Now().Sub(began) > LeaseTime {
			d.c.Log.WarnContext(sending, "outcomes of webhooks could not be recorded; the attempts are repeated",
				"attempts", len(batch), "error", err)
			break
		}
		pause(sending, backoff)
		released, err = d.finish(sending, batch)
	}
	jobs := make([]Job, len(batch))
	for i, f := range batch {
		jobs[i] = f.Job
	}
	// A claim may have extended a lease meanwhile without finding anything.
	left := slices.DeleteFunc(d.lines.drop(jobs), func(l Lease) bool {
		return slices.ContainsFunc(released, func(r Lease) bool { return r.Token == l.Token && r.Claims == l.Claims })
	})
	d.release(context.WithoutCancel(sending), left)
}

// finish records outcomes, and returns the leases that it released.
func (d *Dispatcher) finish(sending context.Context, batch []Finished) (released []Lease, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = d.panicked(sending, p)
		}
	}()
	// What was sent is recorded even if the grace period has ended meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(sending), queryTimeout)
	defer cancel()
	released = d.lines.ending(batch)
	if _, err = d.c.Queue.Finish(ctx, batch, released); err != nil {
		return nil, err
	}
	return released, nil
}
