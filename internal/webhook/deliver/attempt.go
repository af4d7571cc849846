package deliver

import (
	"context"
	"slices"
	"time"

	"latchkey/internal/clock"
	"latchkey/internal/webhook"
)

// start adds claimed jobs to the lines of their webhooks, and starts attempts.
func (d *Dispatcher) start(ctx context.Context, jobs []Job) {
	for _, hook := range d.lines.add(jobs) {
		for j, ok := d.lines.begin(hook); ok; j, ok = d.lines.begin(hook) {
			d.places.take(j)
			d.attempts.Go(func() { d.work(ctx, j) })
		}
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

// giveBack releases jobs that are not attempted. If that fails, they wait for the end of their leases.
func (d *Dispatcher) giveBack(ctx context.Context, jobs []Job) {
	if len(jobs) == 0 {
		return
	}
	released, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	if err := d.c.Queue.Release(released, jobs); err != nil {
		d.c.Log.WarnContext(ctx, "deliveries of webhooks could not be released; they wait", "deliveries", len(jobs),
			"error", err)
	}
	d.signal()
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
		// The others cannot be sent either. They wait for the end of their leases, too.
		d.lines.take(j.Webhook.ID)
		return Finished{}, false
	}
	f = Finished{Job: j, Outcome: o}
	if o.Gone {
		f.Disabled = d.c.Disabled(j.Webhook, GoneReason(j.Webhook))
	}
	return f, true
}

// begin reports whether the attempt of a job may begin now, and returns the job with its webhook as it is now. A job
// that was claimed a while ago is checked again, together with those that wait in its line.
func (d *Dispatcher) begin(ctx context.Context, j Job) (Job, bool) {
	jobs := []Job{j}
	if now := d.c.Now(); clock.Elapsed(j.Checked, now) >= Fresh {
		checked, cancel := context.WithTimeout(ctx, queryTimeout)
		defer cancel()
		asked := slices.Concat(jobs, d.lines.take(j.Webhook.ID))
		may, err := d.c.Queue.Recheck(checked, asked)
		if err != nil {
			d.c.Log.WarnContext(ctx, "an attempt of a webhook could not begin; it is repeated", "webhook",
				j.Webhook.ID, "error", err)
		}
		d.giveBack(ctx, others(asked, may))
		jobs = may
	}
	var rest, unsent []Job
	may, now := false, d.c.Now()
	for _, each := range jobs {
		switch {
		// An attempt that outlives its lease could reach the receiver after a later event of the same subject.
		case clock.Elapsed(each.LeaseUntil, now) > -Timeout-margin:
			unsent = append(unsent, each)
		case each.Event.ID == j.Event.ID:
			j, may = each, true
		default:
			rest = append(rest, each)
		}
	}
	d.giveBack(ctx, unsent)
	d.start(ctx, rest)
	return j, may
}

// others returns the jobs that are not among some of them.
func others(jobs, some []Job) (rest []Job) {
	for _, j := range jobs {
		if !slices.ContainsFunc(some, func(s Job) bool { return s.Event.ID == j.Event.ID }) {
			rest = append(rest, j)
		}
	}
	return rest
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

// broken is the outcome of an attempt that panicked: a failure that is not the receiver's.
func (d *Dispatcher) broken(j Job) Outcome {
	now := d.c.Now()
	o := Outcome{Attempt: webhook.Attempt{At: clock.Timestamp(now), Error: "the server failed"}, State: webhook.Dead}
	if in, again := retryIn(j.Attempts+1, 0, 0.5); again {
		o.State, o.NextAt = webhook.Pending, clock.Timestamp(now.Add(in))
	}
	return o
}

// record records outcomes until finished is closed. Attempts that were claimed together often end together: to record
// them with one call saves more than the wait costs.
func (d *Dispatcher) record(sending context.Context) {
	for f := range d.finished {
		batch := d.gathered([]Finished{f})
		d.store(sending, batch)
		if d.lines.low(batch) {
			d.signal()
		}
	}
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
