package gormdb

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

// queue implements deliver.Queue. These are its rules:
//
//   - A pending delivery is due from next_at on. A claim sets next_at to the end of the lease, so the deliveries of a
//     webhook that may be claimed are the beginning of one index, deliveries_due, however many are pending.
//   - A delivery behind another pending one of its subject is postponed by the claim that comes across it: to the
//     next_at of the first one, but at least by postponed. Finish makes the next delivery of the subject due when one
//     is delivered or dead. If that does not happen, because the first one was pruned, a claim looks again then.
//   - Claims, and whatever changes deliveries of a webhook, lock the webhook's row before the deliveries. So what a
//     claim counts and sees stays true until it is committed. Inserting deliveries takes no lock: they are the last
//     of their subject.
//   - A server claims deliveries of a webhook ahead while no other server has leases of it, so that sending need not
//     wait for the database. Up to deliver.MaxInFlight leases can belong to several servers.
//   - Claims find the webhooks with pending deliveries by jumping from webhook to webhook in deliveries_due, which is
//     one look-up for each, whatever the number of deliveries.
//   - A transaction that read the types of a webhook before they were changed can record a delivery after the change
//     has ended those of other types. So a claim, which has locked the webhook, ends what its types do not select.
//   - A claim or an outcome that a crash of the database loses is made again: the delivery is attempted once more. So
//     these transactions do not wait until they are durable.
type queue struct{ *DB }

var _ deliver.Queue = queue{}

// Queue returns the queue of pending deliveries.
func (db *DB) Queue() deliver.Queue { return queue{db} }

// queueEngine is the part of an engine that claims and finishes deliveries.
type queueEngine interface {
	// claimDeliveries claims deliveries for c.places with one transaction. The rest is why another pass could claim
	// others.
	claimDeliveries(ctx context.Context, c claim) ([]deliver.Job, rest, error)
	// finishDeliveries records the outcomes, which are in the order in which the attempts ended, and returns whether
	// each was recorded.
	finishDeliveries(ctx context.Context, done []deliver.Finished) ([]bool, error)
	// readQueue is query for a statement that reads deliveries.
	readQueue(ctx context.Context, sql string, args []any, row func(scan) error) error
}

// claim is a pass of Claim.
type claim struct {
	places deliver.Places
	// look is how many due deliveries of a webhook the pass looks at beyond those that may be in flight.
	look int
	// token is that of the leases, and of is the server.
	token uuid.UUID
	of    worker
}

// worker identifies a server among those that claim deliveries. The tokens of its leases begin with it.
type worker [8]byte

func newWorker() (w worker) {
	id := uuid.New()
	copy(w[:], id[:])
	return w
}

// token returns a token for the leases of one claim.
func (w worker) token() uuid.UUID {
	token := uuid.New()
	copy(token[:], w[:])
	return token
}

// tokens returns the smallest and the largest token.
func (w worker) tokens() (first, last uuid.UUID) {
	copy(first[:], w[:])
	last = uuid.Max
	copy(last[:], w[:])
	return first, last
}

// rest is why a pass could leave due deliveries to another one. postponed: it came across deliveries behind others, so
// the next one should look at more. locked: others held the locks of webhooks, which takes only moments.
type rest struct{ postponed, locked bool }

const (
	// passes is the maximum number of passes of one Claim, and firstLook and nextLook how many deliveries of a webhook
	// the first one and the others look at.
	passes    = 4
	firstLook = 4
	nextLook  = 1000
	// postponed is for how long at least a delivery is postponed behind an earlier one of its subject.
	postponed = time.Minute
)

// queueing is the actor of the queue.
var queueing = auth.NoActor("the server delivers events")

// Claim claims due deliveries.
func (q queue) Claim(ctx context.Context, p deliver.Places) ([]deliver.Job, error) {
	var jobs []deliver.Job
	c := claim{places: p.Clone(), look: firstLook, token: q.worker.token(), of: q.worker}
	for range passes {
		// The lease begins after this time in the database, too, so the clocks need not agree.
		begun := time.Now()
		claimed, rest, err := q.engine.claimDeliveries(ctx, c)
		if err != nil {
			// What earlier passes claimed is returned: its leases hold.
			if len(jobs) > 0 {
				return jobs, nil
			}
			return nil, failed(ctx, "claim deliveries", err)
		}
		for i := range claimed {
			claimed[i].Token, claimed[i].LeaseUntil, claimed[i].Checked = c.token, begun.Add(deliver.Lease), begun
		}
		selected := q.selected(ctx, claimed)
		rest.locked = rest.locked || len(selected) < len(claimed)
		jobs = append(jobs, selected...)
		for _, j := range selected {
			c.places.Take(j.Webhook.AccountID, j.Proven)
		}
		// What others have locked they claim or release. It is tried again if there is nothing else to do.
		if c.places.Most <= 0 || !rest.postponed && (!rest.locked || len(jobs) > 0) {
			break
		}
		if rest.postponed {
			c.look = nextLook
		}
	}
	return jobs, nil
}

// selected returns the claimed deliveries that their webhooks select, and ends the others.
func (q queue) selected(ctx context.Context, claimed []deliver.Job) []deliver.Job {
	var selected []deliver.Job
	others := map[uuid.UUID][]deliver.Job{}
	for _, j := range claimed {
		if j.Webhook.Selects(j.Event.Action) {
			selected = append(selected, j)
		} else {
			others[j.Webhook.ID] = append(others[j.Webhook.ID], j)
		}
	}
	for _, of := range others {
		// If it fails, their leases end, and another claim comes across them.
		_ = q.endUnselected(ctx, of)
	}
	return selected
}

// endUnselected releases claimed deliveries of one webhook and ends all that its types do not select.
func (q queue) endUnselected(ctx context.Context, claimed []deliver.Job) error {
	return q.release(ctx, claimed, endUnselected)
}

// Release ends the leases of jobs that were not attempted.
func (q queue) Release(ctx context.Context, jobs []deliver.Job) error {
	of := map[uuid.UUID][]deliver.Job{}
	for _, j := range jobs {
		of[j.Webhook.ID] = append(of[j.Webhook.ID], j)
	}
	for _, each := range of {
		err := q.release(ctx, each, func(*gorm.DB, webhook.Webhook) error { return nil })
		if err != nil {
			return failed(ctx, "release deliveries", err)
		}
	}
	return nil
}

// release ends the leases of jobs of one webhook, and then calls change in the same transaction if the webhook exists.
func (q queue) release(ctx context.Context, jobs []deliver.Job, change func(*gorm.DB, webhook.Webhook) error) error {
	hook, events, tokens := jobs[0].Webhook, make([]uuid.UUID, len(jobs)), make([]uuid.UUID, len(jobs))
	for i, j := range jobs {
		events[i], tokens[i] = j.Event.ID, j.Token
	}
	return q.write(ctx, queueing, held{tokensOf: hook.AccountID}, func(tx *gorm.DB) error {
		row, err := lockedWebhook(tx.Where("account_id = ? AND id = ?", hook.AccountID, hook.ID))
		exists := err == nil
		if !exists && fault.KindOf(err) != fault.NotFound {
			return err
		}
		released := tx.Model(&deliveryRow{}).Where("account_id = ? AND webhook_id = ? AND event_id IN ?",
			hook.AccountID, hook.ID, events).Where("lease_token IN ?", tokens)
		err = released.Updates(map[string]any{"lease_token": nil, "lease_until": nil,
			"next_at": instant{time.Now()}}).Error
		if err != nil || !exists {
			return err
		}
		return change(tx, row.webhook())
	})
}

// claimedDelivery is what a claim reads of a delivery, deliveries AS c, and its event, audit_events AS e.
type claimedDelivery struct {
	WebhookID uuid.UUID `sql:"c"`
	Attempts  int64     `sql:"c"`
	Event     eventRow  `gorm:"embedded;embeddedPrefix:event_" sql:"e"`
}

// claimedColumns leave out the details of events, which are not sent.
var claimedColumns = columnsOf[claimedDelivery](map[string]string{"event_details": "('[]')"})

// job returns the job without its lease.
func (d *claimedDelivery) job(of webhook.Webhook) (deliver.Job, error) {
	event, err := d.Event.event()
	return deliver.Job{Webhook: of, Event: event, Attempts: int(d.Attempts)}, err
}

// waiting begins a statement. It is WITH and the enabled webhooks that have pending deliveries, with the time at which
// the first one is due, and the number of attempts that may begin.
func waiting(d dialect) string {
	pending := ` AS d` + d.indexed("deliveries_due") + ` WHERE d.state = 'PENDING'`
	return `WITH RECURSIVE walk (id) AS (
		SELECT (SELECT d.webhook_id FROM deliveries` + pending + ` ORDER BY d.webhook_id LIMIT 1)
		UNION ALL
		SELECT (SELECT d.webhook_id FROM deliveries` + pending + ` AND d.webhook_id > walk.id ORDER BY d.webhook_id LIMIT 1)
		FROM walk WHERE walk.id IS NOT NULL
	), waiting AS MATERIALIZED (
		SELECT w.id, w.account_id, (SELECT d.next_at FROM deliveries` + pending + ` AND d.webhook_id = w.id ORDER BY d.next_at LIMIT 1) AS next_at,
			` + free("w", d) + ` AS free
		FROM walk CROSS JOIN webhooks AS w WHERE w.id = walk.id AND w.state = 'ENABLED'
	)`
}

// free returns an expression for the number of deliveries of a webhook that may be claimed. Its parameters are those of
// worker.limits. It reads the leases once.
func free(hook string, d dialect) string {
	foreign := "count(CASE WHEN f.lease_token < $1 OR f.lease_token > $2 THEN 1 END) > 0"
	return "(SELECT CASE WHEN " + hook + ".failures >= " + strconv.Itoa(deliver.ProbeAfter) + " THEN 1 WHEN " +
		foreign + " OR NOT " + proven(hook) + " THEN " + strconv.Itoa(deliver.MaxInFlight) +
		" ELSE CAST($3 AS BIGINT) END - count(*) " + leasesOf(hook, d) + ")"
}

// leased returns an expression for the number of leases of a webhook.
func leased(hook string, d dialect) string { return "(SELECT count(*) " + leasesOf(hook, d) + ")" }

func leasesOf(hook string, d dialect) string {
	return `FROM deliveries AS f WHERE f.webhook_id = ` + hook +
		`.id AND f.lease_token IS NOT NULL AND f.lease_until > ` + d.now
}

// limits are the first parameters of statements with free: the range of the server's tokens, and the number of leases
// that a webhook may have if all are the server's.
func (w worker) limits(d dialect, run int) []any {
	first, last := w.tokens()
	return []any{d.id(first), d.id(last), int64(max(run, deliver.MaxInFlight))}
}

// proven returns an expression for whether the last attempt of a webhook that ended succeeded.
func proven(hook string) string {
	return "coalesce((SELECT a.error = '' FROM attempts AS a WHERE a.account_id = " + hook + ".account_id AND a.webhook_id = " +
		hook + ".id ORDER BY a.at DESC LIMIT 1), false)"
}

// delayOf returns how long after the attempt the delivery is due again, which does not depend on the database's clock.
func delayOf(o deliver.Outcome) time.Duration {
	if o.State != webhook.Pending {
		return 0
	}
	return max(0, o.NextAt.Sub(o.Attempt.At.Add(o.Attempt.Duration)))
}

// heldLeases returns a statement for the leases of deliveries of a webhook that hold, with the webhook if it is
// enabled. Its parameters are the account, the webhook and a JSON array of event IDs. It is one statement, so that it
// does not see the webhook as it was before a change and the deliveries as they were after it.
func heldLeases(d dialect) string {
	each := strings.Replace(d.each("deliveries", "d", "d.account_id = $1 AND d.webhook_id = $2 AND d.event_id = "+
		d.asID("wanted.value")), "?", "$3", 1)
	return `SELECT held.event, held.token, ` + webhookColumns.list() + ` FROM webhooks CROSS JOIN (
			SELECT d.event_id AS event, d.lease_token AS token FROM ` + each + `
			WHERE d.state = 'PENDING' AND d.lease_until > ` + d.now + `) AS held
		WHERE account_id = $1 AND id = $2 AND state = 'ENABLED'`
}

var heldLeasesOf = map[string]string{
	postgresDialect.name: heldLeases(postgresDialect), sqliteDialect.name: heldLeases(sqliteDialect),
}

// Recheck returns the jobs that may still begin.
func (q queue) Recheck(ctx context.Context, jobs []deliver.Job) (may []deliver.Job, err error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	to, of, begun := q.engine.dialect(), jobs[0].Webhook, time.Now()
	events, tokens := make([]uuid.UUID, len(jobs)), make(map[uuid.UUID]uuid.UUID, len(jobs))
	for i, j := range jobs {
		events[i] = j.Event.ID
	}
	var row webhookRow
	err = q.engine.readQueue(ctx, heldLeasesOf[to.name],
		[]any{to.id(of.AccountID), to.id(of.ID), idList(events)}, func(scan scan) error {
			var event, token key
			err := scan(append([]any{&event, &token}, webhookColumns.scanInto(&row)...)...)
			tokens[uuid.UUID(event)] = uuid.UUID(token)
			return err
		})
	if err != nil {
		return nil, failed(ctx, "check leases", err)
	}
	of = row.webhook()
	for _, j := range jobs {
		if token, held := tokens[j.Event.ID]; held && token == j.Token && of.Selects(j.Event.Action) {
			j.Webhook, j.Checked = of, begun
			may = append(may, j)
		}
	}
	return may, nil
}

// NextDue returns when the next delivery can be claimed: when it is due, or, if its webhook has as many attempts in
// flight as it may, when the first of their leases ends.
func (q queue) NextDue(ctx context.Context) (time.Time, error) {
	to := q.engine.dialect()
	// Deliveries that are claimed ahead may wait for one that has a place.
	statement := waiting(to) + ` SELECT ` + to.until(`min(CASE WHEN free > 0 THEN next_at ELSE
		(SELECT min(f.lease_until) FROM deliveries AS f WHERE f.webhook_id = waiting.id AND f.lease_token IS NOT NULL AND f.lease_until > `+
		to.now+`) END)`) + ` FROM waiting`
	var seconds *float64
	err := q.engine.readQueue(ctx, statement, q.worker.limits(to, deliver.MaxInFlight),
		func(scan scan) error { return scan(&seconds) })
	if err != nil || seconds == nil {
		return time.Time{}, failed(ctx, "find the next delivery", err)
	}
	return time.Now().Add(time.Duration(*seconds * float64(time.Second))), nil
}

// Any reports whether there is a webhook.
func (q queue) Any(ctx context.Context) (bool, error) {
	any := false
	err := q.engine.lookUp(ctx, `SELECT 1 FROM webhooks LIMIT 1`, nil, func(scan scan) error {
		any = true
		return scan(new(int64))
	})
	return any, failed(ctx, "look for a webhook", err)
}

// Stats returns the figures for metrics.
func (q queue) Stats(ctx context.Context) (deliver.Stats, error) {
	stats := deliver.Stats{Webhooks: map[webhook.State]int64{}}
	err := q.engine.query(ctx, `SELECT state, count(*) FROM webhooks GROUP BY state`, nil, func(scan scan) error {
		var state string
		var n int64
		err := scan(&state, &n)
		stats.Webhooks[webhook.State(state)] = n
		return err
	})
	if err != nil {
		return deliver.Stats{}, failed(ctx, "count webhooks", err)
	}
	const oldest = `SELECT d.created_at FROM deliveries AS d JOIN webhooks AS w ON w.id = d.webhook_id
		WHERE d.state = 'PENDING' AND w.state = 'ENABLED' ORDER BY d.created_at LIMIT 1`
	var at instant
	err = q.engine.readQueue(ctx, oldest, nil, func(scan scan) error { return scan(&at) })
	stats.OldestDue = at.Time
	return stats, failed(ctx, "find the oldest delivery", err)
}
