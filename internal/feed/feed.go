// Package feed receives the changes that other processes make to the database, so that credential caches stay valid,
// and keeps the registry of replicas (docs/architecture.md: "The revocation feed").
//
// A write that removes rights appends to the feed in its own transaction; that part is in gormdb. This package reads
// what was appended, notifies other replicas after the commit (Notifier), and makes sure that the current primary
// answers (Primary).
package feed

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
)

// Bounds of the feed. Every process receives a revocation within milliseconds. A process that hangs, or whose
// connection hangs, stops using its cache at the latest one lease after the revocation.
const (
	// lease is how long a proof that all changes were received is valid.
	lease = access.Lease
	// proofInterval is the time between two proofs.
	proofInterval = 500 * time.Millisecond
	// firstPause and longestPause bound the wait before reconnecting.
	firstPause, longestPause = 50 * time.Millisecond, 2 * time.Second
	// acknowledgementTimeout is how long replicas have to acknowledge. A replica that has not acknowledged by then has
	// no valid proof any more and does not use its cache.
	acknowledgementTimeout = lease + proofInterval
)

// Subscriber receives the changes of a Feed: the methods of access.Caches. Both return after everything that the
// change concerns has been removed from the cache.
type Subscriber struct {
	// Changed reports that a permission may have been removed in an account or from one API token.
	Changed func(id uuid.UUID)
	// Forget reports that changes of any account may have been missed.
	Forget func()
}

// Feed receives the changes that other processes make to the database, and registers this process as a replica.
type Feed struct {
	source Source
	// self is this replica, registered under id while the feed runs.
	self access.Replica
	id   uuid.UUID
	// process identifies the operating system process, see thisProcess.
	process string
	// instance is the id in the instance file, see UseInstance.
	instance string
	// keyIDs are the ids of the server's keys, separated by spaces, see UseKeys.
	keyIDs     string
	subscriber Subscriber
	log        *slog.Logger
	// questions are the open questions of this replica.
	questions questions
	// proof is a time: every change committed before it has been received. nil means that no proof exists.
	proof atomic.Pointer[time.Time]
	// obstacle is the reason why the last attempt to receive changes failed.
	obstacle      atomic.Pointer[fault.Error]
	interruptions atomic.Uint64
	// connected is true while the feed's connection receives notifications and answers questions.
	connected atomic.Bool
	// age is the age of the registry.
	age registryAge
	// namesakes is the number of other running replicas with the same name.
	namesakes atomic.Int64
}

// Source is the part of the feed that differs between the databases: *Postgres or SQLite.
type Source interface {
	// receive receives changes until ctx ends or an error occurs. Once it receives changes, and before the first
	// proof, it calls subscriber.Forget.
	receive(ctx context.Context, f *Feed) error
	registry
}

// New returns a feed that reports the changes of source to subscriber. It receives nothing until it runs. The replica
// self is registered once it joins or runs.
func New(source Source, self access.Replica, subscriber Subscriber, log *slog.Logger) *Feed {
	return &Feed{
		source: source, self: self, id: uuid.New(), subscriber: subscriber, log: log, process: thisProcess(),
		questions: questions{open: map[uuid.UUID]chan uuid.UUID{}},
	}
}

// Run receives changes until ctx ends, over a dedicated connection that it replaces whenever it fails. Until then
// this replica stays registered, even while it receives nothing.
func (f *Feed) Run(ctx context.Context) {
	var background sync.WaitGroup
	background.Go(func() { f.source.maintain(ctx, f) })
	f.reconnect(ctx)
	f.proof.Store(nil)
	background.Wait()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease)
	defer cancel()
	f.source.leave(closing, f)
}

// reconnect receives changes until ctx ends. After an error it waits and connects again.
func (f *Feed) reconnect(ctx context.Context) {
	pause := firstPause
	for {
		started := time.Now()
		// A proof outlives the connection: the changes before it have been received.
		err := f.source.receive(ctx, f)
		f.connected.Store(false)
		if ctx.Err() != nil {
			return
		}
		f.obstacle.Store(obstacleOf(err))
		f.interruptions.Add(1)
		if time.Since(started) > longestPause {
			pause = firstPause
		}
		f.log.WarnContext(ctx,
			"the revocation feed is interrupted; once its last proof expires, credentials are looked up in the database",
			"error", err, "retry_in", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
	}
}

// IsCurrent reports whether every change committed more than lease ago has been passed to the subscriber. It only reads
// the clock.
func (f *Feed) IsCurrent() bool {
	proof := f.proof.Load()
	if proof == nil {
		return false
	}
	return elapsed(*proof) < lease
}

func elapsed(since time.Time) time.Duration { return clock.Elapsed(since, time.Now()) }

// Check returns nil while the feed receives changes, and otherwise fault.Conflict with the reason. The message
// contains no password.
func (f *Feed) Check() error {
	if f.IsCurrent() {
		return nil
	}
	text := "The revocation feed is interrupted; every credential is looked up in the database."
	if obstacle := f.obstacle.Load(); obstacle != nil {
		text += " " + obstacle.Message
	}
	return fault.Errorf(fault.Conflict, "%s", text)
}

// Interruptions returns how often the feed failed to connect or lost its connection.
func (f *Feed) Interruptions() uint64 { return f.interruptions.Load() }

// ProofAge returns the age of the latest proof that all changes were received. It returns false if there is no proof.
func (f *Feed) ProofAge() (time.Duration, bool) {
	proof := f.proof.Load()
	if proof == nil {
		return 0, false
	}
	return time.Since(*proof), true
}

// prove records that all changes committed before the time have been passed on.
func (f *Feed) prove(before time.Time) { f.proof.Store(&before) }
