package panel

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"latchkey/internal/fault"
)

// explorerRoutes are the pages of the API explorer: a page to ask the Account
// API by hand, signed in by the session, and the documentation of its schema.
func explorerRoutes() []route {
	const in = "/accounts/{account}/graphiql"
	return []route{
		{method: http.MethodGet, pattern: in, audience: insider, serve: (*visit).explorer},
		{method: http.MethodPost, pattern: in, audience: insider, serve: (*visit).explorerRun, unbounded: true},
		{method: http.MethodPost, pattern: in + "/query", audience: insider, serve: (*visit).explorerQuery, unbounded: true},
		{method: http.MethodGet, pattern: in + "/confirm", audience: insider, serve: (*visit).explorerBack},
		{method: http.MethodPost, pattern: in + "/confirm", audience: insider, serve: (*visit).explorerConfirmed, fresh: true},
		{method: http.MethodGet, pattern: in + "/schema", audience: insider, serve: (*visit).explorerSchema},
	}
}

// explorerFields are the fields of the form, which are the parameters of a
// request to the API.
var explorerFields = []string{"query", "variables", "operationName"}

// explorerPage is the form with, where it was sent, the answer.
type explorerPage struct {
	Here, Query, Confirm, Schema string
	Form                         *form
	// Restore lets the script bring back the last query.
	Restore bool
	// Confirmed says that the visitor just proved who they are.
	Confirmed bool
	Examples  []explorerExample
	Answer    *explorerAnswer
}

// explorerAnswer is what the API answered.
type explorerAnswer struct {
	Status int
	Text   string
	// Held says that it takes a proof of who the visitor is.
	Held bool
}

func (v *visit) explorerPage(f *form) explorerPage {
	here := v.in("/graphiql")
	return explorerPage{Here: here, Query: here + "/query", Confirm: here + "/confirm", Schema: here + "/schema", Form: f, Examples: explorerExamples()}
}

// explorer shows the form, with an example if one was asked for.
func (v *visit) explorer() error {
	shown := v.explorerPage(newForm(explorerFields...))
	name := v.r.URL.Query().Get("example")
	shown.Restore = name == ""
	chosen := shown.Examples[0]
	for _, each := range shown.Examples {
		if each.Key == name {
			chosen = each
		}
	}
	shown.Form.Values.Set("query", chosen.query)
	shown.Form.Values.Set("variables", chosen.variables)
	return v.page(http.StatusOK, "explorer", shown)
}

func (v *visit) explorerBack() error { return v.redirect(v.in("/graphiql")) }

// explorerConfirmed goes on with what was to run before the visitor was asked to
// prove who they are. It does not run it: they may have gone away.
func (v *visit) explorerConfirmed() error {
	f, err := v.sent(explorerFields...)
	if err != nil {
		return err
	}
	shown := v.explorerPage(f)
	shown.Confirmed = true
	return v.page(http.StatusOK, "explorer", shown)
}

// explorerRun answers the form with the API's answer.
func (v *visit) explorerRun() error {
	f, err := v.sent(explorerFields...)
	if err != nil {
		return err
	}
	shown := v.explorerPage(f)
	asked, err := json.Marshal(apiRequest{f.Values.Get("query"), json.RawMessage(f.Value("variables")), f.Value("operationName")})
	if err != nil {
		f.wrong("variables", v.text("graphiql.no_json"))
		return v.page(http.StatusUnprocessableEntity, "explorer", shown)
	}
	heard := v.ask(asked)
	shown.Answer = &explorerAnswer{Status: heard.status, Text: indented(heard.body.Bytes()), Held: heard.status == http.StatusForbidden}
	return v.page(heard.status, "explorer", shown)
}

// explorerQuery hands a request of the page's script on to the API, once its
// body has arrived: the session may have ended meanwhile.
func (v *visit) explorerQuery() error {
	body, unread := io.ReadAll(v.r.Body)
	if err := v.verify(v.r.Context()); err != nil {
		return err
	}
	if v.by == nil {
		return v.toSignIn()
	}
	r := v.r.WithContext(v.apiContext())
	if unread == nil {
		r.Body = io.NopCloser(bytes.NewReader(body))
	} // otherwise the API meets the same error
	r.SetPathValue("account_uuid", v.by.AccountID.String())
	v.API.ServeHTTP(v.w, r)
	return nil
}

// explorerExample is a query to begin with. Its title is a message.
type explorerExample struct{ Key, query, variables string }

// explorerExamples are the queries that the page offers; the first is there when
// it is opened.
func explorerExamples() []explorerExample {
	list := func(key, field, selection string) explorerExample {
		return explorerExample{Key: key, query: "query {\n  account {\n    " + field + "(first: 10) {\n      edges {\n        node {\n          " +
			strings.Join(strings.Fields(selection), "\n          ") + "\n        }\n      }\n      pageInfo {\n        hasNextPage\n        endCursor\n      }\n    }\n  }\n}\n"}
	}
	return []explorerExample{
		{Key: "viewer", query: "query {\n  viewer {\n    kind\n    scopes\n    user {\n      email\n    }\n  }\n  account {\n    id\n  }\n}\n"},
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

// mutationsHeld is the refusal of mutations by a visitor who proved too long ago
// who they are; nil for any other.
func (v *visit) mutationsHeld() *fault.Error {
	if v.SignIn.IsFresh(v.who.Record.AuthenticatedAt) {
		return nil
	}
	return fault.Errorf(fault.Forbidden, "%s", v.text("graphiql.held", "address", v.PublicURL+v.in("/graphiql/confirm")))
}
