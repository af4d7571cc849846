package panel

import (
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/billing"
	"latchkey/internal/scope"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// tokenPatterns are the patterns of the lists of API tokens, which have the same pages on both levels.
var tokenPatterns = []string{accountPattern + "/tokens", storePattern + "/tokens"}

// tokenHandler serves the list of API tokens, and describes tokens for the other handlers of tokens.
type tokenHandler struct {
	tokens    *token.Service
	accounts  *account.Service
	users     *user.Service
	catalogue *scope.Catalogue
}

func (h *tokenHandler) routes() []route {
	var all []route
	for _, at := range tokenPatterns {
		all = append(all, get(at, member, h.list))
	}
	return all
}

// tokenPlace is the owner of the tokens that a page is about: the account or a store.
type tokenPlace struct {
	owner token.Owner
	// Level is the part of message keys that depends on the level.
	Level string
	// Store is zero for the account.
	Store account.Store
	// Head is that of the store's pages, zero for the account.
	Head storeHead
	// Base is the address of the list of tokens, and Stores that of the list of stores.
	Base, Stores string
	// MayList, MayIssue and MayRevoke report what the visitor may do here.
	MayList, MayIssue, MayRevoke bool
}

// Suspended reports whether the store is suspended, so that its tokens do not work.
func (p *tokenPlace) Suspended() bool { return p.Store.Status == account.Suspended }

// Address returns the address of a token's page.
func (p *tokenPlace) Address(t token.Token) string { return p.Base + "/" + t.ID.String() }

// After returns where to go after an action: the list, if the visitor may see it.
func (p *tokenPlace) After() string {
	if !p.MayList {
		return p.Stores
	}
	return p.Base
}

// levelKeys are the levels as parts of message keys.
var levelKeys = map[scope.Level]string{scope.LevelAccount: "account", scope.LevelStore: "store"}

// place returns the place that the address names. It returns fault.NotFound if the store does not exist or the
// visitor may not see it.
func (h *tokenHandler) place(q *request) (*tokenPlace, error) {
	p := &tokenPlace{owner: token.AccountOwner(q.account), Base: q.address("/tokens"), Stores: q.address("/stores")}
	if hash := q.r.PathValue("store"); hash != "" {
		a, store, err := h.accounts.Store(q.r.Context(), q.by, account.StoreRef{Hash: hash})
		if err != nil {
			return nil, err
		}
		if p.owner, err = token.StoreOwner(a, store); err != nil {
			return nil, err
		}
		q.store, p.Store, p.Base = store, store, q.address("/stores/"+store.Hash+"/tokens")
		p.Head = storeHeadOf(q, store, "/tokens")
	}
	p.Level = levelKeys[p.owner.Level()]
	p.MayList = token.MayList(q.by, q.by.AccountID, p.owner.StoreID()) == nil
	p.MayIssue = h.tokens.MayIssue(q.by, p.owner) == nil
	p.MayRevoke = token.MayRevoke(q.by, p.owner) == nil
	return p, nil
}

// placeToList returns the place if the visitor may list its tokens.
func (h *tokenHandler) placeToList(q *request) (*tokenPlace, error) {
	p, err := h.place(q)
	if err != nil {
		return nil, err
	}
	return p, token.MayList(q.by, q.by.AccountID, p.owner.StoreID())
}

// placeToIssue returns the place if the visitor may issue tokens there.
func (h *tokenHandler) placeToIssue(q *request) (*tokenPlace, error) {
	p, err := h.place(q)
	if err != nil {
		return nil, err
	}
	return p, h.tokens.MayIssue(q.by, p.owner)
}

// placeToRevoke returns the place if the visitor may revoke tokens there.
func (h *tokenHandler) placeToRevoke(q *request) (*tokenPlace, error) {
	p, err := h.place(q)
	if err != nil {
		return nil, err
	}
	return p, token.MayRevoke(q.by, p.owner)
}

// find returns the token that the address names. It returns fault.NotFound for a token of another place.
func (h *tokenHandler) find(q *request, p *tokenPlace) (token.Token, error) {
	return h.named(q, p, q.r.PathValue("token"))
}

// named returns the token with an ID. It returns fault.NotFound for a token of another place.
func (h *tokenHandler) named(q *request, p *tokenPlace, text string) (token.Token, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return token.Token{}, token.ErrNoToken()
	}
	t, err := h.tokens.Get(q.r.Context(), q.by, id)
	if err != nil {
		return token.Token{}, err
	}
	if !p.owner.Holds(t) {
		return token.Token{}, token.ErrNoToken()
	}
	return t, nil
}

// scopeLine is the permissions on one resource, as the page shows them.
type scopeLine struct {
	Name string
	// Permissions are their names, Sentences their descriptions, and IDs those of their scopes.
	Permissions, Sentences, IDs []string
}

// Words returns the names of the permissions.
func (l scopeLine) Words() string { return strings.Join(l.Permissions, ", ") }

// scopeLines describes scopes, without those that others imply.
func scopeLines(q *request, catalogue *scope.Catalogue, s scope.Set) []scopeLine {
	described := catalogue.Describe(s)
	var lines []scopeLine
	for _, r := range described.Resources {
		line := scopeLine{Name: r.Name}
		for _, p := range r.Permissions {
			line.Permissions, line.Sentences = append(line.Permissions, p.Name), append(line.Sentences, p.Description)
			line.IDs = append(line.IDs, p.Scope)
		}
		lines = append(lines, line)
	}
	for _, name := range described.Unknown {
		lines = append(lines, scopeLine{Name: name, Permissions: []string{q.text("tokens.unknown_scope")}})
	}
	return lines
}

// actorName describes the actor of an action.
func actorName(q *request, a audit.Actor) string {
	return q.text("tokens.actor."+string(a.Kind), "name", a.Name)
}

// shownToken is a token as pages show it.
type shownToken struct {
	token.Token

	Address, Creator, Revoker string
	// Left reports whether its creator is no longer a member of the account.
	Left bool
	// State is the status as a part of message keys, and Badge the CSS class for it.
	State, Badge string
	Scopes       []scopeLine
}

// Limit returns the charge limit, such as $100.00, or "" if there is none.
func (t shownToken) Limit() string {
	if t.ChargeLimit.IsZero() {
		return ""
	}
	return billing.Money{Minor: t.ChargeLimit.Minor, Currency: t.ChargeLimit.Currency}.String()
}

// ScopeCount returns the number of permissions, without those that others imply.
func (t shownToken) ScopeCount() int {
	n := 0
	for _, line := range t.Scopes {
		n += len(line.Permissions)
	}
	return n
}

// ShortClientID returns the first and the last characters of the client ID.
func (t shownToken) ShortClientID() string {
	const first, last = 6, 4
	if len(t.ClientID) <= first+last {
		return t.ClientID
	}
	return t.ClientID[:first] + "…" + t.ClientID[len(t.ClientID)-last:]
}

var badges = map[token.Status]string{token.Active: "good", token.Expired: "warn", token.Revoked: "bad"}

func (h *tokenHandler) showToken(q *request, p *tokenPlace, t token.Token) (shownToken, error) {
	shown, err := h.showTokens(q, p, []token.Token{t})
	if err != nil {
		return shownToken{}, err
	}
	return shown[0], nil
}

func (h *tokenHandler) showTokens(q *request, p *tokenPlace, tokens []token.Token) ([]shownToken, error) {
	var creators []uuid.UUID
	for _, t := range tokens {
		if t.CreatedBy.Kind == audit.ActorUser {
			creators = append(creators, t.CreatedBy.ID)
		}
	}
	members, err := h.users.MembersByID(q.r.Context(), q.by, creators)
	if err != nil {
		return nil, err
	}
	shown := make([]shownToken, len(tokens))
	for i, t := range tokens {
		_, there := members[t.CreatedBy.ID]
		shown[i] = h.describe(q, p, t)
		shown[i].Left = t.CreatedBy.Kind == audit.ActorUser && !there
	}
	return shown, nil
}

// describe returns a token as pages show it.
func (h *tokenHandler) describe(q *request, p *tokenPlace, t token.Token) shownToken {
	status := t.Status(h.tokens.Now())
	shown := shownToken{
		Token: t, Address: p.Address(t), Creator: actorName(q, t.CreatedBy), State: string(status),
		Badge: badges[status], Scopes: scopeLines(q, h.catalogue, t.Scopes),
	}
	if t.Revocation != nil {
		shown.Revoker = actorName(q, t.Revocation.By)
	}
	return shown
}
