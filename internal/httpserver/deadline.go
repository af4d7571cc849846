package httpserver

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// deadline is a context that ends with its parent, or at a moment. Unlike
// that of context.WithDeadline it has no timer until somebody waits for its
// end: a request that is answered from memory waits for nothing, and a timer
// would be a good part of its cost. It is made by public.bounded, and safe for
// concurrent use.
type deadline struct {
	context.Context
	at    time.Time
	meter meter

	mu     sync.Mutex
	timed  context.Context // nil until somebody waits
	cancel context.CancelFunc
}

// bounded is the request's context, which ends when its time is up. Release
// it.
func (p *public) bounded(x *exchange, r *http.Request) *deadline {
	return &deadline{Context: r.Context(), at: x.started.Add(p.Limits.RequestTimeout), meter: meter{p.rates, x}}
}

// Value returns the meter for its key, and of the parent what is asked for
// otherwise.
func (d *deadline) Value(key any) any {
	if key == (meterKey{}) {
		return &d.meter
	}
	return d.Context.Value(key)
}

// Deadline returns the moment.
func (d *deadline) Deadline() (time.Time, bool) { return d.at, true }

// Done starts the timer.
func (d *deadline) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timed == nil {
		d.timed, d.cancel = context.WithDeadline(d.Context, d.at)
	}
	return d.timed.Done()
}

// Err says why the context has ended, if it has.
func (d *deadline) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.timed != nil:
		return d.timed.Err()
	case d.Context.Err() != nil:
		return d.Context.Err()
	case !time.Now().Before(d.at):
		return context.DeadlineExceeded
	}
	return nil
}

// release frees the timer, if there is one. The parent's end, which follows,
// ends the context for everybody.
func (d *deadline) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cancel != nil {
		d.cancel()
	}
}
