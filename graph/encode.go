package graph

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey/graph/model"
	"latchkey/graph/object"
	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/page"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// account is the principal's account, read when something is asked of it.
func (r *Resolver) account(ctx context.Context, by *auth.Principal) *object.Account {
	return &object.Account{
		Key:  by.AccountID,
		Read: sync.OnceValues(func() (account.Account, error) { return r.accounts.Account(ctx, by) }),
	}
}

// person returns a user that a record of the principal's account names.
func (r *Resolver) person(ctx context.Context, id uuid.UUID) (*object.User, error) {
	people, err := r.users.ByID(ctx, []uuid.UUID{id})
	if err != nil {
		return nil, err
	}
	return &object.User{User: people[id]}, nil
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func appsConnection(apps page.Page[account.App]) *object.AppsConnection {
	info, edges := object.Connect[object.AppsEdge](apps, func(a account.App) object.App { return object.App{App: a} })
	return &object.AppsConnection{PageInfo: info, Edges: edges}
}

// pagesOf returns the pages of the stores in order.
func pagesOf[T any](stores []account.Store, pages map[uuid.UUID]page.Page[T]) []page.Page[T] {
	ordered := make([]page.Page[T], len(stores))
	for i, s := range stores {
		ordered[i] = pages[s.ID]
	}
	return ordered
}

// storeUsers makes the connections of the stores' members. All members of all
// of the stores are one level.
func (r *Resolver) storeUsers(ctx context.Context, by *auth.Principal, siblings *object.Siblings[account.Store], stores []account.Store,
	members map[uuid.UUID]page.Page[user.StoreMember],
) map[uuid.UUID]*object.StoreUserConnection {
	level := object.NewSiblings(object.Nodes(pagesOf(stores, members)...))
	node := func(m user.StoreMember) object.StoreUser { return object.StoreUser{StoreMember: m, Siblings: level} }
	count := func(stores []account.Store) (map[uuid.UUID]int64, error) {
		return r.users.CountStoreUsers(ctx, by, storeKeys(stores))
	}
	connections := make(map[uuid.UUID]*object.StoreUserConnection, len(stores))
	for _, s := range stores {
		info, edges := object.Connect[object.StoreUserEdge](members[s.ID], node)
		connections[s.ID] = &object.StoreUserConnection{
			PageInfo: info, Edges: edges, Count: counted(siblings, question{field: "users count"}, s.ID, count),
		}
	}
	return connections
}

// storeTokens makes the connections of the stores' tokens, likewise.
func (r *Resolver) storeTokens(ctx context.Context, by *auth.Principal, siblings *object.Siblings[account.Store], stores []account.Store,
	q token.Query, tokens map[uuid.UUID]page.Page[token.Token],
) map[uuid.UUID]*object.APITokenConnection {
	node := r.view().Tokens(object.Nodes(pagesOf(stores, tokens)...))
	count := func(stores []account.Store) (map[uuid.UUID]int64, error) {
		return r.tokens.CountStoreTokens(ctx, by, storeKeys(stores), q)
	}
	connections := make(map[uuid.UUID]*object.APITokenConnection, len(stores))
	for _, s := range stores {
		info, edges := object.Connect[object.APITokenEdge](tokens[s.ID], node)
		connections[s.ID] = &object.APITokenConnection{
			PageInfo: info, Edges: edges,
			Count: counted(siblings, question{field: "apiTokens count", filter: filterText(q)}, s.ID, count),
		}
	}
	return connections
}

// storesOf returns the stores of store-level tokens, by id.
func (r *Resolver) storesOf(ctx context.Context, by *auth.Principal, tokens []token.Token) (map[uuid.UUID]object.Store, error) {
	var ids []uuid.UUID
	for _, t := range tokens {
		if t.StoreID != uuid.Nil {
			ids = append(ids, t.StoreID)
		}
	}
	found, err := r.accounts.StoresByID(ctx, by, ids)
	if err != nil {
		return nil, err
	}
	all := make([]account.Store, 0, len(found))
	for _, s := range found {
		all = append(all, s)
	}
	node := object.NewStores(all)
	stores := make(map[uuid.UUID]object.Store, len(found))
	for id, s := range found {
		stores[id] = node(s)
	}
	return stores, nil
}

func accessTokens(found []token.AccessToken) []object.AccessToken {
	shown := make([]object.AccessToken, len(found))
	for i, a := range found {
		shown[i] = object.AccessToken{AccessToken: a}
	}
	return shown
}

// tokenOwner is whom a new token is to belong to: the store, where the input
// names one, otherwise the account.
func (r *Resolver) tokenOwner(ctx context.Context, by *auth.Principal, storeID *string) (token.Owner, error) {
	if storeID == nil {
		a, err := r.accounts.Account(ctx, by)
		return token.AccountOwner(a), err
	}
	a, s, err := r.accounts.StoreToIssueFor(ctx, by, object.ParseStore(*storeID))
	if err != nil {
		return token.Owner{}, onField(err, "input.storeId")
	}
	return token.StoreOwner(a, s)
}

// issued shows a new token with its credentials, this once.
func (r *Resolver) issued(i token.Issued) *model.CreateAPITokenResult {
	shown := r.view().Token(i.Token)
	name, content := i.File(r.publicURL)
	return &model.CreateAPITokenResult{
		APIToken: shown,
		Credentials: model.APITokenCredentials{
			ClientID: i.Token.ClientID, ClientSecret: i.ClientSecret.Reveal(), AccessToken: i.AccessToken.Reveal(),
			APIPath: shown.APIPath(), File: model.CredentialsFile{Name: name, Content: content},
		},
	}
}
