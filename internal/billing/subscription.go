package billing

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
)

// Cancellation describes a subscription to cancel.
type Cancellation struct {
	ID uuid.UUID
	// Immediately ends the subscription now, with a credit for the rest of the period.
	Immediately bool
	DryRun      bool
}

// CancelSubscription cancels a subscription for its partner or for the owner of its store, and returns it (Cancel).
func (s *Service) CancelSubscription(ctx context.Context, by *auth.Principal, req Cancellation) (Subscription,
	error) {
	partner := actsAsPartner(by, scope.AccountSubscriptionsCancel)
	if !partner && by.Kind != auth.Session {
		return Subscription{}, auth.Denied(scope.AccountSubscriptionsCancel)
	}
	return s.act(ctx, by, req.ID, deed{
		action: audit.SubscriptionCancelled, scope: scope.AccountSubscriptionsCancel, dryRun: req.DryRun,
		allowed: func(each Subscription, owner uuid.UUID) bool {
			return partner && each.PartnerID == by.AccountID ||
				each.MerchantID == by.AccountID && (by.Kind == auth.Operator || ownsStore(by, owner))
		},
		step: func(each Subscription, now time.Time) (Step, error) {
			return Cancel(each, req.Immediately, now), nil
		},
	})
}

// SuspendSubscription suspends a subscription for the owner of its store or the operator, who acts in the account of
// the merchant or the partner.
func (s *Service) SuspendSubscription(ctx context.Context, by *auth.Principal, id uuid.UUID) (Subscription, error) {
	return s.setSuspended(ctx, by, id, audit.SubscriptionSuspended, Suspend)
}

// ResumeSubscription ends a suspension for the owner of the store or the operator, who acts in the account of the
// merchant or the partner.
func (s *Service) ResumeSubscription(ctx context.Context, by *auth.Principal, id uuid.UUID) (Subscription, error) {
	return s.setSuspended(ctx, by, id, audit.SubscriptionResumed, Resume)
}

func (s *Service) setSuspended(ctx context.Context, by *auth.Principal, id uuid.UUID, action audit.Action,
	step func(Subscription, time.Time) (Step, error)) (Subscription, error) {
	if by.Kind != auth.Session && by.Kind != auth.Operator {
		return Subscription{}, auth.Denied()
	}
	return s.act(ctx, by, id, deed{action: action, step: step,
		allowed: func(each Subscription, owner uuid.UUID) bool {
			return by.Kind == auth.Operator || each.MerchantID == by.AccountID && ownsStore(by, owner)
		}})
}

// deed is a change of one subscription.
type deed struct {
	action audit.Action
	// scope is what a partner would need; empty if no scope allows it.
	scope   string
	dryRun  bool
	allowed func(s Subscription, owner uuid.UUID) bool
	step    func(s Subscription, now time.Time) (Step, error)
}

// act changes a subscription. For principals that may not read it, it does not exist.
func (s *Service) act(ctx context.Context, by *auth.Principal, id uuid.UUID, a deed) (Subscription, error) {
	r, err := readingOf(by, scope.AccountSubscriptionsRead)
	if err != nil && !actsAsPartner(by, a.scope) {
		return Subscription{}, err
	}
	writer, err := s.authorOf(ctx, by)
	if err != nil {
		return Subscription{}, err
	}
	var changed Subscription
	err = s.repo.ChangeSubscription(ctx, by.Actor(), by.AccountID, id,
		func(now time.Time, each Subscription, owner uuid.UUID) (Changes, error) {
			if !a.allowed(each, owner) {
				return Changes{}, a.refusal(r.seesSubscription(each, by.AccountID))
			}
			step, err := a.step(each, now)
			if err != nil {
				return Changes{}, err
			}
			changed = step.Subscription
			if a.dryRun {
				return Changes{}, ErrDryRun
			}
			var changes Changes
			if step.Changed {
				changes.add(step, writer, theService(s.clock), a.action, now, each)
			}
			return changes, nil
		})
	if err := dry(err); err != nil {
		return Subscription{}, err
	}
	return changed, nil
}

// refusal returns the error for a principal that may not act. One that may not read the subscription either learns
// nothing of it.
func (a deed) refusal(reads bool) error {
	switch {
	case !reads:
		return ErrNoSubscription()
	case a.scope == "":
		return auth.Denied()
	}
	return auth.Denied(a.scope)
}

// seesSubscription reports whether the principal of the account may read a subscription of one of its sides.
func (r reading) seesSubscription(s Subscription, accountID uuid.UUID) bool {
	return r.side.Partner && s.PartnerID == accountID ||
		r.side.Merchant && s.MerchantID == accountID && r.sees(s.StoreID)
}

// SubscriptionsByID returns the subscriptions among the IDs that the principal may read.
func (s *Service) SubscriptionsByID(ctx context.Context, by *auth.Principal,
	ids []uuid.UUID) (map[uuid.UUID]Subscription, error) {
	r, err := readingOf(by, scope.AccountSubscriptionsRead)
	if err != nil {
		return nil, err
	}
	return subscriptionsByID(ctx, s.repo, by, r, ids)
}

func subscriptionsByID(ctx context.Context, repo Repository, by *auth.Principal, r reading,
	ids []uuid.UUID) (map[uuid.UUID]Subscription, error) {
	found, err := repo.SubscriptionsByID(ctx, by.AccountID, r.side, ids)
	for id, each := range found {
		if !r.seesSubscription(each, by.AccountID) {
			delete(found, id)
		}
	}
	return found, err
}

// MaxFilterIDs is the most IDs in a SubscriptionFilter.
const MaxFilterIDs = 50

// filter returns what the principal may read, with the filter limited to it.
func (f SubscriptionFilter) filter(by *auth.Principal) (SubscriptionFilter, reading, error) {
	r, err := readingOf(by, scope.AccountSubscriptionsRead)
	if err != nil {
		return f, r, err
	}
	if len(f.IDs) > MaxFilterIDs {
		return f, r, invalid("filters.ids", "Filter by at most %d IDs.", MaxFilterIDs)
	}
	if f.Search, err = checkSearch(f.Search); err != nil {
		return f, r, err
	}
	f.Stores = r.stores
	return f, r, nil
}

// MaxSearch is the most characters of the Search of a filter.
const MaxSearch = 100

// checkSearch returns the text of a search without the space around it.
func checkSearch(text string) (string, error) {
	text = strings.TrimSpace(text)
	return text, checkText("search", "A search", text, 0, MaxSearch).Err()
}

// CurrentUsage returns the current period of a subscription that the principal may read, and the sum of its usage
// charges that are not deleted.
func (s *Service) CurrentUsage(ctx context.Context, by *auth.Principal, each Subscription) (Span, Money, error) {
	r, err := readingOf(by, scope.AccountSubscriptionsRead)
	if err != nil {
		return Span{}, Money{}, err
	}
	if !r.seesSubscription(each, by.AccountID) {
		return Span{}, Money{}, ErrNoSubscription()
	}
	now, err := s.repo.Now(ctx)
	if err != nil {
		return Span{}, Money{}, err
	}
	period, _ := each.CurrentPeriod(now)
	used, err := s.repo.Used(ctx, each.MerchantID, each.ID, period.Start)
	return period, Money{used, Currency}, err
}

// Subscriptions returns a page of the subscriptions that the principal may read, newest first: those to its account's
// apps, and for sessions those of its account's stores.
func (s *Service) Subscriptions(ctx context.Context, by *auth.Principal, f SubscriptionFilter,
	req paging.Request) (paging.Page[Subscription], error) {
	f, r, err := f.filter(by)
	faults := fault.List(fault.Flatten(err))
	w, err := req.Window(paging.MaxSubscriptions)
	if err := append(faults, fault.Flatten(err)...).Err(); err != nil {
		return paging.Page[Subscription]{}, err
	}
	return s.repo.Subscriptions(ctx, by.AccountID, r.side.within(f.As), f, w)
}

// CountSubscriptions returns the number of subscriptions that the filter selects and the principal may read.
func (s *Service) CountSubscriptions(ctx context.Context, by *auth.Principal, f SubscriptionFilter) (int64, error) {
	f, r, err := f.filter(by)
	if err != nil {
		return 0, err
	}
	return s.repo.CountSubscriptions(ctx, by.AccountID, r.side.within(f.As), f)
}

// PreviewRequest describes a change of a subscription to preview.
type PreviewRequest struct {
	SubscriptionID uuid.UUID
	Plan           PlanRequest
	// Level is the new level; nil keeps it.
	Level *string
	// At is when the change would count; zero means now.
	At time.Time
}

// Preview is what a change would be charged.
type Preview struct {
	// Charges are what the change adds. They have no ID.
	Charges []Charge
	// InvoiceTotal is the sum of the merchant's pending charges of the month and these.
	InvoiceTotal Money
	// At is the time at which the change counts. A checkout with this AsOf charges the same.
	At time.Time
}

// PreviewChange returns what a change of a subscription would be charged. It refuses what CreateCheckout would.
func (s *Service) PreviewChange(ctx context.Context, by *auth.Principal, req PreviewRequest) (Preview, error) {
	if err := requirePartner(by, scope.AccountSubscriptionsRead); err != nil {
		return Preview{}, err
	}
	now, err := s.repo.Now(ctx)
	if err != nil {
		return Preview{}, err
	}
	found, err := s.repo.Previewed(ctx, by.AccountID, Side{Partner: true}, []uuid.UUID{req.SubscriptionID})
	if err != nil {
		return Preview{}, err
	}
	each, known := found[req.SubscriptionID]
	if !known {
		return Preview{}, ErrNoActiveSubscription().On("subscriptionId")
	}
	draft, err := s.repo.AppIsDraft(ctx, by.AccountID, each.AppID)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return Preview{}, err
	}
	step, at, err := req.decide(each, draft, now)
	if err != nil {
		return Preview{}, err
	}
	pending, err := s.repo.Pending(ctx, each.MerchantID, Currency, at)
	if err != nil {
		return Preview{}, err
	}
	p := Preview{Charges: step.Added, InvoiceTotal: Money{pending, Currency}, At: at}
	for _, c := range step.Charges() {
		if MonthOf(c.DueAt) == MonthOf(at) {
			p.InvoiceTotal.Minor += c.Amount.Minor
		}
	}
	return p, nil
}

// decide returns the change, and the time at which it counts.
func (req PreviewRequest) decide(each Subscription, draft bool, now time.Time) (Step, time.Time, error) {
	item, found := ItemRequest{Description: "-", RedirectURL: "https://localhost", Plan: req.Plan, Level: req.Level,
		SubscriptionID: &req.SubscriptionID}.check()
	for i, f := range found {
		if f.Field == "product.productLevel" {
			found[i] = f.On("productLevel")
		}
	}
	faults := slices.Concat(found, checkAsOf("at", req.At, now))
	if draft {
		faults = append(faults, checkDraft(item)...)
	}
	if req.Level == nil {
		item.Level = each.Term().Level
	}
	if err := CheckChange(each, now); err != nil {
		faults = append(faults, fault.Flatten(err)[0].On("subscriptionId"))
	}
	if len(faults) > 0 {
		return Step{}, time.Time{}, faults.Err()
	}
	at := second(now)
	if !req.At.IsZero() {
		at = second(req.At)
	}
	step, err := Change(each, TermOf(Checkout{Items: []Item{item}}, 0, uuid.Nil), at, now)
	if err != nil {
		return Step{}, time.Time{}, fault.Flatten(err)[0].On("at")
	}
	return step, at, nil
}
