package panel

import (
	"regexp"
	"strings"
	"time"

	"latchkey/internal/user"
)

// The names of permissions and the RFC 3339 times in the messages of services.
var (
	namedInAPI = regexp.MustCompile(`\b[A-Z][A-Za-z]*(?:_[A-Za-z]+)+\b`)
	timeInAPI  = regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)`)
)

// reword rewrites the message of a service for the panel: permissions get their labels, and times the viewer's time
// zone.
func (q *request) reword(text string) string {
	text = namedInAPI.ReplaceAllStringFunc(text, func(name string) string {
		if !user.IsPermission(name) {
			return name
		}
		return q.text("permissions.quoted", "name", q.label("permissions.names.", name))
	})
	return timeInAPI.ReplaceAllStringFunc(text, func(at string) string {
		parsed, err := time.Parse(time.RFC3339Nano, at)
		if err != nil {
			return at
		}
		return shortTime(q.zone, parsed)
	})
}

// grouped is the permissions of one topic, in display order.
type grouped struct {
	key   string
	names []string
}

// permissionGroups returns all permissions by topic. Their labels are in the messages.
func permissionGroups() []grouped {
	groups := []grouped{
		{"people", strings.Fields("Manage_Users Add_User Edit_Users Delete_Users")},
		{"orders", strings.Fields(`Manage_Orders Add_Orders Edit_Orders Delete_Orders Undelete_Orders Purge_Orders Export_Orders Order_Messages
			Manage_Returns Capture_Funds Refund_Orders Import_Order_Tracking_Numbers Customize_Order_Statuses`)},
		{"customers", strings.Fields(`Manage_Customers Add_Customer Edit_Customers Delete_Customers Import_Customers Export_Customers Customer_Groups
			Manage_Store_Credit Manage_FormFields Add_FormFields Edit_FormFields Delete_FormFields`)},
		{"products", strings.Fields(`Manage_Products Create_Product Edit_Products Delete_Products Import_Products Export_Products Export_Froogle
			Manage_ProductAttributes Manage_Inventory Manage_PriceLists Manage_Categories Create_Category Edit_Categories Delete_Categories
			Manage_Brands Add_Brands Edit_Brands Delete_Brands Manage_Reviews Approve_Reviews Edit_Reviews Delete_Reviews`)},
		{"marketing", strings.Fields(`Manage_Coupons Add_Coupons Edit_Coupons Delete_Coupons Manage_Promotions Add_Promotions Edit_Promotions
			Delete_Promotions Manage_GiftCertificates Manage_Banners Manage_EmailMarketing Newsletter_Subscribers
			Manage_AbandonedCartNotifications Manage_Abandoned_Cart_Settings Google_Adwords Shopping_Comparison Yahoo_Search_Marketing View_XMLSitemap`)},
		{"content", strings.Fields(`Manage_Pages Add_Pages Edit_Pages Delete_Pages Manage_News Manage_Images Manage_Redirects Design_Mode
			Manage_Templates Purchase_Theme Manage_Scripts See_Store_During_Maintenance`)},
		{"channels", strings.Fields(`Read_Channels Create_Channels Edit_Channels Delete_Channels Read_Locations Create_Locations Edit_Locations
			Delete_Locations Ebay_Selling Facebook_Selling`)},
		{"settings", strings.Fields(`Manage_Settings Manage_Payments Manage_Shipping Manage_Tax Manage_Cart_Settings Manage_Customer_Settings
			Manage_Order_Settings Manage_DNS_Records Manage_EmailAccounts Manage_ExportTemplates Manage_Web_Analytics
			Manage_Customer_Data_Platforms Manage_Data_Warehouses Manage_Addons Manage_Logs`)},
		{"statistics", strings.Fields(`Statistics_Overview Statistics_Orders Statistics_Products Statistics_Customers Statistics_Search
			Statistics_AbandonedCarts Statistics_JirafeOverview Statistics_JirafeOrders Statistics_JirafeCustomers Statistics_JirafeCarts
			Statistics_JirafeAbandonedCarts Statistics_JirafePurchaseFunnel Statistics_JirafeMarketing Statistics_JirafeMerchandising
			Statistics_JirafeRealTime Statistics_JirafeInsights Statistics_JirafeIntegrations`)},
		{"programs", strings.Fields(`List_Store_API_Tokens Create_Store_API_Tokens Delete_Store_API_Tokens IntegratedApps_InstallApp
			IntegratedApps_LoadApp IntegratedApps_UninstallApp Grant_High_Risk_Store_Permissions`)},
		{"other", []string{"No_Permission_Required"}},
	}
	return groups
}
