package graph

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"latchkey/internal/auth"
)

// requirement is what @requires or @node ask of a principal.
type requirement struct {
	scopes   []string
	ownStore bool
	// permission is the name of one that passes as well; empty for none. It
	// stands for what people may do.
	permission string
	may        auth.Permission
}

// missing returns the scopes that the principal lacks, nil if it may pass.
func (r requirement) missing(by *auth.Principal) []string {
	if by.Kind == auth.Session && r.passes(by) {
		return nil
	}
	return by.Missing(r.scopes...)
}

// passes reports whether somebody's session needs no scopes. Where no
// permission is required, which includes being in a store, anybody's does.
func (r requirement) passes(by *auth.Principal) bool {
	switch {
	case r.permission != "":
		return r.may == auth.NoPermission || by.MaySomewhere(r.may)
	case r.ownStore:
		return by.OwnsAStore()
	}
	return false
}

// ruleSet is a set of requirements: bit i stands for rules.all[i].
type ruleSet uint64

// unknown stands for a field that the rules were not made from. Nobody meets
// it: a mistake in wiring refuses all rather than nothing.
const unknown ruleSet = 1 << 63

const mostRules = 63

// Rules are the requirements that the schema's directives declare, by field
// and by type. They are made once and then only read.
type Rules struct {
	schema *ast.Schema
	all    []requirement
	fields map[*ast.FieldDefinition]ruleSet
	nodes  map[string]requirement
	// groups are the types of the root mutation's fields, whose own fields
	// are the mutations.
	groups map[string]bool
}

// NewRules reads the rules from the directives of the schema. It returns an
// error that names every field without a rule, and every type that can be had
// by its id without one.
func NewRules(schema *ast.Schema) (*Rules, error) {
	r := &Rules{
		schema: schema,
		fields: map[*ast.FieldDefinition]ruleSet{},
		nodes:  map[string]requirement{},
		groups: map[string]bool{},
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
	if schema.Mutation != nil {
		for _, f := range schema.Mutation.Fields {
			r.groups[f.Type.Name()] = true
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
			r.fields[f] = 0 // introspection is for everyone
		default:
			faults = append(faults, fmt.Errorf("%s.%s: neither the field nor its type says what it @requires", def.Name, f.Name))
		}
	}
	if node := def.Directives.ForName("node"); node != nil {
		req, err := readRequirement(node)
		faults = append(faults, err)
		r.nodes[def.Name] = req
	} else if slices.Contains(def.Interfaces, "Node") {
		faults = append(faults, fmt.Errorf("%s: a Node that does not say by @node who may read it", def.Name))
	}
	return errors.Join(faults...)
}

// addInterface gives a field of an interface the rules of that field in every
// type that implements it, besides its own.
func (r *Rules) addInterface(def *ast.Definition) error {
	for _, f := range def.Fields {
		declared := f.Directives.ForName("requires")
		if declared == nil {
			return fmt.Errorf("%s.%s: the field does not say what it @requires", def.Name, f.Name)
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

// number returns the set of just this requirement. One that asks for nothing
// needs no number.
func (r *Rules) number(req requirement) ruleSet {
	if len(req.scopes) == 0 {
		return 0
	}
	i := slices.IndexFunc(r.all, func(known requirement) bool {
		return known.ownStore == req.ownStore && known.permission == req.permission && slices.Equal(known.scopes, req.scopes)
	})
	if i < 0 {
		i = len(r.all)
		r.all = append(r.all, req)
	}
	return 1 << i
}

// readRequirement reads the arguments of a directive, whose types the parser
// of the schema has checked.
func readRequirement(d *ast.Directive) (requirement, error) {
	var req requirement
	for _, child := range d.Arguments.ForName("scopes").Value.Children {
		req.scopes = append(req.scopes, child.Value.Raw)
	}
	if own := d.Arguments.ForName("ownStore"); own != nil {
		req.ownStore = own.Value.Raw == "true"
	}
	if p := d.Arguments.ForName("permission"); p != nil {
		what, known := auth.PermissionNamed(p.Value.Raw)
		if !known {
			return req, fmt.Errorf("%s: %q is no permission that anything here depends on", d.Position.Src.Name, p.Value.Raw)
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

// denied returns those of the rules that the principal does not meet.
func (r *Rules) denied(set ruleSet, by *auth.Principal) ruleSet {
	denied := set & unknown
	for i := range r.all {
		if rule := ruleSet(1) << i; set&rule != 0 && len(r.all[i].missing(by)) > 0 {
			denied |= rule
		}
	}
	return denied
}

// refusal is the error for a principal that does not meet the rules, which
// names every scope it lacks; nil if it meets them.
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

// Node decides whether the principal may read an object of the named type by
// its id. It returns fault.Forbidden if not.
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
