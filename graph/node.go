package graph

import (
	"context"

	"github.com/google/uuid"

	"latchkey/graph/model"
	"latchkey/graph/scalar"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
)

// nodeKind looks up the objects of one kind of ID.
type nodeKind struct {
	typeName string
	// find returns the existing objects by key.
	find func(ctx context.Context, by *auth.Principal, keys []string) (map[string]model.Node, error)
}

func (r *Resolver) nodeKinds() map[scalar.Kind]nodeKind {
	return map[scalar.Kind]nodeKind{
		scalar.Account:      {"Account", r.accountNodes},
		scalar.Store:        {"Store", r.storeNodes},
		scalar.App:          {"App", r.appNodes},
		scalar.User:         {"User", r.userNodes},
		scalar.APIToken:     {"ApiToken", r.tokenNodes},
		scalar.Webhook:      {"Webhook", r.webhookNodes},
		scalar.Event:        {"Event", r.eventNodes},
		scalar.Checkout:     {"Checkout", r.checkoutNodes},
		scalar.Subscription: {"Subscription", r.subscriptionNodes},
		scalar.Charge:       {"Charge", r.chargeNodes},
		scalar.Invoice:      {"Invoice", r.invoiceNodes},
	}
}

// nodes returns the objects of the IDs, in their order, with one statement for
// each kind of ID. An object that cannot be read is nil and has an error.
func (r *Resolver) nodes(ctx context.Context, by *auth.Principal, ids []string) ([]model.Node, []error) {
	nodes, faults := make([]model.Node, len(ids)), make([]error, len(ids))
	kinds := r.nodeKinds()
	// indexes are the indexes of the IDs of each kind.
	indexes := map[scalar.Kind][]int{}
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
		indexes[kind] = append(indexes[kind], i)
	}
	for kind, places := range indexes {
		wanted := make([]string, len(places))
		for n, i := range places {
			wanted[n] = keys[i]
		}
		found, err := r.nodesOf(ctx, by, kinds[kind], wanted)
		for _, i := range places {
			switch node, ok := found[keys[i]]; {
			case err != nil:
				faults[i] = err
			case ok:
				nodes[i] = node
			default:
				faults[i] = noNode()
			}
		}
	}
	return nodes, faults
}

func (r *Resolver) nodesOf(ctx context.Context, by *auth.Principal, k nodeKind, keys []string) (map[string]model.Node,
	error) {
	if err := r.rules.Node(by, k.typeName); err != nil {
		return nil, err
	}
	return k.find(ctx, by, keys)
}

func noNode() *fault.Error {
	return fault.Errorf(fault.NotFound, "There is no such object in this account.")
}

// uuids returns the keys that are UUIDs. Callers look up the results by the canonical
// spelling, in which scalar.SplitID returns keys. Other spellings find nothing.
func uuids(keys []string) []uuid.UUID {
	var ids []uuid.UUID
	for _, key := range keys {
		if id, err := uuid.Parse(key); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}
