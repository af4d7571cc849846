package panel

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"latchkey/internal/fault"
	"latchkey/internal/token"
)

// tokensPerPage is how many tokens one page of the list shows.
const tokensPerPage = 25

// tokenFilters are the choices of which tokens the list shows.
var tokenFilters = []struct {
	key      string
	statuses []token.Status
}{
	{"live", []token.Status{token.Active, token.Expired}},
	{"active", []token.Status{token.Active}},
	{"expired", []token.Status{token.Expired}},
	{"deleted", []token.Status{token.Revoked}},
	{"all", []token.Status{token.Active, token.Expired, token.Revoked}},
}

// tokenColumns are the columns of the list: those with an order can be sorted
// by, and start in the direction in which people look for something.
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

// listState is what the address of a list says of it.
type listState struct {
	Search, Status string
	sort           token.Sort
	descending     bool
	page           int
}

// listState reads the address. What it cannot be is taken for what it is
// without.
func (v *visit) listState() listState {
	q := v.r.URL.Query()
	s := listState{Search: q.Get("search"), Status: "live", sort: token.ByCreated, descending: true, page: 1}
	for _, f := range tokenFilters {
		if f.key == q.Get("status") {
			s.Status = f.key
		}
	}
	for _, c := range tokenColumns {
		if c.sort != "" && string(c.sort) == q.Get("sort") {
			s.sort, s.descending = c.sort, q.Get("order") == "down"
		}
	}
	if n, err := strconv.Atoi(q.Get("page")); err == nil && n > 1 && n < 1_000_000 {
		s.page = n
	}
	return s
}

// address is that of the list in this state.
func (s listState) address(base string) string {
	q := url.Values{}
	if s.Search != "" {
		q.Set("search", s.Search)
	}
	if s.Status != "live" {
		q.Set("status", s.Status)
	}
	if s.sort != token.ByCreated || !s.descending {
		q.Set("sort", string(s.sort))
		if s.descending {
			q.Set("order", "down")
		}
	}
	if s.page > 1 {
		q.Set("page", strconv.Itoa(s.page))
	}
	if len(q) == 0 {
		return base
	}
	return base + "?" + q.Encode()
}

// Order and Direction are the order as the fields of a form keep it.
func (s listState) Order() string { return string(s.sort) }

// Direction is "down" for a descending order.
func (s listState) Direction() string {
	if s.descending {
		return "down"
	}
	return ""
}

// column is the head of one column: with an address, it sorts.
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

// tokenListPage is what the list shows.
type tokenListPage struct {
	Place   *tokenPlace
	State   listState
	Filters []string
	Columns []column
	Rows    []shownToken
	// Deletable says that one of the tokens on the page is not deleted yet.
	Deletable bool
	Room      token.Room
	// Total is how many tokens were found, Page of Pages which of them these
	// are. Previous and Next are the addresses of other pages.
	Total, Page, Pages int
	Previous, Next     string
	// Blank says that there is no token at all, whatever is looked for.
	Blank bool
	// Everything is the list without a search.
	Everything string
	// Errors are about the search, Problems about what was done.
	Errors, Problems []string
}

func (v *visit) tokenList() error {
	p, err := v.placeToList()
	if err != nil {
		return err
	}
	return v.showTokenList(p, http.StatusOK)
}

func (v *visit) showTokenList(p *tokenPlace, status int, problems ...string) error {
	state := v.listState()
	shown := tokenListPage{Place: p, State: state, Columns: state.columns(p.Base), Everything: p.Base, Problems: problems}
	var err error
	if shown.Room, err = v.Tokens.Room(v.r.Context(), v.by, p.owner); err != nil {
		return err
	}
	search := token.Search{Text: state.Search, Sort: state.sort, Descending: state.descending, Skip: (state.page - 1) * tokensPerPage, Size: tokensPerPage}
	for _, f := range tokenFilters {
		shown.Filters = append(shown.Filters, f.key)
		if f.key == state.Status {
			search.Statuses = f.statuses
		}
	}
	found, err := v.Tokens.Find(v.r.Context(), v.by, p.owner, search)
	if fault.KindOf(err) == fault.Invalid {
		shown.Errors, status = sentences(err), http.StatusUnprocessableEntity
	} else if err != nil {
		return err
	}
	understood := err == nil
	if shown.Rows, err = v.showTokens(p, found.Tokens); err != nil {
		return err
	}
	shown.Deletable = slices.ContainsFunc(shown.Rows, func(t shownToken) bool { return t.State != string(token.Revoked) })
	shown.Total = found.Total
	shown.Pages = max(1, (found.Total+tokensPerPage-1)/tokensPerPage)
	shown.turn(p.Base)
	shown.Blank = found.Total == 0 && state.address("") == "" && understood
	return v.page(status, "tokens", shown)
}

// turn fills in the addresses of the pages before and after.
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
