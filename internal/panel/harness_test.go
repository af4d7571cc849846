package panel_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"latchkey/internal/test/check"
)

// exhibit has one of everything that page tests interact with.
const exhibit = `<!doctype html><html lang="en"><title>Exhibit</title><meta name="viewport" content="width=device-width">
<form action="/sent"><label for="a">Name</label><input id="a" name="a" value="old">
<label><input type="checkbox" name="b"> Agree</label>
<label for="c">Colour</label><select id="c" name="c"><option>Red<option>Blue green</select>
<button>Send it</button></form>
<button aria-label="Copy the name" id="copy">x</button> <button id="save">Save</button> <button id="ask">Ask</button>
<dialog><button id="no">Answer</button></dialog><button>Answer</button>
<p id="status"></p><p id="zone"></p>
<script>
const say = (text) => { document.getElementById("status").textContent = text; };
document.getElementById("copy").onclick = async () => { await navigator.clipboard.writeText("the name"); say("Copied"); };
document.getElementById("save").onclick = () => {
	const a = document.createElement("a"); a.href = URL.createObjectURL(new Blob(["content"])); a.download = "file.txt"; a.click(); };
document.getElementById("ask").onclick = () => document.querySelector("dialog").showModal();
document.getElementById("no").onclick = () => say("No");
document.getElementById("zone").textContent = Intl.DateTimeFormat().resolvedOptions().timeZone;
</script>`

// exhibition serves the exhibit, and pages with console errors.
func exhibition(t *testing.T) *server {
	t.Helper()
	pages := map[string]string{
		"/":        exhibit,
		"/sent":    "<title>Sent</title>Thank you",
		"/throws":  "<script>throw new Error('oh')</script>",
		"/logs":    "<script>console.error('oh')</script>",
		"/styles":  "<p style='color: red'>",
		"/lacks":   "<script src=/static/nothing.js></script>",
		"/broad":   "<!doctype html><meta name=viewport content='width=device-width'><p style='width: 500px'>broad",
		"/refused": "No",
		"/hidden":  "<!doctype html><html lang=en><title>Hidden</title><main><h1>Hidden</h1><input><p style='color: #ccc; background: #fff'>pale</p></main>",
	}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, there := pages[r.URL.Path]
		switch {
		case !there:
			w.WriteHeader(http.StatusNotFound)
		case r.URL.Path == "/refused":
			w.WriteHeader(http.StatusForbidden)
		case r.URL.Path == "/styles":
			w.Header().Set("Content-Security-Policy", "style-src 'self'")
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(page))
	}))
	t.Cleanup(site.Close)
	return &server{t: t, URL: site.URL}
}

// The browser helpers have the same effect as a user's input.
func TestBrowser(t *testing.T) {
	b := exhibition(t).browser(t)
	check.Equal(t, b.open("/refused"), http.StatusForbidden, "status")
	b.open("/")
	check.Equal(t, b.text("#zone"), zone, "the zone")
	b.click("Copy the name")
	b.see("Copied")
	check.Equal(t, b.clipboard(), "the name", "copied")
	b.click("Save")
	if name, content := b.downloaded(); name != "file.txt" || content != "content" {
		t.Errorf("downloaded %q: %q, want \"file.txt\": \"content\"", name, content)
	}
	b.click("Ask")
	check.Equal(t, b.count("dialog"), 1, "dialogs")
	b.click("Answer") // the button in the dialog; the other one is inert
	b.press(kb.Escape)
	b.see("No")
	b.fill("Name", "new")
	b.check("Agree")
	b.choose("Colour", "Blue green")
	check.Equal(t, b.value("Name"), "new", "Name")
	b.follow("Send it")
	b.see("Thank you")
	check.Equal(t, b.at(), "/sent?a=new&b=on&c=Blue+green", "at")
	b.back()
	b.see("Colour")
	b.reload()
	b.miss("Thank you")
	b.tabTo("Send it")
	b.enter()
	b.see("Thank you")
}

// With JavaScript turned off, pages render without it, and tests can still inspect them.
func TestBrowserWithoutScripts(t *testing.T) {
	b := exhibition(t).browser(t)
	b.scripts(false)
	b.open("/")
	b.fill("Name", "new")
	check.Equal(t, evaluate[string](b, "document.getElementById('zone').textContent"), "", "a script ran")
	b.follow("Send it")
	b.see("Thank you")
}

// Problems of a page fail the test.
func TestBrowserNotices(t *testing.T) {
	for _, tc := range []struct{ path, want string }{
		{"/throws", "Error: oh"},
		{"/logs", "oh"},
		{"/styles", "Content Security Policy"},
		{"/lacks", "nothing.js"},
	} {
		t.Run(tc.path, func(t *testing.T) {
			b := exhibition(t).browser(t)
			b.open(tc.path)
			if said := strings.Join(b.taken(), "\n"); !strings.Contains(said, tc.want) {
				t.Errorf("noticed %q, want %q", said, tc.want)
			}
		})
	}
	t.Run("/broad", func(t *testing.T) {
		b := exhibition(t).browser(t)
		b.open("/broad")
		b.resize(narrow)
		if out := b.sticksOut(); len(out) != 1 || !strings.Contains(out[0], "broad") {
			t.Errorf("wider than the window: got %q, want the element broad only", out)
		}
	})
	t.Run("/hidden", func(t *testing.T) {
		b := exhibition(t).browser(t)
		b.open("/hidden")
		b.bringAxe()
		found := strings.Join(b.violations(), "\n")
		if !strings.Contains(found, "label: <input>") || !strings.Contains(found, "color-contrast: <p") {
			t.Errorf("axe: got %s, want the label and the contrast", found)
		}
	})
}
