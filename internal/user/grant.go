package user

import (
	"slices"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// Grantable returns the permissions that the principal may give to people in
// the store, and take from them: owners all, API tokens all but those of high
// risk, and other people of those only what is their own there.
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

// CheckGrant judges whether somebody who may grant those permissions may
// change what a person may do in a store from before to after. It returns
// fault.Forbidden on the field "permissions" for each permission that is given
// or taken without right.
func CheckGrant(grantable, before, after []string) error {
	var faults fault.List
	for _, name := range changed(before, after) {
		switch {
		case slices.Contains(grantable, name):
		case HighRisk(name):
			faults = append(faults, fault.Errorf(fault.Forbidden, "Only the owner of the store or of the account gives and takes %s.", name).On("permissions"))
		default:
			faults = append(faults, fault.Errorf(fault.Forbidden, "You do not have %s in this store, so you can neither give nor take it.", name).On("permissions"))
		}
	}
	return faults.Err()
}

// changed returns what is in one of the lists only, in order.
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

// CheckPermissions returns the names in alphabetical order, each once, or
// fault.Invalid on the field "permissions" for each that is no permission.
func CheckPermissions(names []string) ([]string, error) {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	var faults fault.List
	for _, name := range names {
		if !IsPermission(name) {
			faults = append(faults, fault.Errorf(fault.Invalid, "There is no permission %.64q.", name).On("permissions"))
		}
	}
	return names, faults.Err()
}
