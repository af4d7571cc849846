package feed

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

// replicasChannel is the channel on which replicas ask each other: "ask QUESTION" by the replica that asks, "ack
// QUESTION REPLICA" by each replica that has received all changes up to the question. Questions and answers are also
// in a table, for replicas that receive no notifications.
const replicasChannel = "latchkey_replicas"

const (
	// registerInterval is the time between two renewals of a replica's row.
	registerInterval = time.Second
	// silence is the age of a replica's row, by the database's clock, after which another replica with its name
	// replaces it without having watched it.
	silence = 3 * lease
	// stillness is how long a row must stay unchanged, by the monotonic clock of the watching replica, before that
	// replica takes over its name. By then the other replica does not use its cache any more: its last proof is at
	// most registerInterval newer than the row, and valid for a lease. If it runs again, it registers first.
	stillness = 2 * lease
)

const (
	// register renews a replica's row. It also deletes the rows of replicas that ended without unregistering, and old
	// questions, and skips rows that another replica is deleting. It starts the registry if that is empty, and
	// returns the number of other replicas with the same name.
	register = `WITH gone AS (
			DELETE FROM replicas WHERE id IN (
				SELECT id FROM replicas WHERE id <> $1 AND seen_at < now() - interval '1 minute' FOR UPDATE SKIP LOCKED)
		), old AS (
			DELETE FROM replica_questions WHERE (question, replica_id) IN (
				SELECT question, replica_id FROM replica_questions WHERE asked_at < now() - interval '1 minute'
				FOR UPDATE SKIP LOCKED)
		), born AS (
			INSERT INTO registry DEFAULT VALUES ON CONFLICT DO NOTHING
		) INSERT INTO replicas (id, name, url, seen_at, process, key_ids, instance) VALUES ($1, $2, $3, now(), $5, $6, $7)
		ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at
		RETURNING (SELECT count(*) FROM replicas AS other
			WHERE other.name = $2 AND other.id <> $1 AND other.seen_at > now() - $4::interval)`
	isRegistered = `SELECT EXISTS (SELECT FROM replicas WHERE id = $1)`
	unregister   = `DELETE FROM replicas WHERE id = $1`
	listReplicas = `SELECT g.id, coalesce(extract(epoch FROM clock_timestamp() - g.born), 0)::float8,
			r.id, coalesce(r.name, ''), coalesce(r.url, '')
		FROM (VALUES (1)) AS always LEFT JOIN registry AS g ON true LEFT JOIN replicas AS r ON true ORDER BY r.name, r.id`
	lockJoining  = `SELECT pg_advisory_xact_lock($1)`
	removeSilent = `DELETE FROM replicas
		WHERE name = $1 AND id <> $2 AND (seen_at <= now() - $3::interval OR id = ANY ($4::uuid[]))`
	listNamesakes = `SELECT id, seen_at, process, instance FROM replicas WHERE name = $1 AND id <> $2`
	notifyOne     = `SELECT pg_notify($1, $2)`
	askReplicas   = `WITH asked AS (
			INSERT INTO replica_questions (question, replica_id) SELECT $1::uuid, id FROM unnest($2::uuid[]) AS id)
		SELECT pg_notify($3, 'ask ' || $1::text)`
	acknowledge = `WITH answered AS (
			UPDATE replica_questions SET answered = true WHERE question = ANY ($2::uuid[]) AND replica_id = $3)
		SELECT pg_notify($1, 'ack ' || question::text || ' ' || $3::text) FROM unnest($2::uuid[]) AS question`
	openQuestions  = `SELECT question FROM replica_questions WHERE replica_id = $1 AND NOT answered`
	listAnswers    = `SELECT replica_id FROM replica_questions WHERE question = $1 AND answered`
	deleteQuestion = `DELETE FROM replica_questions WHERE question = $1`
)

// executor is a connection or the pool.
type executor interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// registerBy inserts or renews the replica's row.
func registerBy(ctx context.Context, by executor, f *Feed) error {
	var namesakes int64
	row := by.QueryRow(ctx, register, pgID(f.id), f.self.Name, f.self.URL, silence, f.process, f.keyIDs, f.instance)
	if err := row.Scan(&namesakes); err != nil {
		return err
	}
	if was := f.namesakes.Swap(namesakes); was == 0 && namesakes > 0 {
		f.log.ErrorContext(ctx,
			"another running server has the same name; give each server its own name with --replica-name",
			"name", f.self.Name)
	}
	return nil
}

func (p *Postgres) register(ctx context.Context, f *Feed) error {
	return registerBy(inBackground(ctx), p.Primary.pool, f)
}

func (p *Postgres) join(ctx context.Context, f *Feed) error {
	return p.Classify(ctx, "register this replica", p.takeName(inBackground(ctx), f))
}

// takeName takes over this replica's name once no other replica with it can be running. A replica that renews its row
// is running.
func (p *Postgres) takeName(ctx context.Context, f *Feed) error {
	if err := p.Primary.beat(ctx); err != nil {
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
				f.log.InfoContext(ctx,
					"another server with this name ran recently; waiting to see whether it still runs",
					"name", f.self.Name)
			case !other.seen.Equal(before.seen):
				return fault.Errorf(fault.Conflict, "A server named %q runs on this database already. "+
					"Stop that one, or give this one a name of its own.", f.self.Name).On("replica-name")
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollInterval):
		}
	}
}

// joiningLock is the key of the advisory lock of a replica that joins: the letters "replicas".
const joiningLock int64 = 0x7265706c69636173

// namesake is the row of another replica with the same name.
type namesake struct {
	// seen is when it was renewed, by the database's clock.
	seen time.Time
	// process identifies its operating system process.
	process string
	// instance is the id in its instance file, or empty.
	instance string
	// since is when this replica read the row.
	since time.Time
}

// hasEnded reports whether the replica of the row cannot be running. A replica whose instance file this process has
// locked is not running.
func (n namesake) hasEnded(watched map[uuid.UUID]namesake, id uuid.UUID, instance string) bool {
	if processEnded(n.process) || instance != "" && n.instance == instance {
		return true
	}
	before, known := watched[id]
	return known && n.seen.Equal(before.seen) && n.since.Sub(before.since) >= stillness
}

// claim registers the replica in place of ended replicas with its name, and returns those that may still run. An
// advisory lock admits one replica at a time. Running replicas can renew their rows meanwhile.
func (p *Postgres) claim(
	ctx context.Context, f *Feed, watched map[uuid.UUID]namesake,
) (others map[uuid.UUID]namesake, err error) {
	err = p.Transaction(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockJoining, joiningLock); err != nil {
			return err
		}
		all, err := namesakes(ctx, tx, f)
		if err != nil {
			return err
		}
		var ended []uuid.UUID
		for id, other := range all {
			if other.hasEnded(watched, id, f.instance) {
				ended = append(ended, id)
			}
		}
		if _, err := tx.Exec(ctx, removeSilent, f.self.Name, pgID(f.id), silence, pgIDs(ended)); err != nil {
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
	var id pgtype.UUID
	var n namesake
	_, err = pgx.ForEachRow(rows, []any{&id, &n.seen, &n.process, &n.instance}, func() error {
		n.since = time.Now()
		all[id.Bytes] = n
		return nil
	})
	return all, err
}

// maintain does over the pool what receive does over its connection. A replica that receives no changes can still
// answer questions: once it has cleared its cache, it has cached nothing from before the question. maintain also sends
// heartbeats and deletes old rows of changes.
func (p *Postgres) maintain(ctx context.Context, f *Feed) {
	var background sync.WaitGroup
	defer background.Wait()
	background.Go(func() { p.pruneUntil(ctx, f) })
	background.Go(func() { p.Primary.keepBeating(ctx) })
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	var registeredAt time.Time
	for {
		if !f.connected.Load() || !f.IsCurrent() {
			if elapsed(registeredAt) >= registerInterval && p.tryBriefly(ctx, f, p.register) {
				registeredAt = time.Now()
			}
			p.tryBriefly(ctx, f, p.answerDisconnected)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// tryBriefly runs work for at most a lease and reports whether it succeeded. An error is only logged at debug level:
// the database does not answer, which is reported elsewhere.
func (p *Postgres) tryBriefly(ctx context.Context, f *Feed, work func(context.Context, *Feed) error) bool {
	brief, cancel := context.WithTimeout(ctx, lease)
	defer cancel()
	err := work(brief, f)
	if err != nil && ctx.Err() == nil {
		f.log.DebugContext(ctx, "this replica could not renew its row or answer questions", "error", err)
	}
	return err == nil
}

// answerDisconnected answers questions while this replica does not receive them.
func (p *Postgres) answerDisconnected(ctx context.Context, f *Feed) error {
	ctx = inBackground(ctx)
	questions, err := p.ids(ctx, openQuestions, f.id)
	if err != nil || len(questions) == 0 {
		return err
	}
	f.subscriber.Forget()
	return acknowledgeBy(ctx, p.Primary.pool, f, questions)
}

func acknowledgeBy(ctx context.Context, by executor, f *Feed, questions []uuid.UUID) error {
	_, err := by.Exec(ctx, acknowledge, replicasChannel, pgIDs(questions), pgID(f.id))
	return err
}

// leave deletes the row. If that fails, other replicas delete it.
func (p *Postgres) leave(ctx context.Context, f *Feed) {
	ctx = inBackground(ctx)
	if _, err := p.Primary.pool.Exec(ctx, unregister, pgID(f.id)); err != nil {
		f.log.WarnContext(ctx, "this replica could not be removed from the list; the others remove it within a minute",
			"error", err)
	}
	if _, err := p.Primary.pool.Exec(ctx, deleteHeartbeats, pgIDs([]uuid.UUID{f.id, p.Primary.id})); err != nil {
		f.log.DebugContext(ctx, "the last heartbeats could not be deleted", "error", err)
	}
}

func (p *Postgres) replicas(ctx context.Context) ([]registered, registryState, error) {
	var list []registered
	var state registryState
	err := p.Primary.LookUp(ctx, listReplicas, nil, func(scan func(...any) error) error {
		var r registered
		var registry, replica pgtype.UUID // either may be null
		var seconds float64
		err := scan(&registry, &seconds, &replica, &r.Name, &r.URL)
		state.id, state.age = registry.Bytes, time.Duration(min(seconds, time.Hour.Seconds())*float64(time.Second))
		if replica.Valid {
			r.id = replica.Bytes
			list = append(list, r)
		}
		return err
	})
	return list, state, p.Classify(ctx, "list the replicas", err)
}

func (p *Postgres) ask(ctx context.Context, question uuid.UUID, replicas []uuid.UUID) error {
	_, err := p.Primary.pool.Exec(inBackground(ctx), askReplicas, pgID(question), pgIDs(replicas), replicasChannel)
	return p.Classify(ctx, "ask the replicas", err)
}

func (p *Postgres) answers(ctx context.Context, question uuid.UUID) ([]uuid.UUID, error) {
	return p.ids(inBackground(ctx), listAnswers, question)
}

func (p *Postgres) deleteQuestion(ctx context.Context, question uuid.UUID) error {
	_, err := p.Primary.pool.Exec(inBackground(ctx), deleteQuestion, pgID(question))
	return err
}

// ids returns the ids that a statement with one id as its parameter finds.
func (p *Postgres) ids(ctx context.Context, statement string, by uuid.UUID) ([]uuid.UUID, error) {
	var found []uuid.UUID
	err := p.Primary.LookUp(ctx, statement, []any{pgID(by)}, func(scan func(...any) error) error {
		var id pgtype.UUID
		err := scan(&id)
		found = append(found, id.Bytes)
		return err
	})
	return found, err
}

// notify sends text to all replicas, including this one.
func (p *Postgres) notify(ctx context.Context, text string) error {
	_, err := p.Primary.pool.Exec(inBackground(ctx), notifyOne, replicasChannel, text)
	return err
}

// register renews this replica's row when that is due.
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

// takeQuestions returns and clears the received questions. Changes read after this call answer them.
func (s *session) takeQuestions() []uuid.UUID {
	questions := s.questions
	s.questions = nil
	return questions
}

func (s *session) answer(ctx context.Context, questions []uuid.UUID) error {
	if len(questions) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lease)
	defer cancel()
	return acknowledgeBy(ctx, s.conn, s.feed, questions)
}
