package gormdb

import (
	"strings"

	"latchkey/internal/webhook/deliver"
)

// waiting begins a statement. It is WITH and the enabled webhooks that have pending deliveries for which the condition
// holds: those of deliveries AS d, with the time at which the first one is due, and the lease.
func waiting(d dialect, condition string) string {
	pending := ` AS d` + d.indexed("deliveries_due") + ` WHERE d.state = 'PENDING'`
	return `WITH RECURSIVE walk (id) AS (
		SELECT (SELECT d.webhook_id FROM deliveries` + pending + ` ORDER BY d.webhook_id LIMIT 1)
		UNION ALL
		SELECT (SELECT d.webhook_id FROM deliveries` + pending + ` AND d.webhook_id > walk.id ORDER BY d.webhook_id LIMIT 1)
		FROM walk WHERE walk.id IS NOT NULL
	), waiting AS MATERIALIZED (
		SELECT w.id, w.account_id, w.failures, w.proven, l.token, l.until_at,
			(SELECT d.next_at FROM deliveries` + pending + ` AND d.webhook_id = w.id` + condition + ` ORDER BY d.next_at LIMIT 1) AS next_at
		FROM walk CROSS JOIN webhooks AS w LEFT JOIN webhook_leases AS l ON l.webhook_id = w.id
		WHERE w.id = walk.id AND w.state = 'ENABLED'
	)`
}

// firstBefore returns an expression of the first pending delivery of the subject before a delivery, deliveries AS b. It
// is null if there is none.
func firstBefore(expression, of string) string {
	return "(SELECT " + expression + ` FROM deliveries AS b WHERE b.state = 'PENDING' AND b.webhook_id = ` + of +
		".webhook_id AND b.subject = " + of + ".subject AND (b.sequence, b.event_id) < (" + of + ".sequence, " + of +
		".event_id) ORDER BY b.sequence, b.event_id LIMIT 1)"
}

// ofDialects returns a statement for each dialect by its name.
func ofDialects(statement func(dialect) string) map[string]string {
	return map[string]string{
		postgresDialect.name: statement(postgresDialect), sqliteDialect.name: statement(sqliteDialect),
	}
}

var (
	// dueWebhooks are the webhooks with due deliveries that a server does not hold, and whose lease no other one has.
	// The parameters are the tokens of its leases, and the events that it holds.
	dueWebhooks = ofDialects(func(d dialect) string {
		return waiting(d, ` AND d.event_id NOT IN (`+d.listed("$2")+`)`) + ` SELECT id, account_id, failures, proven FROM waiting
			WHERE next_at <= ` + d.now + ` AND (until_at IS NULL OR until_at <= ` + d.now + ` OR token IN (` + d.listed("$1") + `))
			ORDER BY next_at`
	})

	// takeLeases takes or extends leases. The parameters are the webhooks, the tokens of the server's leases, and the
	// token of new ones.
	takeLeases = ofDialects(func(d dialect) string {
		return `INSERT INTO webhook_leases AS l (webhook_id, token, claims, until_at)
			SELECT wanted.id, ` + d.asID("$3") + `, 1, ` + d.after(deliver.LeaseTime) + ` FROM (` + d.listed("$1") + `) AS wanted WHERE true ORDER BY wanted.id
			ON CONFLICT (webhook_id) DO UPDATE SET claims = l.claims + 1, until_at = excluded.until_at,
				token = CASE WHEN l.token IN (` + d.listed("$2") + `) THEN l.token ELSE excluded.token END
			WHERE l.until_at <= ` + d.now + ` OR l.token IN (` + d.listed("$2") + `)`
	})
	// leasedWebhooks are the enabled ones of the webhooks that takeLeases, with the same parameters, took or extended.
	leasedWebhooks = ofDialects(func(d dialect) string {
		return `SELECT l.token, l.claims, ` + webhookColumns.list() + ` FROM (` + d.listed("$1") + `) AS wanted
			CROSS JOIN webhook_leases AS l CROSS JOIN webhooks
			WHERE l.webhook_id = wanted.id AND (l.token = ` + d.asID("$3") + ` OR l.token IN (` + d.listed("$2") + `))
				AND webhooks.id = wanted.id AND webhooks.state = 'ENABLED'`
	})

	releaseLease = ofDialects(func(d dialect) string {
		return `UPDATE webhook_leases SET until_at = ` + d.now + ` WHERE webhook_id = $1 AND token = $2 AND claims = $3`
	})

	eventsByKey = ofDialects(func(d dialect) string {
		return strings.Replace(`SELECT `+claimedColumns.list()+` FROM `+d.each("audit_events", "e", `e.account_id = `+
			d.asID("substr(wanted.value, 1, 36)")+` AND e.id = `+d.asID("substr(wanted.value, 37)")), "?", "$1", 1)
	})

	// checkedLease is the webhook of a lease that holds, if it is enabled.
	checkedLease = ofDialects(func(d dialect) string {
		return `SELECT ` + webhookColumns.list() + ` FROM webhook_leases AS l CROSS JOIN webhooks WHERE l.webhook_id = $1 AND l.token = $2
			AND l.until_at > ` + d.now + ` AND webhooks.id = l.webhook_id AND webhooks.state = 'ENABLED'`
	})

	nextDue = ofDialects(func(d dialect) string {
		return waiting(d, "") + ` SELECT ` + d.until(`min(CASE WHEN until_at > `+d.now+` AND until_at > next_at
			THEN until_at ELSE next_at END)`) + ` FROM waiting`
	})
)

// candidates returns a query for the first due deliveries of a webhook that the server does not hold.
func candidates(d dialect, hook, heldEvents, most string) string {
	return `SELECT d.webhook_id, d.event_id, d.attempts, d.numbered, d.next_at, ` + firstBefore("1", "d") + ` IS NOT NULL AS behind
		FROM deliveries AS d` + d.indexed("deliveries_due") + ` WHERE d.state = 'PENDING' AND d.webhook_id = ` + hook + `
			AND d.next_at <= ` + d.now + ` AND d.event_id NOT IN (` + d.listed(heldEvents) + `)
		ORDER BY d.next_at, d.event_id LIMIT ` + most
}
