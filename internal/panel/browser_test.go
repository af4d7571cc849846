package panel_test

// How to test pages in a browser. One Chromium runs for all tests of this
// package; each test has a window of its own, which shares nothing with others:
//
//	eachServer(t, func(t *testing.T, s *server) {
//		b := s.browser(t)
//		b.signIn(s.OwnerEmail)
//		b.open("/accounts")                    // a path of the server
//		b.follow("Acme Retail You are here")    // a link or button that loads a page
//		b.fill("E-mail address", "a@b.example") // a field by its label
//		b.check("Orders: read-only")           // a check box or radio button
//		b.choose("Expires", "In 90 days")      // an option of a select
//		b.click("Copy the client ID")          // a button that loads no page
//		b.see("Copied")                        // waits until the page says so
//		b.press(kb.Escape)                     // keys, where the focus is
//		b.look("accounts")                     // axe, no overflow, screenshots: see look_test.go
//	})
//
// Links, buttons and fields are called what people who hear the page call them:
// by aria-label, label or text. In a dialog, only the dialog's are found. A test
// fails on an error on the console, a violation of the content security policy,
// an uncaught exception and a page that answers 5xx. It waits for everything as
// long as patience, and reads what it waited for in vain.

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"go.uber.org/goleak"
)

// patience is how long anything on a page may take, on a machine that does much
// else at the same time.
const patience = 30 * time.Second

// zone is where the browser is.
const zone = "Australia/Adelaide"

// Widths of windows, in CSS pixels: a small telephone and a large screen.
const (
	narrow = 320
	wide   = 1600
)

// TestMain ends the browser, and finds what tests left running.
func TestMain(m *testing.M) {
	code := m.Run()
	if err := chromium.end(); err != nil {
		fmt.Fprintln(os.Stderr, "end the browser:", err)
		code = 1
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// chromium is the one browser process of this program, which starts with the
// first test that needs it.
var chromium process

type process struct {
	once sync.Once
	//nolint:containedctx // it is the browser, as chromedp has it
	ctx    context.Context
	cancel func()
	err    error
}

func (p *process) start() error {
	p.once.Do(func() {
		var path string
		if path, p.err = exec.LookPath("chromium"); p.err != nil {
			return
		}
		options := append(chromedp.DefaultExecAllocatorOptions[:],
			chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-component-update", true),
			chromedp.Flag("hide-scrollbars", true), chromedp.Flag("no-proxy-server", true))
		allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
		p.ctx, _ = chromedp.NewContext(allocator) // ended by end
		p.cancel = cancel
		p.err = chromedp.Do(p.ctx)
	})
	return p.err
}

// end ends the browser, if it was started.
func (p *process) end() error {
	if p.cancel == nil {
		return nil
	}
	defer p.cancel()
	if p.err != nil {
		return nil // the test that wanted it said so
	}
	running := chromedp.FromContext(p.ctx).Browser.Process()
	if err := chromedp.Cancel(p.ctx); err != nil {
		return err
	}
	p.cancel()
	chromedp.FromContext(p.ctx).Allocator.Wait()
	if running.Signal(syscall.Signal(0)) == nil {
		return fmt.Errorf("process %d is still there: %w", running.Pid, running.Kill())
	}
	return nil
}

// browser is a window on the server, of somebody who was never there.
type browser struct {
	t      *testing.T
	server *server
	//nolint:containedctx // it is the window, as chromedp has it
	ctx context.Context
	// folder is where downloads go.
	folder string
	// left is how many pages were left by going back.
	left int

	mu sync.Mutex
	// said is what the console said that it should not.
	said []string
}

// browser opens a window, wide and light, in a zone that is far from UTC.
func (s *server) browser(t *testing.T) *browser {
	t.Helper()
	if err := chromium.start(); err != nil {
		t.Fatalf("this needs Chromium (on Debian: apt-get install chromium): %v", err)
	}
	b := &browser{t: t, server: s, folder: t.TempDir()}
	ctx, cancel := chromedp.NewContext(chromium.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(b.heard))
	b.ctx = ctx
	t.Cleanup(func() {
		if t.Failed() {
			b.keepFailure()
		}
		cancel()
		for _, each := range b.taken() {
			t.Errorf("the console: %s", each)
		}
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a window: %v", err)
	}
	own := chromedp.FromContext(ctx).BrowserContextID
	b.must("prepare the window", chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: zone})
		if err != nil {
			return err
		}
		if _, err = cdp.Call(ctx, tab, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}); err != nil {
			return err
		}
		headers := network.Headers{"X-Forwarded-For": s.machine()}
		_, err = cdp.Call(ctx, tab, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: headers})
		return err
	}))
	b.atBrowser(func(ctx context.Context) error {
		_, err := chromedp.CallBrowser(ctx, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{
			Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllow, BrowserContextID: own, DownloadPath: b.folder,
		})
		return err
	})
	b.resize(wide)
	return b
}

// heard takes note of what the page has to complain of. That pages answer 4xx
// is no complaint: those are pages, too.
func (b *browser) heard(event any) {
	var text string
	switch event := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if event.Type != runtime.ConsoleAPICalledTypeError && event.Type != runtime.ConsoleAPICalledTypeWarning && event.Type != runtime.ConsoleAPICalledTypeAssert {
			return
		}
		for _, each := range event.Args {
			text += fmt.Sprintf(" %s %s", each.Value, each.Description)
		}
	case *runtime.EventExceptionThrown:
		text = event.ExceptionDetails.Text
		if thrown := event.ExceptionDetails.Exception; thrown != nil {
			text += " " + thrown.Description
		}
	case *cdplog.EventEntryAdded:
		entry := event.Entry
		if entry.Level != cdplog.EntryLevelError && entry.Level != cdplog.EntryLevelWarning ||
			entry.Source == cdplog.EntrySourceNetwork && strings.Contains(entry.Text, "status of 4") && !strings.Contains(entry.URL, "/static/") {
			return
		}
		text = fmt.Sprintf("%s: %s (%s)", entry.Source, entry.Text, entry.URL)
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.said = append(b.said, text)
}

// taken returns what the console said, which the test then does not fail for.
func (b *browser) taken() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	said := b.said
	b.said = nil
	return said
}

// must runs actions within patience.
func (b *browser) must(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatalf("%s: %v; on %s", what, err, b.shown())
	}
}

// atBrowser sends a command to the browser and not to the page.
func (b *browser) atBrowser(command func(ctx context.Context) error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := command(ctx); err != nil {
		b.t.Fatal(err)
	}
}

// evaluate is what a script's expression is on the page.
func evaluate[T any](b *browser, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v; on %s", expression, err, b.shown())
	}
	return value
}

// shown says where the window is, for failures.
func (b *browser) shown() string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.pathname + ": " + document.body.innerText`))
	if err != nil {
		return "no page"
	}
	return text
}

// keepFailure keeps a picture of the page that a test failed on.
func (b *browser) keepFailure() {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	if picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot()); err == nil {
		path := filepath.Join(pictures(b.t), "failed", strings.ReplaceAll(b.t.Name(), "/", "-")+".png")
		b.t.Logf("the page is shown in %s", path)
		save(b.t, path, picture)
	}
}

// resize gives the window another width.
func (b *browser) resize(width int64) {
	b.t.Helper()
	b.must("resize", chromedp.EmulateViewport(width, 900))
}

// dark has the browser prefer dark colours, or light ones.
func (b *browser) dark(on bool) {
	b.t.Helper()
	scheme := "light"
	if on {
		scheme = "dark"
	}
	b.must("choose colours", chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}})
		return err
	}))
}

// scripts lets pages run scripts, or not. It counts from the next page on.
func (b *browser) scripts(on bool) {
	b.t.Helper()
	b.must("allow scripts", chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
		return err
	}))
}

// quoted is a text as a script has it.
func quoted(text string) string {
	encoded, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string is always encoded
	}
	return string(encoded)
}
