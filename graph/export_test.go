package graph

import (
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// Conflict is conflict.
func Conflict(schema *ast.Schema, doc *ast.QueryDocument) *gqlerror.Error {
	return conflict(schema, doc)
}

// DecodeParams is decodeParams; an error stands for a refusal.
func DecodeParams(body []byte) (query, operationName string, variables map[string]any, ok bool) {
	p, refused := decodeParams(body)
	return p.query, p.operationName, p.variables, refused == nil
}

// Documents are documents under default limits.
type Documents struct{ d *documents }

// NewDocuments returns documents of the schema.
func NewDocuments(schema *ast.Schema) (Documents, error) {
	d, err := newDocuments(schema, Limits{}.orDefault())
	return Documents{d}, err
}

// Get returns the document of the text, nil if it is refused. The same
// document again was neither parsed nor validated again.
func (d Documents) Get(text string) *ast.QueryDocument {
	doc, refused := d.d.get(text)
	if refused != nil {
		return nil
	}
	return doc.QueryDocument
}

// Weight is the estimate of what the documents take, and the most they may.
func (d Documents) Weight() (now, most uint64) {
	d.d.kept.CleanUp()
	return d.d.kept.WeightedSize(), mostKept
}

// Introspections are introspections.
type Introspections struct{ i *introspections }

// NewIntrospections returns introspections without any answer.
func NewIntrospections() (Introspections, error) {
	i, err := newIntrospections()
	return Introspections{i}, err
}

// Add keeps an answer, each number's apart.
func (i Introspections) Add(number int, answer string) {
	i.i.kept.Set(selectionKey{byte(number >> 8), byte(number)}, introspected(answer))
}

// Weight is what the answers take, and the most they may.
func (i Introspections) Weight() (now, most uint64) {
	i.i.kept.CleanUp()
	return i.i.kept.WeightedSize(), mostIntrospected
}
