package cli

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
)

// stopSignals stop every command that can be stopped.
var stopSignals = []os.Signal{syscall.SIGTERM, syscall.SIGINT}

// stoppable returns a context that ends at the first SIGTERM, SIGINT or SIGHUP,
// as stopsAt says.
func stoppable(ctx context.Context) (stopping context.Context, release func()) {
	if signal.Ignored(syscall.SIGHUP) { // nohup(1) ignores it
		return stopsAt(ctx, stopSignals...)
	}
	return stopsAt(ctx, append(slices.Clone(stopSignals), syscall.SIGHUP)...)
}

// stopsAt returns a context that ends at the first of the signals.
// From one second later another signal terminates the program immediately.
// Within that second it is ignored, because timeout(1) sends its signal twice.
func stopsAt(ctx context.Context, signals ...os.Signal) (stopping context.Context, release func()) {
	stopping, release = signal.NotifyContext(ctx, signals...)
	context.AfterFunc(stopping, func() { time.AfterFunc(time.Second, release) })
	return stopping, release
}

// inTime runs work and returns its error. If the database does not answer, work
// may never return. In that case inTime returns timeout after the end of ctx.
// Its error is then nil if work has called answered, that is, if every request
// has been answered.
func inTime(ctx context.Context, timeout time.Duration, log *slog.Logger, work func(answered func()) error) error {
	var answered atomic.Bool
	done := make(chan error, 1)
	go func() { done <- work(func() { answered.Store(true) }) }()
	overdue := make(chan struct{})
	defer context.AfterFunc(ctx, func() { time.AfterFunc(timeout, func() { close(overdue) }) })()
	select {
	case err := <-done:
		return err
	case <-overdue:
	}
	if answered.Load() {
		log.WarnContext(ctx,
			"every request was answered, but last uses may not be written; the database may not answer", "waited",
			timeout)
		return nil
	}
	return fmt.Errorf("the server did not stop within %s of the signal; the database may not answer", timeout)
}

// requestGrace returns the part of the grace period for requests in flight. The
// rest is for writing last uses and closing connections.
func requestGrace(grace time.Duration) time.Duration { return grace - min(flushGrace, grace/4) }
