package cli

import (
	"context"
	"log/slog"
	"sync"

	"latchkey/internal/clock"
	"latchkey/internal/token"
)

// startExpirations starts the job that reports expirations of API tokens, and returns the function that stops it.
func startExpirations(ctx context.Context, b *backend, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	job := token.NewExpirations(b.db.Expirations(), clock.System)
	var running sync.WaitGroup
	running.Go(func() {
		job.Run(ctx, func(err error) {
			log.ErrorContext(ctx, "expirations of API tokens could not be reported", "error", err)
		})
	})
	return func() {
		cancel()
		running.Wait()
	}
}
