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
	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// nodeKind is how objects of one kind of id are found, all of them at once.
type nodeKind struct {
	typeName string
	// find returns the objects of the keys that it finds, by key.
	find func(ctx context.Context, by *auth.Principal, keys []string) (map[string]model.Node, error)
}

func (r *Resolver) nodeKinds() map[scalar.Kind]nodeKind {
	return map[scalar.Kind]nodeKind{
		scalar.Account:      {"Account", r.accountNodes},
		scalar.Store:        {"Store", r.storeNodes},
		scalar.App:          {"App", r.appNodes},
		scalar.User:         {"User", r.userNodes},
		scalar.APIToken:     {"ApiToken", r.tokenNodes},
		scalar.Checkout:     {"Checkout", unavailable("Checkout")},
		scalar.Subscription: {"Subscription", unavailable("Subscription")},
	}
}

// nodes returns the objects of the ids, in their order, with one statement per
// kind of id; in the place of one that cannot be had is nil and its error.
func (r *Resolver) nodes(ctx context.Context, by *auth.Principal, ids []string) ([]model.Node, []error) {
	nodes, faults := make([]model.Node, len(ids)), make([]error, len(ids))
	kinds := r.nodeKinds()
	// asked are the places of the ids of each kind.
	asked := map[scalar.Kind][]int{}
	keys := make([]string, len(ids))
	for i, id := range ids {
		kind, key, err := scalar.SplitID(id)
		if _, known := kinds[kind]; err == nil && !known {
			err = noNode()
		}
		if err != nil {
			faults[i] = err
			continue
		}
		keys[i] = key
		asked[kind] = append(asked[kind], i)
	}
	for kind, places := range asked {
		wanted := make([]string, len(places))
		for n, i := range places {
			wanted[n] = keys[i]
		}
		found, err := r.nodesOf(ctx, by, kinds[kind], wanted)
		for _, i := range places {
			switch node, there := found[keys[i]]; {
			case err != nil:
				faults[i] = err
			case there:
				nodes[i] = node
			default:
				faults[i] = noNode()
			}
		}
	}
	return nodes, faults
}

func (r *Resolver) nodesOf(ctx context.Context, by *auth.Principal, k nodeKind, keys []string) (map[string]model.Node, error) {
	if err := r.rules.Node(by, k.typeName); err != nil {
		return nil, err
	}
	return k.find(ctx, by, keys)
}

func noNode() *fault.Error {
	return fault.Errorf(fault.NotFound, "There is no such object in this account.")
}

func unavailable(typeName string) func(context.Context, *auth.Principal, []string) (map[string]model.Node, error) {
	return func(context.Context, *auth.Principal, []string) (map[string]model.Node, error) {
		return nil, notImplemented(typeName)
	}
}

func (r *Resolver) accountNodes(ctx context.Context, by *auth.Principal, _ []string) (map[string]model.Node, error) {
	return map[string]model.Node{by.AccountID.String(): r.account(ctx, by)}, nil
}

func (r *Resolver) storeNodes(ctx context.Context, by *auth.Principal, keys []string) (map[string]model.Node, error) {
	stores, err := r.accounts.StoresByRef(ctx, by, object.ParseStores(keys))
	if err != nil {
		return nil, err
	}
	node := object.NewStores(stores)
	found := map[string]model.Node{}
	for _, s := range stores {
		shown := node(s)
		found[s.ID.String()], found[s.Hash] = &shown, &shown
	}
	return found, nil
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

func (r *Resolver) userNodes(ctx context.Context, by *auth.Principal, keys []string) (map[string]model.Node, error) {
	people, err := r.users.MembersByID(ctx, by, uuids(keys))
	node := object.NewUsers(slices.Collect(maps.Values(people)))
	found := map[string]model.Node{}
	for id, u := range people {
		shown := node(u)
		found[id.String()] = &shown
	}
	return found, err
}

func (r *Resolver) tokenNodes(ctx context.Context, by *auth.Principal, keys []string) (map[string]model.Node, error) {
	tokens, err := r.tokens.TokensByID(ctx, by, uuids(keys))
	node := r.view().Tokens(slices.Collect(maps.Values(tokens)))
	found := map[string]model.Node{}
	for id, t := range tokens {
		shown := node(t)
		found[id.String()] = &shown
	}
	return found, err
}

// uuids returns those of the keys that are UUIDs. Of what is found by them,
// only what has one of the keys as it was asked for is answered: a UUID can be
// written in many ways, and an id in one.
func uuids(keys []string) []uuid.UUID {
	var ids []uuid.UUID
	for _, key := range keys {
		if id, err := uuid.Parse(key); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}
