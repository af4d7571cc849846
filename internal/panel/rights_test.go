package panel_test

import (
	"math"
	"net/http"
	"strings"
	"testing"

	dbtest "latchkey/internal/test/db"
)

// Each kind of user follows every link and sends every form that the panel offers them. No page fails, no link is
// dead, and requests for what only other users are offered are refused.
func TestCrawl(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, database string) {
		s, checkouts := newCrawledServer(t, database)
		crawls := make([]*crawl, len(crawledUsers))
		for i, each := range crawledUsers {
			crawls[i] = newCrawl(t, s, each.who, each.email)
			crawls[i].read("/", "/signin", "/accounts")
			if each.email == storeOwner {
				crawls[i].read(checkouts...)
			}
			t.Logf("%s: %d pages, %d forms", each.who, len(crawls[i].pages), len(crawls[i].posts(mostForms)))
		}
		before := s.contents()
		for _, from := range crawls[1:] { // every user may see what a visitor without a session sees
			for _, to := range crawls {
				to.denied(from)
			}
		}
		for _, each := range crawls {
			each.err("3f1d9f0e-52b4-4c0e-8a6d-2b7c1e9d4c02")
		}
		s.unchanged(before)
		for _, each := range crawls {
			each.act()
		}
	})
}

// issueSome creates API tokens of both levels and a webhook, so that lists are not empty.
func (s *server) issueSome() {
	s.t.Helper()
	for _, each := range [][]string{
		{"--name", "Provisioning script", "--scope", "account_users_read,account_users_write"},
		{"--name", "Storefront", "--store", "acme1us", "--scope", "store_v2_products_read_only"},
		{"--name", "Warehouse", "--store", "acme2eu", "--scope", "store_v2_orders"},
	} {
		s.run("", append([]string{"token", "create", "--account", s.Account}, each...)...)
	}
	// Nothing is sent to it: there is no such event.
	s.signedIn(s.OwnerEmail).addWebhook(s.page("/webhooks"), "https://hooks.example/", "webhook.failing")
}

// unlinked are pages that a user may see without a link to them, by the end of their address.
var unlinked = []struct{ who, page string }{
	{"a store's owner", "/owner"},           // on the user's own page it changes nothing
	{"the account's owner", "/checkouts/*"}, // it says who answers
}

// mayUnled reports whether a page is one of those.
func (c *crawl) mayUnled(address string) bool {
	for _, each := range unlinked {
		if each.who == c.who && (strings.HasSuffix(address, each.page) ||
			strings.HasSuffix(likeness(address), each.page)) {
			return true
		}
	}
	return false
}

// denied requests every page and form that another user was offered and this one was not.
func (c *crawl) denied(other *crawl) {
	c.t.Helper()
	own, forms := map[string]bool{}, map[string]bool{}
	for address := range c.pages {
		own[path(address)] = true
		own[path(c.pages[address].url)] = true
	}
	for _, f := range c.posts(math.MaxInt) {
		forms[path(f.action)] = true
	}
	for address, there := range other.pages {
		if address = path(address); !own[address] && !c.mayUnled(address) && there.status == http.StatusOK {
			c.refused(other, c.v.get(address))
		}
	}
	for _, f := range other.posts(mostAlike) {
		own := strings.HasPrefix(f.action, "/profile") // every user has these, for themselves
		if !own && !forms[path(f.action)] {
			c.refused(other, c.v.postForm(f.action, f.plausible("a pass phrase that is not theirs")))
		}
	}
}

// refused fails the test unless the response is a refusal.
func (c *crawl) refused(other *crawl, r *reply) {
	c.t.Helper()
	c.check(r)
	to := r.header.Get("Location")
	switch {
	case r.status == http.StatusForbidden, r.status == http.StatusNotFound, r.status == http.StatusConflict &&
		strings.Contains(r.text(), "another account"):
	case r.status == http.StatusSeeOther && (strings.HasPrefix(to, "/signin") || r.method == http.MethodGet &&
		c.pages[to] != nil):
	default:
		c.t.Errorf("%s: %s %s, which is for %s, got %d %s: %s, want a refusal", c.who, r.method, r.url, other.who,
			r.status, to, r.text())
	}
}
