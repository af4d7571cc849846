package panel

import (
	"cmp"
	"net/http"
	"slices"

	"latchkey/internal/account"
	"latchkey/internal/paging"
	"latchkey/internal/signin/formtoken"
	"latchkey/internal/user"
)

// storeHandler serves the list of stores and the pages that add a store and change it.
type storeHandler struct {
	accounts  *account.Service
	users     *user.Service
	forms     *formtoken.FormTokens
	publicURL string
}

// newStorePath is the path of the form that adds a store.
const newStorePath = "/stores/new"

func (h *storeHandler) routes() []route {
	return []route{
		get(accountPattern+"/stores", member, h.list),
		get(accountPattern+newStorePath, member, h.newPage),
		post(accountPattern+newStorePath, member, h.create),
		get(storePattern, member, h.open),
		get(storePattern+settingsPath, member, h.settings),
		post(storePattern+settingsPath, member, h.rename),
	}
}

// storesPage is the data of the list of stores.
type storesPage struct {
	Rows []storeRow
	Next string
	// After reports whether there are stores on an earlier page.
	After bool
	// New is the address of the form that adds a store, empty if the visitor may not.
	New string
	// Contacts are the users who can add the visitor to a store, if the visitor has access to none. Inactive reports
	// whether the visitor is a member of one, and deactivated there.
	Contacts []contact
	Inactive bool
}

// storeRow is a store of the list. Pages are those of the store that the visitor may open.
type storeRow struct {
	account.Store

	Pages     []link
	Suspended bool
}

// list shows the stores that the visitor has access to.
func (h *storeHandler) list(q *request) error {
	size := paging.MaxSize
	page := paging.Request{First: &size}
	if after := q.r.URL.Query().Get("after"); after != "" {
		page.After = &after
	}
	found, err := h.accounts.Stores(q.r.Context(), q.by, account.StoreFilter{}, page)
	if err != nil {
		return err
	}
	var shown storesPage
	for _, item := range found.Items {
		shown.Rows = append(shown.Rows, storeRow{item.Node, storePages(q, item.Node),
			item.Node.Status == account.Suspended})
	}
	shown.After = page.After != nil
	if found.HasNext {
		shown.Next = found.Items[len(found.Items)-1].Cursor()
	}
	if user.MayChangeStores(q.by) == nil {
		shown.New = q.address(newStorePath)
	} else if len(shown.Rows) == 0 {
		shown.Contacts = contactsOf(q, h.users)
		n, err := h.users.CountOwnPlaces(q.r.Context(), q.by)
		if err != nil {
			return err
		}
		shown.Inactive = n > 0
	}
	return storesTemplate.show(q, http.StatusOK, shown)
}

// newStorePage is the data of the form that adds a store.
type newStorePage struct {
	*form

	FormID, List string
}

func (h *storeHandler) newPage(q *request) error {
	if err := user.MayChangeStores(q.by); err != nil {
		return err
	}
	return h.showNew(q, http.StatusOK, newForm("name"))
}

func (h *storeHandler) showNew(q *request, status int, f *form) error {
	return storeNewTemplate.show(q, status, newStorePage{f, h.forms.New(), q.address("/stores")})
}

// create adds a store and opens it.
func (h *storeHandler) create(q *request) error {
	if err := user.MayChangeStores(q.by); err != nil {
		return err
	}
	f, err := q.parseForm("name")
	if err != nil {
		return err
	}
	var created account.Store
	if err = h.forms.Claim(q.r.Context(), q.by, f.Value("form")); err == nil {
		created, err = h.users.CreateStore(q.r.Context(), q.by, f.Value("name"))
	}
	if err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return h.showNew(q, http.StatusUnprocessableEntity, f)
	}
	return q.redirectWithNotice(storeAddress(q, created), noticeOf("store_created", created.Name))
}

// storesWhere returns the stores that match, sorted by name, out of the first page of those that the visitor has access
// to.
func storesWhere(q *request, accounts *account.Service, match func(account.Store) bool) ([]account.Store, error) {
	size := paging.MaxSize
	found, err := accounts.Stores(q.r.Context(), q.by, account.StoreFilter{}, paging.Request{First: &size})
	if err != nil {
		return nil, err
	}
	var stores []account.Store
	for _, item := range found.Items {
		if match(item.Node) {
			stores = append(stores, item.Node)
		}
	}
	slices.SortFunc(stores, byStoreName)
	return stores, nil
}

// storeCalled returns the name of the store with a hash, or the hash if the visitor does not see the store.
func storeCalled(q *request, accounts *account.Service, hash string) string {
	if _, store, err := accounts.Store(q.r.Context(), q.by, account.StoreRef{Hash: hash}); err == nil {
		return store.Name
	}
	return hash
}

// byStoreName compares stores by name, then by hash.
func byStoreName(a, b account.Store) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Hash, b.Hash))
}
