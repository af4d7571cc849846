package panel_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// picturesSetting is the environment variable with the folder for screenshots. The default is tmp/screenshots in
// the repository, which git ignores and CI stores.
const picturesSetting = "LATCHKEY_SCREENSHOTS"

// pictures returns the folder of the screenshots.
func pictures(t *testing.T) string {
	t.Helper()
	folder := os.Getenv(picturesSetting)
	if folder == "" {
		folder = filepath.Join("..", "..", "tmp", "screenshots")
	}
	absolute, err := filepath.Abs(folder)
	if err != nil {
		t.Fatal(err)
	}
	return absolute
}

func save(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// widths are the widths at which a page must not be wider than the window: those of phones and screens, and both sides
// of each width at which the stylesheet changes the layout.
var widths = []int64{narrow, 375, 639, 640, 767, 768, 840, 959, 960, 1120, 1199, 1200, wide, 1920}

// inspect checks the page in windows from narrow to wide. It must not be wider than the window, and axe must find no
// accessibility problems in a narrow and a wide window, in light and dark mode. Dark mode changes nothing except
// colours, so axe checks only these there. inspect saves screenshots under the name. What pages look like does not
// depend on the database, so inspect does nothing with PostgreSQL.
func (b *browser) inspect(name string) {
	b.t.Helper()
	if !strings.HasPrefix(b.server.database, "sqlite:") {
		return
	}
	b.bringAxe()
	for _, width := range widths {
		b.resize(width)
		if out := b.sticksOut(); len(out) > 0 {
			b.t.Errorf("%s, %d pixels wide: got elements wider than the window, %s, want none", name, width,
				strings.Join(out[:min(5, len(out))], "; "))
		}
		if width != narrow && width != wide {
			continue
		}
		for _, shade := range []string{"light", "dark"} {
			b.dark(shade == "dark")
			how := fmt.Sprintf("%s-%d-%s", name, width, shade)
			for _, each := range b.violations(rulesOf[shade]...) {
				b.t.Errorf("%s: got %s, want no violation", how, each)
			}
			b.picture(how)
		}
		b.dark(false)
	}
	b.resize(wide)
}

// rulesOf are axe's rules in light mode, all of them, and in dark mode, those of colours.
var rulesOf = map[string][]string{"dark": {"color-contrast", "link-in-text-block"}}

// sticksOut returns the elements that make the page wider than the window.
func (b *browser) sticksOut() []string {
	b.t.Helper()
	return evaluate[[]string](b, `((root) => root.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll("body *")]
		.filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
		.map((e) => e.localName + "." + e.className + " " + e.textContent.trim().slice(0, 40)))(document.documentElement)`)
}

// staysInView is a JavaScript expression for the width of the window and the height of the page, if the page has
// something that stays in view.
const staysInView = `document.querySelector(".save, .chosen, .jump, .beside > aside") ?
	[innerWidth, document.documentElement.scrollHeight] : []`

// picture saves a screenshot of the whole page. What stays in view is where it is at the end of the page.
func (b *browser) picture(how string) {
	b.t.Helper()
	if size := evaluate[[]int64](b, staysInView); len(size) > 0 && size[1] > 900 {
		b.must("resize", chromedp.EmulateViewport(size[0], size[1]))
		defer b.resize(size[0])
	}
	var picture []byte
	whole := true
	b.must("take a picture of "+how, chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		taken, err := cdp.Call(ctx, tab, page.CaptureScreenshot, page.CaptureScreenshotParams{
			CaptureBeyondViewport: &whole, FromSurface: &whole, OptimizeForSpeed: &whole,
		})
		if err == nil {
			picture = taken.Data
		}
		return err
	}))
	save(b.t, filepath.Join(pictures(b.t), how+".png"), picture)
}

// axeFolder contains axe-core, which is third-party code and not in the repository.
const axeFolder = "testdata/axe"

// axe is the source of axe-core.
var axe = sync.OnceValues(func() (string, error) {
	path := filepath.Join(axeFolder, "node_modules", "axe-core", "axe.min.js")
	if _, err := os.Stat(path); err != nil {
		install := exec.Command("npm", "ci", "--no-audit", "--no-fund")
		install.Dir = axeFolder
		if out, err := install.CombinedOutput(); err != nil {
			return "", fmt.Errorf("this needs npm, and the packages in %s: %w\n%s", axeFolder, err, out)
		}
	}
	source, err := os.ReadFile(path)
	return string(source), err
})

// bringAxe loads axe into the page.
func (b *browser) bringAxe() {
	b.t.Helper()
	source, err := axe()
	if err != nil {
		b.t.Fatal(err)
	}
	b.must("bring axe to the page", chromedp.Evaluate[chromedp.Void](source))
}

// violations returns axe's violations on the page, of some rules or, without any, of all: WCAG and best practices.
func (b *browser) violations(rules ...string) []string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTimeout)
	defer cancel()
	only := ""
	if len(rules) > 0 {
		only = fmt.Sprintf(`runOnly: %s.split(" "), `, quoted(strings.Join(rules, " ")))
	}
	found, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](`axe.run(document, {`+only+`resultTypes: ["violations"]}).then((r) =>
		r.violations.flatMap((v) => v.nodes.map((n) => v.id + ": " + n.html + " " + n.failureSummary)))`, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("axe: %v; on %s", err, b.shown())
	}
	return found
}
