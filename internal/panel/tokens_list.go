package panel

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"latchkey/internal/fault"
	"latchkey/internal/token"
)

// tokensPerPage is how many tokens a page of the list shows.
const tokensPerPage = 25

// tokenFilters are the choices of the status filter.
var tokenFilters = []struct {
	key      string
	statuses []token.Status
}{
	{"live", []token.Status{token.Active, token.Expired}},
	{"active", []token.Status{token.Active}},
	{"expired", []token.Status{token.Expired}},
	{"deleted", []token.Status{token.Revoked}},
}

// tokenColumns are the columns of the list. A column with a sort order can be sorted; descending is the direction
// of the first click.
var tokenColumns = []struct {
	key        string
	sort       token.Sort
	descending bool
}{
	{"name", token.ByName, false},
	{"scopes", "", false},
	{"created", token.ByCreated, true},
	{"used", token.ByLastUse, true},
	{"expires", token.ByExpiry, false},
	{"status", "", false},
}

// listState is the state of a list that its address holds.
type listState struct {
	Search, Status string
	sort           token.Sort
	descending     bool
	page           int
}

// listStateOf reads the state from the address. Invalid values are replaced by the defaults.
func listStateOf(q *request) listState {
	query := q.r.URL.Query()
	s := listState{Search: query.Get("search"), Status: "live", sort: token.ByCreated, descending: true, page: 1}
	for _, f := range tokenFilters {
		if f.key == query.Get("status") {
			s.Status = f.key
		}
	}
	for _, c := range tokenColumns {
		if c.sort != "" && string(c.sort) == query.Get("sort") {
			s.sort, s.descending = c.sort, query.Get("order") == "down"
		}
	}
	if n, err := strconv.Atoi(query.Get("page")); err == nil && n > 1 && n < 1_000_000 {
		s.page = n
	}
	return s
}

// address returns the address of the list in this state.
func (s listState) address(base string) string {
	query := url.Values{}
	if s.Search != "" {
		query.Set("search", s.Search)
	}
	if s.Status != "live" {
		query.Set("status", s.Status)
	}
	if s.sort != token.ByCreated || !s.descending {
		query.Set("sort", string(s.sort))
		if s.descending {
			query.Set("order", "down")
		}
	}
	if s.page > 1 {
		query.Set("page", strconv.Itoa(s.page))
	}
	if len(query) == 0 {
		return base
	}
	return base + "?" + query.Encode()
}

// Order returns the sort order as the form's hidden field holds it.
func (s listState) Order() string { return string(s.sort) }

// Direction returns "down" for a descending order, "" otherwise.
func (s listState) Direction() string {
	if s.descending {
		return "down"
	}
	return ""
}

// column is a column's heading. The column is sortable if it has an address.
type column struct{ Key, Address, Sorted string }

func (s listState) columns(base string) []column {
	var all []column
	for _, c := range tokenColumns {
		head := column{Key: c.key}
		if c.sort != "" {
			next := s
			next.sort, next.descending, next.page = c.sort, c.descending, 1
			if c.sort == s.sort {
				next.descending = !s.descending
				head.Sorted = map[bool]string{false: "ascending", true: "descending"}[s.descending]
			}
			head.Address = next.address(base)
		}
		all = append(all, head)
	}
	return all
}

// filterLink is a choice of the status filter.
type filterLink struct {
	Key, Address string
	Current      bool
}

// filters returns the choices of the status filter. Each keeps the search and the order.
func (s listState) filters(base string) []filterLink {
	var all []filterLink
	for _, f := range tokenFilters {
		other := s
		other.Status, other.page = f.key, 1
		all = append(all, filterLink{f.key, other.address(base), f.key == s.Status})
	}
	return all
}

// tokenListPage is the data of the list.
type tokenListPage struct {
	Place   *tokenPlace
	State   listState
	Filters []filterLink
	Columns []column
	Rows    []shownToken
	// Deletable reports whether a token on the page is not yet deleted.
	Deletable bool
	Capacity  token.Capacity
	// Total is the number of matches. Page is the number of this page, of Pages. Previous and Next are the
	// addresses of the neighboring pages.
	Total, Page, Pages int
	Previous, Next     string
	// Blank reports whether there are no tokens and no filter is set.
	Blank bool
	// Everything is the address of the list without a filter.
	Everything string
	// Errors are about the search, and Problems about the last action.
	Errors, Problems []string
}

func (h *tokenHandler) list(q *request) error {
	p, err := h.placeToList(q)
	if err != nil {
		return err
	}
	return h.showList(q, p, http.StatusOK)
}

func (h *tokenHandler) showList(q *request, p *tokenPlace, status int, problems ...string) error {
	state := listStateOf(q)
	shown := tokenListPage{Place: p, State: state, Columns: state.columns(p.Base), Filters: state.filters(p.Base),
		Everything: p.Base, Problems: problems}
	var err error
	if shown.Capacity, err = h.tokens.Capacity(q.r.Context(), q.by, p.owner); err != nil {
		return err
	}
	search := token.Search{Text: state.Search, Sort: state.sort, Descending: state.descending,
		Skip: (state.page - 1) * tokensPerPage, Size: tokensPerPage}
	for _, f := range tokenFilters {
		if f.key == state.Status {
			search.Statuses = f.statuses
		}
	}
	found, err := h.tokens.Find(q.r.Context(), q.by, p.owner, search)
	if fault.KindOf(err) == fault.Invalid {
		shown.Errors, status = sentences(err), http.StatusUnprocessableEntity
	} else if err != nil {
		return err
	}
	understood := err == nil
	if shown.Rows, err = h.showTokens(q, p, found.Tokens); err != nil {
		return err
	}
	shown.Deletable = slices.ContainsFunc(shown.Rows,
		func(t shownToken) bool { return t.State != string(token.Revoked) })
	shown.Total = found.Total
	shown.Pages = max(1, (found.Total+tokensPerPage-1)/tokensPerPage)
	shown.turn(p.Base)
	shown.Blank = found.Total == 0 && state.address("") == "" && understood
	return tokensTemplate.show(q, status, shown)
}

// turn sets the addresses of the previous and the next page.
func (l *tokenListPage) turn(base string) {
	l.Page = l.State.page
	other := l.State
	if other.page = min(l.Page, l.Pages+1) - 1; other.page >= 1 {
		l.Previous = other.address(base)
	}
	if other.page = l.Page + 1; other.page <= l.Pages {
		l.Next = other.address(base)
	}
}
