package graph

import (
	"context"

	"github.com/google/uuid"

	"latchkey/graph/model"
	"latchkey/graph/object"
	"latchkey/graph/scalar"
	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// nodeKind is how objects of one kind of id are found, all of them at once.
type nodeKind struct {
	typeName string
	find     func(ctx context.Context, by *auth.Principal, keys []string) (map[string]model.Node, error)
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
func (r *Resolver) nodes(ctx context.Context, by *auth.Principal, field string, ids []string) ([]model.Node, []error) {
	nodes, faults := make([]model.Node, len(ids)), make([]error, len(ids))
	kinds := r.nodeKinds()
	asked := map[scalar.Kind][]string{}
	keys := make([]string, len(ids))
	for i, id := range ids {
		kind, key, err := scalar.SplitID(id)
		if _, known := kinds[kind]; err == nil && !known {
			err = noNode()
		}
		if err != nil {
			faults[i] = onField(err, field)
			continue
		}
		keys[i] = key
		asked[kind] = append(asked[kind], key)
	}
	for kind, wanted := range asked {
		found, err := r.nodesOf(ctx, by, kinds[kind], wanted)
		for i, id := range ids {
			if k, _, splitErr := scalar.SplitID(id); splitErr != nil || k != kind {
				continue
			}
			if err != nil {
				faults[i] = onField(err, field)
			} else if nodes[i] = found[keys[i]]; nodes[i] == nil {
				faults[i] = noNode().On(field)
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
		if id, ok := appID(key); ok {
			ids = append(ids, id)
		}
	}
	apps, err := r.accounts.AppsByID(ctx, by, ids)
	return byKey(keys, func(key string) (account.App, bool) {
		id, ok := appID(key)
		a, there := apps[id]
		return a, ok && there
	}, func(a account.App) model.Node { return &object.App{App: a} }), err
}

func (r *Resolver) userNodes(ctx context.Context, by *auth.Principal, keys []string) (map[string]model.Node, error) {
	people, err := r.users.MembersByID(ctx, by, uuids(keys))
	return byKey(keys, lookUp(people), func(u user.User) model.Node { return &object.User{User: u} }), err
}

func (r *Resolver) tokenNodes(ctx context.Context, by *auth.Principal, keys []string) (map[string]model.Node, error) {
	tokens, err := r.tokens.TokensByID(ctx, by, uuids(keys))
	if err != nil {
		return nil, err
	}
	all := make([]token.Token, 0, len(tokens))
	for _, t := range tokens {
		all = append(all, t)
	}
	node := r.view().Tokens(all)
	return byKey(keys, lookUp(tokens), func(t token.Token) model.Node {
		shown := node(t)
		return &shown
	}), nil
}

// uuids returns those of the keys that are UUIDs; no object has any other.
func uuids(keys []string) []uuid.UUID {
	var ids []uuid.UUID
	for _, key := range keys {
		if id, err := uuid.Parse(key); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

func lookUp[T any](found map[uuid.UUID]T) func(string) (T, bool) {
	return func(key string) (T, bool) {
		id, err := uuid.Parse(key)
		t, there := found[id]
		return t, err == nil && there
	}
}

func byKey[T any](keys []string, find func(string) (T, bool), show func(T) model.Node) map[string]model.Node {
	nodes := map[string]model.Node{}
	for _, key := range keys {
		if t, ok := find(key); ok {
			nodes[key] = show(t)
		}
	}
	return nodes
}
