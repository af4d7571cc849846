package panel

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/auth"
)

// Before a visitor is signed in, and outside an account's pages, a form's body is read only up to its limit.
func TestSmallForms(t *testing.T) {
	signedIn := access.Record{Principal: auth.Principal{Kind: auth.Session}}
	p := New(Config{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	for _, to := range append(p.handlers(Config{}), route{pattern: "/", method: http.MethodPost}) {
		if to.method != http.MethodPost {
			continue
		}
		for _, from := range []Caller{{}, {Record: &signedIn}} {
			body := strings.NewReader("email=" + strings.Repeat("a", 1<<20))
			r := httptest.NewRequest(http.MethodPost, "/", body)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Pattern = to.pattern
			err := p.readForm(p.newRequest(httptest.NewRecorder(), r, from))
			if small := from.Record == nil || to.audience != member; small != (err != nil) {
				t.Errorf("%s, signed in %t: got %v, want an error %t", to.pattern, from.Record != nil, err, small)
			}
			if read := int(body.Size()) - body.Len(); err != nil && read > maxSmallForm+1 {
				t.Errorf("%s, signed in %t: got %d bytes read, want at most %d", to.pattern, from.Record != nil, read,
					maxSmallForm+1)
			}
		}
	}
}

// A form that is too large gets the same response as one that cannot be parsed.
func TestTooLargeForm(t *testing.T) {
	p := New(Config{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	r := httptest.NewRequest(http.MethodPost, "/signin", strings.NewReader("email="+strings.Repeat("a", maxSmallForm)))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Pattern = "/signin"
	answer := httptest.NewRecorder()
	p.Serve(answer, r, Caller{})
	page, err := io.ReadAll(answer.Result().Body)
	if err != nil || answer.Code != http.StatusUnprocessableEntity ||
		!strings.Contains(string(page), "The form cannot be read.") {
		t.Errorf("got %d, %s, %v, want 422 \"The form cannot be read.\"", answer.Code, page, err)
	}
}

// Every page's templates can be parsed.
func TestPagesParse(t *testing.T) {
	for name, parsed := range loadViews().pages {
		if _, err := parsed(); err != nil {
			t.Errorf("page %s: %v", name, err)
		}
	}
}
