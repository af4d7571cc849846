package panel

import (
	"net/http"
	"slices"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/page"
	"latchkey/internal/user"
)

// ownerPage asks what to give to a person.
type ownerPage struct {
	Person user.Profile
	Name   string
	In     string
	// Account says that the account can be given, and Stores which stores.
	Account bool
	Stores  []account.Store
	Form    *form
}

// theAccount is the choice of the account itself: no store's hash is empty or
// has such a character.
const theAccount = "*"

func (v *visit) ownerForm() error {
	p, err := v.memberOf()
	if err != nil {
		return err
	}
	return v.showOwner(http.StatusOK, p, newForm("what", "sure"))
}

func (v *visit) showOwner(status int, p user.Profile, f *form) error {
	if err := user.MayTransfer(v.by); err != nil {
		return err
	}
	shown := ownerPage{Person: p, Name: fullName(p.User), In: v.in("/users"), Account: v.by.OwnsAccount(v.by.AccountID) && v.account.OwnerID != p.ID, Form: f}
	size := page.MaxSize
	found, err := v.Accounts.Stores(v.r.Context(), v.by, account.StoreFilter{}, page.Request{First: &size})
	if err != nil {
		return err
	}
	for _, item := range found.Items {
		if v.by.OwnsStore(v.by.AccountID, item.Node.ID) && item.Node.OwnerID != p.ID {
			shown.Stores = append(shown.Stores, item.Node)
		}
	}
	slices.SortFunc(shown.Stores, byStoreName)
	if !v.by.OwnsAccount(v.by.AccountID) && !v.by.OwnsAStore() {
		return auth.Denied()
	}
	return v.page(status, "owner", shown)
}

// makeOwner gives the account or a store to a person.
func (v *visit) makeOwner() error {
	p, err := v.memberOf()
	if err != nil {
		return err
	}
	f, err := v.sent("what", "sure")
	if err != nil {
		return err
	}
	what := f.Value("what")
	if what == "" {
		f.wrong("what", v.text("owner.choose"))
	}
	if f.Value("sure") == "" {
		f.wrong("sure", v.text("owner.not_sure"))
	}
	if f.Refused() {
		return v.showOwner(http.StatusUnprocessableEntity, p, f)
	}
	var ref *account.StoreRef
	if what != theAccount {
		ref = &account.StoreRef{Hash: what}
	}
	if _, err := v.Users.TransferOwnership(v.r.Context(), v.by, p.ID, ref); err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return v.showOwner(http.StatusUnprocessableEntity, p, f)
	}
	if ref == nil {
		return v.done(v.in("/stores"), "owner_of_account", 1)
	}
	return v.done(v.personAddress(p), "owner_of_store", 1)
}
