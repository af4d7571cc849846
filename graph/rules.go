package graph

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"latchkey/internal/auth"
)

// requirement is the arguments of an @requires or @node directive.
type requirement struct {
	scopes []string
	// ownStore and ownAccount admit the sessions of a store's owner and of the account's owner without the scopes.
	ownStore, ownAccount bool
	// permission is the name of a store permission that passes without the
	// scopes, empty for none. may is the permission of that name.
	permission string
	may        auth.Permission
}

// missing returns the scopes that the principal lacks, or nil if it passes.
func (r requirement) missing(by *auth.Principal) []string {
	if by.Kind == auth.Session && r.passes(by) {
		return nil
	}
	return by.Missing(r.scopes...)
}

// passes reports whether a session passes without scopes. With NoPermission,
// every session does.
func (r requirement) passes(by *auth.Principal) bool {
	switch {
	case r.ownAccount && by.AccountOwner:
		return true
	case r.permission != "":
		return r.may == auth.NoPermission || by.MaySomewhere(r.may)
	case r.ownStore:
		return by.OwnsAStore()
	}
	return false
}

// ruleSet is a set of requirements. Bit i is rules.all[i].
type ruleSet uint64

// unknown is the rule of a field that NewRules has not seen. No principal meets
// it, so a wiring mistake denies access.
const unknown ruleSet = 1 << 63

const mostRules = 63

// Rules are the requirements that the schema's directives declare, by field and
// by type. They are safe for concurrent use.
type Rules struct {
	schema *ast.Schema
	all    []requirement
	fields map[*ast.FieldDefinition]ruleSet
	nodes  map[string]requirement
	// groups are the types of the root mutation's fields, whose own fields
	// are the mutations.
	groups map[string]bool
}

// NewRules reads the rules from the directives of the schema. It returns an error
// that names every field without @requires, and every Node type without @node.
func NewRules(schema *ast.Schema) (*Rules, error) {
	r := &Rules{
		schema: schema,
		fields: map[*ast.FieldDefinition]ruleSet{},
		nodes:  map[string]requirement{},
		groups: map[string]bool{},
	}
	if schema.Mutation != nil {
		for _, f := range schema.Mutation.Fields {
			r.groups[f.Type.Name()] = true
		}
	}
	var faults []error
	for _, name := range sortedTypes(schema) {
		def := schema.Types[name]
		if def.Kind == ast.Object {
			faults = append(faults, r.addObject(def))
		}
	}
	for _, name := range sortedTypes(schema) {
		def := schema.Types[name]
		if def.Kind == ast.Interface {
			faults = append(faults, r.addInterface(def))
		}
	}
	if len(r.all) > mostRules {
		faults = append(faults, fmt.Errorf("the schema has %d different rules, more than %d", len(r.all), mostRules))
	}
	return r, errors.Join(faults...)
}

func sortedTypes(schema *ast.Schema) []string {
	names := make([]string, 0, len(schema.Types))
	for name := range schema.Types {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (r *Rules) addObject(def *ast.Definition) error {
	var faults []error
	byType := def.Directives.ForName("requires")
	for _, f := range def.Fields {
		declared := f.Directives.ForName("requires")
		if declared == nil {
			declared = byType
		}
		switch {
		case declared != nil:
			req, err := readRequirement(declared)
			faults = append(faults, err)
			r.fields[f] = r.number(req)
		case strings.HasPrefix(f.Name, "__") || strings.HasPrefix(def.Name, "__"):
			r.fields[f] = 0 // introspection is always allowed
		case r.isEntry(def):
			faults = append(faults, fmt.Errorf("%s.%s: neither the field nor its type has @requires", def.Name, f.Name))
		default:
			r.fields[f] = 0 // see isEntry
		}
	}
	if node := def.Directives.ForName("node"); node != nil {
		req, err := readRequirement(node)
		faults = append(faults, err)
		r.nodes[def.Name] = req
	} else if slices.Contains(def.Interfaces, "Node") {
		faults = append(faults, fmt.Errorf("%s: a Node without @node", def.Name))
	}
	return errors.Join(faults...)
}

// isEntry reports whether operations start at the fields of the type: at queries,
// or at mutations. Those fields must have @requires. The fields of all other types
// need nothing unless they say so, because an object is only reached through a field
// that was allowed, or through @node.
func (r *Rules) isEntry(def *ast.Definition) bool {
	return def == r.schema.Query || def == r.schema.Mutation || def == r.schema.Subscription || r.groups[def.Name]
}

// addInterface gives a field of an interface its own rules and those of the field
// in every type that implements the interface.
func (r *Rules) addInterface(def *ast.Definition) error {
	for _, f := range def.Fields {
		declared := f.Directives.ForName("requires")
		if declared == nil {
			return fmt.Errorf("%s.%s: the field has no @requires", def.Name, f.Name)
		}
		req, err := readRequirement(declared)
		if err != nil {
			return err
		}
		set := r.number(req)
		for _, object := range r.schema.GetPossibleTypes(def) {
			set |= r.fields[object.Fields.ForName(f.Name)]
		}
		r.fields[f] = set
	}
	return nil
}

// number returns the set with only this requirement, adding it to r.all if it is
// new. A requirement without scopes is the empty set.
func (r *Rules) number(req requirement) ruleSet {
	if len(req.scopes) == 0 {
		return 0
	}
	i := slices.IndexFunc(r.all, func(known requirement) bool {
		return known.ownStore == req.ownStore && known.ownAccount == req.ownAccount &&
			known.permission == req.permission && slices.Equal(known.scopes, req.scopes)
	})
	if i < 0 {
		i = len(r.all)
		r.all = append(r.all, req)
	}
	return 1 << i
}

// readRequirement reads the arguments of a directive. The schema's parser has
// checked their types.
func readRequirement(d *ast.Directive) (requirement, error) {
	var req requirement
	for _, child := range d.Arguments.ForName("scopes").Value.Children {
		req.scopes = append(req.scopes, child.Value.Raw)
	}
	for name, admits := range map[string]*bool{"ownStore": &req.ownStore, "ownAccount": &req.ownAccount} {
		if own := d.Arguments.ForName(name); own != nil {
			*admits = own.Value.Raw == "true"
		}
	}
	if p := d.Arguments.ForName("permission"); p != nil {
		what, known := auth.PermissionNamed(p.Value.Raw)
		if !known {
			return req, fmt.Errorf("%s: %q is not a permission that the service checks", d.Position.Src.Name,
				p.Value.Raw)
		}
		req.permission, req.may = p.Value.Raw, what
	}
	return req, nil
}

// of returns the rules of a selected field.
func (r *Rules) of(f *ast.Field) ruleSet {
	set, ok := r.fields[f.Definition]
	if !ok && f.Name != "__typename" {
		return unknown
	}
	return set
}

// denied returns the rules that the principal does not meet.
func (r *Rules) denied(set ruleSet, by *auth.Principal) ruleSet {
	denied := set & unknown
	for i := range r.all {
		if rule := ruleSet(1) << i; set&rule != 0 && len(r.all[i].missing(by)) > 0 {
			denied |= rule
		}
	}
	return denied
}

// refusal returns the error for a principal that does not meet the rules, with
// the scopes that it lacks, or nil if it meets them.
func (r *Rules) refusal(set ruleSet, by *auth.Principal) error {
	denied := r.denied(set, by)
	if denied == 0 {
		return nil
	}
	var missing []string
	for i := range r.all {
		if denied&(1<<i) != 0 {
			missing = append(missing, r.all[i].missing(by)...)
		}
	}
	slices.Sort(missing)
	return auth.Denied(slices.Compact(missing)...)
}

// Node returns fault.Forbidden if the principal may not read objects of the named
// type by ID.
func (r *Rules) Node(by *auth.Principal, typeName string) error {
	req, ok := r.nodes[typeName]
	if !ok {
		return auth.Denied()
	}
	if missing := req.missing(by); len(missing) > 0 {
		return auth.Denied(missing...)
	}
	return nil
}
