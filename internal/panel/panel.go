// Package panel is the control panel: pages for people, made on the server.
//
// Every page works without JavaScript, but for copying. What people read stands
// in messages, what they look at in templates and static. The pages call the
// services that the API calls, and decide nothing themselves: whether somebody
// may do something is asked of the services.
package panel

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"latchkey/internal/access"
	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/offboard"
	"latchkey/internal/once"
	"latchkey/internal/scope"
	"latchkey/internal/setup"
	"latchkey/internal/signin"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// Config is what a Panel is made of.
type Config struct {
	Accounts  *account.Service
	Users     *user.Service
	Tokens    *token.Service
	Offboard  *offboard.Service
	SignIn    *signin.Service
	Setup     *setup.Service
	Forms     *once.Forms
	Audit     audit.Reader
	Catalogue *scope.Catalogue
	// Look verifies the secret of a session.
	Look func(ctx context.Context, presented string, origin auth.Origin) (*access.Record, error)
	// API answers the Account API for the principal in the context.
	API http.Handler
	// PublicURL is how browsers reach the panel, without a slash at its end.
	PublicURL string
	Now       func() time.Time
	Log       *slog.Logger
}

// Visit is what the server knows of a request before the panel sees it.
type Visit struct {
	// Record is that of the session; nil where nobody is signed in.
	Record *access.Record
	Origin auth.Origin
	// Err is why nothing can be answered, if that is so.
	Err error
}

// Panel serves the pages.
type Panel struct {
	Config

	routes map[string]map[string]route // by pattern and method
	// opened matches the pages that somebody who is signed in can open.
	opened *http.ServeMux
	csrf   *http.CrossOriginProtection
}

// New returns a panel.
func New(c Config) *Panel {
	p := &Panel{Config: c, csrf: http.NewCrossOriginProtection(), routes: map[string]map[string]route{}, opened: http.NewServeMux()}
	for _, r := range routes() {
		if r.method == http.MethodGet && r.audience != anyone {
			p.opened.Handle(r.pattern, http.NotFoundHandler())
		}
		if p.routes[r.pattern] == nil {
			p.routes[r.pattern] = map[string]route{}
		}
		p.routes[r.pattern][r.method] = r
	}
	return p
}

// Patterns are those of the panel's pages, in the form of http.ServeMux, each
// once.
func (p *Panel) Patterns() []string {
	var patterns []string
	for pattern := range p.routes {
		patterns = append(patterns, pattern)
	}
	slices.Sort(patterns)
	return patterns
}

// ServeVisit answers a request that matched one of the patterns, or none.
func (p *Panel) ServeVisit(w http.ResponseWriter, r *http.Request, who Visit) {
	protect(w.Header())
	v := p.visit(w, r, who)
	if err := v.serve(); err != nil {
		v.fail(err)
	}
}

// protect sets what keeps a page from being framed, from running what is not
// ours, and from telling others where it was. Nothing of it is kept.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "+
		"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Cache-Control", "no-store")
}

// access says for whom a page is.
type audience int

const (
	// anyone: nobody need be signed in.
	anyone audience = iota
	// someone: whoever is signed in, in whatever account.
	someone
	// insider: whoever is signed in in the account of the page's address.
	insider
)

// route is one page, or what one form does.
type route struct {
	method, pattern string
	audience        audience
	serve           func(*visit) error
	// fresh says that it does what cannot be undone, so that whoever proved
	// too long ago who they are must prove it again.
	fresh bool
	// unbounded says that the form may take longer than auth.WriteTimeout, since
	// it asks other servers or the API, which have time limits of their own.
	unbounded bool
}

// serve finds the route of the visit, and sees to what all of them need.
func (v *visit) serve() error {
	if v.who.Err != nil {
		return v.who.Err
	}
	if err := v.csrf.Check(v.r); err != nil {
		v.locate()
		return v.page(http.StatusForbidden, "error", problem{Title: v.text("errors.cross_origin.title"), Text: v.text("errors.cross_origin.text")})
	}
	if err := v.legible(); err != nil {
		return err
	}
	methods, known := v.routes[v.r.Pattern]
	if !known {
		return errNoPage()
	}
	method := v.r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	found, known := methods[method]
	if !known {
		var allowed []string
		for each := range methods {
			allowed = append(allowed, each)
		}
		slices.Sort(allowed)
		v.locate()
		v.w.Header().Set("Allow", strings.Join(allowed, ", "))
		return v.page(http.StatusMethodNotAllowed, "error", problem{Title: v.text("errors.method.title"), Text: v.text("errors.method.text")})
	}
	if method != http.MethodPost {
		return v.enter(found)
	}
	if found.unbounded {
		return v.submit(found)
	}
	whole := v.r
	defer func() { v.r = whole }()
	return auth.BoundWrite(whole.Context(), func(ctx context.Context) error {
		v.r = whole.WithContext(ctx)
		return v.submit(found) //nolint:contextcheck // it is in v.r
	})
}

// submit acts on a form. It may have taken seconds to arrive, so the session is
// verified again.
func (v *visit) submit(to route) error {
	if err := v.verify(v.r.Context()); err != nil {
		return err
	}
	return v.enter(to)
}

// maxSmallForm is the largest body, in bytes, that visitors may send before they
// are signed in, or to pages outside an account. It is several times what the
// largest of those forms takes, the one to register a passkey.
const maxSmallForm = 32 << 10

// boundForm limits the request's body before any of it is read: anyone can send
// one. Only the pages of an account have forms without a small bound, such as a
// query of GraphQL; those are limited by the server.
func (v *visit) boundForm() {
	if v.by != nil && v.routes[v.r.Pattern][v.r.Method].audience == insider {
		return
	}
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxSmallForm)
}

// legible returns fault.Invalid for what no database keeps as text: the
// address, the query and the form of a request are UTF-8 without NUL. It returns
// the same for a body that is too large.
func (v *visit) legible() error {
	if !isText(v.r.URL.Path) {
		return errNoPage()
	}
	v.boundForm()
	if err := v.r.ParseForm(); err != nil {
		return fault.Errorf(fault.Invalid, "%s", v.text("errors.form"))
	}
	for name, values := range v.r.Form {
		if !isText(name) || !isText(strings.Join(values, "")) {
			return fault.Errorf(fault.Invalid, "%s", v.text("errors.form"))
		}
	}
	return nil
}

func isText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// enter lets in whom the route is for.
func (v *visit) enter(to route) error {
	if to.audience == anyone {
		return to.serve(v)
	}
	if v.by == nil {
		return v.toSignIn()
	}
	if err := v.settle(); err != nil {
		return err
	}
	if to.audience == insider && v.r.PathValue("account") != v.by.AccountID.String() {
		return v.elsewhere()
	}
	if to.fresh && v.r.Method == http.MethodPost {
		if again, err := v.again(); again || err != nil {
			return err
		}
	}
	return to.serve(v)
}

func errNoPage() error { return fault.Errorf(fault.NotFound, "There is no such page.") }
