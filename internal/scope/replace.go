package scope

import (
	"reflect"
	"slices"

	"latchkey/internal/fault"
)

// Copy returns a catalogue of its own with the same content.
func (c *Catalogue) Copy() *Catalogue { return newCatalogue(c.current.Load()) }

// Replace gives the catalogue the content of another one. What uses it must be
// prepared for the difference (Compare).
func (c *Catalogue) Replace(by *Catalogue) { c.current.Store(by.current.Load()) }

// Difference is what another catalogue has that one has not.
type Difference struct {
	// Added are the scopes that only the other one has, in its order.
	Added []string
	// Described reports whether names, descriptions or the order differ, apart from
	// what the added scopes bring.
	Described bool
}

// Compare returns the difference to another catalogue if it can replace this one
// while tokens are used. It returns fault.Invalid with each scope that is missing
// or has other properties: tokens hold it, and credentials with its implications
// are cached.
func (c *Catalogue) Compare(next *Catalogue) (Difference, error) {
	old, other := c.current.Load(), next.current.Load()
	var d Difference
	var faults fault.List
	refuse := func(name, reason string) {
		faults = append(faults, fault.Errorf(fault.Invalid,
			"The scope %s %s, which needs a restart. Without one, scopes can only be added or described otherwise.", name,
			reason))
	}
	var kept []Resource
	for _, r := range other.resources {
		r.Permissions = slices.DeleteFunc(slices.Clone(r.Permissions), func(p Permission) bool {
			_, known := old.grants[p.Scope]
			if !known {
				d.Added = append(d.Added, p.Scope)
			}
			return !known
		})
		if len(r.Permissions) > 0 {
			kept = append(kept, r)
		}
	}
	for _, r := range old.resources {
		for _, p := range r.Permissions {
			was := old.grants[p.Scope]
			now, known := other.grants[p.Scope]
			switch {
			case !known:
				refuse(p.Scope, "was removed")
			case was.Level != now.Level:
				refuse(p.Scope, "has another level")
			case was.Feature != now.Feature:
				refuse(p.Scope, "needs another feature")
			case was.Delegable != now.Delegable:
				refuse(p.Scope, "can be delegated or no longer")
			case !slices.Equal(was.Implies, now.Implies):
				refuse(p.Scope, "implies other scopes")
			}
		}
	}
	d.Described = !reflect.DeepEqual(kept, old.resources)
	return d, faults.Err()
}
