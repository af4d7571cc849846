package scim

import "strings"

// Attribute describes an attribute of a resource (RFC 7643, section 7). In JSON, it is the attribute's entry in a
// published schema.
type Attribute struct {
	Name            string      `json:"name"`
	Type            Type        `json:"type"`
	SubAttributes   []Attribute `json:"subAttributes,omitempty"`
	MultiValued     bool        `json:"multiValued"`
	Description     string      `json:"description"`
	Required        bool        `json:"required"`
	CanonicalValues []string    `json:"canonicalValues,omitempty"`
	CaseExact       bool        `json:"caseExact"`
	Mutability      Mutability  `json:"mutability"`
	Returned        Returned    `json:"returned"`
	Uniqueness      Uniqueness  `json:"uniqueness"`
	ReferenceTypes  []string    `json:"referenceTypes,omitempty"`

	// field is what filters compare. Without field and constant, the attribute cannot be in a filter.
	field Field
	// constant is the attribute's value in every resource, if it has the same in all.
	constant string
}

// Type is the type of an attribute's values.
type Type string

// The types of attributes.
const (
	String    Type = "string"
	Boolean   Type = "boolean"
	DateTime  Type = "dateTime"
	Reference Type = "reference"
	Complex   Type = "complex"
)

// Mutability says whether clients can change an attribute.
type Mutability string

// The mutabilities in use. Values that a client sends for a read-only attribute are ignored.
const (
	ReadOnly  Mutability = "readOnly"
	ReadWrite Mutability = "readWrite"
)

// Returned says when an answer has the attribute.
type Returned string

// Always returned attributes are in every answer. Default attributes are in answers to requests that do not select
// others.
const (
	Always  Returned = "always"
	Default Returned = "default"
)

// Uniqueness says among which resources a value is unique.
type Uniqueness string

// Server means unique in the account.
const (
	None   Uniqueness = "none"
	Server Uniqueness = "server"
)

// Schema is a set of attributes with a URN (RFC 7643, section 7).
type Schema struct {
	ID          string      `json:"id"`
	Name        string      `json:"name"`
	Description string      `json:"description"`
	Attributes  []Attribute `json:"attributes"`
}

// ResourceType is a kind of resource: Users or Groups.
type ResourceType struct {
	// Name is the value of meta.resourceType.
	Name string
	// Endpoint is the path of the resources below the base address, such as /Users.
	Endpoint    string
	Description string

	// common are the attributes that every resource has (RFC 7643, section 3.1). They are in no schema.
	common     []Attribute
	schema     Schema
	extensions []Schema
}

// attributeRef is an attribute as a path names it.
type attributeRef struct {
	// schema is the extension that the attribute belongs to, or nil for the attributes of the resource itself.
	schema *Schema
	// attribute is nil if the path names the schema as a whole.
	attribute *Attribute
	// sub is a part of attribute, or nil if the path names no part.
	sub *Attribute
}

// leaf returns the attribute at the end of the path.
func (r attributeRef) leaf() *Attribute {
	if r.sub != nil {
		return r.sub
	}
	return r.attribute
}

// name returns the path with the case that the schema has, without a URN.
func (r attributeRef) name() string {
	if r.sub != nil {
		return r.attribute.Name + "." + r.sub.Name
	}
	return r.attribute.Name
}

// find returns the attribute with a path, such as userName, name.givenName, or a path after the URN of a schema and a
// colon. Case does not matter. It reports false if there is no such attribute.
func (t *ResourceType) find(path string) (attributeRef, bool) {
	if strings.EqualFold(path, t.schema.ID) {
		return attributeRef{}, true
	}
	for i := range t.extensions {
		if strings.EqualFold(path, t.extensions[i].ID) {
			return attributeRef{schema: &t.extensions[i]}, true
		}
	}
	urn, name := "", path
	if i := strings.LastIndexByte(path, ':'); i >= 0 {
		urn, name = path[:i], path[i+1:]
	}
	if urn == "" || strings.EqualFold(urn, t.schema.ID) {
		found, ok := findIn(t.common, name)
		if !ok {
			found, ok = findIn(t.schema.Attributes, name)
		}
		return found, ok
	}
	for i := range t.extensions {
		if strings.EqualFold(urn, t.extensions[i].ID) {
			found, ok := findIn(t.extensions[i].Attributes, name)
			found.schema = &t.extensions[i]
			return found, ok
		}
	}
	return attributeRef{}, false
}

// findIn returns the attribute of the list with a path of one or two names.
func findIn(list []Attribute, path string) (attributeRef, bool) {
	name, part, dotted := strings.Cut(path, ".")
	a := named(list, name)
	if a == nil || !dotted {
		return attributeRef{attribute: a}, a != nil
	}
	sub := named(a.SubAttributes, part)
	return attributeRef{attribute: a, sub: sub}, sub != nil
}

// named returns the attribute of the list with the name, or nil.
func named(list []Attribute, name string) *Attribute {
	for i := range list {
		if strings.EqualFold(list[i].Name, name) {
			return &list[i]
		}
	}
	return nil
}
