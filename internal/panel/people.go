package panel

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/page"
	"latchkey/internal/user"
)

// peopleRoutes are the pages of people.
func peopleRoutes() []route {
	const (
		in     = "/accounts/{account}/users"
		person = in + "/{user}"
		place  = person + "/stores/{store}"
	)
	// Whoever gives rights could give them to somebody who then does in their
	// place what takes a proof: so that takes one, too.
	return []route{
		{method: http.MethodGet, pattern: in, audience: insider, serve: (*visit).people},
		{method: http.MethodGet, pattern: "/accounts/{account}/stores/{store}/users", audience: insider, serve: (*visit).storePeople},
		{method: http.MethodGet, pattern: person, audience: insider, serve: (*visit).person},
		{method: http.MethodPost, pattern: person, audience: insider, serve: (*visit).changePerson},
		{method: http.MethodGet, pattern: in + "/invite", audience: insider, serve: (*visit).inviteForm},
		{method: http.MethodPost, pattern: in + "/invite", audience: insider, serve: (*visit).invite, fresh: true, unbounded: true},
		{method: http.MethodPost, pattern: person + "/invite", audience: insider, serve: (*visit).inviteAgain, fresh: true, unbounded: true},
		{method: http.MethodGet, pattern: person + "/remove", audience: insider, serve: (*visit).removeForm},
		{method: http.MethodPost, pattern: person + "/remove", audience: insider, serve: (*visit).remove, fresh: true},
		{method: http.MethodGet, pattern: person + "/owner", audience: insider, serve: (*visit).ownerForm},
		{method: http.MethodPost, pattern: person + "/owner", audience: insider, serve: (*visit).makeOwner, fresh: true},
		{method: http.MethodPost, pattern: person + "/stores", audience: insider, serve: (*visit).addToStore, fresh: true},
		{method: http.MethodGet, pattern: place, audience: insider, serve: (*visit).place},
		{method: http.MethodPost, pattern: place, audience: insider, serve: (*visit).changePlace, fresh: true},
		{method: http.MethodPost, pattern: place + "/status", audience: insider, serve: (*visit).changeStatus, fresh: true},
		{method: http.MethodGet, pattern: place + "/remove", audience: insider, serve: (*visit).leaveStoreForm},
		{method: http.MethodPost, pattern: place + "/remove", audience: insider, serve: (*visit).leaveStore, fresh: true},
	}
}

// peopleLinks are those pages in the navigation that the visitor may see.
func (v *visit) peopleLinks() []link {
	var links []link
	if user.MayListAll(v.by) == nil || v.by.MaySomewhere(auth.ManageUsers) {
		links = append(links, v.link("nav.users", "users", "/users"))
	}
	return links
}

// How many people a page shows, and how many stores of each.
const (
	peopleSize  = 50
	placesShown = 5
)

// peoplePage is a list of people: of the account or of one store.
type peoplePage struct {
	// Store is the one whose people are shown; nil for the account's.
	Store *account.Store
	// In is the address of the account's people, and Here that of this list.
	In, Here string
	Search   string
	Errors   []string
	Total    int64
	Rows     []personRow
	Turn     turn
	// All says whether the visitor may see everybody in the account.
	All bool
	// Invite is where somebody is invited; empty for whoever may not.
	Invite string
}

// Count is Total for the texts that differ with it.
func (p peoplePage) Count() int { return int(p.Total) }

// personRow is one person of a list.
type personRow struct {
	ID                      uuid.UUID
	Name, Email, ExternalID string
	You, AccountOwner       bool
	// Places are the first of their places, and More how many others there are.
	Places []user.StorePlace
	More   int
	// Status is the key of a message, and LastSignIn zero for never.
	Status     string
	LastSignIn time.Time
}

// people shows everybody in the account, or the stores whose people the visitor
// may see.
func (v *visit) people() error {
	denied := user.MayListAll(v.by)
	if denied == nil {
		return v.listPeople(peoplePage{Here: v.in("/users"), All: true}, user.Filter{})
	}
	if !v.by.MaySomewhere(auth.ManageUsers) {
		return denied
	}
	stores, err := v.Accounts.StoresByID(v.r.Context(), v.by, v.by.StoresWhere(auth.ManageUsers))
	if err != nil {
		return err
	}
	if len(stores) == 1 {
		for _, st := range stores {
			return v.redirect(v.in("/stores/" + st.Hash + "/users"))
		}
	}
	return v.page(http.StatusOK, "people-stores", struct {
		In     string
		Stores []account.Store
	}{v.in(""), slices.SortedFunc(maps.Values(stores), byStoreName)})
}

// storePeople shows who is in a store.
func (v *visit) storePeople() error {
	st, err := v.storeOf(auth.ManageUsers)
	if err != nil {
		return err
	}
	return v.listPeople(peoplePage{Store: &st, Here: v.in("/stores/" + st.Hash + "/users"), All: user.MayListAll(v.by) == nil}, user.Filter{StoreID: st.ID})
}

// storeOf is the store of the address, where the visitor may do with people
// what the permission says.
func (v *visit) storeOf(what auth.Permission) (account.Store, error) {
	_, st, err := v.Accounts.StoreOfPeople(v.r.Context(), v.by, account.StoreRef{Hash: v.r.PathValue("store")})
	if err != nil {
		return account.Store{}, err
	}
	return st, user.MayIn(v.by, st.ID, what)
}

func (v *visit) listPeople(p peoplePage, f user.Filter) error {
	ctx := v.r.Context()
	p.In, p.Search = v.in("/users"), strings.TrimSpace(v.r.URL.Query().Get("q"))
	f.Search = p.Search
	if user.MayCreate(v.by) == nil && (p.Store == nil || user.MayIn(v.by, p.Store.ID, auth.AddUsers) == nil) {
		p.Invite = p.In + "/invite"
		if p.Store != nil {
			p.Invite += "?" + url.Values{"store": {p.Store.Hash}}.Encode()
		}
	}
	if err := f.Check(); err != nil {
		p.Errors = sentences(err)
		return v.page(http.StatusUnprocessableEntity, "people", p)
	}
	found, err := v.Users.Users(ctx, v.by, f, v.pageAsked(peopleSize))
	if err != nil {
		return err
	}
	p.Turn = turnOf(v, found)
	if p.Rows, err = v.personRows(p, found); err != nil {
		return err
	}
	if p.Total, err = v.Users.CountUsers(ctx, v.by, f); err != nil {
		return err
	}
	return v.page(http.StatusOK, "people", p)
}

func (v *visit) personRows(p peoplePage, found page.Page[user.User]) ([]personRow, error) {
	ctx := v.r.Context()
	ids := make([]uuid.UUID, len(found.Items))
	for i, item := range found.Items {
		ids[i] = item.Key
	}
	places, counts, err := v.placesOf(p.Store, ids)
	if err != nil {
		return nil, err
	}
	members := map[uuid.UUID]user.Membership{}
	if p.All {
		if members, err = v.Users.MembershipsByID(ctx, v.by, ids); err != nil {
			return nil, err
		}
	}
	rows := make([]personRow, len(found.Items))
	for i, item := range found.Items {
		u := item.Node
		row := personRow{
			ID: u.ID, Name: fullName(u), Email: u.Email, ExternalID: members[u.ID].ExternalID,
			You: u.ID == v.by.ID, AccountOwner: u.ID == v.account.OwnerID, Places: places[u.ID],
		}
		row.Status, row.LastSignIn = standing(row.Places, row.AccountOwner)
		if u.Pending {
			row.Status = "pending"
		}
		if len(row.Places) > placesShown {
			row.Places = row.Places[:placesShown]
		}
		row.More = int(counts[u.ID]) - len(row.Places)
		rows[i] = row
	}
	return rows, nil
}

// placesOf returns people's places, newest first, and how many there are: in one
// store, or in all of the account.
func (v *visit) placesOf(in *account.Store, ids []uuid.UUID) (map[uuid.UUID][]user.StorePlace, map[uuid.UUID]int64, error) {
	ctx := v.r.Context()
	places, counts := map[uuid.UUID][]user.StorePlace{}, map[uuid.UUID]int64{}
	if in != nil {
		found, err := v.Users.PlacesIn(ctx, v.by, in.ID, ids)
		for id, place := range found {
			places[id], counts[id] = []user.StorePlace{place}, 1
		}
		return places, counts, err
	}
	pages, err := v.Users.UserPlaces(ctx, v.by, ids, page.Window{Size: page.MaxSize})
	if err != nil {
		return nil, nil, err
	}
	for id, p := range pages {
		for _, item := range p.Items {
			places[id] = append(places[id], item.Node)
		}
	}
	counts, err = v.Users.CountUserPlaces(ctx, v.by, ids)
	return places, counts, err
}

// standing is how somebody stands in the stores that are shown: the key of a
// message, and when they signed in last.
func standing(places []user.StorePlace, accountOwner bool) (status string, last time.Time) {
	status = "none"
	for _, p := range places {
		if p.LastLoginAt.After(last) {
			last = p.LastLoginAt
		}
		switch {
		case p.Status == user.Active:
			status = "active"
		case status == "none":
			status = "inactive"
		}
	}
	if accountOwner {
		status = "active"
	}
	return status, last
}

// memberOf reads the person of the address.
func (v *visit) memberOf() (user.Profile, error) {
	id, err := uuid.Parse(v.r.PathValue("user"))
	if err != nil {
		return user.Profile{}, fault.Errorf(fault.NotFound, "There is no such person in this account.")
	}
	return v.Users.Profile(v.r.Context(), v.by, id)
}
