package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// backlog is an installation whose deliveries wait until its server is started.
type backlog struct {
	*latchkey
	db *pgx.Conn
	// hooks is the number of webhooks, and rate that of deliveries a second, as far as it is known.
	hooks int
	rate  float64
}

// newBacklog returns an installation with webhooks and an event in each account that has any, as a template for others.
func (s *suite) newBacklog(ctx context.Context, name string, counts []int) (*backlog, error) {
	l, err := s.withWebhooks(ctx, name, counts, s.hooks.receiverURL)
	if err != nil {
		return nil, err
	}
	b := &backlog{latchkey: l, rate: firstDrainRate}
	if b.db, err = pgx.Connect(ctx, s.cluster.DSN(name)); err != nil {
		return nil, err
	}
	if _, err := l.start(ctx); err != nil {
		return b, err
	}
	for i, n := range counts {
		if b.hooks += n; n > 0 {
			if err := s.issueOnce(ctx, l, s.accounts[i]); err != nil {
				return b, errors.Join(err, l.stop())
			}
		}
	}
	return b, l.stop()
}

const (
	templateName = "Order sync"
	backlogName  = "Backlog"

	// insertBacklog copies the event of each account's template. Each copy is of another subject. The IDs sort by
	// number, as those of real events sort by time.
	insertBacklog = `WITH copied AS (
	INSERT INTO audit_events (account_id, id, at, actor_kind, actor_id, actor_name, action, target_kind, target_key, target_name, ip,
		request_id, details, version, sequence, data, era, position)
	SELECT account_id, ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, at, actor_kind, actor_id, actor_name, action,
		target_kind, gen_random_uuid()::text, $2, ip, request_id, details, version, sequence, data, era, position
	FROM audit_events, generate_series(1, $1::int) AS n WHERE target_name = $3 AND action = 'api_token.created'
	RETURNING account_id, id, target_kind || ':' || target_key AS subject, sequence
)
INSERT INTO deliveries (account_id, webhook_id, event_id, subject, sequence)
SELECT w.account_id, w.id, c.id, c.subject, c.sequence FROM copied AS c JOIN webhooks AS w ON w.account_id = c.account_id ORDER BY c.id`
)

// fill replaces all deliveries by at least count pending ones, each webhook having as many as the others.
func (b *backlog) fill(ctx context.Context, count int) error {
	for _, statement := range []string{"TRUNCATE deliveries, attempts",
		"DELETE FROM audit_events WHERE target_name = '" + backlogName + "'", "VACUUM audit_events"} {
		if _, err := b.db.Exec(ctx, statement); err != nil {
			return fmt.Errorf("remove the last backlog: %w", err)
		}
	}
	if _, err := b.db.Exec(ctx, insertBacklog, count/b.hooks+1, backlogName, templateName); err != nil {
		return fmt.Errorf("make a backlog: %w", err)
	}
	_, err := b.db.Exec(ctx, "VACUUM (ANALYZE) audit_events, deliveries, attempts, webhooks")
	return err
}

// drain makes a backlog, starts the server and returns how many deliveries a second arrive. If the backlog is too
// short, it makes a longer one and starts again.
func (b *backlog) drain(ctx context.Context, receiver string, d time.Duration) (measurement, error) {
	for {
		if err := b.fill(ctx, int(b.rate*deliveredMargin*(d+time.Second).Seconds())); err != nil {
			return measurement{}, err
		}
		m, err := b.deliver(ctx, receiver, d)
		if errors.Is(err, errExhausted) {
			b.rate *= deliveredMargin
			continue
		}
		b.rate = m.perSecond
		return m, err
	}
}

// deliver starts the server, measures for d what arrives, and stops the server. All that arrived must be recorded,
// once.
func (b *backlog) deliver(ctx context.Context, receiver string, d time.Duration) (measurement, error) {
	before, err := receivedBy(ctx, receiver)
	if err != nil {
		return measurement{}, err
	}
	if _, err := b.start(ctx); err != nil {
		return measurement{}, err
	}
	m, err := b.arriving(ctx, receiver, before, d)
	if err := errors.Join(err, b.stop()); err != nil {
		return m, err
	}
	after, err := receivedBy(ctx, receiver)
	if err != nil {
		return m, err
	}
	q, err := queueOf(ctx, b.db)
	switch {
	case err != nil:
		return m, err
	case q.pending == 0:
		return m, errExhausted
	case q.failed > 0 || q.attempts != after-before || q.delivered != q.attempts:
		return m, fmt.Errorf("%d requests arrived, of which %+v is recorded", after-before, q)
	}
	return m, nil
}

func (b *backlog) arriving(ctx context.Context, receiver string, before int64, d time.Duration) (measurement, error) {
	first, err := before, error(nil)
	for end := time.Now().Add(10 * time.Second); first == before; time.Sleep(time.Millisecond) {
		if first, err = receivedBy(ctx, receiver); err != nil {
			return measurement{}, err
		}
		if time.Now().After(end) {
			return measurement{}, errors.New("nothing was delivered within 10 s")
		}
	}
	time.Sleep(settling)
	if first, err = receivedBy(ctx, receiver); err != nil {
		return measurement{}, err
	}
	return working(func() (measurement, error) {
		began := time.Now()
		time.Sleep(d)
		last, err := receivedBy(ctx, receiver)
		return measurement{perSecond: float64(last-first) / time.Since(began).Seconds()}, err
	})
}

// queued is the state of a queue.
type queued struct{ pending, delivered, attempts, failed int64 }

func queueOf(ctx context.Context, db *pgx.Conn) (q queued, err error) {
	err = db.QueryRow(ctx, `SELECT (SELECT count(*) FROM deliveries WHERE state = 'PENDING'),
		(SELECT count(*) FROM deliveries WHERE state = 'DELIVERED'),
		(SELECT count(*) FROM attempts), (SELECT count(*) FROM attempts WHERE error <> '')`).Scan(&q.pending, &q.delivered,
		&q.attempts, &q.failed)
	return q, err
}
