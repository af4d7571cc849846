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

// picturesSetting is the environment variable of the folder that screenshots go
// to. By default they are in tmp/screenshots of the repository, which git does
// not keep and CI does.
const picturesSetting = "LATCHKEY_SCREENSHOTS"

// pictures is the folder of the screenshots.
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

// look looks at the page as it is shown: wide and narrow, in light and dark. It
// may not be broader than the window, and axe may find nothing in the way of
// people who hear it, use a keyboard or see little. Pictures of it go under its
// name to the folder of screenshots, of SQLite's run alone, since the other
// looks the same.
func (b *browser) look(name string) {
	b.t.Helper()
	b.bringAxe()
	for _, width := range []int64{wide, narrow} {
		b.resize(width)
		for _, dark := range []bool{false, true} {
			b.dark(dark)
			shade := map[bool]string{false: "light", true: "dark"}[dark]
			how := fmt.Sprintf("%s-%d-%s", name, width, shade)
			if out := b.sticksOut(); len(out) > 0 {
				b.t.Errorf("%s is broader than the window: %s", how, strings.Join(out[:min(5, len(out))], "; "))
			}
			for _, each := range b.violations() {
				b.t.Errorf("%s: %s", how, each)
			}
			if strings.HasPrefix(b.server.database, "sqlite:") {
				b.picture(how)
			}
		}
	}
	b.dark(false)
	b.resize(wide)
}

// sticksOut is what makes the page broader than the window.
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

// axeFolder has axe-core, which is not ours and not in the repository.
const axeFolder = "testdata/axe"

// axe is axe-core's source.
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

// bringAxe has the page know axe.
func (b *browser) bringAxe() {
	b.t.Helper()
	source, err := axe()
	if err != nil {
		b.t.Fatal(err)
	}
	b.must("bring axe to the page", chromedp.Evaluate[chromedp.Void](source))
}

// violations are what axe finds wrong with the page as it is shown: all of its
// rules, those of WCAG and those of good practice.
func (b *browser) violations() []string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	found, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](`axe.run(document, {resultTypes: ["violations"]}).then((r) =>
		r.violations.flatMap((v) => v.nodes.map((n) => v.id + ": " + n.html + " " + n.failureSummary)))`, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("axe: %v; on %s", err, b.shown())
	}
	return found
}
