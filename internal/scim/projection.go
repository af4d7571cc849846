package scim

import "strings"

// Projection selects the attributes of an answer (RFC 7644, section 3.9).
type Projection struct {
	of *ResourceType
	// only has the selected attributes, and except the excluded ones, as wanted expects them. A nil map selects all.
	only, except map[string]bool
}

// Projection returns the selection of the search for resources of a type. Paths that the type does not have select
// nothing. If both parameters are given, an attribute must be in attributes and not in excludedAttributes.
func (s Search) Projection(t *ResourceType) Projection {
	p := Projection{of: t, except: t.keys(s.Excluded)}
	if len(s.Attributes) > 0 {
		p.only = t.keys(s.Attributes)
	}
	return p
}

// keys returns the attributes with the paths, each by the keys of its place in a document.
func (t *ResourceType) keys(paths []string) map[string]bool {
	keys := map[string]bool{}
	for _, path := range paths {
		r, ok := t.find(withoutFilter(path))
		switch {
		case !ok:
		case r.attribute == nil && r.schema == nil: // the whole resource
			for _, a := range t.attributes() {
				keys[a.Name] = true
			}
		case r.attribute == nil:
			keys[r.schema.ID] = true
		case r.schema != nil:
			keys[r.schema.ID+" "+r.attribute.Name] = true
		case r.sub != nil:
			keys[r.attribute.Name+" "+r.sub.Name] = true
		default:
			keys[r.attribute.Name] = true
		}
	}
	return keys
}

// withoutFilter returns a path without its filter, such as emails.value for emails[type eq "work"].value. A selection
// is of attributes and not of values, but Microsoft's reference client sends filters in it.
func withoutFilter(path string) string {
	before, after := strings.IndexByte(path, '['), strings.LastIndexByte(path, ']')
	if before < 0 || after < before {
		return path
	}
	return path[:before] + path[after+1:]
}

// attributes returns the attributes of the resource, without extensions.
func (t *ResourceType) attributes() []Attribute {
	return append(t.common[:len(t.common):len(t.common)], t.schema.Attributes...)
}

// Has reports whether an answer has the attribute with the path, or a part of it. The caller need not read the
// others.
func (p Projection) Has(path string) bool {
	key := path
	if r, ok := p.of.find(path); ok && r.attribute != nil {
		key = r.attribute.Name
		if r.attribute.Returned == Always {
			return true
		}
	}
	if p.except[key] {
		return false
	}
	if p.only == nil || p.only[key] {
		return true
	}
	for selected := range p.only {
		if strings.HasPrefix(selected, key+" ") {
			return true
		}
	}
	return false
}

// Apply returns the document with the selected attributes.
func (p Projection) Apply(d Document) Document {
	if p.only == nil && len(p.except) == 0 {
		return d
	}
	kept := Document{}
	for name, value := range d {
		if !p.Has(name) {
			continue
		}
		if value = p.parts(name, value); value != nil {
			kept[name] = value
		}
	}
	return kept
}

// parts returns the value of an attribute with the selected parts, or nil if none is left.
func (p Projection) parts(name string, value any) any {
	switch v := value.(type) {
	case Document:
		kept := Document{}
		for part, of := range v {
			if key := name + " " + part; !p.except[key] && (p.only == nil || p.only[name] || p.only[key]) {
				kept[part] = of
			}
		}
		if len(kept) > 0 {
			return kept
		}
		return nil
	case []Document:
		var kept []Document
		for _, each := range v {
			if of, ok := p.parts(name, each).(Document); ok {
				kept = append(kept, of)
			}
		}
		if len(kept) > 0 {
			return kept
		}
		return nil
	}
	return value
}
