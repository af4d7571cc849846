package server

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"github.com/99designs/gqlgen/complexity"
	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"latchkey/graph/generated"
	"latchkey/graph/scalar"
	"latchkey/internal/fault"
)

const benchQuery = `query($first: Int!) {
  account { users(first: $first) {
    pageInfo { hasNextPage endCursor } edges { cursor node { id email firstName lastName locale } }
  } }
}`

func decodeAsGqlgen(body []byte) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	_ = d.Decode(&graphql.RawParams{})
}

// BenchmarkParts compares the parts of the handler with those of gqlgen and
// gqlparser that they replace.
func BenchmarkParts(b *testing.B) {
	schema := generated.NewExecutableSchema(generated.Config{})
	c := Config{
		Limits: Limits{}.WithDefaults(), PageSize: 10, MaxPageSize: 250, Coerce: scalar.Coerce,
		Surcharge: func(*ast.Field, map[string]any) Cost { return Cost{} },
		Items:     func(*ast.Field, map[string]any) int { return 0 },
		Loads:     func(*ast.Field) int { return 0 },
	}
	documents, err := newDocuments(schema.Schema(), c)
	if err != nil {
		b.Fatal(err)
	}
	h := &Handler{config: c, schema: schema.Schema(), documents: documents}
	doc, _ := documents.get(benchQuery)
	op := &doc.operations[0]
	body, err := json.Marshal(map[string]any{"query": benchQuery, "variables": map[string]any{"first": 50}})
	if err != nil {
		b.Fatal(err)
	}
	short := []byte(`{"query":"{viewer{scopes}}"}`)
	sent := func() map[string]any { return map[string]any{"first": json.Number("50")} }
	values, _ := h.variableValues(op, sent())
	cache := lru.New[*ast.QueryDocument](1000)
	cache.Add(context.Background(), benchQuery, doc.QueryDocument)
	parsed, err := parser.ParseQuery(&ast.Source{Input: benchQuery})
	if err != nil {
		b.Fatal(err)
	}
	defaultRules := rules.NewDefaultRules()
	problems := []problem{{
		Error: fault.Errorf(fault.Forbidden, "You do not have permission."), path: ast.Path{ast.PathName("account")},
	}}
	errs := graphql.Response{}
	for _, p := range problems {
		errs.Errors = append(errs.Errors, present(context.Background(), p.Error))
	}
	for _, part := range []struct {
		name string
		run  func()
	}{
		{"parameters/ours", func() { _, _ = decodeParams(body) }},
		{"parameters/gqlgen", func() { decodeAsGqlgen(body) }},
		{"short parameters/ours", func() { _, _ = decodeParams(short) }},
		{"short parameters/gqlgen", func() { decodeAsGqlgen(short) }},
		{"document cache/ours", func() { _, _ = documents.get(benchQuery) }},
		{"document cache/gqlgen", func() { _, _ = cache.Get(context.Background(), benchQuery) }},
		{"variables/ours", func() { _, _ = h.variableValues(op, sent()) }},
		{"variables/gqlgen", func() {
			_, _ = validator.VariableValues(schema.Schema(), op.OperationDefinition, sent())
		}},
		{"price/ours", func() { _, _ = h.price(op, values) }},
		{"price/gqlgen", func() { complexity.Calculate(context.Background(), schema, op.OperationDefinition, values) }},
		{"validation/ours", func() { _ = documents.validation.check(parsed, documents.validation.rules, escapes{}) }},
		{"validation/gqlgen", func() { _ = validator.ValidateWithRules(schema.Schema(), parsed, defaultRules) }},
		{"errors/ours", func() { appendProblems(make([]byte, 0, 512), problems, "r-1") }},
		{"errors/gqlgen", func() { _, _ = json.Marshal(errs) }},
	} {
		b.Run(part.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				part.run()
			}
		})
	}
}
