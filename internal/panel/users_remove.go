package panel

import (
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/signin"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// removalHandler serves the pages that remove a user from the account and that deactivate one.
type removalHandler struct {
	users       *user.Service
	signIn      *signin.Service
	accounts    *account.Service
	memberships *membership.Service
}

func (h *removalHandler) routes() []route {
	var all []route
	for _, w := range []leaving{
		{"/remove", false, "person_removed", "person_removed_with_tokens"},
		{"/deactivate", true, "person_deactivated", "person_deactivated_with_tokens"},
	} {
		all = append(all, get(userPattern+w.path, member, func(q *request) error { return h.page(q, w) }),
			post(userPattern+w.path, member, func(q *request) error { return h.leave(q, w) }, fresh))
	}
	return all
}

// leaving is how a user leaves: by a removal, or a deactivation.
type leaving struct {
	// path is that of the page, below the user's.
	path        string
	deactivates bool
	// notice is the notice afterwards, and withTokens the one that says how many tokens were revoked.
	notice, withTokens string
}

// removePage is the data of the page that confirms the removal of a user from the account, or the deactivation.
type removePage struct {
	Person user.Profile
	Name   string
	In     string
	// Path is that of the form, below the user's page.
	Path        string
	Deactivates bool
	// Withdraws reports whether the page withdraws an invitation: the user is pending and knows no API tokens.
	Withdraws bool
	// Invited reports whether that invitation is still valid.
	Invited bool
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

func (h *removalHandler) page(q *request, w leaving) error {
	p, err := profileOf(q, h.users)
	if err != nil {
		return err
	}
	if w.deactivates && (p.Deactivated() || user.CheckByHand(q.by, p.Person) != nil) {
		return q.redirect(userAddress(q, p)) // the page says why
	}
	revokes := q.account.Offboarding == account.RevokeTokens
	return h.show(q, http.StatusOK, p, w, newForm("tokens"), func(uuid.UUID) bool { return revokes })
}

// show shows what the removal or deactivation does. selected reports whether a token is selected for revocation. By
// default the account's off-boarding policy selects all or none.
func (h *removalHandler) show(q *request, status int, p user.Profile, w leaving, f *form,
	selected func(uuid.UUID) bool) error {
	ctx := q.r.Context()
	if err := membership.MayRemove(q.by, false); err != nil {
		return err
	}
	shown := removePage{Person: p, Name: fullName(p.User), In: q.address("/users"), Path: w.path,
		Deactivates: w.deactivates, Form: f}
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
	shown.Tokens, err = reviewTokens(q, h.accounts, item.Review, selected)
	if err != nil {
		return err
	}
	shown.Withdraws = p.Standing() == user.StandingPending && !w.deactivates && len(shown.Tokens) == 0
	if shown.Withdraws {
		invitations, err := h.signIn.PendingInvitations(ctx, q.by, []uuid.UUID{p.ID})
		if err != nil {
			return err
		}
		l, there := invitations[p.ID]
		shown.Invited = there && q.now().Before(l.ExpiresAt)
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

func reviewTokens(q *request, accounts *account.Service, tokens []token.Token,
	selected func(uuid.UUID) bool) ([]reviewedToken, error) {
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
		list[i] = reviewedToken{t, stores[t.StoreID].Name, selected(t.ID)}
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

// leave removes or deactivates a user and revokes the selected tokens, in one transaction.
func (h *removalHandler) leave(q *request, w leaving) error {
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
	selected := func(id uuid.UUID) bool { return slices.Contains(chosen, id) || !slices.Contains(shown, id) }
	unseen, err := h.unseen(q, p, shown)
	if err != nil {
		return err
	}
	if unseen {
		f.addError("tokens", q.text("removal.unseen"))
		return h.show(q, http.StatusUnprocessableEntity, p, w, f, selected)
	}
	revoked, err := h.offboard(q, p, w, chosen)
	if err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return h.show(q, http.StatusUnprocessableEntity, p, w, f, selected)
	}
	to := q.address("/users")
	if w.deactivates {
		to = userAddress(q, p)
	} else if p.Standing() == user.StandingPending && revoked == 0 {
		return q.redirectWithNotice(to, noticeOf("invitation_withdrawn", fullName(p.User)))
	}
	if revoked > 0 {
		return q.redirectWithNotice(to, noticeOf(w.withTokens, fullName(p.User)).times(revoked))
	}
	return q.redirectWithNotice(to, noticeOf(w.notice, fullName(p.User)))
}

// offboard removes or deactivates the user, revokes exactly the chosen tokens under each policy of the account, and
// returns how many it revoked.
func (h *removalHandler) offboard(q *request, p user.Profile, w leaving, chosen []uuid.UUID) (int, error) {
	r := membership.Removal{User: user.Ref{ID: &p.ID}, Tokens: append([]uuid.UUID{}, chosen...)}
	if w.deactivates {
		done, err := h.memberships.Deactivate(q.r.Context(), q.by, membership.Deactivation(r))
		return len(done.Revoked), err
	}
	done, err := h.memberships.Remove(q.r.Context(), q.by, r)
	return len(done.Revoked), err
}
