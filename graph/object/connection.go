package object

import (
	"context"

	"latchkey/internal/paging"
)

// PageInfo is where a page stands in its list (GraphQL Cursor Connections
// Specification, section 5.1).
type PageInfo struct {
	HasNextPage, HasPreviousPage bool
	StartCursor, EndCursor       *string
}

// edge is the underlying type of all edges.
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
	EventEdge      edge[Event]
	WebhookEdge    edge[Webhook]
	DeliveryEdge   edge[Delivery]

	AWSEventSourcesEdge edge[AWSEventSource]

	CheckoutItemEdge edge[CheckoutItem]
	SubscriptionEdge edge[Subscription]
	ChargeEdge       edge[Charge]
	InvoiceEdge      edge[Invoice]
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

// AWSEventSourcesConnection is a page of event sources.
type AWSEventSourcesConnection struct {
	PageInfo PageInfo
	Edges    []*AWSEventSourcesEdge
}

// UserConnection is a page of users.
type UserConnection struct {
	PageInfo PageInfo
	Edges    []*UserEdge
	Count    Counter
}

// CollectionInfo returns the totals of the whole list.
func (c UserConnection) CollectionInfo(ctx context.Context) (*CollectionInfo, error) {
	return c.Count.info(ctx)
}

// StoreUserConnection is a page of a store's users.
type StoreUserConnection struct {
	PageInfo PageInfo
	Edges    []*StoreUserEdge
	Count    Counter
}

// CollectionInfo returns the totals of the whole list.
func (c StoreUserConnection) CollectionInfo(ctx context.Context) (*CollectionInfo, error) {
	return c.Count.info(ctx)
}

// UserStoreConnection is a page of a user's store memberships.
type UserStoreConnection struct {
	PageInfo PageInfo
	Edges    []*UserStoreEdge
	Count    Counter
}

// CollectionInfo returns the totals of the whole list.
func (c UserStoreConnection) CollectionInfo(ctx context.Context) (*CollectionInfo, error) {
	return c.Count.info(ctx)
}

// TotalCount returns the number of items in the whole list.
func (c UserStoreConnection) TotalCount(ctx context.Context) (int64, error) { return c.Count(ctx) }

// Nodes returns the items of the page.
func (c UserStoreConnection) Nodes() []UserStore { return nodesOf(c.Edges) }

// APITokenConnection is a page of API tokens.
type APITokenConnection struct {
	PageInfo PageInfo
	Edges    []*APITokenEdge
	Count    Counter
}

// CollectionInfo returns the totals of the whole list.
func (c APITokenConnection) CollectionInfo(ctx context.Context) (*CollectionInfo, error) {
	return c.Count.info(ctx)
}

// TotalCount returns the number of items in the whole list.
func (c APITokenConnection) TotalCount(ctx context.Context) (int64, error) { return c.Count(ctx) }

// Nodes returns the items of the page.
func (c APITokenConnection) Nodes() []APIToken { return nodesOf(c.Edges) }

// AuditEventConnection is a page of audit events.
type AuditEventConnection struct {
	PageInfo PageInfo
	Edges    []*AuditEventEdge
	Count    Counter
}

// CollectionInfo returns the totals of the whole list.
func (c AuditEventConnection) CollectionInfo(ctx context.Context) (*CollectionInfo, error) {
	return c.Count.info(ctx)
}

// TotalCount returns the number of items in the whole list.
func (c AuditEventConnection) TotalCount(ctx context.Context) (int64, error) { return c.Count(ctx) }

// Nodes returns the items of the page.
func (c AuditEventConnection) Nodes() []AuditEvent { return nodesOf(c.Edges) }

// EventConnection is a page of events.
type EventConnection struct {
	PageInfo PageInfo
	Edges    []*EventEdge
	Count    Counter
}

// CollectionInfo returns the totals of the whole list.
func (c EventConnection) CollectionInfo(ctx context.Context) (*CollectionInfo, error) {
	return c.Count.info(ctx)
}

// TotalCount returns the number of items in the whole list.
func (c EventConnection) TotalCount(ctx context.Context) (int64, error) { return c.Count(ctx) }

// Nodes returns the items of the page.
func (c EventConnection) Nodes() []Event { return nodesOf(c.Edges) }

// WebhookConnection is a page of webhooks.
type WebhookConnection struct {
	PageInfo PageInfo
	Edges    []*WebhookEdge
	Count    Counter
}

// CollectionInfo returns the totals of the whole list.
func (c WebhookConnection) CollectionInfo(ctx context.Context) (*CollectionInfo, error) {
	return c.Count.info(ctx)
}

// TotalCount returns the number of items in the whole list.
func (c WebhookConnection) TotalCount(ctx context.Context) (int64, error) { return c.Count(ctx) }

// Nodes returns the items of the page.
func (c WebhookConnection) Nodes() []Webhook { return nodesOf(c.Edges) }

// DeliveryConnection is a page of deliveries.
type DeliveryConnection struct {
	PageInfo PageInfo
	Edges    []*DeliveryEdge
	Count    Counter
}

// CollectionInfo returns the totals of the whole list.
func (c DeliveryConnection) CollectionInfo(ctx context.Context) (*CollectionInfo, error) {
	return c.Count.info(ctx)
}

// TotalCount returns the number of items in the whole list.
func (c DeliveryConnection) TotalCount(ctx context.Context) (int64, error) { return c.Count(ctx) }

// Nodes returns the items of the page.
func (c DeliveryConnection) Nodes() []Delivery { return nodesOf(c.Edges) }

// CheckoutItemConnection is a page of a checkout's items.
type CheckoutItemConnection struct {
	PageInfo PageInfo
	Edges    []*CheckoutItemEdge
}

// SubscriptionConnection is a page of subscriptions.
type SubscriptionConnection struct {
	PageInfo PageInfo
	Edges    []*SubscriptionEdge
}

// ChargeConnection is a page of charges.
type ChargeConnection struct {
	PageInfo PageInfo
	Edges    []*ChargeEdge
	Count    Counter
}

// CollectionInfo returns the totals of the whole list.
func (c ChargeConnection) CollectionInfo(ctx context.Context) (*CollectionInfo, error) {
	return c.Count.info(ctx)
}

// TotalCount returns the number of items in the whole list.
func (c ChargeConnection) TotalCount(ctx context.Context) (int64, error) { return c.Count(ctx) }

// Nodes returns the items of the page.
func (c ChargeConnection) Nodes() []Charge { return nodesOf(c.Edges) }

// InvoiceConnection is a page of invoices.
type InvoiceConnection struct {
	PageInfo PageInfo
	Edges    []*InvoiceEdge
	Count    Counter
}

// CollectionInfo returns the totals of the whole list.
func (c InvoiceConnection) CollectionInfo(ctx context.Context) (*CollectionInfo, error) {
	return c.Count.info(ctx)
}

// TotalCount returns the number of items in the whole list.
func (c InvoiceConnection) TotalCount(ctx context.Context) (int64, error) { return c.Count(ctx) }

// Nodes returns the items of the page.
func (c InvoiceConnection) Nodes() []Invoice { return nodesOf(c.Edges) }

// Connect returns the page info and the edges of a page of the list. node returns
// the node of an item.
func Connect[E ~struct {
	Node   N
	Cursor string
}, N, T any](list List, p paging.Page[T], node func(T) N) (PageInfo, []*E) {
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

// nodesOf returns the nodes of edges.
func nodesOf[E ~struct {
	Node   N
	Cursor string
}, N any](edges []*E) []N {
	nodes := make([]N, len(edges))
	for i, e := range edges {
		nodes[i] = edge[N](*e).Node
	}
	return nodes
}

// Nodes returns the items of all pages, which are siblings in a response.
func Nodes[T any](pages ...paging.Page[T]) []T {
	count := 0
	for _, p := range pages {
		count += len(p.Items)
	}
	all := make([]T, 0, count)
	for _, p := range pages {
		for _, item := range p.Items {
			all = append(all, item.Node)
		}
	}
	return all
}
