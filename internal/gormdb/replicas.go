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

// Replicas returns the replicas of the database, this one among them. One that
// ended without a word is listed for up to a minute more.
func (f *Feed) Replicas(ctx context.Context) ([]access.Replica, error) {
	list, err := f.known(ctx)
	replicas := make([]access.Replica, len(list))
	for i, r := range list {
		replicas[i] = r.Replica
	}
	return replicas, err
}

// Confirm asks every replica whether it has forgotten all that was committed
// before, and returns when all have said so, or the rest can trust their
// memory no more, or ctx ends. It holds no connection while it waits.
func (f *Feed) Confirm(ctx context.Context) (access.Receipt, error) {
	started := time.Now()
	list, err := f.known(ctx)
	if err != nil {
		return access.Receipt{}, err
	}
	question := uuid.New()
	answers := f.questions.add(question, len(list))
	defer f.questions.remove(question)
	// The one that asks has forgotten before its own commit was answered.
	at := map[uuid.UUID]time.Time{f.id: started}
	if len(list) > 1 {
		if err := f.engine.ask(ctx, question); err != nil {
			return access.Receipt{}, failed(ctx, "ask the replicas", err)
		}
		await(ctx, list, at, answers)
	}
	receipt := access.Receipt{Elapsed: time.Since(started)}
	for _, r := range list {
		receipt.Replicas = append(receipt.Replicas, access.Acknowledgement{Replica: r.Name, At: at[r.id]})
	}
	return receipt, nil
}

// await notes in at when those of the list answer that have not.
func await(ctx context.Context, list []registered, at map[uuid.UUID]time.Time, answers <-chan uuid.UUID) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for slices.ContainsFunc(list, func(r registered) bool { return at[r.id].IsZero() }) {
		select {
		case id := <-answers:
			if at[id].IsZero() {
				at[id] = time.Now()
			}
		case <-ctx.Done():
			return
		}
	}
}

// known returns the registered replicas. This one is known to itself, whatever
// the registry says.
func (f *Feed) known(ctx context.Context) ([]registered, error) {
	list, err := f.engine.replicas(ctx)
	if err != nil {
		return nil, failed(ctx, "list the replicas", err)
	}
	if slices.ContainsFunc(list, func(r registered) bool { return r.id == f.id }) {
		return list, nil
	}
	return append([]registered{{f.id, f.self}}, list...), nil
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
