package user

import (
	"context"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
)

// MayListAll returns fault.Forbidden unless the principal may list all users of
// the account.
func MayListAll(by *auth.Principal) error { return mayInAccount(by, scope.AccountUsersRead) }

// MayChangeAll returns fault.Forbidden unless the principal may change
// every user of the account.
func MayChangeAll(by *auth.Principal) error { return mayInAccount(by, scopeWrite) }

// MayIn returns fault.Forbidden unless the principal has the permission in the
// store or the scope that stands for it. The permission must be one of those
// about users.
func MayIn(by *auth.Principal, storeID uuid.UUID, what auth.Permission) error {
	return by.Require(by.AccountID, storeID, what, map[auth.Permission]string{
		auth.ManageUsers: scope.AccountUsersRead, auth.AddUsers: scopeWrite, auth.EditUsers: scopeWrite,
		auth.DeleteUsers: scopeDelete,
	}[what])
}

// GrantableIn returns the permissions that the principal may now grant and
// revoke in the store, as Grantable does.
func (s *Service) GrantableIn(ctx context.Context, by *auth.Principal, storeID uuid.UUID) ([]string, error) {
	var own []string
	if by.Kind == auth.Session && !by.OwnsStore(by.AccountID, storeID) {
		places, err := s.PlacesIn(ctx, by, storeID, []uuid.UUID{by.ID})
		if err != nil {
			return nil, err
		}
		if place := places[by.ID]; place.Status == Active {
			own = place.Permissions
		}
	}
	return Grantable(by, storeID, own), nil
}

// PlacesIn returns the memberships in one store, by user ID. It omits users who
// are not in it. The caller checks MayIn or MayList before showing them.
func (s *Service) PlacesIn(ctx context.Context, by *auth.Principal, storeID uuid.UUID,
	userIDs []uuid.UUID) (map[uuid.UUID]StorePlace, error) {
	pages, err := s.repo.UserPlaces(ctx, by.AccountID, userIDs, []uuid.UUID{storeID}, paging.Window{Size: 1})
	if err != nil {
		return nil, err
	}
	found := make(map[uuid.UUID]StorePlace, len(pages))
	for id, p := range pages {
		for _, item := range p.Items {
			found[id] = item.Node
		}
	}
	return found, nil
}
