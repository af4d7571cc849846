package server

import (
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"latchkey/graph/scalar"
)

// Conflict is conflict.
func Conflict(schema *ast.Schema, doc *ast.QueryDocument) *gqlerror.Error {
	return conflict(schema, doc)
}

// DecodeParams is decodeParams. It reports false for a refusal.
func DecodeParams(body []byte) (query, operationName string, variables map[string]any, ok bool) {
	p, refused := decodeParams(body)
	return p.query, p.operationName, p.variables, refused == nil
}

// Documents is a documents with the default limits.
type Documents struct{ d *documents }

// NewDocuments returns documents of the schema.
func NewDocuments(schema *ast.Schema) (Documents, error) {
	d, err := newDocuments(schema, Config{
		Limits: Limits{}.WithDefaults(), PageSize: 10, MaxPageSize: 250, Coerce: scalar.Coerce,
		Surcharge: func(*ast.Field, map[string]any) Cost { return Cost{} },
		Items:     func(*ast.Field, map[string]any) int { return 0 },
		Loads:     func(*ast.Field) int { return 0 },
	})
	return Documents{d}, err
}

// Get returns the document, or nil if it is refused. It returns the same pointer
// for a cached document.
func (d Documents) Get(text string) *ast.QueryDocument {
	doc, refused := d.d.get(text)
	if refused != nil {
		return nil
	}
	return doc.QueryDocument
}

// Weight returns the estimated size of the cache, and its bound.
func (d Documents) Weight() (now, most uint64) {
	d.d.cache.CleanUp()
	return d.d.cache.WeightedSize(), maxCached
}

// Introspections is an introspections.
type Introspections struct{ i *introspections }

// NewIntrospections returns an empty cache.
func NewIntrospections() (Introspections, error) {
	i, err := newIntrospections()
	return Introspections{i}, err
}

// Add caches a response under the number.
func (i Introspections) Add(number int, answer string) {
	i.i.cache.Set(selectionKey{byte(number >> 8), byte(number)}, introspected(answer))
}

// Weight returns the size of the cache, and its bound.
func (i Introspections) Weight() (now, most uint64) {
	i.i.cache.CleanUp()
	return i.i.cache.WeightedSize(), maxIntrospections
}
