package feed

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/fault"
)

// registered is a replica in the registry.
type registered struct {
	id uuid.UUID
	access.Replica
}

// registry is the list of replicas and the questions they ask each other.
type registry interface {
	// join registers a replica. It returns fault.Conflict if another replica with its name runs.
	join(ctx context.Context, f *Feed) error
	// maintain keeps the replica registered and answers questions for it while it receives no changes, until ctx ends.
	// While it receives changes, receive does both.
	maintain(ctx context.Context, f *Feed)
	// leave removes the replica from the list.
	leave(ctx context.Context, f *Feed)
	// replicas returns the registered replicas with their ids, ordered by name, and the state of the registry.
	replicas(ctx context.Context) ([]registered, registryState, error)
	// ask sends a question to replicas. A replica answers after it has received everything that was committed before
	// the question, or has cleared its cache.
	ask(ctx context.Context, question uuid.UUID, replicas []uuid.UUID) error
	// answers returns the replicas that have answered the question; deleteQuestion deletes it.
	answers(ctx context.Context, question uuid.UUID) ([]uuid.UUID, error)
	deleteQuestion(ctx context.Context, question uuid.UUID) error
}

// registryState distinguishes a registry from its successor, which starts empty after a crash or a failover.
type registryState struct {
	id  uuid.UUID
	age time.Duration // by the database's clock
}

// registryAge records when this replica noticed that the registry was replaced. It is safe for concurrent use.
type registryAge struct {
	mu    sync.Mutex
	id    uuid.UUID
	since time.Time
}

// isYoung reports whether the registry may still lack a replica that uses its cache. A replica registers before it
// receives changes again, and a proof from before the registry was emptied is valid for a lease. Two clocks decide:
// that of the database, which may jump, and that of this replica, if it has seen the previous registry.
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

// pollInterval is the time between two reads of answers whose notification was missed, and of questions by a replica
// that receives nothing.
const pollInterval = 200 * time.Millisecond

// Join registers this replica before it runs. It returns fault.Conflict on the field "replica-name" if another
// replica with its name runs. If such a replica ended without unregistering, Join waits some seconds until that is
// certain. It returns fault.Conflict on the field "--key-file" if the keys of a running replica do not match
// (UseKeys).
func (f *Feed) Join(ctx context.Context) error {
	return f.source.join(ctx, f)
}

// UseInstance sets the id in the instance file, which this process must keep locked until the feed has ended. Call it
// before Join, which then replaces a replica with the same name and id without waiting.
func (f *Feed) UseInstance(id string) { f.instance = id }

// Namesakes returns how many other replicas run with the name of this one. It is zero unless a replica that was
// considered ended has come back.
func (f *Feed) Namesakes() int64 { return f.namesakes.Load() }

// Replicas returns the replicas of the database, including this one. A replica that ended without unregistering is
// listed for up to another minute.
func (f *Feed) Replicas(ctx context.Context) ([]access.Replica, error) {
	list, _, err := f.known(ctx)
	replicas := make([]access.Replica, len(list))
	for i, r := range list {
		replicas[i] = r.Replica
	}
	return replicas, err
}

// Confirm asks every replica whether it has removed from its cache everything that was committed before. It returns
// when all have confirmed that, or when the others have no valid proof any more and do not use their cache. It
// ignores the end of ctx, because an earlier answer would be wrong about the missing replicas. It holds no connection
// while it waits. After a crash or a failover of the database it waits until every replica that uses its cache is
// registered again.
func (f *Feed) Confirm(ctx context.Context) (access.Receipt, error) {
	started := time.Now()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), acknowledgementTimeout+2*lease)
	defer cancel()
	list, err := f.complete(ctx)
	if err != nil {
		return access.Receipt{}, err
	}
	question := uuid.New()
	answers := f.questions.add(question, len(list))
	defer f.questions.remove(question)
	// The asking replica cleared its own cache before its commit returned.
	at := map[uuid.UUID]time.Time{f.id: started}
	if len(list) > 1 {
		if err := f.source.ask(ctx, question, others(list, f.id)); err != nil {
			return access.Receipt{}, err
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

// await records in at when the missing replicas of the list answer. Answers are received within milliseconds. If the
// feed of this replica or of another is interrupted, await finds the answers by polling.
func (f *Feed) await(
	ctx context.Context, question uuid.UUID, list []registered, at map[uuid.UUID]time.Time, answers <-chan uuid.UUID,
) {
	waiting, cancel := context.WithTimeout(ctx, acknowledgementTimeout)
	defer cancel()
	defer f.deleteQuestion(ctx, question)
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	record := func(id uuid.UUID) {
		if at[id].IsZero() {
			at[id] = time.Now()
		}
	}
	for slices.ContainsFunc(list, func(r registered) bool { return at[r.id].IsZero() }) {
		select {
		case id := <-answers:
			record(id)
		case <-poll.C:
			found, err := f.source.answers(waiting, question)
			if err != nil && waiting.Err() == nil {
				f.log.WarnContext(ctx, "the replicas' answers could not be read", "error", err)
			}
			for _, id := range found {
				record(id)
			}
		case <-waiting.Done():
			return
		}
	}
}

// deleteQuestion deletes a question. If that fails, replicas delete it within a minute.
func (f *Feed) deleteQuestion(ctx context.Context, question uuid.UUID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease)
	defer cancel()
	if err := f.source.deleteQuestion(ctx, question); err != nil {
		f.log.WarnContext(ctx, "a question to the replicas could not be removed", "error", err)
	}
}

// known returns the registered replicas and adds this one if it is missing. If young is true, the registry may still
// lack others.
func (f *Feed) known(ctx context.Context) (list []registered, young bool, err error) {
	list, state, err := f.source.replicas(ctx)
	if err != nil {
		return nil, false, err
	}
	young = f.age.isYoung(state)
	if slices.ContainsFunc(list, func(r registered) bool { return r.id == f.id }) {
		return list, young, nil
	}
	return append([]registered{{f.id, f.self}}, list...), young, nil
}

// complete returns the replicas that may use their cache. It waits a lease if the registry is young.
func (f *Feed) complete(ctx context.Context) ([]registered, error) {
	list, young, err := f.known(ctx)
	if err != nil || !young {
		return list, err
	}
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the replicas to register: %w: %w", fault.ErrUnavailable, ctx.Err())
	case <-time.After(lease):
	}
	list, _, err = f.known(ctx)
	return list, err
}

// questions are the open questions that wait for answers of replicas.
type questions struct {
	mu   sync.Mutex
	open map[uuid.UUID]chan uuid.UUID
}

// add opens a question to the number of replicas.
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

// answered passes an answer to the goroutine that waits for it. It never blocks: it drops answers beyond the capacity
// of the channel, which has room for more than one answer of each replica.
func (q *questions) answered(question, replica uuid.UUID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case q.open[question] <- replica:
	default:
	}
}
