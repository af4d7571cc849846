package graph

import (
	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
)

// BulkItems is bulkItems.
func BulkItems(f *ast.Field, variables map[string]any) int { return bulkItems(f, variables) }

// NewSchema is newSchema.
func NewSchema(c Config) (graphql.ExecutableSchema, *Rules, error) { return newSchema(c) }
