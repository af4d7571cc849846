package panel

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"latchkey/internal/fault"
	"latchkey/internal/signin"
)

// explorerHandler serves the API explorer: GraphiQL, which sends queries to the Account API with the visitor's session,
// and the documentation of the schema.
type explorerHandler struct {
	api       http.Handler
	sdl       func() string
	signIn    *signin.Service
	sessions  *sessions
	publicURL string
}

func (h *explorerHandler) routes() []route {
	const at = accountPattern + "/graphiql"
	return []route{
		get(at, member, h.page),
		post(at, member, h.run, unbounded, unkept),
		post(at+"/query", member, h.forward, unbounded, unkept),
		get(at+"/confirm", member, backToExplorer),
		post(at+"/confirm", member, h.confirmed, fresh, unkept),
		get(at+"/schema", member, h.schema),
		get(at+"/schema.graphqls", member, h.download),
	}
}

// explorerFields are the fields of the form: the parameters of a GraphQL request.
var explorerFields = []string{"query", "variables", "operationName"}

// explorerPage is the data of the explorer's page. Answer is nil until the form is submitted.
type explorerPage struct {
	Here, Query, Confirm, Schema string
	Form                         *form
	// Restore lets the script restore the last query.
	Restore bool
	// Confirmed reports whether the visitor has just proved their identity again.
	Confirmed bool
	Examples  []explorerExample
	Answer    *explorerAnswer
}

// explorerAnswer is a response of the API.
type explorerAnswer struct {
	Status int
	Text   string
	// Held reports whether the API requires the visitor to prove their identity again.
	Held bool
}

func newExplorerPage(q *request, f *form) explorerPage {
	here := q.address("/graphiql")
	return explorerPage{Here: here, Query: here + "/query", Confirm: here + "/confirm", Schema: here + "/schema",
		Form: f, Examples: explorerExamples()}
}

// page shows the form, filled with the example that the address names.
func (h *explorerHandler) page(q *request) error {
	shown := newExplorerPage(q, newForm(explorerFields...))
	name := q.r.URL.Query().Get("example")
	shown.Restore = name == ""
	chosen := shown.Examples[0]
	for _, each := range shown.Examples {
		if each.Key == name {
			chosen = each
		}
	}
	shown.Form.Values.Set("query", chosen.query)
	shown.Form.Values.Set("variables", chosen.variables)
	return explorerTemplate.show(q, http.StatusOK, shown)
}

func backToExplorer(q *request) error { return q.redirect(q.address("/graphiql")) }

// confirmed shows the query that the visitor was about to run before they had to prove their identity
// again. It does not run it: the visitor decides that.
func (h *explorerHandler) confirmed(q *request) error {
	f, err := q.parseForm(explorerFields...)
	if err != nil {
		return err
	}
	shown := newExplorerPage(q, f)
	shown.Confirmed = true
	return explorerTemplate.show(q, http.StatusOK, shown)
}

// run runs the query of the form and shows the response.
func (h *explorerHandler) run(q *request) error {
	f, err := q.parseForm(explorerFields...)
	if err != nil {
		return err
	}
	shown := newExplorerPage(q, f)
	encoded, err := json.Marshal(apiRequest{f.Values.Get("query"), json.RawMessage(f.Value("variables")),
		f.Value("operationName")})
	if err != nil {
		f.addError("variables", q.text("graphiql.no_json"))
		return explorerTemplate.show(q, http.StatusUnprocessableEntity, shown)
	}
	answer := h.call(q, encoded)
	shown.Answer = &explorerAnswer{Status: answer.status, Text: indented(answer.body.Bytes()),
		Held: answer.status == http.StatusForbidden}
	return explorerTemplate.show(q, answer.status, shown)
}

// forward forwards a request of the page's script to the API. It reads the body first and then verifies the
// session again, because the session may have been revoked while the body arrived.
func (h *explorerHandler) forward(q *request) error {
	body, unread := io.ReadAll(q.r.Body)
	if err := h.sessions.verify(q.r.Context(), q); err != nil {
		return err
	}
	if q.by == nil {
		q.unkept = true
		return q.toSignIn()
	}
	r := q.r.WithContext(h.apiContext(q))
	if unread == nil {
		r.Body = io.NopCloser(bytes.NewReader(body))
	} // on a read error the API reads the rest of r.Body and returns the same error
	r.SetPathValue("account_uuid", q.by.AccountID.String())
	h.api.ServeHTTP(q.w, r)
	return nil
}

// explorerExample is a sample query. The message with its key is its title.
type explorerExample struct{ Key, query, variables string }

// explorerExamples returns the sample queries. The page opens with the first.
func explorerExamples() []explorerExample {
	list := func(key, field, selection string) explorerExample {
		return explorerExample{Key: key,
			query: "query {\n  account {\n    " + field + "(first: 10) {\n      edges {\n        node {\n          " +
				strings.Join(strings.Fields(selection),
					"\n          ") +
				"\n        }\n      }\n      pageInfo {\n        hasNextPage\n        endCursor\n      }\n    }\n  }\n}\n"}
	}
	return []explorerExample{
		{Key: "viewer",
			query: "query {\n  viewer {\n    kind\n    scopes\n    user {\n      email\n    }\n  }\n  account {\n    id\n  }\n}\n"},
		list("stores", "stores", "id name storeHash"),
		list("tokens", "apiTokens", "id name level clientId scopes status expiresAt lastUsedAt"),
		list("users", "users", "id email firstName lastName"),
		list("audit", "auditEvents", "at action targetName ip requestId"),
		{
			Key: "create",
			query: "mutation ($input: CreateApiTokenInput!) {\n  apiToken {\n    createApiToken(input: $input) {\n      apiToken {\n        id\n        name\n      }\n" +
				"      credentials {\n        clientId\n        clientSecret\n        accessToken\n      }\n    }\n  }\n}\n",
			variables: "{\n  \"input\": {\n    \"name\": \"Nightly export\",\n    \"scopes\": [\"account_stores_read\"]\n  }\n}\n",
		},
	}
}

// mutationsHeld returns the error for mutations of a visitor whose last proof of identity is too old, and nil if it
// is recent enough.
func (h *explorerHandler) mutationsHeld(q *request) *fault.Error {
	if h.signIn.IsFresh(q.record.AuthenticatedAt) {
		return nil
	}
	return fault.Errorf(fault.Forbidden, "%s",
		q.text("graphiql.held", "address", h.publicURL+q.address("/graphiql/confirm")))
}
