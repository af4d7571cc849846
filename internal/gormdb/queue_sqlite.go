package gormdb

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

// SQLite has one writer, so a transaction excludes other claims. A claim that finds nothing due does not write.

// candidatesOfOne are the first due deliveries of a webhook. The parameters are the webhook, the events that the server
// holds, and how many.
var candidatesOfOne = candidates(sqliteDialect, "$1", "$2", "$3")

const (
	// finishDelivery does what finishLeased does on PostgreSQL.
	finishDelivery = `UPDATE deliveries SET state = CASE WHEN state = 'PENDING' OR $6 = 'DELIVERED' THEN $6 ELSE state END,
			attempts = attempts + 1, numbered = numbered + 1, next_at = CASE WHEN $6 = 'PENDING' THEN $7 ELSE next_at END
		WHERE account_id = $1 AND webhook_id = $2 AND event_id = $3 AND numbered = $5
			AND EXISTS (SELECT 1 FROM webhook_leases AS l WHERE l.webhook_id = $2 AND l.token = $4)
		RETURNING subject`
	insertAttempt = `INSERT INTO attempts (account_id, webhook_id, event_id, number, at, status, duration_ms, error, response_head)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`
	// dropAttempts deletes all but the newest attempts of a delivery.
	dropAttempts = `DELETE FROM attempts WHERE account_id = $1 AND webhook_id = $2 AND event_id = $3 AND number <= $4`
	// wakeSubject makes the first pending delivery of a subject due.
	wakeSubject = `UPDATE deliveries SET next_at = $4 WHERE account_id = $1 AND webhook_id = $2 AND event_id =
			(SELECT event_id FROM deliveries WHERE state = 'PENDING' AND webhook_id = $2 AND subject = $3 ORDER BY sequence, event_id LIMIT 1)
		AND next_at > $4`
	noteHealth = `UPDATE webhooks SET failures = CASE WHEN $2 THEN 0 ELSE failures END + $3,
			failing_since = CASE WHEN $3 > 0 THEN CASE WHEN $2 THEN $4 ELSE coalesce(failing_since, $4) END WHEN NOT $2 THEN failing_since END,
			failing_reported = failing_reported AND NOT $2, proven = $5
		WHERE id = $1 AND ($3 > 0 OR $2 AND (failures > 0 OR failing_since IS NOT NULL) OR proven <> $5)`
)

// queueWrites are the statements that claim and finish.
var queueWrites = []string{takeLeases[sqliteDialect.name], leasedWebhooks[sqliteDialect.name], candidatesOfOne,
	finishDelivery, insertAttempt, dropAttempts, wakeSubject, noteHealth, releaseLease[sqliteDialect.name]}

func (s *sqlite) claimDeliveries(ctx context.Context, c claim) (leased []leasedWebhook, found []candidate, err error) {
	to, hooks := sqliteDialect, make([]uuid.UUID, len(c.hooks))
	for i, w := range c.hooks {
		hooks[i] = uuid.UUID(w.id)
	}
	leases, holds := []any{to.list(hooks), to.list(c.own), to.id(c.token)}, to.list(c.held)
	err = write(ctx, s, queueing, held{}, func(tx *gorm.DB) error {
		leased, found = nil, nil
		q := claiming{ctx, s, tx.Statement.ConnPool}
		err := q.exec(takeLeases[to.name], leases...)
		if err == nil {
			err = q.query(leasedWebhooks[to.name], leases, func(scan scan) error {
				var l leasedWebhook
				err := l.scan(scan)
				leased = append(leased, l)
				return err
			})
		}
		for i := 0; i < len(hooks) && err == nil; i++ {
			args := []any{to.id(hooks[i]), holds, c.hooks[i].most + c.look}
			err = q.query(candidatesOfOne, args, func(scan scan) error {
				var d candidate
				err := d.scan(scan)
				found = append(found, d)
				return err
			})
		}
		return err
	})
	return leased, found, err
}

// claiming is the transaction of a claim or of outcomes.
type claiming struct {
	ctx context.Context
	s   *sqlite
	tx  gorm.ConnPool
}

func (q claiming) exec(statement string, args ...any) error {
	q.s.onStatement(statement)
	_, err := q.tx.ExecContext(q.ctx, statement, args...)
	return err
}

func (q claiming) query(statement string, args []any, row func(scan) error) error {
	q.s.onStatement(statement)
	rows, err := q.tx.QueryContext(q.ctx, statement, args...)
	return eachRow(rows, err, row)
}

func (s *sqlite) finishDeliveries(ctx context.Context, done []deliver.Finished,
	release []deliver.Lease) (recorded []bool, err error) {
	to := sqliteDialect
	err = write(ctx, s, queueing, held{}, func(tx *gorm.DB) error {
		recorded = make([]bool, len(done))
		q := claiming{ctx, s, tx.Statement.ConnPool}
		changes := map[uuid.UUID]*healthChange{}
		for i, f := range done {
			if recorded[i], err = q.finish(f); err != nil {
				return err
			}
			if recorded[i] {
				id := f.Job.Webhook.ID
				if changes[id] == nil {
					changes[id] = &healthChange{}
				}
				changes[id].note(f.Outcome)
			}
		}
		for id, c := range changes {
			err := q.exec(noteHealth, to.id(id), c.succeeded, c.failed, to.timestamp(c.since), c.proven)
			if err != nil {
				return err
			}
		}
		for _, l := range release {
			if err := q.exec(releaseLease[to.name], to.id(l.WebhookID), to.id(l.Token), l.Claims); err != nil {
				return err
			}
		}
		return nil
	})
	return recorded, err
}

// healthChange is the sum of a webhook's outcomes: whether one was a success, the failures since the last one, and
// whether the last one was a success, also if it does not count for the webhook's health.
type healthChange struct {
	succeeded, proven bool
	failed            int64
	since             time.Time
}

func (c *healthChange) note(o deliver.Outcome) {
	c.proven = o.State == webhook.Delivered
	switch {
	case !o.Health:
	case c.proven:
		*c = healthChange{succeeded: true, proven: true}
	default:
		c.failed++
		if c.since.IsZero() || o.Attempt.At.Before(c.since) {
			c.since = o.Attempt.At
		}
	}
}

// finish records one outcome, and reports whether the lease still belonged to its claim.
func (q claiming) finish(f deliver.Finished) (bool, error) {
	to, j, a, now := sqliteDialect, f.Job, f.Outcome.Attempt, time.Now()
	key := []any{to.id(j.Webhook.AccountID), to.id(j.Webhook.ID), to.id(j.Event.ID)}
	var subject string
	q.s.onStatement(finishDelivery)
	err := q.tx.QueryRowContext(q.ctx, finishDelivery, append(slices.Clip(key), to.id(j.Lease.Token), j.Numbered,
		string(f.Outcome.State), now.Add(delayOf(f.Outcome)).UnixMicro())...).Scan(&subject)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	number := j.Numbered + 1
	if err := q.exec(insertAttempt, append(slices.Clip(key), number, to.timestamp(a.At), int64(a.Status),
		a.Duration.Milliseconds(), a.Error, a.ResponseHead)...); err != nil {
		return false, err
	}
	if number > webhook.MaxAttempts {
		if err := q.exec(dropAttempts, append(slices.Clip(key), number-webhook.MaxAttempts)...); err != nil {
			return false, err
		}
	}
	if f.Outcome.State != webhook.Pending {
		err = q.exec(wakeSubject, key[0], key[1], subject, now.UnixMicro())
	}
	return err == nil, err
}

func (s *sqlite) readQueue(ctx context.Context, sql string, args []any, row func(scan) error) error {
	return s.lookUp(ctx, sql, args, row)
}
