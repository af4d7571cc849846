package panel_test

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// ofStores matches the pages that the owner of a store has and the account's owner does not, or sees differently.
var ofStores = regexp.MustCompile(`/(subscriptions|checkouts)(/|$)`)

// Every page that can be reached by links passes inspect: wide and narrow, light and dark, accessible. The pages do
// not depend on the database, so one is enough.
func TestEveryPageIsFitToBeSeen(t *testing.T) {
	s, checkouts := newCrawledServer(t, dbtest.SQLiteURL(t))
	seen := map[string]bool{}
	for _, each := range []struct{ who, email string }{
		{"owner", s.OwnerEmail}, {"storeowner", storeOwner}, {"staff", "keeper@acme.example"}, {"nobody", ""},
		{"both", "both@agency.example"},
	} {
		c := newCrawl(t, s, each.who, each.email)
		c.read("/", "/signin", "/accounts")
		if each.email == storeOwner {
			c.read(checkouts...)
		}
		b := s.browser(t)
		if each.email != "" {
			b.signIn(each.email)
		}
		for _, address := range slices.Sorted(maps.Keys(c.pages)) {
			name := c.who + "-" + pictured(c.pages[address].url)
			if each.email == storeOwner && !ofStores.MatchString(address) {
				continue
			}
			if slices.Contains(checkouts, address) {
				name += fmt.Sprint("-", slices.Index(checkouts, address))
			}
			if seen[name] || !isPage(c.pages[address]) || strings.Contains(address, "?") {
				continue
			}
			seen[name] = true
			b.open(address)
			// A page that shows another user the same kinds of elements is inspected once.
			shape := pictured(c.pages[address].url) + " " + evaluate[string](b, `[...new Set([...
				document.querySelectorAll("body *")].map((e) => e.localName + "." + e.className))].sort().join(" ")`)
			if seen[shape] {
				continue
			}
			seen[shape] = true
			b.inspect(name)
		}
		b.open("/nowhere")
		b.inspect(each.who + "-nowhere")
	}
}

// Names of maximum length without a space fit on every page that shows them.
func TestLongNamesFit(t *testing.T) {
	s := serve(t, dbtest.SQLiteURL(t))
	long := strings.Repeat("W", 90)
	owner, b := s.signedIn(s.OwnerEmail), s.browser(t)
	b.signIn(s.OwnerEmail)
	owner.create(s.page("/tokens"), long)
	owner.submit(owner.get(s.page("/users/invite")), "Invite", "email", "w@acme.example", "firstName", "Walt",
		"lastName", long).wants(http.StatusOK, "is in")
	person := personAt(t, owner.get(s.page("/users")), "Walt "+long)
	b.open(s.page("/tokens"))
	b.inspect("long-tokens")
	b.follow(long)
	b.inspect("long-token")
	for name, address := range map[string]string{"users": s.page("/users"), "user": person,
		"remove": person + "/remove", "audit": s.page("/audit")} {
		b.open(address)
		b.inspect("long-" + name)
	}
}

var segments = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|acme1us|acme2eu|bluebike`)

// pictured returns the name of an address's screenshots.
func pictured(address string) string {
	words := strings.FieldsFunc(segments.ReplaceAllString(path(address), "one"), func(r rune) bool { return r == '/' })
	return strings.Join(append(words, "page"), "-")
}

// The page that asks for the password again keeps the submitted form.
func TestAgain(t *testing.T) {
	inBrowser(t, func(t *testing.T, s *server) {
		b := s.browser(t)
		b.signIn(s.OwnerEmail)
		b.open("/accounts/" + s.Account + "/tokens/new")
		b.inspect("token-new")
		b.fill("Name", "Kept while asking")
		b.check("Account Users: read-only")
		s.age(16 * 60 * 1e9)
		b.follow("Create API token")
		b.see("Confirm your identity")
		b.inspect("again")
		b.fill("Password", "not the one")
		check.Equal(t, b.follow("Continue"), http.StatusUnprocessableEntity, "status")
		b.fill("Password", s.Password)
		b.follow("Continue")
		b.see("Kept while asking")
	})
}
