package panel

import (
	"net/http"
	"net/url"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/membership"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// userPage is the data of a user's page.
type userPage struct {
	user.Profile

	Name string
	// In is the address of the list, and Address that of the user.
	In, Address string
	You         bool
	OwnerOf     []string
	AllStores   bool
	// Since is the day on which the user joined the account.
	Since string
	// History is the address of the audit log of the user, empty if the visitor may not see it.
	History string
	// Details is the form of the user's profile, nil if the visitor may not change it.
	Details *form
	// Add is the form that adds the user to one of Stores, nil if there is no store to choose.
	Add    *form
	Stores []account.Store
	Roles  []user.Role
	// MayRemove and MayGive report whether the visitor may remove the user from the account, and transfer ownership
	// to them.
	MayRemove, MayGive bool
	// MayReactivate reports whether the visitor may reactivate the user, who is deactivated, and MayDeactivate whether
	// the visitor may deactivate the user.
	MayReactivate, MayDeactivate bool
	// Provider is the identity provider that keeps the user up to date, nil if there is none.
	Provider *shownProvider
	// InviteForm is the ID of the form that creates a link to sign in, empty if the visitor may not.
	InviteForm string
	// Invitation is the newest invitation of a pending user, nil if there is none. Expired reports whether it has
	// expired.
	Invitation *signin.Link
	Expired    bool
}

// OnlyOwnership reports whether the page only offers to give away ownership.
func (p userPage) OnlyOwnership() bool { return p.You && p.MayGive && !p.MayRemove && !p.MayReactivate }

func detailsForm(p user.Profile) *form {
	f := newForm("firstName", "lastName", "locale", "externalId")
	f.Values.Set("firstName", p.FirstName)
	f.Values.Set("lastName", p.LastName)
	f.Values.Set("locale", p.Locale)
	f.Values.Set("externalId", p.ExternalID)
	return f
}

func (h *userHandler) page(q *request) error {
	p, err := profileOf(q, h.users)
	if err != nil {
		return err
	}
	return h.show(q, http.StatusOK, p, detailsForm(p), newForm("stores", "role"))
}

// show shows the user's page with the given forms.
func (h *userHandler) show(q *request, status int, p user.Profile, details, add *form) error {
	shown := userPage{
		Profile: p, Name: fullName(p.User), In: q.address("/users"), Address: userAddress(q, p), You: p.ID == q.by.ID,
		AllStores: user.MayListAll(q.by) == nil, OwnerOf: ownedBy(q, p), Roles: assignableRoles(),
		Since: p.JoinedAt.In(q.zone).Format("2 Jan 2006"),
	}
	var err error
	if shown.Provider, err = providerOf(q, h.tokens, p); err != nil {
		return err
	}
	if mayReadAudit(q) == nil {
		shown.History = q.address("/audit?" + url.Values{"of": {p.ID.String()}}.Encode())
	}
	byHand := user.CheckByHand(q.by, p.Person) == nil
	if user.MayChangeAll(q.by) == nil && (byHand || details.Refused()) {
		shown.Details = details
	}
	shown.MayRemove = membership.MayRemove(q.by, false) == nil && len(shown.OwnerOf) == 0
	shown.MayReactivate = byHand && p.Deactivated() && membership.MayReactivate(q.by) == nil
	if p.Deactivated() {
		return userTemplate.show(q, status, shown)
	}
	shown.MayDeactivate = byHand && shown.MayRemove
	if shown.MayGive, err = h.mayGive(q, p); err != nil {
		return err
	}
	if _, denied := mayInvite(q, p); denied == nil && !shown.You {
		shown.InviteForm = h.forms.New()
	}
	if p.Pending {
		invitations, err := h.signIn.PendingInvitations(q.r.Context(), q.by, []uuid.UUID{p.ID})
		if err != nil {
			return err
		}
		if l, there := invitations[p.ID]; there {
			shown.Invitation, shown.Expired = &l, !q.now().Before(l.ExpiresAt)
		}
	}
	if shown.Stores, err = h.storesToAdd(q, p); err != nil {
		return err
	}
	if len(shown.Stores) > 0 || add.Refused() {
		shown.Add = add
	}
	return userTemplate.show(q, status, shown)
}

// mayGive reports whether the visitor may transfer ownership to the user. They may take back stores, if they own the
// account and another user owns one.
func (h *userHandler) mayGive(q *request, p user.Profile) (bool, error) {
	ownsAll := q.by.OwnsAccount(q.by.AccountID)
	if err := user.MayTransfer(q.by); err != nil || !ownsAll && !q.by.OwnsAStore() {
		return false, nil //nolint:nilerr // the visitor may not
	}
	if p.ID != q.by.ID {
		return true, nil
	}
	others, err := storesWhere(q, h.accounts, func(s account.Store) bool { return ownsAll && s.OwnerID != p.ID })
	return len(others) > 0, err
}

// storesToAdd returns the stores to which the visitor may add the user and which the user is not in.
func (h *userHandler) storesToAdd(q *request, p user.Profile) ([]account.Store, error) {
	return storesWhere(q, h.accounts, func(s account.Store) bool {
		_, there := p.Place(s.ID)
		return !there && user.MayIn(q.by, s.ID, auth.AddUsers) == nil
	})
}

// update updates the profile of a user.
func (h *userHandler) update(q *request) error {
	p, err := profileOf(q, h.users)
	if err != nil {
		return err
	}
	f, err := q.parseForm("firstName", "lastName", "locale", "externalId")
	if err != nil {
		return err
	}
	external := f.Value("externalId")
	u := user.Update{UserID: p.ID, ExternalID: &external, FirstName: changed(f, "firstName", p.FirstName),
		LastName: changed(f, "lastName", p.LastName), Locale: changed(f, "locale", p.Locale)}
	if _, err := h.users.Update(q.r.Context(), q.by, u); err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return h.show(q, http.StatusUnprocessableEntity, p, f, newForm("stores", "role"))
	}
	return q.redirectWithNotice(userAddress(q, p), noticeOf("person_saved", fullName(p.User)))
}

// changed returns the value of a field, or nil if it is unchanged or the form does not have it.
func changed(f *form, field, was string) *string {
	text := f.Value(field)
	if text == was || !f.Values.Has(field) {
		return nil
	}
	return &text
}

// addToStore adds a user to another store.
func (h *userHandler) addToStore(q *request) error {
	p, err := profileOf(q, h.users)
	if err != nil {
		return err
	}
	f, err := q.parseForm("stores", "role")
	if err != nil {
		return err
	}
	grant := user.StoreGrant{Store: account.StoreRef{Hash: f.Value("stores")},
		Permissions: chosenRole(q, f, "role", "role", q.text("place.choose_role_first"))}
	if f.Refused() {
		return h.show(q, http.StatusUnprocessableEntity, p, detailsForm(p), f)
	}
	_, err = h.users.Invite(q.r.Context(), q.by,
		user.Invitation{Details: user.Details{Email: p.Email}, Stores: []user.StoreGrant{grant}})
	if err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return h.show(q, http.StatusUnprocessableEntity, p, detailsForm(p), f)
	}
	return q.redirectWithNotice(userAddress(q, p),
		noticeOf("person_in_store", fullName(p.User)).at(storeCalled(q, h.accounts, f.Value("stores"))))
}
