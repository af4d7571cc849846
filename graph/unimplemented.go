package graph

import "latchkey/internal/fault"

// notImplemented is the answer of a field of the schema whose capability is
// not built yet. It names the field, type and all.
func notImplemented(field string) error {
	return fault.Errorf(fault.NotImplemented, "%s is not available yet.", field)
}
