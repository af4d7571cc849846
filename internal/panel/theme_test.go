package panel_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"latchkey/internal/test/check"
)

// themeOf returns the theme that the page is rendered with.
func themeOf(page *reply) string {
	theme, _ := attribute(page.all("html")[0], "data-theme")
	return theme
}

// The chosen theme is in a cookie of the browser, so that every page is rendered with it, also after signing out.
func TestTheme(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		check.Equal(t, themeOf(owner.open("/profile")), "system", "theme of a new visitor")
		owner.post("/theme", "theme", "dark").goes("/")
		check.Equal(t, themeOf(owner.open("/profile")), "dark", "theme")
		owner.post("/theme", "theme", "pink").wants(http.StatusUnprocessableEntity, "Choose one of the options.")
		owner.post("/signout")
		check.Equal(t, themeOf(owner.open("/signin")), "dark", "theme after signing out")
		other := s.signedIn(s.OwnerEmail)
		check.Equal(t, themeOf(other.open("/profile")), "system", "theme of another browser")
		other.keep("latchkey-theme", "\"><evil>")
		check.Equal(t, themeOf(other.open("/profile")), "system", "theme of a forged cookie")
		other.post("/theme", "theme", "light")
		other.post("/theme", "theme", "system")
		check.Equal(t, other.cookie("latchkey-theme"), "", "cookie of the system's theme")
	})
}

// The theme changes at once, without losing what is entered, and stays after loading a page.
func TestThemeInBrowser(t *testing.T) {
	whileSignedIn(t, func(t *testing.T, s *server, b *browser) {
		const background = "getComputedStyle(document.body).backgroundColor"
		light := evaluate[string](b, background)
		b.dark(true)
		dark := evaluate[string](b, background)
		b.dark(false)
		b.open(s.page("/tokens/new"))
		b.fill("Name", "Kept")
		b.openAccountMenu()
		b.click("Dark")
		b.await("the dark theme", background+" === "+quoted(dark))
		check.Equal(t, b.value("Name"), "Kept", "name after changing the theme")
		// The page does not wait for the response with the cookie.
		for deadline := time.Now().Add(stepTimeout); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if b.reload(); evaluate[string](b, background) == dark {
				break
			}
		}
		check.Equal(t, evaluate[string](b, background), dark, "background after loading again")
		b.scripts(false)
		b.reload()
		b.openAccountMenu()
		b.follow("Light")
		check.Equal(t, b.at(), s.page("/tokens/new"), "page after changing the theme without scripts")
		check.Equal(t, evaluate[string](b, background), light, "background of the light theme")
	})
}

// The pages use the panel's own typeface, with figures of one width in times and columns of numbers.
func TestTypeface(t *testing.T) {
	whileSignedIn(t, func(t *testing.T, s *server, b *browser) {
		b.open(s.page("/users"))
		b.await("the typeface", `[...document.fonts].some((f) => f.family.includes("Inter") && f.status === "loaded")`)
		const width = `((text) => { const e = document.createElement("time"); e.textContent = text;
			e.style.display = "inline-block"; document.querySelector("main").append(e); const w = e.getBoundingClientRect().width; e.remove(); return w; })`
		ones := evaluate[float64](b, width+`("1111111111")`)
		if eights := evaluate[float64](b, width+`("8888888888")`); ones != eights {
			t.Errorf("width of figures in a time: got %g for ones and %g for eights, want the same", ones, eights)
		}
	})
}

// Static files are compressed for clients that accept it, and say so to caches.
func TestStaticFilesAreCompressed(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		v := s.visitor()
		fetch := func(file, accepted string) *reply {
			r := v.request(http.MethodGet, "/static/"+file, nil)
			r.Header.Set("Accept-Encoding", accepted)
			return v.send(r)
		}
		for _, file := range []string{"panel.css", "panel.js", "graphiql/graphiql.js"} {
			plain := fetch(file, "identity")
			for accepted, want := range map[string]string{"gzip": "gzip", "br, GZIP;q=0.5": "gzip", "gzip;q=0": "",
				"br": "", "": ""} {
				got := fetch(file, accepted)
				check.Equal(t, got.header.Get("Content-Encoding"), want, "encoding of %s for %q", file, accepted)
				check.Equal(t, got.header.Get("Vary"), "Accept-Encoding", "Vary of %s", file)
				if want == "" {
					continue
				}
				unpacked, err := gzip.NewReader(strings.NewReader(got.body))
				if err != nil {
					t.Fatal(err)
				}
				content, err := io.ReadAll(unpacked)
				if err != nil || string(content) != plain.body {
					t.Errorf("%s: got %d bytes and %v, want the %d bytes of the file", file, len(content), err,
						len(plain.body))
				}
				if len(got.body) > len(plain.body)/2 {
					t.Errorf("%s: got %d bytes compressed, want at most half of %d", file, len(got.body),
						len(plain.body))
				}
			}
		}
		font := fetch("fonts/inter-latin.woff2", "gzip")
		check.Equal(t, font.header.Get("Content-Type"), "font/woff2", "media type of the font")
		check.Equal(t, font.header.Get("Content-Encoding"), "", "encoding of the font, which is compressed already")
	})
}

// On a phone the bar is 56 pixels high, and a button shows the list of pages, also without scripts.
func TestPagesOnAPhone(t *testing.T) {
	whileSignedIn(t, func(t *testing.T, s *server, b *browser) {
		b.open(s.page("/stores"))
		check.Equal(t, b.count("nav.side"), 1, "lists of pages in a wide window")
		b.resize(narrow)
		check.Equal(t, evaluate[int](b, "document.querySelector('.top').offsetHeight"), 56, "height of the bar")
		check.Equal(t, b.count("nav.side"), 0, "lists of pages before pressing the button")
		b.click("Pages")
		b.bringAxe()
		for _, each := range b.violations() {
			t.Errorf("the list of pages: got %s, want no violation", each)
		}
		b.picture("pages-320-light")
		b.scripts(false)
		b.reload()
		check.Equal(t, b.count("nav.side"), 0, "lists of pages without scripts")
		b.click("Pages")
		b.follow("Acme EU")
		check.Equal(t, b.at(), s.page("/stores/acme2eu/tokens"), "page")
		b.resize(wide)
	})
}
