package panel

import (
	"slices"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/signin"
	"latchkey/internal/signin/formtoken"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// userHandler serves the lists of users and the page of one user.
type userHandler struct {
	users    *user.Service
	accounts *account.Service
	tokens   *token.Service
	signIn   *signin.Service
	forms    *formtoken.FormTokens
}

// routes returns the handler's routes. Forms that grant permissions require a fresh proof of identity here and in the
// other handlers of users. Otherwise a visitor could grant them to a user who then performs the protected actions
// instead.
func (h *userHandler) routes() []route {
	return []route{
		get(accountPattern+"/users", member, h.list),
		get(storePattern+"/users", member, h.storeList),
		get(userPattern, member, h.page),
		post(userPattern, member, h.update),
		post(userPattern+"/stores", member, h.addToStore, fresh),
	}
}

// profileOf returns the user that the address names.
func profileOf(q *request, users *user.Service) (user.Profile, error) {
	id, err := uuid.Parse(q.r.PathValue("user"))
	if err != nil {
		return user.Profile{}, user.ErrNotInAccount()
	}
	return users.Profile(q.r.Context(), q.by, id)
}

func userAddress(q *request, p user.Profile) string { return q.address("/users/" + p.ID.String()) }

// fullName returns the user's name, or the email address if there is none.
func fullName(u user.User) string {
	switch {
	case u.FirstName == "" && u.LastName == "":
		return u.Email
	case u.FirstName == "" || u.LastName == "":
		return u.FirstName + u.LastName
	}
	return u.FirstName + " " + u.LastName
}

// assignableRoles returns the roles that can be assigned.
func assignableRoles() []user.Role {
	return []user.Role{user.StoreAdministrator, user.SalesManager, user.SalesStaff}
}

// nameAndEmail returns the user's name with the email address, or only the address if there is no name.
func nameAndEmail(q *request, u user.User) string {
	name := fullName(u)
	if name == u.Email {
		return name
	}
	return q.text("people.with_email", "name", name, "email", u.Email)
}

// noRole is the choice of no permissions, where a role must be chosen.
const noRole = "none"

// chosenRole returns the permissions of the role that is selected in a field where one must be: a role, or noRole. It
// adds the error missing if there is none.
func chosenRole(q *request, f *form, field, shownAt, missing string) []string {
	switch f.Value(field) {
	case noRole:
		return nil
	case "":
		f.addError(shownAt, missing)
		return nil
	}
	return roleOf(q, f, field, shownAt)
}

// roleOf returns the permissions of the role that is selected in a field, or none if there is no role. It adds an
// error for an unknown role.
func roleOf(q *request, f *form, field, shownAt string) []string {
	role := user.Role(f.Value(field))
	if role != "" && !slices.Contains(assignableRoles(), role) {
		f.addError(shownAt, q.text("people.no_role"))
	}
	return role.Permissions()
}

// ownedBy returns the names of the account and stores that the user owns, as far as the visitor can see them.
func ownedBy(q *request, p user.Profile) []string {
	var names []string
	if q.account.OwnerID == p.ID {
		names = append(names, q.account.Name)
	}
	for _, place := range p.In {
		if place.Store.OwnerID == p.ID {
			names = append(names, place.Store.Name)
		}
	}
	return names
}

// mayInvite returns the store in which the visitor may invite the user again. It is empty if the visitor may invite
// users to the whole account.
func mayInvite(q *request, p user.Profile) (account.StoreRef, error) {
	denied := user.MayChangeAll(q.by)
	if denied == nil {
		return account.StoreRef{}, nil
	}
	for _, place := range p.In {
		if user.MayIn(q.by, place.StoreID, auth.AddUsers) == nil {
			return account.StoreRef{ID: place.StoreID}, nil
		}
	}
	return account.StoreRef{}, denied
}
