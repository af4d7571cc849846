package gormdb

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"latchkey/internal/audit"
	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver"
)

const (
	// passes is the maximum number of passes of one Claim, and firstLook and nextLook how many due deliveries of a
	// webhook the first one and the others look at beyond those that may be in flight.
	passes    = 4
	firstLook = 4
	nextLook  = 1000
	// postponed is for how long at least a delivery is postponed behind an earlier one of its subject.
	postponed = time.Minute
)

// claim is the state of a Claim: what the server holds, and what a pass is to read.
type claim struct {
	places deliver.Places
	// own are the tokens of the server's leases, held the events of the deliveries that it holds, and holds their
	// number by webhook.
	own, held []uuid.UUID
	holds     map[key]int
	// token is that of the leases that are taken.
	token uuid.UUID
	// hooks are the webhooks to claim, and look is how many due deliveries of each to read beyond those to claim.
	hooks []*dueWebhook
	look  int
}

func newClaim(p deliver.Places, holds map[uuid.UUID]deliver.Holding) *claim {
	c := &claim{places: p.Clone(), holds: map[key]int{}, token: uuid.New(), look: firstLook}
	for id, h := range holds {
		c.own, c.held = append(c.own, h.Token), append(c.held, h.Events...)
		c.holds[key(id)] = len(h.Events)
	}
	return c
}

// dueWebhook is a webhook with due deliveries.
type dueWebhook struct {
	id, account key
	failures    int64
	proven      bool
	// most is how many deliveries may be claimed, and found how many were read.
	most, found int
	// leased reports whether the server has the lease. Then claimed is what it claims, and behind are the events of due
	// deliveries behind others.
	leased  bool
	claimed deliver.Claimed
	behind  []uuid.UUID
}

// limit returns how many deliveries of the webhook a server may hold.
func (w *dueWebhook) limit(run int) int {
	switch {
	case w.failures >= deliver.ProbeAfter:
		return 1
	case w.proven:
		return max(run, deliver.MaxInFlight)
	default:
		return deliver.MaxInFlight
	}
}

// leasedWebhook is a webhook with its lease.
type leasedWebhook struct {
	token  key
	claims int64
	row    webhookRow
}

func (l *leasedWebhook) scan(scan scan) error {
	return scan(append([]any{&l.token, &l.claims}, webhookColumns.scanInto(&l.row)...)...)
}

// candidate is a due delivery.
type candidate struct {
	hook, event        key
	attempts, numbered int64
	nextAt             instant
	// behind reports whether an earlier one of its subject is pending.
	behind bool

	of *dueWebhook
	// place is its number among the deliveries of the webhook that the server holds, from 0 on.
	place int
}

func (c *candidate) scan(scan scan) error {
	return scan(&c.hook, &c.event, &c.attempts, &c.numbered, &c.nextAt, &c.behind)
}

// Claim claims due deliveries.
func (q queue) Claim(ctx context.Context, p deliver.Places,
	holds map[uuid.UUID]deliver.Holding) (all []deliver.Claimed, err error) {
	c := newClaim(p, holds)
	for n, more := 0, true; more && n < passes; n++ {
		more, err = q.pass(ctx, c)
		for _, w := range c.hooks {
			if w.leased {
				all = append(all, w.claimed)
			}
		}
		c.look = nextLook
	}
	if len(all) > 0 { // its leases hold, also if a later step failed
		return all, nil
	}
	return nil, failed(ctx, "claim deliveries", err)
}

// pass claims once, from c.hooks, which it chooses. It reports whether it came across deliveries behind others, so that
// another pass can find more.
func (q queue) pass(ctx context.Context, c *claim) (more bool, err error) {
	if c.hooks, err = q.due(ctx, c); err != nil || len(c.hooks) == 0 {
		return false, err
	}
	// The leases begin after this time in the database, too, so the clocks need not agree.
	begun := time.Now()
	leased, found, err := q.engine.claimDeliveries(ctx, *c)
	if err != nil {
		return false, err
	}
	of := make(map[key]*dueWebhook, len(c.hooks))
	for _, w := range c.hooks {
		of[w.id] = w
	}
	for _, l := range leased {
		w := of[key(l.row.ID)]
		w.leased, w.claimed = true, deliver.Claimed{Webhook: l.row.webhook(), Lease: deliver.Lease{WebhookID: l.row.ID,
			Token: uuid.UUID(l.token), Claims: l.claims, Edition: l.row.Edition, Until: begun.Add(deliver.LeaseTime),
			Checked: begun}}
	}
	for i := range found {
		found[i].of = of[found[i].hook]
	}
	if err := q.addJobs(ctx, c, c.choose(found)); err != nil {
		return false, err
	}
	for _, w := range c.hooks {
		if len(w.behind) == 0 {
			continue
		}
		if err := q.postpone(ctx, w); err != nil {
			return false, err
		}
		more = c.places.Most > 0
	}
	return more, nil
}

// due returns the webhooks to claim, those that wait longest first. There is a place for each of them.
func (q queue) due(ctx context.Context, c *claim) (hooks []*dueWebhook, err error) {
	to, room := q.engine.dialect(), c.places.Clone()
	err = q.engine.readQueue(ctx, dueWebhooks[to.name], []any{to.list(c.own), to.list(c.held)}, func(scan scan) error {
		var w dueWebhook
		err := scan(&w.id, &w.account, &w.failures, &w.proven)
		w.most = w.limit(c.places.Run) - c.holds[w.id]
		if w.most > 0 && room.Take(uuid.UUID(w.account), w.proven) {
			hooks = append(hooks, &w)
		}
		return err
	})
	// They share what is claimed ahead of the places, so that each is not read for all.
	for _, w := range hooks {
		w.most = min(w.most, deliver.MaxInFlight+deliver.MaxClaim/len(hooks))
	}
	return hooks, err
}

// choose returns the deliveries to claim, and notes those that are behind others. Each webhook gets its first place
// before any gets its second one, as far as its account and its kind have free places. Those ahead of the places are
// claimed if their account has free places.
func (c *claim) choose(found []candidate) (chosen []candidate) {
	for _, d := range found {
		switch w := d.of; {
		case !w.leased: // another server was faster
		case d.behind:
			w.behind = append(w.behind, uuid.UUID(d.event))
		case w.found < w.most:
			d.place = c.holds[w.id] + w.found
			w.found++
			chosen = append(chosen, d)
		}
	}
	slices.SortStableFunc(chosen, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.place, b.place), a.nextAt.Compare(b.nextAt.Time))
	})
	ahead := deliver.MaxClaim
	return slices.DeleteFunc(chosen, func(d candidate) bool {
		account := uuid.UUID(d.of.account)
		if d.place < deliver.MaxInFlight {
			return !c.places.Take(account, d.of.proven)
		}
		ahead--
		return ahead < 0 || c.places.Held[account] >= c.places.PerAccount
	})
}

// addJobs claims the chosen deliveries. Those that their webhooks do not select, and those of deleted events, end.
func (q queue) addJobs(ctx context.Context, c *claim, chosen []candidate) error {
	events, err := q.eventsOf(ctx, chosen)
	if err != nil {
		return err
	}
	unselected := map[uuid.UUID]webhook.Webhook{}
	for _, d := range chosen {
		to := &d.of.claimed
		event, exists := events[d.event]
		if !exists || !to.Webhook.Selects(event.Action) {
			unselected[to.Webhook.ID] = to.Webhook
			continue
		}
		to.Jobs = append(to.Jobs, deliver.Job{Webhook: to.Webhook, Event: event, Attempts: int(d.attempts),
			Numbered: int(d.numbered), Proven: d.of.proven, Lease: to.Lease})
	}
	for _, w := range c.hooks {
		for _, j := range w.claimed.Jobs {
			c.held = append(c.held, j.Event.ID)
		}
		if w.leased {
			c.own = append(c.own, w.claimed.Lease.Token)
			c.holds[w.id] += len(w.claimed.Jobs)
		}
	}
	for _, hook := range unselected {
		if err := q.endUnselected(ctx, hook); err != nil {
			return err
		}
	}
	return nil
}

// endUnselected ends the pending deliveries that a webhook does not select, unless it was deleted or is locked. Its
// turn is not the account's, whose other writes it would wait for on SQLite.
func (q queue) endUnselected(ctx context.Context, of webhook.Webhook) error {
	return q.write(ctx, queueing, held{}, func(tx *gorm.DB) error {
		var rows []webhookRow
		free := tx.Clauses(unlocked).Where("account_id = ? AND id = ?", of.AccountID, of.ID)
		if err := free.Find(&rows).Error; err != nil || len(rows) == 0 {
			return err
		}
		return endUnselected(tx, rows[0].webhook())
	})
}

// claimedEvent is what a claim reads of an event, audit_events AS e. Its details are not sent.
type claimedEvent struct {
	Event eventRow `gorm:"embedded;embeddedPrefix:event_" sql:"e"`
}

var claimedColumns = columnsOf[claimedEvent](map[string]string{"event_details": "('[]')"})

// eventsOf returns the events of deliveries by their IDs. Each one is read once.
func (q queue) eventsOf(ctx context.Context, of []candidate) (map[key]audit.Event, error) {
	events, keys := make(map[key]audit.Event, len(of)), make([]string, 0, len(of))
	for _, d := range of {
		if _, known := events[d.event]; !known {
			events[d.event] = audit.Event{}
			keys = append(keys, uuid.UUID(d.of.account).String()+uuid.UUID(d.event).String())
		}
	}
	if len(keys) == 0 {
		return nil, nil //nolint:nilnil // the events of no delivery
	}
	clear(events)
	list, err := json.Marshal(keys)
	if err != nil {
		return nil, err
	}
	err = q.engine.readQueue(ctx, eventsByKey[q.engine.dialect().name], []any{string(list)}, func(scan scan) error {
		var row claimedEvent
		if err := scan(claimedColumns.scanInto(&row)...); err != nil {
			return err
		}
		event, err := row.Event.event()
		events[key(event.ID)] = event
		return err
	})
	return events, err
}

// unlocked locks rows, without those that other transactions have locked.
var unlocked = clause.Locking{Strength: "NO KEY UPDATE", Options: "SKIP LOCKED"}

// postpone postpones due deliveries behind others of their subject, unless those have ended meanwhile. It leaves out
// what is locked. It locks the lease, so that Finish does not end a delivery before them meanwhile, but not the
// webhook, which replays can keep locked nearly all the time.
func (q queue) postpone(ctx context.Context, w *dueWebhook) error {
	to, hook := q.engine.dialect(), w.claimed.Webhook
	first := firstBefore("b.next_at", "deliveries")
	later := to.after(postponed)
	return q.write(ctx, queueing, held{}, func(tx *gorm.DB) error {
		free, err := tryOrder(tx, hook)
		if err != nil || !free {
			return err
		}
		var leases, behind []uuid.UUID
		lease := tx.Table("webhook_leases").Clauses(unlocked).Where("webhook_id = ? AND token = ?", hook.ID,
			w.claimed.Lease.Token)
		if err := lease.Pluck("webhook_id", &leases).Error; err != nil || len(leases) == 0 {
			return err
		}
		const these = "account_id = ? AND webhook_id = ? AND event_id IN ? AND state = 'PENDING'"
		due := tx.Model(&deliveryRow{}).Clauses(unlocked).Where(these, hook.AccountID, hook.ID, w.behind)
		if err := due.Pluck("event_id", &behind).Error; err != nil || len(behind) == 0 {
			return err
		}
		return tx.Exec(`UPDATE deliveries SET next_at = CASE WHEN `+first+` > `+later+` THEN `+first+` ELSE `+later+` END
			WHERE `+these+` AND `+first+` IS NOT NULL`, hook.AccountID, hook.ID, behind).Error
	})
}
