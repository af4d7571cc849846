package panel

import (
	"net/http"
	"slices"
	"time"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/user"
)

// placePage shows what somebody may do in a store.
type placePage struct {
	Person  user.Profile
	Name    string
	In      string
	Place   user.StorePlace
	Form    *form
	Roles   []roleChoice
	Groups  []permissionGroup
	MayEdit bool
	// Limited says that some of the permissions are not for the visitor to
	// give or take.
	Limited bool
	// MayStatus and MayRemove say what else the visitor may do.
	MayStatus, MayRemove bool
}

// roleChoice is a role that the visitor may give.
type roleChoice struct {
	Role    user.Role
	Current bool
}

// permissionGroup are permissions that belong together, with how many of them
// the person has.
type permissionGroup struct {
	Key   string
	Boxes []permissionBox
	Held  int
}

// permissionBox is a permission that somebody has or has not.
type permissionBox struct {
	Name                  string
	Held, Fixed, HighRisk bool
}

// placeOf reads the person and the store of the address.
func (v *visit) placeOf() (user.Profile, user.StorePlace, error) {
	p, err := v.memberOf()
	if err != nil {
		return user.Profile{}, user.StorePlace{}, err
	}
	for _, place := range p.In {
		if place.Store.Hash == v.r.PathValue("store") {
			return p, place, nil
		}
	}
	return user.Profile{}, user.StorePlace{}, fault.Errorf(fault.NotFound, "This person is not in the store.")
}

func (v *visit) place() error {
	p, place, err := v.placeOf()
	if err != nil {
		return err
	}
	return v.showPlace(http.StatusOK, p, place, newForm("role", "permissions"))
}

func (v *visit) showPlace(status int, p user.Profile, place user.StorePlace, f *form) error {
	grantable, err := v.Users.GrantableIn(v.r.Context(), v.by, place.StoreID)
	if err != nil {
		return err
	}
	owner := place.Store.OwnerID == p.ID
	shown := placePage{Person: p, Name: fullName(p.User), In: v.in("/users"), Place: place, Form: f}
	shown.MayEdit = !owner && user.MayIn(v.by, place.StoreID, auth.EditUsers) == nil
	shown.MayStatus = shown.MayEdit && (place.Status == user.Active || user.CheckGrant(grantable, nil, place.Permissions) == nil)
	shown.MayRemove = !owner && user.MayIn(v.by, place.StoreID, auth.DeleteUsers) == nil
	held := place.Permissions
	if f.Refused() && !v.r.PostForm.Has("role") {
		held = f.Values["permissions"]
	}
	if !shown.MayEdit {
		grantable = nil
	}
	shown.Groups, shown.Limited = groupsOf(held, grantable)
	for _, role := range givenRoles() {
		if user.CheckGrant(grantable, place.Permissions, role.Permissions()) == nil {
			shown.Roles = append(shown.Roles, roleChoice{role, place.Role() == role})
		}
	}
	return v.page(status, "place", shown)
}

// groupsOf are all permissions with those held, and those fixed which cannot be
// granted, of which there are some if limited.
func groupsOf(held, grantable []string) (groups []permissionGroup, limited bool) {
	for _, each := range permissionGroups() {
		g := permissionGroup{Key: each.key}
		for _, name := range each.names {
			box := permissionBox{Name: name, Held: slices.Contains(held, name), Fixed: !slices.Contains(grantable, name), HighRisk: user.HighRisk(name)}
			if box.Held {
				g.Held++
			}
			limited = limited || box.Fixed
			g.Boxes = append(g.Boxes, box)
		}
		groups = append(groups, g)
	}
	return groups, limited
}

// changePlace gives somebody a role in a store, or the permissions that are
// ticked.
func (v *visit) changePlace() error {
	p, place, err := v.placeOf()
	if err != nil {
		return err
	}
	f, err := v.sent("role", "permissions")
	if err != nil {
		return err
	}
	ofRole := v.r.PostForm.Has("role") // which the form of permissions does not have
	wanted := v.roleOf(f, "role", "role")
	if ofRole && f.Value("role") == "" {
		f.wrong("role", v.text("place.choose_role_first"))
	}
	if f.Refused() {
		return v.showPlace(http.StatusUnprocessableEntity, p, place, f)
	}
	if !ofRole {
		if wanted, err = v.ticked(place, f.Values["permissions"]); err != nil {
			return err
		}
	}
	return v.changed(p, place, f, func(in account.StoreRef) error {
		_, err := v.Users.SetStorePermissions(v.r.Context(), v.by, in, p.ID, wanted)
		return err
	})
}

// ticked are the permissions that somebody shall have: those ticked, and of
// those whose boxes could not be used the ones that they have.
func (v *visit) ticked(place user.StorePlace, wanted []string) ([]string, error) {
	grantable, err := v.Users.GrantableIn(v.r.Context(), v.by, place.StoreID)
	if err != nil {
		return nil, err
	}
	for _, name := range place.Permissions {
		if !slices.Contains(grantable, name) && !slices.Contains(wanted, name) {
			wanted = append(wanted, name)
		}
	}
	return wanted, nil
}

// changed tells what came of a change to a place.
func (v *visit) changed(p user.Profile, place user.StorePlace, f *form, change func(account.StoreRef) error) error {
	err := change(account.StoreRef{ID: place.StoreID})
	if err == nil {
		return v.done(v.placeAddress(p, place), "place_saved", 1)
	}
	if err := f.refuse(err); err != nil {
		return err
	}
	return v.showPlace(http.StatusUnprocessableEntity, p, place, f)
}

func (v *visit) placeAddress(p user.Profile, place user.StorePlace) string {
	return v.personAddress(p) + "/stores/" + place.Store.Hash
}

// changeStatus says whether somebody may work in a store.
func (v *visit) changeStatus() error {
	p, place, err := v.placeOf()
	if err != nil {
		return err
	}
	f, err := v.sent("status")
	if err != nil {
		return err
	}
	status := user.Status(f.Value("status"))
	if status != user.Active && status != user.Inactive {
		return fault.Errorf(fault.Invalid, "%s", v.text("errors.form"))
	}
	return v.changed(p, place, f, func(in account.StoreRef) error {
		_, err := v.Users.SetStoreStatus(v.r.Context(), v.by, in, p.ID, status)
		return err
	})
}

// leavePage says what happens when somebody is taken out of a store.
type leavePage struct {
	Person user.Profile
	Name   string
	In     string
	Place  user.StorePlace
	Last   time.Time
}

func (v *visit) leaveStoreForm() error {
	p, place, err := v.placeOf()
	if err != nil {
		return err
	}
	if err := user.MayIn(v.by, place.StoreID, auth.DeleteUsers); err != nil {
		return err
	}
	return v.page(http.StatusOK, "place-remove", leavePage{p, fullName(p.User), v.in("/users"), place, place.LastLoginAt})
}

// leaveStore takes somebody out of a store.
func (v *visit) leaveStore() error {
	p, place, err := v.placeOf()
	if err != nil {
		return err
	}
	if _, _, err := v.Users.RemoveFromStore(v.r.Context(), v.by, account.StoreRef{ID: place.StoreID}, p.ID); err != nil {
		return err
	}
	return v.done(v.afterLeaving(p), "person_out_of_store", 1)
}

// afterLeaving is the person's page, where the visitor still sees them.
func (v *visit) afterLeaving(p user.Profile) string {
	if user.MayListAll(v.by) == nil || len(p.In) > 1 {
		return v.personAddress(p)
	}
	return v.in("/users")
}
