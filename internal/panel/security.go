package panel

import (
	"cmp"
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

// securityHandler serves the page of the user's sign-in methods and the forms that change them.
type securityHandler struct{ signIn *signin.Service }

func (h *securityHandler) routes() []route {
	const at = "/profile/security"
	return []route{
		get(at, signedIn, h.page),
		post(at+"/password", signedIn, h.changePassword),
		post(at+"/app/new", signedIn, h.newApp, fresh),
		get(at+"/app", signedIn, h.appPage),
		post(at+"/app", signedIn, h.addApp),
		post(at+"/app/remove", signedIn, h.removeApp, fresh),
		post(at+"/codes", signedIn, h.renewCodes, fresh),
		post(at+"/passkeys/new", signedIn, h.newPasskey, fresh),
		post(at+"/passkeys", signedIn, h.addPasskey, fresh),
		post(at+"/passkeys/rename", signedIn, h.renamePasskey, fresh),
		post(at+"/provider/new", signedIn, h.linkProvider, fresh, unbounded),
		post(at+"/remove", signedIn, h.removeFactor, fresh),
	}
}

// presentField is the field of the current password.
const presentField = "present"

var passwordFields = []string{presentField, passwordField, confirmationField}

// securityPage is the data of the page of the user's sign-in methods.
type securityPage struct {
	signin.Security

	Methods signInMethods
	// Works reports whether a passkey signs in on this server, and At returns the provider of an identity.
	Works func(signin.Passkey) bool
	At    func(signin.Identity) string
	// HasTOTP reports whether the user has an authenticator app.
	HasTOTP bool
	// NewPassword is the form that changes the password.
	NewPassword *form
	// Renaming is the passkey whose new name is invalid, and Form holds the submitted name.
	Renaming uuid.UUID
	Form     *form
	Errors   []string
	// RenewalErrors are the errors of the code that confirms new recovery codes, and RemovalErrors those of the code
	// that confirms the removal of the authenticator app.
	RenewalErrors, RemovalErrors []string
}

func (h *securityHandler) page(q *request) error { return h.show(q, http.StatusOK, securityPage{}) }

func (h *securityHandler) show(q *request, status int, shown securityPage) error {
	all, err := h.signIn.Security(q.r.Context(), q.by)
	if err != nil {
		return err
	}
	shown.Security, shown.Methods, shown.HasTOTP = all, methodsOf(h.signIn), !all.TOTPSince.IsZero()
	shown.Works, shown.At = h.signIn.PasskeyWorks, h.providerOf
	if shown.NewPassword == nil {
		shown.NewPassword = newForm(passwordFields...)
	}
	if shown.Form == nil {
		shown.Form = newForm("name")
	}
	return securityTemplate.show(q, status, shown)
}

// providerOf returns the name of the provider of an identity, or its issuer if it is not the configured provider.
func (h *securityHandler) providerOf(i signin.Identity) string {
	if p := h.signIn.Provider; p != nil && p.Issuer() == i.Issuer {
		return p.Name()
	}
	return i.Issuer
}

// changePassword changes the visitor's password and revokes all their other sessions.
func (h *securityHandler) changePassword(q *request) error {
	f, err := q.parseForm(passwordFields...)
	if err != nil {
		return err
	}
	err = h.signIn.ChangePassword(q.r.Context(), q.by, secret.NewPassword(f.Values.Get(presentField)), chosen(f),
		q.visitor())
	status := http.StatusUnprocessableEntity
	switch fault.KindOf(err) {
	case "":
		return q.redirectWithNotice("/profile/security", noticeOf("password_changed", ""))
	case fault.Unauthenticated:
		err = fault.Errorf(fault.Invalid, "%s", q.text("profile.wrong")).On(presentField)
	case fault.RateLimited:
		status, err = http.StatusTooManyRequests,
			fault.Errorf(fault.Invalid, "%s", sentences(q.explainLimit(err))[0]).On(presentField)
	}
	if err := f.refuse(err); err != nil {
		return err
	}
	return h.show(q, status, securityPage{NewPassword: f})
}

// newApp starts to add an authenticator app.
func (h *securityHandler) newApp(q *request) error {
	flow, err := h.signIn.BeginTOTP(q.r.Context(), q.by)
	if err != nil {
		return err
	}
	setFlow(q, appFlow, flow)
	return q.redirect("/profile/security/app")
}

// linkingPage is the data of the page that links to the provider.
type linkingPage struct{ Provider, Address string }

// appPage is the data of the page that adds an authenticator app.
type appPage struct {
	Secret  string
	Picture template.URL
	Form    *form
}

func (h *securityHandler) appPage(q *request) error {
	return h.showApp(q, http.StatusOK, newForm("code"))
}

func (h *securityHandler) showApp(q *request, status int, f *form) error {
	app, err := h.signIn.PendingTOTP(q.r.Context(), q.by, flowOf(q, appFlow))
	if err != nil {
		return err
	}
	picture := template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(app.Picture)) //nolint:gosec // drawn by this server
	return appTemplate.show(q, status, appPage{app.Secret, picture, f})
}

func (h *securityHandler) addApp(q *request) error {
	f, err := q.parseForm("code")
	if err != nil {
		return err
	}
	codes, err := h.signIn.EnableTOTP(q.r.Context(), q.by, flowOf(q, appFlow), f.Value("code"))
	if fault.KindOf(err) == fault.RateLimited {
		return err
	}
	if err := f.refuse(err); err != nil {
		return err
	}
	if f.Refused() {
		return h.showApp(q, http.StatusUnprocessableEntity, f)
	}
	dropFlow(q, appFlow)
	return showCodes(q, codes)
}

func (h *securityHandler) renewCodes(q *request) error {
	codes, err := h.signIn.RenewCodes(q.r.Context(), q.by, q.r.PostFormValue(codeField), q.visitor())
	if err != nil {
		return h.codeRefused(q, err, func(p *securityPage, errors []string) { p.RenewalErrors = errors })
	}
	return showCodes(q, codes)
}

// codesPage is the data of the page of new recovery codes.
type codesPage struct {
	Codes []string
	File  template.URL
}

// showCodes shows recovery codes. They are shown only once.
func showCodes(q *request, codes []secret.Password) error {
	texts := make([]string, len(codes))
	for i, c := range codes {
		texts[i] = c.Reveal()
	}
	file := q.text("codes.file", "email", q.by.Name) + "\r\n\r\n" + strings.Join(texts, "\r\n") + "\r\n"
	return codesTemplate.show(q, http.StatusOK, codesPage{texts, template.URL("data:text/plain;charset=utf-8," + url.PathEscape(file))}) //nolint:gosec // letters, digits and percent signs
}

func (h *securityHandler) removeApp(q *request) error {
	if err := h.signIn.DisableTOTP(q.r.Context(), q.by, q.r.PostFormValue(codeField), q.visitor()); err != nil {
		return h.codeRefused(q, err, func(p *securityPage, errors []string) { p.RemovalErrors = errors })
	}
	return q.redirectWithNotice("/profile/security", noticeOf("app_removed", ""))
}

// codeRefused shows the error of a code beside its field, where put writes it. It returns any other error, which has
// its own page.
func (h *securityHandler) codeRefused(q *request, err error, put func(p *securityPage, errors []string)) error {
	status := http.StatusUnprocessableEntity
	switch fault.KindOf(err) {
	case fault.Invalid:
	case fault.RateLimited:
		status = http.StatusTooManyRequests
	default:
		return err
	}
	var shown securityPage
	put(&shown, sentences(q.explainLimit(err)))
	return h.show(q, status, shown)
}

// passkeyPage is the data of the page that adds a passkey.
type passkeyPage struct {
	// Options are the options that the browser creates the passkey with, as JSON.
	Options string
	Form    *form
}

func (h *securityHandler) newPasskey(q *request) error {
	return h.showPasskey(q, http.StatusOK, newForm("name"))
}

// showPasskey starts to add a passkey. It starts again after a failed attempt, because a challenge is valid for one
// attempt.
func (h *securityHandler) showPasskey(q *request, status int, f *form) error {
	options, flow, err := h.signIn.BeginNewPasskey(q.r.Context(), q.by)
	if err != nil {
		return err
	}
	setFlow(q, newPasskeyFlow, flow)
	return passkeyTemplate.show(q, status, passkeyPage{string(options), f})
}

func (h *securityHandler) addPasskey(q *request) error {
	f, err := q.parseForm("name")
	if err != nil {
		return err
	}
	if err := f.refuse(h.signIn.AddPasskey(q.r.Context(), q.by, flowOf(q, newPasskeyFlow), f.Value("name"),
		f.Value(credentialField))); err != nil {
		return err
	}
	if f.Refused() {
		return h.showPasskey(q, http.StatusUnprocessableEntity, f)
	}
	dropFlow(q, newPasskeyFlow)
	return q.redirectWithNotice("/profile/security", noticeOf("passkey_added", f.Value("name")))
}

func (h *securityHandler) renamePasskey(q *request) error {
	f, err := q.parseForm("name")
	if err != nil {
		return err
	}
	id, _ := uuid.Parse(f.Value("id")) // no passkey has the zero ID
	if err := f.refuse(h.signIn.RenamePasskey(q.r.Context(), q.by, id, f.Value("name"))); err != nil {
		return err
	}
	if f.Refused() {
		return h.show(q, http.StatusUnprocessableEntity, securityPage{Renaming: id, Form: f})
	}
	return q.redirectWithNotice("/profile/security", noticeOf("passkey_renamed", f.Value("name")))
}

func (h *securityHandler) removeFactor(q *request) error {
	id, _ := uuid.Parse(q.r.PostFormValue("id")) // no sign-in method has the zero ID
	all, err := h.signIn.Security(q.r.Context(), q.by)
	if err != nil {
		return err
	}
	err = h.signIn.Remove(q.r.Context(), q.by, id)
	if fault.KindOf(err) == fault.Conflict {
		return h.show(q, http.StatusConflict, securityPage{Errors: sentences(err)})
	}
	if err != nil {
		return err
	}
	return q.redirectWithNotice("/profile/security", noticeOf("factor_removed", nameOfFactor(all, id)))
}

// nameOfFactor returns the name of a passkey, or the address of an identity at a provider.
func nameOfFactor(all signin.Security, id uuid.UUID) string {
	for _, p := range all.Passkeys {
		if p.ID == id {
			return p.Name
		}
	}
	for _, i := range all.Identities {
		if i.ID == id {
			return cmp.Or(i.Email, i.Subject)
		}
	}
	return ""
}

// linkProvider starts to link the user's identity at the provider. The page has a link to the provider instead of a
// redirect, because the Content-Security-Policy allows forms to lead only to this server.
func (h *securityHandler) linkProvider(q *request) error {
	address, flow, err := h.signIn.BeginProvider(q.r.Context(), q.by, signin.ToLink, "", q.visitor())
	if err != nil {
		return err
	}
	if err := setProviderFlow(q, address, flow); err != nil {
		return err
	}
	return linkingTemplate.show(q, http.StatusOK, linkingPage{methodsOf(h.signIn).Provider, address})
}
