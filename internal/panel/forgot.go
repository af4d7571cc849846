package panel

import (
	"net/http"

	"latchkey/internal/user"
)

// forgotRoutes are the pages for those who forgot their password.
func forgotRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/forgot", serve: (*visit).forgotForm},
		{method: http.MethodPost, pattern: "/forgot", serve: (*visit).forgot},
	}
}

// forgotPage asks for an address, or says that it was asked for.
type forgotPage struct {
	Form *form
	// CanMail says that links are mailed here, and Sent that one was asked for.
	CanMail, Sent bool
	Doors         doors
	Next          string
}

func (v *visit) forgotForm() error {
	return v.forgotPage(http.StatusOK, newForm("email"), false)
}

func (v *visit) forgotPage(status int, f *form, sent bool) error {
	return v.page(status, "forgot", forgotPage{Form: f, CanMail: v.SignIn.CanMail(), Sent: sent, Doors: v.doors(), Next: "/"})
}

// forgot asks for a link to be mailed. The answer is the same for every
// address.
func (v *visit) forgot() error {
	f, err := v.sent("email")
	if err != nil {
		return err
	}
	if err := user.CheckEmail(f.Value("email")); err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return v.forgotPage(http.StatusUnprocessableEntity, f, false)
	}
	if err := v.SignIn.Forgot(f.Value("email"), v.visitor()); err != nil {
		return err
	}
	return v.forgotPage(http.StatusOK, f, true)
}
