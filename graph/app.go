package graph

import (
	"context"
	"strconv"

	"latchkey/graph/model"
	"latchkey/graph/object"
	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/paging"
)

func appsConnection(list object.List, apps paging.Page[account.App]) *object.AppsConnection {
	info, edges := object.Connect[object.AppsEdge](list, apps,
		func(a account.App) object.App { return object.App{App: a} })
	return &object.AppsConnection{PageInfo: info, Edges: edges}
}

func (r *Resolver) appNodes(ctx context.Context, by *auth.Principal, keys []string) (map[string]model.Node, error) {
	var ids []int64
	for _, key := range keys {
		if id, err := strconv.ParseInt(key, 10, 64); err == nil {
			ids = append(ids, id)
		}
	}
	apps, err := r.accounts.AppsByID(ctx, by, ids)
	found := map[string]model.Node{}
	for id, a := range apps {
		found[strconv.FormatInt(id, 10)] = &object.App{App: a}
	}
	return found, err
}
