// Package deliver sends the events of webhooks: it claims due deliveries, sends signed requests and records their
// outcome (docs/webhooks.md).
package deliver

import (
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/webhook"
)

// Limits of the work on one webhook.
const (
	// MaxInFlight is the maximum number of concurrent attempts for one webhook, over all servers.
	MaxInFlight = 4
	// MaxRun is the maximum number of deliveries of one webhook that a server claims ahead: MaxInFlight of them are in
	// flight at a time, and the others wait in the server's memory.
	MaxRun = 256
	// MaxClaim is the maximum number of deliveries of one claim that get a place, and of those that it claims ahead.
	MaxClaim = 256
	// ProbeAfter is the number of failures in a row after which MaxInFlight is 1.
	ProbeAfter = 5
	// Lease is how long a claimed delivery belongs to the server that claimed it. An attempt takes less.
	Lease = 30 * time.Second
	// Fresh is how long what a claim read of a webhook counts. An attempt that begins later checks it again.
	Fresh = 100 * time.Millisecond
)

// Job is a claimed delivery.
type Job struct {
	Webhook webhook.Webhook
	Event   audit.Event
	// Attempts is the number of attempts since the delivery was scheduled, without this one.
	Attempts int
	// Token proves the lease, which ends at LeaseUntil, by the clock of this process and with a monotonic reading.
	Token      uuid.UUID
	LeaseUntil time.Time
	// Checked is when the webhook and the lease were last read, by the clock of this process.
	Checked time.Time
	// Proven reports whether the last attempt of the webhook that ended succeeded.
	Proven bool
}

// Outcome is the result of an attempt.
type Outcome struct {
	Attempt webhook.Attempt
	// State is Pending to try again at NextAt, by the clock of the attempt, or final.
	State  webhook.DeliveryState
	NextAt time.Time
	// Gone disables the webhook: the receiver answered 410.
	Gone bool
	// Health reports whether the attempt counts for the webhook's health. That of a test event does not.
	Health bool
}

// Queue is the storage of pending deliveries. It is safe for concurrent use by several servers.
type Queue interface {
	// Claim returns due deliveries for the places, whose lease begins. A delivery is due if its webhook is Enabled, its
	// time has come, it has no lease that has not ended, no delivery of the same webhook and subject with a smaller
	// sequence is pending, and the webhook has fewer leases than its limit. The webhooks that wait longest come first,
	// and no webhook gets more places than another that also has due deliveries, and free places of its account and
	// kind.
	//
	// The limit is MaxInFlight, or one for a webhook that fails. If no other server has a lease of the webhook, and its
	// last attempt succeeded, it is Places.Run: the caller attempts MaxInFlight of the deliveries at a time. Those
	// beyond MaxInFlight take no place.
	Claim(ctx context.Context, p Places) ([]Job, error)
	// Recheck returns those of the jobs that may still begin, with their webhook as it is now: their lease holds, they
	// are pending, and the webhook still exists, is Enabled and selects them. The jobs are of one webhook. An attempt
	// begins within Fresh after the claim or the check, or after another check: what deletes, pauses, disables or
	// moves a webhook returns later than that (webhook.Repository).
	Recheck(ctx context.Context, jobs []Job) ([]Job, error)
	// Release ends the leases of jobs that were not attempted. They are due at once.
	Release(ctx context.Context, jobs []Job) error
	// Finish records the outcomes of attempts that no other server has claimed since, and releases it. It returns
	// whether each was recorded. The webhook of a recorded outcome that is Gone becomes Disabled, with the event.
	Finish(ctx context.Context, done []Finished) ([]bool, error)
	// NextDue returns when the next delivery can be claimed, by the clock of this process, or zero if no Enabled
	// webhook has a pending one.
	NextDue(ctx context.Context) (time.Time, error)
	// Any reports whether there is any webhook. Without one, commits need not wake the dispatcher.
	Any(ctx context.Context) (bool, error)

	// Failing returns Enabled webhooks that have been failing since before the time, and whether that was reported.
	Failing(ctx context.Context, before time.Time) ([]Failing, error)
	// ReportFailing records that the webhook's failure was reported, with the event. It returns false if it was
	// already, or if the webhook works again.
	ReportFailing(ctx context.Context, w webhook.Webhook, e audit.Event) (bool, error)
	// Disable disables a webhook that is still failing since the same time, with the event.
	Disable(ctx context.Context, w webhook.Webhook, reason string, e audit.Event) (bool, error)
	// Prune deletes deliveries that were scheduled before the time, pending ones too, with their attempts, the
	// deliveries of deleted webhooks, and other attempts from before the time: at most most deliveries and most
	// attempts. It returns how many, without the attempts of deleted deliveries.
	Prune(ctx context.Context, before time.Time, most int) (int64, error)
	// Stats are the figures for metrics.
	Stats(ctx context.Context) (Stats, error)
}

// Finished is a job with its outcome. Disabled is the event to store if Outcome.Gone disables the webhook.
type Finished struct {
	Job      Job
	Outcome  Outcome
	Disabled audit.Event
}

// Failing is a webhook that has been failing.
type Failing struct {
	Webhook  webhook.Webhook
	Reported bool
}

// Stats describes the queue.
type Stats struct {
	// OldestDue is when the oldest pending delivery of an Enabled webhook was created; zero if there is none.
	OldestDue time.Time
	Webhooks  map[webhook.State]int64
}
