package panel

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
)

// signInPage is what the page to sign in shows.
type signInPage struct {
	Email, Next string
	Errors      []string
	// Empty says that there is no account yet.
	Empty bool
	// Forgotten says that the browser did not keep the session.
	Forgotten bool
	// Unsaved says that a form came without a session, and was not acted on.
	Unsaved bool
	Doors   doors
}

func (v *visit) signInForm() error {
	if v.by != nil {
		return v.redirect(v.next())
	}
	empty, err := v.Setup.Needed(v.r.Context())
	if err != nil {
		return err
	}
	forgotten := v.forgotten()
	return v.page(http.StatusOK, "signin", signInPage{
		Next: v.next(), Empty: empty, Forgotten: forgotten, Unsaved: !forgotten && v.r.URL.Query().Has("unsaved"), Doors: v.doors(),
	})
}

func (v *visit) signIn() error {
	email := strings.TrimSpace(v.r.PostFormValue("email"))
	proof, err := v.SignIn.Password(v.r.Context(), email, secret.NewPassword(v.r.PostFormValue("password")), v.visitor())
	if err == nil {
		if err = v.proved(proof); err == nil {
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
	return v.page(status, "signin", signInPage{Email: email, Next: v.next(), Errors: sentences(v.waiting(err)), Doors: v.doors()})
}

// proved goes on with somebody who just proved who they are, by whatever
// method: their session begins, in the place of the one that the browser had,
// and they go where they wanted to; or they are asked for a code first. It
// returns fault.Forbidden for a person who is in no account, and then has
// answered nothing.
func (v *visit) proved(p signin.Proof) error {
	if owes, err := v.owesCode(p); owes || err != nil {
		return err
	}
	before := v.by
	session, value, err := v.SignIn.Begin(v.r.Context(), p, cmp.Or(v.into, v.account.ID), v.visitor())
	if err != nil {
		return err
	}
	if before != nil {
		if _, err := v.SignIn.End(v.r.Context(), before, before.SessionID); err != nil {
			return err
		}
	}
	if err := v.keepSession(session, value); err != nil {
		return err
	}
	if err := v.knowBrowser(); err != nil {
		return err
	}
	return v.arrive()
}

// sentences are what an error says to people.
func sentences(err error) []string {
	var all []string
	for _, f := range fault.Flatten(err) {
		all = append(all, f.Message)
	}
	return all
}

// arrive sends somebody who just signed in to what they wanted to see: the
// choice of their accounts, where there are several and they said nothing.
func (v *visit) arrive() error {
	next := v.next()
	if next != "/" {
		return v.redirect(next)
	}
	all, err := v.SignIn.Accounts(v.r.Context(), v.by.Person())
	if err != nil {
		return err
	}
	invitations, err := v.SignIn.Invitations(v.r.Context(), v.by.Person())
	if err != nil {
		return err
	}
	if len(all)+len(invitations) > 1 {
		return v.redirect("/accounts")
	}
	return v.redirect(v.in("/"))
}

// signOut ends the visitor's session. Whoever has none is signed out already.
func (v *visit) signOut() error {
	if v.by != nil {
		if _, err := v.SignIn.End(v.r.Context(), v.by, v.by.SessionID); err != nil {
			return err
		}
	}
	v.dropCookie(sessionCookie)
	v.dropCookie(arrivingCookie)
	return v.done("/signin", "signed_out", 1)
}

// The fields of a proof that is asked for again: the password, or what an
// authenticator signed.
const (
	againField        = "password_again"
	againPasskeyField = "passkey_again"
)

// againPage asks for a proof once more, and keeps what was sent.
type againPage struct {
	Action string
	Fields []field
	Email  string
	Errors []string
	Proofs signin.Proofs
	Doors  doors
}

// field is a field of a form that was sent.
type field struct{ Name, Value string }

// again asks a visitor who proved too long ago who they are to do so again, and
// reports whether it answered. The form that they sent is sent again with the
// answer, and then goes on in a new session. Whoever has no password proves it
// by a passkey, or in another window at the provider.
func (v *visit) again() (answered bool, err error) {
	if v.SignIn.IsFresh(v.who.Record.AuthenticatedAt) {
		return false, nil
	}
	if err := v.r.ParseForm(); err != nil {
		return false, fault.Errorf(fault.Invalid, "The form cannot be read.")
	}
	proofs, err := v.SignIn.Proofs(v.r.Context(), v.by)
	if err != nil {
		return false, err
	}
	shown := againPage{Action: v.r.URL.RequestURI(), Fields: fieldsOf(v.r.PostForm), Email: v.by.Name, Proofs: proofs, Doors: v.doors()}
	if !v.r.PostForm.Has(againField) && !v.r.PostForm.Has(againPasskeyField) {
		return true, v.page(http.StatusOK, "again", shown)
	}
	proof, err := v.provedAgainBy()
	if kind := fault.KindOf(err); kind == fault.Unauthenticated || kind == fault.RateLimited {
		shown.Errors = sentences(v.waiting(err))
		status := http.StatusUnprocessableEntity
		if kind == fault.RateLimited {
			status = http.StatusTooManyRequests
		}
		return true, v.page(status, "again", shown)
	}
	if err != nil {
		return true, err
	}
	return false, v.renew(proof)
}

// fieldsOf are the fields of a form but for the proofs, in order.
func fieldsOf(form url.Values) []field {
	var all []field
	for name, values := range form {
		if name == againField || name == againPasskeyField {
			continue
		}
		for _, value := range values {
			all = append(all, field{name, value})
		}
	}
	slices.SortStableFunc(all, func(a, b field) int { return strings.Compare(a.Name, b.Name) })
	return all
}
