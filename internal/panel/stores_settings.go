package panel

import (
	"net/http"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// settingsPath is the path of a store's settings, below the store's.
const settingsPath = "/settings"

// storeHead is what every page of a store has at its top. It is zero on pages that are not about a store.
type storeHead struct {
	Store account.Store
	// List is the address of the list of stores.
	List string
	// Tabs are the store's pages, and Others the same page of other stores.
	Tabs, Others []link
}

// storeHeadOf returns the head of a page of the store. tab is the path of the page among its tabs, below the store's.
func storeHeadOf(q *request, s account.Store, tab string) storeHead {
	head := storeHead{Store: s, List: q.address("/stores"), Tabs: storePages(q, s)}
	here := q.address("/stores/" + s.Hash + tab)
	for i := range head.Tabs {
		head.Tabs[i].Current = head.Tabs[i].Address == here
	}
	for _, other := range q.stores {
		if other.ID == s.ID {
			continue
		}
		to := link{Label: other.Name, Icon: "store", Address: storeAddress(q, other)}
		for _, page := range storePages(q, other) {
			if page.Address == q.address("/stores/"+other.Hash+tab) {
				to.Address = page.Address
			}
		}
		head.Others = append(head.Others, to)
	}
	return head
}

// storePages returns the pages of a store that the visitor may open. There is at least one.
func storePages(q *request, s account.Store) []link {
	var pages []link
	at := "/stores/" + s.Hash
	if token.MayList(q.by, q.by.AccountID, s.ID) == nil {
		pages = append(pages, q.link("stores.tokens", "key", at+"/tokens"))
	}
	if user.MayIn(q.by, s.ID, auth.ManageUsers) == nil {
		pages = append(pages, q.link("nav.users", "users", at+"/users"))
	}
	return append(pages, q.link("stores.settings", "edit", at+settingsPath))
}

// storeAddress returns the address of the first page of a store that the visitor may open.
func storeAddress(q *request, s account.Store) string { return storePages(q, s)[0].Address }

// storePage is the data of a store's settings.
type storePage struct {
	*form

	Head storeHead
	// Owner is the store's owner as text, empty if the visitor may not see the store's users.
	Owner     string
	APIPath   string
	Suspended bool
	// MayChange reports whether the visitor may rename the store.
	MayChange bool
}

// find returns the store that the address names, if the visitor has access to it.
func (h *storeHandler) find(q *request) (account.Store, error) {
	_, s, err := h.accounts.Store(q.r.Context(), q.by, account.StoreRef{Hash: q.r.PathValue("store")})
	return s, err
}

// open redirects to the first page of a store.
func (h *storeHandler) open(q *request) error {
	s, err := h.find(q)
	if err != nil {
		return err
	}
	return q.redirect(storeAddress(q, s))
}

func (h *storeHandler) settings(q *request) error {
	s, err := h.find(q)
	if err != nil {
		return err
	}
	f := newForm("name")
	f.Values.Set("name", s.Name)
	return h.showSettings(q, http.StatusOK, s, f)
}

func (h *storeHandler) showSettings(q *request, status int, s account.Store, f *form) error {
	shown := storePage{
		form: f, Head: storeHeadOf(q, s, settingsPath),
		APIPath:   token.APIPath(h.publicURL, token.Token{StoreID: s.ID, StoreHash: s.Hash}),
		Suspended: s.Status == account.Suspended, MayChange: user.MayChangeStores(q.by) == nil,
	}
	if user.MayIn(q.by, s.ID, auth.ManageUsers) == nil {
		found, err := h.users.ByID(q.r.Context(), q.by, []uuid.UUID{s.OwnerID})
		if err != nil {
			return err
		}
		shown.Owner = found[s.OwnerID].Email
	}
	return storeTemplate.show(q, status, shown)
}

// rename changes the name of a store.
func (h *storeHandler) rename(q *request) error {
	s, err := h.find(q)
	if err != nil {
		return err
	}
	f, err := q.parseForm("name")
	if err != nil {
		return err
	}
	name := f.Value("name")
	if _, err := h.users.UpdateStore(q.r.Context(), q.by, account.StoreRef{ID: s.ID},
		user.StoreUpdate{Name: &name}); err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return h.showSettings(q, http.StatusUnprocessableEntity, s, f)
	}
	return q.redirectWithNotice(q.address("/stores/"+s.Hash+settingsPath), noticeOf("store_renamed", name))
}
