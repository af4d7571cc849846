package panel

import (
	"net/http"

	"github.com/google/uuid"

	"latchkey/internal/signin"
)

// providerHandler sends browsers to the OpenID Connect provider and receives them from it.
type providerHandler struct {
	signIn   *signin.Service
	sessions *sessions
}

func (h *providerHandler) routes() []route {
	return []route{
		get("/signin/openid", public, h.start),
		get(ProviderPath, public, h.callback),
		get("/signin/again/openid", signedIn, h.startAgain),
	}
}

// ProviderPath is the redirect URI's path, to which an OpenID Connect provider returns browsers.
const ProviderPath = "/signin/openid/callback"

// start redirects a visitor who wants to sign in to the provider.
func (h *providerHandler) start(q *request) error {
	if q.by != nil {
		return q.redirect(q.next())
	}
	return h.redirect(q, signin.ToSignIn)
}

// startAgain redirects a visitor to the provider to prove their identity again.
func (h *providerHandler) startAgain(q *request) error { return h.redirect(q, signin.ToReauthenticate) }

func (h *providerHandler) redirect(q *request, goal signin.Goal) error {
	address, flow, err := h.signIn.BeginProvider(q.r.Context(), q.by, goal, q.next(), q.visitor())
	if err != nil {
		return err
	}
	if err := setProviderFlow(q, address, flow); err != nil {
		return err
	}
	return q.redirect(address)
}

// callback handles the redirect that the provider sends the browser back with.
func (h *providerHandler) callback(q *request) error {
	query := q.r.URL.Query()
	answer := signin.AuthResponse{State: query.Get("state"), Code: query.Get("code"), Error: query.Get("error"),
		Issuer: query.Get("iss")}
	name := providerFlow(answer.State)
	if flowOf(q, name) == "" && len(providerFlows(q)) > 0 {
		return signin.Refuse(signin.ReasonState, nil) // the state belongs to none of the browser's flows
	}
	result, err := h.signIn.FinishProvider(q.r.Context(), q.by, flowOf(q, name), answer, q.visitor())
	if err != nil {
		return err
	}
	dropFlow(q, name)
	switch result.Goal {
	case signin.ToLink:
		return q.redirectWithNotice("/profile/security", noticeOf("linked", ""))
	case signin.ToReauthenticate:
		if err := h.sessions.renew(q, result.Proof); err != nil {
			return err
		}
		return provedTemplate.show(q, http.StatusOK, noData{})
	}
	return h.sessions.begin(q, result.Proof, q.returnPath(result.Next), uuid.Nil)
}
