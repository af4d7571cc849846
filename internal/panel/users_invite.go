package panel

import (
	"net/http"
	"time"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/signin"
	"latchkey/internal/signin/formtoken"
	"latchkey/internal/user"
)

// inviteHandler serves the pages that invite users.
type inviteHandler struct {
	users    *user.Service
	accounts *account.Service
	signIn   *signin.Service
	forms    *formtoken.FormTokens
}

func (h *inviteHandler) routes() []route {
	return []route{
		get(accountPattern+"/users/invite", member, h.page),
		post(accountPattern+"/users/invite", member, h.submit, fresh, unbounded),
		post(userPattern+"/invite", member, h.again, fresh, unbounded),
	}
}

// invitePage is the data of the form that invites a user to the account and to stores.
type invitePage struct {
	*form

	In, FormID string
	Stores     []account.Store
	Roles      []user.Role
	// NeedsStore reports whether the visitor must choose a store, because they may invite users only to stores.
	NeedsStore bool
	// How is a part of a message key that says how the user gets the invitation: as a link that is "mailed", or "shown"
	// to the visitor or to the account's "owner", or not at all, because users sign in with the "provider", whose name
	// is Provider.
	How, Provider string
}

// manyStores is the number of stores above which the form can select all of them at once.
const manyStores = 5

// Many reports whether the form can select all stores at once.
func (p invitePage) Many() bool { return len(p.Stores) > manyStores }

// RoleIn returns the role that is selected for a store.
func (p invitePage) RoleIn(hash string) string { return p.Value(roleField + hash) }

// roleField is what the names of the fields with the roles begin with. The store's hash follows. The role of a store
// that is not chosen is ignored: the page does not show its field.
const roleField = "role."

// invitedPage is the data of the result of an invitation. The link is shown only here.
type invitedPage struct {
	In, Name, Email, Outcome, Address string
	Until                             time.Time
	Errors                            []string
	// Provider is the display name of the identity provider, empty if there is none.
	Provider string
}

var inviteFields = []string{"email", "firstName", "lastName", "stores"}

func (h *inviteHandler) page(q *request) error {
	if err := user.MayCreate(q.by); err != nil {
		return err
	}
	f := newForm(inviteFields...)
	if chosen := q.r.URL.Query().Get("store"); chosen != "" {
		f.Values.Set("stores", chosen)
	}
	return h.show(q, http.StatusOK, f)
}

// show shows the form with the first page of stores. The user's page adds users to other stores.
func (h *inviteHandler) show(q *request, status int, f *form) error {
	shown := invitePage{form: f, In: q.address("/users"), FormID: h.forms.New(), Roles: assignableRoles(),
		NeedsStore: user.MayChangeAll(q.by) != nil, How: "shown"}
	methods := methodsOf(h.signIn)
	switch shown.Provider = methods.Provider; {
	case h.signIn.CanMail():
		shown.How = "mailed"
	case !methods.Passwords:
		shown.How = "provider"
	case !q.by.OwnsAccount(q.by.AccountID):
		shown.How = "owner"
	}
	var err error
	shown.Stores, err = storesWhere(q, h.accounts,
		func(s account.Store) bool { return user.MayIn(q.by, s.ID, auth.AddUsers) == nil })
	if err != nil {
		return err
	}
	return inviteTemplate.show(q, status, shown)
}

// submit creates the membership in the account and in the stores in one transaction. It then creates the link to
// sign in, as a separate step that can be repeated on the user's page.
func (h *inviteHandler) submit(q *request) error {
	if err := user.MayCreate(q.by); err != nil {
		return err
	}
	f, err := q.parseForm(inviteFields...)
	if err != nil {
		return err
	}
	invitation := user.Invitation{Details: user.Details{Email: f.Value("email"), FirstName: f.Value("firstName"),
		LastName: f.Value("lastName"), Locale: "en"}}
	for _, hash := range f.Values["stores"] {
		field, missing := roleField+hash, ""
		if f.Value(field) == "" {
			missing = q.text("invite.choose_role", "store", storeCalled(q, h.accounts, hash))
		}
		invitation.Stores = append(invitation.Stores, user.StoreGrant{Store: account.StoreRef{Hash: hash},
			Permissions: chosenRole(q, f, field, "stores", missing)})
	}
	if f.Refused() {
		if err := f.refuse(user.CheckEmail(invitation.Email)); err != nil {
			return err
		}
		return h.show(q, http.StatusUnprocessableEntity, f)
	}
	if err = h.forms.Claim(q.r.Context(), q.by, f.Value("form")); err == nil {
		_, err = h.users.Invite(q.r.Context(), q.by, invitation)
	}
	if err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return h.show(q, http.StatusUnprocessableEntity, f)
	}
	in := account.StoreRef{}
	if len(invitation.Stores) > 0 {
		in = invitation.Stores[0].Store
	}
	return h.showLink(q, invitation.Email, in)
}

// again creates another link for an existing user.
func (h *inviteHandler) again(q *request) error {
	p, err := profileOf(q, h.users)
	if err != nil {
		return err
	}
	if err := q.r.ParseForm(); err != nil {
		return err
	}
	if err := h.forms.Claim(q.r.Context(), q.by, q.r.PostForm.Get("form")); err != nil {
		return err
	}
	in, err := mayInvite(q, p)
	if err != nil {
		return err
	}
	return h.showLink(q, p.Email, in)
}

func (h *inviteHandler) showLink(q *request, email string, in account.StoreRef) error {
	invited, err := h.signIn.Invite(q.r.Context(), q.by, signin.Invitee{Details: user.Details{Email: email}, Store: in})
	shown := invitedPage{In: q.address("/users"), Email: email, Name: email, Provider: methodsOf(h.signIn).Provider}
	if err != nil {
		f := newForm()
		if err := f.refuse(err); err != nil {
			return err
		}
		shown.Errors = sentences(err)
		return invitedTemplate.show(q, http.StatusUnprocessableEntity, shown)
	}
	shown.Name, shown.Outcome, shown.Address, shown.Until = fullName(invited.Person), string(invited.Outcome),
		invited.Address, invited.ExpiresAt
	if invited.Outcome == signin.Mailed && invited.ExpiresAt.IsZero() {
		shown.Outcome = "mailed_to_sign_in"
	}
	return invitedTemplate.show(q, http.StatusOK, shown)
}
