package gormdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
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
		set_config('plan_cache_mode', 'force_generic_plan', true)`
	// lockedIDs are the webhooks that lockDue has locked in the transaction. A setting passes them to the statements
	// that follow, since the client does not see them before it has sent all.
	lockedIDs = `string_to_array(current_setting('latchkey.webhooks'), ',')::uuid[]`
)

var (
	// lockDue locks webhooks with due deliveries and free places, those that wait longest first, and returns their
	// number and that of all. Webhooks that others have locked are left to them.
	lockDue = waiting(postgresDialect) + `, ready AS MATERIALIZED (
			SELECT w.id, w.next_at, ` + proven("w") + ` AS proven,
				row_number() OVER (PARTITION BY w.account_id ORDER BY w.next_at) + coalesce(h.held, 0) AS of_account
			FROM waiting AS w LEFT JOIN unnest($7::uuid[], $8::bigint[]) AS h (account_id, held) ON h.account_id = w.account_id
			WHERE w.next_at <= statement_timestamp() AND w.free > 0
		), kinds AS MATERIALIZED (
			SELECT id, next_at, proven, row_number() OVER (PARTITION BY proven ORDER BY next_at) AS of_kind
			FROM ready WHERE of_account <= $6
		), due AS MATERIALIZED (
			SELECT id, next_at FROM kinds WHERE proven OR of_kind <= $5
		), locked AS MATERIALIZED (
			SELECT w.id FROM due JOIN webhooks AS w ON w.id = due.id WHERE w.state = 'ENABLED'
			ORDER BY due.next_at LIMIT $4 FOR NO KEY UPDATE OF w SKIP LOCKED
		)
		SELECT set_config('latchkey.webhooks', coalesce((SELECT string_agg(id::text, ',') FROM locked), ''), true),
			(SELECT count(*) FROM locked), least((SELECT count(*) FROM due), $4)`

	lockedWebhooks = `SELECT ` + webhookColumns.list() + ` FROM webhooks WHERE id = ANY (` + lockedIDs + `)`

	// claimLocked claims deliveries of the locked webhooks. Each webhook gets its first place before any gets its
	// second one, as far as its account and its kind, proven or not, have free places. Those ahead of the places are
	// claimed if their account has free places; the webhooks share them, so that each is not read for all.
	// A row found by its ctid is the one that was read, since the webhook is locked.
	claimLocked = strings.NewReplacer("LOCKED", lockedIDs, "FREE", free("w", postgresDialect),
		"PROVEN", proven("w"), "LEASED", leased("w", postgresDialect), "PLACES", strconv.Itoa(deliver.MaxInFlight),
		"AHEAD", strconv.Itoa(deliver.MaxClaim),
		"LEASE", fmt.Sprintf("statement_timestamp() + interval '%f s'", deliver.Lease.Seconds()),
		"POSTPONED", fmt.Sprintf("statement_timestamp() + interval '%f s'", postponed.Seconds())).Replace(`
		WITH locked AS MATERIALIZED (
			SELECT w.id, w.account_id, FREE AS free, LEASED AS leased, PROVEN AS proven, coalesce(h.held, 0) AS held
			FROM unnest(LOCKED) AS l (id) JOIN webhooks AS w ON w.id = l.id
				LEFT JOIN unnest($9::uuid[], $10::bigint[]) AS h (account_id, held) ON h.account_id = w.account_id
			WHERE w.state = 'ENABLED'
		), candidate AS MATERIALIZED (
			SELECT d.row_id, d.webhook_id, d.event_id, d.next_at, l.free, first.next_at AS behind FROM locked AS l
			CROSS JOIN LATERAL (SELECT ctid AS row_id, webhook_id, subject, sequence, event_id, next_at FROM deliveries
				WHERE state = 'PENDING' AND webhook_id = l.id AND next_at <= statement_timestamp()
				ORDER BY next_at, event_id LIMIT least(l.free, PLACES + AHEAD / (SELECT count(*) FROM locked)) + $5) AS d
			LEFT JOIN LATERAL (SELECT b.next_at FROM deliveries AS b
				WHERE b.state = 'PENDING' AND b.webhook_id = d.webhook_id AND b.subject = d.subject
					AND (b.sequence, b.event_id) < (d.sequence, d.event_id)
				ORDER BY b.sequence, b.event_id LIMIT 1) AS first ON true
			WHERE l.free > 0
		), placed AS (
			SELECT row_id, webhook_id, next_at, row_number() OVER (PARTITION BY webhook_id ORDER BY next_at, event_id) AS place
			FROM candidate WHERE behind IS NULL
		), admitted AS (
			SELECT p.row_id, p.next_at, p.place + l.leased AS place, l.proven,
				row_number() OVER (PARTITION BY l.account_id ORDER BY p.place + l.leased, p.next_at) + l.held AS of_account,
				count(*) FILTER (WHERE p.place + l.leased <= PLACES) OVER (PARTITION BY l.account_id) + l.held < $8 AS ahead
			FROM placed AS p JOIN locked AS l ON l.id = p.webhook_id WHERE p.place <= l.free
		), kinds AS (
			SELECT row_id, next_at, place, proven, row_number() OVER (PARTITION BY proven ORDER BY place, next_at) AS of_kind
			FROM admitted WHERE place <= PLACES AND of_account <= $8
		), claimed AS (
			UPDATE deliveries SET lease_token = $6, lease_until = LEASE, next_at = LEASE
			WHERE ctid = ANY (ARRAY(SELECT row_id FROM kinds WHERE proven OR of_kind <= $7 ORDER BY place, next_at LIMIT $4) ||
				ARRAY(SELECT row_id FROM admitted WHERE place > PLACES AND ahead ORDER BY place, next_at LIMIT AHEAD))
			RETURNING account_id, webhook_id, event_id, attempts
		), postponed AS (
			UPDATE deliveries AS d SET next_at = greatest(p.behind, POSTPONED)
			FROM candidate AS p WHERE d.ctid = p.row_id AND p.behind IS NOT NULL RETURNING 1
		)
		SELECT (SELECT count(*) FROM postponed), (SELECT l.proven FROM locked AS l WHERE l.id = c.webhook_id), `) + claimedColumns.list() + ` FROM claimed AS c
			CROSS JOIN LATERAL (SELECT * FROM audit_events WHERE account_id = c.account_id AND id = c.event_id OFFSET 0) AS e`
)

func (p *postgres) claimDeliveries(ctx context.Context, c claim) ([]deliver.Job, rest, error) {
	most, unproven, perAccount := int64(c.places.Most), int64(c.places.Unproven), int64(c.places.PerAccount)
	accounts, held := make([]pgtype.UUID, 0, len(c.places.Held)), make([]int64, 0, len(c.places.Held))
	for id, n := range c.places.Held {
		accounts, held = append(accounts, pgID(id)), append(held, int64(n))
	}
	var batch pgx.Batch
	limits := c.of.limits(postgresDialect, c.places.Run)
	batch.Queue(queueSettings)
	batch.Queue(lockDue, append(slices.Clip(limits), most, unproven, perAccount, accounts, held)...)
	batch.Queue(lockedWebhooks)
	batch.Queue(claimLocked, append(slices.Clip(limits), most, int64(c.look), pgID(c.token), unproven, perAccount,
		accounts, held)...)
	results := p.pool.SendBatch(ctx, &batch)
	jobs, left, err := claimedJobs(results)
	// Close reports whether the transaction was committed.
	if err := errors.Join(err, results.Close()); err != nil {
		return nil, rest{}, err
	}
	return jobs, left, nil
}

// claimedJobs reads the result of each statement.
func claimedJobs(results pgx.BatchResults) (jobs []deliver.Job, left rest, err error) {
	if _, err := results.Exec(); err != nil {
		return nil, rest{}, err
	}
	var ids string
	var locked, due int64
	if err := results.QueryRow().Scan(&ids, &locked, &due); err != nil {
		return nil, rest{}, err
	}
	hooks := map[uuid.UUID]webhook.Webhook{}
	err = eachResult(results, func(scan scan) error {
		var row webhookRow
		err := scan(webhookColumns.scanInto(&row)...)
		hooks[row.ID] = row.webhook()
		return err
	})
	if err != nil {
		return nil, rest{}, err
	}
	var postponed int64
	err = eachResult(results, func(scan scan) error {
		var row claimedDelivery
		var proven bool
		if err := scan(append([]any{&postponed, &proven}, claimedColumns.scanInto(&row)...)...); err != nil {
			return err
		}
		job, err := row.job(hooks[row.WebhookID])
		job.Proven = proven
		jobs = append(jobs, job)
		return err
	})
	// Without a row it is unknown whether deliveries were postponed.
	return jobs, rest{postponed: postponed > 0 || locked > 0 && len(jobs) == 0, locked: locked < due}, err
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

	// finishLeased releases the leases that still belong to the claims and keeps the attempts. It finds rows by their
	// keys, one by one: to the planner, which may know an earlier state of the tables, another plan can look better. A
	// delivery that became dead meanwhile, since its webhook was disabled, stays so unless it was delivered. Of a
	// webhook's outcomes, those since the last success count as its failures in a row. The next pending delivery of a
	// subject becomes due after one that is no longer pending. An earlier one of the subject, which a replay can have
	// made pending meanwhile, is due by itself.
	finishLeased = `WITH f AS MATERIALIZED (
			SELECT f.*, d.row_id FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::float8[], $8::timestamptz[],
				$9::bigint[], $10::bigint[], $11::text[], $12::text[], $13::boolean[])
				AS f (n, account_id, webhook_id, event_id, token, outcome, delay, at, status, duration_ms, error, response_head, health)
				CROSS JOIN LATERAL (SELECT ctid AS row_id FROM deliveries WHERE account_id = f.account_id AND webhook_id = f.webhook_id
					AND event_id = f.event_id OFFSET 0) AS d
		), released AS (
			UPDATE deliveries AS d SET
				state = CASE WHEN d.state = 'PENDING' OR f.outcome = 'DELIVERED' THEN f.outcome ELSE d.state END,
				attempts = d.attempts + 1, numbered = d.numbered + 1, lease_until = NULL, lease_token = NULL,
				next_at = CASE WHEN f.outcome = 'PENDING' THEN statement_timestamp() + make_interval(secs => f.delay) ELSE d.next_at END
			FROM f WHERE d.ctid = f.row_id AND d.lease_token = f.token
			RETURNING f.*, d.numbered, d.subject, d.sequence, d.state
		), kept AS (
			INSERT INTO attempts (account_id, webhook_id, event_id, number, at, status, duration_ms, error, response_head)
			SELECT account_id, webhook_id, event_id, numbered, at, status, duration_ms, error, response_head FROM released
		), dropped AS (
			DELETE FROM attempts WHERE ctid = ANY (ARRAY(SELECT a.row_id FROM released AS r CROSS JOIN LATERAL (SELECT ctid AS row_id FROM attempts
					WHERE account_id = r.account_id AND webhook_id = r.webhook_id AND event_id = r.event_id AND number <= r.numbered - $14 OFFSET 0) AS a
				WHERE r.numbered > $14))
		), tried AS (
			SELECT webhook_id, n, at, outcome = 'DELIVERED' AS ok,
				max(n) FILTER (WHERE outcome = 'DELIVERED') OVER (PARTITION BY webhook_id) AS last_ok
			FROM released WHERE health
		), health AS (
			SELECT webhook_id, bool_or(ok) AS succeeded, count(*) FILTER (WHERE n > coalesce(last_ok, -1)) AS failed,
				min(at) FILTER (WHERE n > coalesce(last_ok, -1)) AS since
			FROM tried GROUP BY webhook_id
		), changed AS (
			UPDATE webhooks AS w SET failures = CASE WHEN h.succeeded THEN 0 ELSE w.failures END + h.failed,
				failing_since = CASE WHEN h.failed > 0 THEN CASE WHEN h.succeeded THEN h.since ELSE coalesce(w.failing_since, h.since) END END,
				failing_reported = w.failing_reported AND NOT h.succeeded
			FROM health AS h WHERE w.id = h.webhook_id AND (h.failed > 0 OR w.failures > 0 OR w.failing_since IS NOT NULL)
		), woken AS (
			UPDATE deliveries SET next_at = statement_timestamp() WHERE ctid = ANY (ARRAY(
				SELECT next.row_id FROM released AS r CROSS JOIN LATERAL (SELECT b.ctid AS row_id, b.next_at, b.lease_token FROM deliveries AS b
					WHERE b.state = 'PENDING' AND b.webhook_id = r.webhook_id AND b.subject = r.subject
						AND (b.sequence, b.event_id) > (r.sequence, r.event_id)
					ORDER BY b.sequence, b.event_id LIMIT 1) AS next
				WHERE r.state <> 'PENDING' AND next.next_at > statement_timestamp() AND next.lease_token IS NULL))
		)
		SELECT n FROM released`
)

// outcomeColumns are outcomes as arrays, one for each column.
type outcomeColumns struct {
	n                               []int64
	accounts, hooks, events, tokens []pgtype.UUID
	states, errors, heads           []string
	delays                          []float64
	times                           []time.Time
	statuses, durations             []int64
	health                          []bool
}

func outcomeColumnsOf(done []deliver.Finished) (c outcomeColumns) {
	for i, f := range done {
		j, a := f.Job, f.Outcome.Attempt
		account, hook, event := pgID(j.Webhook.AccountID), pgID(j.Webhook.ID), pgID(j.Event.ID)
		c.n = append(c.n, int64(i))
		c.accounts, c.hooks, c.events = append(c.accounts, account), append(c.hooks, hook), append(c.events, event)
		c.tokens = append(c.tokens, pgID(j.Token))
		c.states = append(c.states, string(f.Outcome.State))
		c.errors, c.heads = append(c.errors, a.Error), append(c.heads, a.ResponseHead)
		c.delays = append(c.delays, delayOf(f.Outcome).Seconds())
		c.times, c.statuses = append(c.times, a.At.UTC()), append(c.statuses, int64(a.Status))
		c.durations = append(c.durations, a.Duration.Milliseconds())
		c.health = append(c.health, f.Outcome.Health)
	}
	return c
}

func (p *postgres) finishDeliveries(ctx context.Context, done []deliver.Finished) ([]bool, error) {
	c := outcomeColumnsOf(done)
	var batch pgx.Batch
	batch.Queue(queueSettings)
	batch.Queue(lockFinished, c.hooks)
	batch.Queue(finishLeased, c.n, c.accounts, c.hooks, c.events, c.tokens, c.states, c.delays, c.times, c.statuses,
		c.durations, c.errors, c.heads, c.health, int64(webhook.MaxAttempts))
	results := p.pool.SendBatch(ctx, &batch)
	recorded, err := finishedResults(results, len(done))
	if err := errors.Join(err, results.Close()); err != nil {
		return nil, err
	}
	return recorded, nil
}

func finishedResults(results pgx.BatchResults, n int) ([]bool, error) {
	for range 2 {
		if _, err := results.Exec(); err != nil {
			return nil, err
		}
	}
	recorded := make([]bool, n)
	err := eachResult(results, func(scan scan) error {
		var i int64
		err := scan(&i)
		recorded[i] = err == nil
		return err
	})
	return recorded, err
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
