package scim

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// maxOperations is the largest number of operations of a PATCH.
const maxOperations = 1000

// The operations of PATCH (RFC 7644, section 3.5.2).
const (
	opAdd     = "add"
	opReplace = "replace"
	opRemove  = "remove"
)

// edit is one step of a change: it writes one attribute that clients can change, or a part of it.
type edit struct {
	// op is add, replace or remove. Where the value is null, it is remove.
	op string
	attributeRef
	// where selects values of a multi-valued attribute, or is nil.
	where Condition
	value any
}

// changes reads the edits of requests for resources of a type.
type changes struct {
	of *ResourceType
	// write takes the next edit. Edits of attributes that are unknown or read-only are left out.
	write func(edit) error
}

// patch reads the body of a PATCH.
func (c changes) patch(body []byte) error {
	root, err := readObject(body)
	if err != nil {
		return err
	}
	value, _ := root.get("Operations")
	list, ok := value.([]any)
	switch {
	case !ok || len(list) == 0:
		return invalid("invalidSyntax", "The body must have the list Operations, with at least one operation.")
	case len(list) > maxOperations:
		return invalid("tooMany", "Send at most %d operations in a request.", maxOperations)
	}
	for i, operation := range list {
		if err := c.operation(operation); err != nil {
			return within("Operations["+strconv.Itoa(i)+"]", err)
		}
	}
	return nil
}

// within returns the error with the place in the request that it is about.
func within(place string, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	return &Error{e.Status, e.Type, place + ": " + e.Detail}
}

func (c changes) operation(of any) error {
	operation, ok := of.(object)
	if !ok {
		return invalid("invalidSyntax", "An operation must be an object with op, path and value.")
	}
	op, path, err := opAndPath(operation)
	if err != nil {
		return err
	}
	value, given := operation.get("value")
	switch {
	case op == opRemove && path == "":
		return invalid("noTarget", "The operation remove needs a path.")
	case op != opRemove && !given:
		return invalid("invalidValue", "The operation %s needs a value.", op)
	case path == "":
		attributes, ok := value.(object)
		if !ok {
			return invalid("invalidValue", "The value of an operation without a path must be an object.")
		}
		return c.each(op, "", attributes)
	}
	return c.at(op, path, value)
}

// opAndPath returns the operation in lower case, since some clients send Add, and its path.
func opAndPath(operation object) (op, path string, err error) {
	value, _ := operation.get("op")
	text, _ := value.(string)
	op = strings.ToLower(text)
	if op != opAdd && op != opReplace && op != opRemove {
		return "", "", invalid("invalidSyntax", "The op must be add, replace or remove.")
	}
	value, _ = operation.get("path")
	path, ok := value.(string)
	if !ok && value != nil {
		return "", "", invalid("invalidPath", "The path must be text.")
	}
	return op, strings.TrimSpace(path), nil
}

// each edits the attributes that an object names, by paths: some clients write "name.givenName" or a whole URN there.
// Other names are those of unknown attributes. urn is the schema that the object belongs to, or empty.
func (c changes) each(op, urn string, attributes object) error {
	for _, m := range attributes {
		path := m.name
		if !isPath(path) && !strings.Contains(path, "[") {
			continue
		}
		if urn != "" {
			path = urn + ":" + path
		}
		if err := c.at(op, path, m.value); err != nil {
			return err
		}
	}
	return nil
}

// at edits the attribute with the path.
func (c changes) at(op, path string, value any) error {
	to, where, err := parsePath(c.of, path)
	switch {
	case err != nil:
		return err
	case to == nil:
		return nil
	case to.attribute == nil: // the path is the URN of a schema
		return c.each(op, path, attributesOf(to.schema, value))
	case to.attribute.Type == Complex && !to.attribute.MultiValued && to.sub == nil:
		return c.parts(op, *to, value)
	case to.leaf().Mutability == ReadOnly:
		return nil
	case value == nil && op == opAdd && to.attribute.MultiValued:
		return nil // nothing is added, and nothing removed
	case value == nil:
		op = opRemove
	}
	return c.write(edit{op, *to, where, value})
}

// attributesOf returns the attributes in the value of a schema's URN. An extension without value loses its attributes.
func attributesOf(extension *Schema, value any) object {
	attributes, _ := value.(object)
	if value == nil && extension != nil {
		for _, a := range extension.Attributes {
			attributes = append(attributes, member{name: a.Name})
		}
	}
	return attributes
}

// parts edits the parts of an attribute such as name. Parts that the value does not name stay (RFC 7644, section
// 3.5.2.3), except those of a removed attribute.
func (c changes) parts(op string, to attributeRef, value any) error {
	if op == opRemove {
		value = nil
	}
	given, ok := value.(object)
	if !ok && value != nil && to.attribute.Mutability != ReadOnly {
		return invalid("invalidValue", "%s must be an object with its parts.", to.name())
	}
	for i := range to.attribute.SubAttributes {
		to.sub = &to.attribute.SubAttributes[i]
		part, named := given.get(to.sub.Name)
		if to.sub.Mutability == ReadOnly || !named && value != nil {
			continue
		}
		e := edit{op: op, attributeRef: to, value: part}
		if part == nil {
			e.op = opRemove
		}
		if err := c.write(e); err != nil {
			return err
		}
	}
	return nil
}

// parsePath reads the path of a PATCH. It returns nil for an attribute that the type does not have. The condition
// selects values of a multi-valued attribute; it is nil if the path has no brackets.
func parsePath(t *ResourceType, text string) (*attributeRef, Condition, error) {
	p := &parser{text: text, wrong: "invalidPath", what: "path", of: t}
	var to *attributeRef
	var where Condition
	_, err := p.whole(func() (c Condition, err error) {
		to, where, err = p.path()
		return nil, err
	})
	if err != nil {
		return nil, nil, err
	}
	return to, where, nil
}

func (p *parser) path() (*attributeRef, Condition, error) {
	name := p.word()
	if !isPath(name) {
		return nil, nil, p.fail(0, "an attribute is missing")
	}
	found, known := p.of.find(name)
	if p.next() != '[' {
		if !known {
			return nil, nil, nil
		}
		return &found, nil, nil
	}
	// What is read-only or unknown is ignored, but must be a filter.
	p.unknown = !known || found.attribute == nil || found.attribute.Mutability == ReadOnly
	_, where, err := p.brackets(0, name)
	if err != nil {
		return nil, nil, err
	}
	if p.next() == '.' {
		p.at++
		at := p.at
		part := p.word()
		if !isPath(part) {
			return nil, nil, p.fail(at, "the name of a part is missing")
		}
		if !p.unknown {
			found.sub = named(found.attribute.SubAttributes, part)
			known = found.sub != nil
		}
	}
	if !known || p.unknown {
		return nil, nil, nil
	}
	return &found, simplified(where), nil
}

// isPath reports whether text can be the path of an attribute: names that are joined by dots, after a URN or not.
func isPath(text string) bool {
	name := text[strings.LastIndexByte(text, ':')+1:]
	return !slices.Contains(strings.Split(name, "."), "") &&
		strings.IndexFunc(text, func(r rune) bool { return r > unicode.MaxASCII || !inWord(byte(r)) }) < 0
}

// text returns the value of an edit as text, or "" if the edit removes the attribute.
func (e edit) text() (string, error) {
	if e.op == opRemove {
		return "", nil
	}
	text, ok := e.value.(string)
	if !ok {
		return "", invalid("invalidValue", "%s must be text.", e.name())
	}
	return text, nil
}

// boolean returns the value of an edit as a boolean, which some clients send as text.
func (e edit) boolean() (bool, error) {
	switch v := e.value.(type) {
	case bool:
		return v, nil
	case string:
		if b, ok := boolean(v); ok {
			return b == "true", nil
		}
	}
	return false, invalid("invalidValue", "%s must be true or false.", e.name())
}

// removed returns an error if the edit removes an attribute that every resource must have.
func (e edit) removed() error {
	if e.op == opRemove {
		return invalid("mutability", "%s cannot be removed.", e.name())
	}
	return nil
}
