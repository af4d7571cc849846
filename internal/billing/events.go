package billing

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
)

// author is who caused events.
type author struct {
	actor audit.Actor
	// accountID is the author's account, and accountName its name, which logs of other accounts have in place of the
	// actor's. A zero accountID means that every log names the actor.
	accountID     uuid.UUID
	accountName   string
	ip, requestID string
	// at is the time of the events.
	at time.Time
}

// event returns an event of the log of an account.
func (a author) event(log uuid.UUID, action audit.Action, target audit.Target, data json.RawMessage,
	details []audit.Detail) audit.Event {
	e := audit.Event{ID: uuid.Must(uuid.NewV7()), AccountID: log, At: a.at, Actor: a.actor, Action: action,
		Target: target, IP: a.ip, RequestID: a.requestID, Version: 1, Details: details, Data: data}
	if a.accountID != uuid.Nil && a.accountID != log {
		e.Actor.ID, e.Actor.Name, e.IP, e.RequestID = uuid.Nil, a.accountName, "", ""
	}
	return e
}

// both returns the event of the logs of the partner and of the merchant: one if they are the same account.
func (a author) both(partnerID, merchantID uuid.UUID, action audit.Action, target audit.Target, data json.RawMessage,
	details []audit.Detail) []audit.Event {
	events := []audit.Event{a.event(partnerID, action, target, data, details)}
	if merchantID != partnerID {
		events = append(events, a.event(merchantID, action, target, data, details))
	}
	return events
}

func (a author) checkout(action audit.Action, c Checkout) []audit.Event {
	return a.both(c.PartnerID, c.MerchantID, action, c.target(), c.Data(), nil)
}

func (a author) subscription(action audit.Action, s Subscription, now time.Time,
	details ...audit.Detail) []audit.Event {
	return a.both(s.PartnerID, s.MerchantID, action, s.target(), s.Data(now), details)
}

// charge returns the event of a charge: in the log of the partner or, for what is carried, of the merchant.
func (a author) charge(action audit.Action, c Charge, details ...audit.Detail) audit.Event {
	log := c.PartnerID
	if c.Kind == Carried {
		log = c.MerchantID
	}
	return a.event(log, action, c.target(), c.Data(), details)
}

func (a author) invoice(i Invoice) audit.Event {
	return a.event(i.MerchantID, audit.InvoiceIssued, i.target(), i.Data(), nil)
}

// complete gives the charges of a step what they lack to be stored.
func complete(charges []Charge, now time.Time) []Charge {
	for i := range charges {
		charges[i].ID, charges[i].CreatedAt, charges[i].Status = uuid.Must(uuid.NewV7()), now, ChargePending
	}
	return charges
}

// add adds a step to the changes: its charges, with an event each, and the subscription if it changed. What fell due
// before the step, and an end that came with time, are the service's.
func (c *Changes) add(step Step, by, service author, action audit.Action, now time.Time, before Subscription) {
	c.Subscriptions = append(c.Subscriptions, step.Subscription)
	c.Charges = append(c.Charges, complete(step.Charges(), now)...)
	overdue := map[string]bool{}
	for _, charge := range step.Overdue {
		overdue[charge.SourceKey] = true
	}
	earlier := c.ChargeEvent
	c.ChargeEvent = func(charge Charge) audit.Event {
		switch {
		case overdue[charge.SourceKey]:
			return service.charge(audit.ChargeCreated, charge)
		case earlier != nil && charge.SubscriptionID != step.Subscription.ID:
			return earlier(charge)
		}
		return by.charge(audit.ChargeCreated, charge)
	}
	if step.Changed {
		c.Events = append(c.Events, by.subscription(action, step.Subscription, now)...)
	}
	if before.EndedAt.IsZero() && !step.Subscription.EndedAt.IsZero() {
		c.Events = append(c.Events, service.subscription(audit.SubscriptionEnded, step.Subscription, now)...)
	}
}
