package panel

import (
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// removalHandler serves the page that removes a user from the account.
type removalHandler struct {
	users       *user.Service
	accounts    *account.Service
	memberships *membership.Service
}

func (h *removalHandler) routes() []route {
	return []route{
		get(userPattern+"/remove", member, h.page),
		post(userPattern+"/remove", member, h.remove, fresh),
	}
}

// removePage is the data of the page that confirms the removal of a user from the account.
type removePage struct {
	Person user.Profile
	Name   string
	In     string
	// Owns are the names of the accounts and stores that the user owns. An owner cannot be removed.
	Owns     []string
	Sessions int
	Tokens   []reviewedToken
	Form     *form
}

// reviewedToken is a token that the user created or whose secret they saw.
type reviewedToken struct {
	token.Token

	// Where is the name of its store, empty for an account-level token.
	Where string
	// Revoke reports whether its checkbox is selected.
	Revoke bool
}

func (h *removalHandler) page(q *request) error {
	p, err := profileOf(q, h.users)
	if err != nil {
		return err
	}
	return h.show(q, http.StatusOK, p, newForm("tokens"), nil)
}

// show shows what the removal does. All tokens are selected for revocation by default, because the user
// knows their secrets. The tokens in kept were deselected and stay so.
func (h *removalHandler) show(q *request, status int, p user.Profile, f *form, kept []uuid.UUID) error {
	ctx := q.r.Context()
	if err := membership.MayRemove(q.by, false); err != nil {
		return err
	}
	shown := removePage{Person: p, Name: fullName(p.User), In: q.address("/users"), Form: f}
	item, err := h.preview(q, p)
	if err != nil {
		return err
	}
	if item.Fault != nil {
		if item.Fault.Kind != fault.Conflict {
			return item.Fault
		}
		shown.Owns, shown.Form = ownedBy(q, p), newForm() // the page says the same as the fault
		return userRemoveTemplate.show(q, status, shown)
	}
	sessions, err := h.users.SessionsOf(ctx, q.by, p.ID)
	if err != nil {
		return err
	}
	shown.Sessions = len(sessions)
	shown.Tokens, err = reviewTokens(q, h.accounts, item.Review, kept)
	if err != nil {
		return err
	}
	return userRemoveTemplate.show(q, status, shown)
}

// preview returns the result of a dry run of the removal.
func (h *removalHandler) preview(q *request, p user.Profile) (membership.Item, error) {
	preview, err := h.memberships.Deprovision(q.r.Context(), q.by,
		membership.DeprovisionRequest{Users: []user.Ref{{ID: &p.ID}}, DryRun: true})
	if err != nil {
		return membership.Item{}, err
	}
	return preview.Items[0], nil
}

func reviewTokens(q *request, accounts *account.Service, tokens []token.Token, kept []uuid.UUID) ([]reviewedToken,
	error) {
	var ids []uuid.UUID
	for _, t := range tokens {
		if t.StoreID != uuid.Nil {
			ids = append(ids, t.StoreID)
		}
	}
	stores, err := accounts.StoresByID(q.r.Context(), q.by, ids)
	if err != nil {
		return nil, err
	}
	list := make([]reviewedToken, len(tokens))
	for i, t := range tokens {
		list[i] = reviewedToken{t, stores[t.StoreID].Name, !slices.Contains(kept, t.ID)}
	}
	slices.SortFunc(list, func(a, b reviewedToken) int {
		return strings.Compare(a.Where+"\n"+a.Name,
			b.Where+"\n"+b.Name)
	})
	return list, nil
}

// unseen reports whether the user knows the secrets of tokens that the page did not list. The visitor must see a
// token before deciding that it keeps working.
func (h *removalHandler) unseen(q *request, p user.Profile, shown []uuid.UUID) (bool, error) {
	item, err := h.preview(q, p)
	return slices.ContainsFunc(item.Review, func(t token.Token) bool { return !slices.Contains(shown, t.ID) }), err
}

// remove removes a user from the account and revokes the selected tokens, in one transaction.
func (h *removalHandler) remove(q *request) error {
	p, err := profileOf(q, h.users)
	if err != nil {
		return err
	}
	f, err := q.parseForm("tokens", "shown")
	if err != nil {
		return err
	}
	chosen, err := uuidsOf(f.Values["tokens"])
	if err != nil {
		return err
	}
	shown, err := uuidsOf(f.Values["shown"])
	if err != nil {
		return err
	}
	kept := slices.DeleteFunc(slices.Clone(shown), func(id uuid.UUID) bool { return slices.Contains(chosen, id) })
	unseen, err := h.unseen(q, p, shown)
	if err != nil {
		return err
	}
	if unseen {
		f.addError("tokens", q.text("removal.unseen"))
		return h.show(q, http.StatusUnprocessableEntity, p, f, kept)
	}
	removed, err := h.memberships.Remove(q.r.Context(), q.by,
		membership.Removal{User: user.Ref{ID: &p.ID}, Tokens: chosen})
	if err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return h.show(q, http.StatusUnprocessableEntity, p, f, kept)
	}
	if n := len(removed.Revoked); n > 0 {
		return q.redirectWithNotice(q.address("/users"), "person_removed_with_tokens", n)
	}
	return q.redirectWithNotice(q.address("/users"), "person_removed", 1)
}
