package routes_test

import (
	"net/url"
	"path"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"latchkey/internal/gateway/routes"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
)

// The scopes that each request to the store APIs requires. "-" is a request that
// requires none, "refused" one that no scope allows.
func TestBuiltIn(t *testing.T) {
	for _, tc := range []struct{ method, path, want string }{
		{"GET", "/v3/catalog/products", "store_v2_products_read_only"},
		{"HEAD", "/v3/catalog/products", "store_v2_products_read_only"},
		{"GET", "/v3/catalog/products/77/metafields?limit=5", "store_v2_products_read_only"},
		{"PUT", "/v3/catalog/products/77", "store_v2_products"},
		{"POST", "/v3/catalog/brands", "store_v2_products"},
		{"OPTIONS", "/v3/catalog/products", "store_v2_products"},
		{"get", "/v3/catalog/products", "store_v2_products"},
		{"DELETE", "/v2/categories/4", "store_v2_products"},
		{"GET", "/v2/orders", "store_v2_orders_read_only"},
		{"GET", "/v2/orders/count", "store_v2_orders_read_only"},
		{"POST", "/v2/orders/100/shipping_addresses", "store_v2_orders"},
		{"GET", "/v2/orders/100/transactions", "store_v2_transactions_read_only"},
		{"GET", "/v2/orders/100/transactions/7", "store_v2_transactions_read_only"},
		{"GET", "/v3/orders/100/transactions/7/x", "store_v2_transactions_read_only"},
		{"GET", "/v3/orders/100/Transactions", "refused"},
		{"GET", "/v3/orders/100/TRANSACTIONS/7", "refused"},
		{"GET", "/v3/orders/100/tran%C5%BFactions", "refused"},
		{"GET", "/v2/orders/100/transactions.json", "refused"},
		{"GET", "/v2/orders/100/Transactions.json", "refused"},
		{"GET", "/v2/orders/100/transactions(7)", "refused"},
		{"GET", "/v2/orders/100/transactions,a=b", "refused"},
		{"GET", "/v2/orders/100/transactions%20x", "refused"},
		{"GET", "/v3/orders/100/transactions%20", "refused"},
		{"GET", "/v3/orders/100/transactions%E2%80%8B", "refused"},
		{"GET", "/v3/orders/100/transactions%E3%85%A4", "refused"},
		{"GET", "/v3/orders/100/transactions%EF%BE%A0", "refused"},
		{"GET", "/v3/orders/100/transactions%EF%B8%8F", "refused"},
		{"GET", "/v3/orders/100/transactions-all", "store_v2_orders_read_only"},
		{"GET", "/v3/orders/100/transaction", "store_v2_orders_read_only"},
		{"GET", "/v2/orders/100.json/products.json", "store_v2_orders_read_only"},
		{"GET", "/v2/orders.json", "refused"},
		{"POST", "/v3/orders/100/payment_actions/refunds", "store_v2_transactions"},
		{"GET", "/v3/orders/payment_actions/refunds", "store_v2_transactions_read_only"},
		{"GET", "/v2/orders/100/shipments", "store_order_fulfillment_read_only"},
		{"POST", "/v2/orders/100/shipments", "store_order_fulfillment_manage"},
		{"POST", "/v3/orders/pickups", "store_order_fulfillment_manage"},
		{"GET", "/v3/orders/Payment_Actions/refunds", "refused"},
		{"GET", "/v3/orders/1/Payment_Actions/refunds", "refused"},
		{"GET", "/v3/customers", "store_v2_customers_read_only"},
		{"POST", "/v2/customer_groups", "store_v2_customers"},
		{"POST", "/v3/customers/validate-credentials", "store_v2_customers_login"},
		{"POST", "/v3/customers/validate-credentials/x", "store_v2_customers_login"},
		{"POST", "/v3/customers/Validate-Credentials", "refused"},
		{"POST", "/v2/customers/5/validate/x", "store_v2_customers_login"},
		{"POST", "/v2/customers/5/val%C4%B0date", "refused"},
		{"POST", "/v2/customers/5/val%C4%B1date", "refused"},
		{"GET", "/v3/customers/5/stored-instruments", "store_stored_payment_instruments_read_only"},
		{"GET", "/v3/customers/5/Stored-instruments", "refused"},
		{"POST", "/v3/carts", "store_cart"},
		{"GET", "/v3/checkouts/abc-1", "store_checkout_read_only"},
		{"GET", "/v3/checkouts/settings", "store_content_checkout_read_only"},
		{"PUT", "/v3/checkouts/settings/channels/1", "store_content_checkout"},
		{"GET", "/v3/checkouts/Settings", "refused"},
		{"GET", "/v2/payments/methods", "store_payments_methods_read"},
		{"POST", "/v2/payments/methods", "refused"},
		{"POST", "/v3/payments/access_tokens", "store_payments_access_token_create"},
		{"PUT", "/v3/channels/1", "store_channel_settings"},
		{"PUT", "/v3/channels/1/listings", "store_channel_listings"},
		{"GET", "/v3/channels/1/site", "store_sites_read_only"},
		{"GET", "/v3/channels/1/Site", "refused"},
		{"GET", "/v3/sites/3/routes", "store_sites_read_only"},
		{"PUT", "/v3/inventory/adjustments/absolute", "store_inventory"},
		{"GET", "/v3/inventory/locations/2", "store_locations_read_only"},
		{"GET", "/v3/inventory/locations/2/items", "store_inventory_read_only"},
		{"GET", "/v3/inventory/locations/2/items.json", "refused"},
		{"POST", "/v2/coupons", "store_v2_marketing"},
		{"GET", "/v3/promotions/3/codes", "store_v2_marketing_read_only"},
		{"GET", "/v2/blog/posts", "store_v2_content_read_only"},
		{"POST", "/v3/content/scripts", "store_v2_content"},
		{"POST", "/v3/themes", "store_themes_manage"},
		{"GET", "/v3/translations", "store_translations_read_only"},
		{"GET", "/v2/store", "store_v2_information_read_only"},
		{"PUT", "/v3/settings/store/profile", "store_v2_information"},
		{"GET", "/v3/tax/rates", "store_v2_information_read_only"},
		{"GET", "/v2/shipping/zones", "store_fulfillment_methods_read_only"},
		{"POST", "/v3/storefront/api-token", "store_storefront_api"},
		{"DELETE", "/v3/storefront/api-token/a.b", "store_storefront_api"},
		{"POST", "/v3/storefront/api-token-customer-impersonation", "store_storefront_api_customer_impersonation"},
		{"POST", "/v3/hooks", "-"},
		{"GET", "/v2/hooks/1", "-"},
		{"GET", "/v2/time", "-"},
		{"POST", "/v2/time", "refused"},
		{"", "/v3/hooks", "refused"},
		{"GET", "/v3/orders", "store_v2_orders_read_only"},
		{"GET", "/v3/catalog", "refused"},
		{"GET", "/v3", "refused"},
		{"GET", "/v4/orders", "refused"},
		{"GET", "/V2/orders", "refused"},
		{"GET", "/v2/Orders", "refused"},
		{"GET", "/graphql", "refused"},
	} {
		t.Run(tc.method+" "+tc.path, func(t *testing.T) {
			got := "refused"
			if m, ok := routes.Default().Match(tc.method, "/stores/acme1us"+tc.path); ok {
				check.Equal(t, m.Store, "acme1us", "store")
				if got = m.Missing(scope.Set{}); got == "" {
					got = "-"
				} else if lacks := m.Missing(scope.NewSet(got)); lacks != "" {
					t.Errorf("with %s: %s is missing, want nothing missing", got, lacks)
				}
			}
			check.Equal(t, got, tc.want, "got")
		})
	}
}

func TestModifyReadsToo(t *testing.T) {
	m, ok := routes.Default().Match("GET", "/stores/s/v2/orders/1/shipments")
	if !ok {
		t.Fatal("the path is refused, want it allowed")
	}
	for _, held := range []string{"store_order_fulfillment_read_only", "store_order_fulfillment_manage",
		"store_v2_orders_read_only", "store_v2_orders"} {
		check.Equal(t, m.Missing(scope.NewSet(held, "store_cart")), "", "with %s", held)
	}
	if m.Missing(scope.NewSet("store_cart")) == "" {
		t.Error("another scope is accepted, want one missing")
	}
}

// own is a table with literal, variable and wildcard routes.
const own = `routes:
  - {paths: [/a, /a/b/c, "/a/{x}/d", /a/**], read: store_cart_read_only, modify: store_cart}
  - {paths: [/a/b/**, "/a/{y}"], read: any}
`

func TestTargets(t *testing.T) {
	table, err := routes.Parse(strings.NewReader(own), scope.Default())
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, target, want string
	}{
		{"plain", "/stores/s1/a", "s1 store_cart_read_only"},
		{"a query with any content", "/stores/s1/a?x=/../%zz#&;", "s1 store_cart_read_only"},
		{"literal before variable", "/stores/s1/a/b/c", "s1 store_cart_read_only"},
		{"variable", "/stores/s1/a/z", "s1 "},
		{"literal before variable, to the end", "/stores/s1/a/b/d", "s1 "},
		{"backtracking to a variable", "/stores/s1/a/z/d", "s1 store_cart_read_only"},
		{"backtracking to a wildcard", "/stores/s1/a/z/e/f", "s1 store_cart_read_only"},
		{"a letter that is encoded", "/stores/s1/%61/%62/x", "s1 "},
		{"a space and an umlaut", "/stores/s1/a/x%20%C3%BC", "s1 "},
		{"a name that begins with a literal", "/stores/s1/a/b-1", "s1 "},
		{"punctuation that is allowed in a path", "/stores/s1/a/-._~!$&'()*+,=:@", "s1 "},
		{"three dots", "/stores/s1/a/...", "s1 "},
		{"an encoded dot in a name", "/stores/s1/a/x%2ejson", "s1 "},
		{"the hash with case", "/stores/S1/a", "S1 store_cart_read_only"},

		{"nothing", "", "refused"},
		{"only a query", "?", "refused"},
		{"no slash", "stores/s1/a", "refused"},
		{"a URL", "http://host/stores/s1/a", "refused"},
		{"an asterisk", "*", "refused"},
		{"no store", "/stores", "refused"},
		{"no path in the store", "/stores/s1", "refused"},
		{"another path", "/accounts/s1/a", "refused"},
		{"another case", "/Stores/s1/a", "refused"},
		{"a route of another case", "/stores/s1/A", "refused"},
		{"no route", "/stores/s1/b", "refused"},
		{"a slash at the end", "/stores/s1/a/", "refused"},
		{"two slashes", "/stores/s1//a", "refused"},
		{"two slashes first", "//stores/s1/a", "refused"},
		{"no hash", "/stores//a", "refused"},
		{"a dot", "/stores/s1/./a", "refused"},
		{"dots", "/stores/s1/a/../a", "refused"},
		{"dots at the end", "/stores/s1/a/..", "refused"},
		{"dots for the hash", "/stores/../a", "refused"},
		{"encoded dots", "/stores/s1/a/%2e%2E/a", "refused"},
		{"a dot and an encoded one", "/stores/s1/a/.%2e/a", "refused"},
		{"an encoded dot", "/stores/s1/%2e/a", "refused"},
		{"an encoded slash", "/stores/s1/a%2fb", "refused"},
		{"an encoded slash before dots", "/stores/s1/a/x%2F..%2Fb", "refused"},
		{"a backslash", `/stores/s1/a\b`, "refused"},
		{"an encoded backslash", "/stores/s1/a/%5c", "refused"},
		{"encoded twice", "/stores/s1/a/%252e%252e/a", "refused"},
		{"an encoded percent sign", "/stores/s1/a/100%25", "refused"},
		{"half an escape", "/stores/s1/a/%2", "refused"},
		{"only a percent sign", "/stores/s1/a/%", "refused"},
		{"no digits", "/stores/s1/a/%zz", "refused"},
		{"a sign instead of a digit", "/stores/s1/a/%+1", "refused"},
		{"NUL", "/stores/s1/a/%00", "refused"},
		{"a line break", "/stores/s1/a/x%0d%0a", "refused"},
		{"delete", "/stores/s1/a/%7f", "refused"},
		{"a C1 control character", "/stores/s1/a/%C2%85", "refused"},
		{"a zero-width space", "/stores/s1/a/x%E2%80%8By", "refused"},
		{"an invisible letter", "/stores/s1/a/x%E3%85%A4", "refused"},
		{"a variation selector", "/stores/s1/a/x%EF%B8%8F", "refused"},
		{"a no-break space", "/stores/s1/a/x%C2%A0y", "refused"},
		{"a paragraph separator", "/stores/s1/a/x%E2%80%A9y", "refused"},
		{"a leading space", "/stores/s1/a/%20x", "refused"},
		{"a trailing space", "/stores/s1/a/x%20", "refused"},
		{"a trailing space in an earlier segment", "/stores/s1/a/x%20/d", "refused"},
		{"only a space", "/stores/s1/a/%20", "refused"},
		{"a literal in another case, instead of a variable", "/stores/s1/a/B", "refused"},
		{"a literal in another case, before a wildcard", "/stores/s1/a/B/z/z", "refused"},
		{"a literal in another case, below a variable", "/stores/s1/a/z/D", "refused"},
		{"a literal with a suffix", "/stores/s1/a/b.json", "refused"},
		{"a literal with a suffix, below a variable", "/stores/s1/a/z/d.x/y", "refused"},
		{"a plus sign within a segment", "/stores/s1/a/x+y", "s1 "},
		{"a composed letter", "/stores/s1/a/%C3%A9", "s1 "},
		{"a letter and a combining accent", "/stores/s1/a/e%CC%81", "refused"},
		{"a full-width letter", "/stores/s1/a/%EF%BD%82", "refused"},
		{"a ligature", "/stores/s1/a/%EF%AC%81", "refused"},
		{"a superscript digit", "/stores/s1/a/x%C2%B2", "refused"},
		{"a leading plus sign", "/stores/s1/a/+x", "refused"},
		{"a trailing plus sign", "/stores/s1/a/x+", "refused"},
		{"a trailing encoded plus sign", "/stores/s1/a/x%2B/d", "refused"},
		{"only a plus sign", "/stores/s1/a/+", "refused"},
		{"invalid UTF-8", "/stores/s1/a/%ff", "refused"},
		{"overlong UTF-8", "/stores/s1/a/%c0%ae%c0%ae", "refused"},
		{"truncated UTF-8", "/stores/s1/a/%c3/x", "refused"},
		{"bytes that are not ASCII", "/stores/s1/a/ü", "refused"},
		{"a space", "/stores/s1/a/x y", "refused"},
		{"a fragment", "/stores/s1/a#b", "refused"},
		{"an encoded number sign", "/stores/s1/a/x%23", "refused"},
		{"an encoded question mark", "/stores/s1/a/x%3Fy", "refused"},
		{"a parameter", "/stores/s1/a/..;/b", "refused"},
		{"an encoded semicolon", "/stores/s1/a/..%3b", "refused"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := "refused"
			if m, ok := table.Match("GET", tc.target); ok {
				got = m.Store + " " + m.Missing(scope.Set{})
			}
			check.Equal(t, got, tc.want, "got")
		})
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	held := scope.NewSet("store_v2_products_read_only")
	n := testing.AllocsPerRun(100, func() {
		m, ok := routes.Default().Match("GET", "/stores/acme1us/v3/catalog/products/77/variants?limit=50")
		if !ok || m.Missing(held) != "" {
			t.Error("the path is refused, want it allowed")
		}
	})
	check.Equal(t, n, 0, "n")
}

// An allowed path has one meaning for a server that decodes it once, cleans it or
// decodes it again, and its requirements also hold for a server that parses it
// loosely.
func FuzzMatch(f *testing.F) {
	for _, seed := range []string{
		"/stores/s/v3/catalog/products", "/stores/s/v2/orders/%31/../x", "/stores/s/v3/hooks/%2e%2e;a?b",
		"/stores/s/v2/hooks/%c3%bc", "/stores/%73/v2/hooks/1/",
		"/stores/s/v3/orders/1/Transactions", "/stores/s/v2/orders/1/transactions.json",
		"/stores/s/v3/orders/1/transactions%e2%80%8b/5", "/stores/s/v3/orders/Pickups%20",
	} {
		f.Add("GET", seed)
	}
	f.Fuzz(func(t *testing.T, method, target string) {
		m, ok := routes.Default().Match(method, target)
		if !ok {
			return
		}
		raw, _, _ := strings.Cut(target, "?")
		decoded, err := url.PathUnescape(raw)
		if err != nil || path.Clean(decoded) != decoded || strings.ContainsAny(decoded, `\%;?#`) ||
			strings.ContainsFunc(decoded, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("%q is allowed as %q, %v, want only clean paths of printable characters", target, decoded, err)
		}
		if !norm.NFKC.IsNormalString(decoded) || strings.Contains("/"+decoded+"/", "/+") ||
			strings.Contains(decoded+"/", "+/") {
			t.Fatalf("%q is allowed as %q, want only normalized paths without + at an end of a segment",
				target, decoded)
		}
		parsed, err := url.ParseRequestURI(raw)
		if err != nil || parsed.Path != decoded {
			t.Fatalf("%q is allowed, and url.Parse returns %v, %v, want the path %q", target, parsed, err, decoded)
		}
		if m.Store == "" || strings.Contains(m.Store, "/") || !strings.HasPrefix(decoded, "/stores/"+m.Store+"/v") {
			t.Fatalf("%q has store %q, want the segment after /stores/", target, m.Store)
		}
		loose := "/stores/" + url.PathEscape(m.Store) + careless(m.Path)
		if other, ok := routes.Default().Match(method, loose); !ok ||
			other.Missing(scope.Set{}) != m.Missing(scope.Set{}) {
			t.Fatalf("%q needs %q, and parsed as %q needs %q, %v; want the same", target, m.Missing(scope.Set{}), loose,
				other.Missing(scope.Set{}), ok)
		}
	})
}

// careless returns a path as a server may parse it that ignores case, and what
// follows the name at the beginning of a segment.
func careless(path string) string {
	var read strings.Builder
	for _, segment := range strings.Split(path[1:], "/") {
		end := strings.IndexFunc(segment, func(r rune) bool {
			return !unicode.IsLetter(r) && !unicode.IsDigit(r) &&
				r != '-' && r != '_'
		})
		if end > 0 {
			segment = segment[:end]
		}
		read.WriteString("/" + url.PathEscape(strings.ToLower(segment)))
	}
	return read.String()
}
