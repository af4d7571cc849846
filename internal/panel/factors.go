package panel

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
)

// flowCookie begins the names of cookies that hold the secret of a flow: what a
// browser shows between two steps of proving who is at it. Each flow has a cookie
// of its own, so that none ends another that goes on in another tab.
const flowCookie = "__Host-latchkey-flow-"

// The flows, by the ends of their cookies' names. That of a flow at the provider
// ends with what its state makes (providerFlow).
const (
	codeFlow       = "code"
	passkeyFlow    = "passkey"
	newPasskeyFlow = "new-passkey"
	appFlow        = "app"
	atProvider     = "provider-"
)

// maxProviderFlows is how many flows at the provider a browser may have at once.
const maxProviderFlows = 5

// providerFlow is the flow at the provider of a state.
func providerFlow(state string) string {
	sum := sha256.Sum256([]byte(state))
	return atProvider + hex.EncodeToString(sum[:8])
}

// ProviderPath is where an OpenID Connect provider sends browsers back to.
const ProviderPath = "/signin/openid/callback"

// factorRoutes are what people prove who they are with besides a password.
func factorRoutes() []route {
	const security = "/profile/security"
	return []route{
		{method: http.MethodGet, pattern: "/signin/code", serve: (*visit).codeForm},
		{method: http.MethodPost, pattern: "/signin/code", serve: (*visit).code},
		{method: http.MethodGet, pattern: "/signin/openid", serve: (*visit).toProvider},
		{method: http.MethodGet, pattern: ProviderPath, serve: (*visit).fromProvider},
		{method: http.MethodGet, pattern: "/signin/again/openid", audience: someone, serve: (*visit).toProviderAgain},
		{method: http.MethodPost, pattern: "/signin/passkey/options", serve: (*visit).passkeyOptions},
		{method: http.MethodPost, pattern: "/signin/passkey", serve: (*visit).passkey},

		{method: http.MethodGet, pattern: security, audience: someone, serve: (*visit).security},
		{method: http.MethodPost, pattern: security + "/app/new", audience: someone, serve: (*visit).newApp, fresh: true},
		{method: http.MethodGet, pattern: security + "/app", audience: someone, serve: (*visit).appForm},
		{method: http.MethodPost, pattern: security + "/app", audience: someone, serve: (*visit).addApp},
		{method: http.MethodPost, pattern: security + "/app/remove", audience: someone, serve: (*visit).removeApp, fresh: true},
		{method: http.MethodPost, pattern: security + "/codes", audience: someone, serve: (*visit).renewCodes, fresh: true},
		{method: http.MethodPost, pattern: security + "/passkeys/new", audience: someone, serve: (*visit).newPasskey, fresh: true},
		{method: http.MethodPost, pattern: security + "/passkeys", audience: someone, serve: (*visit).addPasskey},
		{method: http.MethodPost, pattern: security + "/passkeys/rename", audience: someone, serve: (*visit).renamePasskey},
		{method: http.MethodPost, pattern: security + "/provider/new", audience: someone, serve: (*visit).linkProvider, fresh: true, unbounded: true},
		{method: http.MethodPost, pattern: security + "/remove", audience: someone, serve: (*visit).removeFactor, fresh: true},
	}
}

// doors are the ways to sign in that a page offers besides a password.
type doors struct {
	Passwords, Passkeys bool
	// Provider is what people call the one that is set; empty for none.
	Provider string
}

func (v *visit) doors() doors {
	d := doors{Passwords: !v.SignIn.NoPasswords, Passkeys: v.SignIn.PasskeysWork()}
	if p := v.SignIn.Provider; p != nil {
		d.Provider = p.Name()
	}
	return d
}

// keepFlow gives the browser the secret of a flow.
func (v *visit) keepFlow(name string, flow secret.Secret) {
	v.setCookie(flowCookie+name, flow.Reveal(), v.Now().Add(signin.FlowLifetime))
}

// keepProviderFlow gives the browser the secret of a flow at the provider that
// the address leads to. One that has too many forgets the others: whoever sends
// it there again and again must not fill its requests.
func (v *visit) keepProviderFlow(address string, flow secret.Secret) error {
	to, err := url.Parse(address)
	if err != nil {
		return err
	}
	if others := v.providerFlows(); len(others) >= maxProviderFlows {
		for _, name := range others {
			v.dropCookie(name)
		}
	}
	v.keepFlow(providerFlow(to.Query().Get("state")), flow)
	return nil
}

// providerFlows are the names of the cookies of flows at the provider.
func (v *visit) providerFlows() []string {
	var names []string
	for _, cookie := range v.r.Cookies() {
		if strings.HasPrefix(cookie.Name, flowCookie+atProvider) {
			names = append(names, cookie.Name)
		}
	}
	return names
}

func (v *visit) dropFlow(name string) { v.dropCookie(flowCookie + name) }

// flow is the secret of a flow that the browser shows.
func (v *visit) flow(name string) string {
	cookie, err := v.r.Cookie(flowCookie + name)
	if err != nil {
		return ""
	}
	return cookie.Value
}

// owesCode asks somebody for a code who gave the first proof and has an
// authenticator app, and reports whether it did.
func (v *visit) owesCode(first signin.Proof) (bool, error) {
	owes, err := v.SignIn.NeedsCode(v.r.Context(), first.User.ID, first.Method)
	if err != nil || !owes {
		return false, err
	}
	flow, err := v.SignIn.AskCode(v.r.Context(), first, v.next())
	if err != nil {
		return false, err
	}
	v.keepFlow(codeFlow, flow)
	return true, v.redirect("/signin/code")
}

// codePage is what the page of the second step shows.
type codePage struct {
	Email  string
	Errors []string
}

func (v *visit) codeForm() error {
	half, err := v.SignIn.AskedCode(v.r.Context(), v.flow(codeFlow))
	if err != nil {
		return err
	}
	return v.page(http.StatusOK, "code", codePage{Email: half.Email})
}

func (v *visit) code() error {
	proof, half, err := v.SignIn.Code(v.r.Context(), v.flow(codeFlow), v.r.PostFormValue("code"), v.visitor())
	switch fault.KindOf(err) {
	case fault.Invalid:
		return v.page(http.StatusUnprocessableEntity, "code", codePage{half.Email, sentences(err)})
	case fault.RateLimited:
		return v.page(http.StatusTooManyRequests, "code", codePage{half.Email, sentences(v.waiting(err))})
	}
	if err != nil {
		return err
	}
	v.dropFlow(codeFlow)
	v.after = half.Next
	return v.proved(proof)
}

// toProvider sends somebody to the provider who wants to sign in there.
func (v *visit) toProvider() error {
	if v.by != nil {
		return v.redirect(v.next())
	}
	return v.goToProvider(signin.ToSignIn)
}

// toProviderAgain sends somebody there who proves again who they are.
func (v *visit) toProviderAgain() error { return v.goToProvider(signin.ToProveAgain) }

func (v *visit) goToProvider(goal signin.Goal) error {
	address, flow, err := v.SignIn.AskProvider(v.r.Context(), v.by, goal, v.next(), v.visitor())
	if err != nil {
		return err
	}
	if err := v.keepProviderFlow(address, flow); err != nil {
		return err
	}
	return v.redirect(address)
}

// fromProvider takes in whom the provider sends back.
func (v *visit) fromProvider() error {
	query := v.r.URL.Query()
	answer := signin.Answer{State: query.Get("state"), Code: query.Get("code"), Error: query.Get("error"), Issuer: query.Get("iss")}
	name := providerFlow(answer.State)
	if v.flow(name) == "" && len(v.providerFlows()) > 0 {
		return signin.Refuse(signin.WhyState, nil) // an answer to none of the questions
	}
	arrived, err := v.SignIn.Answered(v.r.Context(), v.by, v.flow(name), answer, v.visitor())
	if err != nil {
		return err
	}
	v.dropFlow(name)
	v.after = arrived.Next
	switch arrived.Goal {
	case signin.ToLink:
		return v.done("/profile/security", "linked", 1)
	case signin.ToProveAgain:
		if err := v.renew(arrived.Proof); err != nil {
			return err
		}
		return v.page(http.StatusOK, "proved", nil)
	}
	return v.proved(arrived.Proof)
}

// renew begins a new session for somebody who proved again who they are.
func (v *visit) renew(p signin.Proof) error {
	session, value, err := v.SignIn.Renew(v.r.Context(), v.by, p, v.visitor())
	if err != nil {
		return err
	}
	return v.keepSession(session, value)
}

// passkeyOptions begins a proof by passkey. It answers the script of the page.
func (v *visit) passkeyOptions() error {
	options, flow, err := v.SignIn.AskPasskey(v.r.Context(), v.visitor())
	if err != nil {
		return err
	}
	v.keepFlow(passkeyFlow, flow)
	v.w.Header().Set("Content-Type", "application/json")
	_, _ = v.w.Write(options) // the browser may be gone
	return nil
}

// passkey signs somebody in by a passkey.
func (v *visit) passkey() error {
	proof, err := v.passkeyProof("credential")
	if err != nil {
		return err
	}
	return v.proved(proof.Proof)
}

// passkeyProof judges what an authenticator signed, in a field of the form.
func (v *visit) passkeyProof(field string) (signin.PasskeyProof, error) {
	proof, err := v.SignIn.Passkey(v.r.Context(), v.flow(passkeyFlow), v.r.PostFormValue(field), v.visitor())
	if err != nil {
		return proof, err
	}
	v.dropFlow(passkeyFlow)
	if proof.Cloned {
		v.Log.LogAttrs(v.r.Context(), slog.LevelWarn, "a passkey counted fewer uses than it should have: there may be a copy of it",
			slog.String("user_id", proof.User.ID.String()), slog.String("passkey_id", proof.Passkey.ID.String()),
			slog.String("request_id", v.who.Origin.RequestID))
	}
	return proof, nil
}

// provedAgainBy tries the proof that stands in the form of a visitor who was
// asked to prove again who they are.
func (v *visit) provedAgainBy() (signin.Proof, error) {
	if v.r.PostForm.Has(againPasskeyField) {
		proof, err := v.passkeyProof(againPasskeyField)
		if err != nil {
			return signin.Proof{}, err
		}
		if proof.User.ID != v.by.Person() {
			return signin.Proof{}, signin.Refuse(signin.WhyOther, nil)
		}
		return proof.Proof, nil
	}
	return v.SignIn.Password(v.r.Context(), v.by.Name, secret.NewPassword(v.r.PostFormValue(againField)), v.visitor())
}

// refusal is what the page shows of somebody who could not prove who they are.
type refusal struct{ Title, Text, Back, Label string }

// refused answers such an error with a page that says what to do, and reports
// whether it was one.
func (v *visit) refused(err error) bool {
	var why *signin.Refused
	if !errors.As(err, &why) {
		return false
	}
	v.Log.LogAttrs(v.r.Context(), slog.LevelInfo, "somebody could not prove who they are", slog.String("why", string(why.Why)),
		slog.String("request_id", v.who.Origin.RequestID), slog.Any("error", err))
	name := v.doors().Provider
	key := "refused." + string(why.Why)
	shown := refusal{v.text(key+".title", "provider", name), v.text(key+".text", "provider", name), "/signin", v.text("refused.signin")}
	if v.by != nil {
		shown.Back, shown.Label = "/profile/security", v.text("refused.security")
	}
	status := http.StatusUnprocessableEntity
	if why.Why == signin.WhyAway {
		status = http.StatusServiceUnavailable
	}
	if err := v.page(status, "refused", shown); err != nil {
		v.Log.LogAttrs(v.r.Context(), slog.LevelError, "the page of an error failed", slog.Any("error", err))
	}
	return true
}
