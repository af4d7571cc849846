package panel_test

// How to test pages in a browser. One Chromium runs for all tests of this
// package; each test has a window of its own, which shares nothing with others:
//
//	eachServer(t, func(t *testing.T, s *server) {
//		b := s.browser(t)
//		b.signIn(s.OwnerEmail)
//		b.open("/accounts")                    // a path of the server
//		b.follow("Acme Retail Member Current")  // a link or button that loads a page
//		b.fill("Email address", "a@b.example") // a field by its label
//		b.check("Orders: read-only")           // a check box or radio button
//		b.choose("Expires", "In 90 days")      // an option of a select
//		b.click("Copy the client ID")          // a button that loads no page
//		b.see("Copied")                        // waits until the page says so
//		b.press(kb.Escape)                     // keys, where the focus is
//		b.inspect("accounts")                     // axe, no overflow, screenshots: see look_test.go
//	})
//
// Links, buttons and fields are found by their accessible name: aria-label, label or text. While a dialog is open,
// only its elements are found. A test fails on an error on the console, a violation of the Content-Security-Policy,
// an uncaught exception and a page that answers 5xx. Each step waits at most for stepTimeout, and a failure reports
// what it waited for.

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
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

	"latchkey/internal/secret/password"
)

// stepTimeout is how long a step on a page may take, also on a busy machine.
const stepTimeout = 30 * time.Second

// zone is the browser's time zone.
const zone = "Australia/Adelaide"

// The widths of windows, in CSS pixels: a small phone and a large screen.
const (
	narrow = 320
	wide   = 1600
)

// TestMain stops the browser and checks that tests left no goroutines running. With the default,
// collecting garbage takes a fifth of the processor time of a crawl. Hashes of passwords are cheap, because users sign
// in hundreds of times.
func TestMain(m *testing.M) {
	password.LowerCost()
	debug.SetGCPercent(400) // servers leave it, see start
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

// chromium is the one browser process of this test binary. The first test that needs it starts it.
var chromium process

// unused are features that each window of Chromium starts a process for, and that no test uses: the two pages of the
// address bar, and a renderer for the next site. The first two are chromedp's own.
const unused = "Translate,BlinkGenPropertyTrees,WebUIOmniboxPopup,WebUIOmniboxAimPopup,SpareRendererForSitePerProcess"

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
			chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Flag("disable-gpu", true),
			chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-features", unused),
			chromedp.Flag("hide-scrollbars", true), chromedp.Flag("no-proxy-server", true))
		allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
		p.ctx, _ = chromedp.NewContext(allocator) // canceled by end
		p.cancel = cancel
		p.err = chromedp.Do(p.ctx)
	})
	return p.err
}

// end stops the browser, if it was started.
func (p *process) end() error {
	if p.cancel == nil {
		return nil
	}
	defer p.cancel()
	if p.err != nil {
		return nil // the test that needed it has failed already
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

// browser is a window with its own, empty profile.
type browser struct {
	t      *testing.T
	server *server
	//nolint:containedctx // it is the window, as chromedp has it
	ctx context.Context
	// folder is the download folder.
	folder string
	// left counts the pages left with Back.
	left int

	mu sync.Mutex
	// said are the unexpected messages on the console.
	said []string
}

// browser opens a wide window in light mode, with a time zone far from UTC.
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
			t.Errorf("the console: %s, want nothing", each)
		}
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a window: %v", err)
	}
	own := chromedp.FromContext(ctx).BrowserContextID
	b.must("prepare the window", chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, emulation.SetTimezoneOverride,
			emulation.SetTimezoneOverrideParams{TimezoneID: zone})
		if err != nil {
			return err
		}
		if _, err = cdp.Call(ctx, tab, emulation.SetFocusEmulationEnabled,
			emulation.SetFocusEmulationEnabledParams{Enabled: true}); err != nil {
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

// heard records problems of the page. A page that answers 4xx is not a problem: error pages are pages too.
func (b *browser) heard(event any) {
	var text string
	switch event := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if event.Type != runtime.ConsoleAPICalledTypeError && event.Type != runtime.ConsoleAPICalledTypeWarning &&
			event.Type != runtime.ConsoleAPICalledTypeAssert {
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
			entry.Source == cdplog.EntrySourceNetwork && strings.Contains(entry.Text, "status of 4") &&
				!strings.Contains(entry.URL, "/static/") {
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

// taken returns and clears the recorded console messages, so that the test does not fail because of them.
func (b *browser) taken() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	said := b.said
	b.said = nil
	return said
}

// must runs actions within stepTimeout.
func (b *browser) must(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTimeout)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatalf("%s: %v; on %s", what, err, b.shown())
	}
}

// atBrowser sends a command to the browser instead of the page.
func (b *browser) atBrowser(command func(ctx context.Context) error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTimeout)
	defer cancel()
	if err := command(ctx); err != nil {
		b.t.Fatal(err)
	}
}

// evaluate returns the value of a JavaScript expression on the page.
func evaluate[T any](b *browser, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTimeout)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v; on %s", expression, err, b.shown())
	}
	return value
}

// shown describes the window's location, for failures.
func (b *browser) shown() string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.pathname + ": " + document.body.innerText`))
	if err != nil {
		return "no page"
	}
	return text
}

// keepFailure saves a screenshot of the page that a test failed on.
func (b *browser) keepFailure() {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	if picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot()); err == nil {
		path := filepath.Join(pictures(b.t), "failed", strings.ReplaceAll(b.t.Name(), "/", "-")+".png")
		b.t.Logf("the page is shown in %s", path)
		save(b.t, path, picture)
	}
}

// resize changes the window's width.
func (b *browser) resize(width int64) {
	b.t.Helper()
	b.must("resize", chromedp.EmulateViewport(width, 900))
}

// dark sets whether the browser prefers dark mode.
func (b *browser) dark(on bool) {
	b.t.Helper()
	scheme := "light"
	if on {
		scheme = "dark"
	}
	b.must("choose colours", chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia,
			emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
			}})
		return err
	}))
}

// scripts turns JavaScript on or off. It takes effect on the next page.
func (b *browser) scripts(on bool) {
	b.t.Helper()
	b.must("allow scripts", chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, emulation.SetScriptExecutionDisabled,
			emulation.SetScriptExecutionDisabledParams{Value: !on})
		return err
	}))
}

// quoted returns a text as a JavaScript string.
func quoted(text string) string {
	encoded, err := json.Marshal(text)
	if err != nil {
		panic(err) // encoding a string does not fail
	}
	return string(encoded)
}
