package panel

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/fault"
	"latchkey/internal/manifest/setup"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
)

// signInHandler serves the pages to sign in and out, and asks for a proof of identity again.
type signInHandler struct {
	signIn   *signin.Service
	setup    *setup.Service
	sessions *sessions
	log      *slog.Logger
}

func (h *signInHandler) routes() []route {
	return []route{
		get("/signin", public, h.page),
		post("/signin", public, h.submit),
		post("/signout", public, h.signOut),
		get("/signin/code", public, h.codePage),
		post("/signin/code", public, h.code),
		post("/signin/passkey/options", public, h.passkeyOptions),
		post("/signin/passkey", public, h.passkey),
	}
}

// signInPage is the data of the sign-in page.
type signInPage struct {
	Email, Next string
	Errors      []string
	// Empty reports whether the server has no account yet.
	Empty bool
	// Forgotten reports whether the browser did not keep the session cookie.
	Forgotten bool
	Methods   signInMethods
}

// signInMethods are the sign-in methods that a page offers.
type signInMethods struct {
	Passwords, Passkeys bool
	// Provider is the display name of the configured provider, empty if there is none.
	Provider string
}

func methodsOf(signIn *signin.Service) signInMethods {
	d := signInMethods{Passwords: !signIn.NoPasswords, Passkeys: signIn.PasskeysWork()}
	if p := signIn.Provider; p != nil {
		d.Provider = p.Name()
	}
	return d
}

func (h *signInHandler) page(q *request) error {
	if q.by != nil {
		return q.redirect(q.next())
	}
	empty, err := h.setup.Needed(q.r.Context())
	if err != nil {
		return err
	}
	return signInTemplate.show(q, http.StatusOK, signInPage{
		Next: q.next(), Empty: empty, Forgotten: q.lostCookie(), Methods: methodsOf(h.signIn),
	})
}

func (h *signInHandler) submit(q *request) error {
	email := strings.TrimSpace(q.r.PostFormValue("email"))
	proof, err := h.signIn.VerifyPassword(q.r.Context(), email, secret.NewPassword(q.r.PostFormValue("password")),
		q.visitor())
	if err == nil {
		if err = h.sessions.begin(q, proof, q.next(), uuid.Nil); err == nil {
			return nil
		}
	}
	if fault.KindOf(err) == fault.Internal {
		return err
	}
	status := http.StatusUnprocessableEntity
	if fault.KindOf(err) == fault.RateLimited {
		status = http.StatusTooManyRequests
	}
	return signInTemplate.show(q, status, signInPage{Email: email, Next: q.next(),
		Errors: sentences(q.explainLimit(err)), Methods: methodsOf(h.signIn)})
}

// signOut revokes the visitor's session. It succeeds without a session too.
func (h *signInHandler) signOut(q *request) error {
	if q.by != nil {
		if _, err := h.signIn.End(q.r.Context(), q.by, q.by.SessionID); err != nil {
			return err
		}
	}
	q.by = nil
	q.dropCookie(sessionCookie)
	q.dropCookie(signedInCookie)
	if q.has(keptCookie) {
		q.dropCookie(keptCookie)
	}
	if err := rememberSigningOut(q); err != nil {
		return err
	}
	return q.redirectWithNotice("/signin", noticeOf("signed_out", ""))
}
