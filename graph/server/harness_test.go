package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2/ast"

	"latchkey/graph"
	"latchkey/graph/generated"
	"latchkey/internal/auth"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/user"
)

const (
	jsonType    = "application/json"
	graphqlType = "application/graphql-response+json"
)

var ownAccount = uuid.MustParse("0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01")

// newRequest is a request to the account's API, with its account in the path
// as the server's mux leaves it there.
func newRequest(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, "/"+target, strings.NewReader(body))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", jsonType)
	}
	r.SetPathValue("account_uuid", ownAccount.String())
	return r
}

// body is the body of a request.
func body(query string, variables map[string]any) string {
	text, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// holding returns an API token with the scopes.
func holding(scopes ...string) *auth.Principal {
	return &auth.Principal{Kind: auth.APIToken, AccountID: ownAccount, Scopes: scope.NewSet(scopes...)}
}

func schema() *ast.Schema { return generated.NewExecutableSchema(generated.Config{}).Schema() }

// threeUsers is a repository of three users.
type threeUsers struct{ user.Repository }

func (threeUsers) Users(context.Context, uuid.UUID, user.Filter, paging.Window) (paging.Page[user.User], error) {
	var page paging.Page[user.User]
	for i := range byte(3) {
		id := uuid.UUID{15: i}
		u := user.User{ID: id, Email: fmt.Sprintf("user-%d@acme.example", i), FirstName: "User", LastName: "Number",
			Locale: "en"}
		page.Items = append(page.Items, paging.Item[user.User]{Key: id, Node: u})
	}
	return page, nil
}

func (threeUsers) CountUsers(context.Context, uuid.UUID, user.Filter) (int64, error) { return 3, nil }

// withUsers configures an API of three users.
func withUsers(c *graph.Config) { c.Users = user.NewService(threeUsers{}, nil, nil, time.Now) }

// introspectionQuery returns the query that GraphiQL sends.
func introspectionQuery(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../testdata/introspection.graphql")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// api is a handler under test with what it logs.
type api struct {
	http.Handler
	log *dbtest.Log
}

func newAPI(tb testing.TB, adjust func(*graph.Config)) api {
	tb.Helper()
	a := api{log: &dbtest.Log{}}
	c := graph.Config{Log: slog.New(slog.NewJSONHandler(a.log, nil))}
	if adjust != nil {
		adjust(&c)
	}
	h, err := graph.NewHandler(c)
	if err != nil {
		tb.Fatal(err)
	}
	a.Handler = h
	return a
}

// send sends a request for the principal.
func (a api) send(r *http.Request, by *auth.Principal) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	w.Header().Set("X-Request-Id", "r-1")
	a.ServeHTTP(w, r.WithContext(auth.With(r.Context(), by)))
	return w
}

// query answers a query of a principal, as text without the newline at its end.
func (a api) query(by *auth.Principal, query string, variables map[string]any) string {
	return strings.TrimSpace(a.send(newRequest(http.MethodPost, "", body(query, variables)), by).Body.String())
}

// numbered returns the format for the numbers below n, separated by spaces.
func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format+" ", i)
	}
	return b.String()
}
