package graph_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"latchkey/graph"
	"latchkey/internal/auth"
)

// newGqlgen returns gqlgen's handler, with its transports, query cache and
// complexity limit, for the schema, resolvers and authorization of newBench.
func newGqlgen(tb testing.TB, authorization func(graph.Authorization) graphql.HandlerExtension) http.Handler {
	schema, rules, err := graph.NewSchema(benchConfig())
	if err != nil {
		tb.Fatal(err)
	}
	h := handler.New(schema)
	h.AddTransport(transport.GET{})
	h.AddTransport(transport.POST{})
	h.SetQueryCache(lru.New[*ast.QueryDocument](1000))
	h.Use(extension.Introspection{})
	h.Use(extension.FixedComplexityLimit(50_000))
	h.Use(authorization(graph.NewAuthorization(rules)))
	return h
}

func withPlain(a graph.Authorization) graphql.HandlerExtension { return a }

// withoutPlain disables the fast path of package plain.
type withoutPlain struct{ graph.Authorization }

func (a withoutPlain) MutateOperationContext(ctx context.Context, op *graphql.OperationContext) *gqlerror.Error {
	err := a.Authorization.MutateOperationContext(ctx, op)
	op.Stats.SetExtension("latchkey/plain", nil)
	return err
}

// BenchmarkGqlgen compares the handler with gqlgen's, with and without package
// plain.
func BenchmarkGqlgen(b *testing.B) {
	handlers := []struct {
		name    string
		handler http.Handler
	}{
		{"ours", newBench(b)},
		{"gqlgen", newGqlgen(b, withPlain)},
		{"gqlgen without plain", newGqlgen(b,
			func(a graph.Authorization) graphql.HandlerExtension { return withoutPlain{a} })},
	}
	for _, request := range []struct {
		name, query string
		variables   map[string]any
	}{
		{"typename", `{__typename}`, nil},
		{"viewer", `{viewer{scopes}}`, nil},
		{"list", listQuery, map[string]any{"first": 50}},
		{"denied", `{ account { apiTokens { edges { cursor } } } }`, nil},
		{"introspection", introspectionQuery(b), nil},
	} {
		for _, h := range handlers {
			b.Run(request.name+"/"+h.name, func(b *testing.B) {
				benchmark(b, h.handler, repeatedly(b, request.query, request.variables))
			})
		}
	}
}

// BenchmarkGqlgenOverHTTP compares the handlers behind net/http, with one client on
// one connection.
func BenchmarkGqlgenOverHTTP(b *testing.B) {
	for _, h := range []struct {
		name    string
		handler http.Handler
	}{{"ours", newBench(b)}, {"gqlgen", newGqlgen(b, withPlain)}} {
		b.Run("viewer/"+h.name, func(b *testing.B) { overHTTP(b, h.handler, body(`{viewer{scopes}}`, nil)) })
		b.Run("list/"+h.name,
			func(b *testing.B) { overHTTP(b, h.handler, body(listQuery, map[string]any{"first": 50})) })
	}
}

func overHTTP(b *testing.B, h http.Handler, body string) {
	by := holding("account_users_read", "account_read")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.SetPathValue("account_uuid", ownAccount.String())
		h.ServeHTTP(w, r.WithContext(auth.With(r.Context(), by)))
	}))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	request := fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"+
		"Content-Length: %d\r\n\r\n%s", len(body), body)
	responses := bufio.NewReader(conn)
	for b.Loop() {
		if _, err := io.WriteString(conn, request); err != nil {
			b.Fatal(err)
		}
		response, err := http.ReadResponse(responses, nil)
		if err != nil || response.StatusCode != http.StatusOK {
			b.Fatalf("got %v, %v, want status 200", err, response)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			b.Fatal(err)
		}
		if err := response.Body.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
