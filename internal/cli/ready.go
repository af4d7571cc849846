package cli

import (
	"context"
	"errors"
	"sync"
	"time"

	"latchkey/internal/feed"
	"latchkey/internal/httpserver"
)

// checks returns the readiness checks of the server.
func checks(b *backend, f *feed.Feed) []httpserver.Check {
	return []httpserver.Check{
		{Name: "database", Run: b.db.Ping},
		{Name: "schema", Run: func(ctx context.Context) error {
			schema, err := b.db.Schema(ctx)
			if err != nil {
				return err
			}
			return schema.Check()
		}},
		{Name: "writing", Run: (&sampled{check: b.db.CheckWriting}).run},
		{Name: "feed", Run: func(context.Context) error { return f.Check() }},
	}
}

// sampleInterval is the minimum time between two runs of a sampled check, and
// the maximum time that a caller waits for it.
const sampleInterval = time.Second

// sampled runs a check at most once per sampleInterval, never concurrently, and
// returns its result to all callers. The check has its own timeout, so its
// result does not depend on the caller. sampled is safe for concurrent use.
type sampled struct {
	check func(context.Context) error

	mu     sync.Mutex
	at     time.Time
	result error
	// running receives the result of the running check; nil if none runs.
	running chan error
}

func (s *sampled) run(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.at.IsZero() && time.Since(s.at) < sampleInterval {
		return s.result
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sampleInterval)
	if s.running == nil {
		s.start(ctx, cancel)
	} else {
		defer cancel()
	}
	select {
	case s.result = <-s.running:
		s.running = nil
	case <-ctx.Done():
		s.result = errCheckTimeout
	}
	s.at = time.Now()
	return s.result
}

// errCheckTimeout is the result of a check that does not return when its context
// ends. SQLite does not while another process has the file locked.
var errCheckTimeout = errors.New("the check has not returned in time")

func (s *sampled) start(ctx context.Context, cancel context.CancelFunc) {
	running := make(chan error, 1)
	s.running = running
	go func() {
		defer cancel()
		running <- s.check(ctx)
	}()
}
