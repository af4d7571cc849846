package panel_test

import (
	"net/http"
	"strings"
	"testing"
)

// The account's owner adds a store, once for each form, and renames it. Its pages have its name.
func TestStores(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		list := owner.get(s.page("/stores")).wants(http.StatusOK, "Acme US acme1us").wants(http.StatusOK, "Active").
			wants(http.StatusOK, "2 stores")
		form := owner.get(linkCalled(t, list, "Add store"))
		for _, name := range []string{" ", strings.Repeat("x", 256)} {
			form = owner.submit(form, "Add store", "name", name)
			form.refuses("name")
		}
		added := owner.submit(form, "Add store", "name", " Acme <Asia> ")
		tokens := owner.get(added.header.Get("Location"))
		tokens.wants(http.StatusOK, "The store Acme <Asia> was added.").wants(http.StatusOK,
			"Tokens for the APIs of Acme <Asia> only.")
		owner.submit(form, "Add store", "name", "Acme Asia").wants(http.StatusUnprocessableEntity,
			"This form was sent already.")
		settings := owner.get(linkCalled(t, tokens, "Settings"))
		settings.wants(http.StatusOK, "Acme <Asia> API tokens Users Settings").wants(http.StatusOK,
			"Owner "+s.OwnerEmail)
		at := path(settings.url)
		owner.submit(settings, "Rename", "name", "two\nlines").refuses("name")
		owner.submit(settings, "Rename", "name", "Acme Japan").goes(at).notes("store_renamed", 1)
		renamed := owner.get(at).wants(http.StatusOK, "Acme Japan API tokens Users Settings").lacks("Asia")
		owner.get(linkCalled(t, renamed, "Users")).wants(http.StatusOK, "All users of Acme Japan").wants(http.StatusOK,
			s.OwnerEmail)
		owner.get(s.page("/stores")).wants(http.StatusOK, "Acme Japan").lacks("Asia")
		owner.get(strings.TrimSuffix(at, "/settings")).goes(strings.TrimSuffix(at, "settings") + "tokens")
	})
}

// A menu leads to the same page of another store or, if the visitor may not open that, to the first one of the store.
func TestSwitchStores(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		s.apply(`accounts:
  - uuid: ` + s.Account + `
    name: Acme Retail
    owner: {email: ` + s.OwnerEmail + `}
    stores:
      - {hash: acme1us, name: Acme US, users: [{email: ` + chloe + `, permissions: [Manage_Users]}]}
      - {hash: acme2eu, name: Acme EU, users: [{email: ` + chloe + `, permissions: [List_Store_API_Tokens]}]}
`)
		owner := s.signedIn(s.OwnerEmail)
		for _, tab := range []string{"/tokens", "/users", "/settings"} {
			page := owner.get(s.page("/stores/acme1us"+tab)).wants(http.StatusOK, "Switch store")
			check := owner.get(linkCalled(t, page, "Acme EU"))
			if check.url != s.page("/stores/acme2eu"+tab) {
				t.Errorf("Acme EU on %s: got a link to %s, want the same page", page.url, check.url)
			}
		}
		clerk := s.signedIn(chloe)
		page := clerk.get(s.page("/stores/acme1us/users"))
		clerk.get(linkCalled(t, page, "Acme EU")).wants(http.StatusOK, "Tokens for the APIs of Acme EU only.")
		settings := clerk.get(linkCalled(t, page, "Settings"))
		settings.wants(http.StatusOK, "Acme US Users Settings").lacks("Rename").lacks("API tokens")
		clerk.get(s.page("/stores/acme2eu/settings")).wants(http.StatusOK, "acme2eu").lacks("Owner")
		clerk.get(s.page("/stores")).lacks("Add store")
		clerk.get(s.page("/stores/new")).wants(http.StatusForbidden, s.OwnerEmail)
		stranger := s.signedIn(ben)
		stranger.get(s.page("/stores")).wants(http.StatusOK, "You are deactivated in every store that you belong to.").
			wants(http.StatusOK, "Ask Acme Owner to reactivate you:")
		before := s.contents()
		clerk.post(s.page("/stores/new"), "name", "Mine").wants(http.StatusForbidden, "")
		clerk.post(s.page("/stores/acme1us/settings"), "name", "Mine").wants(http.StatusForbidden, "")
		stranger.get(s.page("/stores/acme2eu/settings")).wants(http.StatusNotFound, "no such store")
		s.unchanged(before)
	})
}
