package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"latchkey/graph/server"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/test/check"
)

// inURL is the query of a GET request's address.
func inURL(parameters ...string) string {
	values := url.Values{}
	for i := 0; i < len(parameters); i += 2 {
		values.Add(parameters[i], parameters[i+1])
	}
	return "?" + values.Encode()
}

// Every sort of failure, in both media types: what status it has, and that
// there is no data where nothing was run.
func TestStatuses(t *testing.T) {
	tests := []struct {
		name          string
		method        string
		target, body  string
		json, graphql int
		data          bool
	}{
		{"a query", "POST", "", `{"query":"{__typename}"}`, 200, 200, true},
		{"a query in the address", "GET", inURL("query", "{__typename}"), "", 200, 200, true},
		{"variables in the address", "GET", inURL("query", "query($a:Boolean!){__typename @skip(if:$a)}", "variables",
			`{"a":false}`), "", 200, 200, true},
		{"an operation in the address", "GET",
			inURL("query", "query a{__typename} query b{b:__typename}", "operationName", "b"), "", 200, 200, true},
		{"a refused field", "POST", "", `{"query":"{account{accountInfo{name}}}"}`, 200, 200, true},

		{"a document that does not parse", "POST", "", `{"query":"{"}`, 200, 400, false},
		{"a document that does not validate", "POST", "", `{"query":"{nothing}"}`, 200, 400, false},
		{"a document that does not validate, in the address", "GET", inURL("query", "{nothing}"), "", 200, 400, false},
		{"variables that are not as declared", "POST", "",
			`{"query":"query($id:ID!){node(id:$id){id}}","variables":{"id":null}}`, 200, 400, false},
		{"no such operation", "POST", "", `{"query":"query a{__typename}","operationName":"b"}`, 200, 400, false},
		{"which of the operations", "POST", "", `{"query":"query a{__typename} query b{__typename}"}`, 200, 400, false},
		{"no operation", "POST", "", `{"query":"fragment F on Query{__typename}"}`, 200, 400, false},
		{"a subscription", "POST", "", `{"query":"subscription{time}"}`, 200, 400, false},
		{"an answer in parts", "POST", "", `{"query":"{...@defer{__typename}}"}`, 200, 400, false},
		{"too much", "POST", "", `{"query":"{` + strings.Repeat("a:__typename ", 101) + `}"}`, 200, 400, false},

		{"no JSON", "POST", "", `{"query":`, 400, 400, false},
		{"nothing", "POST", "", ``, 400, 400, false},
		{"more after the JSON", "POST", "", `{"query":"{__typename}"}{}`, 400, 400, false},
		{"several requests", "POST", "", `[{"query":"{__typename}"}]`, 400, 400, false},
		{"JSON that is not an object", "POST", "", `"{__typename}"`, 400, 400, false},
		{"no query", "POST", "", `{}`, 400, 400, false},
		{"a null query", "POST", "", `{"query":null}`, 400, 400, false},
		{"an empty query", "POST", "", `{"query":""}`, 400, 400, false},
		{"a number for a query", "POST", "", `{"query":1}`, 400, 400, false},
		{"an object for a query", "POST", "", `{"query":{}}`, 400, 400, false},
		{"a number for a name", "POST", "", `{"query":"{__typename}","operationName":1}`, 400, 400, false},
		{"a list for variables", "POST", "", `{"query":"{__typename}","variables":[]}`, 400, 400, false},
		{"a string for variables", "POST", "", `{"query":"{__typename}","variables":"{}"}`, 400, 400, false},
		{"a string for extensions", "POST", "", `{"query":"{__typename}","extensions":""}`, 400, 400, false},
		{"a hash instead of a query", "POST", "", `{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"00"}}}`,
			200, 200, false},
		{"no query and other extensions", "POST", "", `{"extensions":{"persistedQuery":null,"a":1}}`, 400, 400, false},
		{"no query in the address", "GET", "", "", 400, 400, false},
		{"variables in the URL that are not JSON", "GET", inURL("query", "{__typename}", "variables", "{"), "", 400,
			400, false},
		{"variables in the address with more after them", "GET", inURL("query", "{__typename}", "variables", "{}{"), "",
			400, 400, false},
		{"extensions in the URL that are not an object", "GET", inURL("query", "{__typename}", "extensions", "1"), "",
			400, 400, false},
		{"two queries in the address", "GET", inURL("query", "{__typename}", "query", "{__typename}"), "", 400, 400,
			false},
		{"an address that is not UTF-8", "GET", "?query=%7B__typename%7D%ff", "", 400, 400, false},
		{"an address that is not well-formed", "GET", "?query=%7", "", 400, 400, false},

		{"a mutation in the address", "GET", inURL("query", "mutation{__typename}"), "", 405, 405, false},
		{"another method", "PUT", "", `{"query":"{__typename}"}`, 405, 405, false},
	}
	a := newAPI(t, nil)
	for _, tt := range tests {
		for accept, want := range map[string]int{"": tt.json, "*/*": tt.json, jsonType: tt.json,
			graphqlType: tt.graphql} {
			t.Run(tt.name+" as "+accept, func(t *testing.T) {
				r := newRequest(tt.method, tt.target, tt.body)
				if accept != "" {
					r.Header.Set("Accept", accept)
				}
				w := a.send(r, holding())
				check.Equal(t, w.Code, want, "status: %s", w.Body)
				checkForm(t, w, accept == graphqlType, tt.data)
			})
		}
	}
	if log := a.log.String(); log != "" {
		t.Errorf("the log of clients' errors: got %s, want nothing", log)
	}
}

// checkForm checks what every answer has in common.
func checkForm(t *testing.T, w *httptest.ResponseRecorder, asGraphQL, hasData bool) {
	t.Helper()
	want := jsonType
	if asGraphQL {
		want = graphqlType
	}
	check.Equal(t, w.Header().Get("Content-Type"), want+"; charset=utf-8", "Content-Type, %s", want)
	var answer map[string]json.RawMessage
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	if _, ok := answer["data"]; ok != hasData {
		t.Errorf("an entry for data: %t, want %t, in %s", ok, hasData, w.Body)
	}
	if !hasData && !strings.Contains(w.Body.String(), `"code":"`) {
		t.Errorf("got %s, want a code", w.Body)
	}
	if !hasData && !strings.Contains(w.Body.String(), `"requestId":"r-1"`) {
		t.Errorf("got %s, want the request ID r-1", w.Body)
	}
}

func TestAllow(t *testing.T) {
	a := newAPI(t, nil)
	for _, tt := range []struct{ method, target, want string }{
		{"GET", inURL("query", "mutation{__typename}"), "POST"},
		{"DELETE", "", "GET, POST"},
	} {
		check.Equal(t, a.send(newRequest(tt.method, tt.target, ""), holding()).Header().Get("Allow"), tt.want,
			"%s: Allow", tt.method)
	}
}

// A mutation in the address must not have run when it is refused.
func TestMutationOverGETIsNotRun(t *testing.T) {
	const query = `mutation { apiToken { createApiToken(input: {name: "A token", scopes: ["account_read"]}) { apiToken { id } } } }`
	a := newAPI(t, nil) // without services, so that running it would panic
	a.send(newRequest("GET", inURL("query", query), ""), holding("account_api_tokens_write", "account_api_tokens_read"))
	if log := a.log.String(); log != "" {
		t.Errorf("the log: got %s, want nothing, as the mutation is not executed", log)
	}
}

func TestAccept(t *testing.T) {
	a := newAPI(t, nil)
	for _, tt := range []struct{ accept, want string }{
		{"application/json", jsonType},
		{"APPLICATION/JSON", jsonType},
		{"application/json; charset=utf-8", jsonType},
		{"application/*", jsonType},
		{"application/graphql-response+json", graphqlType},
		{"application/graphql-response+json; charset=utf-8, application/json; charset=utf-8", graphqlType},
		{"application/json, application/graphql-response+json", jsonType},
		{"application/graphql-response+json;q=0.9, application/json", jsonType},
		{"application/json;q=0.8,application/graphql-response+json;q=0.9", graphqlType},
		{"application/graphql-response+json, */*", graphqlType},
		{"*/*, application/graphql-response+json", graphqlType},
		{"application/json;q=0, */*;q=0.1", graphqlType},
		{"text/html, application/xhtml+xml, */*;q=0.8", jsonType},
		{"multipart/mixed, application/json", jsonType},
		{"", jsonType},
		{" , ", jsonType},
		{"application/json;q=much, application/graphql-response+json", graphqlType},
		{"text/html", ""},
		{"application/json;q=0", ""},
		{"*/*;q=0", ""},
		{"application/graphql+json", ""},
	} {
		t.Run(tt.accept, func(t *testing.T) {
			r := newRequest("POST", "", `{"query":"{__typename}"}`)
			r.Header.Set("Accept", tt.accept)
			w := a.send(r, holding())
			if tt.want == "" {
				if w.Code != http.StatusNotAcceptable || w.Header().Get("Content-Type") != jsonType+"; charset=utf-8" {
					t.Errorf("got %d as %s, want 406 as %s", w.Code, w.Header().Get("Content-Type"), jsonType)
				}
				return
			}
			if got := w.Header().Get("Content-Type"); w.Code != http.StatusOK || got != tt.want+"; charset=utf-8" {
				t.Errorf("got %d as %s, want %s", w.Code, got, tt.want)
			}
		})
	}
	r := newRequest("POST", "", `{"query":"{__typename}"}`)
	r.Header["Accept"] = []string{"text/html", "application/graphql-response+json"}
	if w := a.send(r, holding()); w.Code != http.StatusOK ||
		!strings.HasPrefix(w.Header().Get("Content-Type"), graphqlType) {
		t.Errorf("two lines: got %d as %s, want 200 as %s", w.Code, w.Header().Get("Content-Type"), graphqlType)
	}
}

func TestContentTypes(t *testing.T) {
	a := newAPI(t, nil)
	for _, tt := range []struct {
		name, contentType, encoding string
		want                        int
	}{
		{"plain", "application/json", "", 200},
		{"UTF-8", "application/json; charset=utf-8", "", 200},
		{"UTF-8, otherwise written", `Application/JSON;charset="UTF-8"`, "", 200},
		{"other parameters", "application/json; profile=x", "", 200},
		{"nothing done to it", "application/json", "identity", 200},
		{"none", "", "", 415},
		{"UTF-8, as some programs call it", "application/json; charset=utf8", "", 200},
		{"ASCII, a part of UTF-8", "application/json; charset=US-ASCII", "", 200},
		{"no charset in spite of its name", "application/json; charset=\"\"", "", 415},
		{"another charset", "application/json; charset=latin1", "", 415},
		{"text", "text/plain", "", 415},
		{"a form", "application/x-www-form-urlencoded", "", 415},
		{"a query", "application/graphql", "", 415},
		{"an answer's", "application/graphql-response+json", "", 415},
		{"broken", "application/json; charset", "", 415},
		{"compressed", "application/json", "gzip", 415},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRequest("POST", "", `{"query":"{__typename}"}`)
			r.Header.Del("Content-Type")
			if tt.contentType != "" {
				r.Header.Set("Content-Type", tt.contentType)
			}
			if tt.encoding != "" {
				r.Header.Set("Content-Encoding", tt.encoding)
			}
			if w := a.send(r, holding()); w.Code != tt.want {
				t.Errorf("got %d, want %d: %s", w.Code, tt.want, w.Body)
			}
		})
	}
}

func TestBodyThatCannotBeRead(t *testing.T) {
	a := newAPI(t, nil)
	t.Run("too large", func(t *testing.T) {
		r := newRequest("POST", "", `{"query":"{__typename}"}`)
		r.Body = http.MaxBytesReader(nil, r.Body, 10)
		w := a.send(r, holding())
		if want := "The request body is larger than 10 bytes."; w.Code != http.StatusRequestEntityTooLarge ||
			!strings.Contains(w.Body.String(), want) {
			t.Errorf("got %d %s, want %s", w.Code, w.Body, want)
		}
	})
	for name, tt := range map[string]struct {
		err  error
		want int
	}{
		"broken off": {errWire, http.StatusBadRequest},
		"too slow":   {fmt.Errorf("read tcp 10.0.0.1: wire: %w", os.ErrDeadlineExceeded), http.StatusRequestTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRequest("POST", "", "")
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"query":"{__typename}"}`),
				iotest.ErrReader(tt.err)))
			if w := a.send(r, holding()); w.Code != tt.want || strings.Contains(w.Body.String(), "wire") {
				t.Errorf("got %d %s, want %d without the cause", w.Code, w.Body, tt.want)
			}
		})
	}
}

func TestWriteError(t *testing.T) {
	for kind, want := range map[fault.Kind]int{
		fault.Unauthenticated: 401, fault.Forbidden: 403, fault.NotFound: 404, fault.Invalid: 400, fault.Conflict: 409,
		fault.LimitReached: 409, fault.RateLimited: 429, fault.ComplexityLimit: 400,
		fault.Internal: 500, fault.EventBridgeNotConfigured: 501,
	} {
		t.Run(string(kind), func(t *testing.T) {
			for _, accept := range []string{jsonType, graphqlType} {
				w := httptest.NewRecorder()
				w.Header().Set("X-Request-Id", "r-1")
				r := httptest.NewRequest("POST", "/", http.NoBody)
				r.Header.Set("Accept", accept)
				server.WriteError(w, r, fault.Wrap(errWire, kind, "Told."))
				if text := `{"errors":[{"message":"Told.","extensions":{"code":"` + string(kind) +
					`","requestId":"r-1"}}]}`; w.Code != want || strings.TrimSpace(w.Body.String()) != text {
					t.Errorf("got %d %s, want %d %s", w.Code, w.Body, want, text)
				}
				checkForm(t, w, accept == graphqlType, false)
			}
		})
	}
	t.Run("unavailable", func(t *testing.T) {
		w := httptest.NewRecorder()
		server.WriteError(w, httptest.NewRequest("POST", "/", http.NoBody),
			fmt.Errorf("%w: %w", fault.ErrUnavailable, errWire))
		if w.Code != 503 || w.Header().Get("Retry-After") != "1" ||
			!strings.Contains(w.Body.String(), `"code":"INTERNAL"`) || strings.Contains(w.Body.String(), "wire") {
			t.Errorf("got %d %v %s, want 503 INTERNAL with Retry-After 1 and without the cause", w.Code, w.Header(),
				w.Body)
		}
	})
	t.Run("no fault", func(t *testing.T) {
		w := httptest.NewRecorder()
		server.WriteError(w, httptest.NewRequest("POST", "/", http.NoBody), errWire)
		if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "wire") {
			t.Errorf("got %d %s, want 500 without the cause", w.Code, w.Body)
		}
	})
}

// Without a principal nothing is read, not even the request's form.
func TestWithoutPrincipal(t *testing.T) {
	w := httptest.NewRecorder()
	newAPI(t, nil).ServeHTTP(w, newRequest("POST", "", `{"query":"{viewr}"}`))
	if w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "viewr") {
		t.Errorf("got %d %s, want 401 without the field's name", w.Code, w.Body)
	}
}

// Every answer says how long it is, the short ones that net/http counts and
// the long ones that it would send in chunks.
func TestAnswersTellTheirLength(t *testing.T) {
	a := newAPI(t, nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.ServeHTTP(w, r.WithContext(auth.With(r.Context(), holding())))
	}))
	defer server.Close()
	const frame = len(`{"data":{"":"Query"}}` + "\n")
	for _, size := range []int{60, 2047, 2048, 2049, 4096, 5000} {
		answer, err := http.Post(server.URL, jsonType,
			strings.NewReader(body("{"+strings.Repeat("a", size-frame)+":__typename}", nil)))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		if err := errors.Join(err, answer.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if len(text) != size || answer.ContentLength != int64(size) {
			t.Errorf("an answer of %d bytes is said to be of %d, want %d", len(text), answer.ContentLength, size)
		}
	}
}

// Clients of Apollo's automatic persisted queries send the query itself when
// this error says that persisted queries are not supported.
func TestPersistedQueryNotSupported(t *testing.T) {
	const extensions = `{"persistedQuery":{"version":1,"sha256Hash":"ecf4edb46db40b5132295c0291d62fb65d6759a9eedfa4d5d612dd5ec54a6b38"}}`
	const want = `{"errors":[{"message":"PersistedQueryNotSupported","extensions":{"code":"PERSISTED_QUERY_NOT_SUPPORTED","requestId":"r-1"}}]}`
	a := newAPI(t, nil)
	for name, r := range map[string]*http.Request{
		"in the body": newRequest("POST", "",
			`{"operationName":"a","variables":{},"extensions":`+extensions+`}`),
		"with a query that is null": newRequest("POST", "", `{"query":null,"extensions":`+extensions+`}`),
		"in the address":            newRequest("GET", inURL("operationName", "a", "extensions", extensions), ""),
	} {
		t.Run(name, func(t *testing.T) {
			w := a.send(r, holding())
			if got := strings.TrimSpace(w.Body.String()); w.Code != http.StatusOK || got != want {
				t.Errorf("got %d %s, want %s", w.Code, got, want)
			}
		})
	}
	r := newRequest("POST", "", `{"query":"{__typename}","extensions":`+extensions+`}`)
	if got := a.send(r, holding()).Body.String(); !strings.Contains(got, `"data"`) {
		t.Errorf("with the query: got %s, want data", got)
	}
}
