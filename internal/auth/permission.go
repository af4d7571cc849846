package auth

import (
	"slices"

	"github.com/google/uuid"
)

// Permission is a set of store permissions, limited to those that Latchkey
// enforces. Package user stores all others for the platform.
type Permission uint16

// NoPermission is the empty set, which every member of a store has.
const NoPermission Permission = 0

// The permissions.
const (
	// AddUsers is the permission to add users to the store.
	AddUsers Permission = 1 << iota
	// EditUsers is the permission to change users' permissions and statuses in the
	// store.
	EditUsers
	// DeleteUsers is the permission to remove users from the store.
	DeleteUsers
	// ManageUsers is the permission to list the store's users. AddUsers, EditUsers
	// and DeleteUsers imply it.
	ManageUsers
	// CreateTokens is the permission to issue, restrict and rotate the store's API
	// tokens.
	CreateTokens
	// ListTokens is the permission to list them.
	ListTokens
	// DeleteTokens is the permission to revoke them.
	DeleteTokens
)

// permissionNames maps the API's names of the permissions (docs/compatibility.md:
// "Queries").
var permissionNames = map[string]Permission{
	"Add_User":                AddUsers,
	"Edit_Users":              EditUsers,
	"Delete_Users":            DeleteUsers,
	"Manage_Users":            ManageUsers,
	"Create_Store_API_Tokens": CreateTokens,
	"List_Store_API_Tokens":   ListTokens,
	"Delete_Store_API_Tokens": DeleteTokens,
}

// PermissionNamed returns the permission with the name, if Latchkey enforces it.
// No_Permission_Required is NoPermission.
func PermissionNamed(name string) (Permission, bool) {
	if name == "No_Permission_Required" {
		return NoPermission, true
	}
	what, known := permissionNames[name]
	return what, known
}

// ParsePermissions returns the permissions with the names. It ignores other names.
func ParsePermissions(names []string) Permission {
	var set Permission
	for _, name := range names {
		set |= permissionNames[name]
	}
	if set&(AddUsers|EditUsers|DeleteUsers) != 0 {
		set |= ManageUsers
	}
	return set
}

// Place is a user's permissions in one store.
type Place struct {
	StoreID uuid.UUID
	May     Permission
}

// May reports whether p has the permissions in the store, as an owner or by the
// permissions of the session's user.
func (p *Principal) May(accountID, storeID uuid.UUID, what Permission) bool {
	if p.OwnsStore(accountID, storeID) {
		return true
	}
	return p.AccountID == accountID && slices.ContainsFunc(p.Places, func(place Place) bool {
		return place.StoreID == storeID && place.May&what == what
	})
}

// Require returns fault.Forbidden unless p has the permission in the store or holds
// the scope, which applies to every store of the account.
func (p *Principal) Require(accountID, storeID uuid.UUID, what Permission, scope string) error {
	if p.AccountID == accountID && p.Scopes.Has(scope) || p.May(accountID, storeID, what) {
		return nil
	}
	return Denied(scope)
}

// RequireScopes returns fault.Forbidden unless p holds all of the scopes.
func (p *Principal) RequireScopes(scopes ...string) error {
	if missing := p.Missing(scopes...); len(missing) > 0 {
		return Denied(missing...)
	}
	return nil
}

// MaySomewhere reports whether p is a session of a user who has the permission in
// at least one store.
func (p *Principal) MaySomewhere(what Permission) bool {
	return len(p.OwnedStores) > 0 || slices.ContainsFunc(p.Places,
		func(place Place) bool { return place.May&what == what })
}

// StoresWhere returns the stores in which the session's user has the permission,
// including those that the user owns. It does not cover the account's owner. The
// result is not nil.
func (p *Principal) StoresWhere(what Permission) []uuid.UUID {
	stores := append([]uuid.UUID{}, p.OwnedStores...)
	for _, place := range p.Places {
		if place.May&what == what && !slices.Contains(stores, place.StoreID) {
			stores = append(stores, place.StoreID)
		}
	}
	return stores
}
