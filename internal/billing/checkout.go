package billing

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
)

// errNoScope is the error for a store that is not the merchant's, and for a merchant that does not exist.
func errNoScope() *fault.Error {
	return fault.Errorf(fault.NotFound, "Scope does not belong to account.")
}

// errNoProduct is the error for an app that is not the partner's.
func errNoProduct() *fault.Error {
	return fault.Errorf(fault.NotFound, "Product is not supported for your account.")
}

// CreateCheckout creates a checkout for the apps of the principal's account. It returns an error for each rule that the
// request breaks. If the account created a checkout with the same key and the same input, it returns that one, as it
// was then, with replayed set. It returns fault.LimitReached if too many of its checkouts wait for an approval.
func (s *Service) CreateCheckout(ctx context.Context, by *auth.Principal, req CheckoutRequest) (c Checkout,
	replayed bool, err error) {
	if err := requirePartner(by, scope.AccountCheckoutsCreate); err != nil {
		return Checkout{}, false, err
	}
	o := offer{req: req, partnerID: by.AccountID}
	o.items, o.faults = req.check()
	if len(o.items) == 0 {
		return Checkout{}, false, o.faults.Err()
	}
	digest := o.digest()
	key := ""
	if req.Key != nil && len(checkKey(*req.Key)) == 0 {
		key = *req.Key
	}
	if err := s.lookUp(ctx, &o); err != nil {
		return Checkout{}, false, err
	}
	writer, err := s.authorOf(ctx, by)
	if err != nil {
		return Checkout{}, false, err
	}
	var made Checkout
	decide := func(now time.Time, subscriptions map[uuid.UUID]Subscription, standing Standing) (Changes, error) {
		made, err = o.decide(now, subscriptions)
		if err == nil {
			err = standing.check()
		}
		if err != nil {
			return Changes{}, err
		}
		if req.DryRun {
			return Changes{}, ErrDryRun
		}
		made.ID, made.CreatedBy, made.Key, made.Digest = uuid.Must(uuid.NewV7()), writer.actor, key, digest
		return Changes{Checkouts: []Checkout{made}, Events: writer.checkout(audit.CheckoutCreated, made)}, nil
	}
	stored, replayed, err := s.repo.InsertCheckout(ctx, by.Actor(), CheckoutDraft{PartnerID: by.AccountID,
		MerchantID: req.MerchantID, Key: key, Digest: digest, Changed: o.changed()}, decide)
	if replayed {
		return stored, true, nil
	}
	if err := dry(err); err != nil {
		return Checkout{}, false, err
	}
	return made, false, nil
}

// offer is a checkout that is being checked.
type offer struct {
	req       CheckoutRequest
	partnerID uuid.UUID
	items     []Item
	// faults are the broken rules so far. They are returned by decide, so that a request that is repeated has its
	// first answer.
	faults fault.List
	// stores are the merchant's stores that the items name.
	stores []StoreOwner
	// drafts has the apps that the partner has, with whether each is a draft.
	drafts map[int64]bool
}

// digest returns the digest of the input in normal form.
func (o *offer) digest() []byte {
	parts := []any{o.req.MerchantID, o.req.AsOf.UTC(), o.faults.Error()}
	for n, item := range o.items {
		r := o.req.Items[n]
		parts = append(parts, item, r.AppID, r.Store, r.Level == nil)
	}
	return digestOf(parts...)
}

// digestOf returns the digest of a request. Pointers count as what they point to.
func digestOf(parts ...any) []byte {
	encoded, err := json.Marshal(parts)
	if err != nil {
		panic(fmt.Sprintf("billing: cannot encode a request: %v", err))
	}
	digest := sha256.Sum256(encoded)
	return digest[:]
}

// changed returns the subscriptions that the items change.
func (o *offer) changed() []uuid.UUID {
	var ids []uuid.UUID
	for _, item := range o.items {
		if item.Changes && !slices.Contains(ids, item.SubscriptionID) {
			ids = append(ids, item.SubscriptionID)
		}
	}
	return ids
}

// lookUp finds the apps and stores that items name, by themselves or by their subscriptions.
func (s *Service) lookUp(ctx context.Context, o *offer) error {
	o.drafts = map[int64]bool{}
	apps := []int64{}
	var ids []uuid.UUID
	var hashes []string
	for n, item := range o.items {
		if item.Changes {
			continue
		}
		apps = append(apps, item.AppID)
		if ref := o.req.Items[n].Store; ref != nil && ref.ID != uuid.Nil {
			ids = append(ids, ref.ID)
		} else if ref != nil && ref.Hash != "" {
			hashes = append(hashes, ref.Hash)
		}
	}
	if changed := o.changed(); len(changed) > 0 {
		found, err := s.repo.SubscriptionsByID(ctx, o.partnerID, Side{Partner: true}, changed)
		if err != nil {
			return err
		}
		for _, each := range found {
			apps, ids = append(apps, each.AppID), append(ids, each.StoreID)
		}
	}
	for _, id := range apps {
		if err := s.lookUpApp(ctx, o, id); err != nil {
			return err
		}
	}
	if len(ids)+len(hashes) == 0 {
		return nil
	}
	var err error
	o.stores, err = s.repo.Stores(ctx, o.req.MerchantID, ids, hashes)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	return err
}

func (s *Service) lookUpApp(ctx context.Context, o *offer, appID int64) error {
	if _, known := o.drafts[appID]; known || appID == 0 {
		return nil
	}
	draft, err := s.repo.AppIsDraft(ctx, o.partnerID, appID)
	if err == nil {
		o.drafts[appID] = draft
	} else if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	return err
}

// decide returns the checkout, or all rules that the request breaks.
func (o *offer) decide(now time.Time, subscriptions map[uuid.UUID]Subscription) (Checkout, error) {
	faults := slices.Clone(o.faults)
	c := Checkout{PartnerID: o.partnerID, MerchantID: o.req.MerchantID, State: Open, CreatedAt: now,
		ExpiresAt: now.Add(CheckoutLifetime), AsOf: o.req.AsOf, Items: slices.Clone(o.items)}
	asOfFaults := checkAsOf("asOf", o.req.AsOf, now)
	faults = append(faults, asOfFaults...)
	for n := range c.Items {
		var found fault.List
		if c.Items[n].Changes {
			found = o.change(&c, n, subscriptions, now, len(asOfFaults) == 0)
		} else {
			found = o.begin(&c.Items[n], o.req.Items[n])
		}
		faults = append(faults, under(path(n), found.Err())...)
	}
	if size := len(c.Data()); size > maxCheckoutData {
		faults = append(faults, invalid("items", "The texts of the items are too long: all items together have %d bytes "+
			"of JSON, at most %d. Shorten the descriptions and URLs, or create several checkouts.", size, maxCheckoutData))
	}
	return c, append(faults, o.checkOwners(c)...).Err()
}

// check returns the error for a partner that may create no more checkouts for the merchant now.
func (s Standing) check() error {
	const wait = "Wait until some are approved or declined, or expire after 24 hours."
	switch {
	case s.MerchantSuspended:
		return fault.Errorf(fault.Conflict, "The merchant's account is suspended.").On("accountId")
	case s.OpenForMerchant >= MaxOpenForMerchant:
		return fault.Errorf(fault.LimitReached, "%d checkouts wait for an approval by this merchant, which is the most. "+wait,
			s.OpenForMerchant).On("accountId")
	case s.Open >= MaxOpen:
		return fault.Errorf(fault.LimitReached, "%d checkouts of this account wait for an approval, which is the most. "+wait,
			s.Open)
	}
	return nil
}

// checkAsOf checks the time of a preview.
func checkAsOf(field string, at, now time.Time) fault.List {
	switch {
	case at.IsZero():
	case at.After(now):
		return fault.List{invalid(field, "The time of a change must not be in the future.")}
	case at.Before(now.Add(-MaxPreviewAge)):
		return fault.List{invalid(field, "The preview is older than an hour. Create a new one.")}
	}
	return nil
}

// begin completes an item for a new subscription.
func (o *offer) begin(item *Item, req ItemRequest) fault.List {
	var faults fault.List
	if req.AppID != nil {
		draft, known := o.drafts[*req.AppID]
		switch {
		case !known:
			faults = append(faults, errNoProduct().On("product.id"))
		case draft:
			faults = append(faults, checkDraft(*item)...)
		}
	}
	if req.Store == nil {
		return faults
	}
	n := slices.IndexFunc(o.stores, func(s StoreOwner) bool { return req.Store.is(s.ID, s.Hash) })
	if n < 0 {
		return append(faults, errNoScope().On("scope.id"))
	}
	item.StoreID, item.StoreHash = o.stores[n].ID, o.stores[n].Hash
	return faults
}

// checkDraft checks that an item of a draft app costs nothing.
func checkDraft(item Item) fault.List {
	var faults fault.List
	if item.Price.Minor != 0 {
		faults = append(faults, invalid("pricingPlan.price.value", "A draft app can only ask for 0."))
	}
	if item.Cap != nil && *item.Cap != 0 {
		faults = append(faults, invalid("pricingPlan.cappedAmount.value", "A draft app can only ask for 0."))
	}
	return faults
}

// change completes an item that changes a subscription, and checks that it could be approved now.
func (o *offer) change(c *Checkout, n int, subscriptions map[uuid.UUID]Subscription, now time.Time,
	validAsOf bool) fault.List {
	item, req := &c.Items[n], o.req.Items[n]
	s, found := subscriptions[item.SubscriptionID]
	if !found || s.MerchantID != o.req.MerchantID {
		return fault.List{ErrNoActiveSubscription().On("subscriptionId")}
	}
	item.AppID, item.StoreID, item.StoreHash = s.AppID, s.StoreID, s.StoreHash
	if req.Level == nil {
		item.Level = s.Term().Level
	}
	var faults fault.List
	if req.Store != nil && !req.Store.is(s.StoreID, s.StoreHash) {
		faults = append(faults, invalid("scope.id", "Scope updates are not allowed for an existing subscription."))
	}
	if req.AppID != nil && *req.AppID != s.AppID {
		faults = append(faults, invalid("product.id", "Product updates are not allowed for an existing subscription."))
	}
	if o.drafts[s.AppID] {
		faults = append(faults, checkDraft(*item)...)
	}
	if err := CheckChange(s, now); err != nil {
		return append(faults, fault.Flatten(err)[0].On("subscriptionId"))
	}
	if !validAsOf || len(o.faults) > 0 {
		return faults
	}
	step, err := Change(s, TermOf(*c, n, uuid.Nil), c.AsOf, now)
	if err != nil {
		return append(faults, fault.Flatten(err)[0].On("subscriptionId"))
	}
	if !c.AsOf.IsZero() {
		item.Preview = step.digest()
	}
	return faults
}

// checkOwners checks that one user owns the stores of all items, since one user approves a checkout.
func (o *offer) checkOwners(c Checkout) fault.List {
	var faults fault.List
	owner := uuid.Nil
	for n, item := range c.Items {
		i := slices.IndexFunc(o.stores, func(s StoreOwner) bool { return s.ID == item.StoreID })
		if i < 0 {
			continue
		}
		if owner == uuid.Nil {
			owner = o.stores[i].OwnerID
		}
		if o.stores[i].OwnerID != owner {
			faults = append(faults, invalid(path(n)+".scope.id",
				"The stores of the items have different owners. Create a checkout for each owner."))
		}
	}
	return faults
}
