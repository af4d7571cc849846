package panel

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/paging"
	"latchkey/internal/user"
)

// The number of users on a page, and of stores shown for each.
const (
	usersPerPage = 50
	placesShown  = 5
)

// userStoresPage is the data of the page that lists the stores whose users the visitor manages.
type userStoresPage struct {
	In     string
	Stores []account.Store
}

// userListPage is the data of a list of users, of the account or of one store.
type userListPage struct {
	// Store is the store whose users are listed, nil for the account's list, and Head the head of its pages.
	Store *account.Store
	Head  storeHead
	// In is the address of the account's list, and Here that of this list.
	In, Here string
	State    userListState
	Filters  []filterLink
	Columns  []column
	// Stores are the stores that the account's list can be limited to, and Roles the roles of any list.
	Stores []account.Store
	Roles  []user.Role
	Errors []string
	Total  int64
	Rows   []userRow
	Pages  pageLinks
	// Sorted reports whether the list is sorted, so that its pages are numbered.
	Sorted bool
	// All reports whether the visitor may see all users of the account, and External whether enough of those shown
	// have an external ID for a column.
	All, External bool
	// Invite is the address of the form that invites a user, empty if the visitor may not.
	Invite string
	// Provisioning is the address of the page about identity providers, empty if the visitor may not see it.
	Provisioning string
}

// Count returns Total for texts that depend on a number.
func (p userListPage) Count() int { return int(p.Total) }

// userRow is one user in a list.
type userRow struct {
	ID                      uuid.UUID
	Name, Email, ExternalID string
	You, AccountOwner       bool
	// Provisioned reports whether an identity provider keeps the user up to date.
	Provisioned bool
	// Places are the first of the user's stores, and More is the number of the others.
	Places []user.StorePlace
	More   int
	// Status and Note are keys of messages: the status in the account, or in the store whose users are listed, and what
	// else there is to know about it, which may be empty. InvitedUntil is the day on which the user's invitation
	// expires, empty if there is none or it has expired.
	// LastSignIn is zero if the user never signed in.
	Status, Note, InvitedUntil string
	LastSignIn                 time.Time
	// InviteForm is the ID of the form that invites the user again, empty if the visitor may not. MayRemove reports
	// whether the visitor may remove the user from the account, and MayDeactivate whether they may deactivate them.
	InviteForm               string
	MayRemove, MayDeactivate bool
}

// Resend reports whether the row offers to send an invitation that has expired again.
func (r userRow) Resend() bool { return r.Note == "expired" && r.InviteForm != "" }

// longName is the length from which on the list may shorten a name, in characters.
const longName = 30

// Long reports whether the list may shorten the name.
func (r userRow) Long() bool { return utf8.RuneCountInString(r.Name) > longName }

// Others returns the number of stores that the row does not show beside the first one.
func (r userRow) Others() int { return len(r.Places) + r.More - 1 }

// list lists all users of the account, or the stores whose users the visitor may see.
func (h *userHandler) list(q *request) error {
	denied := user.MayListAll(q.by)
	if denied == nil {
		return h.showList(q, userListPage{Here: q.address("/users"), All: true,
			Provisioning: q.address(provisioningPath)}, user.Filter{})
	}
	if !q.by.MaySomewhere(auth.ManageUsers) {
		return denied
	}
	stores, err := h.accounts.StoresByID(q.r.Context(), q.by, q.by.StoresWhere(auth.ManageUsers))
	if err != nil {
		return err
	}
	if len(stores) == 1 {
		for _, st := range stores {
			return q.redirect(q.address("/stores/" + st.Hash + "/users"))
		}
	}
	return userStoresTemplate.show(q, http.StatusOK,
		userStoresPage{q.address(""), slices.SortedFunc(maps.Values(stores), byStoreName)})
}

// storeList lists the users of a store.
func (h *userHandler) storeList(q *request) error {
	st, err := h.store(q, auth.ManageUsers)
	if err != nil {
		return err
	}
	return h.showList(q, userListPage{Store: &st, Head: storeHeadOf(q, st, "/users"),
		Here: q.address("/stores/" + st.Hash + "/users"), All: user.MayListAll(q.by) == nil},
		user.Filter{StoreID: st.ID})
}

// store returns the store that the address names, if the visitor has the permission there.
func (h *userHandler) store(q *request, what auth.Permission) (account.Store, error) {
	_, st, err := h.accounts.StoreForUsers(q.r.Context(), q.by, account.StoreRef{Hash: q.r.PathValue("store")})
	if err != nil {
		return account.Store{}, err
	}
	return st, user.MayIn(q.by, st.ID, what)
}

func (h *userHandler) showList(q *request, p userListPage, f user.Filter) error {
	p.In, p.State, p.Roles = q.address("/users"), userListStateOf(q), user.Roles()
	f.Search = p.State.Search
	if user.MayCreate(q.by) == nil && (p.Store == nil || user.MayIn(q.by, p.Store.ID, auth.AddUsers) == nil) {
		p.Invite = p.In + "/invite"
		if p.Store != nil {
			p.Invite += "?" + url.Values{"store": {p.Store.Hash}}.Encode()
		}
	}
	if p.Store == nil {
		var err error
		if f.StoreID, err = h.chosenStore(q, &p); err != nil {
			return err
		}
	}
	p.State.limit(&f)
	p.Filters = p.State.filters(q, f.StoreID != uuid.Nil)
	if err := f.Check(); err != nil {
		p.Errors = sentences(err)
		return userListTemplate.show(q, http.StatusUnprocessableEntity, p)
	}
	users, err := h.find(q, &p, f)
	if err != nil {
		return err
	}
	if p.Rows, err = h.rows(q, p, users); err != nil {
		return err
	}
	p.External = manyExternal(p.Rows)
	p.Columns = p.State.columns(q, p.External, p.Store != nil, p.Total <= user.MaxSorted)
	return userListTemplate.show(q, http.StatusOK, p)
}

// manyExternal reports whether a quarter of the rows or more have an external ID.
func manyExternal(rows []userRow) bool {
	n := 0
	for _, r := range rows {
		if r.ExternalID != "" {
			n++
		}
	}
	return n > 0 && 4*n >= len(rows)
}

// chosenStore returns the store that the account's list is limited to, or zero. It sets the stores to choose from.
func (h *userHandler) chosenStore(q *request, p *userListPage) (uuid.UUID, error) {
	var err error
	if p.Stores, err = storesWhere(q, h.accounts, func(account.Store) bool { return true }); err != nil ||
		p.State.Store == "" {
		return uuid.Nil, err
	}
	_, st, err := h.accounts.StoreForUsers(q.r.Context(), q.by, account.StoreRef{Hash: p.State.Store})
	return st.ID, err
}

// find returns the users of the page that the address asks for, and sets their total and the pages beside it.
func (h *userHandler) find(q *request, p *userListPage, f user.Filter) ([]user.User, error) {
	ctx := q.r.Context()
	var err error
	if p.Total, err = h.users.CountUsers(ctx, q.by, f); err != nil {
		return nil, err
	}
	if p.State.sort != byJoined && p.Total <= user.MaxSorted {
		users, total, err := h.users.Sorted(ctx, q.by, f, user.Order{By: p.State.sort,
			Descending: p.State.descending, Skip: (p.State.page - 1) * usersPerPage, Size: usersPerPage})
		if fault.KindOf(err) != fault.LimitReached {
			p.Sorted, p.Total, p.Pages = true, int64(total), p.State.turn(q, total)
			return users, err
		}
	}
	p.State.sort, p.State.page = byJoined, 1
	found, err := h.users.Users(ctx, q.by, f, q.pageRequest(usersPerPage))
	if err != nil {
		return nil, err
	}
	p.Pages = pageLinksOf(q, found)
	users := make([]user.User, len(found.Items))
	for i, item := range found.Items {
		users[i] = item.Node
	}
	return users, nil
}

func (h *userHandler) rows(q *request, p userListPage, users []user.User) ([]userRow, error) {
	ctx := q.r.Context()
	var ids, pending []uuid.UUID
	for _, u := range users {
		if ids = append(ids, u.ID); u.Standing() == user.StandingPending {
			pending = append(pending, u.ID)
		}
	}
	places, counts, err := h.places(q, p.Store, ids)
	if err != nil {
		return nil, err
	}
	invitations, err := h.signIn.PendingInvitations(ctx, q.by, pending)
	if err != nil {
		return nil, err
	}
	rows := make([]userRow, len(users))
	for i, u := range users {
		row := userRow{
			ID: u.ID, Name: fullName(u), Email: u.Email, You: u.ID == q.by.ID,
			AccountOwner: u.ID == q.account.OwnerID, Places: places[u.ID],
		}
		if p.All {
			row.ExternalID, row.Provisioned = u.ExternalID, u.Provisioned()
		}
		row.setStatus(u.Standing(), p.Store != nil)
		if row.Status == string(user.StandingPending) {
			row.Note = "not_invited"
			if l, there := invitations[u.ID]; there && q.now().Before(l.ExpiresAt) {
				row.Note, row.InvitedUntil = "invited", q.shortDay(l.ExpiresAt)
			} else if there {
				row.Note = "expired"
			}
		}
		h.offer(q, &row, u)
		if len(row.Places) > placesShown {
			row.Places = row.Places[:placesShown]
		}
		row.More = int(counts[u.ID]) - len(row.Places)
		rows[i] = row
	}
	return rows, nil
}

// offer sets what the visitor can do with the user of a row. The user's page offers more.
func (h *userHandler) offer(q *request, row *userRow, u user.User) {
	owns := row.AccountOwner || slices.ContainsFunc(row.Places,
		func(p user.StorePlace) bool { return p.Store.OwnerID == u.ID })
	row.MayRemove = !owns && membership.MayRemove(q.by, false) == nil
	row.MayDeactivate = row.MayRemove && u.Standing() == user.StandingActive && !u.Provisioned()
	if u.Standing() == user.StandingPending && !row.You {
		p := user.Profile{Person: user.Person{User: u}, In: row.Places}
		if _, denied := mayInvite(q, p); denied == nil {
			row.InviteForm = h.forms.New()
		}
	}
}

// places returns the users' stores, newest first, and how many each has: in one store, or in the whole account.
func (h *userHandler) places(q *request, in *account.Store, ids []uuid.UUID) (map[uuid.UUID][]user.StorePlace,
	map[uuid.UUID]int64, error) {
	ctx := q.r.Context()
	places, counts := map[uuid.UUID][]user.StorePlace{}, map[uuid.UUID]int64{}
	if in != nil {
		found, err := h.users.PlacesIn(ctx, q.by, in.ID, ids)
		for id, place := range found {
			places[id], counts[id] = []user.StorePlace{place}, 1
		}
		return places, counts, err
	}
	pages, err := h.users.UserPlaces(ctx, q.by, ids, paging.Window{Size: paging.MaxSize})
	if err != nil {
		return nil, nil, err
	}
	for id, p := range pages {
		for _, item := range p.Items {
			places[id] = append(places[id], item.Node)
		}
	}
	counts, err = h.users.CountUserPlaces(ctx, q.by, ids)
	return places, counts, err
}

// setStatus sets the status, by the user's standing in the account and by the places, which are one in a list of a
// store's users. It also sets the time of the last sign-in.
func (r *userRow) setStatus(standing user.Standing, ofStore bool) {
	active := r.AccountOwner
	for _, p := range r.Places {
		if p.LastLoginAt.After(r.LastSignIn) {
			r.LastSignIn = p.LastLoginAt
		}
		active = active || p.Status == user.Active
	}
	r.Status = string(standing)
	switch {
	case standing != user.StandingActive || active:
	case ofStore:
		r.Status = "inactive"
	case len(r.Places) > 1: // otherwise the store is marked
		r.Note = "inactive"
	}
}
