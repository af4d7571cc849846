package panel

import (
	"net/http"
	"slices"

	"github.com/google/uuid"

	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// tokenDeleteHandler serves the page that deletes API tokens.
type tokenDeleteHandler struct{ *tokenHandler }

func (h *tokenDeleteHandler) routes() []route {
	var all []route
	for _, at := range tokenPatterns {
		all = append(all,
			get(at+"/delete", member, h.page),
			post(at+"/delete", member, h.delete, fresh),
		)
	}
	return all
}

// deletePage is the data of the page that confirms the deletion of tokens.
type deletePage struct {
	*form
	Place *tokenPlace
	// Tokens are the tokens to delete, and Gone those that are already deleted.
	Tokens, Gone []shownToken
	MaxReason    int
	// Issued are the active tokens that these tokens issued. Users are some of the users that they added or granted
	// permissions, and UserCount is the number of all such users. In is the address of the list of users.
	Issued    []reviewedToken
	Users     []user.User
	UserCount int
	In        string
}

// usersToReview is how many of those users the page names.
const usersToReview = 20

// chosen returns the tokens with the IDs in a form. Tokens that are already revoked are in gone. It returns
// fault.NotFound if a token does not belong to the place.
func (h *tokenDeleteHandler) chosen(q *request, p *tokenPlace, ids []string) (live, gone []token.Token, err error) {
	if len(ids) > token.MaxRevocations {
		return nil, nil, fault.Errorf(fault.Invalid, "%s",
			q.text("tokens.delete.too_many", "most", token.MaxRevocations))
	}
	var keys []uuid.UUID
	for _, text := range ids {
		id, err := uuid.Parse(text)
		if err != nil {
			return nil, nil, token.ErrNoToken()
		}
		if !slices.Contains(keys, id) {
			keys = append(keys, id)
		}
	}
	found, err := h.tokens.TokensByID(q.r.Context(), q.by, keys)
	if err != nil {
		return nil, nil, err
	}
	for _, id := range keys {
		t, there := found[id]
		switch {
		case !there || !p.owner.Holds(t):
			return nil, nil, token.ErrNoToken()
		case t.Revocation != nil:
			gone = append(gone, t)
		default:
			live = append(live, t)
		}
	}
	return live, gone, nil
}

// page shows which tokens will stop working.
func (h *tokenDeleteHandler) page(q *request) error {
	p, err := h.placeToRevoke(q)
	if err != nil {
		return err
	}
	live, gone, err := h.chosen(q, p, q.r.URL.Query()["id"])
	if err != nil {
		return err
	}
	if len(live)+len(gone) == 0 {
		return h.showList(q, p, http.StatusUnprocessableEntity, q.text("tokens.none_chosen"))
	}
	if len(live) == 0 {
		return q.redirectWithNotice(p.After(), noticeOf("tokens_deleted_before", gone[0].Name).times(len(gone)))
	}
	return h.showDeletion(q, http.StatusOK, p, newForm("reason"), live, gone)
}

func (h *tokenDeleteHandler) showDeletion(q *request, status int, p *tokenPlace, f *form, live,
	gone []token.Token) error {
	tokens, err := h.showTokens(q, p, live)
	if err != nil {
		return err
	}
	deleted, err := h.showTokens(q, p, gone)
	if err != nil {
		return err
	}
	shown := deletePage{form: f, Place: p, Tokens: tokens, Gone: deleted, MaxReason: token.MaxReason,
		In: q.address("/users")}
	if err := h.addReview(q, &shown, live); err != nil {
		return err
	}
	return tokenDeleteTemplate.show(q, status, shown)
}

// addReview adds to the page what remains after the deletion: the tokens that these tokens issued, and the users that
// they added.
func (h *tokenDeleteHandler) addReview(q *request, shown *deletePage, live []token.Token) error {
	ctx, ids := q.r.Context(), idsOf(live)
	toReview, err := h.tokens.ToReview(ctx, q.by, ids, nil)
	if err != nil {
		return err
	}
	shown.Issued, err = reviewTokens(q, h.accounts, toReview, noneSelected)
	if err != nil || user.MayListAll(q.by) != nil {
		return err
	}
	issued, err := h.tokens.IssuedBy(ctx, q.by, ids)
	if err != nil {
		return err
	}
	granted := user.Filter{GrantedBy: append(ids, idsOf(issued)...)}
	first := usersToReview
	found, err := h.users.Users(ctx, q.by, granted, paging.Request{First: &first})
	if err != nil {
		return err
	}
	for _, item := range found.Items {
		shown.Users = append(shown.Users, item.Node)
	}
	count, err := h.users.CountUsers(ctx, q.by, granted)
	shown.UserCount = int(count)
	return err
}

func idsOf(tokens []token.Token) []uuid.UUID {
	ids := make([]uuid.UUID, len(tokens))
	for i, t := range tokens {
		ids[i] = t.ID
	}
	return ids
}

// unseenIssued reports whether the tokens issued others that the page did not list. The visitor must see a token
// before deciding that it keeps working.
func (h *tokenDeleteHandler) unseenIssued(q *request, live []token.Token, f *form) (bool, error) {
	seen, err := uuidsOf(f.Values["shown"])
	if err != nil {
		return false, err
	}
	issued, err := h.tokens.ToReview(q.r.Context(), q.by, idsOf(live), nil)
	return slices.ContainsFunc(issued, func(t token.Token) bool { return !slices.Contains(seen, t.ID) }), err
}

// delete revokes all the chosen tokens in one transaction.
func (h *tokenDeleteHandler) delete(q *request) error {
	p, err := h.placeToRevoke(q)
	if err != nil {
		return err
	}
	f, err := q.parseForm("reason", "issued", "shown")
	if err != nil {
		return err
	}
	live, gone, err := h.chosen(q, p, f.Values["id"])
	if err != nil {
		return err
	}
	if len(live)+len(gone) == 0 {
		return h.showList(q, p, http.StatusUnprocessableEntity, q.text("tokens.none_chosen"))
	}
	if len(live) == 0 {
		return q.redirectWithNotice(p.After(), noticeOf("tokens_deleted_before", gone[0].Name).times(len(gone)))
	}
	req := token.RevokeRequest{IDs: idsOf(live), Reason: f.Value("reason"), Issued: f.Value("issued") != ""}
	if !req.Issued {
		unseen, err := h.unseenIssued(q, live, f)
		if err != nil {
			return err
		}
		if unseen {
			f.addError("issued", q.text("tokens.delete.unseen"))
			return h.showDeletion(q, http.StatusUnprocessableEntity, p, f, live, gone)
		}
	}
	revoked, err := h.tokens.Revoke(q.r.Context(), q.by, req)
	if err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return h.showDeletion(q, http.StatusUnprocessableEntity, p, f, live, gone)
	}
	return h.redirectDeleted(q, p, revoked, live, gone)
}

// redirectDeleted redirects with a notice of how many tokens were deleted, including those that the chosen ones
// issued.
func (h *tokenDeleteHandler) redirectDeleted(q *request, p *tokenPlace, revoked token.RevokeResult, live,
	gone []token.Token) error {
	after, err := h.tokens.TokensByID(q.r.Context(), q.by, revoked.IDs)
	if err != nil {
		return err
	}
	deleted := 0
	for _, t := range after {
		if t.Revocation != nil && t.Revocation.At.Equal(revoked.At) {
			deleted++
		}
	}
	key := "tokens_deleted"
	switch {
	case deleted == 0:
		key = "tokens_deleted_before"
	case deleted < len(live)+len(gone):
		key = "tokens_deleted_some"
	}
	done := noticeOf(key, live[0].Name)
	return q.redirectWithNotice(p.After(), done.times(max(deleted, 1)+len(revoked.Issued)))
}

// noneSelected selects no token.
func noneSelected(uuid.UUID) bool { return false }
