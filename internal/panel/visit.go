package panel

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the viewer's zone, wherever the program runs

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// The cookies. The first holds the session's secret; "__Host-" binds it to this
// host and to TLS (RFC 6265bis, section 4.1.3.2), for which browsers take a
// server on their own machine, too. The second is the viewer's time zone, which
// the panel's script tells. The third knows a browser again that its person
// signed in with. The fourth, which is kept without TLS as well, says that
// somebody just signed in: where it comes alone, the browser did not keep the
// first.
const (
	sessionCookie  = "__Host-latchkey"
	zoneCookie     = "latchkey-zone"
	deviceCookie   = "__Host-latchkey-device"
	arrivingCookie = "latchkey-arriving"
)

// Credential returns the secret of the session that a request presents; empty
// for none.
func (p *Panel) Credential(r *http.Request) string {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return ""
	}
	return cookie.Value
}

// visit is one request to the panel and its answer.
type visit struct {
	*Panel

	w   http.ResponseWriter
	r   *http.Request
	who Visit
	// by is who is signed in; nil for nobody. It carries the visit's origin.
	by *auth.Principal
	// account is the one that they are signed in to, and accounts how many they
	// are in.
	account  account.Account
	accounts int
	// store is the one that the page is about; zero for one about the account.
	store account.Store
	// zone is the viewer's time zone.
	zone *time.Location
	// after is where to go after signing in, as a flow kept it.
	after string
	// into is the account to sign in to; zero for any.
	into uuid.UUID
}

func (p *Panel) visit(w http.ResponseWriter, r *http.Request, who Visit) *visit {
	v := &visit{Panel: p, w: w, r: r, zone: zoneOf(r)}
	v.meet(who)
	return v
}

// meet takes note of who is signed in.
func (v *visit) meet(who Visit) {
	v.who, v.by = who, nil
	if who.Record == nil || who.Record.Principal.Kind != auth.Session {
		return
	}
	v.by = who.Record.For(who.Origin, v.Now())
}

// verify has the visit go on with what is known of its session now, which may
// have ended, or its rights changed, since the request began. Then nobody is
// signed in, as at the beginning.
func (v *visit) verify(ctx context.Context) error {
	if v.by == nil {
		return nil
	}
	record, err := v.Look(ctx, v.Credential(v.r), v.who.Origin)
	if err != nil && fault.KindOf(err) != fault.Unauthenticated {
		return err
	}
	v.meet(Visit{Record: record, Origin: v.who.Origin})
	return nil
}

// settle reads what every page for people who are signed in shows.
func (v *visit) settle() error {
	all, err := v.SignIn.Accounts(v.r.Context(), v.by.Person())
	if err != nil {
		return err
	}
	v.accounts = len(all)
	for _, a := range all {
		if a.ID == v.by.AccountID {
			v.account = a
			return nil
		}
	}
	return fault.Errorf(fault.Unauthenticated, "%s is no longer in the account.", v.by.Name)
}

// locate has the page of an error show where the visitor is, if that is known.
func (v *visit) locate() {
	if v.by != nil && v.account.ID != v.by.AccountID && v.settle() != nil {
		v.by = nil
	}
}

// zoneOf returns the zone that a request names, or UTC.
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

// visitor is the visit in the words of package signin.
func (v *visit) visitor() signin.Visitor {
	known := signin.Visitor{Origin: v.who.Origin, UserAgent: v.r.UserAgent()}
	if cookie, err := v.r.Cookie(deviceCookie); err == nil {
		known.Device = cookie.Value
	}
	return known
}

// keepSession gives the browser a session to keep, and goes on in it.
func (v *visit) keepSession(s user.Session, value secret.Secret) error {
	v.setCookie(sessionCookie, value.Reveal(), s.ExpiresAt)
	record, err := v.Look(v.r.Context(), value.Reveal(), v.who.Origin)
	if err != nil {
		return err
	}
	v.meet(Visit{Record: record, Origin: v.who.Origin})
	return nil
}

// forgetSession lets the browser forget its session, which does not work.
func (v *visit) forgetSession() error {
	v.dropCookie(sessionCookie)
	v.by = nil
	return v.toSignIn()
}

// setCookie sets a cookie that no script reads and that other sites' forms do
// not send.
func (v *visit) setCookie(name, value string, until time.Time) {
	http.SetCookie(v.w, &http.Cookie{
		Name: name, Value: value, Path: "/", Expires: until, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

func (v *visit) dropCookie(name string) {
	http.SetCookie(v.w, &http.Cookie{
		Name: name, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// redirect sends the browser to another page of the panel (RFC 9110, section
// 15.4.4).
func (v *visit) redirect(to string) error {
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
	return nil
}

// done is redirect with a notice for the next page: the key of a message under
// "notices", of which there are the forms for one and for other numbers.
func (v *visit) done(to, notice string, n int) error {
	return v.redirect(withNotice(to, notice, n))
}

// withNotice is the address of a page with a notice (see done).
func withNotice(to, notice string, n int) string {
	return to + "?" + url.Values{"notice": {notice}, "n": {strconv.Itoa(n)}}.Encode()
}

// in is the address of a page of the visit's account.
func (v *visit) in(path string) string { return "/accounts/" + v.by.AccountID.String() + path }

// next is where to go after signing in: the page asked for, if it is one of the
// panel, otherwise the first.
func (v *visit) next() string { return v.opens(cmp.Or(v.after, v.r.FormValue("next"))) }

// opens returns an address if it is that of a page that somebody who is signed
// in can open, and "/" for any other.
func (p *Panel) opens(address string) string {
	at, err := url.Parse(localPath(address))
	if err != nil {
		return "/"
	}
	if _, pattern := p.opened.Handler(&http.Request{Method: http.MethodGet, URL: at}); pattern == "" {
		return "/"
	}
	return localPath(address)
}

// longestPath bounds, in bytes, the path that a visitor wants to see after they
// sign in. Flows keep it, whoever begins them.
const longestPath = 2048

// localPath returns a path on this server, and "/" for anything that a browser
// could take for an address elsewhere.
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

// toSignIn asks the visitor to sign in, and brings them back afterwards to what
// they wanted to see. A form that they sent is not acted on: whoever signs in
// may be somebody else.
func (v *visit) toSignIn() error {
	query, next := url.Values{}, v.r.URL.RequestURI()
	if v.r.Method == http.MethodPost {
		query.Set("unsaved", "1")
		next = v.formPage()
	}
	if next = v.opens(next); next != "/" {
		query.Set("next", next)
	}
	return v.redirect((&url.URL{Path: "/signin", RawQuery: query.Encode()}).String())
}

// formPage is the page that the form stands on that the visitor sent: the one
// that the browser says (RFC 9110, section 10.1.3), or the next above what the
// form does.
func (v *visit) formPage() string {
	if from, err := url.Parse(v.r.Referer()); err == nil && from.Host == v.r.Host {
		query := from.Query()
		query.Del("notice")
		query.Del("n")
		if to := v.opens((&url.URL{Path: from.Path, RawQuery: query.Encode()}).String()); to != "/" {
			return to
		}
	}
	for at := v.r.URL.Path; at != "/"; at = path.Dir(at) {
		if to := v.opens(at); to != "/" {
			return to
		}
	}
	return "/"
}

// fail answers an error with a page.
func (v *visit) fail(err error) {
	if v.refused(err) {
		return
	}
	kind := fault.KindOf(err)
	if kind == fault.Internal {
		v.Log.LogAttrs(v.r.Context(), slog.LevelError, "a page of the control panel failed",
			slog.String("route", v.r.Pattern), slog.String("request_id", v.who.Origin.RequestID), slog.Any("error", err))
	}
	if kind == fault.Unauthenticated {
		_ = v.forgetSession()
		return
	}
	status := statuses[kind]
	if errors.Is(err, fault.ErrUnavailable) {
		status = http.StatusServiceUnavailable
		v.w.Header().Set("Retry-After", "1")
		v.by = nil // nothing more can be read of the account
	}
	v.locate()
	shown := v.problem(kind, v.waiting(err))
	if err := v.page(status, "error", shown); err != nil {
		v.Log.LogAttrs(v.r.Context(), slog.LevelError, "the page of an error failed", slog.Any("error", err))
	}
}

// statuses are those of HTTP for the kinds of faults; the one for all others is
// 500.
var statuses = map[fault.Kind]int{
	fault.Forbidden: http.StatusForbidden, fault.NotFound: http.StatusNotFound, fault.Invalid: http.StatusUnprocessableEntity,
	fault.Conflict: http.StatusConflict, fault.LimitReached: http.StatusConflict, fault.RateLimited: http.StatusTooManyRequests,
	fault.Internal: http.StatusInternalServerError,
}

// problem is what the page of an error shows.
type problem struct {
	Title, Text string
	// Helpers are who can help.
	Helpers []helper
	// RequestID finds the request in the logs; empty where that helps nobody.
	RequestID string
}

// helper is somebody who can help.
type helper struct{ Name, Email string }

func (v *visit) problem(kind fault.Kind, err error) problem {
	switch kind {
	case fault.Forbidden:
		return problem{Title: v.text("errors.forbidden.title"), Text: v.forbidden(err), Helpers: v.helpers()}
	case fault.NotFound:
		return problem{Title: v.text("errors.not_found.title"), Text: fault.Flatten(err)[0].Message}
	case fault.Internal:
		if errors.Is(err, fault.ErrUnavailable) {
			return problem{Title: v.text("errors.unavailable.title"), Text: v.text("errors.unavailable.text")}
		}
		return problem{Title: v.text("errors.internal.title"), Text: v.text("errors.internal.text"), RequestID: v.who.Origin.RequestID}
	}
	return problem{Title: v.text("errors.other.title"), Text: fault.Flatten(err)[0].Message}
}

// forbidden says why something is refused, in the panel's words where the
// refusal is the one that programs know.
func (v *visit) forbidden(err error) string {
	if message := fault.Flatten(err)[0].Message; message != auth.Denied().Message {
		return v.worded(message)
	}
	return v.text("errors.forbidden.text")
}

// helpers are the owners of the store that the page is about, if there is one,
// and of the visit's account: those of them who are not the visitor.
func (v *visit) helpers() []helper {
	if v.by == nil {
		return nil
	}
	var found []helper
	var asked []uuid.UUID
	for _, id := range []uuid.UUID{v.store.OwnerID, v.account.OwnerID} {
		if id == uuid.Nil || id == v.by.ID || slices.Contains(asked, id) {
			continue
		}
		asked = append(asked, id)
		people, err := v.Users.ByID(v.r.Context(), v.by, []uuid.UUID{id})
		if err != nil {
			return found // the page is about another error, and shows it without
		}
		for _, u := range people {
			found = append(found, helper{fullName(u), u.Email})
		}
	}
	return found
}

// waiting returns an error as it is, but for too many attempts or requests: then
// it says in words when to come again, and the header Retry-After in seconds
// (RFC 9110, section 10.2.3), unless the server set it already.
func (v *visit) waiting(err error) error {
	if fault.KindOf(err) != fault.RateLimited {
		return err
	}
	if wait := signin.Wait(err); wait > 0 {
		v.w.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())))
	}
	seconds, unread := strconv.Atoi(v.w.Header().Get("Retry-After"))
	if unread != nil {
		return err
	}
	text := v.count("errors.wait.seconds", seconds)
	if seconds >= 60 {
		text = v.count("errors.wait.minutes", (seconds+59)/60)
	}
	return fault.Wrap(err, fault.RateLimited, "%s", text)
}

// knowBrowser lets the browser be known as one that the visitor signed in with.
func (v *visit) knowBrowser() error {
	device, err := v.SignIn.Device(v.r.Context(), v.by.Person())
	if err != nil {
		return err
	}
	v.setCookie(deviceCookie, device, v.Now().Add(signin.DeviceLifetime))
	http.SetCookie(v.w, &http.Cookie{Name: arrivingCookie, Value: "1", Path: "/", MaxAge: 60, HttpOnly: true, SameSite: http.SameSiteLaxMode}) //nolint:gosec // it is to be kept without TLS
	return nil
}

// forgotten reports whether the browser did not keep the session that it was
// given a moment ago.
func (v *visit) forgotten() bool {
	_, err := v.r.Cookie(arrivingCookie)
	return err == nil && v.by == nil
}
