package panel

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/billing"
	"latchkey/internal/fault"
	"latchkey/internal/user"
)

// subscriptionHandler serves the subscriptions of a merchant: what apps charge the account's stores for.
type subscriptionHandler struct {
	billing *billing.Service
	users   *user.Service
}

func (h *subscriptionHandler) routes() []route {
	const one = accountPattern + subscriptionsPath + "/{subscription}"
	return []route{
		get(accountPattern+subscriptionsPath, member, h.list),
		get(one, member, h.page),
		get(one+"/cancel", member, h.confirmCancel),
		post(one+"/cancel", member, h.cancel),
		post(one+"/suspend", member, h.suspend),
		post(one+"/resume", member, h.resume),
	}
}

// linesPerPage is how many rows lists of billing show.
const linesPerPage = 25

// shownSubscription is a subscription as pages show it.
type shownSubscription struct {
	billing.Subscription
	billing.Names

	Address string
	// State is a part of message keys, and Badge its look.
	State, Badge string
	Current      shownTerm
	// NextAt is when the next recurring charge falls due, zero if none does.
	NextAt time.Time
	// LastFreeDay is the last day of the trial, if there is one.
	LastFreeDay time.Time
	// Ending reports whether the subscription is cancelled and runs to the end of its period.
	Ending bool
	// MayAct reports whether the visitor owns the store.
	MayAct bool
}

var subscriptionLooks = map[billing.Status]string{
	billing.Active: "good", billing.Suspended: "warn", billing.Cancelled: "bad",
}

// describe returns the subscriptions among those found of which the session's account is the merchant.
func (h *subscriptionHandler) describe(q *request, found []billing.Subscription) ([]shownSubscription, error) {
	return describeSubscriptions(q, h.billing, slices.DeleteFunc(found,
		func(s billing.Subscription) bool { return s.MerchantID != q.by.AccountID }))
}

// describeSubscriptions returns subscriptions as pages show them.
func describeSubscriptions(q *request, service *billing.Service,
	found []billing.Subscription) ([]shownSubscription, error) {
	now, err := service.Now(q.r.Context())
	if err != nil {
		return nil, err
	}
	names, err := namesOf(q, service, slices.Values(found))
	if err != nil {
		return nil, err
	}
	var all []shownSubscription
	for _, s := range found {
		status := s.Status(now)
		shown := shownSubscription{Subscription: s, Names: names[s.Subject()], State: strings.ToLower(string(status)),
			Address: q.address(subscriptionsPath + "/" + s.ID.String()), Badge: subscriptionLooks[status],
			Current: describeTerm(q, s.Term())}
		if next := billing.NextDue(s, now); status == billing.Active && !next.Equal(s.CancelAt) {
			shown.NextAt = next
		}
		shown.Ending = status != billing.Cancelled && !s.CancelAt.IsZero()
		if !s.TrialEndsAt.IsZero() {
			shown.LastFreeDay = s.TrialEndsAt.Add(-time.Second)
		}
		shown.MayAct = shown.StoreOwner == q.by.ID && status != billing.Cancelled
		all = append(all, shown)
	}
	return all, nil
}

// subscriptionListPage is the data of the list.
type subscriptionListPage struct {
	// Waiting are the checkouts that wait for the visitor's approval.
	Waiting []waitingCheckout
	Rows    []shownSubscription
	Pages   pageLinks
	// Count is the number of all subscriptions.
	Count int
	// Totals are the sums of the prices that will be charged again, such as "$29.00 every month", one for each
	// interval. They are empty if the list has several pages, or fewer than two such subscriptions.
	Totals []string
}

// totals returns the sums of the prices of the subscriptions that will be charged again, for each interval.
func totals(q *request, all []shownSubscription) []string {
	n, sums := 0, map[billing.Interval]billing.Money{}
	for _, s := range all {
		if !s.NextAt.IsZero() {
			n++
			sums[s.Current.Interval] = s.Current.Price.Plus(sums[s.Current.Interval].Minor)
		}
	}
	var texts []string
	for _, i := range []billing.Interval{billing.Month, billing.Quarter, billing.Semiannual, billing.Annual} {
		if sum, some := sums[i]; some && n > 1 {
			texts = append(texts, sum.String()+" "+every(q, i))
		}
	}
	return texts
}

// waitingCheckout is a checkout that waits for the visitor's approval.
type waitingCheckout struct {
	Path  string
	Items []waitingItem
}

// waitingItem is what an item of a waiting checkout asks for.
type waitingItem struct {
	App, Level, Store, Price, Every string
	// Changes reports whether it changes a subscription.
	Changes bool
}

// waiting returns the checkouts that wait for the visitor's approval.
func (h *subscriptionHandler) waiting(q *request) ([]waitingCheckout, error) {
	found, err := h.billing.PendingApprovals(q.r.Context(), q.by)
	if err != nil {
		return nil, err
	}
	var subjects []billing.Subject
	for _, c := range found {
		for i := range c.Items {
			subjects = append(subjects, c.Subject(i))
		}
	}
	names, err := h.billing.Names(q.r.Context(), q.by, subjects)
	if err != nil {
		return nil, err
	}
	var all []waitingCheckout
	for _, c := range found {
		one := waitingCheckout{Path: c.Path()}
		for i, item := range c.Items {
			name := names[c.Subject(i)]
			one.Items = append(one.Items, waitingItem{name.App, item.Level, name.Store, item.Price.String(),
				every(q, item.Interval), item.Changes})
		}
		all = append(all, one)
	}
	return all, nil
}

func (h *subscriptionHandler) list(q *request) error {
	filter := billing.SubscriptionFilter{As: billing.Side{Merchant: true}}
	found, err := h.billing.Subscriptions(q.r.Context(), q.by, filter, q.pageRequest(linesPerPage))
	if err != nil {
		return err
	}
	count, err := h.billing.CountSubscriptions(q.r.Context(), q.by, filter)
	if err != nil {
		return err
	}
	shown := subscriptionListPage{Pages: pageLinksOf(q, found), Count: int(count)}
	if shown.Waiting, err = h.waiting(q); err != nil {
		return err
	}
	var all []billing.Subscription
	for _, item := range found.Items {
		all = append(all, item.Node)
	}
	if shown.Rows, err = h.describe(q, all); err != nil {
		return err
	}
	if shown.Pages == (pageLinks{}) {
		shown.Totals = totals(q, shown.Rows)
	}
	return subscriptionsTemplate.show(q, http.StatusOK, shown)
}

// find returns the subscription that the address names.
func (h *subscriptionHandler) find(q *request) (shownSubscription, error) {
	id, err := uuid.Parse(q.r.PathValue("subscription"))
	if err != nil {
		return shownSubscription{}, errNoPage()
	}
	found, err := h.billing.SubscriptionsByID(q.r.Context(), q.by, []uuid.UUID{id})
	if err != nil {
		return shownSubscription{}, err
	}
	one, there := found[id]
	if !there {
		return shownSubscription{}, billing.ErrNoSubscription()
	}
	shown, err := h.describe(q, []billing.Subscription{one})
	if err == nil && len(shown) == 0 {
		err = billing.ErrNoSubscription()
	}
	if err != nil {
		return shownSubscription{}, err
	}
	return shown[0], nil
}

// subscriptionPage is the data of a subscription's page.
type subscriptionPage struct {
	List string
	One  shownSubscription
	// Terms are what was agreed, newest first.
	Terms   []shownTerm
	Charges []shownCharge
	Pages   pageLinks
	// Pending is the sum of the Open charges that are not invoiced yet.
	Pending billing.Money
	Open    int
	// Span is the current period, and Used the usage in it, with Share in percent of the cap.
	Span  string
	Used  billing.Money
	Share int64
	// Owner can act, if the visitor cannot; it is nil if the visitor can or no user can any more.
	Owner *contact
}

func (h *subscriptionHandler) page(q *request) error {
	one, err := h.find(q)
	if err != nil {
		return err
	}
	found, err := h.billing.Charges(q.r.Context(), q.by, billing.ChargeFilter{SubscriptionID: &one.ID},
		q.pageRequest(linesPerPage))
	if err != nil {
		return err
	}
	shown := subscriptionPage{List: q.address(subscriptionsPath), One: one, Pages: pageLinksOf(q, found)}
	pending, n, err := h.billing.SumCharges(q.r.Context(), q.by,
		billing.ChargeFilter{SubscriptionID: &one.ID, Status: billing.ChargePending})
	if err != nil {
		return err
	}
	shown.Pending, shown.Open = pending, int(n)
	if err := h.addUsage(q, &shown); err != nil {
		return err
	}
	if !one.MayAct && one.State != "cancelled" {
		owners, err := contactsAmong(q, h.users, []uuid.UUID{one.StoreOwner})
		if err != nil {
			return err
		}
		if len(owners) > 0 {
			shown.Owner = &owners[0]
		}
	}
	for i := len(one.Terms) - 1; i >= 0; i-- {
		shown.Terms = append(shown.Terms, describeTerm(q, one.Terms[i]))
	}
	for _, item := range found.Items {
		charge := describeCharge(q, item.Node)
		if charge.Span == shown.Span {
			charge.Span = "" // the heading has it
		}
		shown.Charges = append(shown.Charges, charge)
	}
	return subscriptionTemplate.show(q, http.StatusOK, shown)
}

// addUsage adds the current period and its usage.
func (h *subscriptionHandler) addUsage(q *request, p *subscriptionPage) error {
	period, used, err := h.billing.CurrentUsage(q.r.Context(), q.by, p.One.Subscription)
	if err != nil {
		return err
	}
	p.Span, p.Used = spanText(q, period), used
	if limit := p.One.Current.Cap; limit != nil && limit.Minor > 0 {
		p.Share = min(100*used.Minor/limit.Minor, 100)
	}
	return nil
}

// subscriptionCancelPage is the data of the page that confirms a cancellation.
type subscriptionCancelPage struct {
	List string
	One  shownSubscription
	// LastDay is the subscription's last day if it is not cancelled immediately. AtOnce reports whether it ends now in
	// either case, and Cancelled whether that is chosen already.
	LastDay           time.Time
	AtOnce, Cancelled bool
	// Credit is what an immediate end credits, and Usage the usage that is not invoiced yet. Both are positive or 0.
	Credit, Usage billing.Money
}

func (h *subscriptionHandler) confirmCancel(q *request) error {
	one, err := h.find(q)
	if err != nil {
		return err
	}
	if !one.MayAct {
		return fault.Errorf(fault.Forbidden, "%s", q.text("subscriptions.owner_only"))
	}
	now, err := h.billing.Now(q.r.Context())
	if err != nil {
		return err
	}
	later := billing.Cancel(one.Subscription, false, now).Subscription
	shown := subscriptionCancelPage{List: q.address(subscriptionsPath), One: one, Cancelled: !one.CancelAt.IsZero(),
		LastDay: later.CancelledAt, AtOnce: !later.CancelAt.After(now),
		Credit: billing.Money{Currency: billing.Currency}}
	for _, c := range billing.Cancel(one.Subscription, true, now).Added {
		shown.Credit = shown.Credit.Plus(-c.Amount.Minor)
	}
	shown.Usage, _, err = h.billing.SumCharges(q.r.Context(), q.by, billing.ChargeFilter{SubscriptionID: &one.ID,
		Status: billing.ChargePending, Kind: billing.Usage})
	if err != nil {
		return err
	}
	return subscriptionCancelTemplate.show(q, http.StatusOK, shown)
}

func (h *subscriptionHandler) cancel(q *request) error {
	one, err := h.find(q)
	if err != nil {
		return err
	}
	immediately := q.r.PostFormValue("when") == "now"
	if !immediately && q.r.PostFormValue("when") != "end" {
		return noChoice(q, "when")
	}
	if _, err := h.billing.CancelSubscription(q.r.Context(), q.by,
		billing.Cancellation{ID: one.ID, Immediately: immediately}); err != nil {
		return err
	}
	return q.redirectWithNotice(one.Address, noticeOf("subscription_cancelled", one.App))
}

func (h *subscriptionHandler) suspend(q *request) error {
	one, err := h.find(q)
	if err != nil {
		return err
	}
	if _, err := h.billing.SuspendSubscription(q.r.Context(), q.by, one.ID); err != nil {
		return err
	}
	return q.redirectWithNotice(one.Address, noticeOf("subscription_suspended", one.App))
}

func (h *subscriptionHandler) resume(q *request) error {
	one, err := h.find(q)
	if err != nil {
		return err
	}
	if _, err := h.billing.ResumeSubscription(q.r.Context(), q.by, one.ID); err != nil {
		return err
	}
	return q.redirectWithNotice(one.Address, noticeOf("subscription_resumed", one.App))
}
