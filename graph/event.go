package graph

import (
	"context"

	"latchkey/graph/model"
	"latchkey/graph/object"
	"latchkey/graph/scalar"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/webhook"
)

// eventFilter decodes a filter of events.
func eventFilter(f *model.EventFilterInput) (webhook.EventFilter, error) {
	if f == nil {
		return webhook.EventFilter{}, nil
	}
	filter := webhook.EventFilter{Types: f.Types, After: timeOf(f.After), Before: timeOf(f.Before)}
	if f.SubjectID == nil {
		return filter, nil
	}
	kind, key, err := scalar.SplitID(*f.SubjectID)
	filter.SubjectKind, filter.SubjectKey = audit.TargetKind(kind), key
	return filter, onField(err, "filter.subjectId")
}

func shownEvent(e audit.Event) object.Event { return object.Event{Event: e} }

func (r *Resolver) eventNodes(ctx context.Context, by *auth.Principal, keys []string) (map[string]model.Node, error) {
	events, err := r.events.ByID(ctx, by, uuids(keys))
	found := map[string]model.Node{}
	for id, e := range events {
		shown := shownEvent(e)
		found[id.String()] = &shown
	}
	return found, err
}
