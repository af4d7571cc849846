package graph

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2/ast"

	"latchkey/graph/model"
	"latchkey/graph/object"
	"latchkey/graph/scalar"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
	"latchkey/internal/webhook"
)

func webhookRequest(input model.CreateWebhookInput) webhook.Request {
	return webhook.Request{URL: input.URL, Description: textOf(input.Description), Types: input.EventTypes}
}

func webhookUpdate(key uuid.UUID, input model.UpdateWebhookInput) webhook.Update {
	return webhook.Update{ID: key, URL: input.URL, Description: input.Description, Types: input.EventTypes,
		State: input.State}
}

// webhookOverlap converts seconds to a duration. A number of seconds that would overflow a Duration is clamped to a
// value that the service rejects.
func webhookOverlap(seconds *int) *time.Duration {
	if seconds == nil {
		return nil
	}
	const bound = int(webhook.MaxOverlap/time.Second) + 1
	overlap := time.Duration(max(-1, min(*seconds, bound))) * time.Second
	return &overlap
}

// replayRequest decodes the input of a replay. It returns all errors at once.
func replayRequest(input model.ReplayDeliveriesInput) (webhook.ReplayRequest, error) {
	r := webhook.ReplayRequest{Since: timeOf(input.Since), Until: timeOf(input.Until), States: input.States}
	key, err := object.ParseKey(scalar.Webhook, input.WebhookID)
	faults := faultsOn(err, "webhookId")
	r.WebhookID = key
	if len(input.EventIds) > webhook.MaxReplayEvents {
		return r, append(faults, fault.Errorf(fault.Invalid, "Name at most %d events, or give a time instead.",
			webhook.MaxReplayEvents).On("eventIds")).Err()
	}
	if input.EventIds != nil {
		r.EventIDs, err = object.ParseKeys(scalar.Event, "eventIds", input.EventIds)
		faults = append(faults, fault.Flatten(err)...)
	}
	return r, faults.Err()
}

// deliveryFilter decodes a filter of deliveries.
func deliveryFilter(f *model.DeliveryFilterInput) (webhook.DeliveryFilter, error) {
	if f == nil {
		return webhook.DeliveryFilter{}, nil
	}
	filter := webhook.DeliveryFilter{States: f.States, Types: f.EventTypes, After: timeOf(f.After),
		Before: timeOf(f.Before)}
	if f.EventID == nil {
		return filter, nil
	}
	key, err := object.ParseKey(scalar.Event, *f.EventID)
	filter.EventID = &key
	return filter, onField(err, "filter.eventId")
}

// deliveryFilterText returns a text that is different for filters with different conditions.
func deliveryFilterText(f webhook.DeliveryFilter) string {
	return fmt.Sprintf("%q %q %s %d %d", f.States, f.Types, f.EventID, f.After.UnixMicro(), f.Before.UnixMicro())
}

func webhookKeys(webhooks []webhook.Webhook) []uuid.UUID {
	keys := make([]uuid.UUID, len(webhooks))
	for i, w := range webhooks {
		keys[i] = w.ID
	}
	return keys
}

// selectsAttempts reports whether the attempts of deliveries are selected below a set. They are only loaded then.
func selectsAttempts(set ast.SelectionSet) bool {
	return slices.ContainsFunc(set, func(selection ast.Selection) bool {
		switch s := selection.(type) {
		case *ast.Field:
			return s.Name == "attempts" || selectsAttempts(s.SelectionSet)
		case *ast.InlineFragment:
			return selectsAttempts(s.SelectionSet)
		case *ast.FragmentSpread:
			return selectsAttempts(s.Definition.SelectionSet)
		}
		return false
	})
}

// deliveries returns the connections of the webhooks' deliveries, by webhook ID.
func (r *Resolver) deliveries(ctx context.Context, by *auth.Principal, siblings *object.Siblings[webhook.Webhook],
	webhooks []webhook.Webhook, f webhook.DeliveryFilter, w paging.Window,
	attempts bool) (map[uuid.UUID]*object.DeliveryConnection, error) {
	pages, err := r.webhooks.DeliveriesOf(ctx, by, webhookKeys(webhooks), f, w, attempts)
	if err != nil {
		return nil, err
	}
	count := func(webhooks []webhook.Webhook) (map[uuid.UUID]int64, error) {
		return r.webhooks.CountDeliveriesOf(ctx, by, webhookKeys(webhooks), f)
	}
	connections := make(map[uuid.UUID]*object.DeliveryConnection, len(webhooks))
	for _, of := range webhooks {
		info, edges := object.Connect[object.DeliveryEdge](object.WebhookDeliveries, pages[of.ID],
			func(d webhook.Delivery) object.Delivery { return object.Delivery{Delivery: d} })
		connections[of.ID] = &object.DeliveryConnection{
			PageInfo: info, Edges: edges,
			Count: counted(siblings, fieldKey{field: "deliveries count", filter: deliveryFilterText(f)}, of.ID, count),
		}
	}
	return connections, nil
}

func (r *Resolver) webhookNodes(ctx context.Context, by *auth.Principal, keys []string) (map[string]model.Node, error) {
	webhooks, err := r.webhooks.WebhooksByID(ctx, by, uuids(keys))
	node := object.NewWebhooks(slices.Collect(maps.Values(webhooks)), r.webhooks.Now())
	found := map[string]model.Node{}
	for id, w := range webhooks {
		shown := node(w)
		found[id.String()] = &shown
	}
	return found, err
}
