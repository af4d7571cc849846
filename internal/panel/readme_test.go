package panel_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	dbtest "latchkey/internal/test/db"
)

// The README's pictures are taken from the demo: make screenshots. What pages look like does not depend on the
// database.
func TestPicturesOfTheREADME(t *testing.T) {
	s := serve(t, dbtest.SQLiteURL(t))
	for _, each := range [][]string{
		{"--name", "Order export", "--scope", "account_read,account_stores_read,store_v2_orders_read_only"},
		{"--name", "Audit archive", "--scope", "account_read,account_audit_read", "--expires-in", "365d"},
		{"--name", "HR provisioning", "--expires-in", "90d",
			"--scope", "account_read,account_users_write,account_users_delete"},
	} {
		s.run("", append([]string{"token", "create", "--account", s.Account}, each...)...)
	}
	b, at := s.browser(t), "/accounts/"+s.Account+"/tokens"
	b.signIn(s.OwnerEmail)
	b.resize(1200)
	b.open(at)
	b.see("HR provisioning")
	b.forREADME("tokens", 1200, 560)
	b.resize(1000)
	b.make(at, "User sync", "Account Users: read-only")
	b.forREADME("credentials", 1000, 640)
}

// forREADME saves pictures of the upper part of the window, in light and dark mode, in a format that makes them small.
func (b *browser) forREADME(name string, width, height float64) {
	b.t.Helper()
	for shade, dark := range map[string]bool{"light": false, "dark": true} {
		b.dark(dark)
		var picture []byte
		quality := int64(80)
		b.must("take a picture of "+name, chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
			taken, err := cdp.Call(ctx, tab, page.CaptureScreenshot, page.CaptureScreenshotParams{
				Format: page.CaptureScreenshotFormatWebp, Quality: &quality,
				Clip: &page.Viewport{Width: width, Height: height, Scale: 1},
			})
			if err == nil {
				picture = taken.Data
			}
			return err
		}))
		if size := len(picture); size == 0 || size > 100_000 {
			b.t.Errorf("%s, %s: got a picture of %d bytes, want at most 100,000", name, shade, size)
		}
		save(b.t, filepath.Join(pictures(b.t), name+"-"+shade+".webp"), picture)
	}
	b.dark(false)
}
