package panel

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/page"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// invitePage asks whom to invite, and into which stores as what.
type invitePage struct {
	*form

	In, FormID string
	Stores     []account.Store
	Roles      []user.Role
	// NeedsStore says that the visitor invites into stores alone.
	NeedsStore bool
}

// RoleIn is the role that was chosen for a store.
func (p invitePage) RoleIn(hash string) string { return p.Value("role." + hash) }

// invitedPage says what became of an invitation. The link is shown this once.
type invitedPage struct {
	In, Name, Email, Outcome, Address string
	Until                             time.Time
	Errors                            []string
	// Provider is what people call the one at which they sign in.
	Provider string
}

var inviteFields = []string{"email", "firstName", "lastName", "stores"}

func (v *visit) inviteForm() error {
	if err := user.MayCreate(v.by); err != nil {
		return err
	}
	f := newForm(inviteFields...)
	if chosen := v.r.URL.Query().Get("store"); chosen != "" {
		f.Values.Set("stores", chosen)
	}
	return v.showInvite(http.StatusOK, f)
}

// showInvite offers the first stores by name; others can be added on the
// person's page.
func (v *visit) showInvite(status int, f *form) error {
	shown := invitePage{form: f, In: v.in("/users"), FormID: v.Forms.New(), Roles: givenRoles(), NeedsStore: user.MayChangeAnybody(v.by) != nil}
	size := page.MaxSize
	found, err := v.Accounts.Stores(v.r.Context(), v.by, account.StoreFilter{}, page.Request{First: &size})
	if err != nil {
		return err
	}
	for _, item := range found.Items {
		if user.MayIn(v.by, item.Node.ID, auth.AddUsers) == nil {
			shown.Stores = append(shown.Stores, item.Node)
		}
	}
	slices.SortFunc(shown.Stores, byStoreName)
	return v.page(status, "invite", shown)
}

// invite takes somebody into the account and the stores, all or nothing, and
// then gives them a way to sign in: that link is a step of its own, which can be
// taken again on their page.
func (v *visit) invite() error {
	if err := user.MayCreate(v.by); err != nil {
		return err
	}
	f, err := v.sent(inviteFields...)
	if err != nil {
		return err
	}
	admission := user.Admission{Details: user.Details{Email: f.Value("email"), FirstName: f.Value("firstName"), LastName: f.Value("lastName"), Locale: "en"}}
	for _, hash := range f.Values["stores"] {
		admission.Seats = append(admission.Seats, user.Seat{Store: account.StoreRef{Hash: hash}, Permissions: v.roleOf(f, "role."+hash, "stores")})
	}
	v.seatEveryRole(f)
	if f.Refused() {
		return v.showInvite(http.StatusUnprocessableEntity, f)
	}
	if err = v.Forms.Claim(v.r.Context(), v.by, f.Value("form")); err == nil {
		_, err = v.Users.Admit(v.r.Context(), v.by, admission)
	}
	if err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return v.showInvite(http.StatusUnprocessableEntity, f)
	}
	in := account.StoreRef{}
	if len(admission.Seats) > 0 {
		in = admission.Seats[0].Store
	}
	return v.giveLink(admission.Email, in)
}

// seatEveryRole shows a role that was chosen in a store which was not: one of
// the two was meant otherwise.
func (v *visit) seatEveryRole(f *form) {
	for field := range f.Values {
		hash, is := strings.CutPrefix(field, "role.")
		if is && f.Value(field) != "" && !slices.Contains(f.Values["stores"], hash) {
			f.wrong("stores", v.text("invite.role_without_store"))
			return
		}
	}
}

// roleOf returns the permissions of the role that was chosen in a field, none
// for no role. Any other role is shown to be wrong.
func (v *visit) roleOf(f *form, field, shownAt string) []string {
	role := user.Role(f.Value(field))
	if role != "" && !slices.Contains(givenRoles(), role) {
		f.wrong(shownAt, v.text("people.no_role"))
	}
	return role.Permissions()
}

// inviteAgain gives somebody who is there another link.
func (v *visit) inviteAgain() error {
	p, err := v.memberOf()
	if err != nil {
		return err
	}
	if err := v.r.ParseForm(); err != nil {
		return err
	}
	if err := v.Forms.Claim(v.r.Context(), v.by, v.r.PostForm.Get("form")); err != nil {
		return err
	}
	in, err := v.mayInvite(p)
	if err != nil {
		return err
	}
	return v.giveLink(p.Email, in)
}

// mayInvite returns the store as whose people the visitor may invite a person
// again, none for whoever may in the whole account.
func (v *visit) mayInvite(p user.Profile) (account.StoreRef, error) {
	denied := user.MayChangeAnybody(v.by)
	if denied == nil {
		return account.StoreRef{}, nil
	}
	for _, place := range p.In {
		if user.MayIn(v.by, place.StoreID, auth.AddUsers) == nil {
			return account.StoreRef{ID: place.StoreID}, nil
		}
	}
	return account.StoreRef{}, denied
}

func (v *visit) giveLink(email string, in account.StoreRef) error {
	invited, err := v.SignIn.Invite(v.r.Context(), v.by, signin.Invitee{Details: user.Details{Email: email}, Store: in})
	shown := invitedPage{In: v.in("/users"), Email: email, Name: email, Provider: v.doors().Provider}
	if err != nil {
		f := newForm()
		if err := f.refuse(err); err != nil {
			return err
		}
		shown.Errors = sentences(err)
		return v.page(http.StatusUnprocessableEntity, "invited", shown)
	}
	shown.Name, shown.Outcome, shown.Address, shown.Until = fullName(invited.Person), string(invited.Outcome), invited.Address, invited.ExpiresAt
	if invited.Outcome == signin.Mailed && invited.ExpiresAt.IsZero() {
		shown.Outcome = "mailed_to_sign_in"
	}
	return v.page(http.StatusOK, "invited", shown)
}
