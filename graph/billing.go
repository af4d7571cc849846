package graph

import (
	"context"

	"github.com/google/uuid"

	"latchkey/graph/model"
	"latchkey/graph/object"
	"latchkey/graph/scalar"
	"latchkey/internal/auth"
	"latchkey/internal/billing"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
)

func moneyRequest(input model.MoneyInput) billing.MoneyRequest {
	return billing.MoneyRequest{CurrencyCode: string(input.CurrencyCode), Value: input.Value.String()}
}

func planRequest(input model.PricingPlanInput) billing.PlanRequest {
	plan := billing.PlanRequest{Interval: input.Interval, Price: moneyRequest(input.Price)}
	if input.TrialDays != nil {
		plan.TrialDays = *input.TrialDays
	}
	if input.CappedAmount != nil {
		limit := moneyRequest(*input.CappedAmount)
		plan.Cap = &limit
	}
	return plan
}

// checkoutRequest decodes the input of a checkout. What is not the ID of an account, app, store or subscription becomes
// one that does not exist, so that it has the error of the original API.
func checkoutRequest(input model.CreateCheckoutInput) billing.CheckoutRequest {
	req := billing.CheckoutRequest{
		MerchantID: keyOrNil(scalar.Account, input.AccountID), Items: make([]billing.ItemRequest, len(input.Items)),
		Key: input.IdempotencyKey, AsOf: timeOf(input.AsOf), DryRun: isTrue(input.DryRun),
	}
	for i, item := range input.Items {
		req.Items[i] = itemRequest(item)
	}
	return req
}

func itemRequest(input model.CheckoutItemInput) billing.ItemRequest {
	item := billing.ItemRequest{
		Description: input.Description, RedirectURL: input.RedirectURL, Plan: planRequest(input.PricingPlan),
	}
	if input.Product != nil {
		item.Level = input.Product.ProductLevel
		if input.Product.ID != nil {
			app, _ := object.ParseProduct(*input.Product.ID) // no app has the number 0
			item.AppID = &app
		}
	}
	if input.Scope != nil && input.Scope.ID != nil {
		ref := object.ParseScope(*input.Scope.ID)
		item.Store = &billing.StoreRef{ID: ref.ID, Hash: ref.Hash}
	}
	if input.SubscriptionID != nil {
		key := keyOrNil(scalar.Subscription, *input.SubscriptionID)
		item.SubscriptionID = &key
	}
	return item
}

// keyOrNil returns the key of an ID, and the nil UUID, which no object has, for any other text.
func keyOrNil(kind scalar.Kind, text string) uuid.UUID {
	key, err := object.ParseKey(kind, text)
	if err != nil {
		return uuid.Nil
	}
	return key
}

// subscriptionFilter decodes the filters of subscriptions. It returns all errors at once.
func subscriptionFilter(f *model.SubscriptionFiltersInput) (billing.SubscriptionFilter, error) {
	if f == nil {
		return billing.SubscriptionFilter{}, nil
	}
	filter := billing.SubscriptionFilter{UpdatedAfter: timeOf(f.UpdatedAfter)}
	var faults fault.List
	if f.Ids != nil && len(f.Ids) <= billing.MaxFilterIDs {
		keys, err := object.ParseKeys(scalar.Subscription, "filters.ids", f.Ids)
		filter.IDs = keys
		faults = append(faults, fault.Flatten(err)...)
	} else if f.Ids != nil {
		filter.IDs = make([]uuid.UUID, len(f.Ids)) // too many, which the service refuses
	}
	if f.Status != nil {
		filter.Status = *f.Status
	}
	if f.ProductID != nil {
		app, err := object.ParseProduct(*f.ProductID)
		filter.AppID = &app
		faults = append(faults, faultsOn(err, "filters.productId")...)
	}
	if f.ProductType != nil && *f.ProductType == object.NoProduct {
		filter.IDs = []uuid.UUID{} // every product is an app
	}
	if f.ScopeID != nil {
		if ref := object.ParseScope(*f.ScopeID); ref.ID != uuid.Nil {
			filter.StoreID = &ref.ID
		} else {
			filter.StoreHash = &ref.Hash
		}
	}
	return filter, faults.Err()
}

// chargeFilter decodes the filters of charges.
func chargeFilter(f *model.ChargeFiltersInput) (billing.ChargeFilter, error) {
	if f == nil {
		return billing.ChargeFilter{}, nil
	}
	filter := billing.ChargeFilter{CreatedAfter: timeOf(f.CreatedAfter)}
	if f.Status != nil {
		filter.Status = *f.Status
	}
	if f.Kind != nil {
		filter.Kind = *f.Kind
	}
	if f.SubscriptionID == nil {
		return filter, nil
	}
	key, err := object.ParseKey(scalar.Subscription, *f.SubscriptionID)
	filter.SubscriptionID = &key
	return filter, onField(err, "filters.subscriptionId")
}

// subscriptionNow returns a subscription as it is now, which is after the call that returned it.
func (r *Resolver) subscriptionNow(ctx context.Context, s billing.Subscription) (*object.Subscription, error) {
	now, err := r.billing.Now(ctx)
	shown := object.NewSubscriptions(now)(s)
	return &shown, err
}

func chargeShown(c billing.Charge) *object.Charge {
	shown := object.NewCharge(c)
	return &shown
}

func (r *Resolver) checkoutShown(c billing.Checkout) *object.Checkout {
	shown := object.NewCheckout(c, r.publicURL)
	return &shown
}

func previewResult(p billing.Preview) *model.PreviewChangeResult {
	charges := make([]object.ChargePreview, len(p.Charges))
	for i, c := range p.Charges {
		charges[i] = object.ChargePreview{Charge: object.NewCharge(c)}
	}
	return &model.PreviewChangeResult{Charges: charges, InvoiceTotal: object.Money{Money: p.InvoiceTotal}, At: p.At}
}

func revenueOf(sums []billing.MonthSum) []object.Revenue {
	shown := make([]object.Revenue, len(sums))
	for i, sum := range sums {
		shown[i] = object.Revenue{MonthSum: sum}
	}
	return shown
}

func (r *Resolver) checkoutNodes(ctx context.Context, by *auth.Principal,
	keys []string) (map[string]model.Node, error) {
	checkouts, err := r.billing.CheckoutsByID(ctx, by, uuids(keys))
	found := map[string]model.Node{}
	for id, c := range checkouts {
		found[id.String()] = r.checkoutShown(c)
	}
	return found, err
}

func (r *Resolver) subscriptionNodes(ctx context.Context, by *auth.Principal,
	keys []string) (map[string]model.Node, error) {
	subscriptions, err := r.billing.SubscriptionsByID(ctx, by, uuids(keys))
	if err != nil {
		return nil, err
	}
	now, err := r.billing.Now(ctx)
	node := object.NewSubscriptions(now)
	found := map[string]model.Node{}
	for id, s := range subscriptions {
		shown := node(s)
		found[id.String()] = &shown
	}
	return found, err
}

func (r *Resolver) chargeNodes(ctx context.Context, by *auth.Principal, keys []string) (map[string]model.Node, error) {
	charges, err := r.billing.ChargesByID(ctx, by, uuids(keys))
	found := map[string]model.Node{}
	for id, c := range charges {
		found[id.String()] = chargeShown(c)
	}
	return found, err
}

func (r *Resolver) invoiceNodes(ctx context.Context, by *auth.Principal, keys []string) (map[string]model.Node, error) {
	invoices, err := r.billing.InvoicesByID(ctx, by, uuids(keys))
	all := make([]billing.Invoice, 0, len(invoices))
	for _, i := range invoices {
		all = append(all, i)
	}
	node := object.NewInvoices(all)
	found := map[string]model.Node{}
	for id, i := range invoices {
		shown := node(i)
		found[id.String()] = &shown
	}
	return found, err
}

func invoiceKeys(invoices []billing.Invoice) []uuid.UUID {
	keys := make([]uuid.UUID, len(invoices))
	for i, invoice := range invoices {
		keys[i] = invoice.ID
	}
	return keys
}

// invoiceLines returns the connections of the invoices' lines, by invoice ID.
func (r *Resolver) invoiceLines(ctx context.Context, by *auth.Principal, siblings *object.Siblings[billing.Invoice],
	invoices []billing.Invoice, req paging.Request) (map[uuid.UUID]*object.ChargeConnection, error) {
	pages, err := r.billing.InvoiceLines(ctx, by, invoiceKeys(invoices), req)
	if err != nil {
		return nil, err
	}
	count := func(invoices []billing.Invoice) (map[uuid.UUID]int64, error) {
		return r.billing.CountInvoiceLines(ctx, by, invoiceKeys(invoices))
	}
	connections := make(map[uuid.UUID]*object.ChargeConnection, len(invoices))
	for _, of := range invoices {
		info, edges := object.Connect[object.ChargeEdge](object.InvoiceLines, pages[of.ID], object.NewCharge)
		connections[of.ID] = &object.ChargeConnection{PageInfo: info, Edges: edges,
			Count: counted(siblings, fieldKey{field: "lines count"}, of.ID, count)}
	}
	return connections, nil
}
