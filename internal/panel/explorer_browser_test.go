package panel_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// In a browser: an example, a query of one's own, the documentation and back, a
// mutation that asks who it is first, and the same without scripts.
func TestExplorerInABrowser(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		b := s.browser(t)
		b.signIn(s.OwnerEmail)
		b.follow("API explorer")
		b.click("Run")
		b.see("Status 200, after")
		b.see(`"kind": "SESSION"`)
		b.look("explorer")

		b.fill("Query or mutation", "query A {__typename} query B {system {time}}")
		b.fill("Operation", "B")
		b.must("press Ctrl+Enter", chromedp.KeyEvent(kb.Enter, chromedp.KeyModifiers(kb.ModifierCtrl)))
		b.see(`"time": `)
		b.follow("Documentation")
		b.look("explorer-schema")
		b.fill("Search types and fields", "apitokens")
		b.follow("Search")
		b.see("matches")
		b.follow("Account.apiTokens")
		b.look("explorer-type")
		b.follow("ApiTokenConnection")
		b.follow("API explorer")
		if got := b.value("Query or mutation"); got != "query A {__typename} query B {system {time}}" {
			t.Errorf("the query is %q", got)
		}

		s.age(16 * time.Minute)
		b.follow("Create an API token")
		b.fill("Variables", "{")
		if status := b.follow("Run"); status != http.StatusUnprocessableEntity {
			t.Errorf("status %d", status)
		}
		b.see("This is no JSON.")
		b.fill("Variables", `{"input": {"name": "By hand", "scopes": ["account_stores_read"]}}`)
		b.click("Run")
		b.see("It is more than 15 minutes")
		b.look("explorer-held")
		b.follow("Confirm that it is you")
		b.fill("Password", s.Password)
		b.follow("Go on")
		b.see("Confirmed. You can run it now.")
		b.click("Run")
		b.see(`"name": "By hand"`)
		b.miss("It is more than 15 minutes")

		b.scripts(false)
		b.follow("API explorer")
		b.fill("Query or mutation", "{nothing}")
		b.follow("Run")
		b.see(`"code": "INVALID"`)
	})
}
