package gormdb

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"latchkey/internal/fault"
)

// replicasChannel is where replicas ask each other: "ask QUESTION" by whoever
// wants to know, "ack QUESTION REPLICA" by each that has heard all there was
// when it was asked. Questions and answers are in a table besides, for those
// that hear nothing.
const replicasChannel = "latchkey_replicas"

const (
	// registerInterval is how often a replica renews its row.
	registerInterval = time.Second
	// silence is how old a replica's row is, by the database's clock, when
	// another of its name takes its place without having watched it.
	silence = 3 * lease
	// stillness is for how long a row has not moved, by one's own monotonic clock,
	// when another of its name takes its place. Its replica has trusted its
	// memory of nothing by then: its last proof is at most registerInterval
	// younger than the row, and good for a lease. Should it go on, it registers
	// first.
	stillness = 2 * lease
)

const (
	// register renews a replica's row, and removes those of replicas that have
	// ended without a word and old questions, leaving alone what another is
	// removing. It says when the registry was born, if it is empty, and tells how
	// many others of the name run.
	register = `WITH gone AS (
			DELETE FROM replicas WHERE id IN (
				SELECT id FROM replicas WHERE id <> $1 AND seen_at < now() - interval '1 minute' FOR UPDATE SKIP LOCKED)
		), old AS (
			DELETE FROM replica_questions WHERE (question, replica_id) IN (
				SELECT question, replica_id FROM replica_questions WHERE asked_at < now() - interval '1 minute' FOR UPDATE SKIP LOCKED)
		), born AS (
			INSERT INTO registry DEFAULT VALUES ON CONFLICT DO NOTHING
		) INSERT INTO replicas (id, name, url, seen_at, process, key_ids, instance) VALUES ($1, $2, $3, now(), $5, $6, $7)
		ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at
		RETURNING (SELECT count(*) FROM replicas AS other WHERE other.name = $2 AND other.id <> $1 AND other.seen_at > now() - $4::interval)`
	isRegistered = `SELECT EXISTS (SELECT FROM replicas WHERE id = $1)`
	unregister   = `DELETE FROM replicas WHERE id = $1`
	listReplicas = `SELECT g.id, coalesce(extract(epoch FROM clock_timestamp() - g.born), 0)::float8, r.id, coalesce(r.name, ''), coalesce(r.url, '')
		FROM (VALUES (1)) AS always LEFT JOIN registry AS g ON true LEFT JOIN replicas AS r ON true ORDER BY r.name, r.id`
	lockJoining   = `SELECT pg_advisory_xact_lock($1)`
	removeSilent  = `DELETE FROM replicas WHERE name = $1 AND id <> $2 AND (seen_at <= now() - $3::interval OR id = ANY ($4::uuid[]))`
	listNamesakes = `SELECT id, seen_at, process, instance FROM replicas WHERE name = $1 AND id <> $2`
	notifyOne     = `SELECT pg_notify($1, $2)`
	askReplicas   = `WITH asked AS (INSERT INTO replica_questions (question, replica_id) SELECT $1::uuid, id FROM unnest($2::uuid[]) AS id)
		SELECT pg_notify($3, 'ask ' || $1::text)`
	acknowledge = `WITH answered AS (UPDATE replica_questions SET answered = true WHERE question = ANY ($2::uuid[]) AND replica_id = $3)
		SELECT pg_notify($1, 'ack ' || question::text || ' ' || $3::text) FROM unnest($2::uuid[]) AS question`
	openQuestions  = `SELECT question FROM replica_questions WHERE replica_id = $1 AND NOT answered`
	listAnswers    = `SELECT replica_id FROM replica_questions WHERE question = $1 AND answered`
	settleQuestion = `DELETE FROM replica_questions WHERE question = $1`
)

// executor is a connection or the pool.
type executor interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// registerBy makes or renews the replica's row.
func registerBy(ctx context.Context, by executor, f *Feed) error {
	var namesakes int64
	if err := by.QueryRow(ctx, register, pgID(f.id), f.self.Name, f.self.URL, silence, f.process, f.keyIDs, f.instance).Scan(&namesakes); err != nil {
		return err
	}
	if was := f.namesakes.Swap(namesakes); was == 0 && namesakes > 0 {
		f.log.ErrorContext(ctx, "another server runs by the name of this one; give each a name of its own with --replica-name", "name", f.self.Name)
	}
	return nil
}

func (p *postgres) register(ctx context.Context, f *Feed) error {
	return registerBy(inBackground(ctx), p.prompt, f)
}

// inBackground marks statements that no caller's work consists of.
func inBackground(ctx context.Context) context.Context {
	return context.WithValue(ctx, background{}, true)
}

// join takes the place of this replica's name once no other replica of it can
// be running: those that renew their rows do run.
func (p *postgres) join(ctx context.Context, f *Feed) error {
	ctx = inBackground(ctx)
	if err := p.pulse.beat(ctx); err != nil {
		return err
	}
	watched := map[uuid.UUID]namesake{}
	for {
		others, err := p.claim(ctx, f, watched)
		if err != nil || len(others) == 0 {
			return err
		}
		for id, other := range others {
			switch before, known := watched[id]; {
			case !known:
				watched[id] = other
				f.log.InfoContext(ctx, "a server of this one's name was here a moment ago; waiting for its next sign of life", "name", f.self.Name)
			case !other.seen.Equal(before.seen):
				return fault.Errorf(fault.Conflict, "A server named %q runs on this database already. "+
					"Stop that one, or give this one a name of its own.", f.self.Name).On("replica-name")
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookInterval):
		}
	}
}

// joiningLock is the number of the advisory lock of a replica that joins: the
// letters "replicas".
const joiningLock int64 = 0x7265706c69636173

// namesake is a row of another replica of this one's name.
type namesake struct {
	// seen is when it was renewed, by the database's clock.
	seen time.Time
	// process is what it runs in.
	process string
	// instance is the id in its instance file, if it has one.
	instance string
	// since is when this replica first saw it like that.
	since time.Time
}

// hasGone reports whether the replica of the row cannot be running. One that
// had the instance file that this process has locked cannot.
func (n namesake) hasGone(watched map[uuid.UUID]namesake, id uuid.UUID, instance string) bool {
	if hasEnded(n.process) || instance != "" && n.instance == instance {
		return true
	}
	before, known := watched[id]
	return known && n.seen.Equal(before.seen) && n.since.Sub(before.since) >= stillness
}

// claim registers the replica in the place of those of its name that are
// gone, and returns the others, if there are any. No two do so at the same
// time; those that run already renew their rows meanwhile.
func (p *postgres) claim(ctx context.Context, f *Feed, watched map[uuid.UUID]namesake) (others map[uuid.UUID]namesake, err error) {
	err = pgx.BeginTxFunc(ctx, p.pool, pgx.TxOptions{BeginQuery: "BEGIN; " + boundIdle}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockJoining, joiningLock); err != nil {
			return err
		}
		all, err := namesakes(ctx, tx, f)
		if err != nil {
			return err
		}
		var gone []uuid.UUID
		for id, other := range all {
			if other.hasGone(watched, id, f.instance) {
				gone = append(gone, id)
			}
		}
		if _, err := tx.Exec(ctx, removeSilent, f.self.Name, pgID(f.id), silence, pgIDs(gone)); err != nil {
			return err
		}
		if others, err = namesakes(ctx, tx, f); err != nil || len(others) > 0 {
			return err
		}
		if err := checkKeys(ctx, tx, f); err != nil {
			return err
		}
		return registerBy(ctx, tx, f)
	})
	return others, err
}

// namesakes returns the other rows of the replica's name.
func namesakes(ctx context.Context, tx pgx.Tx, f *Feed) (map[uuid.UUID]namesake, error) {
	rows, err := tx.Query(ctx, listNamesakes, f.self.Name, pgID(f.id))
	if err != nil {
		return nil, err
	}
	all := map[uuid.UUID]namesake{}
	var id key
	var n namesake
	_, err = pgx.ForEachRow(rows, []any{&id, &n.seen, &n.process, &n.instance}, func() error {
		n.since = time.Now()
		all[uuid.UUID(id)] = n
		return nil
	})
	return all, err
}

// attend does by the pool what listen does by its connection while it hears.
// A replica that does not hear can answer all the same: once it has forgotten
// everything, it remembers nothing from before the question. Meanwhile
// heartbeats are committed and old rows of changes deleted.
func (p *postgres) attend(ctx context.Context, f *Feed) {
	var background sync.WaitGroup
	defer background.Wait()
	background.Go(func() { p.pruneUntil(ctx, f) })
	background.Go(func() { p.pulse.keepBeating(ctx) })
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	var registeredAt time.Time
	for {
		if !f.connected.Load() || !f.Hearing() {
			if elapsed(registeredAt) >= registerInterval && p.briefly(ctx, f, p.register) {
				registeredAt = time.Now()
			}
			p.briefly(ctx, f, p.answerDeaf)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// briefly runs work for a lease at most, and says whether it succeeded. What
// keeps it from it keeps the database from answering, which is told elsewhere.
func (p *postgres) briefly(ctx context.Context, f *Feed, work func(context.Context, *Feed) error) bool {
	brief, cancel := context.WithTimeout(ctx, lease)
	defer cancel()
	err := work(brief, f)
	if err != nil && ctx.Err() == nil {
		f.log.DebugContext(ctx, "this replica could not show that it is there", "error", err)
	}
	return err == nil
}

// answerDeaf answers the questions to a replica that does not hear them.
func (p *postgres) answerDeaf(ctx context.Context, f *Feed) error {
	ctx = inBackground(ctx)
	asked, err := p.ids(ctx, openQuestions, f.id)
	if err != nil || len(asked) == 0 {
		return err
	}
	f.ears.Forget()
	return acknowledgeBy(ctx, p.prompt, f, asked)
}

func acknowledgeBy(ctx context.Context, by executor, f *Feed, asked []uuid.UUID) error {
	_, err := by.Exec(ctx, acknowledge, replicasChannel, pgIDs(asked), pgID(f.id))
	return err
}

// leave takes the row away. Should that fail, the others will.
func (p *postgres) leave(ctx context.Context, f *Feed) {
	if _, err := p.prompt.Exec(inBackground(ctx), unregister, pgID(f.id)); err != nil {
		f.log.WarnContext(ctx, "this replica could not be taken off the list; the others do that within a minute", "error", err)
	}
	if _, err := p.prompt.Exec(inBackground(ctx), stopHeart, []pgtype.UUID{pgID(f.id), pgID(p.pulse.id)}); err != nil {
		f.log.DebugContext(ctx, "the last heartbeats could not be deleted", "error", err)
	}
}

func (p *postgres) replicas(ctx context.Context) ([]registered, registryState, error) {
	var list []registered
	var state registryState
	err := p.lookUp(ctx, listReplicas, nil, func(scan scan) error {
		var r registered
		var seconds float64
		err := scan((*key)(&state.id), &seconds, (*key)(&r.id), &r.Name, &r.URL)
		state.age = time.Duration(min(seconds, time.Hour.Seconds()) * float64(time.Second))
		if r.id != uuid.Nil {
			list = append(list, r)
		}
		return err
	})
	return list, state, err
}

func (p *postgres) ask(ctx context.Context, question uuid.UUID, replicas []uuid.UUID) error {
	_, err := p.prompt.Exec(inBackground(ctx), askReplicas, pgID(question), pgIDs(replicas), replicasChannel)
	return err
}

func (p *postgres) answers(ctx context.Context, question uuid.UUID) ([]uuid.UUID, error) {
	return p.ids(inBackground(ctx), listAnswers, question)
}

func (p *postgres) settle(ctx context.Context, question uuid.UUID) error {
	_, err := p.prompt.Exec(inBackground(ctx), settleQuestion, pgID(question))
	return err
}

// ids returns the ids that a statement finds by one.
func (p *postgres) ids(ctx context.Context, statement string, by uuid.UUID) ([]uuid.UUID, error) {
	var found []uuid.UUID
	err := p.lookUp(ctx, statement, []any{pgID(by)}, func(scan scan) error {
		var id key
		err := scan(&id)
		found = append(found, uuid.UUID(id))
		return err
	})
	return found, err
}

// notify tells all replicas, this one included.
func (p *postgres) notify(ctx context.Context, text string) error {
	_, err := p.prompt.Exec(inBackground(ctx), notifyOne, replicasChannel, text)
	return err
}

// register makes or renews this replica's row when it is time to.
func (s *session) register(ctx context.Context) error {
	if elapsed(s.registeredAt) < registerInterval {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lease)
	defer cancel()
	err := registerBy(ctx, s.conn, s.feed)
	s.registeredAt = time.Now()
	return err
}

// takeQuestions returns the questions that have come in. What is read after
// this answers them.
func (s *session) takeQuestions() []uuid.UUID {
	asked := s.asked
	s.asked = nil
	return asked
}

func (s *session) answer(ctx context.Context, asked []uuid.UUID) error {
	if len(asked) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lease)
	defer cancel()
	return acknowledgeBy(ctx, s.conn, s.feed, asked)
}
