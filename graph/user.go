package graph

import (
	"context"
	"maps"
	"slices"

	"github.com/google/uuid"

	"latchkey/graph/model"
	"latchkey/graph/object"
	"latchkey/graph/scalar"
	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/secret"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// userFilter decodes a user filter. It returns all errors at once, including that
// of a missing store.
func (r *Resolver) userFilter(ctx context.Context, by *auth.Principal, f *model.UserFilterInput) (user.Filter, error) {
	if f == nil {
		return user.Filter{}, nil
	}
	filter := user.Filter{
		Emails: f.Emails, Search: textOf(f.Search), ExternalIDs: f.ExternalIds, UpdatedAfter: timeOf(f.UpdatedAfter),
		WithoutStores: f.WithoutStores != nil && *f.WithoutStores,
	}
	if f.StoreID == nil {
		return filter, nil
	}
	_, store, err := r.accounts.StoreForUsers(ctx, by, object.ParseStore(*f.StoreID))
	if fault.KindOf(err) == fault.NotFound {
		faults := fault.List(fault.Flatten(onField(err, "filter.storeId")))
		return user.Filter{}, append(faults, fault.Flatten(fault.Under(filter.Check(), "filter"))...).Err()
	}
	filter.StoreID = store.ID
	return filter, err
}

// userKey decodes a user ID. Its error is on the input field.
func userKey(text, field string) (uuid.UUID, error) {
	key, err := object.ParseKey(scalar.User, text)
	return key, onField(err, field)
}

// identifierOf decodes the identification of a user. Its error is on "id".
func identifierOf(input model.UserIdentifierInput) (user.Ref, error) {
	ref := user.Ref{Email: input.Email}
	if input.ID == nil {
		return ref, nil
	}
	key, err := userKey(*input.ID, "id")
	ref.ID = &key
	return ref, err
}

func choiceOf(input model.CreateUserWithPasswordInput) user.PasswordChoice {
	return user.PasswordChoice{
		Password: secret.NewPassword(input.Password), Confirmation: secret.NewPassword(input.PasswordConfirmation),
	}
}

// userUpdate decodes an update. A null external ID removes it.
func userUpdate(input model.UpdateUserInput) (user.Update, error) {
	key, err := userKey(input.UserID, "userId")
	u := user.Update{UserID: key, FirstName: input.FirstName, LastName: input.LastName, Locale: input.Locale}
	if external, ok := input.ExternalID.ValueOK(); ok {
		text := textOf(external)
		u.ExternalID = &text
	}
	return u, err
}

// transferOf decodes the store to transfer, nil for the account, and the new
// owner's ID.
func transferOf(input model.TransferOwnershipInput) (*account.StoreRef, uuid.UUID, error) {
	to, err := userKey(input.UserID, "userId")
	if err != nil || input.StoreID == nil {
		return nil, to, err
	}
	ref := object.ParseStore(*input.StoreID)
	return &ref, to, nil
}

// userByID returns a user that an object of the principal's account refers to.
func (r *Resolver) userByID(ctx context.Context, id uuid.UUID) (*object.User, error) {
	by, err := auth.From(ctx)
	if err != nil {
		return nil, err
	}
	users, err := r.users.ByID(ctx, by, []uuid.UUID{id})
	if err != nil {
		return nil, err
	}
	return &object.User{User: users[id]}, nil
}

// provider returns the API token with which an identity provider keeps the user up to date, or nil if there is none.
func (r *Resolver) provider(ctx context.Context, u *object.User) (*object.Actor, error) {
	id := u.ProvisionedBy
	if id == uuid.Nil {
		return nil, nil //nolint:nilnil // no provider is null in the API
	}
	by, err := auth.From(ctx)
	if err != nil {
		return nil, err
	}
	found, err := object.Load(u.Siblings(), fieldKey{field: "provisionedBy"},
		func(users []user.User) (map[uuid.UUID]token.Token, error) {
			var ids []uuid.UUID
			for _, u := range users {
				if u.Provisioned() && !slices.Contains(ids, u.ProvisionedBy) {
					ids = append(ids, u.ProvisionedBy)
				}
			}
			return r.tokens.TokensByID(ctx, by, ids)
		})
	if err != nil {
		return nil, err
	}
	return &object.Actor{Actor: audit.Actor{Kind: audit.ActorAPIToken, ID: id, Name: found[id].Name}}, nil
}

func userKeys(users []user.User) []uuid.UUID {
	keys := make([]uuid.UUID, len(users))
	for i, u := range users {
		keys[i] = u.ID
	}
	return keys
}

// userConnection returns a page of the account's users. list is the list that
// the cursors belong to.
func (r *Resolver) userConnection(ctx context.Context, by *auth.Principal, list object.List, f user.Filter,
	req paging.Request) (*object.UserConnection, error) {
	found, err := r.users.Users(ctx, by, f, req)
	if err != nil {
		return nil, err
	}
	info, edges := object.Connect[object.UserEdge](list, found, object.NewUsers(object.SiblingsOf(found)))
	count := object.CountOnce(func(ctx context.Context) (int64, error) { return r.users.CountUsers(ctx, by, f) })
	return &object.UserConnection{PageInfo: info, Edges: edges, Count: count}, nil
}

// storeUsers returns the connections of the stores' members, by store ID. The
// members of all stores are siblings.
func (r *Resolver) storeUsers(ctx context.Context, by *auth.Principal, siblings *object.Siblings[account.Store],
	stores []account.Store,
	members map[uuid.UUID]paging.Page[user.StoreMember],
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
			PageInfo: info, Edges: edges, Count: counted(siblings, fieldKey{field: "users count"}, s.ID, count),
		}
	}
	return connections
}

// userStores returns the connections of users' store memberships, by user ID.
// All memberships are siblings.
func (r *Resolver) userStores(ctx context.Context, by *auth.Principal, siblings *object.Siblings[user.User],
	users []user.User,
	places map[uuid.UUID]paging.Page[user.StorePlace],
) map[uuid.UUID]*object.UserStoreConnection {
	var all []user.StorePlace
	for _, u := range users {
		all = append(all, object.Nodes(places[u.ID])...)
	}
	node := object.NewUserStores(all)
	count := func(users []user.User) (map[uuid.UUID]int64, error) {
		return r.users.CountUserPlaces(ctx, by, userKeys(users))
	}
	connections := make(map[uuid.UUID]*object.UserStoreConnection, len(users))
	for _, u := range users {
		info, edges := object.Connect[object.UserStoreEdge](object.UserStores, places[u.ID], node)
		connections[u.ID] = &object.UserStoreConnection{
			PageInfo: info, Edges: edges, Count: counted(siblings, fieldKey{field: "stores count"}, u.ID, count),
		}
	}
	return connections
}

// storeUser returns a store member without siblings.
func storeUser(m user.StoreMember) *object.StoreUser {
	return &object.StoreUser{StoreMember: m, Siblings: object.NewSiblings([]user.StoreMember{m})}
}

// transferred encodes a transfer of ownership.
func (r *Resolver) transferred(ctx context.Context, by *auth.Principal,
	done user.Transfer) *model.TransferOwnershipResult {
	result := &model.TransferOwnershipResult{Account: *r.account(ctx, by)}
	if done.Store != nil {
		shown := oneStore(*done.Store)
		result.Store = &shown
	}
	return result
}

func storeID(s account.Store) string { return object.Store{Store: s}.GlobalID().String() }

func (r *Resolver) userNodes(ctx context.Context, by *auth.Principal, keys []string) (map[string]model.Node, error) {
	users, err := r.users.MembersByID(ctx, by, uuids(keys))
	node := object.NewUsers(object.NewSiblings(slices.Collect(maps.Values(users))))
	found := map[string]model.Node{}
	for id, u := range users {
		shown := node(u)
		found[id.String()] = &shown
	}
	return found, err
}
