package graph

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"latchkey/graph/model"
	"latchkey/graph/object"
	"latchkey/graph/scalar"
	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/fault"
	"latchkey/internal/page"
	"latchkey/internal/token"
)

func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// overlapOf leaves out-of-range numbers to the policy, which knows the bounds:
// a number of seconds that no Duration holds is cut to one that it refuses.
func overlapOf(seconds *int) *time.Duration {
	if seconds == nil {
		return nil
	}
	const bound = int(token.MaxOverlap/time.Second) + 1
	overlap := time.Duration(max(-1, min(*seconds, bound))) * time.Second
	return &overlap
}

func storeFilter(f *model.StoreFilterInput) (account.StoreFilter, error) {
	if f == nil {
		return account.StoreFilter{}, nil
	}
	var faults fault.List
	for _, list := range []struct {
		field string
		size  int
	}{{"filter.ids", len(f.Ids)}, {"filter.storeHashes", len(f.StoreHashes)}} {
		if list.size > page.MaxSize {
			faults = append(faults, fault.Errorf(fault.Invalid, "Name at most %d stores.", page.MaxSize).On(list.field))
		}
	}
	return account.StoreFilter{IDs: object.ParseStores(f.Ids), Hashes: f.StoreHashes}, faults.Err()
}

func tokenFilter(f *model.APITokenFilterInput) token.Filter {
	if f == nil {
		return token.Filter{}
	}
	return token.Filter{Statuses: f.Statuses, Scope: textOf(f.Scope), UnusedSince: timeOf(f.UnusedSince)}
}

// filterText tells queries apart that differ in what they admit.
func filterText(q token.Query) string {
	return fmt.Sprint(q.Statuses, q.Scope, q.UnusedSince.UnixMicro())
}

func tokenUpdate(key uuid.UUID, input model.UpdateAPITokenInput) token.Update {
	return token.Update{
		ID: key, Name: input.Name, Scopes: input.Scopes, AllowedIPRanges: input.AllowedIPRanges, ExpiresAt: input.ExpiresAt,
	}
}

// maxActions bounds a filter of events. There are fewer actions.
const maxActions = 100

// auditFilter reads a filter of events. It returns every fault at once.
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
		faults = append(faults, fault.Errorf(fault.Invalid, "Name at most %d actions.", maxActions).On("filter.actions"))
	}
	if f.ActorID != nil {
		key, err := object.ParseActor(*f.ActorID)
		faults = append(faults, faultsOn(err, "filter.actorId")...)
		filter.ActorID = key
	}
	if f.TargetID != nil {
		_, key, err := scalar.SplitID(*f.TargetID)
		faults = append(faults, faultsOn(err, "filter.targetId")...)
		filter.TargetKey = key
	}
	return filter, faults.Err()
}

func faultsOn(err error, field string) fault.List {
	if err == nil {
		return nil
	}
	return fault.List{fault.Flatten(err)[0].On(field)}
}

// onField gives the failures of a look-up the field of the input that named
// what was looked up.
func onField(err error, field string) error {
	if err == nil || fault.KindOf(err) == fault.Internal {
		return err
	}
	var list fault.List
	for _, e := range fault.Flatten(err) {
		if e.Field == "" {
			e = e.On(field)
		}
		list = append(list, e)
	}
	return list.Err()
}
