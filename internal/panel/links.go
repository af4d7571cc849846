package panel

import (
	"net/http"

	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// linkRoutes are the pages of one-time links.
func linkRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/link/{secret}", serve: (*visit).linkForm},
		{method: http.MethodPost, pattern: "/link/{secret}", serve: (*visit).redeemLink},
	}
}

// The fields of a new password.
const (
	passwordField     = "password"
	confirmationField = "passwordConfirmation"
)

// linkPage shows the choice of a password.
type linkPage struct {
	Form    *form
	Email   string
	Account string
	Reset   bool
	Doors   doors
	// AcceptsOnly says that the person can sign in, and has only to accept.
	AcceptsOnly bool
}

// hideAddress keeps the address of the page, which holds a secret, from all
// that it leads to. The origin alone is told: with nothing, browsers would not
// say either that a form comes from here.
func (v *visit) hideAddress() { v.w.Header().Set("Referrer-Policy", "strict-origin") }

// linkForm asks for a password. It changes nothing: programs that guard
// mailboxes open links, too.
func (v *visit) linkForm() error {
	v.hideAddress()
	l, err := v.SignIn.Link(v.r.Context(), v.r.PathValue("secret"))
	if err != nil {
		return v.deadLink(err)
	}
	return v.linkPage(http.StatusOK, newForm(passwordField, confirmationField), l)
}

func (v *visit) linkPage(status int, f *form, l signin.OpenLink) error {
	return v.page(status, "link", linkPage{
		Form: f, Email: l.Person.Email, Account: l.AccountName, Reset: l.Purpose == signin.Reset, Doors: v.doors(), AcceptsOnly: l.AcceptsOnly,
	})
}

// redeemLink sets the password, unless they are turned off, and signs the person
// in.
func (v *visit) redeemLink() error {
	v.hideAddress()
	f, err := v.sent(passwordField, confirmationField)
	if err != nil {
		return err
	}
	presented := v.r.PathValue("secret")
	l, err := v.SignIn.Link(v.r.Context(), presented)
	if err != nil {
		return v.deadLink(err)
	}
	if l.AcceptsOnly {
		return v.acceptLink(presented)
	}
	v.into = l.AccountID
	proof, err := v.SignIn.Redeem(v.r.Context(), presented, chosen(f), v.visitor())
	if fault.KindOf(err) == fault.NotFound {
		return v.deadLink(err)
	}
	if err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return v.linkPage(http.StatusUnprocessableEntity, f, l)
	}
	return v.proved(proof)
}

// acceptLink accepts a membership for somebody who can sign in, and asks them to.
func (v *visit) acceptLink(presented string) error {
	a, err := v.SignIn.AcceptLink(v.r.Context(), presented, v.visitor())
	if err != nil {
		return v.deadLink(err)
	}
	return v.done("/accounts/"+a.ID.String()+"/", "accepted", 1)
}

// chosen is the password that a form chooses: as typed, with all space.
func chosen(f *form) user.PasswordChoice {
	return user.PasswordChoice{
		Password:     secret.NewPassword(f.Values.Get(passwordField)),
		Confirmation: secret.NewPassword(f.Values.Get(confirmationField)),
	}
}

// deadLink says what to do with a link that does not work. Where passwords are
// turned off it leads to the provider.
func (v *visit) deadLink(err error) error {
	if fault.KindOf(err) != fault.NotFound {
		return err
	}
	return v.page(http.StatusNotFound, "link_dead", struct {
		Doors doors
		Next  string
	}{v.doors(), "/"})
}
