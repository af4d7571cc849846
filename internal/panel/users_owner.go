package panel

import (
	"net/http"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/user"
)

// ownerHandler serves the page that transfers ownership.
type ownerHandler struct {
	users    *user.Service
	accounts *account.Service
}

func (h *ownerHandler) routes() []route {
	return []route{
		get(userPattern+"/owner", member, h.page),
		post(userPattern+"/owner", member, h.transfer, fresh),
	}
}

// ownerPage is the data of the form that transfers ownership to a user.
type ownerPage struct {
	Person user.Profile
	Name   string
	In     string
	// You reports whether the user is the visitor, who takes ownership.
	You bool
	// Account reports whether the account can be transferred, and Stores lists the stores that can.
	Account bool
	Stores  []ownedStore
	Form    *form
}

// ownedStore is a store with its owner's name and address. Yours reports whether the visitor owns it.
type ownedStore struct {
	account.Store

	Owner string
	Yours bool
}

// Only returns the store if it is the only choice.
func (p ownerPage) Only() *ownedStore {
	if p.Account || len(p.Stores) != 1 {
		return nil
	}
	return &p.Stores[0]
}

// Chosen returns the choice that is selected: the one that was sent, or the only one.
func (p ownerPage) Chosen() string {
	what := p.Form.Value("what")
	switch {
	case what != "" || p.Form.Refused():
		return what
	case p.Account && len(p.Stores) == 0:
		return theAccount
	case !p.Account && len(p.Stores) == 1:
		return p.Stores[0].Hash
	}
	return ""
}

// theAccount is the choice of the account itself. No store hash contains this character.
const theAccount = "*"

func (h *ownerHandler) page(q *request) error {
	p, err := profileOf(q, h.users)
	if err != nil {
		return err
	}
	return h.show(q, http.StatusOK, p, newForm("what"))
}

func (h *ownerHandler) show(q *request, status int, p user.Profile, f *form) error {
	if err := user.MayTransfer(q.by); err != nil {
		return err
	}
	shown := ownerPage{Person: p, Name: fullName(p.User), In: q.address("/users"), You: p.ID == q.by.ID,
		Account: q.by.OwnsAccount(q.by.AccountID) && q.account.OwnerID != p.ID, Form: f}
	stores, err := storesWhere(q, h.accounts, func(s account.Store) bool {
		return q.by.OwnsStore(q.by.AccountID, s.ID) && s.OwnerID != p.ID
	})
	if err != nil {
		return err
	}
	if shown.Stores, err = h.withOwners(q, stores); err != nil {
		return err
	}
	if !q.by.OwnsAccount(q.by.AccountID) && !q.by.OwnsAStore() {
		return auth.Denied()
	}
	return ownerTemplate.show(q, status, shown)
}

// withOwners returns stores with their owners.
func (h *ownerHandler) withOwners(q *request, stores []account.Store) ([]ownedStore, error) {
	ids := make([]uuid.UUID, len(stores))
	for i, s := range stores {
		ids[i] = s.OwnerID
	}
	owners, err := h.users.ByID(q.r.Context(), q.by, ids)
	if err != nil {
		return nil, err
	}
	owned := make([]ownedStore, len(stores))
	for i, s := range stores {
		owned[i] = ownedStore{Store: s, Yours: s.OwnerID == q.by.ID}
		if u, there := owners[s.OwnerID]; there {
			owned[i].Owner = nameAndEmail(q, u)
		}
	}
	return owned, nil
}

// transfer transfers the account or a store to a user.
func (h *ownerHandler) transfer(q *request) error {
	p, err := profileOf(q, h.users)
	if err != nil {
		return err
	}
	f, err := q.parseForm("what")
	if err != nil {
		return err
	}
	what := f.Value("what")
	if what == "" {
		f.addError("what", q.text("owner.choose"))
	}
	if f.Refused() {
		return h.show(q, http.StatusUnprocessableEntity, p, f)
	}
	var ref *account.StoreRef
	if what != theAccount {
		ref = &account.StoreRef{Hash: what}
	}
	if _, err := h.users.TransferOwnership(q.r.Context(), q.by, p.ID, ref); err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return h.show(q, http.StatusUnprocessableEntity, p, f)
	}
	done := noticeOf("owner_now", fullName(p.User))
	if ref == nil {
		return q.redirectWithNotice(q.address("/stores"), done.at(q.account.Name))
	}
	return q.redirectWithNotice(userAddress(q, p), done.at(storeCalled(q, h.accounts, what)))
}
