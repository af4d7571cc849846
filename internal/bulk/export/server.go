package export

import (
	"context"
	"time"
)

// API is the Account API of a running server.
type API interface {
	// Do runs an operation and decodes its data into into.
	Do(ctx context.Context, query string, variables, into any) error
}

// Filter narrows an export from a server. Zero fields do not narrow it.
type Filter struct {
	Search        string     `json:"search,omitempty"`
	StoreID       string     `json:"storeId,omitempty"`
	UpdatedAfter  *time.Time `json:"updatedAfter,omitempty"`
	WithoutStores bool       `json:"withoutStores,omitempty"`
}

// The page sizes are the largest that the server's complexity limit accepts.
const (
	placeFields = `pageInfo { hasNextPage endCursor } edges { node {
		role status permissions lastLoginAt updatedAt store { storeHash name } } }`
	pageQuery = `query($filter: UserFilterInput, $after: String) { account { users(first: 250, filter: $filter, after: $after) {
		pageInfo { hasNextPage endCursor }
		edges { node { id email firstName lastName locale externalId createdAt updatedAt stores(first: 10) { ` + placeFields + ` } } } } } }`
	restQuery = `query($id: ID!, $after: String) { node(id: $id) { ... on User { stores(first: 250, after: $after) { ` +
		placeFields + ` } } } }`
	sumQuery = `query($filter: UserFilterInput) { account { users(first: 0, filter: $filter) { collectionInfo { totalItems } } } }`
)

type pageInfo struct {
	HasNextPage bool
	EndCursor   string
}

// places is a page of a user's stores.
type places struct {
	PageInfo pageInfo
	Edges    []struct {
		Node struct {
			Place

			Store struct{ StoreHash, Name string } `json:"store"`
		}
	}
}

func (p places) all() []Place {
	all := make([]Place, len(p.Edges))
	for i, e := range p.Edges {
		all[i] = e.Node.Place
		all[i].StoreHash, all[i].StoreName = e.Node.Store.StoreHash, e.Node.Store.Name
	}
	return all
}

// FromServer returns a source that reads users over the API. The token needs the scopes account_users_read and
// account_stores_read.
func FromServer(api API, f Filter) Source {
	return func(ctx context.Context, after string) ([]Person, string, error) {
		var answer struct {
			Account struct {
				Users struct {
					PageInfo pageInfo
					Edges    []struct {
						Node struct {
							Person

							Stores places `json:"stores"`
						}
					}
				}
			}
		}
		variables := map[string]any{"filter": f}
		if after != "" {
			variables["after"] = after
		}
		if err := api.Do(ctx, pageQuery, variables, &answer); err != nil {
			return nil, "", err
		}
		users := answer.Account.Users
		all := make([]Person, len(users.Edges))
		for i, e := range users.Edges {
			all[i] = e.Node.Person
			var err error
			if all[i].Stores, err = rest(ctx, api, all[i].ID, e.Node.Stores); err != nil {
				return nil, "", err
			}
		}
		if !users.PageInfo.HasNextPage {
			return all, "", nil
		}
		return all, users.PageInfo.EndCursor, nil
	}
}

// rest returns all of a user's stores: the first page p and the pages after it.
func rest(ctx context.Context, api API, id string, p places) ([]Place, error) {
	all := p.all()
	for p.PageInfo.HasNextPage {
		var answer struct{ Node struct{ Stores places } }
		if err := api.Do(ctx, restQuery, map[string]any{"id": id, "after": p.PageInfo.EndCursor}, &answer); err != nil {
			return nil, err
		}
		p = answer.Node.Stores
		all = append(all, p.all()...)
	}
	return all, nil
}

// Count returns the number of users that match the filter.
func Count(ctx context.Context, api API, f Filter) (int64, error) {
	var answer struct {
		Account struct {
			Users struct{ CollectionInfo struct{ TotalItems int64 } }
		}
	}
	err := api.Do(ctx, sumQuery, map[string]any{"filter": f}, &answer)
	return answer.Account.Users.CollectionInfo.TotalItems, err
}
