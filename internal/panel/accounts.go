package panel

import (
	"net/http"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/fault"
	"latchkey/internal/signin"
)

// accountHandler serves the pages about the accounts of a user.
type accountHandler struct {
	signIn   *signin.Service
	stores   *account.Service
	sessions *sessions
}

func (h *accountHandler) routes() []route {
	return []route{
		get("/{$}", signedIn, h.home),
		get("/accounts", signedIn, h.list),
		post("/accounts", signedIn, h.switchTo),
		post("/accounts/invitations", signedIn, h.answer),
		get(accountPattern+"/{$}", member, h.home),
	}
}

// home redirects to the first page that the visitor may open.
func (h *accountHandler) home(q *request) error { return q.redirect(q.nav()[0].Links[0].Address) }

// load loads the account data that every page for signed-in users shows.
func (h *accountHandler) load(q *request) error {
	all, err := h.signIn.Accounts(q.r.Context(), q.by.Person())
	if err != nil {
		return err
	}
	q.memberships = all
	for _, m := range all {
		if m.ID == q.by.AccountID {
			q.account = m.Account
			q.stores, err = navStores(q, h.stores)
			return err
		}
	}
	return fault.Errorf(fault.Unauthenticated, "%s is no longer in the account.", q.by.Name)
}

// accountsPage is the data of the list of accounts.
type accountsPage struct {
	Accounts    []signin.Membership
	Invitations []account.Account
	Current     uuid.UUID
	Next        string
}

// list shows the accounts that the visitor is a member of or invited to.
func (h *accountHandler) list(q *request) error {
	all, err := h.signIn.Accounts(q.r.Context(), q.by.Person())
	if err != nil {
		return err
	}
	invitations, err := h.signIn.Invitations(q.r.Context(), q.by.Person())
	if err != nil {
		return err
	}
	return accountsTemplate.show(q, http.StatusOK, accountsPage{all, invitations, q.by.AccountID, q.next()})
}

// answer accepts or declines an invitation to an account.
func (h *accountHandler) answer(q *request) error {
	id, err := uuid.Parse(q.r.PostFormValue("account"))
	if err != nil {
		return fault.Errorf(fault.NotFound, "There is no such account.")
	}
	answer, key := h.signIn.Accept, "accepted"
	switch q.r.PostFormValue("answer") {
	case "accept":
	case "decline":
		answer, key = h.signIn.Decline, "declined"
	default:
		return fault.Errorf(fault.Invalid, "Accept or decline the invitation.")
	}
	invitations, err := h.signIn.Invitations(q.r.Context(), q.by.Person())
	if err != nil {
		return err
	}
	if _, err := answer(q.r.Context(), q.by, id); err != nil {
		return err
	}
	done := noticeOf(key, "")
	for _, each := range invitations {
		if each.ID == id {
			done.Name = each.Name
		}
	}
	return q.redirectWithNotice("/accounts", done)
}

// switchTo switches the session to another account.
func (h *accountHandler) switchTo(q *request) error {
	id, err := uuid.Parse(q.r.PostFormValue("account"))
	if err != nil {
		return fault.Errorf(fault.NotFound, "There is no such account.")
	}
	next := q.next()
	if next == "/" {
		next = "/accounts/" + id.String() + "/"
	}
	if id == q.by.AccountID {
		return q.redirect(next)
	}
	record := q.record
	session, value, err := h.signIn.Switch(q.r.Context(), q.by, id, signin.Method(record.Method),
		record.AuthenticatedAt, q.visitor())
	if err != nil {
		return err
	}
	if err := h.sessions.keep(q, session, value); err != nil {
		return err
	}
	return q.redirect(next)
}

// elsewhere answers a request for a page of an account that the session is not for. If the visitor is a member of
// it, the page offers to switch. It does not resubmit a form.
func (h *accountHandler) elsewhere(q *request) error {
	all, err := h.signIn.Accounts(q.r.Context(), q.by.Person())
	if err != nil {
		return err
	}
	for _, a := range all {
		if a.ID.String() == q.r.PathValue("account") {
			next := "/accounts/" + a.ID.String() + "/"
			if q.r.Method == http.MethodGet {
				next = q.r.URL.RequestURI()
			}
			return elsewhereTemplate.show(q, http.StatusConflict, elsewherePage{a.Account, next})
		}
	}
	return errNoPage()
}

// elsewherePage is the data of the page that offers to switch accounts.
type elsewherePage struct {
	Other account.Account
	Next  string
}
