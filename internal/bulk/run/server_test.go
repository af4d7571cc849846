package run_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/bulk/client"
	"latchkey/internal/bulk/run"
	"latchkey/internal/membership"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	"latchkey/internal/user"
)

// api answers requests with the given texts in order and records their variables.
func api(t *testing.T, answers ...string) (s run.Server, requests *[]string) {
	t.Helper()
	requests = new([]string)
	fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request struct {
			Query     string
			Variables json.RawMessage
		}
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			t.Error(err)
		}
		*requests = append(*requests, string(request.Variables))
		_, _ = io.WriteString(w, answers[len(*requests)-1])
	}))
	t.Cleanup(fake.Close)
	client, err := client.New(client.Config{URL: fake.URL, Account: uuid.New(), Token: secret.Secret{}})
	if err != nil {
		t.Fatal(err)
	}
	return run.Server{API: client}, requests
}

func TestServerProvisions(t *testing.T) {
	s, requests := api(t, `{"data":{"account":{"provisionUsers":{"items":[
		{"email":"ann@acme.example","action":"UPDATED","changes":[{"field":"firstName","before":"An","after":"Ann"}],"field":null,"code":null,"message":null},
		{"email":"b","action":"FAILED","changes":[],"field":"users.1.externalId","code":"CONFLICT","message":"Taken."},
		{"email":"c","action":"FAILED","changes":[],"field":"users.2.stores.0","code":"NOT_FOUND","message":"No."}]}}}}`)
	got, err := s.Provision(t.Context(), []membership.ProvisionItem{
		{Email: "ann@acme.example", FirstName: new("Ann"), Stores: []account.StoreRef{{Hash: "acme1us"}},
			Role: new(user.SalesStaff)},
		{Email: "b", ExternalID: new("7")}, {Email: "c", Stores: []account.StoreRef{{Hash: "x"}}},
	}, true)
	before, after := "An", "Ann"
	want := []run.Result{
		{Email: "ann@acme.example", Action: membership.Updated,
			Changes: []membership.FieldChange{{Field: "firstName", Before: &before, After: &after}}},
		{Email: "b", Action: membership.Failed, Changes: []membership.FieldChange{}, Field: "external_id",
			Code: "CONFLICT", Message: "Taken."},
		{Email: "c", Action: membership.Failed, Changes: []membership.FieldChange{}, Field: "stores", Code: "NOT_FOUND",
			Message: "No."},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Provision() = %+v, %v, want %+v", got, err, want)
	}
	// Fields that the file leaves empty are not sent.
	const sent = `{"input":{"dryRun":true,"users":[{"email":"ann@acme.example","firstName":"Ann","stores":["acme1us"],"role":"SALES_STAFF"},` +
		`{"email":"b","externalId":"7"},{"email":"c","stores":["x"]}]}}`
	check.Equal(t, *requests, []string{sent}, "sent")
}

// A token that may remove users but not read API tokens still removes users.
func TestServerDeprovisionsWithoutListingAPITokens(t *testing.T) {
	s, requests := api(t,
		`{"errors":[{"message":"No.","extensions":{"code":"FORBIDDEN","requiredScopes":["account_api_tokens_read"]}}]}`,
		`{"data":{"account":{"deprovisionUsers":{"items":[{"email":"a","action":"REMOVED"}]}}}}`)
	hidden := 0
	s.ReviewHidden = func() { hidden++ }
	got, err := s.Deprovision(t.Context(), []string{"a"}, run.Leave{RevokeAPITokens: new(true)})
	if err != nil || hidden != 1 || !reflect.DeepEqual(got, []run.Result{{Email: "a", Action: membership.Removed}}) {
		t.Errorf("Deprovision() = %+v, %v, %d reviews hidden, want a removed, and 1", got, err, hidden)
	}
	const sent = `{"input":{"dryRun":false,"revokeApiTokens":true,"users":[{"email":"a"}]}}`
	check.Equal(t, *requests, []string{sent, sent}, "sent")
}

func TestServerListsMembers(t *testing.T) {
	s, requests := api(t,
		`{"data":{"account":{"users":{"edges":[{"node":{"email":"a"}},{"node":{"email":"b"}}],"pageInfo":{"hasNextPage":true,"endCursor":"X"}}}}}`,
		`{"data":{"account":{"users":{"edges":[{"node":{"email":"c"}}],"pageInfo":{"hasNextPage":false,"endCursor":"Y"}}}}}`)
	var got []string
	err := s.Members(t.Context(), func(email string) { got = append(got, email) })
	if err != nil || !slices.Equal(got, []string{"a", "b", "c"}) ||
		!slices.Equal(*requests, []string{`{}`, `{"after":"X"}`}) {
		t.Errorf("Members: got %q, %v, sent %q, want a, b and c from two pages", got, err, *requests)
	}
}
