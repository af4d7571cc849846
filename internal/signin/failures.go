package signin

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// Bounds of what the audit log holds about failed sign-ins.
const (
	// failureWindow is the least time between two events about one user. What
	// fails in between is counted, and the next event has the number.
	failureWindow = 10 * time.Minute
	// mostFailing is how many users are counted at most.
	mostFailing = 10_000
	// failuresPerWrite is how many users one transaction tells about.
	failuresPerWrite = 100
	// failuresGrace is how long the last events have to be written at stop.
	failuresGrace = 5 * time.Second
)

// failing is a user whose sign-ins fail.
type failing struct {
	attempts int
	last     Attempt
	// next is when the next event may be written.
	next time.Time
}

// failures counts failed sign-ins in memory, by user. Noting one takes no look
// at the database, so the answer to an attempt takes no longer for it.
type failures struct {
	mu    sync.Mutex
	users map[uuid.UUID]*failing
	// wake has room for one: there is something to write.
	wake chan struct{}
}

func newFailures() *failures {
	return &failures{users: map[uuid.UUID]*failing{}, wake: make(chan struct{}, 1)}
}

// note counts a failed attempt.
func (f *failures) note(a Attempt, attempts int, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u, known := f.users[a.UserID]
	if !known {
		if len(f.users) >= mostFailing {
			return
		}
		u = &failing{next: now}
		f.users[a.UserID] = u
	}
	u.attempts, u.last = u.attempts+attempts, a
	if now.Before(u.next) {
		return
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// due returns those that an event may be written about, or all that failed, and
// forgets users of whom nothing failed for a window.
func (f *failures) due(now time.Time, all bool) []failing {
	f.mu.Lock()
	defer f.mu.Unlock()
	var due []failing
	for id, u := range f.users {
		switch {
		case now.Before(u.next) && !all:
		case u.attempts == 0:
			delete(f.users, id)
		default:
			due = append(due, *u)
			u.attempts, u.next = 0, now.Add(failureWindow)
		}
	}
	return due
}

// isFailure reports whether an attempt was a wrong proof of a known user's, or
// one too many.
func (a Attempt) isFailure() bool {
	if a.UserID == uuid.Nil || a.Err == nil {
		return false
	}
	switch a.Method {
	case ByPassword, ByPasswordAndCode, ByLinkAndCode, ByPasskey:
	case ByLink, ByProvider:
		return false
	}
	switch fault.KindOf(a.Err) {
	case fault.Unauthenticated, fault.Invalid, fault.RateLimited:
		return true
	}
	var why *Refused
	return errors.As(a.Err, &why)
}

// runFailures writes events about failed sign-ins until ctx ends, and then those
// that are left.
func (s *Service) runFailures(ctx context.Context) {
	tick := time.NewTicker(failureWindow / 10)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), failuresGrace)
			defer cancel()
			s.eventsFailed(ctx, s.writeFailures(ctx, true))
			return
		case <-s.failures.wake:
		case <-tick.C:
		}
		if err := s.writeFailures(ctx, false); ctx.Err() == nil {
			s.eventsFailed(ctx, err)
		}
	}
}

// eventsFailed tells of events that could not be written.
func (s *Service) eventsFailed(ctx context.Context, err error) {
	if err != nil && s.OnEventsFailed != nil {
		s.OnEventsFailed(ctx, err)
	}
}

// writeFailures writes the events that are due. What cannot be written is
// counted again.
func (s *Service) writeFailures(ctx context.Context, all bool) error {
	due := s.failures.due(s.Now(), all)
	var errs []error
	for len(due) > 0 {
		some := due[:min(len(due), failuresPerWrite)]
		due = due[len(some):]
		if err := s.writeSome(ctx, some); err != nil {
			errs = append(errs, err)
			for _, u := range some {
				s.failures.note(u.last, u.attempts, s.Now())
			}
		}
	}
	return errors.Join(errs...)
}

func (s *Service) writeSome(ctx context.Context, some []failing) error {
	var events []audit.Event
	for _, u := range some {
		person, err := s.Repository.PersonByID(ctx, u.last.UserID)
		if fault.KindOf(err) == fault.NotFound {
			continue // removed meanwhile
		}
		if err != nil {
			return err
		}
		by := actor(person.User, uuid.Nil, Visitor{Origin: u.last.Origin})
		about, err := s.events(ctx, by, person.User, audit.SignInFailed,
			audit.Detail{Name: "attempts", Value: strconv.Itoa(u.attempts)}, audit.Detail{Name: "method", Value: string(u.last.Method)})
		if err != nil {
			return err
		}
		events = append(events, about...)
	}
	if len(events) == 0 {
		return nil
	}
	return s.Repository.Record(ctx, auth.NoActor("failed sign-ins are recorded, and nobody signed in"), events)
}
