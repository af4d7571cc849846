package panel

import (
	"net/http"

	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// forgotHandler serves the pages for users who forgot their password.
type forgotHandler struct{ signIn *signin.Service }

func (h *forgotHandler) routes() []route {
	return []route{
		get("/forgot", public, h.page),
		post("/forgot", public, h.submit),
	}
}

// forgotPage is the data of the page that requests a link, and of its confirmation.
type forgotPage struct {
	Form *form
	// CanMail reports whether this server sends email, and Sent whether a link was requested.
	CanMail, Sent bool
	Methods       signInMethods
	Next          string
}

func (h *forgotHandler) page(q *request) error {
	return h.show(q, http.StatusOK, newForm("email"), false)
}

func (h *forgotHandler) show(q *request, status int, f *form, sent bool) error {
	return forgotTemplate.show(q, status, forgotPage{Form: f, CanMail: h.signIn.CanMail(), Sent: sent,
		Methods: methodsOf(h.signIn), Next: "/"})
}

// submit requests an email with a link. The response is the same for every address, so that it does not reveal
// which addresses have an account.
func (h *forgotHandler) submit(q *request) error {
	f, err := q.parseForm("email")
	if err != nil {
		return err
	}
	if err := user.CheckEmail(f.Value("email")); err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return h.show(q, http.StatusUnprocessableEntity, f, false)
	}
	if err := h.signIn.Forgot(f.Value("email"), q.visitor()); err != nil {
		return err
	}
	return h.show(q, http.StatusOK, f, true)
}
