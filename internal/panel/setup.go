package panel

import (
	"net/http"

	"github.com/google/uuid"

	"latchkey/internal/fault"
	"latchkey/internal/manifest/setup"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// setupHandler serves the pages that create the first account.
type setupHandler struct {
	setup    *setup.Service
	signIn   *signin.Service
	sessions *sessions
}

func (h *setupHandler) routes() []route {
	return []route{
		get("/setup/{secret}", public, h.page),
		post("/setup/{secret}", public, h.submit),
	}
}

var setupFields = []string{"accountName", "storeName", "storeHash", "firstName", "lastName", "email", passwordField,
	confirmationField}

func (h *setupHandler) page(q *request) error {
	q.hideAddress()
	if _, err := h.setup.Open(q.r.Context(), q.r.PathValue("secret")); err != nil {
		return h.invalid(q, err)
	}
	return h.show(q, http.StatusOK, newForm(setupFields...))
}

// submit creates the first account and signs its owner in.
func (h *setupHandler) submit(q *request) error {
	q.hideAddress()
	f, err := q.parseForm(setupFields...)
	if err != nil {
		return err
	}
	owner := user.Details{Email: f.Value("email"), FirstName: f.Value("firstName"), LastName: f.Value("lastName"),
		Locale: "en"}
	first, err := h.setup.Finish(q.r.Context(), q.r.PathValue("secret"), q.origin, setup.First{
		AccountName: f.Value("accountName"), StoreName: f.Value("storeName"), StoreHash: f.Value("storeHash"),
		Owner: owner, Password: chosen(f),
	})
	switch {
	case fault.KindOf(err) == fault.NotFound:
		return h.invalid(q, err)
	case err != nil:
		if err := f.refuse(err); err != nil {
			return err
		}
		return h.show(q, http.StatusUnprocessableEntity, f)
	}
	return h.sessions.begin(q, first, q.next(), uuid.Nil)
}

// setupPage is the data of the page that creates the first account.
type setupPage struct {
	Form    *form
	Methods signInMethods
}

// show shows the form. It has fields for a password unless passwords are turned off.
func (h *setupHandler) show(q *request, status int, f *form) error {
	return setupTemplate.show(q, status, setupPage{f, methodsOf(h.signIn)})
}

func (h *setupHandler) invalid(q *request, err error) error {
	if fault.KindOf(err) != fault.NotFound {
		return err
	}
	return setupDeadTemplate.show(q, http.StatusNotFound, noData{})
}
