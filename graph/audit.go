package graph

import (
	"latchkey/graph/model"
	"latchkey/graph/object"
	"latchkey/graph/scalar"
	"latchkey/internal/audit"
	"latchkey/internal/fault"
)

// maxActions is the largest number of actions in an event filter. It exceeds the
// number of existing actions.
const maxActions = 100

// auditFilter decodes an event filter. It returns all errors at once.
func auditFilter(f *model.AuditEventFilterInput) (audit.Filter, error) {
	if f == nil {
		return audit.Filter{}, nil
	}
	filter := audit.Filter{After: timeOf(f.After), Before: timeOf(f.Before)}
	for _, action := range f.Actions {
		filter.Actions = append(filter.Actions, audit.Action(action))
	}
	var faults fault.List
	if len(filter.Actions) > maxActions {
		faults = append(faults, fault.Errorf(fault.Invalid, "Name at most %d actions.",
			maxActions).On("filter.actions"))
	}
	if f.ActorID != nil {
		key, err := object.ParseActor(*f.ActorID)
		faults = append(faults, faultsOn(err, "filter.actorId")...)
		filter.ActorID = &key
	}
	if f.TargetID != nil {
		_, key, err := scalar.SplitID(*f.TargetID)
		faults = append(faults, faultsOn(err, "filter.targetId")...)
		filter.TargetKey = key
	}
	return filter, faults.Err()
}
