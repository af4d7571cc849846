package user

import (
	"slices"
	"strings"
	"sync"
)

// Role is a named set of permissions in a store.
type Role string

// The roles, from the most to the fewest permissions. Custom is any other set.
const (
	StoreOwner         Role = "STORE_OWNER"
	StoreAdministrator Role = "STORE_ADMINISTRATOR"
	SalesManager       Role = "SALES_MANAGER"
	SalesStaff         Role = "SALES_STAFF"
	Custom             Role = "CUSTOM"
)

// HighRisk reports whether only a store's owner may grant the permission. With
// such a permission a user can give programs or other users access to the
// store.
func HighRisk(permission string) bool { return slices.Contains(highRisk, permission) }

var highRisk = []string{
	"Create_Store_API_Tokens", "Delete_Store_API_Tokens", "Grant_High_Risk_Store_Permissions",
	"IntegratedApps_InstallApp", "IntegratedApps_LoadApp", "IntegratedApps_UninstallApp", "List_Store_API_Tokens",
}

// The permissions of sales staff. A sales manager also manages products, prices
// and customers.
var (
	salesStaff = []string{
		"Add_Customer", "Add_Orders", "Edit_Customers", "Edit_Orders", "Manage_Customers", "Manage_Orders",
		"Manage_Returns",
		"Order_Messages", "See_Store_During_Maintenance", "Statistics_Orders", "Statistics_Overview",
	}
	salesManager = append([]string{
		"Add_Coupons", "Add_Promotions", "Approve_Reviews", "Capture_Funds", "Create_Category", "Create_Product",
		"Customer_Groups",
		"Customize_Order_Statuses", "Delete_Customers", "Delete_Orders", "Edit_Categories", "Edit_Coupons",
		"Edit_Products",
		"Edit_Promotions", "Edit_Reviews", "Export_Customers", "Export_Orders", "Export_Products",
		"Import_Order_Tracking_Numbers",
		"Manage_Categories", "Manage_Coupons", "Manage_GiftCertificates", "Manage_Inventory", "Manage_Products",
		"Manage_Promotions",
		"Manage_Reviews", "Manage_Store_Credit", "Refund_Orders", "Statistics_Customers", "Statistics_Products",
		"Statistics_Search",
		"Undelete_Orders",
	}, salesStaff...)
)

// Permissions returns the role's permissions in alphabetical order, or nil for
// Custom.
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

// Name returns the role's display name.
func (r Role) Name() string {
	words := strings.Split(strings.ToLower(string(r)), "_")
	for i, w := range words {
		words[i] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.Join(words, " ")
}

// Roles returns all roles, those with the most permissions first.
func Roles() []Role { return []Role{StoreOwner, StoreAdministrator, SalesManager, SalesStaff, Custom} }

// named maps a set of permissions to its role. It is computed once, since a
// list of users looks up one role a row.
var named = sync.OnceValue(func() map[string]Role {
	roles := map[string]Role{}
	for _, r := range []Role{StoreAdministrator, SalesManager, SalesStaff} {
		roles[strings.Join(r.Permissions(), " ")] = r
	}
	return roles
})

// RoleOf returns the role of a store member: StoreOwner for the owner, or the
// role with exactly these permissions, which must be in alphabetical order.
func RoleOf(permissions []string, owner bool) Role {
	if owner {
		return StoreOwner
	}
	if role, known := named()[strings.Join(permissions, " ")]; known {
		return role
	}
	return Custom
}
