package graph

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"latchkey/graph/model"
	"latchkey/graph/object"
	"latchkey/graph/scalar"
	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/eventsource"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
)

func appsConnection(list object.List, apps paging.Page[account.App],
	node func(account.App) object.App) *object.AppsConnection {
	info, edges := object.Connect[object.AppsEdge](list, apps, node)
	return &object.AppsConnection{PageInfo: info, Edges: edges}
}

// appsConnections returns the connections of pages by the ID of their owner. The apps of all pages are siblings.
func appsConnections(list object.List, pages map[uuid.UUID]paging.Page[account.App],
) map[uuid.UUID]*object.AppsConnection {
	node := object.NewApps(object.Nodes(slices.Collect(maps.Values(pages))...))
	connections := make(map[uuid.UUID]*object.AppsConnection, len(pages))
	for owner, apps := range pages {
		connections[owner] = appsConnection(list, apps, node)
	}
	return connections
}

func (r *Resolver) appNodes(ctx context.Context, by *auth.Principal, keys []string) (map[string]model.Node, error) {
	var ids []int64
	for _, key := range keys {
		if id, err := strconv.ParseInt(key, 10, 64); err == nil {
			ids = append(ids, id)
		}
	}
	apps, err := r.accounts.AppsByID(ctx, by, ids)
	node := object.NewApps(slices.Collect(maps.Values(apps)))
	found := map[string]model.Node{}
	for id, a := range apps {
		shown := node(a)
		found[strconv.FormatInt(id, 10)] = &shown
	}
	return found, err
}

// eventSources returns pages of the event sources of apps, by the apps' keys. The same app can be in several lists.
func (r *Resolver) eventSources(ctx context.Context, by *auth.Principal, apps []account.App,
	w paging.Window) (map[uuid.UUID]paging.Page[eventsource.Source], error) {
	keys := make(map[int64]uuid.UUID, len(apps))
	for _, a := range apps {
		keys[a.ID] = a.Key
	}
	pages, err := r.sources.Sources(ctx, by, slices.Collect(maps.Keys(keys)), w)
	if err != nil {
		return nil, err
	}
	byKey := make(map[uuid.UUID]paging.Page[eventsource.Source], len(pages))
	for id, page := range pages {
		byKey[keys[id]] = page
	}
	return byKey, nil
}

func eventSourcesConnection(sources paging.Page[eventsource.Source]) *object.AWSEventSourcesConnection {
	info, edges := object.Connect[object.AWSEventSourcesEdge](object.AppEventSources, sources,
		func(s eventsource.Source) object.AWSEventSource { return object.AWSEventSource{Source: s} })
	return &object.AWSEventSourcesConnection{PageInfo: info, Edges: edges}
}

func eventSourceRequest(input model.CreateEventSourceInput) (eventsource.Request, error) {
	app, err := parseApp(input.AppID)
	return eventsource.Request{
		AppID: app, AWSAccount: input.AWSAccount, Name: input.EventSourceName, Region: input.EventSourceRegion,
	}, err
}

// parseApp returns the number of an app.
func parseApp(id string) (int64, error) {
	app, err := scalar.UnmarshalAppID(id)
	if err != nil {
		return 0, fault.Flatten(err)[0].On("appId")
	}
	return int64(app), nil
}

// eventSourceToDelete returns the app and the event source that an input names, or all of its errors.
func eventSourceToDelete(input model.DeleteEventSourceInput) (app int64, source uuid.UUID, err error) {
	var faults fault.List
	app, err = parseApp(input.AppID)
	faults = append(faults, fault.Flatten(err)...)
	source, err = object.ParseKey(scalar.EventSource, input.ID)
	if err != nil {
		faults = append(faults, fault.Flatten(err)[0].On("id"))
	}
	return app, source, faults.Err()
}

func deletedEventSource(id uuid.UUID, received bool) *model.DeleteEventSourceResult {
	deleted := &model.DeleteEventSourceResult{
		DeletedEventSourceID: scalar.NodeID{Kind: scalar.EventSource, Key: id}.String(),
		AffectedWebhooksIds:  []string{},
	}
	if received {
		deleted.AffectedWebhooksIds = []string{scalar.NodeID{Kind: scalar.Webhook, Key: id}.String()}
	}
	return deleted
}
