package panel

import (
	"cmp"
	"net/http"
	"slices"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/offboard"
	"latchkey/internal/page"
	"latchkey/internal/user"
)

// personPage shows a person and what the visitor may do about them.
type personPage struct {
	user.Profile

	Name string
	// In is the address of the list, and Address the person's.
	In, Address string
	You         bool
	OwnerOf     []string
	AllStores   bool
	// Details is the form of what is known of them; nil for whoever may not
	// change it.
	Details *form
	// Add is the form to add them to a store, of Stores; nil where there is
	// none.
	Add    *form
	Stores []account.Store
	Roles  []user.Role
	// MayRemove and MayGive say whether the visitor may take them out of the
	// account, and make them an owner.
	MayRemove, MayGive bool
	// InviteForm is the id of the form that makes them a link to sign in; empty
	// for whoever may not.
	InviteForm string
}

func detailsForm(p user.Profile) *form {
	f := newForm("firstName", "lastName", "locale", "externalId")
	f.Values.Set("firstName", p.FirstName)
	f.Values.Set("lastName", p.LastName)
	f.Values.Set("locale", p.Locale)
	f.Values.Set("externalId", p.ExternalID)
	return f
}

func (v *visit) person() error {
	p, err := v.memberOf()
	if err != nil {
		return err
	}
	return v.showPerson(http.StatusOK, p, detailsForm(p), newForm("stores", "role"))
}

// showPerson shows a person with the forms as they are.
func (v *visit) showPerson(status int, p user.Profile, details, add *form) error {
	shown := personPage{
		Profile: p, Name: fullName(p.User), In: v.in("/users"), Address: v.personAddress(p), You: p.ID == v.by.ID,
		AllStores: user.MayListAll(v.by) == nil, OwnerOf: v.ownedBy(p), Roles: givenRoles(),
	}
	if user.MayChangeAnybody(v.by) == nil {
		shown.Details = details
	}
	shown.MayRemove = offboard.MayRemove(v.by, false) == nil && len(shown.OwnerOf) == 0
	// The account's owner takes stores back on their own page.
	ownsAll := v.by.OwnsAccount(v.by.AccountID)
	shown.MayGive = user.MayTransfer(v.by) == nil && (ownsAll || v.by.OwnsAStore() && !shown.You)
	if _, denied := v.mayInvite(p); denied == nil && !shown.You {
		shown.InviteForm = v.Forms.New()
	}
	var err error
	if shown.Stores, err = v.storesToAdd(p); err != nil {
		return err
	}
	if len(shown.Stores) > 0 || add.Refused() {
		shown.Add = add
	}
	return v.page(status, "person", shown)
}

// givenRoles are those that can be given to somebody.
func givenRoles() []user.Role {
	return []user.Role{user.StoreAdministrator, user.SalesManager, user.SalesStaff}
}

// ownedBy are the names of what somebody owns, as far as the visitor sees it.
func (v *visit) ownedBy(p user.Profile) []string {
	var names []string
	if v.account.OwnerID == p.ID {
		names = append(names, v.account.Name)
	}
	for _, place := range p.In {
		if place.Store.OwnerID == p.ID {
			names = append(names, place.Store.Name)
		}
	}
	return names
}

// storesToAdd are stores to which the visitor may add a person who is not in
// them: the first of them, by name.
func (v *visit) storesToAdd(p user.Profile) ([]account.Store, error) {
	size := page.MaxSize
	found, err := v.Accounts.Stores(v.r.Context(), v.by, account.StoreFilter{}, page.Request{First: &size})
	if err != nil {
		return nil, err
	}
	var stores []account.Store
	for _, item := range found.Items {
		if _, there := p.Place(item.Node.ID); !there && user.MayIn(v.by, item.Node.ID, auth.AddUsers) == nil {
			stores = append(stores, item.Node)
		}
	}
	slices.SortFunc(stores, byStoreName)
	return stores, nil
}

// changePerson changes what is known of a person.
func (v *visit) changePerson() error {
	p, err := v.memberOf()
	if err != nil {
		return err
	}
	f, err := v.sent("firstName", "lastName", "locale", "externalId")
	if err != nil {
		return err
	}
	external := f.Value("externalId")
	u := user.Update{UserID: p.ID, ExternalID: &external, FirstName: changed(f, "firstName", p.FirstName), LastName: changed(f, "lastName", p.LastName), Locale: changed(f, "locale", p.Locale)}
	if _, err := v.Users.Update(v.r.Context(), v.by, u); err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return v.showPerson(http.StatusUnprocessableEntity, p, f, newForm("stores", "role"))
	}
	return v.done(v.personAddress(p), "person_saved", 1)
}

// changed is what stands in a field; nil for what is as it was.
func changed(f *form, field, was string) *string {
	text := f.Value(field)
	if text == was {
		return nil
	}
	return &text
}

func (v *visit) personAddress(p user.Profile) string { return v.in("/users/" + p.ID.String()) }

// addToStore gives a person a place in another store.
func (v *visit) addToStore() error {
	p, err := v.memberOf()
	if err != nil {
		return err
	}
	f, err := v.sent("stores", "role")
	if err != nil {
		return err
	}
	seat := user.Seat{Store: account.StoreRef{Hash: f.Value("stores")}, Permissions: v.roleOf(f, "role", "role")}
	if f.Refused() {
		return v.showPerson(http.StatusUnprocessableEntity, p, detailsForm(p), f)
	}
	_, err = v.Users.Admit(v.r.Context(), v.by, user.Admission{Details: user.Details{Email: p.Email}, Seats: []user.Seat{seat}})
	if err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return v.showPerson(http.StatusUnprocessableEntity, p, detailsForm(p), f)
	}
	return v.done(v.personAddress(p), "person_in_store", 1)
}

// byStoreName compares stores by their names.
func byStoreName(a, b account.Store) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Hash, b.Hash))
}
