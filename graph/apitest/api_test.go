// Package apitest_test tests the GraphQL API as its clients see it: by requests to the handler, over real databases.
package apitest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/graph"
	"latchkey/graph/server"
	"latchkey/internal/access"
	"latchkey/internal/auth"
	"latchkey/internal/eventsource"
	"latchkey/internal/feed"
	"latchkey/internal/gormdb"
	"latchkey/internal/scope"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/world"
)

// publicURL leads every API path.
const publicURL = "https://api.latchkey.example"

// peer is where requests come from.
var peer = netip.MustParseAddr("203.0.113.7")

// api is the API over one database, with the services behind it.
type api struct {
	*world.Services

	handler http.Handler
	sources *eventsource.Service
	// confirm is what the replicas say: that of the only one, unless a test
	// says otherwise.
	confirm confirm
	// statements counts what was asked of the database.
	statements *dbtest.Statements
	requests   int
}

// eachAPI runs test on each database, with an API and nothing in it.
func eachAPI(t *testing.T, test func(t *testing.T, a *api)) {
	t.Helper()
	dbtest.EachURL(t, func(t *testing.T, url string) { test(t, newAPI(t, url, server.Limits{})) })
}

// newAPI wires the API as the program does.
func newAPI(t *testing.T, url string, limits server.Limits) *api {
	t.Helper()
	a := &api{statements: &dbtest.Statements{}}
	began := time.Date(2026, 3, 4, 12, 0, 0, 123456000, time.UTC)
	a.Services = world.New(t, url, world.Options{At: began, OnStatement: a.statements.Add})
	log := slog.New(slog.NewJSONHandler(&complaints{t: t}, nil))
	a.confirm = feed.New(a.DB.FeedSource(), access.Replica{Name: "only-one"}, feed.Subscriber{}, log).Confirm
	a.sources = a.eventSources(partner{})
	var err error
	a.handler, err = graph.NewHandler(graph.Config{
		EventSources: a.sources,
		Accounts:     a.Accounts, Users: a.Users, Tokens: a.Tokens, Memberships: a.Memberships, Audit: a.DB.Audit(),
		Webhooks: a.Webhooks, Events: a.Events, Billing: a.Billing, Runner: a.Runner,
		Catalogue: scope.Default(), PublicURL: publicURL, Limits: limits, Log: log,
		Replicas: &a.confirm,
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// eventSources returns the service of event sources with a partner, or with none.
func (a *api) eventSources(p eventsource.Partner) *eventsource.Service {
	return eventsource.NewService(eventsource.Config{
		Repository: gormdb.EventSources(a.DB), Apps: a.Accounts, Partner: p, Region: "US_EAST_1",
		PartnerName: "aws.partner/example.com", Now: a.Clock.Now,
	})
}

// partner answers as Amazon EventBridge does.
type partner struct{}

func (partner) Create(_ context.Context, region, _, name string) (string, error) {
	return "arn:aws:events:" + region + "::event-source/" + name, nil
}

func (partner) Delete(context.Context, string, string, string) error { return nil }

// confirm answers for the replicas.
type confirm func(context.Context) (access.Receipt, error)

func (c *confirm) Confirm(ctx context.Context) (access.Receipt, error) { return (*c)(ctx) }

// complaints fails the test for what is logged as a failure of ours, and for secrets in the log.
type complaints struct{ t *testing.T }

func (c *complaints) Write(line []byte) (int, error) {
	dbtest.NoSecrets(c.t, "the log", line)
	if bytes.Contains(line, []byte(`"level":"ERROR"`)) {
		c.t.Errorf("the log: got %s, want no error", line)
	}
	return len(line), nil
}

// failure is an entry of an answer's errors.
type failure struct {
	Message    string
	Path       []any
	Extensions struct {
		Code           string
		Field          string
		RequiredScopes []string
		Remaining      json.Number
		RequestID      string `json:"requestId"`
	}
}

// String is the failure in one line: "account.stores.0: FORBIDDEN [account_stores_read]",
// "apiToken.createApiToken: INVALID input.name: A name has …". The message of FORBIDDEN is left out where it is the one
// that all refusals have.
func (f failure) String() string {
	var text strings.Builder
	for i, element := range f.Path {
		if i > 0 {
			text.WriteByte('.')
		}
		fmt.Fprint(&text, element)
	}
	fmt.Fprintf(&text, ": %s", f.Extensions.Code)
	if f.Extensions.Field != "" {
		text.WriteString(" " + f.Extensions.Field)
	}
	if f.Message != refusal {
		text.WriteString(": " + f.Message)
	}
	if len(f.Extensions.RequiredScopes) > 0 {
		fmt.Fprintf(&text, " %s", f.Extensions.RequiredScopes)
	}
	return text.String()
}

// refusal is the message of a caller without rights (docs/compatibility.md: "Errors").
const refusal = "You do not have permission to do this operation."

// answer is what came back.
type answer struct {
	status int
	text   string
	// data is the data as compact JSON, "" if there is no such entry.
	data   string
	errors []failure
	// requestID is the one that the request had.
	requestID string
}

// failures are the errors as text, in alphabetical order: fields run at the same time.
func (a answer) failures() []string {
	lines := make([]string, len(a.errors))
	for i, f := range a.errors {
		lines[i] = f.String()
	}
	slices.Sort(lines)
	return lines
}

// into reads the data. The answer must be without errors.
func (a answer) into(t *testing.T, data any) {
	t.Helper()
	if len(a.errors) > 0 {
		t.Fatalf("errors: got %q, want none", a.failures())
	}
	if err := json.Unmarshal([]byte(a.data), data); err != nil {
		t.Fatal(err)
	}
}

// ask posts a query to the account's endpoint as the principal.
func (a *api) ask(t *testing.T, accountID uuid.UUID, by *auth.Principal, query string,
	variables map[string]any) answer {
	t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		t.Fatal(err)
	}
	a.requests++
	requestID := "request-" + strconv.Itoa(a.requests)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/accounts/"+accountID.String()+"/graphql",
		bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.SetPathValue("account_uuid", accountID.String())
	here := *by
	here.Origin = auth.Origin{IP: peer, RequestID: requestID}
	w := httptest.NewRecorder()
	w.Header().Set("X-Request-Id", requestID)
	a.handler.ServeHTTP(w, r.WithContext(auth.With(r.Context(), &here)))
	return read(t, w, requestID)
}

func read(t *testing.T, w *httptest.ResponseRecorder, requestID string) answer {
	t.Helper()
	var envelope struct {
		Data   json.RawMessage
		Errors []failure
	}
	d := json.NewDecoder(bytes.NewReader(w.Body.Bytes()))
	if err := d.Decode(&envelope); err != nil {
		t.Fatalf("the response is not JSON: %v", err)
	}
	for _, f := range envelope.Errors {
		if f.Extensions.RequestID != requestID || f.Extensions.Code == "" || f.Message == "" {
			t.Errorf("error: got %+v, want a code, a message and the request ID %s", f, requestID)
		}
	}
	return answer{status: w.Code, text: w.Body.String(), data: compact(t, envelope.Data), errors: envelope.Errors,
		requestID: requestID}
}

func compact(t *testing.T, data []byte) string {
	t.Helper()
	var b bytes.Buffer
	if len(data) == 0 {
		return ""
	}
	if err := json.Compact(&b, data); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return b.String()
}
