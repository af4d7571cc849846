package billing

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// Subject says who charges whom, for which app in which store.
type Subject struct {
	PartnerID, MerchantID, StoreID uuid.UUID
	AppID                          int64
}

// Subject returns what an item of the checkout is about.
func (c Checkout) Subject(item int) Subject {
	i := c.Items[item]
	return Subject{PartnerID: c.PartnerID, MerchantID: c.MerchantID, StoreID: i.StoreID, AppID: i.AppID}
}

// Subject returns what the subscription is about.
func (s Subscription) Subject() Subject {
	return Subject{PartnerID: s.PartnerID, MerchantID: s.MerchantID, StoreID: s.StoreID, AppID: s.AppID}
}

// Names are the names of a subject. The names of deleted accounts and stores are empty.
type Names struct {
	Partner, Merchant, App, Store string
	// StoreOwner is the user who owns the store.
	StoreOwner uuid.UUID
}

// Names returns the names of subjects. It omits subjects of which the principal's account is neither the partner nor
// the merchant.
func (s *Service) Names(ctx context.Context, by *auth.Principal, subjects []Subject) (map[Subject]Names, error) {
	all := map[Subject]Names{}
	accounts := map[uuid.UUID]string{}
	for _, each := range subjects {
		if _, known := all[each]; known || by.AccountID != each.PartnerID && by.AccountID != each.MerchantID {
			continue
		}
		names := Names{App: fmt.Sprintf("App %d", each.AppID)}
		var err error
		if names.Partner, err = accountName(ctx, s.accounts, accounts, each.PartnerID); err != nil {
			return nil, err
		}
		if names.Merchant, err = accountName(ctx, s.accounts, accounts, each.MerchantID); err != nil {
			return nil, err
		}
		apps, err := s.accounts.AppsByID(ctx, each.PartnerID, []int64{each.AppID})
		if err != nil {
			return nil, err
		}
		if app, there := apps[each.AppID]; there {
			names.App = app.Name
		}
		stores, err := s.repo.Stores(ctx, each.MerchantID, []uuid.UUID{each.StoreID}, nil)
		if err != nil && fault.KindOf(err) != fault.NotFound {
			return nil, err
		}
		for _, store := range stores {
			names.Store, names.StoreOwner = store.Name, store.OwnerID
		}
		all[each] = names
	}
	return all, nil
}

// accountName returns the name of an account, empty if it was deleted. known caches the names.
func accountName(ctx context.Context, accounts Accounts, known map[uuid.UUID]string, id uuid.UUID) (string, error) {
	if name, is := known[id]; is {
		return name, nil
	}
	found, err := accounts.Account(ctx, id)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return "", err
	}
	known[id] = found.Name
	return found.Name, nil
}
