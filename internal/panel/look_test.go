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

// inspect checks the page in wide and narrow windows, in light and dark mode. The page must not be wider than the
// window, and axe must find no accessibility problems. It saves screenshots under the name, only for SQLite,
// because the other database's pages look the same.
func (b *browser) inspect(name string) {
	b.t.Helper()
	b.bringAxe()
	for _, width := range []int64{wide, narrow} {
		b.resize(width)
		for _, dark := range []bool{false, true} {
			b.dark(dark)
			shade := map[bool]string{false: "light", true: "dark"}[dark]
			how := fmt.Sprintf("%s-%d-%s", name, width, shade)
			if out := b.sticksOut(); len(out) > 0 {
				b.t.Errorf("%s: got elements wider than the window, %s, want none", how,
					strings.Join(out[:min(5, len(out))], "; "))
			}
			for _, each := range b.violations() {
				b.t.Errorf("%s: got %s, want no violation", how, each)
			}
			if strings.HasPrefix(b.server.database, "sqlite:") {
				b.picture(how)
			}
		}
	}
	b.dark(false)
	b.resize(wide)
}

// sticksOut returns the elements that make the page wider than the window.
func (b *browser) sticksOut() []string {
	b.t.Helper()
	return evaluate[[]string](b, `((root) => root.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll("body *")]
		.filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
		.map((e) => e.localName + "." + e.className + " " + e.textContent.trim().slice(0, 40)))(document.documentElement)`)
}

func (b *browser) picture(how string) {
	b.t.Helper()
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatalf("take a picture of %s: %v", how, err)
	}
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

// violations returns axe's violations on the page, of all its rules: WCAG and best practices.
func (b *browser) violations() []string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTimeout)
	defer cancel()
	found, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](`axe.run(document, {resultTypes: ["violations"]}).then((r) =>
		r.violations.flatMap((v) => v.nodes.map((n) => v.id + ": " + n.html + " " + n.failureSummary)))`, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("axe: %v; on %s", err, b.shown())
	}
	return found
}
