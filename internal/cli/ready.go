package cli

import (
	"context"
	"errors"
	"sync"
	"time"

	"latchkey/internal/gormdb"
	"latchkey/internal/httpserver"
)

// checks are what must hold for the server to be ready.
func checks(b *backend, feed *gormdb.Feed) []httpserver.Check {
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
		{Name: "feed", Run: func(context.Context) error { return feed.Check() }},
	}
}

// sampleInterval is how often a sampled check runs at most, and for how long a
// caller waits for it.
const sampleInterval = time.Second

// sampled runs a check at most once per sampleInterval, never twice at once, and
// gives its result to all who ask. The result does not depend on who asks: the
// check has a time limit of its own. It is safe for concurrent use.
type sampled struct {
	check func(context.Context) error

	mu     sync.Mutex
	at     time.Time
	result error
	// running delivers the result of a check that runs; nil while none does.
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
		s.result = errSilent
	}
	s.at = time.Now()
	return s.result
}

// errSilent is the result of a check that does not even notice the end of its
// context, as SQLite does not while another process has the file locked.
var errSilent = errors.New("the check has not returned in time")

func (s *sampled) start(ctx context.Context, cancel context.CancelFunc) {
	running := make(chan error, 1)
	s.running = running
	go func() {
		defer cancel()
		running <- s.check(ctx)
	}()
}
