package auth

import (
	"slices"

	"github.com/google/uuid"
)

// Permission is a set of things that a person can be allowed in a store: of
// those that Latchkey itself acts on. All others are for the platform to act
// on, and only kept here (package user).
type Permission uint16

// NoPermission is what whoever has a place in a store may do.
const NoPermission Permission = 0

// The permissions.
const (
	// AddUsers: take people into the store.
	AddUsers Permission = 1 << iota
	// EditUsers: change people's permissions and statuses there.
	EditUsers
	// DeleteUsers: take people out of it.
	DeleteUsers
	// ManageUsers: see who is in it. Those above imply that.
	ManageUsers
	// CreateTokens: issue the store's API tokens, narrow and rotate them.
	CreateTokens
	// ListTokens: see them.
	ListTokens
	// DeleteTokens: revoke them.
	DeleteTokens
)

// permissionNames are the permissions by the names that the control panel
// uses (account-api.md: StoreUser.permissions).
var permissionNames = map[string]Permission{
	"Add_User":                AddUsers,
	"Edit_Users":              EditUsers,
	"Delete_Users":            DeleteUsers,
	"Manage_Users":            ManageUsers,
	"Create_Store_API_Tokens": CreateTokens,
	"List_Store_API_Tokens":   ListTokens,
	"Delete_Store_API_Tokens": DeleteTokens,
}

// PermissionNamed returns the one of that name, if Latchkey acts on it.
// No_Permission_Required is NoPermission.
func PermissionNamed(name string) (Permission, bool) {
	if name == "No_Permission_Required" {
		return NoPermission, true
	}
	what, known := permissionNames[name]
	return what, known
}

// ParsePermissions returns those that the names stand for. Names of others are
// left out.
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

// Place is what a person may do in one store.
type Place struct {
	StoreID uuid.UUID
	May     Permission
}

// May reports whether p may do in the store all that the permission says: as
// whoever owns it, or by the permissions of the person whose session it is.
func (p *Principal) May(accountID, storeID uuid.UUID, what Permission) bool {
	if p.OwnsStore(accountID, storeID) {
		return true
	}
	return p.AccountID == accountID && slices.ContainsFunc(p.Places, func(place Place) bool {
		return place.StoreID == storeID && place.May&what == what
	})
}

// Require refuses p where it neither may do in the store what the permission
// says nor holds the scope, which goes for every store of the account. It
// returns fault.Forbidden, or nil.
func (p *Principal) Require(accountID, storeID uuid.UUID, what Permission, scope string) error {
	if p.AccountID == accountID && p.Scopes.Has(scope) || p.May(accountID, storeID, what) {
		return nil
	}
	return Denied(scope)
}

// RequireScopes refuses p where it does not hold all of the scopes. It returns
// fault.Forbidden, or nil.
func (p *Principal) RequireScopes(scopes ...string) error {
	if missing := p.Missing(scopes...); len(missing) > 0 {
		return Denied(missing...)
	}
	return nil
}

// MaySomewhere reports whether p is the session of a person who may do what
// the permission says in one store or another.
func (p *Principal) MaySomewhere(what Permission) bool {
	return len(p.OwnedStores) > 0 || slices.ContainsFunc(p.Places, func(place Place) bool { return place.May&what == what })
}

// StoresWhere returns the stores in which the person whose session p is may do
// what the permission says, those included that they own. Of the account's
// owner that says nothing. The list is not nil.
func (p *Principal) StoresWhere(what Permission) []uuid.UUID {
	stores := append([]uuid.UUID{}, p.OwnedStores...)
	for _, place := range p.Places {
		if place.May&what == what && !slices.Contains(stores, place.StoreID) {
			stores = append(stores, place.StoreID)
		}
	}
	return stores
}
