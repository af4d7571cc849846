package panel

import (
	"cmp"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"latchkey/internal/fault"
)

// The introspection queries (GraphQL, section "Introspection"): the list of all types, and the details of one type.
const (
	typeList = `query {
  __schema {
    queryType { name }
    mutationType { name }
    types {
      name kind description
      fields(includeDeprecated: true) {
        name description type { name kind ofType { name kind ofType { name kind ofType { name kind } } } }
      }
      inputFields(includeDeprecated: true) { name description }
      enumValues(includeDeprecated: true) { name description }
    }
  }
}`
	typeByName = `query ($name: String!) {
  __type(name: $name) {
    name kind description
    fields(includeDeprecated: true) {
      name description isDeprecated deprecationReason
      args(includeDeprecated: true) { ...Input }
      type { ...Type }
    }
    inputFields(includeDeprecated: true) { ...Input }
    enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
    interfaces { name }
    possibleTypes { name }
  }
}
fragment Input on __InputValue { name description defaultValue isDeprecated deprecationReason type { ...Type } }
fragment Type on __Type { name kind ofType { name kind ofType { name kind ofType { name kind } } } }`
)

// schemaType is a type of the schema.
type schemaType struct {
	Name, Kind, Description string
	Fields                  []schemaField
	InputFields             []schemaField
	EnumValues              []schemaField
	Interfaces              []schemaType
	PossibleTypes           []schemaType
}

// schemaField is a field, an argument or a value of a type.
type schemaField struct {
	Name, Description, DefaultValue string
	IsDeprecated                    bool
	DeprecationReason               string
	Type                            typeRef
	Args                            []schemaField
}

// typeRef is the type of a field or an argument: a named type, or a list or non-null type that wraps another.
type typeRef struct {
	Name, Kind string
	OfType     *typeRef
}

// Named returns the name of the type without its list and non-null wrappers.
func (r typeRef) Named() string {
	for r.OfType != nil {
		r = *r.OfType
	}
	return r.Name
}

// Before returns the brackets that precede the type's name.
func (r typeRef) Before() string {
	before := ""
	for ; r.OfType != nil; r = *r.OfType {
		if r.Kind == "LIST" {
			before += "["
		}
	}
	return before
}

// After returns the brackets and exclamation marks that follow the type's name.
func (r typeRef) After() string {
	after := ""
	for ; r.OfType != nil; r = *r.OfType {
		after = map[string]string{"LIST": "]", "NON_NULL": "!"}[r.Kind] + after
	}
	return after
}

// pagingArguments are the arguments of every connection.
var pagingArguments = []string{"first", "last", "after", "before"}

// Own returns the arguments other than those for paging, and Paging returns those.
func (f schemaField) Own() []schemaField    { return f.arguments(false) }
func (f schemaField) Paging() []schemaField { return f.arguments(true) }

func (f schemaField) arguments(paging bool) []schemaField {
	connection := strings.HasSuffix(f.Type.Named(), "Connection")
	return slices.DeleteFunc(slices.Clone(f.Args), func(a schemaField) bool {
		return (connection && slices.Contains(pagingArguments, a.Name)) != paging
	})
}

// schemaPage is the data of the documentation: one type, the matches of a search, or the list of all types.
type schemaPage struct {
	Here   string
	Search string
	Type   *schemaType
	// QueryType is the name of the query type, Queries are its fields, and Mutations those of the mutation type with
	// the mutations below each.
	QueryType string
	Queries   []schemaField
	Mutations []schemaArea
	Groups    []typeGroup
	Matches   []schemaMatch
	// More reports whether there are more matches than the page shows.
	More bool
}

// schemaArea is a field of the mutation type: the mutations about one kind of thing.
type schemaArea struct {
	Name, Description, Type string
	Fields                  []schemaField
}

// typeGroup is the types of one kind. Parts are the ones that other types consist of: edges, connections and results.
type typeGroup struct {
	Kind         string
	Types, Parts []schemaType
}

// schemaMatch is a type or a field that matches a search.
type schemaMatch struct{ Type, Field, Description string }

// mostMatches is the largest number of matches that a page shows.
const mostMatches = 100

// schema shows the documentation of the API's schema.
func (h *explorerHandler) schema(q *request) error {
	query := q.r.URL.Query()
	shown := schemaPage{Here: q.address("/graphiql/schema"),
		Search: strings.TrimSpace(query.Get("q"))}
	if name := query.Get("type"); name != "" {
		var found struct {
			Type *schemaType `json:"__type"`
		}
		if err := h.query(q, typeByName, map[string]string{"name": name}, &found); err != nil {
			return err
		}
		if found.Type == nil {
			return fault.Errorf(fault.NotFound, "%s", q.text("graphiql.schema.no_type"))
		}
		shown.Type = found.Type
		return explorerSchemaTemplate.show(q, http.StatusOK, shown)
	}
	var found struct {
		Schema struct {
			QueryType, MutationType schemaType
			Types                   []schemaType
		} `json:"__schema"`
	}
	if err := h.query(q, typeList, nil, &found); err != nil {
		return err
	}
	if shown.Search != "" {
		shown.Matches = matches(found.Schema.Types, shown.Search)
		if shown.More = len(shown.Matches) > mostMatches; shown.More {
			shown.Matches = shown.Matches[:mostMatches]
		}
		return explorerSchemaTemplate.show(q, http.StatusOK, shown)
	}
	roots := []string{found.Schema.QueryType.Name, found.Schema.MutationType.Name}
	shown.Groups = typeGroups(found.Schema.Types, roots...)
	shown.QueryType = roots[0]
	shown.Queries = fieldsOfType(found.Schema.Types, roots[0])
	for _, f := range fieldsOfType(found.Schema.Types, roots[1]) {
		name := f.Type.Named()
		shown.Mutations = append(shown.Mutations, schemaArea{f.Name, f.Description, name,
			fieldsOfType(found.Schema.Types, name)})
	}
	return explorerSchemaTemplate.show(q, http.StatusOK, shown)
}

// fieldsOfType returns the fields of the type with a name.
func fieldsOfType(types []schemaType, name string) []schemaField {
	for _, t := range types {
		if t.Name == name {
			return t.Fields
		}
	}
	return nil
}

// isPart reports whether a type is one that other types consist of.
func isPart(t schemaType) bool {
	return strings.HasSuffix(t.Name, "Edge") || strings.HasSuffix(t.Name, "Connection") ||
		strings.HasSuffix(t.Name, "Result")
}

// typeGroups groups the types by kind. The root types of operations come first, and introspection types are left
// out.
func typeGroups(types []schemaType, roots ...string) []typeGroup {
	groups := []typeGroup{{Kind: "ROOT"}, {Kind: "OBJECT"}, {Kind: "INPUT_OBJECT"}, {Kind: "ENUM"}, {Kind: "INTERFACE"},
		{Kind: "UNION"}, {Kind: "SCALAR"}}
	for _, t := range types {
		kind := t.Kind
		switch {
		case slices.Contains(roots, t.Name):
			kind = "ROOT"
		case strings.HasPrefix(t.Name, "__"):
			continue
		}
		for i := range groups {
			if groups[i].Kind == kind && kind == "OBJECT" && isPart(t) {
				groups[i].Parts = append(groups[i].Parts, t)
			} else if groups[i].Kind == kind {
				groups[i].Types = append(groups[i].Types, t)
			}
		}
	}
	groups = slices.DeleteFunc(groups, func(g typeGroup) bool { return len(g.Types) == 0 })
	for _, g := range groups[1:] {
		for _, types := range [][]schemaType{g.Types, g.Parts} {
			slices.SortFunc(types, func(a, b schemaType) int { return cmp.Compare(a.Name, b.Name) })
		}
	}
	return groups
}

// matches returns the types and fields whose name or description contains text. Matches in the name come first.
func matches(types []schemaType, text string) []schemaMatch {
	var named, described []schemaMatch
	consider := func(m schemaMatch, name string) {
		switch {
		case containsFold(name, text):
			named = append(named, m)
		case containsFold(m.Description, text):
			described = append(described, m)
		}
	}
	for _, t := range types {
		if strings.HasPrefix(t.Name, "__") {
			continue
		}
		consider(schemaMatch{Type: t.Name, Description: t.Description}, t.Name)
		for _, f := range slices.Concat(t.Fields, t.InputFields, t.EnumValues) {
			consider(schemaMatch{t.Name, f.Name, f.Description}, f.Name)
		}
	}
	return append(named, described...)
}

func containsFold(text, part string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(part))
}

// TypeAt returns the address of a type's documentation.
func (p schemaPage) TypeAt(name string) string {
	return p.Here + "?" + url.Values{"type": {name}}.Encode()
}

// download sends the schema as a file, for tools that read GraphQL's schema language.
func (h *explorerHandler) download(q *request) error {
	q.w.Header().Set("Content-Type", "application/graphql; charset=utf-8")
	q.w.Header().Set("Content-Disposition", "attachment; filename=latchkey.graphqls")
	// An error means that the client closed the connection.
	_, _ = io.WriteString(q.w, h.sdl())
	return nil
}
