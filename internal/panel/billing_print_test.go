package panel_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"latchkey/internal/test/check"
)

// onPaper shows pages in print, in a browser that prefers dark mode, and returns the page as a PDF on A4.
func (b *browser) onPaper() []byte {
	b.t.Helper()
	var pdf []byte
	background, width, height := true, 8.27, 11.69 // inches
	b.must("print", chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		medium := "print"
		if _, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: medium,
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}}); err != nil {
			return err
		}
		printed, err := cdp.Call(ctx, tab, page.PrintToPDF, page.PrintToPDFParams{PrintBackground: &background,
			PaperWidth: width, PaperHeight: height})
		if err == nil {
			pdf = printed.Data
		}
		return err
	}))
	return pdf
}

var pageOfPDF = regexp.MustCompile(`/Type\s*/Page\b[^s]`)

// An invoice on paper has every line and nothing that leads elsewhere, black on white, on as many pages as it needs.
// No row is torn, and each page has the head of the table.
func TestPrintedInvoice(t *testing.T) {
	inBrowser(t, func(t *testing.T, s *server) {
		const usages = 60
		acme := s.biller().as(s.Account)
		sub := acme.subscribedBy(s.signedIn(bicyclesOwner), bicycles, acmeItem("bluebike", "30"))
		for n := range usages {
			acme.usage(sub, fmt.Sprintf("Mails of job %d", n+1), "0.05")
		}
		acme.days(1)
		b := s.browser(t)
		b.signIn(bicyclesOwner)
		b.open("/accounts/" + bicycles + "/invoices")
		b.follow("Invoice 1")
		pdf := b.onPaper()
		save(t, filepath.Join(pictures(t), "invoice.pdf"), pdf)
		if pages := len(pageOfPDF.FindAll(pdf, -1)); !bytes.HasPrefix(pdf, []byte("%PDF-")) || pages < 3 || pages > 6 {
			t.Errorf("%d lines on A4: got %d pages in %d bytes, want 3 to 6", usages+1, pages, len(pdf))
		}
		for _, css := range []string{".top", ".side", ".crumbs", ".skip", "button", "form"} {
			check.Equal(t, b.count(css), 0, "visible %s", css)
		}
		check.Equal(t, b.count("tbody tr"), usages+1, "lines")
		check.Equal(t, b.text("tfoot tr"), "Total\t$33.00", "the last line")
		for what, want := range map[string]string{
			`getComputedStyle(document.querySelector("tbody tr")).breakInside`:      "avoid",
			`getComputedStyle(document.querySelector("thead")).display`:             "table-header-group",
			`getComputedStyle(document.querySelector(".list")).overflowX`:           "visible",
			`getComputedStyle(document.querySelector("tbody .hint")).color`:         "rgb(51, 51, 51)",
			`getComputedStyle(document.querySelector("td.number")).color`:           "rgb(0, 0, 0)",
			`getComputedStyle(document.querySelector("td.number")).backgroundColor`: "rgba(0, 0, 0, 0)",
			`getComputedStyle(document.querySelector("thead th")).backgroundColor`:  "rgb(255, 255, 255)",
			`getComputedStyle(document.querySelector("main h2")).breakAfter`:        "avoid",
		} {
			check.Equal(t, evaluate[string](b, what), want, "%s", what)
		}
	}, january)
}
