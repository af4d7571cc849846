package panel

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"latchkey/internal/fault"
)

// The schema as the API tells it (GraphQL, section "Introspection"): what all
// types are called, and all there is to know of one.
const (
	typeList = `query {
  __schema {
    queryType { name }
    mutationType { name }
    types {
      name kind description
      fields(includeDeprecated: true) { name description }
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

// typeRef is what type something has: a named one, or a list of others, or one
// that is never null.
type typeRef struct {
	Name, Kind string
	OfType     *typeRef
}

// Named is the type without the lists around it.
func (r typeRef) Named() string {
	for r.OfType != nil {
		r = *r.OfType
	}
	return r.Name
}

// Before is what stands before the name of the type.
func (r typeRef) Before() string {
	before := ""
	for ; r.OfType != nil; r = *r.OfType {
		if r.Kind == "LIST" {
			before += "["
		}
	}
	return before
}

// After is what follows the name of the type.
func (r typeRef) After() string {
	after := ""
	for ; r.OfType != nil; r = *r.OfType {
		after = map[string]string{"LIST": "]", "NON_NULL": "!"}[r.Kind] + after
	}
	return after
}

// schemaPage is the documentation: of one type, of what a search found, or the
// list of all types.
type schemaPage struct {
	Here, Explorer string
	Search         string
	Type           *schemaType
	Groups         []typeGroup
	Matches        []schemaMatch
	// More says that there are more matches than are shown.
	More bool
}

// typeGroup are the types of a kind.
type typeGroup struct {
	Kind  string
	Types []schemaType
}

// schemaMatch is a type or a field that a search found.
type schemaMatch struct{ Type, Field, Description string }

// mostMatches is how many matches of a search are shown.
const mostMatches = 100

// explorerSchema shows the documentation of the API's schema.
func (v *visit) explorerSchema() error {
	asked := v.r.URL.Query()
	shown := schemaPage{Here: v.in("/graphiql/schema"), Explorer: v.in("/graphiql"), Search: strings.TrimSpace(asked.Get("q"))}
	if name := asked.Get("type"); name != "" {
		var found struct {
			Type *schemaType `json:"__type"`
		}
		if err := v.askFor(typeByName, map[string]string{"name": name}, &found); err != nil {
			return err
		}
		if found.Type == nil {
			return fault.Errorf(fault.NotFound, "%s", v.text("graphiql.schema.no_type"))
		}
		shown.Type = found.Type
		return v.page(http.StatusOK, "explorer-schema", shown)
	}
	var found struct {
		Schema struct {
			QueryType, MutationType schemaType
			Types                   []schemaType
		} `json:"__schema"`
	}
	if err := v.askFor(typeList, nil, &found); err != nil {
		return err
	}
	if shown.Search != "" {
		shown.Matches = matches(found.Schema.Types, shown.Search)
		if shown.More = len(shown.Matches) > mostMatches; shown.More {
			shown.Matches = shown.Matches[:mostMatches]
		}
		return v.page(http.StatusOK, "explorer-schema", shown)
	}
	shown.Groups = typeGroups(found.Schema.Types, found.Schema.QueryType.Name, found.Schema.MutationType.Name)
	return v.page(http.StatusOK, "explorer-schema", shown)
}

// typeGroups are the types by kind: first those that operations begin at, last
// those of the schema's own description.
func typeGroups(types []schemaType, roots ...string) []typeGroup {
	groups := []typeGroup{{Kind: "ROOT"}, {Kind: "OBJECT"}, {Kind: "INPUT_OBJECT"}, {Kind: "ENUM"}, {Kind: "INTERFACE"}, {Kind: "UNION"}, {Kind: "SCALAR"}}
	for _, t := range types {
		kind := t.Kind
		switch {
		case slices.Contains(roots, t.Name):
			kind = "ROOT"
		case strings.HasPrefix(t.Name, "__"):
			continue
		}
		for i := range groups {
			if groups[i].Kind == kind {
				groups[i].Types = append(groups[i].Types, t)
			}
		}
	}
	groups = slices.DeleteFunc(groups, func(g typeGroup) bool { return len(g.Types) == 0 })
	for _, g := range groups[1:] {
		slices.SortFunc(g.Types, func(a, b schemaType) int { return cmp.Compare(a.Name, b.Name) })
	}
	return groups
}

// matches are the types and fields that have a text in their name or
// description, those first that have it in the name.
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

// TypeAt is the address of the documentation of a type.
func (p schemaPage) TypeAt(name string) string {
	return p.Here + "?" + url.Values{"type": {name}}.Encode()
}

// span is a part of a description, which may be what programs write.
type span struct {
	Text string
	Code bool
}

// Prose are the parts of a description, in which code stands in backticks.
func (p schemaPage) Prose(description string) []span {
	var spans []span
	for i, text := range strings.Split(description, "`") {
		spans = append(spans, span{text, i%2 == 1})
	}
	return spans
}
