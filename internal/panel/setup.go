package panel

import (
	"net/http"

	"latchkey/internal/fault"
	"latchkey/internal/setup"
	"latchkey/internal/user"
)

// setupRoutes are the pages on which the first account is made.
func setupRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/setup/{secret}", serve: (*visit).setupForm},
		{method: http.MethodPost, pattern: "/setup/{secret}", serve: (*visit).setUp},
	}
}

var setupFields = []string{"accountName", "storeName", "storeHash", "firstName", "lastName", "email", passwordField, confirmationField}

func (v *visit) setupForm() error {
	v.hideAddress()
	if _, err := v.Setup.Open(v.r.Context(), v.r.PathValue("secret")); err != nil {
		return v.deadSetup(err)
	}
	return v.setupPage(http.StatusOK, newForm(setupFields...))
}

// setUp makes the first account, and signs its owner in.
func (v *visit) setUp() error {
	v.hideAddress()
	f, err := v.sent(setupFields...)
	if err != nil {
		return err
	}
	owner := user.Details{Email: f.Value("email"), FirstName: f.Value("firstName"), LastName: f.Value("lastName"), Locale: "en"}
	first, err := v.Setup.Finish(v.r.Context(), v.r.PathValue("secret"), v.who.Origin, setup.First{
		AccountName: f.Value("accountName"), StoreName: f.Value("storeName"), StoreHash: f.Value("storeHash"), Owner: owner, Password: chosen(f),
	})
	switch {
	case fault.KindOf(err) == fault.NotFound:
		return v.deadSetup(err)
	case err != nil:
		if err := f.refuse(err); err != nil {
			return err
		}
		return v.setupPage(http.StatusUnprocessableEntity, f)
	}
	return v.proved(first)
}

// setupPage asks for a password unless they are turned off.
func (v *visit) setupPage(status int, f *form) error {
	return v.page(status, "setup", struct {
		Form  *form
		Doors doors
	}{f, v.doors()})
}

func (v *visit) deadSetup(err error) error {
	if fault.KindOf(err) != fault.NotFound {
		return err
	}
	return v.page(http.StatusNotFound, "setup_dead", nil)
}
