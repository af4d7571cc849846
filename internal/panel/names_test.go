package panel_test

import (
	"net/http"
	"strings"
	"testing"

	"latchkey/internal/test/check"
)

// hostile is a name that attempts an injection.
const hostile = `"'><evil onclick=x><script>alert(1)</script>`

const hostilePeople = `
accounts:
  - uuid: 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01
    name: 'Acme "''><evil onclick=x><script>alert(1)</script>'
    owner: {email: owner@acme.example, first_name: '<evil onclick=x>', last_name: '"''><script>alert(1)</script>'}
    users:
      - {email: evil@acme.example, first_name: '<evil onclick=x>', last_name: '"''><script>alert(1)</script>', locale: en}
    stores:
      - hash: acme1us
        name: 'US "''><evil onclick=x><script>alert(1)</script>'
        users:
          - {email: evil@acme.example, permissions: [List_Store_API_Tokens]}
`

// Names of users, stores, accounts and tokens are escaped on every page.
func TestNamesAreText(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		s.apply(hostilePeople)
		owner := s.signedIn(s.OwnerEmail)
		owner.submit(owner.open(s.page("/webhooks/new")), "Add webhook", "url", "https://hooks.example/?a='\"><evil>",
			"description", hostile, "eventTypes", "*").wants(http.StatusOK, "shown only once")
		s.run("", "token", "create", "--account", s.Account, "--name", hostile, "--scope", "account_users_read")
		s.run("", "token", "create", "--account", s.Account, "--store", "acme1us", "--name", hostile, "--scope",
			"store_v2_orders")
		for _, each := range []struct{ who, email string }{{"the account's owner", s.OwnerEmail},
			{"staff", "evil@acme.example"}} {
			c := newCrawl(t, s, each.who, each.email)
			c.read("/", "/accounts")
			if len(c.pages) < 5 {
				t.Fatalf("pages of %s: got %d, want at least 5", each.who, len(c.pages))
			}
			for address, r := range c.pages {
				if !isPage(r) {
					continue
				}
				if len(r.all("evil")) > 0 {
					t.Errorf("%s: got a name as an element, want it as text", address)
				}
				for _, script := range r.all("script") {
					if from, _ := attribute(script, "src"); !strings.HasPrefix(from, "/static/") {
						t.Errorf("%s: got the script %q, want those of /static/ only", address, from)
					}
				}
			}
		}
	})
}

// Static files are cached permanently at the address that pages use, and revalidated at any other.
func TestStaticFiles(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		v := s.visitor()
		page := v.open("/signin")
		styles := page.all("link")
		address := ""
		for _, each := range styles {
			if rel, _ := attribute(each, "rel"); rel == "stylesheet" {
				address, _ = attribute(each, "href")
			}
		}
		kept := v.get(address).wants(http.StatusOK, "")
		if got := kept.header.Get("Cache-Control"); got != "public, max-age=31536000, immutable" ||
			!strings.HasPrefix(kept.header.Get("Content-Type"), "text/css") {
			t.Errorf("%s: got Cache-Control %q, Content-Type %q, want it cached forever as text/css", address, got,
				kept.header.Get("Content-Type"))
		}
		check.Equal(t, v.get(path(address)+"?v=another").header.Get("Cache-Control"), "no-cache", "another version")
		v.get("/favicon.ico").wants(http.StatusOK, "")
		for _, nowhere := range []string{"/static/", "/static/nothing.js", "/static/../panel.go",
			"/static/%2e%2e/panel.go"} {
			if r := v.open(nowhere); r.status != http.StatusNotFound && r.status != http.StatusMovedPermanently &&
				r.status != http.StatusTemporaryRedirect {
				t.Errorf("%s: got %d, want 404 or a redirect", nowhere, r.status)
			}
		}
	})
}

// A user of several accounts chooses one and switches to another with a new session. A page of another account
// offers to switch.
func TestSwitchingAccounts(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		const other = "3f1d9f0e-52b4-4c0e-8a6d-2b7c1e9d4c02"
		s.apply(morePeople)
		v := s.visitor()
		v.post("/signin", "email", "both@agency.example", "password", s.known("both@agency.example")).goes("/accounts")
		page := v.get("/accounts").wants(http.StatusOK, "You can switch at any time.")
		v.get(s.page("/stores")).wants(http.StatusOK, "You are not a member of any store of this account.").
			wants(http.StatusOK, "Ask Acme Owner to add you to a store:")
		first := v.cookie(session)
		away := v.get("/accounts/"+other+"/stores?after=").wants(http.StatusConflict,
			"You are signed in to Acme Retail. This page belongs to Blue Bicycles.")
		if v.cookie(session) != first {
			t.Error("session after opening another account's page: got a new one, want the same")
		}
		v.submit(away, "Switch to Blue Bicycles").goes("/accounts/" + other + "/stores?after=")
		if v.cookie(session) == first {
			t.Error("session after switching accounts: got the same, want a new one")
		}
		v.get("/accounts/"+other+"/stores").wants(http.StatusOK, "bluebike")
		old := s.visitor()
		old.keep(session, first)
		old.get("/accounts").goes("/signin?next=%2Faccounts")
		v.submit(page, "Acme Retail Member Current").goes("/accounts/" + s.Account + "/")
		v.post("/accounts", "account", "0b2c1a6e-0000-4f4e-9c1f-0a1f4f4b7a01").wants(http.StatusNotFound,
			"You are not in this account.")
		v.post("/accounts/"+other+"/stores").wants(http.StatusMethodNotAllowed, "Method not allowed")
	})
}

// Times are in the time zone of the browser's cookie, and in UTC without one.
func TestZones(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		s.issueSome()
		v := s.signedIn(s.OwnerEmail)
		for formatted, want := range map[string]string{
			"Australia%2FAdelaide": "ACDT", "America%2FNew_York": "EST", "": "UTC", "nowhere": "UTC", "Local": "UTC",
			"..%2F..%2Fetc%2Fpasswd": "UTC", "%zz": "UTC",
			strings.Repeat("a", 100): "UTC",
		} {
			v.keep("latchkey-zone", formatted)
			times := v.get("/accounts/" + s.Account + "/tokens").all("time")
			if len(times) == 0 {
				t.Fatal("times in the list: got none, want some")
			}
			if title, _ := attribute(times[0], "title"); !strings.Contains(title, want) &&
				!(want == "ACDT" && strings.Contains(title, "ACST")) &&
				!(want == "EST" && strings.Contains(title, "EDT")) {
				t.Errorf("zone %q: got %s, want %s", formatted, title, want)
			}
		}
	})
}
