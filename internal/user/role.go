package user

import (
	"slices"
	"strings"
	"sync"
)

// Role is a named set of permissions in a store.
type Role string

// The roles, from the mightiest to the least, and the name for every other
// set.
const (
	StoreOwner         Role = "STORE_OWNER"
	StoreAdministrator Role = "STORE_ADMINISTRATOR"
	SalesManager       Role = "SALES_MANAGER"
	SalesStaff         Role = "SALES_STAFF"
	Custom             Role = "CUSTOM"
)

// HighRisk reports whether the permission is one that a store's owner alone
// grants, since whoever holds it can let programs or others act in the store.
func HighRisk(permission string) bool { return slices.Contains(highRisk, permission) }

var highRisk = []string{
	"Create_Store_API_Tokens", "Delete_Store_API_Tokens", "Grant_High_Risk_Store_Permissions",
	"IntegratedApps_InstallApp", "IntegratedApps_LoadApp", "IntegratedApps_UninstallApp", "List_Store_API_Tokens",
}

// What those who sell may do. A manager may do besides whatever concerns the
// goods and the people who buy them.
var (
	salesStaff = []string{
		"Add_Customer", "Add_Orders", "Edit_Customers", "Edit_Orders", "Manage_Customers", "Manage_Orders", "Manage_Returns",
		"Order_Messages", "See_Store_During_Maintenance", "Statistics_Orders", "Statistics_Overview",
	}
	salesManager = append([]string{
		"Add_Coupons", "Add_Promotions", "Approve_Reviews", "Capture_Funds", "Create_Category", "Create_Product", "Customer_Groups",
		"Customize_Order_Statuses", "Delete_Customers", "Delete_Orders", "Edit_Categories", "Edit_Coupons", "Edit_Products",
		"Edit_Promotions", "Edit_Reviews", "Export_Customers", "Export_Orders", "Export_Products", "Import_Order_Tracking_Numbers",
		"Manage_Categories", "Manage_Coupons", "Manage_GiftCertificates", "Manage_Inventory", "Manage_Products", "Manage_Promotions",
		"Manage_Reviews", "Manage_Store_Credit", "Refund_Orders", "Statistics_Customers", "Statistics_Products", "Statistics_Search",
		"Undelete_Orders",
	}, salesStaff...)
)

// Permissions returns what the role may do, in alphabetical order: nothing for
// Custom, which stands for any other set.
func (r Role) Permissions() []string {
	switch r {
	case StoreOwner:
		return Permissions()
	case StoreAdministrator:
		return slices.DeleteFunc(Permissions(), HighRisk)
	case SalesManager:
		return slices.Sorted(slices.Values(salesManager))
	case SalesStaff:
		return slices.Clone(salesStaff)
	}
	return nil
}

// Name is the role's name for people.
func (r Role) Name() string {
	words := strings.Split(strings.ToLower(string(r)), "_")
	for i, w := range words {
		words[i] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.Join(words, " ")
}

// Roles returns all roles, the mightiest first.
func Roles() []Role { return []Role{StoreOwner, StoreAdministrator, SalesManager, SalesStaff, Custom} }

// named are the roles by their permissions: whoever lists people asks for each
// of them.
var named = sync.OnceValue(func() map[string]Role {
	roles := map[string]Role{}
	for _, r := range []Role{StoreAdministrator, SalesManager, SalesStaff} {
		roles[strings.Join(r.Permissions(), " ")] = r
	}
	return roles
})

// RoleOf returns the role of somebody in a store with these permissions, in
// alphabetical order: that of its owner, or the one with exactly this set.
func RoleOf(permissions []string, owner bool) Role {
	if owner {
		return StoreOwner
	}
	if role, known := named()[strings.Join(permissions, " ")]; known {
		return role
	}
	return Custom
}
