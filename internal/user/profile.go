package user

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// Profile is a user of an account, limited to what the viewer may see.
type Profile struct {
	Person

	// In are the user's memberships in the stores whose users the viewer may
	// see, sorted by store name. Places are the same memberships.
	In []StorePlace
}

// Profile returns a user of the account with their memberships in the stores
// whose users the principal may see. It returns fault.Forbidden if the
// principal may see no users, and fault.NotFound for an ID of a user that it
// may not see.
func (s *Service) Profile(ctx context.Context, by *auth.Principal, id uuid.UUID) (Profile, error) {
	if err := MayListAll(by); err != nil && !by.MaySomewhere(auth.ManageUsers) {
		return Profile{}, err
	}
	var found Profile
	err := s.repo.Change(ctx, by.Actor(), by.AccountID, func(c Change) error {
		persons, err := c.Members(ctx, []uuid.UUID{id})
		if err != nil {
			return err
		}
		if len(persons) == 0 {
			return ErrNotInAccount()
		}
		found.Person = persons[0]
		if only := visibleStores(by); only != nil {
			found.Places = slices.DeleteFunc(found.Places,
				func(p Place) bool { return !slices.Contains(only, p.StoreID) })
			if len(found.Places) == 0 {
				return ErrNotInAccount()
			}
		}
		found.In, err = PlacesWithStores(ctx, c, found.Person)
		return err
	})
	return found, err
}

// PlacesWithStores returns the user's memberships with their stores, sorted by store
// name.
func PlacesWithStores(ctx context.Context, c Change, p Person) ([]StorePlace, error) {
	refs := make([]account.StoreRef, len(p.Places))
	for i, place := range p.Places {
		refs[i].ID = place.StoreID
	}
	stores, err := c.Stores(ctx, refs)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(stores, func(a, b account.Store) int {
		return strings.Compare(a.Name+" "+a.Hash,
			b.Name+" "+b.Hash)
	})
	in := make([]StorePlace, len(stores))
	for i, st := range stores {
		place, _ := p.Place(st.ID)
		in[i] = StorePlace{Place: place, UserID: p.ID, Store: st}
	}
	return in, nil
}

// SessionsOf returns the user's live sessions in the account, newest first.
// They end if the user leaves the account. It returns fault.Forbidden if the
// principal may not remove users from the account.
func (s *Service) SessionsOf(ctx context.Context, by *auth.Principal, userID uuid.UUID) ([]Session, error) {
	if err := mayInAccount(by, scopeDelete); err != nil {
		return nil, err
	}
	return s.repo.Sessions(ctx, SessionSelection{UserID: userID, AccountID: by.AccountID}, s.now.Timestamp())
}

// ErrNotInAccount is the error for a user who is not in the account, whether or not
// another account has such a user.
func ErrNotInAccount() *fault.Error {
	return fault.Errorf(fault.NotFound, "There is no such user in this account.")
}
