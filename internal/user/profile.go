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

// Profile is a person of an account as somebody may see them.
type Profile struct {
	Person

	// In are the person's places in those stores whose people may be seen, by
	// the stores' names. Places are the same.
	In []StorePlace
}

// Profile returns a person of the account with their places in the stores whose
// people the principal may see. It returns fault.Forbidden for a principal that
// may see nobody, and fault.NotFound for the id of nobody whom it may see.
func (s *Service) Profile(ctx context.Context, by *auth.Principal, id uuid.UUID) (Profile, error) {
	if err := MayListAll(by); err != nil && !by.MaySomewhere(auth.ManageUsers) {
		return Profile{}, err
	}
	var found Profile
	err := s.repo.Change(ctx, by.Actor(), by.AccountID, func(c Change) error {
		people, err := c.Members(ctx, []uuid.UUID{id})
		if err != nil {
			return err
		}
		if len(people) == 0 {
			return errNobody()
		}
		found.Person = people[0]
		if only := peopledStores(by); only != nil {
			found.Places = slices.DeleteFunc(found.Places, func(p Place) bool { return !slices.Contains(only, p.StoreID) })
			if len(found.Places) == 0 {
				return errNobody()
			}
		}
		found.In, err = withStores(ctx, c, found.Person)
		return err
	})
	return found, err
}

func errNobody() *fault.Error {
	return fault.Errorf(fault.NotFound, "There is no such person in this account.")
}

// withStores returns a person's places with their stores, by name.
func withStores(ctx context.Context, c Change, p Person) ([]StorePlace, error) {
	refs := make([]account.StoreRef, len(p.Places))
	for i, place := range p.Places {
		refs[i].ID = place.StoreID
	}
	stores, err := c.Stores(ctx, refs)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(stores, func(a, b account.Store) int { return strings.Compare(a.Name+" "+a.Hash, b.Name+" "+b.Hash) })
	in := make([]StorePlace, len(stores))
	for i, st := range stores {
		place, _ := p.Place(st.ID)
		in[i] = StorePlace{Place: place, UserID: p.ID, Store: st}
	}
	return in, nil
}

// SessionsOf returns the live sessions in the account of a person, newest
// first: those that end when the person leaves it. It returns fault.Forbidden
// for whoever may not take people out of the account.
func (s *Service) SessionsOf(ctx context.Context, by *auth.Principal, userID uuid.UUID) ([]Session, error) {
	if err := mayInAccount(by, scopeDelete); err != nil {
		return nil, err
	}
	return s.repo.Sessions(ctx, SessionSelection{UserID: userID, AccountID: by.AccountID}, s.moment())
}
