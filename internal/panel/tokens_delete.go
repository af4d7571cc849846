package panel

import (
	"net/http"
	"slices"

	"github.com/google/uuid"

	"latchkey/internal/fault"
	"latchkey/internal/token"
)

// deletePage asks whether tokens are to be deleted.
type deletePage struct {
	*form
	Place *tokenPlace
	// Tokens are those that would be, and Gone those that are deleted already.
	Tokens, Gone []shownToken
	MaxReason    int
}

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
	return v.page(status, "token-delete", deletePage{f, p, asked, before, token.MaxReason})
}

// deleteTokens revokes tokens, all or none.
func (v *visit) deleteTokens() error {
	p, err := v.placeToRevoke()
	if err != nil {
		return err
	}
	f, err := v.sent("reason")
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
	ids := make([]uuid.UUID, len(live))
	for i, t := range live {
		ids[i] = t.ID
	}
	if len(ids) == 0 {
		return v.done(p.After(), "tokens_deleted_before", len(gone))
	}
	at, err := v.Tokens.Revoke(v.r.Context(), v.by, token.RevokeRequest{IDs: ids, Reason: f.Value("reason")})
	if err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return v.showDeletion(http.StatusUnprocessableEntity, p, f, live, gone)
	}
	after, err := v.Tokens.TokensByID(v.r.Context(), v.by, ids)
	if err != nil {
		return err
	}
	deleted := 0
	for _, t := range after {
		if t.Revocation != nil && t.Revocation.At.Equal(at) {
			deleted++
		}
	}
	notice := "tokens_deleted"
	switch {
	case deleted == 0:
		notice = "tokens_deleted_before"
	case deleted < len(ids)+len(gone):
		notice = "tokens_deleted_some"
	}
	return v.done(p.After(), notice, max(deleted, 1))
}
