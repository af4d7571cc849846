package panel_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"latchkey/internal/test/check"
)

// scopesChosen returns the scopes that are selected in the form of a new token, sorted.
func scopesChosen(page *reply) []string {
	var chosen []string
	for name, values := range valuesOf(page, nil) {
		if strings.HasPrefix(name, "scopes.") {
			chosen = append(chosen, values...)
		}
	}
	chosen = slices.DeleteFunc(chosen, func(name string) bool { return name == "" })
	slices.Sort(chosen)
	return chosen
}

// A form starts with the scopes of a preset or with another token, and a new one with 90 days.
func TestStartsOfATokenForm(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *server, owner *visitor, at string) {
		page := owner.open(at + "/new")
		check.Equal(t, scopesChosen(page), nil, "scopes of a new form")
		check.Equal(t, valuesOf(page, nil).Get("expiresIn"), "quarter", "expiration of a new form")
		page = owner.open(at + "/new?preset=product_import")
		check.Equal(t, scopesChosen(page), []string{"store_channel_listings", "store_inventory",
			"store_locations_read_only", "store_v2_products"}, "scopes of a preset")
		owner.submit(page, "Create API token", "name", "Import", "allowedIpRanges", "203.0.113.7").
			wants(http.StatusOK, "shown only once")
		original := at + "/new?from=" + idOf(owner, at, "Import")
		page = owner.open(original).wants(http.StatusOK, "Create API token")
		values := valuesOf(page, nil)
		check.Equal(t, values.Get("name"), "Copy of Import", "name")
		check.Equal(t, values.Get("allowedIpRanges"), "203.0.113.7/32", "ranges")
		check.Equal(t, len(scopesChosen(page)), 4, "scopes of a copy")
		owner.submit(page, "Create API token").wants(http.StatusOK, "shown only once")
		for level, other := range tokensOf(s) {
			if other != at {
				check.Equal(t, scopesChosen(owner.open(strings.Replace(original, at, other, 1))), nil,
					"scopes of a token of another place, at the level %s", level)
			}
		}
		owner.open(at+"/new?from=nonsense&preset=nonsense").wants(http.StatusOK, "Create API token")
	})
}

// A maximum lifetime bounds the choices, and the longest of them is chosen if 90 days are too long.
func TestLongestLifetimeInTheForm(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		page := owner.open(tokensOf(s)["account"]+"/new").wants(http.StatusOK, "at most 45 days")
		check.Equal(t, valuesOf(page, nil).Get("expiresIn"), "month", "expiration of a new form")
		page.lacks(`value="never"`).lacks(`value="two_months"`)
	}, "LATCHKEY_MAX_TOKEN_LIFETIME=1080h")
}

// The form warns of a name that an active token has, which is allowed.
func TestUsedNames(t *testing.T) {
	whileSignedIn(t, func(t *testing.T, s *server, b *browser) {
		owner := s.signedIn(s.OwnerEmail)
		at := tokensOf(s)["account"]
		owner.create(at, "Nightly import").wants(http.StatusOK, "shown only once")
		b.open(at + "/new")
		b.fill("Name", "nightly IMPORT")
		b.see("An active token already has this name.")
		b.fill("Name", "Another")
		b.miss("An active token already has this name.")
		review := owner.submit(owner.open(at+"/new"), "Update summary", "name", "Nightly import")
		review.wants(http.StatusUnprocessableEntity, "An active token already has this name.")
	})
}

// Presets, the filter, the buttons of a group and implied scopes work without loading the page again.
func TestChoosingScopesInBrowser(t *testing.T) {
	whileSignedIn(t, func(t *testing.T, s *server, b *browser) {
		b.open(tokensOf(s)["account"] + "/new")
		b.fill("Name", "Kept")
		b.click("Provisioning")
		b.see("Account Users: modify, remove")
		b.see("Account: read-only")
		check.Equal(t, b.value("Name"), "Kept", "name after choosing a preset")
		const locked = `document.querySelector('input[value="account_users_read"]:checked:disabled') !== null`
		b.await("the implied scope to be checked and locked", locked)
		b.check("Account Users: modify")
		b.await("the implied scope to be free again", "!("+locked+")")
		b.miss("Account Users: modify, remove")
		b.click("None: Account")
		b.see("No scopes chosen yet.")
		b.click("All read-only: Account")
		b.see("Audit Log: read-only")
		b.fill("Find scopes by name or ID", "store_v2_products")
		b.await("only the products", `[...document.querySelectorAll(".scope")].filter((e) => e.checkVisibility()).length === 1`)
		b.check("Products: modify")
		b.see("Products: modify")
		b.fill("Find scopes by name or ID", "nothing like it")
		b.see("No scopes match.")
		b.fill("Find scopes by name or ID", "")
		b.click("Add my IP (" + evaluate[string](b, "document.querySelector('[data-add]').dataset.add") + ")")
		if got := b.value("IP addresses and ranges"); !strings.HasPrefix(got, "198.51.") {
			t.Errorf("addresses: got %q, want the visitor's own", got)
		}
		b.inspect("token-new-chosen")
		b.follow("Create API token")
		b.see("shown only once")
		b.see("curl -sS")
		b.click("Copy the command")
		b.see("Copied.")
		b.follow("Done")
		b.click("Copy the client ID of Kept")
		b.await("the client ID to be copied", "document.querySelector('.list .copied') !== null")
		if got := b.clipboard(); len(got) < 20 {
			t.Errorf("clipboard: got %q, want the whole client ID", got)
		}
	})
}
