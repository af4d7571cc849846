package panel

import (
	"net/http"
	"slices"

	"github.com/google/uuid"

	"latchkey/internal/fault"
	"latchkey/internal/page"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// deletePage asks whether tokens are to be deleted.
type deletePage struct {
	*form
	Place *tokenPlace
	// Tokens are those that would be, and Gone those that are deleted already.
	Tokens, Gone []shownToken
	MaxReason    int
	// Issued are the tokens that they issued and that work, and Users some of
	// the users whom they added or gave permissions; UserCount counts them all.
	Issued    []reviewedToken
	Users     []user.User
	UserCount int64
}

// usersToReview is how many of those users the page names.
const usersToReview = 20

// chosenTokens are the tokens that ids of a form name, those deleted already
// apart. It returns fault.NotFound where one is not of the place.
func (v *visit) chosenTokens(p *tokenPlace, ids []string) (live, gone []token.Token, err error) {
	if len(ids) > token.MaxRevocations {
		return nil, nil, fault.Errorf(fault.Invalid, "%s", v.text("tokens.delete.too_many", "most", token.MaxRevocations))
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
	found, err := v.Tokens.TokensByID(v.r.Context(), v.by, keys)
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

// confirmDeletion says what would stop working.
func (v *visit) confirmDeletion() error {
	p, err := v.placeToRevoke()
	if err != nil {
		return err
	}
	live, gone, err := v.chosenTokens(p, v.r.URL.Query()["id"])
	if err != nil {
		return err
	}
	if len(live)+len(gone) == 0 {
		return v.showTokenList(p, http.StatusUnprocessableEntity, v.text("tokens.none_chosen"))
	}
	if len(live) == 0 {
		return v.done(p.After(), "tokens_deleted_before", len(gone))
	}
	return v.showDeletion(http.StatusOK, p, newForm("reason"), live, gone)
}

func (v *visit) showDeletion(status int, p *tokenPlace, f *form, live, gone []token.Token) error {
	asked, err := v.showTokens(p, live)
	if err != nil {
		return err
	}
	before, err := v.showTokens(p, gone)
	if err != nil {
		return err
	}
	shown := deletePage{form: f, Place: p, Tokens: asked, Gone: before, MaxReason: token.MaxReason}
	if err := v.review(&shown, live); err != nil {
		return err
	}
	return v.page(status, "token-delete", shown)
}

// review adds to the page what outlives the tokens: what they issued, and whom
// they let in.
func (v *visit) review(shown *deletePage, live []token.Token) error {
	ctx, ids := v.r.Context(), idsOf(live)
	toReview, err := v.Tokens.ToReview(ctx, v.by, ids, nil)
	if err != nil {
		return err
	}
	if shown.Issued, err = v.reviewed(toReview, nil); err != nil || user.MayListAll(v.by) != nil {
		return err
	}
	issued, err := v.Tokens.IssuedBy(ctx, v.by, ids)
	if err != nil {
		return err
	}
	granted := user.Filter{GrantedBy: append(ids, idsOf(issued)...)}
	first := usersToReview
	found, err := v.Users.Users(ctx, v.by, granted, page.Request{First: &first})
	if err != nil {
		return err
	}
	for _, item := range found.Items {
		shown.Users = append(shown.Users, item.Node)
	}
	shown.UserCount, err = v.Users.CountUsers(ctx, v.by, granted)
	return err
}

func idsOf(tokens []token.Token) []uuid.UUID {
	ids := make([]uuid.UUID, len(tokens))
	for i, t := range tokens {
		ids[i] = t.ID
	}
	return ids
}

// unseenIssued reports whether the tokens issued others that the visitor was
// not shown: those do not go on working without having been seen.
func (v *visit) unseenIssued(live []token.Token, f *form) (bool, error) {
	seen, err := uuidsOf(f.Values["shown"])
	if err != nil {
		return false, err
	}
	issued, err := v.Tokens.ToReview(v.r.Context(), v.by, idsOf(live), nil)
	return slices.ContainsFunc(issued, func(t token.Token) bool { return !slices.Contains(seen, t.ID) }), err
}

// deleteTokens revokes tokens, all or none.
func (v *visit) deleteTokens() error {
	p, err := v.placeToRevoke()
	if err != nil {
		return err
	}
	f, err := v.sent("reason", "issued", "shown")
	if err != nil {
		return err
	}
	live, gone, err := v.chosenTokens(p, f.Values["id"])
	if err != nil {
		return err
	}
	if len(live)+len(gone) == 0 {
		return v.showTokenList(p, http.StatusUnprocessableEntity, v.text("tokens.none_chosen"))
	}
	if len(live) == 0 {
		return v.done(p.After(), "tokens_deleted_before", len(gone))
	}
	req := token.RevokeRequest{IDs: idsOf(live), Reason: f.Value("reason"), Issued: f.Value("issued") != ""}
	if !req.Issued {
		unseen, err := v.unseenIssued(live, f)
		if err != nil {
			return err
		}
		if unseen {
			f.wrong("issued", v.text("tokens.delete.unseen"))
			return v.showDeletion(http.StatusUnprocessableEntity, p, f, live, gone)
		}
	}
	revoked, err := v.Tokens.Revoke(v.r.Context(), v.by, req)
	if err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return v.showDeletion(http.StatusUnprocessableEntity, p, f, live, gone)
	}
	return v.tokensDeleted(p, revoked, len(live)+len(gone))
}

// tokensDeleted says how many tokens were deleted of those that were chosen,
// and of those that they issued.
func (v *visit) tokensDeleted(p *tokenPlace, revoked token.RevokeResult, chosen int) error {
	after, err := v.Tokens.TokensByID(v.r.Context(), v.by, revoked.IDs)
	if err != nil {
		return err
	}
	deleted := 0
	for _, t := range after {
		if t.Revocation != nil && t.Revocation.At.Equal(revoked.At) {
			deleted++
		}
	}
	notice := "tokens_deleted"
	switch {
	case deleted == 0:
		notice = "tokens_deleted_before"
	case deleted < chosen:
		notice = "tokens_deleted_some"
	}
	return v.done(p.After(), notice, max(deleted, 1)+len(revoked.Issued))
}
