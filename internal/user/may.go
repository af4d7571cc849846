package user

import (
	"context"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/page"
	"latchkey/internal/scope"
)

// MayListAll refuses principals that may not see everybody in the account. It
// returns fault.Forbidden, or nil.
func MayListAll(by *auth.Principal) error { return mayInAccount(by, scope.AccountUsersRead) }

// MayChangeAnybody refuses principals that may not change people of the
// account, wherever they are in it. It returns fault.Forbidden, or nil.
func MayChangeAnybody(by *auth.Principal) error { return mayInAccount(by, scopeWrite) }

// MayIn refuses principals that may not do in the store what the permission
// says, which is one of those about people. It returns fault.Forbidden, or nil.
func MayIn(by *auth.Principal, storeID uuid.UUID, what auth.Permission) error {
	return by.Require(by.AccountID, storeID, what, map[auth.Permission]string{
		auth.ManageUsers: scope.AccountUsersRead, auth.AddUsers: scopeWrite, auth.EditUsers: scopeWrite, auth.DeleteUsers: scopeDelete,
	}[what])
}

// GrantableIn returns the permissions that the principal may give in the store
// and take there as of now (Grantable).
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

// PlacesIn returns the places in one store of those of the people who are
// there. Whoever shows them asks MayIn or MayList first.
func (s *Service) PlacesIn(ctx context.Context, by *auth.Principal, storeID uuid.UUID, userIDs []uuid.UUID) (map[uuid.UUID]StorePlace, error) {
	pages, err := s.repo.UserPlaces(ctx, by.AccountID, userIDs, []uuid.UUID{storeID}, page.Window{Size: 1})
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
