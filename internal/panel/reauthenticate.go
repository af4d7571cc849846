package panel

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
)

// The fields of a repeated proof of identity: a password, or the assertion of a passkey.
const (
	reauthField        = "password_again"
	reauthPasskeyField = "passkey_again"
)

// reauthPage is the data of the page that asks for a proof of identity again. It holds the submitted form.
type reauthPage struct {
	Action  string
	Fields  []field
	Email   string
	Errors  []string
	Proofs  signin.Proofs
	Methods signInMethods
}

// field is a field of a submitted form.
type field struct{ Name, Value string }

// reauthenticate asks a visitor whose last proof of identity is too old to prove it again. It reports whether it wrote
// a response. The page submits the original form together with the proof, and the request then continues in a new
// session. A user without a password uses a passkey, or the provider in another window.
func (h *signInHandler) reauthenticate(q *request) (answered bool, err error) {
	if h.signIn.IsFresh(q.record.AuthenticatedAt) {
		return false, nil
	}
	if err := q.r.ParseForm(); err != nil {
		return false, fault.Errorf(fault.Invalid, "The form cannot be read.")
	}
	proofs, err := h.signIn.Proofs(q.r.Context(), q.by)
	if err != nil {
		return false, err
	}
	shown := reauthPage{Action: q.r.URL.RequestURI(), Fields: fieldsOf(q.r.PostForm), Email: q.by.Name, Proofs: proofs,
		Methods: methodsOf(h.signIn)}
	if !q.r.PostForm.Has(reauthField) && !q.r.PostForm.Has(reauthPasskeyField) {
		return true, reauthTemplate.show(q, http.StatusOK, shown)
	}
	proof, err := h.reauthProof(q)
	if kind := fault.KindOf(err); kind == fault.Unauthenticated || kind == fault.RateLimited {
		shown.Errors = sentences(q.explainLimit(err))
		status := http.StatusUnprocessableEntity
		if kind == fault.RateLimited {
			status = http.StatusTooManyRequests
		}
		return true, reauthTemplate.show(q, status, shown)
	}
	if err != nil {
		return true, err
	}
	return false, h.sessions.renew(q, proof)
}

// reauthProof verifies the proof in the form of a visitor who must prove their identity again: a passkey or a
// password.
func (h *signInHandler) reauthProof(q *request) (signin.Proof, error) {
	if q.r.PostForm.Has(reauthPasskeyField) {
		proof, err := h.verifyPasskey(q, reauthPasskeyField)
		if err != nil {
			return signin.Proof{}, err
		}
		if proof.User.ID != q.by.Person() {
			return signin.Proof{}, signin.Refuse(signin.ReasonOther, nil)
		}
		return proof.Proof, nil
	}
	return h.signIn.VerifyPassword(q.r.Context(), q.by.Name, secret.NewPassword(q.r.PostFormValue(reauthField)),
		q.visitor())
}

// fieldsOf returns the fields of a form without those of the proof, in order.
func fieldsOf(form url.Values) []field {
	var all []field
	for name, values := range form {
		if name == reauthField || name == reauthPasskeyField {
			continue
		}
		for _, value := range values {
			all = append(all, field{name, value})
		}
	}
	slices.SortStableFunc(all, func(a, b field) int { return strings.Compare(a.Name, b.Name) })
	return all
}
