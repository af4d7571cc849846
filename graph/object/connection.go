package object

import (
	"context"

	"latchkey/internal/page"
)

// PageInfo is where a page stands in its list (GraphQL Cursor Connections
// Specification, section 5.1).
type PageInfo struct {
	HasNextPage, HasPreviousPage bool
	StartCursor, EndCursor       *string
}

// edge is the form that all edges have.
type edge[N any] struct {
	Node   N
	Cursor string
}

// The edges of each connection.
type (
	StoreEdge      edge[Store]
	AppsEdge       edge[App]
	UserEdge       edge[User]
	StoreUserEdge  edge[StoreUser]
	UserStoreEdge  edge[UserStore]
	APITokenEdge   edge[APIToken]
	AuditEventEdge edge[AuditEvent]
)

// StoreConnection is a page of stores.
type StoreConnection struct {
	PageInfo PageInfo
	Edges    []*StoreEdge
}

// AppsConnection is a page of apps.
type AppsConnection struct {
	PageInfo PageInfo
	Edges    []*AppsEdge
}

// UserConnection is a page of people.
type UserConnection struct {
	PageInfo PageInfo
	Edges    []*UserEdge
	Count    Counter
}

// CollectionInfo counts the whole list.
func (c UserConnection) CollectionInfo(ctx context.Context) (*CollectionInfo, error) {
	return c.Count.info(ctx)
}

// StoreUserConnection is a page of a store's members.
type StoreUserConnection struct {
	PageInfo PageInfo
	Edges    []*StoreUserEdge
	Count    Counter
}

// CollectionInfo counts the whole list.
func (c StoreUserConnection) CollectionInfo(ctx context.Context) (*CollectionInfo, error) {
	return c.Count.info(ctx)
}

// UserStoreConnection is a page of a person's places in stores.
type UserStoreConnection struct {
	PageInfo PageInfo
	Edges    []*UserStoreEdge
	Count    Counter
}

// CollectionInfo counts the whole list.
func (c UserStoreConnection) CollectionInfo(ctx context.Context) (*CollectionInfo, error) {
	return c.Count.info(ctx)
}

// APITokenConnection is a page of API tokens.
type APITokenConnection struct {
	PageInfo PageInfo
	Edges    []*APITokenEdge
	Count    Counter
}

// CollectionInfo counts the whole list.
func (c APITokenConnection) CollectionInfo(ctx context.Context) (*CollectionInfo, error) {
	return c.Count.info(ctx)
}

// AuditEventConnection is a page of audit events.
type AuditEventConnection struct {
	PageInfo PageInfo
	Edges    []*AuditEventEdge
	Count    Counter
}

// CollectionInfo counts the whole list.
func (c AuditEventConnection) CollectionInfo(ctx context.Context) (*CollectionInfo, error) {
	return c.Count.info(ctx)
}

// Connect makes the edges and the page info of a page of the list, and of each
// item a node.
func Connect[E ~struct {
	Node   N
	Cursor string
}, N, T any](list List, p page.Page[T], node func(T) N) (PageInfo, []*E) {
	info := PageInfo{HasNextPage: p.HasNext, HasPreviousPage: p.HasPrevious}
	all := make([]E, len(p.Items))
	edges := make([]*E, len(p.Items))
	for i, item := range p.Items {
		all[i] = E{Node: node(item.Node), Cursor: list.cursor(item.Cursor())}
		edges[i] = &all[i]
	}
	if n := len(p.Items); n > 0 {
		first, last := list.cursor(p.Items[0].Cursor()), list.cursor(p.Items[n-1].Cursor())
		info.StartCursor, info.EndCursor = &first, &last
	}
	return info, edges
}

// Nodes returns the items of pages in one list: a level of an answer.
func Nodes[T any](pages ...page.Page[T]) []T {
	var all []T
	for _, p := range pages {
		for _, item := range p.Items {
			all = append(all, item.Node)
		}
	}
	return all
}
