package panel

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// The cookies.
const (
	// sessionCookie holds the session's secret. "__Host-" binds it to this host and to TLS (RFC 6265bis, section
	// 4.1.3.2); browsers also accept it from localhost.
	sessionCookie = "__Host-latchkey"
	// zoneCookie is the viewer's time zone, which the panel's script sets.
	zoneCookie = "latchkey-zone"
	// deviceCookie recognizes a browser that the user has signed in with.
	deviceCookie = "__Host-latchkey-device"
	// signedInCookie, which works without TLS, marks a recent sign-in: if it arrives without the session cookie, the
	// browser did not keep that one.
	signedInCookie = "latchkey-arriving"
)

// sessions starts and verifies the sessions of browsers.
type sessions struct {
	signIn *signin.Service
	// lookup verifies the secret of a session.
	lookup func(ctx context.Context, presented string, origin auth.Origin) (*access.Record, error)
}

// credential returns the session secret in the request's cookie, or "".
func credential(r *http.Request) string {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return ""
	}
	return cookie.Value
}

// verify verifies the session again and replaces the request's principal by the current one. The session may have
// been revoked, or its permissions changed, since the request arrived. If it is no longer valid, q.by becomes nil.
func (s *sessions) verify(ctx context.Context, q *request) error {
	if q.by == nil {
		return nil
	}
	record, err := s.lookup(ctx, credential(q.r), q.origin)
	if err != nil && fault.KindOf(err) != fault.Unauthenticated {
		return err
	}
	if refusal := access.RefusalIn(err); refusal != nil {
		q.ended = refusal.Reason
	}
	q.setSession(record)
	return nil
}

// keep sets the cookies of a new session and continues the request with it.
func (s *sessions) keep(q *request, session user.Session, value secret.Secret) error {
	q.setCookie(sessionCookie, value.Reveal(), session.ExpiresAt)
	record, err := s.lookup(q.r.Context(), value.Reveal(), q.origin)
	if err != nil {
		return err
	}
	q.setSession(record)
	return q.rememberSession(session.ExpiresAt)
}

// begin signs in a user who has just proved their identity by any method. It starts a session, revokes the
// browser's previous one and redirects to next, or it asks for a code first. account is the account to sign in to, zero
// for any. begin returns fault.Forbidden for a user who is a member of no account; then it has written no response.
func (s *sessions) begin(q *request, p signin.Proof, next string, account uuid.UUID) error {
	if owes, err := s.beginCode(q, p, next); owes || err != nil {
		return err
	}
	before := q.by
	session, value, err := s.signIn.Begin(q.r.Context(), p, account, q.visitor())
	if err != nil {
		return err
	}
	if before != nil {
		if _, err := s.signIn.End(q.r.Context(), before, before.SessionID); err != nil {
			return err
		}
	}
	if err := s.keep(q, session, value); err != nil {
		return err
	}
	if err := s.rememberBrowser(q); err != nil {
		return err
	}
	return s.redirectSignedIn(q, next)
}

// beginCode asks for a code if the user who gave the first proof has an authenticator app. It reports whether it did
// so, and has then redirected the browser.
func (s *sessions) beginCode(q *request, first signin.Proof, next string) (bool, error) {
	owes, err := s.signIn.NeedsCode(q.r.Context(), first.User.ID, first.Method)
	if err != nil || !owes {
		return false, err
	}
	flow, err := s.signIn.BeginCode(q.r.Context(), first, next)
	if err != nil {
		return false, err
	}
	setFlow(q, codeFlow, flow)
	return true, q.redirect("/signin/code")
}

// redirectSignedIn redirects a user who has just signed in to next. If that is "/", a user of several accounts gets the
// list of accounts.
func (s *sessions) redirectSignedIn(q *request, next string) error {
	if next != "/" {
		return q.redirect(next)
	}
	all, err := s.signIn.Accounts(q.r.Context(), q.by.Person())
	if err != nil {
		return err
	}
	invitations, err := s.signIn.Invitations(q.r.Context(), q.by.Person())
	if err != nil {
		return err
	}
	if len(all)+len(invitations) > 1 {
		return q.redirect("/accounts")
	}
	return q.redirect(q.address("/"))
}

// rememberBrowser sets the cookie that recognizes a browser the visitor has signed in with.
func (s *sessions) rememberBrowser(q *request) error {
	device, err := s.signIn.Device(q.r.Context(), q.by.Person())
	if err != nil {
		return err
	}
	q.setCookie(deviceCookie, device, q.now().Add(signin.DeviceLifetime))
	http.SetCookie(q.w, &http.Cookie{Name: signedInCookie, Value: "1", Path: "/", MaxAge: 60, HttpOnly: true, SameSite: http.SameSiteLaxMode}) //nolint:gosec // must also work without TLS
	return nil
}

// renew replaces the session of a visitor who proved their identity again.
func (s *sessions) renew(q *request, p signin.Proof) error {
	session, value, err := s.signIn.Renew(q.r.Context(), q.by, p, q.visitor())
	if err != nil {
		return err
	}
	return s.keep(q, session, value)
}
