package panel

import (
	"cmp"
	"net/http"
	"slices"

	"latchkey/internal/account"
	"latchkey/internal/paging"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// storeHandler serves the list of stores.
type storeHandler struct {
	accounts *account.Service
	users    *user.Service
}

func (h *storeHandler) routes() []route {
	return []route{
		get(accountPattern+"/stores", member, h.list),
	}
}

// storesPage is the data of the list of stores.
type storesPage struct {
	Rows []storeRow
	Next string
	In   string
	// Contacts are the users who can add the visitor to a store.
	Contacts []contact
}

// storeRow is a store of the list.
type storeRow struct {
	account.Store

	// Tokens reports whether the visitor may see the store's API tokens.
	Tokens    bool
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
	shown := storesPage{In: q.address("")}
	for _, item := range found.Items {
		shown.Rows = append(shown.Rows, storeRow{item.Node, token.MayList(q.by, q.by.AccountID, item.Node.ID) == nil,
			item.Node.Status == account.Suspended})
	}
	if found.HasNext {
		shown.Next = found.Items[len(found.Items)-1].Cursor()
	}
	if len(shown.Rows) == 0 {
		shown.Contacts = contactsOf(q, h.users)
	}
	return storesTemplate.show(q, http.StatusOK, shown)
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

// byStoreName compares stores by name, then by hash.
func byStoreName(a, b account.Store) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Hash, b.Hash))
}
