package scope_test

import (
	"slices"
	"strings"
	"testing"

	"latchkey/internal/scope"
	"latchkey/internal/test/check"
)

const billing = scope.FeatureAutomatedBilling

// published are the platform's scopes in the catalogue's order.
var published = []scope.Grant{
	account("account_read"),
	account("account_apps_read"),
	account("account_stores_read"),
	account("account_stores_write", "account_stores_read"),
	account("account_users_read"),
	account("account_users_write", "account_users_read"),
	account("account_users_delete"),
	account("account_api_tokens_read"),
	{Scope: "account_api_tokens_write", Level: scope.LevelAccount, Implies: []string{"account_api_tokens_read"}},
	account("account_audit_read"),
	account("account_webhooks_read"),
	account("account_webhooks_write", "account_webhooks_read"),
	billed("account_checkouts_read"),
	billed("account_checkouts_create", "account_checkouts_read"),
	billed("account_subscriptions_read"),
	billed("account_subscriptions_cancel", "account_subscriptions_read"),
	billed("account_charges_read"),
	billed("account_charges_write", "account_charges_read"),

	store("store_cart_read_only"),
	store("store_cart", "store_cart_read_only"),
	store("store_channel_settings_read_only"),
	store("store_channel_settings", "store_channel_settings_read_only"),
	store("store_channel_listings_read_only"),
	store("store_channel_listings", "store_channel_listings_read_only"),
	store("store_checkout_read_only"),
	store("store_checkout", "store_checkout_read_only"),
	store("store_content_checkout_read_only"),
	store("store_content_checkout", "store_content_checkout_read_only"),
	store("store_v2_content_read_only"),
	store("store_v2_content", "store_v2_content_read_only"),
	store("store_v2_customers_read_only"),
	store("store_v2_customers", "store_v2_customers_read_only"),
	store("store_v2_customers_login"),
	store("store_fulfillment_methods_read_only"),
	store("store_fulfillment_methods_manage", "store_fulfillment_methods_read_only"),
	store("store_v2_information_read_only"),
	store("store_v2_information", "store_v2_information_read_only"),
	store("store_v2_marketing_read_only"),
	store("store_v2_marketing", "store_v2_marketing_read_only"),
	store("store_metafield_change_owner"),
	store("store_metafield_write"),
	store("store_metafield_write_all", "store_metafield_write"),
	store("store_v2_orders_read_only"),
	store("store_v2_orders", "store_v2_orders_read_only"),
	store("store_order_fulfillment_read_only"),
	store("store_order_fulfillment_manage", "store_order_fulfillment_read_only"),
	store("store_v2_transactions_read_only"),
	store("store_v2_transactions", "store_v2_transactions_read_only"),
	store("store_payments_methods_read"),
	store("store_v2_products_read_only"),
	store("store_v2_products", "store_v2_products_read_only"),
	store("store_sites_read_only"),
	store("store_sites", "store_sites_read_only"),
	store("store_inventory_read_only"),
	store("store_inventory", "store_inventory_read_only"),
	store("store_locations_read_only"),
	store("store_locations", "store_locations_read_only"),
	store("store_stored_payment_instruments_read_only"),
	store("store_stored_payment_instruments", "store_stored_payment_instruments_read_only"),
	store("store_translations_read_only"),
	store("store_translations", "store_translations_read_only"),
	store("store_themes_read_only"),
	store("store_themes_manage", "store_themes_read_only"),
	store("store_payments_access_token_create"),
	store("store_storefront_api"),
	store("store_storefront_api_customer_impersonation"),
}

func account(name string, implies ...string) scope.Grant {
	return scope.Grant{Scope: name, Level: scope.LevelAccount, Delegable: true, Implies: implies}
}

func billed(name string, implies ...string) scope.Grant {
	return scope.Grant{Scope: name, Level: scope.LevelAccount, Feature: billing, Delegable: true, Implies: implies}
}

func store(name string, implies ...string) scope.Grant {
	return scope.Grant{Scope: name, Level: scope.LevelStore, Delegable: true, Implies: implies}
}

func TestDefaultHasEveryScope(t *testing.T) {
	var offered []string
	for _, r := range scope.Default().Resources(scope.LevelAccount, []scope.Feature{billing}) {
		for _, p := range r.Permissions {
			offered = append(offered, p.Scope)
		}
	}
	var wanted []string
	for _, want := range published {
		wanted = append(wanted, want.Scope)
		t.Run(want.Scope, func(t *testing.T) {
			got, found := scope.Default().Lookup(want.Scope)
			if !found {
				t.Fatalf("Lookup(%q): not found, want it in the catalogue", want.Scope)
			}
			same := got.Scope == want.Scope && got.Level == want.Level && got.Feature == want.Feature &&
				got.Delegable == want.Delegable
			if !same || !slices.Equal(got.Implies, want.Implies) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
	check.Equal(t, offered, wanted, "offered")
}

func TestConstantsAreInTheDefault(t *testing.T) {
	for _, name := range []string{
		scope.AccountRead, scope.AccountAppsRead, scope.AccountStoresRead, scope.AccountStoresWrite,
		scope.AccountUsersRead, scope.AccountUsersWrite, scope.AccountUsersDelete,
		scope.AccountCheckoutsRead, scope.AccountCheckoutsCreate,
		scope.AccountSubscriptionsRead, scope.AccountSubscriptionsCancel,
		scope.AccountChargesRead, scope.AccountChargesWrite,
		scope.AccountAPITokensRead, scope.AccountAPITokensWrite, scope.AccountAuditRead,
	} {
		if grant, found := scope.Default().Lookup(name); !found || grant.Level != scope.LevelAccount {
			t.Errorf("Lookup(%q) = %+v, %t, want level %s", name, grant, found, scope.LevelAccount)
		}
	}
}

func TestDefaultDescriptions(t *testing.T) {
	names := map[string]bool{}
	for _, r := range scope.Default().Resources(scope.LevelAccount, []scope.Feature{billing}) {
		if names[r.Name] {
			t.Errorf("two resources have the name %s, want different names", r.Name)
		}
		names[r.Name] = true
		sentences := []string{r.Description}
		for _, p := range r.Permissions {
			sentences = append(sentences, p.Description)
		}
		for _, s := range sentences {
			if !strings.HasSuffix(s, ".") || strings.ToUpper(s[:1]) != s[:1] {
				t.Errorf("%s: description %q, want a sentence", r.Key, s)
			}
		}
	}
}

func TestResources(t *testing.T) {
	for _, test := range []struct {
		name     string
		level    scope.Level
		features []scope.Feature
		want     map[string]int // resources by section
	}{
		{"account level", scope.LevelAccount, nil, map[string]int{"Account": 7, "Store": 27}},
		{"account level with billing", scope.LevelAccount, []scope.Feature{billing},
			map[string]int{"Account": 7, "Automated billing": 3, "Store": 27}},
		{"account level with another feature", scope.LevelAccount, []scope.Feature{"OTHER"},
			map[string]int{"Account": 7, "Store": 27}},
		{"store level", scope.LevelStore, nil, map[string]int{"Store": 27}},
		{"store level with billing", scope.LevelStore, []scope.Feature{billing}, map[string]int{"Store": 27}},
		{"no level", "", nil, map[string]int{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := map[string]int{}
			for _, r := range scope.Default().Resources(test.level, test.features) {
				got[r.Section]++
				if r.Feature != "" && !slices.Contains(test.features, r.Feature) {
					t.Errorf("%s is listed without its feature, want it hidden", r.Key)
				}
			}
			for section := range test.want {
				check.Equal(t, got[section], test.want[section], "%s", section)
			}
			check.Equal(t, len(got), len(test.want), "sections are %v", got)
		})
	}
}

func TestLookupOfUnknown(t *testing.T) {
	if grant, found := scope.Default().Lookup("account_everything"); found {
		t.Errorf("Lookup of an unknown scope = %+v, want none", grant)
	}
}

const chain = `resources:
  - {key: r, name: R, section: S, level: store, description: D., permissions: [
      {name: a, scope: a, description: D., implies: [c, b]},
      {name: b, scope: b, description: D., implies: [d]},
      {name: c, scope: c, description: D., implies: [d]},
      {name: d, scope: d, description: D.}]}
`

func TestExpand(t *testing.T) {
	c, err := scope.Parse(strings.NewReader(chain))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		input []string
		want  string
	}{
		{"nothing", nil, ""},
		{"transitive, along two paths", []string{"a"}, "a b c d"},
		{"one step", []string{"b"}, "b d"},
		{"no implications", []string{"d"}, "d"},
		{"duplicates", []string{"d", "b", "d", "b"}, "b d"},
		{"unknown is kept", []string{"x", "c"}, "c d x"},
	} {
		t.Run(test.name, func(t *testing.T) {
			input := slices.Clone(test.input)
			check.Equal(t, c.Expand(test.input...).String(), test.want, "c.Expand(test.input...).String()")
			check.Equal(t, input, test.input, "the argument was changed to")
		})
	}
	grant, _ := c.Lookup("a")
	check.Equal(t, grant.Implies, []string{"b", "c", "d"}, "what a implies")
}

func TestVisible(t *testing.T) {
	c, beta := scope.Default(), []scope.Feature{scope.FeatureAutomatedBilling}
	held := scope.NewSet("account_read", "account_subscriptions_read", "removed_scope")
	for _, test := range []struct {
		name     string
		features []scope.Feature
		want     string
	}{
		{"enrolled", beta, held.String()},
		{"not enrolled", nil, "account_read removed_scope"},
	} {
		check.Equal(t, c.Visible(held, test.features).String(), test.want, "%s", test.name)
	}
	check.Equal(t, held.Len(), 3, "the set was changed to %q", held)
	if names := c.Names(); !slices.Contains(names, "store_cart") ||
		slices.Contains(names, "account_subscriptions_read") {
		t.Errorf("Names() = %q, want store_cart, but no scope of a feature", names)
	}
}

func TestDescribe(t *testing.T) {
	for _, tc := range []struct {
		name   string
		scopes []string
		want   []string
	}{
		{"nothing", nil, nil},
		{"one", []string{"account_users_read"}, []string{"Account Users: read-only"}},
		{"one implied", []string{"account_users_read", "account_users_write"}, []string{"Account Users: modify"}},
		{"several, of which one is implied", []string{"account_users_delete", "account_users_read",
			"account_users_write"}, []string{"Account Users: modify, remove"}},
		{"several, none of them implied", []string{"account_users_delete", "account_users_read"},
			[]string{"Account Users: read-only, remove"}},
		{"in the catalogue's order", []string{"store_cart", "account_read"},
			[]string{"Account: read-only", "Carts: modify"}},
		{"unknown", []string{"gone", "store_cart"}, []string{"Carts: modify", "gone"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			described := scope.Default().Describe(scope.NewSet(tc.scopes...))
			var got []string
			for _, r := range described.Resources {
				var names []string
				for _, p := range r.Permissions {
					names = append(names, p.Name)
				}
				got = append(got, r.Name+": "+strings.Join(names, ", "))
			}
			if got = append(got, described.Unknown...); !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
