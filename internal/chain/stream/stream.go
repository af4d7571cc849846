// Package stream sends sealed audit events to a file or to a syslog receiver, for a system that collects logs
// (docs/audit.md: "Streaming"). Events arrive in the order in which they were sealed, at least once: the place of the
// last event that arrived is stored, and after an interruption the stream continues behind it. While the target is
// away, events wait in the database.
package stream

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/chain"
	"latchkey/internal/clock"
)

// Positions stores how far streams are.
type Positions interface {
	// Lease takes or renews the lease of a target for holder.
	Lease(ctx context.Context, target string, holder uuid.UUID, ttl time.Duration) (Leased, error)
	// Save stores the place of a holder that has the lease. It reports whether it has it.
	Save(ctx context.Context, target string, holder uuid.UUID, place int64) (ours bool, err error)
	// Release gives the lease back.
	Release(ctx context.Context, target string, holder uuid.UUID) error
}

// Leased is how far the stream to a target is.
type Leased struct {
	// Ours is false if another server has the lease.
	Ours bool
	// Place is of the last event that arrived, or of the last sealed one if the target is New.
	Place int64
	New   bool
	// Changed reports that the stored place was not signed by the server's keys. Place is 0 then, so that all events
	// are sent again and none is missed.
	Changed bool
}

// Target is where events are sent.
type Target interface {
	// Name identifies the target among those of all servers.
	Name() string
	// Write writes events. After an error, all events behind the last that arrived are written again.
	Write(ctx context.Context, lines []Line) error
	// Arrived is how long after Write without an error an event counts as arrived. 0 means at once.
	Arrived() time.Duration
	// Check returns an error if the connection was lost since the last Write.
	Check() error
	// Close closes the file or the connection. The next Write opens it again.
	Close()
}

// Line is an event to write.
type Line struct {
	At time.Time
	// Type is the action of the event.
	Type string
	JSON []byte
}

const (
	leaseTTL = 15 * time.Second
	// interval is how often the stream looks for new events.
	interval = 500 * time.Millisecond
	// most bounds the events in memory.
	most = 200
	// longestPause is the longest pause between two attempts to reach the target.
	longestPause = 30 * time.Second
)

// Stream sends events to one target.
type Stream struct {
	events    chain.Reader
	positions Positions
	target    Target
	holder    uuid.UUID
	now       func() time.Time
	log       *slog.Logger
	sent      atomic.Int64
	// arrived is saved while this server has the lease, and otherwise -1.
	arrived atomic.Int64

	// place is of the last event that was written, and saved of the last that arrived and was stored.
	place, saved int64
	leased       bool
	renewed      time.Time
	written      []mark
	pause        time.Duration
}

// mark is the place of the last event that was written at a time.
type mark struct {
	place int64
	at    time.Time
}

// New returns a stream. server is the name of the server among those that share the database. A server that was killed
// takes its own lease again at once.
func New(events chain.Reader, positions Positions, target Target, server string, now func() time.Time,
	log *slog.Logger) *Stream {
	s := &Stream{events: events, positions: positions, target: target, now: now, log: log,
		holder: uuid.NewSHA1(uuid.NameSpaceURL, []byte("latchkey:"+server))}
	s.arrived.Store(-1)
	return s
}

// Sent returns how many events were written.
func (s *Stream) Sent() int64 { return s.sent.Load() }

// Waiting returns when the oldest sealed event happened that has not arrived. It returns a zero time if there is none,
// or another server sends.
func (s *Stream) Waiting(ctx context.Context) (time.Time, error) {
	arrived := s.arrived.Load()
	if arrived < 0 {
		return time.Time{}, nil
	}
	next, err := s.events.Sealed(ctx, chain.Filter{}, arrived, 1)
	if err != nil || len(next) == 0 {
		return time.Time{}, err
	}
	return next[0].Event.At, nil
}

// Run sends events until ctx ends. While another server sends to the target, it waits.
func (s *Stream) Run(ctx context.Context) {
	defer s.stop(context.WithoutCancel(ctx))
	for ctx.Err() == nil {
		more, err := s.step(ctx)
		wait := interval
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			wait = s.failed(ctx, err)
		case more:
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// failed begins again behind the last event that arrived. It returns how long to wait.
func (s *Stream) failed(ctx context.Context, err error) time.Duration {
	if s.pause == 0 {
		s.log.ErrorContext(ctx, "audit events cannot be streamed; they wait in the database", "target", s.target.Name(),
			"error", err)
	}
	s.target.Close()
	s.place, s.written = s.saved, nil
	s.pause = min(max(2*s.pause, interval), longestPause)
	return s.pause
}

// step renews the lease, stores what arrived and writes a batch. more reports whether there can be further events.
func (s *Stream) step(ctx context.Context) (more bool, err error) {
	if ours, err := s.lease(ctx); err != nil || !ours {
		return false, err
	}
	if err := s.target.Check(); err != nil {
		return false, err
	}
	events, err := s.events.Sealed(ctx, chain.Filter{}, s.place, most)
	if err != nil {
		return false, err
	}
	if len(events) > 0 {
		if err := s.write(ctx, events); err != nil {
			return false, err
		}
	}
	return len(events) == most, s.save(ctx)
}

func (s *Stream) write(ctx context.Context, events []chain.SealedEvent) error {
	lines := make([]Line, len(events))
	for i, e := range events {
		encoded, err := json.Marshal(e.Line())
		if err != nil {
			return err
		}
		lines[i] = Line{e.Event.At, string(e.Event.Action), encoded}
	}
	if err := s.target.Write(ctx, lines); err != nil {
		return err
	}
	if s.pause > 0 {
		s.log.InfoContext(ctx, "audit events are streamed again", "target", s.target.Name())
		s.pause = 0
	}
	s.sent.Add(int64(len(events)))
	s.place = events[len(events)-1].Place
	now := s.now()
	// One mark for each second keeps their number small.
	if n := len(s.written); n > 1 && clock.Elapsed(s.written[n-2].at, now) < time.Second {
		s.written = s.written[:n-1]
	}
	s.written = append(s.written, mark{s.place, now})
	return nil
}

// lease takes or renews the lease. With a new one it begins behind the stored place.
func (s *Stream) lease(ctx context.Context) (bool, error) {
	now := s.now()
	if s.leased && clock.Elapsed(s.renewed, now) < leaseTTL/3 {
		return true, nil
	}
	at, err := s.positions.Lease(ctx, s.target.Name(), s.holder, leaseTTL)
	if err != nil || !at.Ours {
		s.leased = false
		s.arrived.Store(-1)
		return false, err
	}
	// While this server has the lease, nobody else sets the place forward, and only the operator sets it back.
	known := s.leased && (at.Changed || at.New || at.Place > s.saved)
	changed := at.Changed || known
	if known {
		at.Place = s.saved
	}
	switch {
	case changed:
		s.log.ErrorContext(ctx, "the position of an audit stream was changed in the database; run latchkey audit verify",
			"target", s.target.Name(), "continues_after", at.Place)
	case at.New:
		s.log.InfoContext(ctx, "an audit stream begins", "target", s.target.Name(), "place", at.Place)
	case s.leased && at.Place < s.saved:
		s.log.WarnContext(ctx, "the position of an audit stream was set back, and events are sent again", "target",
			s.target.Name())
	}
	if !s.leased || at.Place < s.saved {
		s.target.Close()
		s.place, s.saved, s.written = at.Place, at.Place, nil
		s.arrived.Store(at.Place)
	}
	if changed {
		if _, err := s.positions.Save(ctx, s.target.Name(), s.holder, at.Place); err != nil {
			return false, err
		}
	}
	s.leased, s.renewed = true, now
	return true, nil
}

// save stores the place of the last event that arrived.
func (s *Stream) save(ctx context.Context) error {
	arrived, rest := s.saved, 0
	for _, m := range s.written {
		if clock.Elapsed(m.at, s.now()) < s.target.Arrived() {
			break
		}
		arrived = m.place
		rest++
	}
	s.written = s.written[rest:]
	if arrived == s.saved {
		return nil
	}
	ours, err := s.positions.Save(ctx, s.target.Name(), s.holder, arrived)
	if err != nil {
		return err
	}
	s.leased = ours
	s.saved = arrived
	if ours {
		s.arrived.Store(arrived)
	}
	return nil
}

// stopGrace bounds the last statements of a stream that is stopped.
const stopGrace = 2 * time.Second

func (s *Stream) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stopGrace)
	defer cancel()
	s.target.Close()
	if s.leased {
		_ = s.positions.Release(ctx, s.target.Name(), s.holder) // the lease ends by itself
	}
}
