package panel

import (
	"net/http"
	"net/url"
	"path"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
)

// lastCookie says which session the browser had last.
const lastCookie = "__Host-latchkey-last"

// lastRemembered is how long the browser's last session is remembered after its time limit.
const lastRemembered = time.Hour

// lastSession is the session that a browser had last: whose it was, in which account, and its time limit. It is not a
// credential. It identifies the owner of a form that was sent after the session ended.
type lastSession struct {
	Person, Account uuid.UUID
	Ends            time.Time
	// SignedOut reports whether the user ended it at this browser.
	SignedOut bool
}

// rememberSession sets the cookie of the browser's last session.
func (q *request) rememberSession(ends time.Time) error {
	return setLast(q, lastSession{Person: q.by.Person(), Account: q.by.AccountID, Ends: ends})
}

// rememberSigningOut adds to the cookie of the browser's last session that its user signed out.
func rememberSigningOut(q *request) error {
	last, known := readSealed[lastSession](q, lastCookie)
	if !known {
		return nil
	}
	last.SignedOut = true
	return setLast(q, last)
}

func setLast(q *request, last lastSession) error {
	_, err := setSealed(q, lastCookie, last, last.Ends.Add(lastRemembered), 1<<10)
	return err
}

// endings are the notices that tell a browser why its session does not work. Others get a general one.
var endings = map[access.Reason]string{
	access.ReasonRevoked: "session_ended", access.ReasonIdle: "session_idle", access.ReasonExpired: "session_expired",
}

// ending returns the key of the notice about the end of the browser's session, "" if it had none that ended by itself.
func (q *request) ending() string {
	if q.ended != "" {
		if key, known := endings[q.ended]; known {
			return key
		}
		return "session_invalid"
	}
	last, known := readSealed[lastSession](q, lastCookie)
	switch {
	case known && !q.now().Before(last.Ends):
		return "session_expired" // the browser has deleted the session's cookie
	case q.r.Method == http.MethodPost && known:
		return "session_left" // signed out in another tab, or the session ended before
	case q.r.Method == http.MethodPost:
		return "session_none"
	}
	return ""
}

// dropSession deletes the cookie of an invalid session and redirects to the sign-in page.
func (q *request) dropSession() error {
	if q.ended == "" {
		q.ended = access.ReasonRevoked
	}
	q.by = nil
	return q.toSignIn()
}

// toSignIn redirects to the sign-in page, which says what happened to the session and returns to the requested page
// afterwards. A submitted form is not processed, because a different user may sign in. It is kept for the same user,
// except after signing out: the next one at this browser may have sent it.
func (q *request) toSignIn() error {
	query, next := url.Values{}, q.r.URL.RequestURI()
	posted := q.r.Method == http.MethodPost
	if posted {
		next = q.formPage()
	}
	if next = q.returnPath(next); next != "/" {
		query.Set("next", next)
	}
	if key := q.ending(); key != "" {
		n := noticeOf(key, "")
		if posted {
			kept, err := q.keepForm(next)
			if err != nil {
				return err
			}
			n.Keys = append(n.Keys, map[bool]string{true: "form_kept", false: "form_lost"}[kept])
		}
		n.Warns = true
		if err := q.note(n); err != nil {
			return err
		}
	}
	// Another server may know the session: it may be new.
	if q.has(sessionCookie) && q.ended != access.ReasonUnknown {
		// Without both, the sign-in page would say that the browser did not keep the session's cookie.
		q.dropCookie(sessionCookie)
		q.dropCookie(signedInCookie)
	}
	return q.redirect((&url.URL{Path: "/signin", RawQuery: query.Encode()}).String())
}

// formPage returns the page that holds the submitted form: the referring page (RFC 9110, section 10.1.3), or the
// nearest page above the form's address.
func (q *request) formPage() string {
	if from, err := url.Parse(q.r.Referer()); err == nil && from.Host == q.r.Host {
		if to := q.returnPath((&url.URL{Path: from.Path, RawQuery: from.RawQuery}).String()); to != "/" {
			return to
		}
	}
	for at := q.r.URL.Path; at != "/"; at = path.Dir(at) {
		if to := q.returnPath(at); to != "/" {
			return to
		}
	}
	return "/"
}

// lostCookie reports whether the browser did not keep the cookie of a session that has just started. It did if it has
// another cookie that was set with the session's.
func (q *request) lostCookie() bool {
	return q.by == nil && q.has(signedInCookie) && !q.has(sessionCookie) && !q.has(lastCookie)
}
