package panel_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// A token can lose scopes and never gain any, and the form offers only its current ones.
func TestNarrowToken(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *server, owner *visitor, at string) {
		owner.create(at, "Broad", "scopes.store_orders", "store_v2_orders", "allowedIpRanges", "203.0.113.0/24",
			"expiresIn", "month")
		page := owner.open(at+"/"+idOf(owner, at, "Broad")).wants(http.StatusOK, "203.0.113.0/24")
		page.lacks("scopes.store_products")
		owner.submit(page, "Save").wants(http.StatusUnprocessableEntity,
			"Nothing would change. Change at least one field.")
		for pair, want := range map[[2]string]string{
			{"scopes.store_products", "store_v2_products"}: "An update can only",
			{"allowedIpRanges", "0.0.0.0/0"}:               "An update can only",
			{"expiresAt", "2099-01-01T00:00"}:              "An update can only",
			{"expiresAt", ""}:                              "An update can only",
			{"name", "x"}:                                  "A name has 4 to 100 characters.",
		} {
			owner.submit(page, "Save", pair[0], pair[1]).wants(http.StatusUnprocessableEntity, want)
		}
		wrong := owner.submit(page, "Save", "name", "x", "scopes.store_carts", "", "allowedIpRanges", "203.0.113.64/26",
			"expiresAt", "2001-01-01T00:00")
		for _, f := range wrong.wants(http.StatusUnprocessableEntity, "A name has 4 to 100 characters.").forms() {
			kept := f.values
			if slices.Contains(f.buttons, "Save") &&
				(kept.Get("name") != "x" || kept.Get("scopes.store_carts") != "" ||
					kept.Get("scopes.store_orders") == "" ||
					kept.Get("allowedIpRanges") != "203.0.113.64/26" || kept.Get("expiresAt") != "2001-01-01T00:00") {
				t.Errorf("form after an error: got %v, want the entered values", kept)
			}
		}
		to := owner.submit(page, "Save", "name", "Narrow", "scopes.store_orders", "store_v2_orders_read_only",
			"scopes.store_carts", "", "allowedIpRanges", "203.0.113.8/29")
		page = owner.open(to.header.Get("Location")).wants(http.StatusOK,
			"The changes to the API token “Narrow” were saved.")
		page.wants(http.StatusOK, "Orders: read-only").wants(http.StatusOK, "Allowed IP addresses 203.0.113.8/29")
		page.wants(http.StatusOK, "Changed Name Broad → changed to Narrow Scopes Removed: Carts: modify"+
			" Removed: Orders: modify Allowed IP addresses Removed: 203.0.113.0/24 Added: 203.0.113.8/29")
		page.lacks("Added: Orders").lacks("Name: Broad")
		page.lacks(`value="store_cart"`)
	})
}

// An update keeps scopes that the page does not show because the account is no longer enrolled in the feature.
func TestNarrowTokenKeepsWhatIsNotShown(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, at := s.signedIn(s.OwnerEmail), tokensOf(s)["account"]
		owner.create(at, "Billing", "scopes.x", "account_charges_read")
		page := at + "/" + idOf(owner, at, "Billing")
		enrolled := func(features string) {
			s.apply("accounts:\n  - uuid: " + s.Account + "\n    name: Acme Retail\n    owner: {email: " +
				s.OwnerEmail + "}\n    features: [" + features + "]\n")
		}
		enrolled("")
		time.Sleep(remembered)
		shown := owner.open(page).wants(http.StatusOK, "Restrict").lacks(`value="account_charges_read"`)
		owner.submit(shown, "Save", "name", "Charging").goes(page).notes("token_narrowed", 1)
		enrolled("automated_billing")
		time.Sleep(remembered)
		if !strings.Contains(owner.open(page).body, `value="account_charges_read"`) {
			t.Error("scopes after a change of the name: got no account_charges_read, want it kept")
		}
	})
}

// A token that can charge can have a charge limit, which can only be lowered. No other form offers one.
func TestChargeLimitOfAToken(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, at := s.signedIn(s.OwnerEmail), tokensOf(s)["account"]
		owner.open(tokensOf(s)["store"] + "/new").lacks("chargeLimit")
		owner.submit(owner.open(at+"/new"), "Create API token", "name", "Charging", "scopes.account_charges",
			"account_charges_write", "chargeLimit", "1.001").refuses("chargeLimit")
		owner.create(at, "Charging", "scopes.account_charges", "account_charges_write", "chargeLimit", "1000")
		one := at + "/" + idOf(owner, at, "Charging")
		page := owner.open(one).wants(http.StatusOK, "Charge limit $1,000.00 a month")
		for _, wrong := range []string{"1000.01", "", "a lot"} {
			owner.submit(page, "Save", "chargeLimit", wrong).refuses("chargeLimit")
		}
		owner.submit(page, "Save", "chargeLimit", "50").goes(one).notes("token_narrowed", 1)
		owner.open(one).wants(http.StatusOK, "Charge limit in a month 1000.00 USD → changed to 50.00 USD")
		owner.open(at).wants(http.StatusOK, "Charge limit: $50.00 a month")
		owner.create(at, "Reading", "scopes.account_charges", "account_charges_read")
		owner.open(at + "/" + idOf(owner, at, "Reading")).lacks("chargeLimit")
	})
}

// A new token expires when the form says, with dates in the viewer's time zone, and is limited to the allowed IP
// addresses.
func TestTokenEnds(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *server, owner *visitor, at string) {
		owner.keep("latchkey-zone", "Pacific/Kiritimati") // 14 hours ahead
		defer owner.keep("latchkey-zone", "UTC")
		in := func(days int) time.Time { return time.Now().AddDate(0, 0, days) }
		for name, c := range map[string]struct {
			pairs []string
			want  time.Time
		}{
			"for good": {[]string{"expiresIn", "never"}, time.Time{}}, "a week": {[]string{"expiresIn", "week"}, in(7)},
			"a month":    {[]string{"expiresIn", "month"}, in(30)},
			"a quarter":  {nil, in(90)}, // unless the visitor chooses
			"two months": {[]string{"expiresIn", "two_months"}, in(60)},
			"a year":     {[]string{"expiresIn", "year"}, in(365)},
			"a day": {[]string{"expiresIn", "custom", "expiresAt", "2099-01-01T00:00"},
				time.Date(2098, 12, 31, 10, 0, 0, 0, time.UTC)},
		} {
			owner.create(at, "Works "+name, append(c.pairs, "allowedIpRanges",
				"203.0.113.0/24\n2001:db8::1")...).wants(http.StatusOK, "shown only once")
			page := owner.open(at+"/"+idOf(owner, at, "Works "+name)).wants(http.StatusOK,
				"Allowed IP addresses 203.0.113.0/24, 2001:db8::1/128")
			if got := endOf(t, page); got.Sub(c.want).Abs() > time.Minute {
				t.Errorf("works %s: until %s, want %s", name, got, c.want)
			}
		}
	})
}

// endOf returns the expiration of a page's token, zero for never.
func endOf(t *testing.T, page *reply) time.Time {
	t.Helper()
	for _, dt := range page.all("dt") {
		if textOf(dt) != "Expires" {
			continue
		}
		for n := range dt.NextSibling.Descendants() {
			if text, found := attribute(n, "datetime"); found {
				at, err := time.Parse(time.RFC3339, text)
				if err != nil {
					t.Fatal(err)
				}
				return at
			}
		}
		return time.Time{}
	}
	t.Fatalf("got no end on %s, want one", page.text())
	return time.Time{}
}
