package graph

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey/graph/model"
	"latchkey/graph/object"
	"latchkey/internal/access"
	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
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
	by, err := auth.From(ctx)
	if err != nil {
		return nil, err
	}
	people, err := r.users.ByID(ctx, by, []uuid.UUID{id})
	if err != nil {
		return nil, err
	}
	return &object.User{User: people[id]}, nil
}

// ownersOf returns the owners of stores, by id.
func (r *Resolver) ownersOf(ctx context.Context, stores []account.Store) (map[uuid.UUID]object.User, error) {
	ids := make([]uuid.UUID, len(stores))
	for i, s := range stores {
		ids[i] = s.OwnerID
	}
	by, err := auth.From(ctx)
	if err != nil {
		return nil, err
	}
	people, err := r.users.ByID(ctx, by, ids)
	if err != nil {
		return nil, err
	}
	node := object.NewUsers(slices.Collect(maps.Values(people)))
	owners := make(map[uuid.UUID]object.User, len(people))
	for id, u := range people {
		owners[id] = node(u)
	}
	return owners, nil
}

// membership is the person's place in the principal's account: for somebody who
// is not in it, what there is to say of them besides.
func (r *Resolver) membership(ctx context.Context, u *object.User) (user.Membership, error) {
	by, err := auth.From(ctx)
	if err != nil {
		return user.Membership{}, err
	}
	found, err := object.Ask(u.Siblings(), question{field: "membership"}, func(people []user.User) (map[uuid.UUID]user.Membership, error) {
		return r.users.MembershipsByID(ctx, by, userKeys(people))
	})
	if in, there := found[u.ID]; there || err != nil {
		return in, err
	}
	return user.Membership{UserID: u.ID, JoinedAt: u.CreatedAt, UpdatedAt: u.CreatedAt}, nil
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func appsConnection(list object.List, apps page.Page[account.App]) *object.AppsConnection {
	info, edges := object.Connect[object.AppsEdge](list, apps, func(a account.App) object.App { return object.App{App: a} })
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
		info, edges := object.Connect[object.StoreUserEdge](object.StoreUsers, members[s.ID], node)
		connections[s.ID] = &object.StoreUserConnection{
			PageInfo: info, Edges: edges, Count: counted(siblings, question{field: "users count"}, s.ID, count),
		}
	}
	return connections
}

// userStores makes the connections of people's places in stores, likewise.
func (r *Resolver) userStores(ctx context.Context, by *auth.Principal, siblings *object.Siblings[user.User], people []user.User,
	places map[uuid.UUID]page.Page[user.StorePlace],
) map[uuid.UUID]*object.UserStoreConnection {
	var all []user.StorePlace
	for _, u := range people {
		all = append(all, object.Nodes(places[u.ID])...)
	}
	node := object.NewUserStores(all)
	count := func(people []user.User) (map[uuid.UUID]int64, error) {
		return r.users.CountUserPlaces(ctx, by, userKeys(people))
	}
	connections := make(map[uuid.UUID]*object.UserStoreConnection, len(people))
	for _, u := range people {
		info, edges := object.Connect[object.UserStoreEdge](object.UserStores, places[u.ID], node)
		connections[u.ID] = &object.UserStoreConnection{
			PageInfo: info, Edges: edges, Count: counted(siblings, question{field: "stores count"}, u.ID, count),
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
		info, edges := object.Connect[object.APITokenEdge](object.StoreAPITokens, tokens[s.ID], node)
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

// tokenRequest reads what is asked for: a token of the store, where the input
// names one, otherwise of the account. For a store that is not there it tells
// what else is wrong, too.
func (r *Resolver) tokenRequest(ctx context.Context, by *auth.Principal, input model.CreateAPITokenInput) (token.Request, error) {
	req := token.Request{
		Name: input.Name, Scopes: input.Scopes, ExpiresAt: timeOf(input.ExpiresAt), AllowedIPRanges: input.AllowedIPRanges,
	}
	if input.StoreID == nil {
		a, err := r.accounts.Account(ctx, by)
		req.Owner = token.AccountOwner(a)
		return req, err
	}
	a, s, err := r.accounts.StoreToIssueFor(ctx, by, object.ParseStore(*input.StoreID))
	if fault.KindOf(err) == fault.NotFound {
		return req, r.withoutStore(ctx, by, req, fault.Flatten(onField(err, "storeId")))
	}
	if err != nil {
		return req, err
	}
	req.Owner, err = token.StoreOwner(a, s)
	return req, err
}

// withoutStore adds to the fault of a store that is not there those that the
// request would have for any other store.
func (r *Resolver) withoutStore(ctx context.Context, by *auth.Principal, req token.Request, faults fault.List) error {
	a, err := r.accounts.Account(ctx, by)
	if err != nil {
		return err
	}
	if req.Owner, err = token.StoreOwner(a, account.Store{ID: uuid.New(), AccountID: a.ID}); err != nil {
		return err
	}
	for _, f := range fault.Flatten(r.tokens.Check(by, req)) {
		if f.Field != "" { // otherwise the principal issues for some stores only
			faults = append(faults, f)
		}
	}
	return faults.Err()
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

func receiptOf(r access.Receipt) *model.RevocationReceipt {
	shown := &model.RevocationReceipt{ElapsedMs: int(r.Elapsed.Milliseconds())}
	for _, a := range r.Replicas {
		shown.Replicas = append(shown.Replicas, model.ReplicaAcknowledgement{Name: a.Replica, AcknowledgedAt: moment(a.At)})
	}
	return shown
}
