package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"latchkey/graph"
	"latchkey/graph/server"
)

// doubling is n fragments, F0 and so on, each of which is twice the next.
func doubling(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "fragment F%d on Query { ...F%d ...F%d } ", i, i+1, i+1)
	}
	return b.String()
}

// Each limit is met exactly, and passed by one.
func TestLimits(t *testing.T) {
	limits := server.Limits{Depth: 8, Complexity: 500, Aliases: 7, Directives: 3, Tokens: 200}
	tests := []struct {
		name           string
		within, beyond string
		variables      map[string]any
		want           string
	}{
		{
			name:   "depth",
			within: `{ account { stores { edges { node { users { edges { node { id } } } } } } } }`,
			beyond: `{ account { stores { edges { node { users { edges { node { apps { pageInfo { endCursor } } } } } } } } } }`,
			want:   "The query is 10 levels deep, and the limit is 8. Request the inner levels in a separate request.",
		},
		{
			name:   "depth by fragments",
			within: `{ account { ...A } } fragment A on Account { stores { ... on StoreConnection { ... { ...B } } } } fragment B on StoreConnection { edges { node { users { edges { node { id } } } } } }`,
			beyond: `{ account { ...A } } fragment A on Account { stores { edges { node { users { ...B } } } } } fragment B on StoreUserConnection { edges { node { apps { edges { cursor } } } } }`,
			want:   "The query is 10 levels deep",
		},
		{
			name:   "aliases",
			within: "{" + numbered(7, "a%d: __typename") + "}",
			beyond: "{" + numbered(8, "a%d: __typename") + "}",
			want:   "The document has 8 aliases, and the limit is 7. Send several requests.",
		},
		{
			name:   "aliases of several operations",
			within: "query a {" + numbered(7, "a%d: __typename") + "}",
			beyond: "query a {" + numbered(4, "a%d: __typename") + "} query b {" + numbered(4, "a%d: __typename") + "}",
			want:   "The document has 8 aliases",
		},
		{
			name:   "directives",
			within: `{ system @skip(if: false) { time @skip(if: false) @include(if: true) } __typename }`,
			beyond: `{ ...F @skip(if: false) ... @skip(if: false) { __typename } system @skip(if: false) { time @skip(if: false) } } fragment F on Query { __typename }`,
			want:   "The document has 4 directives, and the limit is 3. Send several requests.",
		},
		{
			name:   "tokens",
			within: "{" + strings.Repeat("__typename ", 198) + "}",
			beyond: "{" + strings.Repeat("__typename ", 199) + "}",
			want:   "The document has more than 200 tokens. Send several requests, or values as variables.",
		},
		{
			name:   "fragments written out",
			within: `{ ...F0 } fragment F0 on Query { ...F1 ...F1 } fragment F1 on Query { ...F2 ...F2 } fragment F2 on Query { __typename }`,
			beyond: `{ ...F0 ...F0 } ` + doubling(6) +
				` fragment F6 on Query { __typename ...F7 } fragment F7 on Query { __typename }`,
			want: "The document has 1260 selections with its fragments expanded, and the limit is 500. Request less at once.",
		},
		{ // account, users, edges, and for each edge: cursor, node, seven fields
			name:   "complexity",
			within: `{ account { users(first: 55) { edges { cursor node { a: id b: id c: id d: id e: id f: id email } } } } }`,
			beyond: `{ account { users(first: 56) { edges { cursor node { a: id b: id c: id d: id e: id f: id email } } } } }`,
			want:   "The operation could return 507 fields, and the limit is 500. Request smaller pages or fewer fields of each element.",
		},
		{ // account, apiTokens, nodes, and for each of those: id and name
			name:   "complexity of nodes",
			within: `{ account { apiTokens(first: 248) { nodes { id name } } } }`,
			beyond: `{ account { apiTokens(first: 249) { nodes { id name } } } }`,
			want:   "The operation could return 501 fields, and the limit is 500. Request smaller pages or fewer fields of each element.",
		},
		{
			name:      "complexity by a variable",
			within:    `query($n: Int) { account { users(last: $n) { edges { cursor } } } }`,
			beyond:    `query($n: Int) { account { users(last: $n) { edges { cursor node { id email } } } } }`,
			variables: map[string]any{"n": 240},
			want:      "The operation could return 963 fields",
		},
		{
			name:   "complexity by a default",
			within: `query($n: Int = 240) { account { users(first: $n) { edges { cursor } } } }`,
			beyond: `query($n: Int = 240) { account { users(first: $n) { edges { cursor node { id } } } } }`,
			want:   "The operation could return 723 fields",
		},
		{
			name:   "complexity of pages in pages, of the default size",
			within: `{ account { users { edges { node { id email } } } } }`,
			beyond: `fragment S on StoreConnection { edges { node { users { edges { cursor node { id email permissions } } } } } } { account { stores { ...S } } }`,
			want:   "The operation could return 1433 fields",
		},
		{
			name:      "complexity by ids",
			within:    `query($ids: [ID!]!) { nodes(ids: $ids) { __typename } }`,
			beyond:    `query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } a: nodes(ids: $ids) { id __typename } }`,
			variables: map[string]any{"ids": make([]string, 130)},
			want:      "The operation could return 522 fields",
		},
		{
			name:   "complexity by ids in the document",
			within: `{ nodes(ids: "a") { id } }`,
			beyond: `{ nodes(ids: [` + strings.Repeat(`"a" `, 125) + `]) { a: id b: id c: id d: id } }`,
			want:   "The operation could return 501 fields",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := newAPI(t, func(c *graph.Config) {
				withUsers(c)
				c.Limits = limits
			})
			by := holding("account_users_read")
			if got := a.query(by, tt.within, tt.variables); strings.Contains(got, "COMPLEXITY_LIMIT") {
				t.Errorf("within the limits: got %.300s, want no COMPLEXITY_LIMIT", got)
			}
			got := a.query(by, tt.beyond, tt.variables)
			if !strings.HasPrefix(got, `{"errors":[{"message":"`+tt.want) ||
				!strings.Contains(got, `"code":"COMPLEXITY_LIMIT"`) || strings.Contains(got, `"data"`) {
				t.Errorf("beyond: %.300s\nwant %s", got, tt.want)
			}
		})
	}
}

// A page that is larger than pages are is refused as such, with the words of
// the page.
func TestComplexityOfAPageThatIsTooLarge(t *testing.T) {
	a := newAPI(t, withUsers)
	got := a.query(holding("account_users_read"),
		`{ account { users(first: 1000000) { edges { node { id email firstName lastName locale } } } } }`, nil)
	if !strings.Contains(got, `"field":"first"`) || !strings.Contains(got, "INVALID") {
		t.Errorf("got %s, want INVALID at first", got)
	}
}

// What clients ask that are in earnest is within the default limits.
func TestLimitsLeaveRoom(t *testing.T) {
	const revoke = `r%d: revokeApiTokens(input: {ids: ["bc/account/apiToken/01980000-0000-7000-8000-%012[1]d"], reason: "Left."}) { revokedIds revokedAt }`
	a := newAPI(t, nil)
	for name, query := range map[string]string{
		"250 users with all fields":    `{ account { users(first: 250) { pageInfo { hasNextPage endCursor } collectionInfo { totalItems } edges { cursor node { id email firstName lastName locale } } } } }`,
		"50 stores with 20 users each": `{ account { stores(first: 50) { edges { node { id name storeHash users(first: 20) { edges { node { id email firstName lastName locale status permissions lastLoginAt updatedAt } } } } } } } }`,
		"100 mutations":                "mutation { apiToken { " + numbered(100, revoke) + " } }",
		"the catalogue":                `{ a: scopeCatalog(level: ACCOUNT) { ...R } s: scopeCatalog(level: STORE) { ...R } } fragment R on ScopeResource { key name section description permissions { name scope implies } }`,
		"introspection":                introspectionQuery(t),
	} {
		t.Run(name, func(t *testing.T) {
			if got := a.query(holding(), query, nil); strings.Contains(got, `"code":"COMPLEXITY_LIMIT"`) ||
				strings.Contains(got, `"code":"INVALID"`) {
				t.Errorf("got %.300s, want neither COMPLEXITY_LIMIT nor INVALID", got)
			}
		})
	}
}

// Documents that are made to take long, each as bad as the limits allow. Any
// of the parser's or the validator's own ways takes seconds or minutes.
func TestDocumentsThatTakeLong(t *testing.T) {
	for name, query := range map[string]string{
		"one field, often":         "{ viewer { " + strings.Repeat("kind ", 9000) + "} }",
		"one object, often":        "{" + strings.Repeat("viewer { kind } ", 2400) + "}",
		"one field with arguments": "{" + strings.Repeat(`node(id: "a") { id } `, 1100) + "}",
		"fields that do not exist": "{" + strings.Repeat("viewr ", 9000) + "}",
		"names that are long":      "{" + strings.Repeat(strings.Repeat("viewer", 8000)+" ", 18) + "}",
		"many fragments": "{" + numbered(600, "...F%d") + "}" + numbered(600,
			"fragment F%d on Query { viewer { kind } }"),
		"fragments that double": "{ __schema { types { ...F0 } } } " + strings.ReplaceAll(doubling(60), "Query",
			"__Type") + "fragment F60 on __Type { name }",
		"a chain of fragments": "{ ...F0 } " + strings.ReplaceAll(doubling(1000), " }",
			" viewer { kind } }") + "fragment F1000 on Query { __typename }",
		"fragments in a circle": "{ ...A } fragment A on Query { ...B ...B } fragment B on Query { ...A ...A }",
		"braces":                strings.Repeat("{ viewer ", 4000) + strings.Repeat("}", 4000),
		"brackets": "{ nodes(ids: " + strings.Repeat("[", 4900) + strings.Repeat("]",
			4900) + ") { id } }",
		"inline fragments": "{" + strings.Repeat("... {", 2400) + "__typename" + strings.Repeat("}",
			2400) + "}",
		"introspection, everything": "{ __schema { types { " + numbered(99,
			"a%d: fields { name args { name type { name } } type { name ofType { name ofType { name } } } }") +
			" } } }",
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t, nil)
			started := time.Now()
			a.query(holding(), query, nil)
			// The slowest takes a tenth of a second on an idle machine.
			if took := time.Since(started); took > 5*time.Second {
				t.Errorf("took %s, want at most 5s", took)
			}
		})
	}
}
