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

// storeUserHandler serves the pages of a user's permissions and status in a store.
type storeUserHandler struct{ users *user.Service }

func (h *storeUserHandler) routes() []route {
	const at = userPattern + "/stores/{store}"
	return []route{
		get(at, member, h.page),
		post(at, member, h.setPermissions, fresh),
		post(at+"/status", member, h.setStatus, fresh),
		get(at+"/remove", member, h.removePage),
		post(at+"/remove", member, h.remove, fresh),
	}
}

// storeUserPage is the data of the page of a user's permissions in a store.
type storeUserPage struct {
	Person user.Profile
	Name   string
	In     string
	Place  user.StorePlace
	// You reports whether the user is the visitor, and StorePage is the address of the first page of the store
	// that the visitor may open.
	You       bool
	StorePage string
	Form      *form
	Roles     []roleChoice
	Groups    []permissionGroup
	MayEdit   bool
	// Limited reports whether there are permissions that the visitor may not grant or take away.
	Limited bool
	// ChangeOwner is the address of the list of users of whom the visitor can make another one the owner, empty if the
	// user does not own the store or the visitor may not.
	ChangeOwner string
	// MayStatus and MayRemove report whether the visitor may change the status and remove the user from the store.
	MayStatus, MayRemove bool
}

// roleChoice is a role that the visitor may assign.
type roleChoice struct {
	Role    user.Role
	Current bool
}

// permissionGroup is the permissions of one topic. Held is how many of them the user has.
type permissionGroup struct {
	Key   string
	Boxes []permissionBox
	Held  int
}

// permissionBox is the checkbox of one permission. Held reports whether the user has the permission, and Fixed
// whether the visitor may not change it.
type permissionBox struct {
	Name                  string
	Held, Fixed, HighRisk bool
}

// find returns the user and the store that the address names.
func (h *storeUserHandler) find(q *request) (user.Profile, user.StorePlace, error) {
	p, err := profileOf(q, h.users)
	if err != nil {
		return user.Profile{}, user.StorePlace{}, err
	}
	for _, place := range p.In {
		if place.Store.Hash == q.r.PathValue("store") {
			return p, place, nil
		}
	}
	return user.Profile{}, user.StorePlace{}, fault.Errorf(fault.NotFound, "This user is not in the store.")
}

func (h *storeUserHandler) page(q *request) error {
	p, place, err := h.find(q)
	if err != nil {
		return err
	}
	return h.show(q, http.StatusOK, p, place, newForm("role", "permissions"))
}

func (h *storeUserHandler) show(q *request, status int, p user.Profile, place user.StorePlace, f *form) error {
	grantable, err := h.users.GrantableIn(q.r.Context(), q.by, place.StoreID)
	if err != nil {
		return err
	}
	owner := place.Store.OwnerID == p.ID
	shown := storeUserPage{Person: p, Name: fullName(p.User), In: q.address("/users"), Place: place, Form: f}
	shown.You, shown.StorePage = p.ID == q.by.ID, storeAddress(q, place.Store)
	shown.MayEdit = !owner && user.MayIn(q.by, place.StoreID, auth.EditUsers) == nil
	shown.MayStatus = shown.MayEdit && (place.Status == user.Active ||
		user.CheckGrant(grantable, nil, place.Permissions) == nil)
	shown.MayRemove = !owner && user.MayIn(q.by, place.StoreID, auth.DeleteUsers) == nil
	if owner && user.MayTransfer(q.by) == nil && q.by.OwnsStore(q.by.AccountID, place.StoreID) {
		shown.ChangeOwner = q.address("/stores/" + place.Store.Hash + "/users")
	}
	held := place.Permissions
	if f.Refused() && !q.r.PostForm.Has("role") {
		held = f.Values["permissions"]
	}
	if !shown.MayEdit {
		grantable = nil
	}
	shown.Groups, shown.Limited = groupsOf(held, grantable)
	for _, role := range assignableRoles() {
		if user.CheckGrant(grantable, place.Permissions, role.Permissions()) == nil {
			shown.Roles = append(shown.Roles, roleChoice{role, place.Role() == role})
		}
	}
	return storeUserTemplate.show(q, status, shown)
}

// groupsOf returns all permissions by topic. Permissions that are not grantable are fixed; limited reports whether
// there are any.
func groupsOf(held, grantable []string) (groups []permissionGroup, limited bool) {
	for _, each := range permissionGroups() {
		g := permissionGroup{Key: each.key}
		for _, name := range each.names {
			box := permissionBox{Name: name, Held: slices.Contains(held, name),
				Fixed: !slices.Contains(grantable, name), HighRisk: user.HighRisk(name)}
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

// setPermissions sets a user's permissions in a store: those of a role, or those that are checked.
func (h *storeUserHandler) setPermissions(q *request) error {
	p, place, err := h.find(q)
	if err != nil {
		return err
	}
	f, err := q.parseForm("role", "permissions")
	if err != nil {
		return err
	}
	ofRole := q.r.PostForm.Has("role") // the form of permissions does not have this field
	wanted := roleOf(q, f, "role", "role")
	if ofRole && f.Value("role") == "" {
		f.addError("role", q.text("place.choose_role_first"))
	}
	if f.Refused() {
		return h.show(q, http.StatusUnprocessableEntity, p, place, f)
	}
	if !ofRole {
		if wanted, err = h.checked(q, place, f.Values["permissions"]); err != nil {
			return err
		}
	}
	return h.change(q, p, place, f, func(in account.StoreRef) error {
		_, err := h.users.SetStorePermissions(q.r.Context(), q.by, in, p.ID, wanted)
		return err
	})
}

// checked returns the permissions to set: those that are checked, and those that the user has and that the visitor
// may not change, because a browser does not submit disabled checkboxes.
func (h *storeUserHandler) checked(q *request, place user.StorePlace, wanted []string) ([]string, error) {
	grantable, err := h.users.GrantableIn(q.r.Context(), q.by, place.StoreID)
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

// change makes a change to a user's place in a store and answers with its result.
func (h *storeUserHandler) change(q *request, p user.Profile, place user.StorePlace, f *form,
	change func(account.StoreRef) error) error {
	err := change(account.StoreRef{ID: place.StoreID})
	if err == nil {
		return q.redirectWithNotice(storeUserAddress(q, p, place),
			noticeOf("place_saved", fullName(p.User)).at(place.Store.Name))
	}
	if err := f.refuse(err); err != nil {
		return err
	}
	return h.show(q, http.StatusUnprocessableEntity, p, place, f)
}

func storeUserAddress(q *request, p user.Profile, place user.StorePlace) string {
	return userAddress(q, p) + "/stores/" + place.Store.Hash
}

// setStatus activates or deactivates a user in a store.
func (h *storeUserHandler) setStatus(q *request) error {
	p, place, err := h.find(q)
	if err != nil {
		return err
	}
	f, err := q.parseForm("status")
	if err != nil {
		return err
	}
	status := user.Status(f.Value("status"))
	if status != user.Active && status != user.Inactive {
		return fault.Errorf(fault.Invalid, "%s", q.text("errors.form"))
	}
	return h.change(q, p, place, f, func(in account.StoreRef) error {
		_, err := h.users.SetStoreStatus(q.r.Context(), q.by, in, p.ID, status)
		return err
	})
}

// storeUserRemovePage is the data of the page that confirms the removal of a user from a store.
type storeUserRemovePage struct {
	Person user.Profile
	Name   string
	In     string
	Place  user.StorePlace
	Last   time.Time
}

func (h *storeUserHandler) removePage(q *request) error {
	p, place, err := h.find(q)
	if err != nil {
		return err
	}
	if err := user.MayIn(q.by, place.StoreID, auth.DeleteUsers); err != nil {
		return err
	}
	return storeUserRemoveTemplate.show(q, http.StatusOK,
		storeUserRemovePage{p, fullName(p.User), q.address("/users"), place, place.LastLoginAt})
}

// remove removes a user from a store.
func (h *storeUserHandler) remove(q *request) error {
	p, place, err := h.find(q)
	if err != nil {
		return err
	}
	if _, _, err := h.users.RemoveFromStore(q.r.Context(), q.by, account.StoreRef{ID: place.StoreID},
		p.ID); err != nil {
		return err
	}
	return q.redirectWithNotice(afterRemoval(q, p),
		noticeOf("person_out_of_store", fullName(p.User)).at(place.Store.Name))
}

// afterRemoval returns the address of the user's page if the visitor can still see it, and of the list of users
// otherwise.
func afterRemoval(q *request, p user.Profile) string {
	if user.MayListAll(q.by) == nil || len(p.In) > 1 {
		return userAddress(q, p)
	}
	return q.address("/users")
}
