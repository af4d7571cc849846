package panel

import (
	"slices"
	"strconv"
	"strings"

	"latchkey/internal/user"
)

// userFilters are the choices of the status filter of lists of users.
var userFilters = []struct {
	key           string
	standing      user.Standing
	withoutStores bool
}{
	{key: "all"},
	{key: "active", standing: user.StandingActive},
	{key: "pending", standing: user.StandingPending},
	{key: "deactivated", standing: user.StandingDeactivated},
	{key: "none", withoutStores: true},
}

// byJoined is the order of a list that is too long to be sorted: the users who joined last are first.
const byJoined = user.Sort("joined")

// userListState is the state of a list of users that its address holds. Without a sort order, it is sorted by name.
type userListState struct {
	Search, Status, Store string
	Role                  user.Role
	sort                  user.Sort
	descending            bool
	page                  int
}

// userListStateOf reads the state from the address. Invalid values are replaced by the defaults.
func userListStateOf(q *request) userListState {
	query := q.r.URL.Query()
	s := userListState{Search: strings.TrimSpace(query.Get("q")), Status: "all", Store: query.Get("store"),
		sort: user.ByName, page: 1}
	for _, f := range userFilters {
		if f.key == query.Get("status") {
			s.Status = f.key
		}
	}
	if role := user.Role(query.Get("role")); slices.Contains(user.Roles(), role) {
		s.Role = role
	}
	if by := user.Sort(query.Get("sort")); by == user.ByLastSignIn || by == byJoined {
		s.sort = by
	}
	s.descending = query.Get("order") == "down"
	if n, err := strconv.Atoi(query.Get("page")); err == nil && n > 1 && n <= user.MaxSorted {
		s.page = n
	}
	return s
}

// Sort returns the sort order as the form's hidden field holds it, empty for the default, and Order its direction.
func (s userListState) Sort() string {
	if s.sort == user.ByName {
		return ""
	}
	return string(s.sort)
}

// Order returns "down" for a descending order, "" otherwise.
func (s userListState) Order() string {
	if s.descending {
		return "down"
	}
	return ""
}

// Filtered reports whether the list is limited to some users.
func (s userListState) Filtered() bool {
	return s.Search != "" || s.Status != "all" || s.Store != "" || s.Role != ""
}

// limit sets the fields of the filter that depend on the status and the role.
func (s userListState) limit(f *user.Filter) {
	f.Role = s.Role
	for _, each := range userFilters {
		if each.key == s.Status {
			f.Standing, f.WithoutStores = each.standing, each.withoutStores
		}
	}
}

// filters returns the choices of the status filter. Each keeps the search and the order. A list of a store's users
// has no choice of users without stores.
func (s userListState) filters(q *request, ofStore bool) []filterLink {
	var all []filterLink
	for _, f := range userFilters {
		if f.withoutStores && ofStore && s.Status != f.key {
			continue
		}
		value := f.key
		if value == "all" {
			value = ""
		}
		all = append(all, filterLink{f.key, q.withQuery("status", value, "page", ""), f.key == s.Status})
	}
	return all
}

// columns returns the headings of the list. Those of sortable columns lead to the ascending order and the descending
// one in turn; for the last sign-in, the descending one is first.
func (s userListState) columns(q *request, external, ofStore, sortable bool) []column {
	places := "places"
	if ofStore {
		places = "role"
	}
	all := []column{s.column(q, "name", user.ByName, sortable), {Key: "external"}, {Key: places}, {Key: "status"},
		s.column(q, "last", user.ByLastSignIn, sortable)}
	if !external {
		all = append(all[:1], all[2:]...)
	}
	return all
}

func (s userListState) column(q *request, key string, by user.Sort, sortable bool) column {
	head := column{Key: key}
	if !sortable {
		return head
	}
	to, order := userListState{sort: by}.Sort(), ""
	if by == user.ByLastSignIn {
		order = "down"
	}
	if s.sort == by {
		order = map[bool]string{false: "down", true: ""}[s.descending]
		head.Sorted = map[bool]string{false: "ascending", true: "descending"}[s.descending]
	}
	head.Address = q.withQuery("sort", to, "order", order, "page", "", "after", "", "before", "")
	return head
}

// turn returns the addresses of the pages beside this one of a sorted list.
func (s userListState) turn(q *request, total int) pageLinks {
	var t pageLinks
	pages := (total + usersPerPage - 1) / usersPerPage
	if s.page > 1 {
		t.Newer = q.withQuery("page", strconv.Itoa(max(1, min(s.page-1, pages))))
	}
	if s.page < pages {
		t.Older = q.withQuery("page", strconv.Itoa(s.page+1))
	}
	return t
}
