package panel

import (
	"log/slog"

	"github.com/google/uuid"

	"latchkey/internal/signin"
)

// passkeyOptions starts a sign-in with a passkey. The page's script calls it.
func (h *signInHandler) passkeyOptions(q *request) error {
	options, flow, err := h.signIn.BeginPasskey(q.r.Context(), q.visitor())
	if err != nil {
		return err
	}
	setFlow(q, passkeyFlow, flow)
	q.w.Header().Set("Content-Type", "application/json")
	_, _ = q.w.Write(options) // the client may have disconnected
	return nil
}

// passkey signs a user in with a passkey.
func (h *signInHandler) passkey(q *request) error {
	proof, err := h.verifyPasskey(q, "credential")
	if err != nil {
		return err
	}
	return h.sessions.begin(q, proof.Proof, q.next(), uuid.Nil)
}

// verifyPasskey verifies the assertion of an authenticator in a field of the form.
func (h *signInHandler) verifyPasskey(q *request, field string) (signin.PasskeyProof, error) {
	proof, err := h.signIn.FinishPasskey(q.r.Context(), flowOf(q, passkeyFlow), q.r.PostFormValue(field), q.visitor())
	if err != nil {
		return proof, err
	}
	dropFlow(q, passkeyFlow)
	if proof.Cloned {
		h.log.LogAttrs(q.r.Context(), slog.LevelWarn,
			"the signature counter of a passkey did not increase: the passkey may be cloned",
			slog.String("user_id", proof.User.ID.String()), slog.String("passkey_id", proof.Passkey.ID.String()),
			slog.String("request_id", q.origin.RequestID))
	}
	return proof, nil
}
