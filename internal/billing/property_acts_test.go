package billing_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"latchkey/internal/audit"
	"latchkey/internal/billing"
	"latchkey/internal/fault"
)

// judge fails the test unless a request was accepted as the oracle says, or was refused by a rule.
func (p *play) judge(what string, err error, accepts bool) {
	p.Helper()
	if accepts != (err == nil) {
		p.Fatalf("%s at %s: got the error %v; the oracle accepts it: %t", what, p.now.Format(time.RFC3339Nano), err,
			accepts)
	}
	switch fault.KindOf(err) {
	case fault.Invalid, fault.NotFound, fault.Conflict, fault.LimitReached:
	default:
		p.ok(what, err)
	}
}

// request returns the request of an item.
func (i askedItem) request(p *play, c *asked, n int) billing.ItemRequest {
	r := billing.ItemRequest{Description: fmt.Sprintf("Item %d", n), RedirectURL: "https://app.example/done",
		Plan: i.plan, Level: ptr(fmt.Sprintf("Level %d", n))}
	if i.changes != nil {
		r.SubscriptionID = &i.changes.id
		return r
	}
	apps, stores := p.partners[c.partner].Apps, p.merchants[c.merchant].Stores
	r.AppID, r.Store = &apps[n%len(apps)].ID, &billing.StoreRef{Hash: stores[n%len(stores)].Hash}
	return r
}

// drawItem draws an item, often one that changes one of the subscriptions.
func (p *play) drawItem(changeable []*running) askedItem {
	i := askedItem{cents: p.cents(0, "price"), plan: billing.PlanRequest{Interval: rapid.SampledFrom([]billing.Interval{
		billing.Month, billing.Month, billing.Month, billing.Quarter, billing.Semiannual,
		billing.Annual}).Draw(p.T, "interval")}}
	i.plan.Price = amount(i.cents)
	if len(changeable) > 0 && p.pick(4, "new") > 0 {
		i.changes = changeable[p.pick(len(changeable), "subscription")]
	} else {
		if p.pick(8, "once") == 0 {
			i.plan.Interval = billing.Once
		}
		i.plan.TrialDays = rapid.SampledFrom([]int{0, 0, 0, 1, 14, 40}).Draw(p.T, "trial days")
	}
	if i.plan.Interval != billing.Once && p.draws("capped") {
		i.limit = ptr(p.cents(0, "cap"))
		i.plan.Cap = ptr(amount(*i.limit))
	}
	return i
}

// offer creates a checkout of several items, its changes often after a preview, and often answers it.
func (p *play) offer() {
	c := &asked{partner: p.pick(2, "partner"), merchant: p.pick(2, "merchant")}
	var changeable []*running
	for _, s := range p.subscriptions {
		if s.partner == c.partner && s.merchant == c.merchant {
			changeable = append(changeable, s)
		}
	}
	changing := false
	for range rapid.IntRange(1, 3).Draw(p.T, "items") {
		i := p.drawItem(changeable)
		changeable = slices.DeleteFunc(changeable, func(s *running) bool { return s == i.changes })
		c.items = append(c.items, i)
		changing = changing || i.changes != nil
	}
	if changing && p.draws("previewed") {
		p.preview(c)
		p.wait(time.Duration(rapid.IntRange(0, 3_599).Draw(p.T, "age in seconds")) * time.Second)
	}
	accepts := true
	req := billing.CheckoutRequest{MerchantID: p.merchants[c.merchant].Account.ID, AsOf: c.asOf}
	for n, i := range c.items {
		req.Items = append(req.Items, i.request(p, c, n))
		accepts = accepts && (i.changes == nil || i.changes.oracle.Changes(i.plan.Interval, c.asOf, p.now))
	}
	by := robot(p.partners[c.partner])
	if p.draws("dry run first") {
		dry := req
		dry.DryRun = true
		_, _, err := p.service().CreateCheckout(p.ctx, by, dry)
		p.judge("a dry run of a checkout", err, accepts)
	}
	made, _, err := p.service().CreateCheckout(p.ctx, by, req)
	p.judge("create a checkout", err, accepts)
	if !accepts {
		return
	}
	c.id, c.at = made.ID, p.now
	for n := range c.items {
		c.items[n].costs = c.costs(c.items[n], p.now)
	}
	p.checkouts = append(p.checkouts, c)
	p.expect(audit.CheckoutCreated, c.id, c.partner, c.merchant)
	if p.pick(4, "answered later") > 0 {
		p.answer(c)
	}
}

// costs returns what the oracle says that an item costs at the time of the preview, if the checkout has one.
func (c *asked) costs(i askedItem, now time.Time) []string {
	if i.changes == nil || c.asOf.IsZero() {
		return nil
	}
	return i.changes.oracle.Costs(i.plan.Interval, i.cents, c.asOf, now)
}

// preview previews the changes of a checkout, which will count at that moment.
func (p *play) preview(c *asked) {
	for n := range c.items {
		i := &c.items[n]
		if i.changes == nil {
			continue
		}
		shown, err := p.service().PreviewChange(p.ctx, robot(p.partners[c.partner]), billing.PreviewRequest{
			SubscriptionID: i.changes.id, Plan: i.plan, Level: ptr(fmt.Sprintf("Level %d", n))})
		p.judge("preview a change", err, i.changes.oracle.Changes(i.plan.Interval, p.now, p.now))
		if err != nil {
			continue
		}
		c.asOf, i.terms, i.preview = shown.At, i.changes.terms, billing.Lines(shown.Charges)
		if !p.billed.Equal(p.now) {
			continue
		}
		// Everything before this month is on an invoice.
		total := int64(0)
		for _, charge := range shown.Charges {
			total += charge.Amount.Minor
		}
		for _, charge := range p.charges() {
			if charge.MerchantID == p.merchants[c.merchant].Account.ID && charge.Status == billing.ChargePending {
				total += charge.Amount.Minor
			}
		}
		if shown.InvoiceTotal.Minor != total {
			p.Fatalf("the invoice's total of a preview: got %d, want %d", shown.InvoiceTotal.Minor, total)
		}
	}
}

// answerOne approves or declines any checkout, also one that was answered or has expired.
func (p *play) answerOne() {
	if len(p.checkouts) > 0 {
		p.answer(p.checkouts[p.pick(len(p.checkouts), "checkout")])
	}
}

// answer approves or declines a checkout. An approval that is cut off happens as a whole or not at all.
func (p *play) answer(c *asked) {
	by := p.merchantOwner(c.merchant)
	accepts := !c.answered && p.now.Before(c.at.Add(billing.CheckoutLifetime))
	if p.pick(6, "declined") == 0 {
		_, err := p.service().DeclineCheckout(p.ctx, by, c.id)
		p.judge("decline a checkout", err, accepts)
		if accepts {
			c.answered = true
			p.expect(audit.CheckoutDeclined, c.id, c.partner, c.merchant)
		}
		return
	}
	for _, i := range c.items {
		accepts = accepts && (i.changes == nil || i.changes.oracle.Changes(i.plan.Interval, c.asOf, p.now) &&
			slices.Equal(i.costs, c.costs(i, p.now)))
	}
	var err error
	p.beside(func() {
		ctx, cancel := context.WithCancel(p.ctx)
		defer cancel()
		cutOff := p.pick(6, "cut off") == 0
		if cutOff {
			time.AfterFunc(time.Duration(rapid.IntRange(0, 6_000).Draw(p.T, "microseconds"))*time.Microsecond, cancel)
		}
		_, err = p.service().ApproveCheckout(ctx, by, c.id)
		if !cutOff || err == nil {
			return
		}
		// The rules may refuse it, or it was cut off before or after it was committed.
		if state := p.stateOf(c); accepts && state == billing.Approved {
			err = nil
		} else if ctx.Err() != nil {
			accepts, err = false, fault.Errorf(fault.Conflict, "It was cut off.")
		}
	})
	p.judge("approve a checkout", err, accepts)
	if accepts {
		p.approved(c)
	}
}

// stateOf returns the state of a checkout once no write holds it. PostgreSQL can commit a write after its client left.
func (p *play) stateOf(c *asked) (state billing.CheckoutState) {
	merchant := p.merchants[c.merchant].Account.ID
	err := p.repo.ChangeCheckout(p.ctx, p.merchantOwner(c.merchant).Actor(), merchant, c.id, func(_ time.Time,
		stored billing.Checkout, _ map[uuid.UUID]billing.Subscription,
		_ map[uuid.UUID]uuid.UUID) (billing.Changes, error) {
		state = stored.State
		return billing.Changes{}, billing.ErrDryRun
	})
	if !errors.Is(err, billing.ErrDryRun) {
		p.ok("lock a checkout", err)
	}
	return state
}

// approved records that a checkout was approved, and compares what its changes cost with the preview.
func (p *play) approved(c *asked) {
	c.answered = true
	p.expect(audit.CheckoutApproved, c.id, c.partner, c.merchant)
	stored, err := p.service().Checkout(p.ctx, p.merchantOwner(c.merchant), c.id)
	p.ok("read a checkout", err)
	for n, i := range c.items {
		if i.changes == nil {
			s := &running{id: stored.Items[n].SubscriptionID, partner: c.partner, merchant: c.merchant, terms: 1,
				limit: i.limit, sums: map[int64]int64{}}
			s.oracle.Approve(i.plan.Interval, i.cents, i.plan.TrialDays, p.now)
			p.subscriptions = append(p.subscriptions, s)
			p.expect(audit.SubscriptionCreated, s.id, c.partner, c.merchant)
			continue
		}
		s := i.changes
		s.oracle.Change(i.plan.Interval, i.cents, c.asOf, p.now)
		s.terms++
		if i.limit != nil {
			s.limit = i.limit
		}
		p.expect(audit.SubscriptionUpdated, s.id, c.partner, c.merchant)
		// Another change of the same second is not in the preview.
		if i.preview == nil || i.terms != s.terms-1 {
			continue
		}
		var posted []billing.Charge
		for _, charge := range p.statement(s.id).Charges {
			isPeriod := charge.SourceKey == billing.RecurringKey(s.id, s.terms-1, 0)
			if isPeriod || charge.SourceKey == billing.CreditKey(s.id, s.terms-1) ||
				charge.SourceKey == billing.DebitKey(s.id, s.terms-1) {
				posted = append(posted, charge)
			}
		}
		if got := billing.Lines(posted); !slices.Equal(got, i.preview) {
			p.Fatalf("a change that counts at %s: shown %v, posted %v", c.asOf, i.preview, got)
		}
	}
}

// one returns a random subscription.
func (p *play) one() *running {
	if len(p.subscriptions) == 0 {
		p.offer()
	}
	if len(p.subscriptions) == 0 {
		return nil
	}
	return p.subscriptions[p.pick(len(p.subscriptions), "subscription")]
}

func (p *play) cancel() {
	s := p.one()
	if s == nil {
		return
	}
	req := billing.Cancellation{ID: s.id, Immediately: p.pick(3, "immediately") == 0}
	by := p.merchantOwner(s.merchant)
	if p.draws("by the partner") {
		by = robot(p.partners[s.partner])
	}
	if p.draws("dry run first") {
		dry := req
		dry.DryRun = true
		_, err := p.service().CancelSubscription(p.ctx, by, dry)
		p.ok("a dry run of a cancellation", err)
	}
	p.beside(func() {
		_, err := p.service().CancelSubscription(p.ctx, by, req)
		p.ok("cancel", err)
	})
	life := s.oracle.Life()
	if !life.Ended && (!life.Cancelling || req.Immediately) {
		p.expect(audit.SubscriptionCancelled, s.id, s.partner, s.merchant)
	}
	s.oracle.Cancel(req.Immediately, p.now)
}

func (p *play) suspend() {
	if s := p.one(); s != nil {
		life := s.oracle.Life()
		p.beside(func() {
			_, err := p.service().SuspendSubscription(p.ctx, p.merchantOwner(s.merchant), s.id)
			p.judge("suspend", err, !life.Ended)
		})
		if !life.Ended && !life.Suspended {
			p.expect(audit.SubscriptionSuspended, s.id, s.partner, s.merchant)
		}
		s.oracle.Suspend(p.now)
	}
}

func (p *play) resume() {
	if s := p.one(); s != nil {
		life := s.oracle.Life()
		p.beside(func() {
			_, err := p.service().ResumeSubscription(p.ctx, p.merchantOwner(s.merchant), s.id)
			p.judge("resume", err, !life.Ended)
		})
		if life.Suspended && !life.Ended {
			p.expect(audit.SubscriptionResumed, s.id, s.partner, s.merchant)
		}
		s.oracle.Resume(p.now)
	}
}

// useOften charges one subscription for usage for a while, sometimes across the end of a month.
func (p *play) useOften() {
	s := p.one()
	for range rapid.IntRange(1, 4).Draw(p.T, "usage charges") {
		if s != nil {
			p.useOf(s)
			p.wait(time.Duration(rapid.SampledFrom([]int{0, 0, 1, 9}).Draw(p.T, "days")) * 24 * time.Hour)
		}
	}
}

func (p *play) use() {
	if s := p.one(); s != nil {
		p.useOf(s)
	}
}

// useOf charges for usage within the cap, or beyond it.
func (p *play) useOf(s *running) {
	life := s.oracle.Life()
	u := &used{of: s, start: life.Start.Unix(), cents: p.cents(1, "usage"), at: p.now}
	left := int64(-1)
	if s.limit != nil && life.Began && !life.Ended && !life.Suspended && life.Interval != billing.Once {
		left = *s.limit - s.sums[u.start]
		u.cents = max(1, min(u.cents, left+int64(p.pick(3, "above what is left"))))
	}
	p.keys++
	u.key = fmt.Sprint(p.keys)
	var err error
	p.beside(func() {
		var made billing.Charge
		made, err = p.charge(u)
		u.id = made.ID
	})
	p.judge(fmt.Sprintf("charge %d of %d for usage", u.cents, left), err, u.cents <= left)
	if err == nil {
		s.sums[u.start] += u.cents
		p.usage = append(p.usage, u)
	} else if left >= 0 && fault.KindOf(err) != fault.LimitReached {
		p.Fatalf("usage above the cap: %v", err)
	}
}

func (p *play) charge(u *used) (billing.Charge, error) {
	made, _, err := p.service().CreateCharge(p.ctx, robot(p.partners[u.of.partner]), billing.ChargeRequest{
		SubscriptionID: u.of.id, Description: "Usage " + u.key, Amount: amount(u.cents), Key: u.key})
	return made, err
}

func (p *play) oneUsage() *used {
	if len(p.usage) == 0 {
		p.use()
	}
	if len(p.usage) == 0 {
		return nil
	}
	return p.usage[p.pick(len(p.usage), "usage")]
}

// useAgain repeats a request for usage, whose answer is kept for 30 days.
func (p *play) useAgain() {
	if u := p.oneUsage(); u != nil {
		made, err := p.charge(u)
		p.judge("repeat a charge", err, p.now.Sub(u.at) < 30*24*time.Hour)
		if err == nil && made.ID != u.id {
			p.Fatalf("a repeated charge: got %s, want %s", made.ID, u.id)
		}
	}
}

func (p *play) delete() {
	u := p.oneUsage()
	if u == nil {
		return
	}
	by := robot(p.partners[u.of.partner])
	found, err := p.service().ChargesByID(p.ctx, by, []uuid.UUID{u.id})
	p.ok("read a charge", err)
	_, err = p.service().DeleteCharge(p.ctx, by, billing.Deletion{ID: u.id})
	p.judge("delete a charge", err, found[u.id].Status == billing.ChargePending)
	if err == nil {
		u.deleted = true
		u.of.sums[u.start] -= u.cents
	}
}

// credit credits a charge, with what is left of it or more.
func (p *play) credit() {
	s := p.one()
	if s == nil {
		return
	}
	charges := p.statement(s.id).Charges
	if len(charges) == 0 {
		return
	}
	c := charges[p.pick(len(charges), "charge")]
	left := int64(-1)
	if c.Status == billing.ChargeInvoiced && c.Amount.Minor >= 0 {
		left = c.Amount.Minor
		for _, each := range charges {
			if each.CreditOf == c.ID || takesBack(each, c) {
				left += each.Amount.Minor
			}
		}
	}
	cents := max(1, min(p.cents(1, "credit"), left+int64(p.pick(3, "above what is left"))))
	p.keys++
	p.beside(func() {
		_, _, err := p.service().CreditCharge(p.ctx, robot(p.partners[s.partner]), billing.CreditRequest{
			ChargeID: c.ID, Amount: amount(cents), Reason: "Too much", Key: fmt.Sprint(p.keys)})
		// A run beside it may have invoiced the charge meanwhile.
		if c.Status != billing.ChargePending {
			p.judge(fmt.Sprintf("credit %d of %d", cents, left), err, cents <= left)
		}
		if err == nil {
			s.oracle.Credit(c.Term, c.Period.Start, cents)
		}
	})
}

// takesBack reports whether a credit of a change or an end takes back a charge for the rest of a period.
func takesBack(credit, c billing.Charge) bool {
	if c.Kind != billing.Recurring && c.Kind != billing.Proration || !credit.Period.End.Equal(c.Period.End) {
		return false
	}
	return credit.SourceKey == billing.CreditKey(c.SubscriptionID, c.Term+1) ||
		credit.SourceKey == billing.EndKey(c.SubscriptionID) && credit.Term == c.Term
}
