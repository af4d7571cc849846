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
	"latchkey/internal/clock"
	"latchkey/internal/fault"
)

// Limits of the audit events about failed sign-ins.
const (
	// failureWindow is the least time between two events about one user.
	// Failures in between are counted, and the next event has their number.
	failureWindow = 10 * time.Minute
	// mostFailing is the most users that are counted.
	mostFailing = 10_000
	// failuresPerWrite is the most users in one transaction.
	failuresPerWrite = 100
	// failuresGrace is the time limit for writing the last events when the
	// server stops.
	failuresGrace = 5 * time.Second
)

// failing is a user with failed sign-ins.
type failing struct {
	attempts int
	last     Attempt
	// next is the earliest time of the next event.
	next time.Time
}

// Attempt is an attempt to authenticate.
type Attempt struct {
	Method Method
	// UserID is the user who was named; zero if there is no such user.
	UserID uuid.UUID
	Origin auth.Origin
	// Err is why it failed, or nil.
	Err error
}

// failures reports attempts, and counts the failed ones in memory, by user, for
// the audit log. Counting does not query the database, so it does not slow down
// the response.
type failures struct {
	persons *persons
	repo    EventRepository
	// onAttempt and onFailed are OnAttempt and OnEventsFailed of Config; nil
	// for none.
	onAttempt func(context.Context, Attempt)
	onFailed  func(ctx context.Context, err error)
	now       clock.Clock

	mu    sync.Mutex
	users map[uuid.UUID]*failing
	// wake has a buffer of one and signals that there are events to write.
	wake chan struct{}
}

func newFailures(c Config, p *persons) *failures {
	return &failures{
		persons: p, repo: c.Repository, onAttempt: c.OnAttempt, onFailed: c.OnEventsFailed, now: c.Now,
		users: map[uuid.UUID]*failing{}, wake: make(chan struct{}, 1),
	}
}

// observe reports an attempt for metrics and the log, and counts a failed one
// for the audit log.
func (f *failures) observe(ctx context.Context, a Attempt) {
	if a.isFailure() {
		f.note(a, 1, f.now())
	}
	if f.onAttempt != nil {
		f.onAttempt(ctx, a)
	}
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

// due returns the users whose event may be written now, or all users with
// failures, and deletes users without a failure in the last window.
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

// isFailure reports whether the attempt was a wrong proof of an existing user,
// or was rate limited.
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
	var refused *Refused
	return errors.As(a.Err, &refused)
}

// run writes events about failed sign-ins until ctx ends, and then the
// remaining ones.
func (f *failures) run(ctx context.Context) {
	tick := time.NewTicker(failureWindow / 10)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), failuresGrace)
			defer cancel()
			f.report(ctx, f.write(ctx, true))
			return
		case <-f.wake:
		case <-tick.C:
		}
		if err := f.write(ctx, false); ctx.Err() == nil {
			f.report(ctx, err)
		}
	}
}

// report reports events that could not be written.
func (f *failures) report(ctx context.Context, err error) {
	if err != nil && f.onFailed != nil {
		f.onFailed(ctx, err)
	}
}

// write writes the events that are due. If a write fails, its attempts
// are counted again.
func (f *failures) write(ctx context.Context, all bool) error {
	due := f.due(f.now(), all)
	var errs []error
	for len(due) > 0 {
		some := due[:min(len(due), failuresPerWrite)]
		due = due[len(some):]
		if err := f.writeSome(ctx, some); err != nil {
			errs = append(errs, err)
			for _, u := range some {
				f.note(u.last, u.attempts, f.now())
			}
		}
	}
	return errors.Join(errs...)
}

func (f *failures) writeSome(ctx context.Context, some []failing) error {
	var events []audit.Event
	for _, u := range some {
		person, err := f.persons.PersonByID(ctx, u.last.UserID)
		if fault.KindOf(err) == fault.NotFound {
			continue // removed in the meantime
		}
		if err != nil {
			return err
		}
		by := actor(person.User, uuid.Nil, Visitor{Origin: u.last.Origin})
		about, err := f.persons.events(ctx, by, person.User, audit.SignInFailed,
			audit.Detail{Name: "attempts", Value: strconv.Itoa(u.attempts)},
			audit.Detail{Name: "method", Value: string(u.last.Method)})
		if err != nil {
			return err
		}
		events = append(events, about...)
	}
	if len(events) == 0 {
		return nil
	}
	return f.repo.Record(ctx, auth.NoActor("failed sign-ins are recorded without a session"), events)
}
