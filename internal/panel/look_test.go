package panel_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
// may not be broader than the window. Pictures of it go under its name to the
// folder of screenshots, of SQLite's run alone, since the other looks the same.
func (b *browser) look(name string) {
	b.t.Helper()
	for _, width := range []int64{wide, narrow} {
		b.resize(width)
		for _, dark := range []bool{false, true} {
			b.dark(dark)
			shade := map[bool]string{false: "light", true: "dark"}[dark]
			how := fmt.Sprintf("%s-%d-%s", name, width, shade)
			if out := b.sticksOut(); len(out) > 0 {
				b.t.Errorf("%s is broader than the window: %s", how, strings.Join(out[:min(5, len(out))], "; "))
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
