package graphtest_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"latchkey/graph/plain"
	"latchkey/internal/test/check"
	"latchkey/tools/graphgen/graphtest"
	"latchkey/tools/graphgen/graphtest/generated"
)

// root makes one Resolver the resolver of every type. query, if set, resolves the query type instead.
type root struct {
	*graphtest.Resolver
	query generated.QueryResolver
}

func (r root) Connection() generated.ConnectionResolver { return r.Resolver }
func (r root) Counter() generated.CounterResolver       { return r.Resolver }
func (r root) Mutation() generated.MutationResolver     { return r.Resolver }
func (r root) Query() generated.QueryResolver {
	return cmp.Or[generated.QueryResolver](r.query, r.Resolver)
}
func (r root) Thing() generated.ThingResolver { return r.Resolver }

// fastPath is the extension that enables the fast path.
type fastPath struct{}

func (fastPath) ExtensionName() string                   { return "fastPath" }
func (fastPath) Validate(graphql.ExecutableSchema) error { return nil }
func (fastPath) MutateOperationContext(_ context.Context, op *graphql.OperationContext) *gqlerror.Error {
	plain.Allow(op)
	return nil
}

// server runs queries with or without the fast path.
type server struct{ *executor.Executor }

func newServer(fast bool) server { return serve(root{Resolver: &graphtest.Resolver{}}, fast) }

func serve(resolvers root, fast bool) server {
	return serveSchema(generated.NewExecutableSchema(generated.Config{Resolvers: resolvers}), fast)
}

func serveSchema(es graphql.ExecutableSchema, fast bool) server {
	exec := executor.New(es)
	exec.SetQueryCache(graphql.MapCache[*ast.QueryDocument]{})
	exec.SetRecoverFunc(func(_ context.Context, p any) error { return fmt.Errorf("panic: %v", p) })
	if fast {
		exec.Use(fastPath{})
	}
	return server{exec}
}

func (s server) run(tb testing.TB, query string, variables map[string]any) *graphql.Response {
	tb.Helper()
	ctx := graphql.StartOperationTrace(context.Background())
	op, errs := s.CreateOperationContext(ctx, &graphql.RawParams{Query: query, Variables: variables})
	if errs != nil {
		tb.Fatalf("%s: got %v, want no errors", query, errs)
	}
	handle, ctx := s.DispatchOperation(ctx, op)
	return handle(ctx)
}

// body returns the response as JSON. Errors are sorted, because the elements of a list fail in any order.
func body(tb testing.TB, r *graphql.Response) string {
	tb.Helper()
	slices.SortFunc(r.Errors, func(a, b *gqlerror.Error) int {
		return strings.Compare(fmt.Sprint(a.Path, a.Message), fmt.Sprint(b.Path, b.Message))
	})
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetIndent("", " ")
	if err := enc.Encode(r); err != nil {
		tb.Fatal(err)
	}
	return out.String()
}

const allFields = `id name note count big on kind level color at gone tags labels grid
	owner { id email firstName lastName locale } friend { id } parts { id number seenAt } spares { id }
	child { name gone note level owner { email } } title`

func queries() map[string]string {
	qs := map[string]string{
		"one field":            `{ things { id } }`,
		"every plain field":    `{ things { ` + allFields + ` } }`,
		"every field":          `{ things { ` + allFields + ` ratio checked slow } }`,
		"single object":        `{ thing { ` + allFields + ` } }`,
		"null object":          `{ nothing { id } }`,
		"typename":             `{ things { __typename owner { __typename id } } __typename }`,
		"aliases":              `{ a: things { b: name c: name o: owner { e: email } p: owner { e: email id } } }`,
		"merged fields":        `{ things { owner { id } name owner { email id } } things { name count } }`,
		"fragment":             `{ things { ...F } } fragment F on Thing { id owner { ...G } ...H } fragment G on Person { email } fragment H on Node { id }`,
		"fragment in two":      `{ a: things { owner { ...G id } } b: things { owner { ...G email } } } fragment G on Person { locale }`,
		"inline fragments":     `{ things { ... on Node { id } ... { name } ... on Thing { count } } }`,
		"fragment elsewhere":   `{ nodes { id ... on Thing { name owner { id } } ... on Person { email } } }`,
		"union":                `{ found { __typename ... on Thing { name parts { number } } ... on Person { email } ... on Node { id } } }`,
		"nullable list":        `{ perhaps { id name } }`,
		"all skipped":          `{ things { id @skip(if: true) owner @skip(if: false) { id @include(if: false) } } }`,
		"variables":            `query($yes: Boolean! = true, $no: Boolean! = false) { things { id @skip(if: $yes) name @include(if: $yes) ... @include(if: $no) { count } ...F @skip(if: $no) } } fragment F on Thing { big }`,
		"introspection beside": `{ things { id } __schema { queryType { name } } __type(name: "Thing") { name fields { name } } }`,
		"connection":           `{ connection(first: 3) { edges { cursor node { id email firstName lastName locale } } hasNext } }`,
		"connection, resolver": `{ connection(first: 3) { total edges { cursor node { id } } hasNext } }`,
		"empty connection":     `{ connection(first: 0) { edges { cursor } } }`,
		"error above":          `{ things(variant: "error") { id } }`,
		"mutation":             `mutation { count { a: next b: next __typename } }`,
	}
	for _, variant := range []string{"", "empty", "owner", "part", "child", "time", "panic", "count"} {
		for field, selection := range map[string]string{
			"things": allFields, "perhaps": allFields, "thing": allFields,
			"things, risky": "name risky", "thing, checked": "id checked", "perhaps, slow": "id slow owner { id }",
		} {
			name, _, _ := strings.Cut(field, ",")
			qs[field+" "+variant] = fmt.Sprintf(`{ %s(variant: %q) { %s } }`, name, variant, selection)
		}
	}
	return qs
}

// The fast path returns the same bytes as gqlgen's own code: data, errors, their paths and locations.
func TestFastPathAnswersTheSame(t *testing.T) {
	for name, query := range queries() {
		t.Run(name, func(t *testing.T) {
			want := body(t, newServer(false).run(t, query, nil))
			got := body(t, newServer(true).run(t, query, nil))
			check.Equal(t, got, want, "query %s", query)
		})
	}
}

// running is a schema whose operations run with Run instead of Exec.
type running struct{ graphql.ExecutableSchema }

func (r running) Exec(ctx context.Context) graphql.ResponseHandler {
	return func(ctx context.Context) *graphql.Response {
		var out bytes.Buffer
		run := r.ExecutableSchema.(interface {
			Run(ctx context.Context, op *graphql.OperationContext) graphql.Marshaler
		})
		run.Run(ctx, graphql.GetOperationContext(ctx)).MarshalGQL(&out)
		return &graphql.Response{Data: out.Bytes()}
	}
}

// Run returns the same bytes as gqlgen's Exec.
func TestRunAnswersTheSame(t *testing.T) {
	all := queries()
	all["several fields"] = `{ a: thing { id } nothing { id } __typename b: things(variant: "part") { parts { number } } }`
	all["only, under another name"] = `{ a: thing { id } }`
	all["only, in a fragment"] = `{ ...F } fragment F on Query { thing { id } }`
	all["only, skipped"] = `{ thing @skip(if: true) { id } }`
	all["only, null"] = `{ nothing { id } }`
	all["only, null where there must be something"] = `{ things(variant: "error") { id } }`
	all["only, about the schema"] = `{ __schema { queryType { name } } }`
	all["only, the type's name"] = `{ __typename }`
	for name, query := range all {
		t.Run(name, func(t *testing.T) {
			want := body(t, newServer(false).run(t, query, nil))
			for _, fast := range []bool{false, true} {
				es := generated.NewExecutableSchema(generated.Config{Resolvers: root{Resolver: &graphtest.Resolver{}}})
				check.Equal(t, body(t, serveSchema(running{es}, fast).run(t, query, nil)), want,
					"fast path: %t, query %s", fast, query)
			}
		})
	}
}

// fixed returns connections without computing them, to measure only the cost of writing the response.
type fixed struct {
	*graphtest.Resolver
	connection *graphtest.Connection
}

func (f fixed) Connection(context.Context, int) (*graphtest.Connection, error) {
	return f.connection, nil
}

func newFixed(tb testing.TB, fast bool) server {
	tb.Helper()
	r := &graphtest.Resolver{}
	c, err := r.Connection(context.Background(), 50)
	if err != nil {
		tb.Fatal(err)
	}
	return serve(root{Resolver: r, query: fixed{r, c}}, fast)
}

const listOf50 = `{ connection(first: 50) { edges { cursor node { id email firstName lastName locale } } } }`

// The fast path is taken: it allocates nothing per element of a list.
func TestFastPathIsTaken(t *testing.T) {
	s := newFixed(t, true)
	if allocs := testing.AllocsPerRun(50, func() { s.run(t, listOf50, nil) }); allocs > 150 {
		t.Errorf("a list of 50 took %.0f allocations, want at most 150", allocs)
	}
}

// Mutations under one namespace run in the order they are written.
func TestMutationsRunInOrder(t *testing.T) {
	got := string(newServer(true).run(t, `mutation { count { a: next(after: 20) b: next(after: 10) c: next } }`,
		nil).Data)
	check.Equal(t, got, `{"count":{"a":1,"b":2,"c":3}}`, "response")
}

func BenchmarkList50(b *testing.B) {
	for _, path := range []struct {
		name string
		fast bool
	}{{"gqlgen", false}, {"fast", true}} {
		b.Run(path.name, func(b *testing.B) {
			s := newFixed(b, path.fast)
			b.ReportAllocs()
			for b.Loop() {
				if r := s.run(b, listOf50, nil); len(r.Data) < 8000 {
					b.Fatalf("response: got %d bytes, want at least 8000", len(r.Data))
				}
			}
		})
	}
}
