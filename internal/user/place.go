package user

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
)

// SetStorePermissions replaces a user's permissions in a store. It returns
// fault.Forbidden if the principal neither may edit users there nor holds
// account_users_write, and on "permissions" for each permission that the
// principal may not grant or revoke (Grantable); fault.Invalid for an unknown
// permission; fault.NotFound on "storeId" or "userId"; and fault.Conflict on
// "userId" for the store's owner.
func (s *Service) SetStorePermissions(ctx context.Context, by *auth.Principal, ref account.StoreRef, userID uuid.UUID,
	names []string) (StoreMember, error) {
	return s.editPlace(ctx, by, ref, userID, func(e *edit, in account.Store, place *Place) ([]audit.Detail, error) {
		wanted, err := CheckPermissions(names)
		if err != nil || slices.Equal(wanted, place.Permissions) {
			return nil, err
		}
		// Check this before the grant: its error says what to do, and no
		// principal may change the owner's permissions.
		if err := CheckStoreOwner(in, userID); err != nil {
			return nil, err
		}
		if err := e.mayGrant(ctx, in, place.Permissions, wanted); err != nil {
			return nil, err
		}
		place.Permissions = wanted
		return []audit.Detail{{Name: "permissions", Value: strings.Join(wanted, " ")}}, nil
	})
}

// SetStoreStatus activates or deactivates a user's store membership. Activation
// restores the user's permissions, so the principal must be allowed to grant
// them (Grantable). It returns errors as SetStorePermissions does.
func (s *Service) SetStoreStatus(ctx context.Context, by *auth.Principal, ref account.StoreRef, userID uuid.UUID,
	status Status) (StoreMember, error) {
	return s.editPlace(ctx, by, ref, userID, func(e *edit, in account.Store, place *Place) ([]audit.Detail, error) {
		if status == place.Status {
			return nil, nil
		}
		if status == Active {
			if err := e.mayGrant(ctx, in, nil, place.Permissions); err != nil {
				return nil, err
			}
		}
		place.Status = status
		return []audit.Detail{{Name: "status", Value: string(status)}}, nil
	})
}

// editPlace calls change with a user's store membership and saves the result.
// If change returns no details, nothing changed. The membership of the store's
// owner cannot be changed.
func (s *Service) editPlace(
	ctx context.Context, by *auth.Principal, ref account.StoreRef, userID uuid.UUID,
	change func(*edit, account.Store, *Place) ([]audit.Detail, error),
) (StoreMember, error) {
	var member StoreMember
	err := s.edit(ctx, by, func(e *edit) error {
		in, err := e.storeWhere(ctx, ref, auth.EditUsers, scopeWrite)
		if err != nil {
			return err
		}
		p, place, err := e.memberIn(ctx, in, userID)
		if err != nil {
			return err
		}
		details, err := change(e, in, &place)
		if err != nil {
			return err
		}
		if len(details) > 0 {
			if err := CheckStoreOwner(in, userID); err != nil {
				return err
			}
			if err := e.savePlace(ctx, audit.StoreUserUpdated, &p, in, &place, details...); err != nil {
				return err
			}
		}
		member = StoreMember{Place: place, User: p.User, Owner: in.OwnerID == p.ID}
		return nil
	})
	return member, err
}

// mayGrant is CheckGrant with the permissions that the principal has now, not
// those from when its session was looked up.
func (e *edit) mayGrant(ctx context.Context, in account.Store, before, after []string) error {
	var own []string
	if e.by.Kind == auth.Session {
		self, err := e.Members(ctx, []uuid.UUID{e.by.ID})
		if err != nil {
			return err
		}
		for _, p := range self {
			if place, ok := p.Place(in.ID); ok && place.Status == Active {
				own = place.Permissions
			}
		}
	}
	return CheckGrant(Grantable(e.by, in.ID, own), before, after)
}
