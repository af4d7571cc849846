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
