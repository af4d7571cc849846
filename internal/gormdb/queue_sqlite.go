package gormdb

import (
	"cmp"
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
var (
	dueWebhooks = waiting(sqliteDialect) + ` SELECT w.id, w.account_id, ` + proven("w") + ` FROM waiting AS w
		WHERE w.next_at <= ` + sqliteDialect.now + ` AND w.free > 0 ORDER BY w.next_at`

	// hookToClaim is a webhook with the number of its deliveries that may be claimed, and that of its leases.
	hookToClaim = `SELECT ` + free("webhooks", sqliteDialect) + `, ` + leased("webhooks", sqliteDialect) + `, ` + webhookColumns.list() + `
		FROM webhooks WHERE id = $4 AND state = 'ENABLED'`
	// candidates are the first due deliveries of a webhook, with the time to which those behind another one of their
	// subject are postponed.
	candidates = `SELECT d.account_id, d.webhook_id, d.event_id, d.next_at,
			(SELECT b.next_at FROM deliveries AS b WHERE b.state = 'PENDING' AND b.webhook_id = d.webhook_id AND b.subject = d.subject
				AND (b.sequence, b.event_id) < (d.sequence, d.event_id) ORDER BY b.sequence, b.event_id LIMIT 1)
		FROM deliveries AS d INDEXED BY deliveries_due WHERE d.state = 'PENDING' AND d.webhook_id = $1
			AND d.next_at <= ` + sqliteDialect.now + ` ORDER BY d.next_at, d.event_id LIMIT $2`
	claimedJob = `SELECT ` + claimedColumns.list() + ` FROM deliveries AS c CROSS JOIN audit_events AS e
			ON e.account_id = c.account_id AND e.id = c.event_id
		WHERE c.account_id = $1 AND c.webhook_id = $2 AND c.event_id = $3`
)

const (
	leaseDelivery = `UPDATE deliveries SET lease_token = $4, lease_until = $5, next_at = $5
		WHERE account_id = $1 AND webhook_id = $2 AND event_id = $3`
	postponeDelivery = `UPDATE deliveries SET next_at = $4 WHERE account_id = $1 AND webhook_id = $2 AND event_id = $3`

	// finishDelivery does what finishLeased does on PostgreSQL.
	finishDelivery = `UPDATE deliveries SET state = CASE WHEN state = 'PENDING' OR $5 = 'DELIVERED' THEN $5 ELSE state END,
			attempts = attempts + 1, numbered = numbered + 1, lease_until = NULL, lease_token = NULL,
			next_at = CASE WHEN $5 = 'PENDING' THEN $6 ELSE next_at END
		WHERE account_id = $1 AND webhook_id = $2 AND event_id = $3 AND lease_token = $4 RETURNING numbered, subject`
	insertAttempt = `INSERT INTO attempts (account_id, webhook_id, event_id, number, at, status, duration_ms, error, response_head)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`
	// dropAttempts deletes all but the newest attempts of a delivery.
	dropAttempts = `DELETE FROM attempts WHERE account_id = $1 AND webhook_id = $2 AND event_id = $3 AND number <= $4`
	// wakeSubject makes the first pending delivery of a subject due.
	wakeSubject = `UPDATE deliveries SET next_at = $4 WHERE account_id = $1 AND webhook_id = $2 AND event_id =
			(SELECT event_id FROM deliveries WHERE state = 'PENDING' AND webhook_id = $2 AND subject = $3 ORDER BY sequence, event_id LIMIT 1)
		AND next_at > $4 AND lease_token IS NULL`
	noteHealth = `UPDATE webhooks SET failures = CASE WHEN $2 THEN 0 ELSE failures END + $3,
			failing_since = CASE WHEN $3 > 0 THEN CASE WHEN $2 THEN $4 ELSE coalesce(failing_since, $4) END END,
			failing_reported = failing_reported AND NOT $2
		WHERE id = $1 AND ($3 > 0 OR failures > 0 OR failing_since IS NOT NULL)`
)

// queueWrites are the statements that claim and finish.
var queueWrites = []string{hookToClaim, candidates, claimedJob, leaseDelivery, postponeDelivery,
	finishDelivery, insertAttempt, dropAttempts, wakeSubject, noteHealth}

// candidate is a due delivery. behind is zero unless an earlier one of its subject is pending.
type candidate struct {
	account, hook, event key
	nextAt, behind       instant
	// place is its number among the leases of the webhook, from 0 on.
	place  int
	proven bool
	of     *webhook.Webhook
}

// dueWebhook is a webhook with due deliveries.
type dueWebhook struct {
	id, account key
	proven      bool
}

func (c candidate) args(more ...any) []any {
	to := sqliteDialect
	return append([]any{to.id(uuid.UUID(c.account)), to.id(uuid.UUID(c.hook)), to.id(uuid.UUID(c.event))}, more...)
}

func (s *sqlite) claimDeliveries(ctx context.Context, c claim) (jobs []deliver.Job, left rest, err error) {
	var due []dueWebhook
	room := c.places.Clone()
	err = s.lookUp(ctx, dueWebhooks, c.of.limits(sqliteDialect, c.places.Run), func(scan scan) error {
		var w dueWebhook
		err := scan(&w.id, &w.account, &w.proven)
		if room.Take(uuid.UUID(w.account), w.proven) {
			due = append(due, w)
		}
		return err
	})
	if err != nil || len(due) == 0 {
		return nil, rest{}, err
	}
	err = write(ctx, s, queueing, held{}, func(tx *gorm.DB) error {
		q := claiming{ctx, s, tx.Statement.ConnPool}
		var chosen []candidate
		chosen, left.postponed, err = q.choose(due, c)
		if err != nil {
			return err
		}
		jobs, err = q.lease(chosen, c.token)
		return err
	})
	return jobs, left, err
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

// choose returns the deliveries to claim, and postpones those that are behind others of their subject. Each webhook
// gets its first place before any gets its second one, as far as its account and its kind have free places. Those ahead
// of the places are claimed if their account has free places.
func (q claiming) choose(due []dueWebhook, c claim) (chosen []candidate, behind bool, err error) {
	for _, w := range due {
		found, of, err := q.candidates(w, c)
		if err != nil {
			return nil, false, err
		}
		place := of.leased
		for _, d := range found {
			if d.behind.IsZero() {
				if d.place = place; place < of.leased+of.room {
					chosen = append(chosen, d)
				}
				place++
				continue
			}
			behind = true
			until := time.Now().Add(postponed)
			if d.behind.After(until) {
				until = d.behind.Time
			}
			if err := q.exec(postponeDelivery, d.args(until.UnixMicro())...); err != nil {
				return nil, false, err
			}
		}
	}
	slices.SortStableFunc(chosen, func(a, b candidate) int { return cmp.Compare(a.place, b.place) })
	room, ahead := c.places.Clone(), deliver.MaxClaim
	return slices.DeleteFunc(chosen, func(d candidate) bool {
		if d.place < deliver.MaxInFlight {
			return !room.Take(uuid.UUID(d.account), d.proven)
		}
		ahead--
		return ahead < 0 || room.Held[uuid.UUID(d.account)] >= room.PerAccount
	}), behind, nil
}

// claimable is a webhook with the number of its deliveries that may be claimed, and that of its leases.
type claimable struct {
	webhook.Webhook

	room, leased int
}

// candidates returns the due deliveries of a webhook that a claim looks at. There are none if it is no longer enabled.
func (q claiming) candidates(w dueWebhook, c claim) (found []candidate, of claimable, err error) {
	id := sqliteDialect.id(uuid.UUID(w.id))
	args := append(c.of.limits(sqliteDialect, c.places.Run), id)
	err = q.query(hookToClaim, args, func(scan scan) error {
		var row webhookRow
		err := scan(append([]any{&of.room, &of.leased}, webhookColumns.scanInto(&row)...)...)
		of.Webhook = row.webhook()
		return err
	})
	if err != nil || of.room <= 0 {
		return nil, of, err
	}
	err = q.query(candidates, []any{id, of.room + c.look}, func(scan scan) error {
		d := candidate{proven: w.proven, of: &of.Webhook}
		err := scan(&d.account, &d.hook, &d.event, &d.nextAt, &d.behind)
		found = append(found, d)
		return err
	})
	return found, of, err
}

func (q claiming) lease(chosen []candidate, token uuid.UUID) ([]deliver.Job, error) {
	jobs := make([]deliver.Job, 0, len(chosen))
	for _, d := range chosen {
		until := time.Now().Add(deliver.Lease).UnixMicro()
		if err := q.exec(leaseDelivery, d.args(token.String(), until)...); err != nil {
			return nil, err
		}
		err := q.query(claimedJob, d.args(), func(scan scan) error {
			var row claimedDelivery
			if err := scan(claimedColumns.scanInto(&row)...); err != nil {
				return err
			}
			job, err := row.job(*d.of)
			job.Proven = d.proven
			jobs = append(jobs, job)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return jobs, nil
}

func (s *sqlite) finishDeliveries(ctx context.Context, done []deliver.Finished) (recorded []bool, err error) {
	err = write(ctx, s, queueing, held{}, func(tx *gorm.DB) error {
		recorded = make([]bool, len(done))
		q := claiming{ctx, s, tx.Statement.ConnPool}
		changes := map[uuid.UUID]*healthChange{}
		for i, f := range done {
			if recorded[i], err = q.finish(f); err != nil {
				return err
			}
			if recorded[i] && f.Outcome.Health {
				id := f.Job.Webhook.ID
				if changes[id] == nil {
					changes[id] = &healthChange{}
				}
				changes[id].note(f.Outcome)
			}
		}
		for id, c := range changes {
			err := q.exec(noteHealth, sqliteDialect.id(id), c.succeeded, c.failed, sqliteDialect.timestamp(c.since))
			if err != nil {
				return err
			}
		}
		return nil
	})
	return recorded, err
}

// healthChange is the sum of a webhook's outcomes: whether one was a success, and the failures since the last one.
type healthChange struct {
	succeeded bool
	failed    int64
	since     time.Time
}

func (c *healthChange) note(o deliver.Outcome) {
	if o.State == webhook.Delivered {
		*c = healthChange{succeeded: true}
		return
	}
	c.failed++
	if c.since.IsZero() || o.Attempt.At.Before(c.since) {
		c.since = o.Attempt.At
	}
}

// finish records one outcome, and reports whether the lease still belonged to its claim.
func (q claiming) finish(f deliver.Finished) (bool, error) {
	to, j, a, now := sqliteDialect, f.Job, f.Outcome.Attempt, time.Now()
	key := []any{to.id(j.Webhook.AccountID), to.id(j.Webhook.ID), to.id(j.Event.ID)}
	var number int64
	var subject string
	q.s.onStatement(finishDelivery)
	err := q.tx.QueryRowContext(q.ctx, finishDelivery, append(slices.Clip(key), to.id(j.Token), string(f.Outcome.State),
		now.Add(delayOf(f.Outcome)).UnixMicro())...).Scan(&number, &subject)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
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
