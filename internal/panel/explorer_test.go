package panel_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/internal/test/check"
)

// asks sends a request to the API as the explorer's script does.
func (v *visitor) asks(address, body string) *reply {
	v.t.Helper()
	r := v.request(http.MethodPost, address, nil)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Origin", v.server.URL)
	r.Header.Set("Sec-Fetch-Mode", "cors")
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	return v.send(r)
}

const (
	aQuery    = `{"query":"{viewer{kind user{email}}}"}`
	aMutation = `mutation Change($name: String!) {apiToken {createApiToken(input: {name: $name, scopes: ["account_stores_read"]}) {apiToken {name}}}}`
)

func mutating(query, operation string) string {
	body, err := json.Marshal(map[string]any{"query": query, "operationName": operation,
		"variables": map[string]string{"name": "By hand"}})
	if err != nil {
		panic(err)
	}
	return string(body)
}

// The script's requests get the API's response, including its errors and refusals.
func TestExplorerQuery(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, at := s.signedIn(s.OwnerEmail), s.page("/graphiql/query")
		answer := owner.asks(at, aQuery)
		answer.wants(http.StatusOK, `{"data":{"viewer":{"kind":"SESSION","user":{"email":"`+s.OwnerEmail+`"}}}}`)
		for name, want := range map[string]string{"Content-Type": "application/json; charset=utf-8",
			"Cache-Control": "no-store", "X-Frame-Options": "DENY"} {
			check.Equal(t, answer.header.Get(name), want, "%s", name)
		}
		for name, tt := range map[string]struct {
			body   string
			status int
			text   string
		}{
			"no JSON":       {"{", http.StatusBadRequest, `"code":"INVALID"`},
			"no such field": {`{"query":"{nothing}"}`, http.StatusOK, `"code":"INVALID"`},
			"too much": {`{"query":"{` + strings.Repeat("a:__typename ", 101) + `}"}`, http.StatusOK,
				`"code":"COMPLEXITY_LIMIT"`},
			"too large": {`{"query":"` + strings.Repeat("#", 2<<20) + `"}`, http.StatusRequestEntityTooLarge,
				"Send a smaller one."},
		} {
			if got := owner.asks(at, tt.body); got.status != tt.status || !strings.Contains(got.body, tt.text) ||
				!strings.Contains(got.body, got.header.Get("X-Request-Id")) {
				t.Errorf("%s: got %d %.300s, want %d with %s and the request ID", name, got.status, got.body, tt.status,
					tt.text)
			}
		}
		file := owner.get(s.page("/graphiql/schema.graphqls"))
		file.wants(http.StatusOK, "type Mutation @requires")
		check.Equal(t, file.header.Get("Content-Disposition"), "attachment; filename=latchkey.graphqls", "the file")
		link := s.page("/graphiql/schema.graphqls") + `" download`
		check.Equal(t, strings.Contains(owner.get(s.page("/graphiql/schema")).body, link), true, "link to the file")
		owner.post(at, "query", "{__typename}").wants(http.StatusUnsupportedMediaType, "application/json")
		staff := s.signedIn(chloe)
		staff.asks(at, `{"query":"{account{apiTokens{edges{node{name}}}}}"}`).wants(http.StatusOK, `"code":"FORBIDDEN"`)
		staff.asks(at, mutating(aMutation, "")).wants(http.StatusOK, `"code":"FORBIDDEN"`)
		s.visitor().asks(at, aQuery).goes("/signin?next=" + url.QueryEscape(s.page("/graphiql")))
	})
}

// The explorer does not accept requests for another account or from another site.
func TestExplorerOfOthers(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		before := s.contents()
		other := "/accounts/3f1d9f0e-52b4-4c0e-8a6d-2b7c1e9d4c02/graphiql"
		owner.asks(other+"/query", mutating(aMutation, "")).wants(http.StatusNotFound, "")
		owner.get(other).wants(http.StatusNotFound, "")
		for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
			r := owner.request(http.MethodPost, s.page("/graphiql/query"), nil)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Del("Sec-Fetch-Site")
			r.Header.Set(name, value)
			body := mutating(aMutation, "")
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
			owner.send(r).wants(http.StatusForbidden, "another site")
		}
		s.unchanged(before)
	})
}

// In an old session, no form of mutation changes anything until the user proves their identity. Queries work.
func TestExplorerAsksAgain(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, page := s.signedIn(s.OwnerEmail), s.page("/graphiql")
		s.age(16 * time.Minute)
		before := s.contents()
		for name, body := range map[string]string{
			"a mutation":  mutating(aMutation, ""),
			"one by name": mutating("query Q {__typename} "+aMutation, "Change"),
			"one in fragments": mutating("mutation ($name: String!) {...F} fragment F on Mutation {"+
				strings.TrimPrefix(aMutation, "mutation Change($name: String!) {"), ""),
			"behind a comment": mutating("#query\n,"+aMutation, ""),
			"a second query":   `{"query":"{__typename}",` + strings.TrimPrefix(mutating(aMutation, ""), "{"),
		} {
			answer := owner.asks(page+"/query", body)
			if answer.status != http.StatusForbidden || !strings.Contains(answer.body, `"code":"FORBIDDEN"`) ||
				!strings.Contains(answer.body, s.page("/graphiql/confirm")) {
				t.Errorf("%s: got %d %s, want 403 FORBIDDEN with the page that confirms it", name, answer.status,
					answer.body)
			}
		}
		owner.asks(page+"/query?query=%7B__typename%7D", mutating(aMutation, "")).wants(http.StatusForbidden,
			"FORBIDDEN")
		owner.get(page+"/query?query="+url.QueryEscape(aMutation)).wants(http.StatusMethodNotAllowed, "")
		held := owner.post(page, "query", aMutation, "variables", `{"name":"By hand"}`)
		held.wants(http.StatusForbidden, "Confirm your identity")
		s.unchanged(before)
		owner.asks(page+"/query", mutating("query Q {__typename} "+aMutation, "Q")).wants(http.StatusOK, "")
		owner.asks(page+"/query", aQuery).wants(http.StatusOK, s.OwnerEmail)

		again := owner.post(page+"/confirm", "query", aMutation, "variables", `{"name":"By hand"}`)
		again.wants(http.StatusOK, "Password")
		owner.submit(again, "Continue", "password_again", "wrong wrong").wants(http.StatusUnprocessableEntity, "")
		confirmed := owner.submit(again, "Continue", "password_again", s.Password)
		confirmed.wants(http.StatusOK, "Confirmed. You can now run the query.").wants(http.StatusOK, "mutation Change")
		owner.submit(confirmed, "Run").wants(http.StatusOK, `"name": "By hand"`)
		owner.asks(page+"/query", mutating(strings.ReplaceAll(aMutation, "$name, scopes", `"Another", scopes`),
			"")).wants(http.StatusOK, "")
		owner.get(page + "/confirm").goes(page)
	})
}

// Without JavaScript, the form's page shows the API's response and keeps the entered values. Every example works.
func TestExplorerForm(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, at := s.signedIn(s.OwnerEmail), s.page("/graphiql")
		page := owner.get(at)
		page.wants(http.StatusOK, "API explorer")
		examples := slices.DeleteFunc(page.links(), func(to string) bool { return !strings.Contains(to, "?example=") })
		if len(examples) < 6 {
			t.Errorf("examples: got %d, want at least 6", len(examples))
		}
		for _, to := range examples {
			answer := owner.submit(owner.get(to), "Run")
			if answer.wants(http.StatusOK, `"data": {`); strings.Contains(answer.text(), `"errors"`) {
				t.Errorf("%s: got %s, want no errors", to, answer.text())
			}
		}
		owner.submit(page, "Run", "query", "query A {__typename} query B {viewer {kind}}", "operationName", "B").
			wants(http.StatusOK, `"kind": "SESSION"`).wants(http.StatusOK, "query A {__typename}")
		owner.submit(page, "Run", "variables", "{").wants(http.StatusUnprocessableEntity, "This is not valid JSON.")
		owner.submit(page, "Run", "query", "").wants(http.StatusBadRequest, "The request has no query.")
		owner.submit(page, "Run", "query", "{nothing}").wants(http.StatusOK, `"code": "INVALID"`)
		s.signedIn(chloe).get(at).wants(http.StatusOK, "API explorer")
		s.visitor().get(at).goes("/signin?next=" + url.QueryEscape(at))
	})
}

// The documentation is that of the served schema: every type that it names has a page, and the search finds fields.
func TestExplorerSchema(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, at := s.signedIn(s.OwnerEmail), s.page("/graphiql/schema")
		list := owner.get(at)
		list.wants(http.StatusOK, "Root types").lacks("__Type")
		types := slices.DeleteFunc(list.links(), func(to string) bool { return !strings.Contains(to, "?type=") })
		if len(types) < 50 {
			t.Errorf("types: got %d, want at least 50", len(types))
		}
		for _, to := range append(types, at+"?type=__Type") {
			if page := owner.get(to); page.status != http.StatusOK || len(misshapen(page)) > 0 {
				t.Errorf("%s: got %d with the flaws %s, want 200 without flaws", to, page.status, misshapen(page))
			}
		}
		account := owner.get(at + "?type=Account")
		account.wants(http.StatusOK, "Object").wants(http.StatusOK,
			"Requires the account_read scope.").wants(http.StatusOK, "first : Int")
		if !slices.Contains(account.links(), at+"?type=StoreConnection") {
			t.Errorf("links of Account: got %q, want StoreConnection among them", account.links())
		}
		owner.get(at+"?type=ApiTokenStatus").wants(http.StatusOK, "Enumeration").wants(http.StatusOK, "EXPIRED")
		found := owner.submit(list, "Search", "q", "CREATEapitoken")
		found.wants(http.StatusOK, "ApiTokenMutations.createApiToken").lacks("StoreConnection")
		owner.get(at+"?q=the").wants(http.StatusOK, "The first 100 are shown.")
		owner.get(at+"?q=no+such+thing").wants(http.StatusOK, "No type or field matches")
		owner.get(at+"?type=Nothing").wants(http.StatusNotFound, "no such type")
		owner.get(at+"?type="+strings.Repeat("x", 3000)).wants(http.StatusNotFound, "no such type")
	})
}
