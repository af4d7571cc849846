package panel_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// open navigates to a path of the server and returns the page's status.
func (b *browser) open(path string) int {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTimeout)
	defer cancel()
	answer, err := chromedp.Run(ctx, chromedp.NavigateResponse(b.server.URL+path))
	return b.loaded("open "+path, answer, err)
}

// follow clicks a link or button that loads a page, and returns its status.
func (b *browser) follow(name string) int {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTimeout)
	defer cancel()
	answer, err := chromedp.RunResponse(ctx, chromedp.Click(b.named("press", name)))
	return b.loaded("follow "+name, answer, err)
}

// enter presses Enter, which loads a page, and returns its status.
func (b *browser) enter() int {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTimeout)
	defer cancel()
	answer, err := chromedp.RunResponse(ctx, chromedp.KeyEvent(kb.Enter))
	return b.loaded("press Enter", answer, err)
}

// back navigates to the previous page, which may come from the browser's cache instead of the server.
func (b *browser) back() {
	b.t.Helper()
	b.left++
	left := fmt.Sprintf("window.left !== %d && document.readyState === 'complete'", b.left)
	evaluate[chromedp.Void](b, fmt.Sprintf("window.left = %d", b.left))
	b.must("go back", chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		history, err := cdp.Call(ctx, tab, page.GetNavigationHistory, cdp.Empty{})
		if err != nil {
			return err
		}
		before := page.NavigateToHistoryEntryParams{EntryID: history.Entries[history.CurrentIndex-1].ID}
		_, err = cdp.Call(ctx, tab, page.NavigateToHistoryEntry, before)
		return err
	}))
	b.await("the page before", left)
}

// reload reloads the page and returns its status.
func (b *browser) reload() int {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTimeout)
	defer cancel()
	answer, err := chromedp.RunResponse(ctx, chromedp.Reload())
	return b.loaded("load the page again", answer, err)
}

// loaded checks the server's response.
func (b *browser) loaded(what string, answer *network.Response, err error) int {
	b.t.Helper()
	if err != nil {
		b.t.Fatalf("%s: %v; on %s", what, err, b.shown())
	}
	if answer == nil {
		return 0 // from the browser's cache
	}
	if answer.Status >= 500 {
		b.t.Errorf("%s: got %d, want no server error; on %s", what, answer.Status, b.shown())
	}
	return int(answer.Status)
}

// signIn signs in as a user through the form.
func (b *browser) signIn(email string) {
	b.t.Helper()
	password := b.server.known(email)
	b.open("/signin")
	b.fill("Email address", email)
	b.fill("Password", password)
	b.follow("Sign in")
	b.seeAccount()
}

// seeAccount waits for a page of a signed-in user.
func (b *browser) seeAccount() {
	b.t.Helper()
	b.await("the account menu", "document.getElementById('account-menu') !== null")
}

// signOut signs out with the account menu.
func (b *browser) signOut() {
	b.t.Helper()
	b.openAccountMenu()
	b.follow("Sign out")
}

// openAccountMenu opens the account menu.
func (b *browser) openAccountMenu() {
	b.t.Helper()
	b.must("open the account menu", chromedp.Click(chromedp.CSS("[popovertarget=account-menu]")))
}

// click clicks a link or button that loads no page.
func (b *browser) click(name string) {
	b.t.Helper()
	b.must("click "+name, chromedp.Click(b.named("press", name)))
}

// fill replaces the text in the field with a label.
func (b *browser) fill(label, text string) {
	b.t.Helper()
	field := b.named("enter", label)
	if text == "" {
		text = kb.Delete
	}
	// chromedp.SendKeys cannot be used: it reads the field's attributes while events write them.
	b.must("find "+label, chromedp.Focus(field, chromedp.NodeVisible))
	evaluate[chromedp.Void](b, string(field)+".select()")
	b.must("fill "+label, chromedp.KeyEvent(text))
}

// check clicks the checkbox or radio button with a label.
func (b *browser) check(label string) {
	b.t.Helper()
	b.must("check "+label, chromedp.Click(b.named("enter", label)))
}

// choose selects an option, by its text, of the select with a label.
func (b *browser) choose(label, option string) {
	b.t.Helper()
	field := b.named("enter", label)
	b.must("choose "+option, chromedp.Focus(field), chromedp.KeyEvent(option))
	if got := evaluate[string](b, string(field)+".selectedOptions[0].text.trim()"); got != option {
		b.t.Fatalf("%s: got %q, want the option %q; on %s", label, got, option, b.shown())
	}
}

// value returns the value of the field with a label.
func (b *browser) value(label string) string {
	b.t.Helper()
	field := b.named("enter", label)
	b.must("find "+label, chromedp.WaitReady(field))
	return evaluate[string](b, string(field)+".value")
}

// press presses keys (package kb) at the current focus.
func (b *browser) press(keys ...string) {
	b.t.Helper()
	for _, key := range keys {
		b.must("press a key", chromedp.KeyEvent(key))
	}
}

// focused is a JavaScript expression for the accessible name of the focused element, or its element name if it has
// none.
const focused = `((` + naming + `)(document.activeElement) || document.activeElement.localName)`

// focuses waits until the element with the name has the focus. Autofocus happens in the page's next frame, which
// may be after its load event.
func (b *browser) focuses(name string) {
	b.t.Helper()
	b.await("the focus on "+name, focused+" === "+quoted(name))
}

// tabTo presses Tab until the element with the name has the focus.
func (b *browser) tabTo(name string) {
	b.t.Helper()
	for range 200 {
		if evaluate[string](b, focused) == name {
			return
		}
		b.press(kb.Tab)
	}
	b.t.Fatalf("focus: got no %q with Tab, want it; on %s", name, b.shown())
}

// text returns the text of the first element that matches a CSS selector.
func (b *browser) text(css string) string {
	b.t.Helper()
	b.must("find "+css, chromedp.WaitVisible(chromedp.CSS(css)))
	return evaluate[string](b, "document.querySelector("+quoted(css)+").innerText.trim()")
}

// count returns how many visible elements match a CSS selector.
func (b *browser) count(css string) int {
	b.t.Helper()
	return evaluate[int](b, "[...document.querySelectorAll("+quoted(css)+")].filter((e) => e.checkVisibility()).length")
}

// at returns the path and query of the page.
func (b *browser) at() string {
	b.t.Helper()
	return evaluate[string](b, "location.pathname + location.search")
}

// see waits until the page contains text.
func (b *browser) see(text string) {
	b.t.Helper()
	b.await("the page to say "+text, "document.body.innerText.includes("+quoted(text)+")")
}

// miss waits until the page does not contain text.
func (b *browser) miss(text string) {
	b.t.Helper()
	b.await("the page not to say "+text, "!document.body.innerText.includes("+quoted(text)+")")
}

// await waits until a JavaScript condition holds, also across page loads.
func (b *browser) await(what, condition string) {
	b.t.Helper()
	for deadline := time.Now().Add(stepTimeout); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(b.ctx, stepTimeout)
		holds, err := chromedp.Run(ctx, chromedp.Evaluate[bool](condition))
		cancel()
		if err == nil && holds { // an error means that the page is being unloaded
			return
		}
	}
	b.t.Fatalf("timeout: want %s; on %s", what, b.shown())
}

// downloaded waits for a download and returns its name and content. Call it before the next download.
func (b *browser) downloaded() (name, content string) {
	b.t.Helper()
	for deadline := time.Now().Add(stepTimeout); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		found, err := os.ReadDir(b.folder)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, each := range found {
			if strings.HasSuffix(each.Name(), ".crdownload") || strings.HasPrefix(each.Name(), ".") {
				continue
			}
			path := filepath.Join(b.folder, each.Name())
			text, err := os.ReadFile(path)
			if err != nil {
				b.t.Fatal(err)
			}
			if err := os.Remove(path); err != nil {
				b.t.Fatal(err)
			}
			return each.Name(), string(text)
		}
	}
	b.t.Fatalf("got no download, want one; on %s", b.shown())
	return "", ""
}

// clipboard returns the clipboard's text. All windows share it.
func (b *browser) clipboard() string {
	b.t.Helper()
	b.atBrowser(func(ctx context.Context) error {
		_, err := chromedp.CallBrowser(ctx, cdpbrowser.SetPermission, cdpbrowser.SetPermissionParams{
			Permission: &cdpbrowser.PermissionDescriptor{Name: "clipboard-read"},
			Setting:    cdpbrowser.PermissionSettingGranted,
			Origin:     b.server.URL, BrowserContextID: chromedp.FromContext(b.ctx).BrowserContextID,
		})
		return err
	})
	ctx, cancel := context.WithTimeout(b.ctx, stepTimeout)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("navigator.clipboard.readText()",
		chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

// naming is a JavaScript function that returns an element's accessible name (the part of Accessible Name and
// Description Computation 1.2 that the pages need).
const naming = `(e) => {
	const plain = (text) => (text || "").replace(/\s+/g, " ").trim();
	const by = (e.getAttribute("aria-labelledby") || "").split(" ").map((id) => document.getElementById(id)?.textContent).join(" ");
	const labels = [...(e.labels || [])].map((l) => l.innerText).join(" ");
	const own = e.matches("input, select, textarea") ? "" : e.textContent;
	return plain(by) || plain(e.getAttribute("aria-label")) || plain(labels) || plain(own) || plain(e.title);
}`

// kinds are the selectors of elements that can be pressed and of fields.
var kinds = map[string]string{
	"press": "a[href], button, summary",
	"enter": "input:not([type=hidden]), select, textarea",
}

// named returns the first visible element of a kind with a name, in the open dialog if there is one.
func (b *browser) named(kind, name string) chromedp.JSPath {
	return chromedp.JSPath(`((root) => [...root.querySelectorAll(` + quoted(kinds[kind]) + `)]
		.find((e) => (` + naming + `)(e) === ` + quoted(name) + ` && e.checkVisibility()))
		([...document.querySelectorAll("dialog")].find((d) => d.matches(":modal")) || document)`)
}
