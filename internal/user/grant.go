package user

import (
	"slices"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// Grantable returns the permissions that the principal may grant and revoke in
// the store: an owner all, an API token all except the high-risk ones, and
// another user only their own there, except the high-risk ones.
func Grantable(by *auth.Principal, storeID uuid.UUID, own []string) []string {
	switch {
	case by.OwnsStore(by.AccountID, storeID):
		return Permissions()
	case by.Kind == auth.Session:
		return slices.DeleteFunc(slices.Clone(own), HighRisk)
	default:
		return StoreAdministrator.Permissions()
	}
}

// CheckGrant returns fault.Forbidden on the field "permissions" for each
// permission that the change from before to after grants or revokes and that is
// not in grantable.
func CheckGrant(grantable, before, after []string) error {
	var faults fault.List
	for _, name := range changed(before, after) {
		switch {
		case slices.Contains(grantable, name):
		case HighRisk(name):
			faults = append(faults, fault.Errorf(fault.Forbidden,
				"Only the owner of the store or of the account can grant or revoke %s.", name).On("permissions"))
		default:
			faults = append(faults, fault.Errorf(fault.Forbidden,
				"You do not have %s in this store, so you cannot grant or revoke it.", name).On("permissions"))
		}
	}
	return faults.Err()
}

// changed returns the names that are in one of the lists only, sorted.
func changed(before, after []string) []string {
	var names []string
	for _, lists := range [][2][]string{{before, after}, {after, before}} {
		for _, name := range lists[0] {
			if !slices.Contains(lists[1], name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// CheckPermissions returns the names sorted and without duplicates, or
// fault.Invalid on the field "permissions" for each unknown name.
func CheckPermissions(names []string) ([]string, error) {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	var faults fault.List
	for _, name := range names {
		if !IsPermission(name) {
			faults = append(faults, fault.Errorf(fault.Invalid, "There is no permission %.64q.",
				name).On("permissions"))
		}
	}
	return names, faults.Err()
}
