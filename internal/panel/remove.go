package panel

import (
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/fault"
	"latchkey/internal/offboard"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// removePage says what happens when somebody leaves the account.
type removePage struct {
	Person user.Profile
	Name   string
	In     string
	// Owns are the names of what they own: then they cannot leave.
	Owns     []string
	Sessions int
	Tokens   []reviewedToken
	Form     *form
}

// reviewedToken is a token that somebody who leaves created, or whose secret
// they saw.
type reviewedToken struct {
	token.Token

	// Where is the name of its store; empty for the account's.
	Where string
	// Revoke says whether it shall be revoked.
	Revoke bool
}

func (v *visit) removeForm() error {
	p, err := v.memberOf()
	if err != nil {
		return err
	}
	return v.showRemoval(http.StatusOK, p, newForm("tokens"), nil)
}

// showRemoval shows what would happen. All tokens are ticked until somebody
// unticked one: whoever leaves knows their secrets. Those unticked are kept
// when the page is shown again.
func (v *visit) showRemoval(status int, p user.Profile, f *form, kept []uuid.UUID) error {
	ctx := v.r.Context()
	if err := offboard.MayRemove(v.by, false); err != nil {
		return err
	}
	shown := removePage{Person: p, Name: fullName(p.User), In: v.in("/users"), Form: f}
	item, err := v.previewRemoval(p)
	if err != nil {
		return err
	}
	if item.Fault != nil {
		if item.Fault.Kind != fault.Conflict {
			return item.Fault
		}
		shown.Owns, shown.Form = v.ownedBy(p), newForm() // which says all that the fault does
		return v.page(status, "person-remove", shown)
	}
	sessions, err := v.Users.SessionsOf(ctx, v.by, p.ID)
	if err != nil {
		return err
	}
	shown.Sessions = len(sessions)
	shown.Tokens, err = v.reviewed(item.Review, kept)
	if err != nil {
		return err
	}
	return v.page(status, "person-remove", shown)
}

// previewRemoval is what would happen if a person left the account.
func (v *visit) previewRemoval(p user.Profile) (offboard.Item, error) {
	preview, err := v.Offboard.Deprovision(v.r.Context(), v.by, offboard.DeprovisionRequest{Users: []user.Whom{{ID: &p.ID}}, DryRun: true})
	if err != nil {
		return offboard.Item{}, err
	}
	return preview.Items[0], nil
}

func (v *visit) reviewed(tokens []token.Token, kept []uuid.UUID) ([]reviewedToken, error) {
	var ids []uuid.UUID
	for _, t := range tokens {
		if t.StoreID != uuid.Nil {
			ids = append(ids, t.StoreID)
		}
	}
	stores, err := v.Accounts.StoresByID(v.r.Context(), v.by, ids)
	if err != nil {
		return nil, err
	}
	list := make([]reviewedToken, len(tokens))
	for i, t := range tokens {
		list[i] = reviewedToken{t, stores[t.StoreID].Name, !slices.Contains(kept, t.ID)}
	}
	slices.SortFunc(list, func(a, b reviewedToken) int { return strings.Compare(a.Where+"\n"+a.Name, b.Where+"\n"+b.Name) })
	return list, nil
}

// unseen reports whether a person knows the secrets of tokens that the visitor
// was not shown: without having seen them, nobody decides that they go on
// working.
func (v *visit) unseen(p user.Profile, shown []uuid.UUID) (bool, error) {
	item, err := v.previewRemoval(p)
	return slices.ContainsFunc(item.Review, func(t token.Token) bool { return !slices.Contains(shown, t.ID) }), err
}

// remove takes a person out of the account, and revokes the tokens that are
// ticked, at once.
func (v *visit) remove() error {
	p, err := v.memberOf()
	if err != nil {
		return err
	}
	f, err := v.sent("tokens", "shown")
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
	unseen, err := v.unseen(p, shown)
	if err != nil {
		return err
	}
	if unseen {
		f.wrong("tokens", v.text("removal.unseen"))
		return v.showRemoval(http.StatusUnprocessableEntity, p, f, kept)
	}
	removed, err := v.Offboard.Remove(v.r.Context(), v.by, offboard.Removal{Whom: user.Whom{ID: &p.ID}, Tokens: chosen})
	if err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return v.showRemoval(http.StatusUnprocessableEntity, p, f, kept)
	}
	if n := len(removed.Revoked); n > 0 {
		return v.done(v.in("/users"), "person_removed_with_tokens", n)
	}
	return v.done(v.in("/users"), "person_removed", 1)
}

// uuidsOf reads ids that a page of ours put into a form.
func uuidsOf(texts []string) ([]uuid.UUID, error) {
	ids := make([]uuid.UUID, len(texts))
	for i, text := range texts {
		id, err := uuid.Parse(text)
		if err != nil {
			return nil, fault.Errorf(fault.Invalid, "This is no id of anything here. Go back and try again.")
		}
		ids[i] = id
	}
	return ids, nil
}
