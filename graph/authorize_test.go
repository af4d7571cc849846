package graph_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"latchkey/graph"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
	"latchkey/tools/graphgen/graphtest"
	"latchkey/tools/graphgen/graphtest/generated"

	"github.com/google/uuid"
)

// things serves the schema of graphtest, whose fields require made-up scopes.
type things struct{ *graphtest.Resolver }

func (r things) Connection() generated.ConnectionResolver { return r.Resolver }
func (r things) Counter() generated.CounterResolver       { return r.Resolver }
func (r things) Mutation() generated.MutationResolver     { return r.Resolver }
func (r things) Query() generated.QueryResolver           { return r.Resolver }
func (r things) Thing() generated.ThingResolver           { return r.Resolver }

type introspection struct{}

func (introspection) ExtensionName() string                   { return "introspection" }
func (introspection) Validate(graphql.ExecutableSchema) error { return nil }
func (introspection) MutateOperationContext(_ context.Context, op *graphql.OperationContext) *gqlerror.Error {
	op.DisableIntrospection = false
	return nil
}

func newThings(t *testing.T) *executor.Executor {
	t.Helper()
	es := generated.NewExecutableSchema(generated.Config{Resolvers: things{&graphtest.Resolver{}}})
	rules, err := graph.NewRules(es.Schema())
	if err != nil {
		t.Fatal(err)
	}
	exec := executor.New(es)
	exec.SetQueryCache(graphql.MapCache[*ast.QueryDocument]{})
	exec.Use(introspection{})
	exec.Use(graph.NewAuthorization(rules))
	return exec
}

func holding(scopes ...string) *auth.Principal {
	return &auth.Principal{Kind: auth.APIToken, AccountID: ownAccount, Scopes: scope.NewSet(scopes...)}
}

func storeOwner() *auth.Principal {
	return &auth.Principal{Kind: auth.Session, OwnedStores: []uuid.UUID{uuid.New()}}
}

// accountOwner is the session of an account's owner. The account cannot hold the made-up scopes.
func accountOwner() *auth.Principal {
	return &auth.Principal{Kind: auth.Session, AccountID: ownAccount, AccountOwner: true}
}

// run answers the query, and each error as "path: missing scopes".
func run(t *testing.T, exec *executor.Executor, by *auth.Principal, query string,
	variables map[string]any) (data string, refused []string) {
	t.Helper()
	ctx := graphql.StartOperationTrace(auth.With(context.Background(), by))
	op, errs := exec.CreateOperationContext(ctx, &graphql.RawParams{Query: query, Variables: variables})
	if errs != nil {
		t.Fatalf("%s: got %v, want it valid", query, errs)
	}
	handle, ctx := exec.DispatchOperation(ctx, op)
	r := handle(ctx)
	for _, e := range r.Errors {
		var f *fault.Error
		if !errors.As(e, &f) || f.Kind != fault.Forbidden ||
			f.Message != "You do not have permission to do this operation." {
			t.Errorf("error %v, want the refusal", e)
			continue
		}
		if len(e.Locations) == 0 {
			t.Errorf("error at %s: got no location, want one", e.Path)
		}
		refused = append(refused, e.Path.String()+": "+strings.Join(f.RequiredScopes, " "))
	}
	slices.Sort(refused)
	return string(r.Data), refused
}

func TestAuthorization(t *testing.T) {
	tests := []struct {
		name    string
		by      *auth.Principal
		query   string
		data    string // in full
		refused []string
	}{
		{
			name: "scope held", by: holding("people_read"), query: `{ thing { owner { email } } }`,
			data: `{"thing":{"owner":{"email":"owner@example.com"}}}`,
		},
		{
			name: "nothing required", by: holding(), query: `{ thing { name owner { id } } }`,
			data: `{"thing":{"name":"b","owner":{"id":"bc/account/user/owner"}}}`,
		},
		{
			name: "null goes up to the nearest nullable", by: holding(),
			query:   `{ a: thing { name owner { email } } b: thing { name } }`,
			data:    `{"a":null,"b":{"name":"b"}}`,
			refused: []string{"a.owner.email: people_read"},
		},
		{
			name: "each element of a list", by: holding(),
			query:   `{ connection(first: 2) { hasNext edges { cursor node { m: email } } } }`,
			data:    `{"connection":{"hasNext":true,"edges":[null,null]}}`,
			refused: []string{"connection.edges[0].node.m: people_read", "connection.edges[1].node.m: people_read"},
		},
		{
			name: "in a fragment", by: holding(),
			query:   `{ thing { ...F } } fragment F on Thing { owner { ... on Person { email } } }`,
			data:    `{"thing":null}`,
			refused: []string{"thing.owner.email: people_read"},
		},
		{
			name: "left out by a directive", by: holding(),
			query: `{ thing { name slow @skip(if: true) owner @include(if: false) { email } } }`,
			data:  `{"thing":{"name":"b"}}`,
		},
		{
			name: "a fragment that does not apply", by: holding(),
			query: `{ nodes { id ... on Person { id } } found { ... on Thing { name } } }`,
			data:  `{"nodes":[{"id":"thing/a"},{"id":"bc/account/user/p"}],"found":[{"name":"a"},null,{}]}`,
		},
		{
			name: "a field of an interface, by the object it is of", by: holding(),
			query:   `{ found { ... on Node { label } } }`,
			data:    `{"found":[null,null,{"label":"person bc/account/user/p"}]}`,
			refused: []string{"found[0].label: label_read"},
		},
		{
			name: "introspection and type names", by: holding(),
			query:   `{ __typename thing { __typename slow } __type(name: "Part") { name fields { name } } __schema { queryType { name } } }`,
			data:    `{"__typename":"Query","thing":null,"__type":{"name":"Part","fields":[{"name":"id"},{"name":"number"},{"name":"seenAt"}]},"__schema":{"queryType":{"name":"Query"}}}`,
			refused: []string{"thing.slow: slow_read"},
		},
		{
			name: "store's owner where the field says so", by: storeOwner(), query: `{ thing { owner { email } } }`,
			data: `{"thing":{"owner":{"email":"owner@example.com"}}}`,
		},
		{
			name: "store's owner elsewhere", by: storeOwner(), query: `{ thing { slow } }`,
			data: `{"thing":null}`, refused: []string{"thing.slow: slow_read"},
		},
		{
			name: "account's owner where the field says so", by: accountOwner(), query: `{ thing { label } }`,
			data: `{"thing":{"label":"thing thing/b"}}`,
		},
		{
			name: "account's owner elsewhere", by: accountOwner(), query: `{ thing { label owner { email } } }`,
			data: `{"thing":null}`, refused: []string{"thing.owner.email: people_read"},
		},
		{
			name: "mutation without its scope", by: holding(), query: `mutation { count { next } }`,
			data: `{"count":{"next":null}}`, refused: []string{"count.next: count_write"},
		},
		{
			name: "mutation without the scope for its result", by: holding("count_write"),
			query:   `mutation { count { a: next reset { was secret } b: next } }`,
			data:    `{"count":{"a":1,"reset":null,"b":2}}`,
			refused: []string{"count.reset: secret_read"},
		},
		{
			name: "mutation names all that is missing", by: holding(),
			query: `mutation { count { reset { by { email } ...F } } } fragment F on Reset { secret }`,
			data:  `{"count":{"reset":null}}`, refused: []string{"count.reset: count_write people_read secret_read"},
		},
		{
			name: "mutation by alias", by: holding("count_write"),
			query: `mutation { count { a: reset { was } b: reset { secret } } }`,
			data:  `{"count":{"a":{"was":0},"b":null}}`, refused: []string{"count.b: secret_read"},
		},
		{
			name: "mutation selected twice under one name", by: holding("count_write"),
			query: `mutation { count { reset { was } reset { secret } } }`,
			data:  `{"count":{"reset":null}}`, refused: []string{"count.reset: secret_read"},
		},
		{
			name: "mutation whose refused field is left out", by: holding("count_write"),
			query: `mutation { count { reset { was secret @skip(if: true) } } }`,
			data:  `{"count":{"reset":{"was":0}}}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data, refused := run(t, newThings(t), tt.by, tt.query, nil)
			check.Equal(t, data, tt.data, "data")
			check.Equal(t, refused, tt.refused, "refused")
		})
	}
}

// A variable of a directive counts at the time of the request, not at the
// time the query was first seen.
func TestAuthorizationFollowsVariables(t *testing.T) {
	exec := newThings(t)
	const query = `mutation($secret: Boolean!) { count { reset { was secret @include(if: $secret) } } }`
	for _, secret := range []bool{false, true, false} {
		want := `{"count":{"reset":{"was":0}}}`
		if secret {
			want = `{"count":{"reset":null}}`
		}
		if data, _ := run(t, exec, holding("count_write"), query, map[string]any{"secret": secret}); data != want {
			t.Errorf("secret %t: data %s, want %s", secret, data, want)
		}
	}
}

func TestAuthorizationWithoutPrincipal(t *testing.T) {
	ctx := graphql.StartOperationTrace(context.Background())
	_, errs := newThings(t).CreateOperationContext(ctx, &graphql.RawParams{Query: `{ thing { name } }`})
	if len(errs) != 1 || fault.KindOf(errs[0]) != fault.Unauthenticated {
		t.Errorf("got %v, want one fault.Unauthenticated", errs)
	}
}

// Many fragments of fragments, each used twice, must not take for ever.
func TestAuthorizationOfNestedFragments(t *testing.T) {
	var query strings.Builder
	query.WriteString(`{ thing { ...F0 } }`)
	const depth = 60
	for i := range depth {
		fmt.Fprintf(&query, ` fragment F%d on Thing { ...F%d a%d: name ...F%d }`, i, i+1, i, i+1)
	}
	fmt.Fprintf(&query, ` fragment F%d on Thing { slow }`, depth)
	if _, refused := run(t, newThings(t), holding(), query.String(), nil); !slices.Equal(refused,
		[]string{"thing.slow: slow_read"}) {
		t.Errorf("refused: got %q, want thing.slow: slow_read", refused)
	}
}

// An operation that may do all it asks for pays nothing per field.
func TestAuthorizationAllocates(t *testing.T) {
	es := generated.NewExecutableSchema(generated.Config{Resolvers: things{&graphtest.Resolver{}}})
	rules, err := graph.NewRules(es.Schema())
	if err != nil {
		t.Fatal(err)
	}
	ctx := graphql.StartOperationTrace(auth.With(context.Background(), holding("people_read")))
	op, errs := executor.New(es).CreateOperationContext(ctx, &graphql.RawParams{
		Query: `{ connection { edges { cursor node { id email firstName lastName locale } } } thing { id owner { email } } }`,
	})
	if errs != nil {
		t.Fatalf("the operation: got %v, want it valid", errs)
	}
	authorize := graph.NewAuthorization(rules)
	allocs := testing.AllocsPerRun(100, func() {
		op.Stats = graphql.Stats{}
		if err := authorize.MutateOperationContext(ctx, op); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 2 { // the map of an extension's statistics
		t.Errorf("%.0f allocations, want at most 2", allocs)
	}
}

func TestNodeRule(t *testing.T) {
	es := generated.NewExecutableSchema(generated.Config{})
	rules, err := graph.NewRules(es.Schema())
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name     string
		by       *auth.Principal
		typeName string
		allowed  bool
	}{
		{"scope held", holding("things_read"), "Thing", true},
		{"another scope", holding("people_read"), "Thing", false},
		{"store's owner where the type says so", storeOwner(), "Person", true},
		{"store's owner elsewhere", storeOwner(), "Thing", false},
		{"account's owner where the type says so", accountOwner(), "Thing", true},
		{"account's owner elsewhere", accountOwner(), "Person", false},
		{"session of a user who owns nothing", &auth.Principal{Kind: auth.Session, AccountID: ownAccount}, "Thing",
			false},
		{"no Node", holding("things_read"), "Part", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := rules.Node(tt.by, tt.typeName)
			if tt.allowed && err != nil || !tt.allowed && fault.KindOf(err) != fault.Forbidden {
				t.Errorf("Node: got %v, want it allowed: %t", err, tt.allowed)
			}
		})
	}
}

func BenchmarkAuthorize(b *testing.B) {
	es := generated.NewExecutableSchema(generated.Config{Resolvers: things{&graphtest.Resolver{}}})
	rules, err := graph.NewRules(es.Schema())
	if err != nil {
		b.Fatal(err)
	}
	ctx := graphql.StartOperationTrace(auth.With(context.Background(), holding("people_read")))
	op, _ := executor.New(es).CreateOperationContext(ctx, &graphql.RawParams{
		Query: `{ connection { edges { cursor node { id email firstName lastName locale } } } }`,
	})
	authorize := graph.NewAuthorization(rules)
	b.ReportAllocs()
	for b.Loop() {
		op.Stats = graphql.Stats{}
		if err := authorize.MutateOperationContext(ctx, op); err != nil {
			b.Fatal(err)
		}
	}
}
