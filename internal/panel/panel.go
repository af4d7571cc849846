// Package panel is the control panel: HTML pages rendered on the server.
//
// Every page works without JavaScript, except for the copy buttons. Texts are in messages; markup and styles are in
// templates and static. The pages call the same services as the API. They decide nothing themselves: the services
// check what the visitor may do.
package panel

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"latchkey/internal/access"
	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/billing"
	"latchkey/internal/clock"
	"latchkey/internal/directory"
	"latchkey/internal/fault"
	"latchkey/internal/manifest/setup"
	"latchkey/internal/membership"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/signin/formtoken"
	"latchkey/internal/token"
	"latchkey/internal/user"
	"latchkey/internal/webhook"
)

// Config configures a Panel. All fields are required.
type Config struct {
	Accounts    *account.Service
	Users       *user.Service
	Tokens      *token.Service
	Webhooks    *webhook.Service
	Billing     *billing.Service
	Memberships *membership.Service
	Directories *directory.Service
	SignIn      *signin.Service
	Setup       *setup.Service
	Forms       *formtoken.FormTokens
	Audit       audit.Reader
	Catalogue   *scope.Catalogue
	// Verify verifies the secret of a session.
	Verify func(ctx context.Context, presented string, origin auth.Origin) (*access.Record, error)
	// API serves the Account API for the principal in the context.
	API http.Handler
	// SDL returns the schema of the API in GraphQL's schema language.
	SDL func() string
	// PublicURL is the panel's base URL, without a trailing slash.
	PublicURL string
	// Keys seal the cookies with what the panel keeps for a browser's next page.
	Keys   *secret.Keyring
	Random io.Reader
	Now    clock.Clock
	Log    *slog.Logger
}

// Caller is what the server knows about the sender of a request before the panel handles it.
type Caller struct {
	// Record is the session's record, nil if the caller is not signed in.
	Record *access.Record
	// Ended is why the session in the browser's cookie does not work, empty if it does or there is none.
	Ended  access.Reason
	Origin auth.Origin
	// Err is the error to answer with, if verifying the session failed.
	Err error
}

// Panel serves the pages.
type Panel struct {
	routes map[string]map[string]route // by pattern and method
	// opened matches the pages that require a session and can be opened with GET.
	opened *http.ServeMux
	csrf   *http.CrossOriginProtection

	sessions *sessions
	accounts *accountHandler
	signIn   *signInHandler
	errors   *errorHandler
	sealer   *sealer
	now      clock.Clock
}

// New returns a Panel.
func New(c Config) *Panel {
	s := &sessions{signIn: c.SignIn, lookup: c.Verify}
	accounts := &accountHandler{signIn: c.SignIn, stores: c.Accounts, sessions: s}
	p := &Panel{
		routes: map[string]map[string]route{}, opened: http.NewServeMux(), csrf: http.NewCrossOriginProtection(),
		sessions: s, accounts: accounts, sealer: &sealer{c.Keys, c.Random}, now: c.Now,
		signIn: &signInHandler{signIn: c.SignIn, setup: c.Setup, sessions: s, log: c.Log},
		errors: &errorHandler{users: c.Users, signIn: c.SignIn, accounts: accounts, log: c.Log},
	}
	for _, r := range p.handlers(c) {
		if r.method == http.MethodGet && r.audience != public {
			p.opened.Handle(r.pattern, http.NotFoundHandler())
		}
		if p.routes[r.pattern] == nil {
			p.routes[r.pattern] = map[string]route{}
		}
		p.routes[r.pattern][r.method] = r
	}
	return p
}

// Patterns returns the patterns of the panel's pages for http.ServeMux, sorted and without duplicates.
func (p *Panel) Patterns() []string {
	var patterns []string
	for pattern := range p.routes {
		patterns = append(patterns, pattern)
	}
	slices.Sort(patterns)
	return patterns
}

// Credential returns the session secret in the request's cookie, or "".
func (p *Panel) Credential(r *http.Request) string { return credential(r) }

// Serve handles a request that matched one of the patterns, or none of them.
func (p *Panel) Serve(w http.ResponseWriter, r *http.Request, from Caller) {
	protect(w.Header())
	q := p.newRequest(w, r, from)
	err := from.Err
	if err == nil {
		err = p.serve(q)
	}
	if err != nil {
		p.errors.fail(q, err)
	}
}

func (p *Panel) newRequest(w http.ResponseWriter, r *http.Request, from Caller) *request {
	q := &request{w: w, r: r, origin: from.Origin, zone: zoneOf(r), now: p.now, opened: p.opened,
		sealer: p.sealer, ended: from.Ended}
	q.setSession(from.Record)
	return q
}

// protect sets the headers that keep a page from being framed, from running foreign code, from leaking its address
// and from being cached.
func protect(h http.Header) {
	h.Set("Content-Security-Policy",
		"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "+
			"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Cache-Control", "no-store")
}

// serve finds the route and makes the checks that all routes share.
func (p *Panel) serve(q *request) error {
	if err := p.csrf.Check(q.r); err != nil {
		p.errors.load(q)
		return errorTemplate.show(q, http.StatusForbidden,
			problem{Title: q.text("errors.cross_origin.title"), Text: q.text("errors.cross_origin.text")})
	}
	if err := p.readForm(q); err != nil {
		return err
	}
	methods, known := p.routes[q.r.Pattern]
	if !known {
		return errNoPage()
	}
	method := q.r.Method
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
		p.errors.load(q)
		q.w.Header().Set("Allow", strings.Join(allowed, ", "))
		return errorTemplate.show(q, http.StatusMethodNotAllowed,
			problem{Title: q.text("errors.method.title"), Text: q.text("errors.method.text")})
	}
	if method != http.MethodPost {
		return p.enter(q, found)
	}
	if found.is(unbounded) {
		return p.submit(q, found)
	}
	whole := q.r
	defer func() { q.r = whole }()
	return auth.BoundWrite(whole.Context(), func(ctx context.Context) error {
		q.r = whole.WithContext(ctx)
		return p.submit(q, found) //nolint:contextcheck // it is in q.r
	})
}

// submit handles a form. The body may have taken seconds to arrive, so it verifies the session again.
func (p *Panel) submit(q *request, to route) error {
	if err := p.sessions.verify(q.r.Context(), q); err != nil {
		return err
	}
	return p.enter(q, to)
}

// maxSmallForm is the largest body, in bytes, that visitors may send before they
// are signed in, or to pages outside an account. It is several times what the
// largest of those forms takes, the one to register a passkey.
const maxSmallForm = 32 << 10

// boundForm limits the request's body before any of it is read: any client can send
// one. Only the pages of an account have forms without a small bound, such as a
// query of GraphQL; those are limited by the server.
func (p *Panel) boundForm(q *request) {
	if q.by != nil && p.routes[q.r.Pattern][q.r.Method].audience == member {
		return
	}
	q.r.Body = http.MaxBytesReader(q.w, q.r.Body, maxSmallForm)
}

// readForm returns fault.Invalid unless the address, the query and the form are UTF-8 without NUL, because the
// databases do not store other text. It returns the same for a body that is too large.
func (p *Panel) readForm(q *request) error {
	if !isText(q.r.URL.Path) {
		return errNoPage()
	}
	p.boundForm(q)
	if err := q.r.ParseForm(); err != nil {
		return fault.Errorf(fault.Invalid, "%s", q.text("errors.form"))
	}
	for name, values := range q.r.Form {
		if !isText(name) || !isText(strings.Join(values, "")) {
			return fault.Errorf(fault.Invalid, "%s", q.text("errors.form"))
		}
	}
	return nil
}

func isText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// enter serves the route if the visitor belongs to its audience.
func (p *Panel) enter(q *request, to route) error {
	if to.audience == public {
		return to.serve(q)
	}
	if q.by == nil {
		q.unkept = to.is(unkept)
		return q.toSignIn()
	}
	if err := p.accounts.load(q); err != nil {
		return err
	}
	if to.audience == member && q.r.PathValue("account") != q.by.AccountID.String() {
		return p.accounts.elsewhere(q)
	}
	if to.is(fresh) && q.r.Method == http.MethodPost {
		if again, err := p.signIn.reauthenticate(q); again || err != nil {
			return err
		}
	}
	return to.serve(q)
}

func errNoPage() error {
	return fault.Errorf(fault.NotFound, "The address may be mistyped, or the page was removed.")
}
