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
	// MaxInFlight is the maximum number of concurrent attempts for one webhook.
	MaxInFlight = 4
	// MaxRun is the maximum number of deliveries of one webhook that a server claims ahead: MaxInFlight of them are in
	// flight at a time, and the others wait in the server's memory.
	MaxRun = 256
	// MaxClaim is the maximum number of deliveries of one claim that get a place, and of those that it claims ahead.
	MaxClaim = 256
	// ProbeAfter is the number of failures in a row after which a claim leaves at most one attempt in flight.
	ProbeAfter = 5
	// LeaseTime is how long the lease of a webhook lasts. An attempt takes less.
	LeaseTime = 30 * time.Second
	// Fresh is how long what a claim read of a webhook counts. An attempt that begins later checks it again.
	Fresh = 100 * time.Millisecond
)

// Lease lets one server send the events of a webhook, until it ends or is released.
type Lease struct {
	WebhookID uuid.UUID
	// Token proves the lease. A server that takes the lease from another one gives it a new token.
	Token uuid.UUID
	// Claims counts the claims of the webhook that the server has read. A lease with more claims is not released.
	Claims int64
	// Edition counts how often the webhook's pending deliveries were ended: those claimed before may not begin.
	Edition int64
	// Until is when the lease ends, and Checked when the webhook and the lease were last read, by the clock of this
	// process and with a monotonic reading.
	Until, Checked time.Time
}

// Holding is a lease that a server has.
type Holding struct {
	Token uuid.UUID
	// Events are those of the deliveries that the server has claimed and whose outcome it has not recorded.
	Events []uuid.UUID
}

// Claimed is a webhook whose lease a claim took or extended. It can have no jobs.
type Claimed struct {
	Webhook webhook.Webhook
	Lease   Lease
	Jobs    []Job
}

// Job is a claimed delivery.
type Job struct {
	Webhook webhook.Webhook
	Event   audit.Event
	// Attempts is the number of attempts since the delivery was scheduled, and Numbered that of all, without this one.
	Attempts, Numbered int
	// Proven reports whether the last attempt of the webhook that ended succeeded.
	Proven bool
	Lease  Lease
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

// Queue is the storage of pending deliveries. It is safe for concurrent use by several servers. At most one server at a
// time has the lease of a webhook.
type Queue interface {
	// Claim returns due deliveries for the places, and takes or extends the leases of their webhooks. holds are the
	// leases that the caller has, by webhook. A delivery is due if its webhook is Enabled and leased by no other
	// server, its time has come, no delivery of the same webhook and subject with a smaller sequence is pending, the
	// caller does not hold it, and holds fewer deliveries of the webhook than its limit. The webhooks that wait longest
	// come first, and no webhook gets more places than another that also has due deliveries, and free places of its
	// account and kind. A caller makes one claim at a time.
	//
	// The limit is MaxInFlight, or one for a webhook that fails. If the last attempt of the webhook succeeded, it is
	// Places.Run: the caller attempts MaxInFlight of the deliveries at a time. Those beyond MaxInFlight take no place.
	Claim(ctx context.Context, p Places, holds map[uuid.UUID]Holding) ([]Claimed, error)
	// Recheck returns the job with its webhook and its lease in their present state, and whether its attempt may still
	// begin: its lease has the token, and the webhook still exists, is Enabled, selects the event and has the edition.
	// It extends a lease that ends soon. An attempt begins within Fresh after the claim or the check, or after another
	// check: a call that deletes, pauses, disables or moves a webhook returns later than that (webhook.Repository).
	Recheck(ctx context.Context, j Job) (Job, bool, error)
	// Release ends leases that the server does not need any more, unless it has claimed since.
	Release(ctx context.Context, leases []Lease) error
	// Finish records the outcomes of attempts whose leases no other server has taken since, each once, and releases
	// leases as Release does. It returns whether each outcome was recorded. The webhook of a recorded outcome that is
	// Gone becomes Disabled, with the event.
	Finish(ctx context.Context, done []Finished, release []Lease) ([]bool, error)
	// NextDue returns when the next delivery can be claimed, by the clock of this process, or zero if no Enabled
	// webhook has a pending one. Deliveries of a leased webhook count from the end of its lease on, whose ever it is.
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
