package panel_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"latchkey/internal/test/check"
)

// The labels of GraphiQL's buttons.
const (
	run      = "Execute query (Ctrl-Enter)"
	showDocs = "Show Documentation Explorer"
	hideDocs = "Hide Documentation Explorer"
)

// write puts text into one of GraphiQL's editors and focuses it.
func (b *browser) write(editor, text string) {
	b.t.Helper()
	found := b.editor(editor)
	b.await(editor+" to be there", "!!"+found)
	evaluate[chromedp.Void](b, found+".setValue("+quoted(text)+"); "+found+".focus()")
}

// written returns the text in one of GraphiQL's editors.
func (b *browser) written(editor string) string {
	b.t.Helper()
	b.await(editor+" to be there", "!!"+b.editor(editor))
	return evaluate[string](b, b.editor(editor)+".getValue()")
}

func (b *browser) editor(name string) string {
	return `[...document.querySelectorAll(".CodeMirror")].map((e) => e.CodeMirror).find((e) => e.getInputField().ariaLabel === ` + quoted(name) + `)`
}

func (b *browser) ctrl(key string) {
	b.t.Helper()
	b.must("press Ctrl", chromedp.KeyEvent(key, chromedp.KeyModifiers(kb.ModifierCtrl)))
}

// In a browser: an example, the documentation, completion, one of several operations, tabs, dialogs, and leaving
// the editor with the keyboard.
func TestGraphiQL(t *testing.T) {
	inBrowser(t, func(t *testing.T, s *server) {
		b := s.browser(t)
		b.signIn(s.OwnerEmail)
		b.follow("API explorer")
		b.click(run)
		b.see(`"kind": "SESSION"`)
		b.click(showDocs)
		b.see("All Schema Types")
		b.inspect("explorer")
		b.click("Query")
		b.see("The user or API token that is authenticated by the request's credential.")
		b.click(hideDocs)

		b.write("Query Editor", "query A {__typename} query B {system {time}}")
		b.await("the operations to be known", `!!document.querySelector(".graphiql-execute-button[aria-haspopup]")`)
		b.click(run)
		b.await("a menu", `!!document.querySelector("[role=menuitem]")`)
		b.inspect("explorer-operations")
		b.press(kb.End, kb.Enter)
		b.see(`"time": `)

		b.write("Query Editor", "{acc}")
		evaluate[chromedp.Void](b, b.editor("Query Editor")+".setCursor(0, 3)")
		b.press("o")
		b.await("completions", `document.querySelector("[aria-label=Completions]")?.innerText.includes("account")`)
		b.inspect("explorer-completions")
		b.press(kb.Escape)
		b.write("Query Editor", "{account {accountInfo {name}}}")
		b.await("one operation", `!document.querySelector(".graphiql-execute-button[aria-haspopup]")`)
		b.ctrl(kb.Enter)
		b.see(`"name": "Acme Retail"`)
		b.tabTo(run)

		b.click("Add tab")
		b.click("Open settings dialog")
		b.see("Deletes the tabs and the history")
		b.inspect("explorer-settings")
		evaluate[chromedp.Void](b, `void (window.confirm = (text) => { window.asked = text; return false })`)
		b.click("Delete")
		check.Equal(t, evaluate[bool](b, `window.asked.includes("cannot be undone") && sessionStorage.length > 0`), true,
			"asked, and kept the queries")
		b.press(kb.Escape)
		b.click("Open short keys dialog")
		b.see("Short Key")
		b.press(kb.Escape)
		b.miss("Short Key")
		b.inspect("explorer-tabs")

		evaluate[chromedp.Void](b,
			`document.getElementById("graphiql").hidden = !(document.getElementById("by-form").hidden = false)`)
		b.inspect("explorer-form")
	})
}

// A mutation in an old session waits until the user proves their identity. The query is kept, and its variables are
// not stored.
func TestGraphiQLHeld(t *testing.T) {
	inBrowser(t, func(t *testing.T, s *server) {
		b := s.browser(t)
		b.signIn(s.OwnerEmail)
		s.age(16 * time.Minute)
		b.follow("API explorer")
		b.click(run)
		b.see(`"kind": "SESSION"`)
		b.follow("Create an API token")
		b.see("Nightly export")
		b.write("Variables", `{"input": {"name": "By hand", "scopes": ["account_stores_read"]}}`)
		b.click(run)
		b.see("Your last sign-in was more than 15 minutes ago")
		b.inspect("explorer-held")
		b.follow("Confirm your identity")
		b.fill("Password", s.Password)
		b.follow("Continue")
		b.see("Confirmed. You can now run the query.")
		b.click(run)
		b.see(`"name": "By hand"`)
		b.miss("Your last sign-in was more than 15 minutes ago")

		mutation := b.written("Query Editor")
		b.await("the mutation to be kept in one tab",
			`(JSON.parse(sessionStorage.getItem(location.origin + `+quoted(s.page("/graphiql"))+
				` + " graphiql:tabState"))?.tabs ?? []).filter((tab) => tab.query?.includes("createApiToken")).length === 1`)
		b.follow("Documentation")
		b.inspect("explorer-schema")
		b.fill("Search types and fields", "apitokens")
		b.follow("Search")
		b.see("matches")
		b.follow("Account.apiTokens")
		b.inspect("explorer-type")
		b.follow("ApiTokenConnection")
		b.follow("API explorer")
		if got := b.written("Query Editor"); got != mutation || !strings.Contains(got, "createApiToken") {
			t.Errorf("query: got %q, want the mutation as it was: %q", got, mutation)
		}
		if kept := evaluate[string](b, "JSON.stringify({...sessionStorage, ...localStorage})"); strings.Contains(kept,
			"By hand") {
			t.Errorf("stored in the browser: got %s, want nothing of the query", kept)
		}
	})
}

// Without JavaScript, the page is a plain form.
func TestExplorerWithoutScripts(t *testing.T) {
	inBrowser(t, func(t *testing.T, s *server) {
		b := s.browser(t)
		b.signIn(s.OwnerEmail)
		b.scripts(false)
		b.follow("API explorer")
		b.follow("Create an API token")
		b.fill("Variables", "{")
		check.Equal(t, b.follow("Run"), http.StatusUnprocessableEntity, "status")
		b.see("This is not valid JSON.")
		b.fill("Query or mutation", "{nothing}")
		b.fill("Variables", "")
		b.follow("Run")
		b.see(`"code": "INVALID"`)
	})
}

// A visitor whose session was revoked gets a message.
func TestGraphiQLSignedOut(t *testing.T) {
	inBrowser(t, func(t *testing.T, s *server) {
		b := s.browser(t)
		b.signIn(s.OwnerEmail)
		b.follow("API explorer")
		b.click(run)
		b.see(`"kind": "SESSION"`)
		evaluate[chromedp.Void](b, `void fetch("/signout", {method: "POST"}).then(() => { window.out = true })`)
		b.await("the session to end", "window.out === true")
		b.click(run)
		b.see("The response did not arrive.")
		_ = b.taken() // the browser logs it too
	})
}
