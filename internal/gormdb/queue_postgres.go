package gormdb

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"latchkey/internal/feed"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

// Claiming and finishing are one round trip each: a batch of statements in one transaction. Each statement sees what
// was committed before it began, so a statement after the one that locks the webhooks sees what other claims did.
const (
	// queueSettings are for the transaction. The planner does not know how many deliveries are pending: it would now
	// and then read the whole table, and keep that plan. To plan a statement each time takes longer than to run it.
	queueSettings = `SELECT set_config('synchronous_commit', 'off', true), set_config('jit', 'off', true), set_config('enable_seqscan', 'off', true),
		set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
		set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true),
		set_config('plan_cache_mode', 'force_generic_plan', true)`
)

// candidatesOfEach are the first due deliveries of webhooks. The parameters are the webhooks, how many of each, and the
// events that the server holds.
var candidatesOfEach = `SELECT c.* FROM unnest($1::uuid[], $2::bigint[]) AS wanted (id, most) CROSS JOIN LATERAL (` +
	candidates(postgresDialect, "wanted.id", "$3", "wanted.most") + `) AS c ORDER BY c.next_at, c.event_id`

func (p *postgres) claimDeliveries(ctx context.Context, c claim) (leased []leasedWebhook, found []candidate,
	err error) {
	to := postgresDialect
	hooks, most := make([]uuid.UUID, len(c.hooks)), make([]int64, len(c.hooks))
	for i, w := range c.hooks {
		hooks[i], most[i] = uuid.UUID(w.id), int64(w.most+c.look)
	}
	leases := []any{to.list(hooks), to.list(c.own), to.id(c.token)}
	var batch pgx.Batch
	batch.Queue(queueSettings)
	batch.Queue(takeLeases[to.name], leases...)
	batch.Queue(leasedWebhooks[to.name], leases...)
	batch.Queue(candidatesOfEach, to.list(hooks), most, to.list(c.held))
	results := p.pool.SendBatch(ctx, &batch)
	for range 2 {
		if _, err = results.Exec(); err != nil {
			break
		}
	}
	if err == nil {
		leased, err = scanned[leasedWebhook](results, (*leasedWebhook).scan)
	}
	if err == nil {
		found, err = scanned[candidate](results, (*candidate).scan)
	}
	// Close reports whether the transaction was committed.
	return leased, found, errors.Join(err, results.Close())
}

// scanned returns the rows of a batch's next result.
func scanned[T any](results pgx.BatchResults, read func(*T, scan) error) (list []T, err error) {
	err = eachResult(results, func(scan scan) error {
		var row T
		err := read(&row, scan)
		list = append(list, row)
		return err
	})
	return list, err
}

func eachResult(results pgx.BatchResults, row func(scan) error) error {
	rows, err := results.Query()
	if err != nil {
		return err
	}
	return feed.EachRow(rows, row)
}

const (
	lockFinished = `SELECT id FROM webhooks WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE`
	lockLeases   = `SELECT webhook_id FROM webhook_leases WHERE webhook_id = ANY ($1::uuid[]) ORDER BY webhook_id FOR NO KEY UPDATE`

	// finishLeased records outcomes whose lease no other server has taken, unless the delivery has had another attempt
	// since it was claimed, and keeps the attempts. It finds rows by their keys, one by one: to the planner, which may
	// know an earlier state of the tables, another plan can look better. A delivery that became dead meanwhile, since
	// its webhook was disabled, stays so unless it was delivered. Of a webhook's outcomes, those since the last success
	// count as its failures in a row. The next pending delivery of a subject becomes due after one that is no longer
	// pending. An earlier one of the subject, which a replay can have made pending meanwhile, is due by itself.
	finishLeased = `WITH f AS MATERIALIZED (
			SELECT f.*, d.row_id FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::float8[], $8::timestamptz[],
				$9::bigint[], $10::bigint[], $11::text[], $12::text[], $13::boolean[], $15::bigint[])
				AS f (n, account_id, webhook_id, event_id, token, outcome, delay, at, status, duration_ms, error, response_head, health, numbered)
				JOIN webhook_leases AS l ON l.webhook_id = f.webhook_id AND l.token = f.token
				CROSS JOIN LATERAL (SELECT ctid AS row_id FROM deliveries WHERE account_id = f.account_id AND webhook_id = f.webhook_id
					AND event_id = f.event_id OFFSET 0) AS d
		), recorded AS (
			UPDATE deliveries AS d SET
				state = CASE WHEN d.state = 'PENDING' OR f.outcome = 'DELIVERED' THEN f.outcome ELSE d.state END,
				attempts = d.attempts + 1, numbered = d.numbered + 1,
				next_at = CASE WHEN f.outcome = 'PENDING' THEN statement_timestamp() + make_interval(secs => f.delay) ELSE d.next_at END
			FROM f WHERE d.ctid = f.row_id AND d.numbered = f.numbered
			RETURNING f.n, f.account_id, f.webhook_id, f.event_id, f.outcome, f.at, f.status, f.duration_ms, f.error, f.response_head, f.health,
				d.numbered, d.subject, d.sequence, d.state
		), kept AS (
			INSERT INTO attempts (account_id, webhook_id, event_id, number, at, status, duration_ms, error, response_head)
			SELECT account_id, webhook_id, event_id, numbered, at, status, duration_ms, error, response_head FROM recorded
		), dropped AS (
			DELETE FROM attempts WHERE ctid = ANY (ARRAY(SELECT a.row_id FROM recorded AS r CROSS JOIN LATERAL (SELECT ctid AS row_id FROM attempts
					WHERE account_id = r.account_id AND webhook_id = r.webhook_id AND event_id = r.event_id AND number <= r.numbered - $14 OFFSET 0) AS a
				WHERE r.numbered > $14))
		), tried AS (
			SELECT webhook_id, n, at, health, outcome = 'DELIVERED' AS ok,
				max(n) FILTER (WHERE health AND outcome = 'DELIVERED') OVER (PARTITION BY webhook_id) AS last_ok
			FROM recorded
		), health AS (
			SELECT webhook_id, count(last_ok) > 0 AS succeeded, count(*) FILTER (WHERE health AND n > coalesce(last_ok, -1)) AS failed,
				min(at) FILTER (WHERE health AND n > coalesce(last_ok, -1)) AS since, (array_agg(ok ORDER BY n DESC))[1] AS proven
			FROM tried GROUP BY webhook_id
		), changed AS (
			UPDATE webhooks AS w SET failures = CASE WHEN h.succeeded THEN 0 ELSE w.failures END + h.failed,
				failing_since = CASE WHEN h.failed > 0 THEN CASE WHEN h.succeeded THEN h.since ELSE coalesce(w.failing_since, h.since) END
					WHEN NOT h.succeeded THEN w.failing_since END,
				failing_reported = w.failing_reported AND NOT h.succeeded, proven = h.proven
			FROM health AS h WHERE w.id = h.webhook_id
				AND (h.failed > 0 OR h.succeeded AND (w.failures > 0 OR w.failing_since IS NOT NULL) OR w.proven <> h.proven)
		), woken AS (
			UPDATE deliveries SET next_at = statement_timestamp() WHERE ctid = ANY (ARRAY(
				SELECT next.row_id FROM recorded AS r CROSS JOIN LATERAL (SELECT b.ctid AS row_id, b.next_at FROM deliveries AS b
					WHERE b.state = 'PENDING' AND b.webhook_id = r.webhook_id AND b.subject = r.subject
						AND (b.sequence, b.event_id) > (r.sequence, r.event_id)
					ORDER BY b.sequence, b.event_id LIMIT 1) AS next
				WHERE r.state <> 'PENDING' AND next.next_at > statement_timestamp()))
		)
		SELECT n FROM recorded`
)

// outcomeColumns are outcomes as arrays, one for each column.
type outcomeColumns struct {
	n                               []int64
	accounts, hooks, events, tokens []pgtype.UUID
	states, errors, heads           []string
	delays                          []float64
	times                           []time.Time
	statuses, durations, numbered   []int64
	health                          []bool
}

func outcomeColumnsOf(done []deliver.Finished) (c outcomeColumns) {
	for i, f := range done {
		j, a := f.Job, f.Outcome.Attempt
		account, hook, event := pgID(j.Webhook.AccountID), pgID(j.Webhook.ID), pgID(j.Event.ID)
		c.n = append(c.n, int64(i))
		c.accounts, c.hooks, c.events = append(c.accounts, account), append(c.hooks, hook), append(c.events, event)
		c.tokens, c.numbered = append(c.tokens, pgID(j.Lease.Token)), append(c.numbered, int64(j.Numbered))
		c.states = append(c.states, string(f.Outcome.State))
		c.errors, c.heads = append(c.errors, a.Error), append(c.heads, a.ResponseHead)
		c.delays = append(c.delays, delayOf(f.Outcome).Seconds())
		c.times, c.statuses = append(c.times, a.At.UTC()), append(c.statuses, int64(a.Status))
		c.durations = append(c.durations, a.Duration.Milliseconds())
		c.health = append(c.health, f.Outcome.Health)
	}
	return c
}

func (p *postgres) finishDeliveries(ctx context.Context, done []deliver.Finished,
	release []deliver.Lease) (recorded []bool, err error) {
	c, to := outcomeColumnsOf(done), postgresDialect
	var batch pgx.Batch
	batch.Queue(queueSettings)
	batch.Queue(lockFinished, c.hooks)
	batch.Queue(lockLeases, c.hooks)
	batch.Queue(finishLeased, c.n, c.accounts, c.hooks, c.events, c.tokens, c.states, c.delays, c.times, c.statuses,
		c.durations, c.errors, c.heads, c.health, int64(webhook.MaxAttempts), c.numbered)
	for _, l := range release {
		batch.Queue(releaseLease[to.name], to.id(l.WebhookID), to.id(l.Token), l.Claims)
	}
	results := p.pool.SendBatch(ctx, &batch)
	for range 3 {
		if _, err = results.Exec(); err != nil {
			break
		}
	}
	recorded = make([]bool, len(done))
	if err == nil {
		err = eachResult(results, func(scan scan) error {
			var i int64
			err := scan(&i)
			recorded[i] = err == nil
			return err
		})
	}
	return recorded, errors.Join(err, results.Close())
}

func (p *postgres) readQueue(ctx context.Context, sql string, args []any, row func(scan) error) error {
	var batch pgx.Batch
	batch.Queue(queueSettings)
	batch.Queue(sql, args...)
	results := p.pool.SendBatch(ctx, &batch)
	_, err := results.Exec()
	if err == nil {
		err = eachResult(results, row)
	}
	return errors.Join(err, results.Close())
}
