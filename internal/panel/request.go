package panel

import (
	"net/http"
	"net/url"
	"strings"
	"time"
	_ "time/tzdata" // time zones, also on systems that have none installed

	"latchkey/internal/access"
	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/signin"
)

// request is one request to the panel and its response.
type request struct {
	w      http.ResponseWriter
	r      *http.Request
	origin auth.Origin
	// record is the session's record, and by the signed-in principal with the request's origin; both are nil without
	// a session.
	record *access.Record
	by     *auth.Principal
	// account is the account that the session is for, memberships are those of the user, and stores are the stores
	// that the navigation shows.
	account     account.Account
	memberships []signin.Membership
	stores      []account.Store
	// store is the store that the page is about, zero if it is about the account.
	store account.Store
	// zone is the viewer's time zone.
	zone *time.Location
	now  clock.Clock
	// opened matches the pages that require a session and can be opened with GET.
	opened *http.ServeMux
	sealer *sealer
	// noted reports whether the response keeps a notice for the next page.
	noted bool
	// ended is why the session in the request's cookie does not work, empty if it does or there is none.
	ended access.Reason
	// unkept reports whether the submitted form must not be kept, and kept is a form to fill into the page.
	unkept bool
	kept   *keptForm
}

// setSession sets the session of the request. A nil record means that the visitor is not signed in.
func (q *request) setSession(record *access.Record) {
	q.record, q.by = record, nil
	if record != nil && record.Principal.Kind == auth.Session {
		q.by = record.For(q.origin, q.now())
	}
}

// zoneOf returns the time zone in the request's cookie, or UTC.
func zoneOf(r *http.Request) *time.Location {
	cookie, err := r.Cookie(zoneCookie)
	if err != nil || len(cookie.Value) > 64 {
		return time.UTC
	}
	name, err := url.QueryUnescape(cookie.Value)
	if err != nil || name == "Local" {
		return time.UTC
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return zone
}

// visitor describes the request for package signin.
func (q *request) visitor() signin.Visitor {
	known := signin.Visitor{Origin: q.origin, UserAgent: q.r.UserAgent()}
	if cookie, err := q.r.Cookie(deviceCookie); err == nil {
		known.Device = cookie.Value
	}
	return known
}

// redirect redirects to another page of the panel with status 303 (RFC 9110, section 15.4.4).
func (q *request) redirect(to string) error {
	http.Redirect(q.w, q.r, to, http.StatusSeeOther)
	return nil
}

// address returns the address of a page of the session's account.
func (q *request) address(path string) string { return "/accounts/" + q.by.AccountID.String() + path }

// next returns where to redirect after signing in: the requested page if it is one of the panel's, or "/".
func (q *request) next() string { return q.returnPath(q.r.FormValue("next")) }

// returnPath returns address if a signed-in user can open it with GET, and "/" otherwise.
func (q *request) returnPath(address string) string {
	at, err := url.Parse(localPath(address))
	if err != nil {
		return "/"
	}
	if _, pattern := q.opened.Handler(&http.Request{Method: http.MethodGet, URL: at}); pattern == "" {
		return "/"
	}
	return localPath(address)
}

// longestPath is the longest path, in bytes, to return to after signing in. Flows store it, and any client can start a
// flow.
const longestPath = 2048

// localPath returns text if it is a path on this server, and "/" for anything that a browser could resolve to
// another host.
func localPath(text string) string {
	if len(text) > longestPath {
		return "/"
	}
	parsed, err := url.Parse(text)
	clean := err == nil && parsed.Scheme == "" && parsed.Host == "" && parsed.User == nil &&
		strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//") && !strings.ContainsAny(text, "\\\t\r\n")
	if !clean {
		return "/"
	}
	return text
}

// hideAddress keeps the address of the page, which holds a secret, out of the Referer header. The origin remains:
// without it, browsers would send the form with "Origin: null", which the check against CSRF refuses.
func (q *request) hideAddress() { q.w.Header().Set("Referrer-Policy", "strict-origin") }
