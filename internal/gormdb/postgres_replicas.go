package gormdb

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// replicasChannel is where replicas ask each other: "ask QUESTION" by whoever
// wants to know, "ack QUESTION REPLICA" by each that has heard all there was
// when it was asked.
const replicasChannel = "latchkey_replicas"

// registerInterval is how often a replica renews its row.
const registerInterval = time.Second

const (
	// register renews a replica's row, and removes those of replicas that have
	// ended without a word, leaving alone what another is removing.
	register = `WITH gone AS (
			DELETE FROM replicas WHERE id IN (
				SELECT id FROM replicas WHERE id <> $1 AND seen_at < now() - interval '1 minute' FOR UPDATE SKIP LOCKED)
		) INSERT INTO replicas (id, name, url, seen_at) VALUES ($1, $2, $3, now())
		ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at`
	unregister   = `DELETE FROM replicas WHERE id = $1`
	listReplicas = `SELECT id, name, url FROM replicas ORDER BY name, id`
	notifyOne    = `SELECT pg_notify($1, $2)`
	acknowledge  = `SELECT pg_notify($1, 'ack ' || question::text || ' ' || $3::text) FROM unnest($2::uuid[]) AS question`
)

func (p *postgres) replicas(ctx context.Context) ([]registered, error) {
	var list []registered
	err := p.query(ctx, listReplicas, nil, func(scan scan) error {
		var r registered
		err := scan((*key)(&r.id), &r.Name, &r.URL)
		list = append(list, r)
		return err
	})
	return list, err
}

func (p *postgres) ask(ctx context.Context, question uuid.UUID) error {
	return p.notify(ctx, "ask "+question.String())
}

// notify tells all replicas, this one included.
func (p *postgres) notify(ctx context.Context, text string) error {
	_, err := p.pool.Exec(context.WithValue(ctx, background{}, true), notifyOne, replicasChannel, text)
	return err
}

// register makes or renews this replica's row when it is time to.
func (s *session) register(ctx context.Context) error {
	if time.Since(s.registeredAt) < registerInterval {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lease)
	defer cancel()
	self := s.feed.self
	_, err := s.conn.Exec(ctx, register, pgID(s.feed.id), self.Name, self.URL)
	s.registeredAt = time.Now()
	return err
}

// unregister takes the row away. Should that fail, the others will.
func (p *postgres) unregister(ctx context.Context, f *Feed) {
	if _, err := p.pool.Exec(context.WithValue(ctx, background{}, true), unregister, pgID(f.id)); err != nil {
		f.log.WarnContext(ctx, "this replica could not be taken off the list; the others do that within a minute", "error", err)
	}
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
	_, err := s.conn.Exec(ctx, acknowledge, replicasChannel, pgIDs(asked), s.feed.id.String())
	return err
}
