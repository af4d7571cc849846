package user_test

import (
	"slices"
	"testing"

	"latchkey/internal/test/check"
	"latchkey/internal/user"
)

// Each role has more permissions than the next one. Only the owner has high-risk
// permissions.
func TestRoles(t *testing.T) {
	all := user.Roles()
	for i, r := range all {
		set := r.Permissions()
		if !slices.IsSorted(set) || len(slices.Compact(slices.Clone(set))) != len(set) {
			t.Errorf("permissions of %s: got %v, want each once and sorted", r, set)
		}
		for _, p := range set {
			if !user.IsPermission(p) || user.HighRisk(p) && r != user.StoreOwner {
				t.Errorf("%s has %s, want known permissions, and those of high risk only for %s", r, p, user.StoreOwner)
			}
		}
		if i == 0 {
			continue
		}
		above := all[i-1].Permissions()
		for _, p := range set {
			if !slices.Contains(above, p) {
				t.Errorf("%s has %s, but %s has not; want every role to have those of the role below", r, p, all[i-1])
			}
		}
		if len(above) <= len(set) {
			t.Errorf("permissions: %s has %d and %s has %d, want more for the former",
				all[i-1], len(above), r, len(set))
		}
	}
}

func TestRoleOf(t *testing.T) {
	for _, tc := range []struct {
		name        string
		permissions []string
		owner       bool
		want        user.Role
	}{
		{"the owner, with any permissions", nil, true, user.StoreOwner},
		{"all permissions without ownership", user.Permissions(), false, user.Custom},
		{"an administrator", user.StoreAdministrator.Permissions(), false, user.StoreAdministrator},
		{"a manager", user.SalesManager.Permissions(), false, user.SalesManager},
		{"staff", user.SalesStaff.Permissions(), false, user.SalesStaff},
		{"staff and more", slices.Sorted(slices.Values(append(user.SalesStaff.Permissions(), "Add_Brands"))), false,
			user.Custom},
		{"nothing", nil, false, user.Custom},
	} {
		t.Run(tc.name, func(t *testing.T) {
			check.Equal(t, user.RoleOf(tc.permissions, tc.owner), tc.want, "user.RoleOf(tc.permissions, tc.owner)")
		})
	}
	check.Equal(t, user.StoreAdministrator.Name(), "Store Administrator", "name")
}
