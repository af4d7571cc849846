package panel

import (
	"net/http"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/fault"
	"latchkey/internal/page"
	"latchkey/internal/signin"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// section is a group of links in the navigation.
type section struct {
	Title string
	Links []link
}

// link is one page of the navigation.
type link struct {
	Label, Icon, Address string
	// Current says that the visitor is there, or below.
	Current bool
}

// nav are the pages that the visitor may see.
func (v *visit) nav() []section {
	settings := section{Title: v.text("nav.settings")}
	if token.MayList(v.by, v.by.AccountID, uuid.Nil) == nil {
		settings.Links = append(settings.Links, v.link("nav.account_tokens", "key", "/tokens"))
	}
	settings.Links = append(settings.Links, v.link("nav.stores", "store", "/stores"))
	settings.Links = append(settings.Links, v.peopleLinks()...)
	settings.Links = append(settings.Links, v.auditLinks()...)
	settings.Links = append(settings.Links, v.link("graphiql.title", "code", "/graphiql"))
	return []section{settings}
}

func (v *visit) link(key, icon, path string) link {
	address := v.in(path)
	return link{v.text(key), icon, address, within(v.r.URL.Path, address)}
}

// within reports whether a path is the address or below it.
func within(path, address string) bool {
	return path == address || len(path) > len(address) && path[:len(address)] == address && path[len(address)] == '/'
}

// home sends the visitor to the first page that they may see.
func (v *visit) home() error { return v.redirect(v.nav()[0].Links[0].Address) }

// accountList shows the accounts that the visitor can go to.
func (v *visit) accountList() error {
	all, err := v.SignIn.Accounts(v.r.Context(), v.by.Person())
	if err != nil {
		return err
	}
	invitations, err := v.SignIn.Invitations(v.r.Context(), v.by.Person())
	if err != nil {
		return err
	}
	return v.page(http.StatusOK, "accounts", struct {
		Accounts, Invitations []account.Account
		Current               uuid.UUID
		Next                  string
	}{all, invitations, v.by.AccountID, v.next()})
}

// answerInvitation accepts or declines the membership of an account.
func (v *visit) answerInvitation() error {
	id, err := uuid.Parse(v.r.PostFormValue("account"))
	if err != nil {
		return fault.Errorf(fault.NotFound, "There is no such account.")
	}
	answer, notice := v.SignIn.Accept, "accepted"
	switch v.r.PostFormValue("answer") {
	case "accept":
	case "decline":
		answer, notice = v.SignIn.Decline, "declined"
	default:
		return fault.Errorf(fault.Invalid, "Accept or decline the invitation.")
	}
	if _, err := answer(v.r.Context(), v.by, id); err != nil {
		return err
	}
	return v.done("/accounts", notice, 1)
}

// switchAccount goes to another account.
func (v *visit) switchAccount() error {
	id, err := uuid.Parse(v.r.PostFormValue("account"))
	if err != nil {
		return fault.Errorf(fault.NotFound, "There is no such account.")
	}
	next := v.next()
	if next == "/" {
		next = "/accounts/" + id.String() + "/"
	}
	if id == v.by.AccountID {
		return v.redirect(next)
	}
	record := v.who.Record
	session, value, err := v.SignIn.Switch(v.r.Context(), v.by, id, signin.Method(record.Method), record.AuthenticatedAt, v.visitor())
	if err != nil {
		return err
	}
	if err := v.keepSession(session, value); err != nil {
		return err
	}
	return v.redirect(next)
}

// elsewhere answers for a page of another account than the one that the visitor
// is signed in to: they may go there, if it is theirs. A form is not sent on.
func (v *visit) elsewhere() error {
	all, err := v.SignIn.Accounts(v.r.Context(), v.by.Person())
	if err != nil {
		return err
	}
	for _, a := range all {
		if a.ID.String() == v.r.PathValue("account") {
			next := "/accounts/" + a.ID.String() + "/"
			if v.r.Method == http.MethodGet {
				next = v.r.URL.RequestURI()
			}
			return v.page(http.StatusConflict, "elsewhere", struct {
				Other account.Account
				Next  string
			}{a, next})
		}
	}
	return errNoPage()
}

// storeList shows the stores that the visitor reaches.
func (v *visit) storeList() error {
	size := page.MaxSize
	request := page.Request{First: &size}
	if after := v.r.URL.Query().Get("after"); after != "" {
		request.After = &after
	}
	found, err := v.Accounts.Stores(v.r.Context(), v.by, account.StoreFilter{}, request)
	if err != nil {
		return err
	}
	type row struct {
		account.Store

		// Tokens says whether the visitor may see the store's API tokens.
		Tokens    bool
		Suspended bool
	}
	shown := struct {
		Rows []row
		Next string
		In   string
		// Helpers are who can give the visitor a place in a store.
		Helpers []helper
	}{In: v.in("")}
	for _, item := range found.Items {
		shown.Rows = append(shown.Rows, row{item.Node, token.MayList(v.by, v.by.AccountID, item.Node.ID) == nil, item.Node.Status == account.Suspended})
	}
	if found.HasNext {
		shown.Next = found.Items[len(found.Items)-1].Cursor()
	}
	if len(shown.Rows) == 0 {
		shown.Helpers = v.helpers()
	}
	return v.page(http.StatusOK, "stores", shown)
}

// fullName is what to call a person: the address where there is no name.
func fullName(u user.User) string {
	switch {
	case u.FirstName == "" && u.LastName == "":
		return u.Email
	case u.FirstName == "" || u.LastName == "":
		return u.FirstName + u.LastName
	}
	return u.FirstName + " " + u.LastName
}
