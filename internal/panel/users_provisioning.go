package panel

import (
	"net/http"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/directory"
	"latchkey/internal/membership"
	"latchkey/internal/scope"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// provisioningHandler serves the page about identity providers, and the form that makes a user one who is managed by
// hand.
type provisioningHandler struct {
	users       *user.Service
	memberships *membership.Service
	directories *directory.Service
	tokens      *token.Service
	publicURL   string
}

// provisioningPath is the path of the page about identity providers, below the account's.
const provisioningPath = "/users/provisioning"

func (h *provisioningHandler) routes() []route {
	return []route{
		get(accountPattern+provisioningPath, member, h.page),
		post(userPattern+"/manage", member, h.manageByHand),
	}
}

// provisioningPage is the data of the page about identity providers.
type provisioningPage struct {
	// In is the address of the list of users, and BaseURL that of the account's SCIM API.
	In, BaseURL string
	// NewToken is the address of the form that creates an API token for an identity provider, empty if the visitor may
	// not create one.
	NewToken string
	// Last is the last request, nil if there is none. Failed are the last failed ones, newest first.
	Last   *providerRequest
	Failed []providerRequest
	// Policies are the off-boarding policies, of which Policy is the account's. MaySetPolicy reports whether the
	// visitor may choose one.
	Policies     []account.OffboardingPolicy
	Policy       account.OffboardingPolicy
	MaySetPolicy bool
	// LeakPolicies are the leak policies, of which LeakPolicy is the account's.
	LeakPolicies []account.LeakPolicy
	LeakPolicy   account.LeakPolicy
}

// providerRequest is a request of an identity provider. Token is the address of its API token's page, empty if the
// visitor may not see it.
type providerRequest struct {
	directory.Request

	Token string
}

// State returns the last part of the key of the message that says whether an identity provider is connected.
func (p provisioningPage) State() string {
	switch {
	case p.Last == nil:
		return "none"
	case p.Last.Failed():
		return "failing"
	}
	return "connected"
}

// Badge returns the class of the badge of the state.
func (p provisioningPage) Badge() string {
	return map[string]string{"connected": "good", "failing": "warn"}[p.State()]
}

// StatusText returns the words for the status.
func (r providerRequest) StatusText() string { return http.StatusText(r.Status) }

// Path returns what was requested, below the base URL.
func (r providerRequest) Path() string { return "/" + r.Resource }

func (h *provisioningHandler) page(q *request) error {
	last, failed, err := h.directories.Requests(q.r.Context(), q.by)
	if err != nil {
		return err
	}
	shown := provisioningPage{In: q.address("/users"), BaseURL: directory.BaseURL(h.publicURL, q.by.AccountID),
		Policies: account.OffboardingPolicies(), Policy: q.account.Offboarding,
		MaySetPolicy: membership.MaySetPolicies(q.by) == nil,
		LeakPolicies: account.LeakPolicies(), LeakPolicy: q.account.Leaks}
	if h.tokens.MayIssue(q.by, token.AccountOwner(q.account)) == nil {
		shown.NewToken = q.address("/tokens/new?preset=" + scope.IdentityProvider)
	}
	if !last.At.IsZero() {
		shown.Last = new(shownRequest(q, last))
	}
	for _, r := range failed {
		shown.Failed = append(shown.Failed, shownRequest(q, r))
	}
	return provisioningTemplate.show(q, http.StatusOK, shown)
}

func shownRequest(q *request, r directory.Request) providerRequest {
	shown := providerRequest{Request: r}
	if r.TokenName != "" && token.MayList(q.by, q.by.AccountID, uuid.Nil) == nil {
		shown.Token = q.address("/tokens/" + r.TokenID.String())
	}
	return shown
}

// manageByHand lets a provisioned user be managed by hand.
func (h *provisioningHandler) manageByHand(q *request) error {
	p, err := profileOf(q, h.users)
	if err != nil {
		return err
	}
	if _, err := h.memberships.ManageByHand(q.r.Context(), q.by, user.Ref{ID: &p.ID}); err != nil {
		return err
	}
	return q.redirectWithNotice(userAddress(q, p), noticeOf("person_by_hand", fullName(p.User)))
}

// shownProvider is the identity provider that keeps a user up to date.
type shownProvider struct {
	// Name is the name of its API token, and Token the address of the token's page. Both are empty if the visitor may
	// not see the token.
	Name, Token string
	// Gone reports whether the token no longer works, so that nothing keeps the user up to date with it.
	Gone bool
	// Page is the address of the page about identity providers, empty if the visitor may not see it.
	Page string
	// MayRelease reports whether the visitor may manage the user by hand.
	MayRelease bool
}

// providerOf returns the identity provider that keeps a user up to date, or nil if there is none.
func providerOf(q *request, tokens *token.Service, p user.Profile) (*shownProvider, error) {
	if !p.Provisioned() {
		return nil, nil //nolint:nilnil // the template shows nothing then
	}
	found, err := tokens.TokensByID(q.r.Context(), q.by, []uuid.UUID{p.ProvisionedBy})
	if err != nil {
		return nil, err
	}
	shown := &shownProvider{MayRelease: membership.MayManageByHand(q.by) == nil}
	if t, sees := found[p.ProvisionedBy]; sees {
		shown.Name, shown.Token = t.Name, q.address("/tokens/"+t.ID.String())
		shown.Gone = t.Status(tokens.Now()) != token.Active
	}
	if user.MayListAll(q.by) == nil {
		shown.Page = q.address(provisioningPath)
	}
	return shown, nil
}
