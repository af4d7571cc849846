package gormdb

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
)

// registered is a replica in the registry.
type registered struct {
	id uuid.UUID
	access.Replica
}

// registry is the list of replicas, and what they ask each other.
type registry interface {
	// join registers a replica, or returns fault.Conflict when another one of
	// its name runs.
	join(ctx context.Context, f *Feed) error
	// attend keeps the replica registered while it does not hear, and answers
	// for it, until ctx ends. While it hears, listen does both.
	attend(ctx context.Context, f *Feed)
	// leave takes the replica off the list.
	leave(ctx context.Context, f *Feed)
	// replicas returns those that are registered, by their ids, in the order
	// of their names, and how long the registry has had them.
	replicas(ctx context.Context) ([]registered, registryState, error)
	// ask puts a question to replicas, which answer when they have heard
	// everything that was committed before, or remember nothing.
	ask(ctx context.Context, question uuid.UUID, replicas []uuid.UUID) error
	// answers returns who has answered the question, and settle forgets it.
	answers(ctx context.Context, question uuid.UUID) ([]uuid.UUID, error)
	settle(ctx context.Context, question uuid.UUID) error
}

// registryState tells one registry from the one after it, which begins empty
// after a crash or a failover.
type registryState struct {
	id  uuid.UUID
	age time.Duration // by the database's clock
}

// registryAge notes when this replica found that the registry is another one.
// It is safe for concurrent use.
type registryAge struct {
	mu    sync.Mutex
	id    uuid.UUID
	since time.Time
}

// isYoung reports whether a replica may be missing that trusts its memory still.
// Each registers before it hears anew, and a proof from before the registry was
// emptied is good for a lease. Either clock can tell: the database's, which
// may jump, and this replica's own, if it has seen the one before.
func (a *registryAge) isYoung(state registryState) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.id != state.id {
		if a.id != uuid.Nil {
			a.since = time.Now()
		}
		a.id = state.id
	}
	return state.age < lease || !a.since.IsZero() && elapsed(a.since) < lease
}

// lookInterval is how often answers are looked for that were not heard, and
// questions by a replica that hears nothing.
const lookInterval = 200 * time.Millisecond

// Join registers this replica before it runs. It returns fault.Conflict on
// the field "replica-name" when another one of its name runs. One of that name
// that ended without a word is waited for, for some seconds, until it is known
// to be gone. It returns fault.Conflict on the field "--key-file" when the keys of
// a replica that runs do not go with this one's (UseKeys).
func (f *Feed) Join(ctx context.Context) error {
	return failed(ctx, "register this replica", f.engine.join(ctx, f))
}

// UseInstance names the id in the instance file that this process keeps locked
// until the feed has ended. Call it before Join, which then takes the place of a
// replica of the same name and id without waiting.
func (f *Feed) UseInstance(id string) { f.instance = id }

// Namesakes returns how many other replicas run by the name of this one: none,
// unless one that was taken for gone has come back.
func (f *Feed) Namesakes() int64 { return f.namesakes.Load() }

// Replicas returns the replicas of the database, this one among them. One that
// ended without a word is listed for up to a minute more.
func (f *Feed) Replicas(ctx context.Context) ([]access.Replica, error) {
	list, _, err := f.known(ctx)
	replicas := make([]access.Replica, len(list))
	for i, r := range list {
		replicas[i] = r.Replica
	}
	return replicas, err
}

// Confirm asks every replica whether it has forgotten all that was committed
// before, and returns when all have said so, or the rest can trust their
// memory no more. It takes its own time for that, whenever ctx ends: an answer
// before would say of those that are missing what is not so yet. It holds no
// connection while it waits. After a crash or a failover of the database it
// waits until every replica that trusts its memory is registered again.
func (f *Feed) Confirm(ctx context.Context) (access.Receipt, error) {
	started := time.Now()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience+2*lease)
	defer cancel()
	list, err := f.complete(ctx)
	if err != nil {
		return access.Receipt{}, err
	}
	question := uuid.New()
	answers := f.questions.add(question, len(list))
	defer f.questions.remove(question)
	// The one that asks has forgotten before its own commit was answered.
	at := map[uuid.UUID]time.Time{f.id: started}
	if len(list) > 1 {
		if err := f.engine.ask(ctx, question, others(list, f.id)); err != nil {
			return access.Receipt{}, failed(ctx, "ask the replicas", err)
		}
		f.await(ctx, question, list, at, answers)
	}
	receipt := access.Receipt{Elapsed: time.Since(started)}
	for _, r := range list {
		receipt.Replicas = append(receipt.Replicas, access.Acknowledgement{Replica: r.Name, At: at[r.id]})
	}
	return receipt, nil
}

func others(list []registered, self uuid.UUID) []uuid.UUID {
	var ids []uuid.UUID
	for _, r := range list {
		if r.id != self {
			ids = append(ids, r.id)
		}
	}
	return ids
}

// await notes in at when those of the list answer that have not. Answers are
// heard within milliseconds; those that are not, because this replica's feed
// is interrupted or theirs is, are found by looking.
func (f *Feed) await(ctx context.Context, question uuid.UUID, list []registered, at map[uuid.UUID]time.Time, answers <-chan uuid.UUID) {
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer f.settle(ctx, question)
	look := time.NewTicker(lookInterval)
	defer look.Stop()
	note := func(id uuid.UUID) {
		if at[id].IsZero() {
			at[id] = time.Now()
		}
	}
	for slices.ContainsFunc(list, func(r registered) bool { return at[r.id].IsZero() }) {
		select {
		case id := <-answers:
			note(id)
		case <-look.C:
			found, err := f.engine.answers(waiting, question)
			if err != nil && waiting.Err() == nil {
				f.log.WarnContext(ctx, "the replicas' answers could not be read", "error", err)
			}
			for _, id := range found {
				note(id)
			}
		case <-waiting.Done():
			return
		}
	}
}

// settle forgets a question. Should that fail, replicas do so within a minute.
func (f *Feed) settle(ctx context.Context, question uuid.UUID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease)
	defer cancel()
	if err := f.engine.settle(ctx, question); err != nil {
		f.log.WarnContext(ctx, "a question to the replicas could not be removed", "error", err)
	}
}

// known returns the registered replicas. This one is known to itself, whatever
// the registry says. A young registry may not have all of them yet.
func (f *Feed) known(ctx context.Context) (list []registered, young bool, err error) {
	list, state, err := f.engine.replicas(ctx)
	if err != nil {
		return nil, false, failed(ctx, "list the replicas", err)
	}
	young = f.age.isYoung(state)
	if slices.ContainsFunc(list, func(r registered) bool { return r.id == f.id }) {
		return list, young, nil
	}
	return append([]registered{{f.id, f.self}}, list...), young, nil
}

// complete returns the replicas that may trust their memory. It waits a lease
// while the registry is young.
func (f *Feed) complete(ctx context.Context) ([]registered, error) {
	list, young, err := f.known(ctx)
	if err != nil || !young {
		return list, err
	}
	select {
	case <-ctx.Done():
		return nil, failed(ctx, "wait for the replicas to register", ctx.Err())
	case <-time.After(lease):
	}
	list, _, err = f.known(ctx)
	return list, err
}

// questions are those that wait for the replicas' answers.
type questions struct {
	mu   sync.Mutex
	open map[uuid.UUID]chan uuid.UUID
}

// add opens a question to that many replicas.
func (q *questions) add(question uuid.UUID, replicas int) <-chan uuid.UUID {
	q.mu.Lock()
	defer q.mu.Unlock()
	answers := make(chan uuid.UUID, 2*replicas)
	q.open[question] = answers
	return answers
}

func (q *questions) remove(question uuid.UUID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.open, question)
}

// answered passes an answer on to who waits for it. It never waits itself:
// what is more than one for each replica is no answer of theirs.
func (q *questions) answered(question, replica uuid.UUID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case q.open[question] <- replica:
	default:
	}
}
