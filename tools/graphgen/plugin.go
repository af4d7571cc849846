package main

import (
	_ "embed"
	"path/filepath"
	"slices"
	"strings"

	"github.com/99designs/gqlgen/codegen"
	"github.com/99designs/gqlgen/codegen/config"
	"github.com/99designs/gqlgen/codegen/templates"
	"github.com/vektah/gqlparser/v2/ast"
)

// plugin takes part in gqlgen's generation, before gqlgen writes its own code.
type plugin struct{}

// Name returns the plugin's name in gqlgen's messages.
func (plugin) Name() string { return "graphgen" }

//go:embed plain.gotpl
var plainTemplate string

// GenerateCode removes the functions that marshal plain objects and lists of them from gqlgen's data, and generates
// them itself.
func (plugin) GenerateCode(data *codegen.Data) error {
	serializeMutations(data)
	objects := plainObjects(data)
	build := &plainBuild{Data: data, Objects: objects}
	for _, key := range sortedKeys(data.ReferencedTypes) {
		ref := data.ReferencedTypes[key]
		if objects.marshals(ref) {
			build.Marshalers = append(build.Marshalers, ref)
			delete(data.ReferencedTypes, key)
		}
	}
	return templates.Render(templates.Options{
		PackageName:     data.Config.Exec.Package,
		Filename:        filepath.Join(data.Config.Exec.Dir(), "plain.generated.go"),
		Data:            build,
		GeneratedHeader: true,
		Packages:        data.Config.Packages,
		Template:        plainTemplate,
		PruneOptions:    data.Config.GetPruneOptions(),
	})
}

// Implement returns the existing body of a resolver. That of a new resolver is empty, so that the package does not
// compile until the resolver is implemented.
func (plugin) Implement(body string, _ *codegen.Field) string { return body }

// serializeMutations makes the fields of the objects under Mutation run one after the other. GraphQL requires that only
// of the root's own fields, which here are groups of mutations.
func serializeMutations(data *codegen.Data) {
	if data.MutationRoot == nil {
		return
	}
	for _, group := range data.MutationRoot.Fields {
		if o := data.Objects.ByName(group.TypeReference.Definition.Name); o != nil {
			o.DisableConcurrency = true
		}
	}
}

// plainBuild is the data of the template.
type plainBuild struct {
	*codegen.Data
	Objects    plainSet
	Marshalers []*config.TypeReference
}

// plainObject is an object type with its plain fields.
type plainObject struct {
	*codegen.Object
	Fields []plainField
}

// plainField is a plain field with its number.
type plainField struct {
	*codegen.Field
	Number int
}

// ObjectName returns the name of the field's object type, or "" for a leaf.
func (f plainField) ObjectName() string {
	if f.TypeReference.Definition.Kind == ast.Object {
		return f.TypeReference.Definition.Name
	}
	return ""
}

type plainSet []plainObject

// plainObjects returns the objects that have plain fields. There are none if a directive of the query location runs
// around fields.
func plainObjects(data *codegen.Data) plainSet {
	if len(data.AllDirectives.LocationDirectives("FIELD")) > 0 {
		return nil
	}
	var set plainSet
	candidates := map[string]bool{}
	for _, o := range data.Objects {
		candidates[o.Name] = !o.Root && !o.IsReserved() && !config.IsNilable(o.Type)
	}
	for _, o := range data.Objects {
		if !candidates[o.Name] {
			continue
		}
		plain := plainObject{Object: o}
		for _, f := range o.Fields {
			if isPlain(f, candidates) {
				plain.Fields = append(plain.Fields, plainField{f, len(plain.Fields) + 1})
			}
		}
		set = append(set, plain)
	}
	return set
}

func (s plainSet) has(name string) bool {
	return slices.ContainsFunc(s, func(o plainObject) bool { return o.Name == name })
}

// marshals reports whether the function that marshals ref is generated here: for an object, or a list of objects.
func (s plainSet) marshals(ref *config.TypeReference) bool {
	return ref.Definition.Kind == ast.Object && s.has(ref.Definition.Name) && isSupported(ref) &&
		(!ref.IsSlice() || !ref.Elem().IsSlice())
}

func isPlain(f *codegen.Field, candidates map[string]bool) bool {
	ref := f.TypeReference
	if f.IsResolver || f.Batch || f.Stream || f.HasHaser || f.IsMap() || len(f.Args) > 0 || f.HasDirectives() {
		return false
	}
	if f.IsMethod() && (f.MethodHasContext || !f.NoErr || f.VOkFunc) {
		return false
	}
	if ref.Definition.Kind == ast.Object && !candidates[ref.Definition.Name] {
		return false
	}
	return !strings.HasPrefix(f.Name, "__") && isSupported(ref)
}

// isSupported reports whether the code below supports the Go type of ref: a value, a pointer to one, or lists of those.
func isSupported(ref *config.TypeReference) bool {
	switch {
	case ref.IsSlice():
		return isSupported(ref.Elem())
	case ref.IsPtr():
		elem := ref.Elem()
		return !elem.IsPtr() && !elem.IsSlice() && isSupportedValue(elem)
	default:
		return isSupportedValue(ref)
	}
}

func isSupportedValue(ref *config.TypeReference) bool {
	if ref.IsNilable() || ref.IsTargetNilable() || ref.IsContext {
		return false
	}
	switch ref.Definition.Kind {
	case ast.Object:
		return !ref.IsMarshaler && ref.Marshaler == nil
	case ast.Scalar, ast.Enum:
		return ref.IsMarshaler || ref.Marshaler != nil
	default:
		return false
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
