package panel

import (
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
)

// securityPage is what the page of a person's ways to sign in shows.
type securityPage struct {
	signin.Security

	Doors doors
	// HasTOTP says that there is an authenticator app.
	HasTOTP bool
	// Renaming is the passkey whose new name is wrong, and Form what was
	// entered.
	Renaming uuid.UUID
	Form     *form
	Errors   []string
	// CodeErrors are what is wrong with the code that a change to the
	// authenticator app asks for.
	CodeErrors []string
}

func (v *visit) security() error { return v.securityWith(http.StatusOK, securityPage{}) }

func (v *visit) securityWith(status int, shown securityPage) error {
	all, err := v.SignIn.Security(v.r.Context(), v.by)
	if err != nil {
		return err
	}
	shown.Security, shown.Doors, shown.HasTOTP = all, v.doors(), !all.TOTPSince.IsZero()
	if shown.Form == nil {
		shown.Form = newForm("name")
	}
	return v.page(status, "security", shown)
}

// newApp begins to add an authenticator app.
func (v *visit) newApp() error {
	flow, err := v.SignIn.AskTOTP(v.r.Context(), v.by)
	if err != nil {
		return err
	}
	v.keepFlow(appFlow, flow)
	return v.redirect("/profile/security/app")
}

// appPage is what the page shows on which an app is added.
type appPage struct {
	Secret  string
	Picture template.URL
	Form    *form
}

func (v *visit) appForm() error { return v.appWith(http.StatusOK, newForm("code")) }

func (v *visit) appWith(status int, f *form) error {
	told, err := v.SignIn.AskedTOTP(v.r.Context(), v.by, v.flow(appFlow))
	if err != nil {
		return err
	}
	picture := template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(told.Picture)) //nolint:gosec // drawn here
	return v.page(status, "app", appPage{told.Secret, picture, f})
}

func (v *visit) addApp() error {
	f, err := v.sent("code")
	if err != nil {
		return err
	}
	codes, err := v.SignIn.EnableTOTP(v.r.Context(), v.by, v.flow(appFlow), f.Value("code"))
	if fault.KindOf(err) == fault.RateLimited {
		return err
	}
	if err := f.refuse(err); err != nil {
		return err
	}
	if f.Refused() {
		return v.appWith(http.StatusUnprocessableEntity, f)
	}
	v.dropFlow(appFlow)
	return v.showCodes(codes)
}

func (v *visit) renewCodes() error {
	codes, err := v.SignIn.RenewCodes(v.r.Context(), v.by, v.r.PostFormValue("code"), v.visitor())
	if err != nil {
		return v.codeRefused(err)
	}
	return v.showCodes(codes)
}

// showCodes shows recovery codes, this once.
func (v *visit) showCodes(codes []secret.Password) error {
	texts := make([]string, len(codes))
	for i, c := range codes {
		texts[i] = c.Reveal()
	}
	file := v.text("codes.file", "email", v.by.Name) + "\r\n\r\n" + strings.Join(texts, "\r\n") + "\r\n"
	return v.page(http.StatusOK, "codes", struct {
		Codes []string
		File  template.URL
	}{texts, template.URL("data:text/plain;charset=utf-8," + url.PathEscape(file))}) //nolint:gosec // letters, digits and percent signs
}

func (v *visit) removeApp() error {
	if err := v.SignIn.DisableTOTP(v.r.Context(), v.by, v.r.PostFormValue("code"), v.visitor()); err != nil {
		return v.codeRefused(err)
	}
	return v.done("/profile/security", "app_removed", 1)
}

// codeRefused shows what is wrong with a code beside its field. Other errors
// have a page of their own.
func (v *visit) codeRefused(err error) error {
	status := http.StatusUnprocessableEntity
	switch fault.KindOf(err) {
	case fault.Invalid:
	case fault.RateLimited:
		status = http.StatusTooManyRequests
	default:
		return err
	}
	return v.securityWith(status, securityPage{CodeErrors: sentences(v.waiting(err))})
}

// passkeyPage is what the page shows on which a passkey is added.
type passkeyPage struct {
	// Options are for the browser.
	Options string
	Form    *form
}

func (v *visit) newPasskey() error { return v.passkeyWith(http.StatusOK, newForm("name")) }

// passkeyWith begins to add a passkey, also once more where the first try went
// wrong: an answer is good for one try.
func (v *visit) passkeyWith(status int, f *form) error {
	options, flow, err := v.SignIn.AskNewPasskey(v.r.Context(), v.by)
	if err != nil {
		return err
	}
	v.keepFlow(newPasskeyFlow, flow)
	return v.page(status, "passkey", passkeyPage{string(options), f})
}

func (v *visit) addPasskey() error {
	f, err := v.sent("name")
	if err != nil {
		return err
	}
	if err := f.refuse(v.SignIn.AddPasskey(v.r.Context(), v.by, v.flow(newPasskeyFlow), f.Value("name"), f.Value("credential"))); err != nil {
		return err
	}
	if f.Refused() {
		return v.passkeyWith(http.StatusUnprocessableEntity, f)
	}
	v.dropFlow(newPasskeyFlow)
	return v.done("/profile/security", "passkey_added", 1)
}

func (v *visit) renamePasskey() error {
	f, err := v.sent("name")
	if err != nil {
		return err
	}
	id, _ := uuid.Parse(f.Value("id")) // zero is nobody's
	if err := f.refuse(v.SignIn.RenamePasskey(v.r.Context(), v.by, id, f.Value("name"))); err != nil {
		return err
	}
	if f.Refused() {
		return v.securityWith(http.StatusUnprocessableEntity, securityPage{Renaming: id, Form: f})
	}
	return v.done("/profile/security", "passkey_renamed", 1)
}

func (v *visit) removeFactor() error {
	id, _ := uuid.Parse(v.r.PostFormValue("id")) // zero is nobody's
	err := v.SignIn.Remove(v.r.Context(), v.by, id)
	if fault.KindOf(err) == fault.Conflict {
		return v.securityWith(http.StatusConflict, securityPage{Errors: sentences(err)})
	}
	if err != nil {
		return err
	}
	return v.done("/profile/security", "factor_removed", 1)
}

// linkProvider begins to link somebody's identity at the provider. The way
// there is a link: forms lead nowhere else than here.
func (v *visit) linkProvider() error {
	address, flow, err := v.SignIn.AskProvider(v.r.Context(), v.by, signin.ToLink, "", v.visitor())
	if err != nil {
		return err
	}
	if err := v.keepProviderFlow(address, flow); err != nil {
		return err
	}
	return v.page(http.StatusOK, "linking", struct{ Provider, Address string }{v.doors().Provider, address})
}
