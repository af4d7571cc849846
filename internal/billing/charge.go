package billing

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
)

// limitReached returns the error for an amount above what remains of a limit.
func limitReached(remaining int64, currency, format string, args ...any) *fault.Error {
	left := Money{max(remaining, 0), currency}
	return fault.Errorf(fault.LimitReached, format+" %s remains.", append(args, left)...).Leaving(left.Decimal()).
		On("amount.value")
}

// ChargeRequest describes a charge for usage.
type ChargeRequest struct {
	SubscriptionID uuid.UUID
	Description    string
	Amount         MoneyRequest
	// Key is the idempotency key, for this subscription.
	Key    string
	DryRun bool
}

// changes returns the changes that store the charge with its event.
func (c Charge) changes(event audit.Event) Changes {
	return Changes{Charges: []Charge{c}, Events: []audit.Event{event}}
}

// checkAmount returns an amount above 0.
func checkAmount(req MoneyRequest) (Money, fault.List) {
	amount, err := MoneyOf(req.CurrencyCode, req.Value)
	if err == nil && amount.Minor == 0 {
		err = invalid("value", "The amount must be more than 0.")
	}
	return amount, under("amount", err)
}

// CreateCharge charges for usage, within the cap that the merchant's owner approved and the limit of the API token. It
// returns fault.LimitReached, with what remains, for more than that. If there is a charge with the same key and the
// same input, it returns that one, as it was at first, with replayed set.
func (s *Service) CreateCharge(ctx context.Context, by *auth.Principal, req ChargeRequest) (c Charge, replayed bool,
	err error) {
	if err := requirePartner(by, scope.AccountChargesWrite); err != nil {
		return Charge{}, false, err
	}
	req.Description = strings.TrimSpace(req.Description)
	amount, faults := checkAmount(req.Amount)
	faults = append(faults, checkText("description", "A description", req.Description, 1, MaxText)...)
	faults = append(faults, checkKey(req.Key)...)
	if err := faults.Err(); err != nil {
		return Charge{}, false, err
	}
	writer := ownAuthor(s.clock, by)
	var made Charge
	digest := digestOf("usage", req.Description, amount)
	stored, replayed, err := s.repo.AddUsage(ctx, by.Actor(), by.AccountID, req.SubscriptionID, req.Key, digest,
		func(now time.Time, each Subscription, u UsageSums) (Changes, error) {
			var err error
			if made, err = usage(each, amount, u, now); err != nil {
				return Changes{}, err
			}
			made.SourceKey, made.Description = UsageKey(each.ID, req.Key), req.Description
			if req.DryRun {
				return Changes{}, ErrDryRun
			}
			made.ID, made.Digest = uuid.Must(uuid.NewV7()), digest
			if by.Kind == auth.APIToken {
				made.TokenID = by.ID
			}
			return made.changes(writer.charge(audit.ChargeCreated, made)), nil
		})
	if replayed {
		return stored, true, nil
	}
	if err := dry(err); err != nil {
		return Charge{}, false, onField(err, "subscriptionId")
	}
	return made, false, nil
}

// usage returns a charge for usage, without its ID, key and description.
func usage(s Subscription, amount Money, u UsageSums, now time.Time) (Charge, error) {
	now = later(now, s.BilledUntil)
	refuse := func(format string, args ...any) (Charge, error) {
		return Charge{}, fault.Errorf(fault.Conflict, format, args...).On("subscriptionId")
	}
	term := s.Term()
	switch {
	case s.Status(now) == Cancelled:
		return refuse("The subscription has ended.")
	case s.Suspended():
		return refuse("The subscription is suspended.")
	case u.MerchantSuspended:
		return refuse("The merchant's account is suspended.")
	case s.InTrial(now):
		return refuse("The subscription is in its trial, in which usage cannot be charged.")
	case term.Interval == Once:
		return refuse("A subscription that is paid once has no usage.")
	case term.Cap == nil:
		return refuse("The merchant has approved no usage cap. Create a checkout with pricingPlan.cappedAmount.")
	}
	if left := *term.Cap - u.Period; amount.Minor > left {
		return Charge{}, limitReached(left, amount.Currency, "The charge exceeds the usage cap of %s for the period.",
			Money{*term.Cap, term.Price.Currency})
	}
	if u.TokenLimit != nil && amount.Minor > *u.TokenLimit-u.Token {
		return Charge{}, limitReached(*u.TokenLimit-u.Token, amount.Currency,
			"The charge exceeds the API token's limit of %s for the month.", Money{*u.TokenLimit, amount.Currency})
	}
	span, _ := s.CurrentPeriod(now)
	return Charge{MerchantID: s.MerchantID, PartnerID: s.PartnerID, SubscriptionID: s.ID, Term: term.Seq, Kind: Usage,
		Amount: amount, Period: span, DueAt: now, CreatedAt: now, Status: ChargePending}, nil
}

// Deletion describes a charge to delete.
type Deletion struct {
	ID uuid.UUID
	// Reason is for the audit log. It can be empty.
	Reason string
	DryRun bool
}

// DeleteCharge deletes a pending charge for usage, which no longer counts against the cap and the token's limit. It
// returns fault.Conflict for any other charge.
func (s *Service) DeleteCharge(ctx context.Context, by *auth.Principal, req Deletion) (Charge, error) {
	if err := requirePartner(by, scope.AccountChargesWrite); err != nil {
		return Charge{}, err
	}
	req.Reason = strings.TrimSpace(req.Reason)
	if err := checkText("reason", "A reason", req.Reason, 0, MaxText).Err(); err != nil {
		return Charge{}, err
	}
	writer := ownAuthor(s.clock, by)
	var deleted Charge
	_, _, err := s.repo.ChangeCharge(ctx, by.Actor(), by.AccountID, req.ID, "", nil,
		func(_ time.Time, c Charge, _ Subscription, _ int64) (Changes, error) {
			if c.Kind != Usage || c.Status != ChargePending {
				return Changes{}, fault.Errorf(fault.Conflict,
					"Only pending charges for usage can be deleted. This one is %s and %s.", c.Kind, c.Status).On("id")
			}
			c.Status = ChargeDeleted
			deleted = c
			if req.DryRun {
				return Changes{}, ErrDryRun
			}
			var details []audit.Detail
			if req.Reason != "" {
				details = append(details, audit.Detail{Name: "reason", Value: req.Reason})
			}
			return c.changes(writer.charge(audit.ChargeDeleted, c, details...)), nil
		})
	if err := dry(err); err != nil {
		return Charge{}, err
	}
	return deleted, nil
}

// CreditRequest describes a credit for an invoiced charge.
type CreditRequest struct {
	ChargeID uuid.UUID
	Amount   MoneyRequest
	// Reason is the text of the invoice line.
	Reason string
	// Key is the idempotency key, for the subscription of the charge.
	Key    string
	DryRun bool
}

// CreditCharge credits an invoiced charge, in part or in full. It returns fault.LimitReached, with what remains, for
// more than what is left of the charge. Keys are as for CreateCharge.
func (s *Service) CreditCharge(ctx context.Context, by *auth.Principal, req CreditRequest) (c Charge, replayed bool,
	err error) {
	if err := requirePartner(by, scope.AccountChargesWrite); err != nil {
		return Charge{}, false, err
	}
	req.Reason = strings.TrimSpace(req.Reason)
	amount, faults := checkAmount(req.Amount)
	faults = append(faults, checkText("reason", "A reason", req.Reason, 1, MaxText)...)
	faults = append(faults, checkKey(req.Key)...)
	if err := faults.Err(); err != nil {
		return Charge{}, false, err
	}
	writer := ownAuthor(s.clock, by)
	var made Charge
	digest := digestOf("credit", req.ChargeID, req.Reason, amount)
	stored, replayed, err := s.repo.ChangeCharge(ctx, by.Actor(), by.AccountID, req.ChargeID, req.Key, digest,
		func(now time.Time, c Charge, each Subscription, credited int64) (Changes, error) {
			var err error
			now = later(now, each.BilledUntil)
			if made, err = credit(c, amount, credited+each.takenBack(c, now), now); err != nil {
				return Changes{}, err
			}
			made.SourceKey, made.Description = CreditOfKey(c.SubscriptionID, req.Key), req.Reason
			if req.DryRun {
				return Changes{}, ErrDryRun
			}
			made.ID, made.Digest = uuid.Must(uuid.NewV7()), digest
			return made.changes(writer.charge(audit.ChargeCreated, made)), nil
		})
	if replayed {
		return stored, true, nil
	}
	if err := dry(err); err != nil {
		return Charge{}, false, onField(err, "chargeId")
	}
	return made, false, nil
}

// credit returns a credit for a charge, without its ID, key and description.
func credit(c Charge, amount Money, credited int64, now time.Time) (Charge, error) {
	switch {
	case c.Status != ChargeInvoiced:
		return Charge{}, fault.Errorf(fault.Conflict, "Only invoiced charges can be credited. This one is %s.",
			c.Status).On("chargeId")
	case c.Amount.Minor < 0:
		return Charge{}, fault.Errorf(fault.Conflict, "A credit cannot be credited.").On("chargeId")
	case amount.Minor > c.Amount.Minor+credited:
		return Charge{}, limitReached(c.Amount.Minor+credited, c.Amount.Currency,
			"The credits of a charge of %s cannot exceed it.", c.Amount)
	}
	amount.Minor = -amount.Minor
	return Charge{MerchantID: c.MerchantID, PartnerID: c.PartnerID, SubscriptionID: c.SubscriptionID, Term: c.Term,
		Kind: Credit, Amount: amount, Period: c.Period, DueAt: now, CreatedAt: now, Status: ChargePending,
		CreditOf: c.ID}, nil
}

// ChargesByID returns the charges among the IDs that the principal may read.
func (s *Service) ChargesByID(ctx context.Context, by *auth.Principal,
	ids []uuid.UUID) (map[uuid.UUID]Charge, error) {
	r, err := readingOf(by, scope.AccountChargesRead)
	if err != nil {
		return nil, err
	}
	found, err := s.repo.ChargesByID(ctx, by.AccountID, r.side, ids)
	if err != nil || r.stores == nil {
		return found, err
	}
	// A charge is for the store of its subscription.
	var of []uuid.UUID
	for _, c := range found {
		of = append(of, c.SubscriptionID)
	}
	seen, err := subscriptionsByID(ctx, s.repo, by, r, of)
	for id, c := range found {
		if _, sees := seen[c.SubscriptionID]; !sees {
			delete(found, id)
		}
	}
	return found, err
}

// Charges returns a page of the charges that the principal may read, newest first: those for its account's apps, and
// for sessions those for its account's stores.
func (s *Service) Charges(ctx context.Context, by *auth.Principal, f ChargeFilter,
	req paging.Request) (paging.Page[Charge], error) {
	r, err := readingOf(by, scope.AccountChargesRead)
	if err != nil {
		return paging.Page[Charge]{}, err
	}
	w, err := req.Window(paging.MaxSubscriptions)
	if err != nil {
		return paging.Page[Charge]{}, err
	}
	if f.Search, err = checkSearch(f.Search); err != nil {
		return paging.Page[Charge]{}, err
	}
	f.Stores = r.stores
	return s.repo.Charges(ctx, by.AccountID, r.side.within(f.As), f, w)
}

// CountCharges returns the number of charges that the filter selects and the principal may read.
func (s *Service) CountCharges(ctx context.Context, by *auth.Principal, f ChargeFilter) (int64, error) {
	r, err := readingOf(by, scope.AccountChargesRead)
	if err != nil {
		return 0, err
	}
	if f.Search, err = checkSearch(f.Search); err != nil {
		return 0, err
	}
	f.Stores = r.stores
	return s.repo.CountCharges(ctx, by.AccountID, r.side.within(f.As), f)
}

// SumCharges returns the sum of the charges that the filter selects and the principal may read, and their number.
func (s *Service) SumCharges(ctx context.Context, by *auth.Principal, f ChargeFilter) (sum Money, n int64,
	err error) {
	r, err := readingOf(by, scope.AccountChargesRead)
	if err != nil {
		return Money{}, 0, err
	}
	if f.Search, err = checkSearch(f.Search); err != nil {
		return Money{}, 0, err
	}
	f.Stores, sum.Currency = r.stores, Currency
	sum.Minor, n, err = s.repo.SumCharges(ctx, by.AccountID, r.side.within(f.As), Currency, f)
	return sum, n, err
}

// maxRevenue is the longest time of Revenue, in years.
const maxRevenue = 10

// Revenue returns what an app of the account, or for nil all of them, earned in [from, to), by month, oldest first.
func (s *Service) Revenue(ctx context.Context, by *auth.Principal, appID *int64, from, to time.Time) ([]MonthSum,
	error) {
	if err := requirePartner(by, scope.AccountChargesRead); err != nil {
		return nil, err
	}
	if to.Before(from) || to.After(from.AddDate(maxRevenue, 0, 0)) {
		return nil, invalid("to", "The end of the time is at most %d years after its start.", maxRevenue)
	}
	return s.repo.Revenue(ctx, by.AccountID, appID, from, to)
}
