package deliver

import (
	"context"
	"time"

	"latchkey/internal/clock"
	"latchkey/internal/webhook"
)

// attempt attempts a claimed delivery and passes on its outcome, if there is one. Otherwise the delivery waits for the
// end of its lease.
func (d *Dispatcher) attempt(ctx context.Context, j Job, claimed time.Time) {
	f, done := d.try(ctx, j, claimed)
	if !done {
		d.release(j)
		return
	}
	if d.c.OnAttempt != nil {
		d.c.OnAttempt(f.Outcome)
	}
	d.finished <- f
}

// release makes the place of a job free.
func (d *Dispatcher) release(j Job) {
	d.places.release(j)
	d.signal()
}

func (d *Dispatcher) try(ctx context.Context, j Job, claimed time.Time) (f Finished, done bool) {
	began := false
	defer func() {
		if p := recover(); p != nil {
			_ = d.panicked(ctx, p)
			f, done = Finished{Job: j, Outcome: d.broken(j)}, began
		}
	}()
	holds, err := d.begin(ctx, j)
	if err != nil {
		d.c.Log.WarnContext(ctx, "an attempt of a webhook could not begin; it is repeated", "webhook", j.Webhook.ID,
			"error", err)
		return Finished{}, false
	}
	// An attempt that outlives its lease could reach the receiver after a later event of the same subject.
	if !holds || d.c.Now().Sub(claimed) > Lease-Timeout-margin {
		return Finished{}, false
	}
	began = true
	o, err := d.c.Send(ctx, j)
	if err != nil {
		if ctx.Err() == nil {
			d.c.Log.ErrorContext(ctx, "an event could not be sent; it waits", "webhook", j.Webhook.ID, "event",
				j.Event.ID, "error", err)
		}
		return Finished{}, false
	}
	f = Finished{Job: j, Outcome: o}
	if o.Gone {
		f.Disabled = d.c.Disabled(j.Webhook, GoneReason(j.Webhook))
	}
	return f, true
}

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

func (d *Dispatcher) begin(ctx context.Context, j Job) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	return d.c.Queue.Begin(ctx, j)
}

// broken is the outcome of an attempt that panicked: a failure that is not the receiver's.
func (d *Dispatcher) broken(j Job) Outcome {
	now := d.c.Now()
	o := Outcome{Attempt: webhook.Attempt{At: clock.Timestamp(now), Error: "the server failed"}, State: webhook.Dead}
	if in, again := retryIn(j.Attempts+1, 0, 0.5); again {
		o.State, o.NextAt = webhook.Pending, clock.Timestamp(now.Add(in))
	}
	return o
}

// record records outcomes until finished is closed, all that are there at a time. Attempts that were claimed together
// often end together: to record them with one call saves more than the wait costs.
func (d *Dispatcher) record(sending context.Context) {
	for f := range d.finished {
		batch := []Finished{f}
		if d.places.inFlight() > 1 {
			time.Sleep(gather)
		}
		for more := true; more && len(batch) < maxClaim; {
			select {
			case next, open := <-d.finished:
				if more = open; open {
					batch = append(batch, next)
				}
			default:
				more = false
			}
		}
		d.store(sending, batch)
		for _, f := range batch {
			d.release(f.Job)
		}
	}
}

// store records a batch. While the database cannot be reached it tries again, as long as the leases may hold and the
// server is not stopping. An outcome that is lost costs another attempt.
func (d *Dispatcher) store(sending context.Context, batch []Finished) {
	began := d.c.Now()
	for backoff := firstBackoff; ; backoff = min(2*backoff, lastBackoff) {
		err := d.finish(sending, batch)
		if err == nil {
			return
		}
		if sending.Err() != nil || d.c.Now().Sub(began) > Lease {
			d.c.Log.WarnContext(sending, "outcomes of webhooks could not be recorded; the attempts are repeated",
				"attempts", len(batch), "error", err)
			return
		}
		pause(sending, backoff)
	}
}

func (d *Dispatcher) finish(sending context.Context, batch []Finished) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = d.panicked(sending, p)
		}
	}()
	// What was sent is recorded even if the grace period has ended meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(sending), queryTimeout)
	defer cancel()
	_, err = d.c.Queue.Finish(ctx, batch)
	return err
}
