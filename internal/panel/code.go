package panel

import (
	"net/http"

	"github.com/google/uuid"

	"latchkey/internal/fault"
)

// codePage is the data of the page for the code of the second step.
type codePage struct {
	Email  string
	Errors []string
}

func (h *signInHandler) codePage(q *request) error {
	pending, err := h.signIn.PendingCode(q.r.Context(), flowOf(q, codeFlow))
	if err != nil {
		return err
	}
	return codeTemplate.show(q, http.StatusOK, codePage{Email: pending.Email})
}

func (h *signInHandler) code(q *request) error {
	proof, pending, err := h.signIn.FinishCode(q.r.Context(), flowOf(q, codeFlow), q.r.PostFormValue(codeField),
		q.visitor())
	switch fault.KindOf(err) {
	case fault.Invalid:
		return codeTemplate.show(q, http.StatusUnprocessableEntity, codePage{pending.Email, sentences(err)})
	case fault.RateLimited:
		return codeTemplate.show(q, http.StatusTooManyRequests, codePage{pending.Email, sentences(q.explainLimit(err))})
	}
	if err != nil {
		return err
	}
	dropFlow(q, codeFlow)
	return h.sessions.begin(q, proof, q.returnPath(pending.Next), uuid.Nil)
}
