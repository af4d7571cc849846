package gormdb

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/access"
	"latchkey/internal/fault"
)

// Bounds of the feed. A revocation is heard by every process within
// milliseconds or, where a process or its connection hangs, that process
// trusts its memory of nothing lease later.
const (
	// lease is how long a proof that all was heard is good for.
	lease = access.Lease
	// proofInterval is how often a proof is sought.
	proofInterval = 500 * time.Millisecond
	// firstPause and longestPause bound the wait before connecting again.
	firstPause, longestPause = 50 * time.Millisecond, 2 * time.Second
	// patience is how long replicas have to acknowledge. One that has not by
	// then has no good proof any more, and trusts its memory of nothing.
	patience = lease + proofInterval
)

// Ears is what a Feed tells of changes: access.Memory's methods. Both return
// when nothing that the change concerns is remembered any more.
type Ears struct {
	// Changed says that a right may have been taken away in an account, or from
	// one API token.
	Changed func(id uuid.UUID)
	// Forget says that changes may have been missed, of any account.
	Forget func()
}

// Feed hears of the changes that other processes make to the database, and is
// this process's place among the replicas.
type Feed struct {
	engine engine
	// self is this replica, registered under the id while the feed runs.
	self access.Replica
	id   uuid.UUID
	// process is what it runs in, see thisProcess.
	process string
	// instance is the id in the instance file, see UseInstance.
	instance string
	// keyIDs are the server's keys, separated by spaces, see UseKeys.
	keyIDs string
	ears   Ears
	log    *slog.Logger
	// questions are this replica's own.
	questions questions
	// proof is a moment of which it is known that every change committed
	// before it was heard; nil while nothing is known.
	proof atomic.Pointer[time.Time]
	// obstacle is why the feed heard nothing any more, or nothing at all, when
	// it last tried.
	obstacle      atomic.Pointer[fault.Error]
	interruptions atomic.Uint64
	// connected says that the feed's connection hears and answers questions.
	connected atomic.Bool
	// age is of the registry.
	age registryAge
	// namesakes is how many other replicas of this one's name run.
	namesakes atomic.Int64
}

// listener is the part of the feed that each database does in its own way.
type listener interface {
	// announce keeps in tx that something of the account changes with it.
	announce(tx *gorm.DB, accountID uuid.UUID) error
	// hurry tells other processes that changes are committed, soon and in the
	// background. Should it not, they hear all the same, only later.
	hurry()
	// listen hears changes until ctx ends or it cannot hear any more. It calls
	// ears.Forget once it hears, before the first proof.
	listen(ctx context.Context, f *Feed) error
}

// tell tells this process, and then others, of a transaction that ended with
// err, and of the accounts or API tokens that it concerns. After an error that
// is no fault the transaction may have been committed all the same.
func (db *DB) tell(err error, ids ...uuid.UUID) {
	db.forget(err, ids...)
	if !isFault(err) && len(ids) > 0 {
		db.engine.hurry()
	}
}

// forget is tell for this process alone. A fault has changed nothing, but after
// fault.NotFound another replica may have removed what was asked for a moment
// ago, unheard by this one.
func (db *DB) forget(err error, ids ...uuid.UUID) {
	if isFault(err) && fault.KindOf(err) != fault.NotFound {
		return
	}
	for _, id := range ids {
		db.changed(id)
	}
}

// NewFeed returns a feed that tells ears. It hears nothing until it runs, and
// nobody knows of this replica until it joins or runs.
func (db *DB) NewFeed(self access.Replica, ears Ears, log *slog.Logger) *Feed {
	return &Feed{engine: db.engine, self: self, id: uuid.New(), ears: ears, log: log, process: thisProcess(), questions: questions{open: map[uuid.UUID]chan uuid.UUID{}}}
}

// Run hears changes until ctx ends, over a connection of its own that it makes
// again whenever it fails. Until then this replica is registered, whether it
// hears or not.
func (f *Feed) Run(ctx context.Context) {
	var attending sync.WaitGroup
	attending.Go(func() { f.engine.attend(ctx, f) })
	f.hear(ctx)
	f.proof.Store(nil)
	attending.Wait()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease)
	defer cancel()
	f.engine.leave(closing, f)
}

func (f *Feed) hear(ctx context.Context) {
	pause := firstPause
	for {
		started := time.Now()
		// A proof outlives the connection: what it proves stays true.
		err := f.engine.listen(ctx, f)
		f.connected.Store(false)
		if ctx.Err() != nil {
			return
		}
		f.obstacle.Store(obstacleOf(err))
		f.interruptions.Add(1)
		if time.Since(started) > longestPause {
			pause = firstPause
		}
		f.log.WarnContext(ctx, "the revocation feed is interrupted; once its last proof is old, credentials are looked up in the database",
			"error", err, "retry_in", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
	}
}

// Hearing reports whether every change committed more than lease ago has been
// told to the ears. It costs a look at the clock.
func (f *Feed) Hearing() bool {
	proof := f.proof.Load()
	if proof == nil {
		return false
	}
	return elapsed(*proof) < lease
}

func elapsed(since time.Time) time.Duration { return access.Elapsed(since, time.Now()) }

// Check returns nil while the feed hears, and otherwise fault.Conflict, which
// says so and why. It names no password.
func (f *Feed) Check() error {
	if f.Hearing() {
		return nil
	}
	text := "The revocation feed is interrupted; every credential is looked up in the database."
	if obstacle := f.obstacle.Load(); obstacle != nil {
		text += " " + obstacle.Message
	}
	return fault.Errorf(fault.Conflict, "%s", text)
}

// Interruptions returns how often the feed failed, to connect or later.
func (f *Feed) Interruptions() uint64 { return f.interruptions.Load() }

// ProofAge returns how old the latest proof is that everything was heard, and
// false while there is none.
func (f *Feed) ProofAge() (time.Duration, bool) {
	proof := f.proof.Load()
	if proof == nil {
		return 0, false
	}
	return time.Since(*proof), true
}

// heard notes that all changes committed before the moment have been told.
func (f *Feed) heard(before time.Time) { f.proof.Store(&before) }
