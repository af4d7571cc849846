package httpserver

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/tracing"
)

// deadline is a context that ends with its parent, at a fixed time, or when the
// database stops answering. Unlike context.WithDeadline it starts no timer
// until Done is called: a request served from memory never calls it, and a
// timer would be a large part of its cost. It is created by endpoint.bounded and
// is safe for concurrent use.
type deadline struct {
	context.Context
	at    time.Time
	meter meter
	// requestID is what log lines with the context have; it stays valid after the request.
	requestID string
	// early is how long before at the first check of the database is, which calls silent.
	// A nil silent disables the checks.
	early  time.Duration
	silent func(time.Duration) bool

	mu     sync.Mutex
	timed  context.Context // nil until Done is called
	cancel context.CancelFunc
	timer  *time.Timer
	// ended is the reason why the timer ended the context; nil until then.
	ended error
}

const (
	// mostSilence is how long a request waits for a database that answers no
	// queries at all. If it answers other queries, this request may wait
	// longer.
	mostSilence = auth.WriteTimeout
	// lateSilence is the minimum silence of the database at the deadline for
	// which the database, and not the request, is reported as the cause.
	lateSilence = 2 * time.Second
	// silenceInterval is the interval of the checks after the first one.
	silenceInterval = 500 * time.Millisecond
)

// errSilent is the error of a context that ended because the database did not
// answer.
var errSilent = fmt.Errorf("%w: it answers nothing: %w", fault.ErrUnavailable, context.DeadlineExceeded)

// bounded returns the request's context with the request timeout. The caller
// must call release.
func (e *endpoint) bounded(rs *requestState, r *http.Request) *deadline {
	return &deadline{
		Context: r.Context(), at: rs.started.Add(e.limits.RequestTimeout), meter: meter{e.rates, rs},
		requestID: rs.requestID[0], early: e.limits.RequestTimeout - mostSilence, silent: e.silent,
	}
}

// Value returns the meter for meterKey, the request's ID for its key, and otherwise the parent's value.
func (d *deadline) Value(key any) any {
	switch key.(type) {
	case meterKey:
		return &d.meter
	case tracing.RequestIDKey:
		return &d.requestID
	}
	return d.Context.Value(key)
}

// Deadline returns the fixed time.
func (d *deadline) Deadline() (time.Time, bool) { return d.at, true }

// Done starts the timer on its first call.
func (d *deadline) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timed == nil {
		d.timed, d.cancel = context.WithCancel(d.Context)
		first := d.at
		if d.silent != nil && d.early > 0 {
			first = first.Add(-d.early)
		}
		d.timer = time.AfterFunc(time.Until(first), d.check)
	}
	return d.timed.Done()
}

// check ends the context if its time is up or the database is silent. Otherwise
// it schedules the next check.
func (d *deadline) check() {
	d.mu.Lock()
	defer d.mu.Unlock()
	left, most := time.Until(d.at), mostSilence
	if left <= 0 {
		most = lateSilence
	}
	switch {
	case d.timed.Err() != nil:
		return
	case d.silent != nil && d.silent(most):
		d.ended = errSilent
	case left <= 0:
		d.ended = context.DeadlineExceeded
	default:
		d.timer.Reset(min(left, silenceInterval))
		return
	}
	d.cancel()
}

// Err returns the reason why the context ended; nil if it has not.
func (d *deadline) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.ended != nil:
		return d.ended
	case d.timed != nil:
		return d.timed.Err()
	case d.Context.Err() != nil:
		return d.Context.Err()
	case !time.Now().Before(d.at):
		return context.DeadlineExceeded
	}
	return nil
}

// release stops the timer, if there is one. The parent ends right after it,
// which ends the context for all goroutines that use it.
func (d *deadline) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cancel != nil {
		d.timer.Stop()
		d.cancel()
	}
}
