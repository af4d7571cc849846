package webhook

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
)

// EventFilter selects events of the account's log. Zero fields select all.
type EventFilter struct {
	// Types are event types, and patterns such as "api_token.*" and "*".
	Types []string
	// SubjectKind and SubjectKey select the events about one object.
	SubjectKind audit.TargetKind
	SubjectKey  string
	// After and Before are exclusive bounds on the time of the event.
	After, Before time.Time
}

// Events reads the event log of the principal's account, for readers that poll instead of receiving webhooks. A
// principal that may read the audit log reads all events. Others that may read webhooks read those of the types that
// their own webhooks could receive.
type Events struct{ log audit.Log }

// NewEvents returns a reader of the log.
func NewEvents(log audit.Log) *Events { return &Events{log} }

// Page returns a page of events in the order of their commits, oldest first. A reader that continues after the cursor
// of the last event receives every event once. Page returns fault.Invalid with every field of the filter or the request
// that breaks a rule, and fault.Forbidden for types that the principal may not read.
func (e *Events) Page(ctx context.Context, by *auth.Principal, f EventFilter,
	r paging.Request) (paging.Page[audit.Event], error) {
	w, err := r.LogWindow(paging.MaxSize)
	faults := fault.List(fault.Flatten(err))
	filter, err := f.of(by)
	faults = append(faults, fault.Flatten(err)...)
	if err := faults.Err(); err != nil {
		return paging.Page[audit.Event]{}, err
	}
	return e.log.Log(ctx, by.AccountID, filter, w)
}

// Count returns the number of events that the filter selects and the principal may read.
func (e *Events) Count(ctx context.Context, by *auth.Principal, f EventFilter) (int64, error) {
	filter, err := f.of(by)
	if err != nil {
		return 0, err
	}
	return e.log.CountLog(ctx, by.AccountID, filter)
}

// ByID returns the events among the IDs that the principal may read.
func (e *Events) ByID(ctx context.Context, by *auth.Principal, ids []uuid.UUID) (map[uuid.UUID]audit.Event, error) {
	types, err := readable(by)
	if err != nil {
		return nil, err
	}
	found, err := e.log.EventsByID(ctx, by.AccountID, ids)
	maps.DeleteFunc(found, func(_ uuid.UUID, each audit.Event) bool {
		return !slices.Contains(types, each.Action.Type())
	})
	return found, err
}

// of returns the filter of the log for the principal.
func (f EventFilter) of(by *auth.Principal) (audit.LogFilter, error) {
	types, err := selected(by, f.Types, "filter.types")
	if err != nil {
		return audit.LogFilter{}, err
	}
	if len(types) == len(audit.Types()) {
		types = nil
	}
	return audit.LogFilter{Types: types, SubjectKind: f.SubjectKind, SubjectKey: f.SubjectKey, After: f.After,
		Before: f.Before}, nil
}

// selected returns the types that the patterns select, or all without any, limited to those that the principal may
// read. It returns an error for each pattern that selects no type, or none that the principal may read.
func selected(by *auth.Principal, patterns []string, field string) ([]audit.Type, error) {
	may, err := readable(by)
	if err != nil {
		return nil, err
	}
	if len(patterns) == 0 {
		return may, nil
	}
	if len(patterns) > MaxTypes {
		return nil, fault.Errorf(fault.Invalid, "Name at most %d event types.", MaxTypes).On(field)
	}
	isReadable := func(t audit.Type) bool { return slices.Contains(may, t) }
	var faults fault.List
	for _, p := range slices.Compact(slices.Sorted(slices.Values(patterns))) {
		switch types := audit.TypesOf([]string{p}); {
		case len(types) == 0:
			faults = append(faults, errNoType(p).On(field))
		case !slices.ContainsFunc(types, isReadable):
			faults = append(faults, auth.Denied(ReadScope(types[0])).On(field))
		}
	}
	types := slices.DeleteFunc(audit.TypesOf(patterns), func(t audit.Type) bool { return !isReadable(t) })
	return types, faults.Err()
}
