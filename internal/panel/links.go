package panel

import (
	"net/http"

	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// linkHandler serves the pages of one-time links.
type linkHandler struct {
	signIn   *signin.Service
	sessions *sessions
}

func (h *linkHandler) routes() []route {
	return []route{
		get("/link/{secret}", public, h.page),
		post("/link/{secret}", public, h.redeem),
	}
}

// The fields of a new password.
const (
	passwordField     = "password"
	confirmationField = "passwordConfirmation"
)

// linkPage is the data of the page that sets a password.
type linkPage struct {
	Form    *form
	Email   string
	Account string
	Reset   bool
	Methods signInMethods
	// AcceptsOnly reports whether the user can already sign in and only has to accept the invitation.
	AcceptsOnly bool
}

// page shows the form for a password. It changes nothing, because mail scanners open links too.
func (h *linkHandler) page(q *request) error {
	q.hideAddress()
	l, err := h.signIn.Link(q.r.Context(), q.r.PathValue("secret"))
	if err != nil {
		return h.invalid(q, err)
	}
	return h.show(q, http.StatusOK, newForm(passwordField, confirmationField), l)
}

func (h *linkHandler) show(q *request, status int, f *form, l signin.OpenLink) error {
	return linkTemplate.show(q, status, linkPage{
		Form: f, Email: l.Person.Email, Account: l.AccountName, Reset: l.Purpose == signin.Reset,
		Methods: methodsOf(h.signIn), AcceptsOnly: l.AcceptsOnly,
	})
}

// redeem sets the password, unless passwords are turned off, and signs the user in.
func (h *linkHandler) redeem(q *request) error {
	q.hideAddress()
	f, err := q.parseForm(passwordField, confirmationField)
	if err != nil {
		return err
	}
	presented := q.r.PathValue("secret")
	l, err := h.signIn.Link(q.r.Context(), presented)
	if err != nil {
		return h.invalid(q, err)
	}
	if l.AcceptsOnly {
		return h.accept(q, presented)
	}
	proof, err := h.signIn.Redeem(q.r.Context(), presented, chosen(f), q.visitor())
	if fault.KindOf(err) == fault.NotFound {
		return h.invalid(q, err)
	}
	if err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return h.show(q, http.StatusUnprocessableEntity, f, l)
	}
	return h.sessions.begin(q, proof, q.next(), l.AccountID)
}

// accept accepts the invitation of a user who can already sign in, and redirects them to the account.
func (h *linkHandler) accept(q *request, presented string) error {
	a, err := h.signIn.AcceptLink(q.r.Context(), presented, q.visitor())
	if err != nil {
		return h.invalid(q, err)
	}
	return q.redirectWithNotice("/accounts/"+a.ID.String()+"/", noticeOf("accepted", a.Name))
}

// chosen returns the password and its confirmation as typed, without trimming spaces.
func chosen(f *form) user.PasswordChoice {
	return user.PasswordChoice{
		Password:     secret.NewPassword(f.Values.Get(passwordField)),
		Confirmation: secret.NewPassword(f.Values.Get(confirmationField)),
	}
}

// deadLinkPage is the data of the page for an invalid link.
type deadLinkPage struct {
	Methods signInMethods
	Next    string
	// CanMail reports whether this server sends email, so that the visitor can request a new link.
	CanMail bool
}

// invalid shows what to do if the link is invalid. If passwords are turned off, the page links to the provider.
func (h *linkHandler) invalid(q *request, err error) error {
	if fault.KindOf(err) != fault.NotFound {
		return err
	}
	return linkDeadTemplate.show(q, http.StatusNotFound, deadLinkPage{methodsOf(h.signIn), "/", h.signIn.CanMail()})
}
