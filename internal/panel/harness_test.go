package panel_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// exhibit has everything that tests of pages do something with.
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

// exhibition serves the exhibit, and pages that complain.
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

// What tests do in a browser has the effect that it has for people.
func TestBrowser(t *testing.T) {
	b := exhibition(t).browser(t)
	if status := b.open("/refused"); status != http.StatusForbidden {
		t.Errorf("status %d", status)
	}
	b.open("/")
	if got := b.text("#zone"); got != zone {
		t.Errorf("the zone is %s", got)
	}
	b.click("Copy the name")
	b.see("Copied")
	if got := b.clipboard(); got != "the name" {
		t.Errorf("copied %q", got)
	}
	b.click("Save")
	if name, content := b.downloaded(); name != "file.txt" || content != "content" {
		t.Errorf("downloaded %q: %q", name, content)
	}
	b.click("Ask")
	if got := b.count("dialog"); got != 1 {
		t.Errorf("%d dialogs", got)
	}
	b.click("Answer") // the dialog's: the other one cannot be reached
	b.press(kb.Escape)
	b.see("No")
	b.fill("Name", "new")
	b.check("Agree")
	b.choose("Colour", "Blue green")
	if got := b.value("Name"); got != "new" {
		t.Errorf("Name is %q", got)
	}
	b.follow("Send it")
	b.see("Thank you")
	if got := b.at(); got != "/sent?a=new&b=on&c=Blue+green" {
		t.Errorf("at %s", got)
	}
	b.back()
	b.see("Colour")
	b.reload()
	b.miss("Thank you")
	b.tabTo("Send it")
	b.enter()
	b.see("Thank you")
}

// Without scripts, pages are what they are without them, and tests can look at
// them all the same.
func TestBrowserWithoutScripts(t *testing.T) {
	b := exhibition(t).browser(t)
	b.scripts(false)
	b.open("/")
	b.fill("Name", "new")
	if got := evaluate[string](b, "document.getElementById('zone').textContent"); got != "" {
		t.Errorf("a script ran: %q", got)
	}
	b.follow("Send it")
	b.see("Thank you")
}

// What is wrong with a page is noticed.
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
			t.Errorf("sticks out: %q", out)
		}
	})
	t.Run("/hidden", func(t *testing.T) {
		b := exhibition(t).browser(t)
		b.open("/hidden")
		b.bringAxe()
		found := strings.Join(b.violations(), "\n")
		if !strings.Contains(found, "label: <input>") || !strings.Contains(found, "color-contrast: <p") {
			t.Errorf("axe finds %s", found)
		}
	})
}
