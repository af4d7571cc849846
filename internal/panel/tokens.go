package panel

import (
	"net/http"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/scope"
	"latchkey/internal/token"
)

// tokenRoutes are the pages about API tokens, the same ones on both levels.
func tokenRoutes() []route {
	var all []route
	for _, at := range []string{"/accounts/{account}/tokens", "/accounts/{account}/stores/{store}/tokens"} {
		all = append(all,
			route{method: http.MethodGet, pattern: at, audience: insider, serve: (*visit).tokenList},
			route{method: http.MethodPost, pattern: at, audience: insider, serve: (*visit).createToken, fresh: true},
			route{method: http.MethodGet, pattern: at + "/new", audience: insider, serve: (*visit).newToken},
			route{method: http.MethodPost, pattern: at + "/new", audience: insider, serve: (*visit).reviewToken},
			route{method: http.MethodGet, pattern: at + "/delete", audience: insider, serve: (*visit).confirmDeletion},
			route{method: http.MethodPost, pattern: at + "/delete", audience: insider, serve: (*visit).deleteTokens, fresh: true},
			route{method: http.MethodGet, pattern: at + "/{token}", audience: insider, serve: (*visit).tokenDetail},
			route{method: http.MethodPost, pattern: at + "/{token}", audience: insider, serve: (*visit).narrowToken, fresh: true},
			route{method: http.MethodPost, pattern: at + "/{token}/rotate", audience: insider, serve: (*visit).rotateToken, fresh: true},
		)
	}
	return all
}

// tokenPlace is whose tokens a page is about: the account's, or a store's.
type tokenPlace struct {
	owner token.Owner
	// Level is the part of messages' keys that differs with the level.
	Level string
	// Store is zero for the account.
	Store account.Store
	// Base is the address of the list, and Stores that of the stores.
	Base, Stores string
	// MayList, MayIssue and MayRevoke say what the visitor may do here.
	MayList, MayIssue, MayRevoke bool
}

// Suspended reports whether no token works here for now.
func (p *tokenPlace) Suspended() bool { return p.Store.Status == account.Suspended }

// Address is that of a token's page.
func (p *tokenPlace) Address(t token.Token) string { return p.Base + "/" + t.ID.String() }

// After is where to go from what is done: to the list, for whoever sees it.
func (p *tokenPlace) After() string {
	if !p.MayList {
		return p.Stores
	}
	return p.Base
}

// levelKeys are the levels in the keys of messages.
var levelKeys = map[scope.Level]string{scope.LevelAccount: "account", scope.LevelStore: "store"}

// tokenPlace finds whose tokens the address is about. It returns
// fault.NotFound for a store that is not there or not the visitor's to see.
func (v *visit) tokenPlace() (*tokenPlace, error) {
	p := &tokenPlace{owner: token.AccountOwner(v.account), Base: v.in("/tokens"), Stores: v.in("/stores")}
	if hash := v.r.PathValue("store"); hash != "" {
		a, store, err := v.Accounts.Store(v.r.Context(), v.by, account.StoreRef{Hash: hash})
		if err != nil {
			return nil, err
		}
		if p.owner, err = token.StoreOwner(a, store); err != nil {
			return nil, err
		}
		v.store, p.Store, p.Base = store, store, v.in("/stores/"+store.Hash+"/tokens")
	}
	p.Level = levelKeys[p.owner.Level()]
	p.MayList = token.MayList(v.by, v.by.AccountID, p.owner.OfStore()) == nil
	p.MayIssue = v.Tokens.MayIssue(v.by, p.owner) == nil
	p.MayRevoke = token.MayRevoke(v.by, p.owner) == nil
	return p, nil
}

// placeToList is the place, for whoever may see the tokens there.
func (v *visit) placeToList() (*tokenPlace, error) {
	p, err := v.tokenPlace()
	if err != nil {
		return nil, err
	}
	return p, token.MayList(v.by, v.by.AccountID, p.owner.OfStore())
}

// placeToIssue is the place, for whoever may issue tokens there.
func (v *visit) placeToIssue() (*tokenPlace, error) {
	p, err := v.tokenPlace()
	if err != nil {
		return nil, err
	}
	return p, v.Tokens.MayIssue(v.by, p.owner)
}

// placeToRevoke is the place, for whoever may revoke tokens there.
func (v *visit) placeToRevoke() (*tokenPlace, error) {
	p, err := v.tokenPlace()
	if err != nil {
		return nil, err
	}
	return p, token.MayRevoke(v.by, p.owner)
}

// tokenAt is the token of the address. It returns fault.NotFound for one of
// another place.
func (v *visit) tokenAt(p *tokenPlace) (token.Token, error) {
	id, err := uuid.Parse(v.r.PathValue("token"))
	if err != nil {
		return token.Token{}, token.ErrNoToken()
	}
	t, err := v.Tokens.Get(v.r.Context(), v.by, id)
	if err != nil {
		return token.Token{}, err
	}
	if !p.owner.Holds(t) {
		return token.Token{}, token.ErrNoToken()
	}
	return t, nil
}

// scopeLine is what is allowed on one resource, in words.
type scopeLine struct {
	Name string
	// Permissions are their names, and Sentences what each allows.
	Permissions, Sentences []string
}

// Words are the names of what is allowed.
func (l scopeLine) Words() string { return strings.Join(l.Permissions, ", ") }

// scopeLines are scopes in words, without those that others imply.
func (v *visit) scopeLines(s scope.Set) []scopeLine {
	told := v.Catalogue.Tell(s)
	var lines []scopeLine
	for _, r := range told.Resources {
		line := scopeLine{Name: r.Name}
		for _, p := range r.Permissions {
			line.Permissions, line.Sentences = append(line.Permissions, p.Name), append(line.Sentences, p.Description)
		}
		lines = append(lines, line)
	}
	for _, name := range told.Unknown {
		lines = append(lines, scopeLine{Name: name, Permissions: []string{v.text("tokens.unknown_scope")}})
	}
	return lines
}

// actor says who did something.
func (v *visit) actor(a audit.Actor) string {
	return v.text("tokens.actor."+string(a.Kind), "name", a.Name)
}

// shownToken is a token as pages show it.
type shownToken struct {
	token.Token

	Address, Creator, Revoker string
	// Left says that whoever created it is no longer in the account.
	Left bool
	// State is its status as a part of messages' keys, and Badge the class that
	// shows it.
	State, Badge string
	Scopes       []scopeLine
}

// Lead are the first lines of the scopes, and Rest the others.
func (t shownToken) Lead() []scopeLine { return t.Scopes[:min(len(t.Scopes), 3)] }

// Rest are the lines of the scopes that Lead leaves out.
func (t shownToken) Rest() []scopeLine { return t.Scopes[min(len(t.Scopes), 3):] }

var badges = map[token.Status]string{token.Active: "good", token.Expired: "warn", token.Revoked: "bad"}

func (v *visit) showToken(p *tokenPlace, t token.Token) (shownToken, error) {
	shown, err := v.showTokens(p, []token.Token{t})
	if err != nil {
		return shownToken{}, err
	}
	return shown[0], nil
}

func (v *visit) showTokens(p *tokenPlace, tokens []token.Token) ([]shownToken, error) {
	var creators []uuid.UUID
	for _, t := range tokens {
		if t.CreatedBy.Kind == audit.ActorUser {
			creators = append(creators, t.CreatedBy.ID)
		}
	}
	members, err := v.Users.MembersByID(v.r.Context(), v.by, creators)
	if err != nil {
		return nil, err
	}
	shown := make([]shownToken, len(tokens))
	for i, t := range tokens {
		_, there := members[t.CreatedBy.ID]
		shown[i] = v.inWords(p, t)
		shown[i].Left = t.CreatedBy.Kind == audit.ActorUser && !there
	}
	return shown, nil
}

// inWords is a token in words.
func (v *visit) inWords(p *tokenPlace, t token.Token) shownToken {
	status := t.Status(v.Tokens.Now())
	shown := shownToken{
		Token: t, Address: p.Address(t), Creator: v.actor(t.CreatedBy), State: string(status), Badge: badges[status], Scopes: v.scopeLines(t.Scopes),
	}
	if t.Revocation != nil {
		shown.Revoker = v.actor(t.Revocation.By)
	}
	return shown
}
