package provision_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/apiclient"
	"latchkey/internal/provision"
	"latchkey/internal/roster"
	"latchkey/internal/secret"
	"latchkey/internal/user"
)

// api answers one text after the other, and notes what it was asked.
func api(t *testing.T, answers ...string) (s provision.Server, asked *[]string) {
	t.Helper()
	asked = new([]string)
	fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request struct {
			Query     string
			Variables json.RawMessage
		}
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			t.Error(err)
		}
		*asked = append(*asked, string(request.Variables))
		_, _ = io.WriteString(w, answers[len(*asked)-1])
	}))
	t.Cleanup(fake.Close)
	client, err := apiclient.New(apiclient.Config{URL: fake.URL, Account: uuid.New(), Token: secret.Secret{}})
	if err != nil {
		t.Fatal(err)
	}
	return provision.Server{API: client}, asked
}

func TestServerProvisions(t *testing.T) {
	s, asked := api(t, `{"data":{"account":{"provisionUsers":{"items":[
		{"email":"ann@acme.example","action":"UPDATED","changes":[{"field":"firstName","before":"An","after":"Ann"}],"field":null,"code":null,"message":null},
		{"email":"b","action":"FAILED","changes":[],"field":"users.1.externalId","code":"CONFLICT","message":"Taken."},
		{"email":"c","action":"FAILED","changes":[],"field":"users.2.stores.0","code":"NOT_FOUND","message":"No."}]}}}}`)
	got, err := s.Provision(t.Context(), []roster.Person{
		{Line: 2, Email: "ann@acme.example", FirstName: "Ann", Stores: []string{"acme1us"}, Role: user.SalesStaff},
		{Line: 3, Email: "b", ExternalID: "7"}, {Line: 4, Email: "c", Stores: []string{"x"}},
	}, true)
	before, after := "An", "Ann"
	want := []provision.Result{
		{Email: "ann@acme.example", Action: provision.Updated, Changes: []provision.Change{{Field: "firstName", Before: &before, After: &after}}},
		{Email: "b", Action: provision.Failed, Changes: []provision.Change{}, Field: "external_id", Code: "CONFLICT", Message: "Taken."},
		{Email: "c", Action: provision.Failed, Changes: []provision.Change{}, Field: "stores", Code: "NOT_FOUND", Message: "No."},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	// What the file does not say is not sent.
	const sent = `{"input":{"dryRun":true,"users":[{"email":"ann@acme.example","firstName":"Ann","stores":["acme1us"],"role":"SALES_STAFF"},` +
		`{"email":"b","externalId":"7"},{"email":"c","stores":["x"]}]}}`
	if !slices.Equal(*asked, []string{sent}) {
		t.Errorf("sent %q", *asked)
	}
}

// A token that may remove people and not see API tokens removes people.
func TestServerDeprovisionsWithoutSeeingAPITokens(t *testing.T) {
	s, asked := api(t, `{"errors":[{"message":"No.","extensions":{"code":"FORBIDDEN","requiredScopes":["account_api_tokens_read"]}}]}`,
		`{"data":{"account":{"deprovisionUsers":{"items":[{"email":"a","action":"REMOVED"}]}}}}`)
	unseen := 0
	s.Unseen = func() { unseen++ }
	got, err := s.Deprovision(t.Context(), []string{"a"}, provision.Leave{RevokeAPITokens: true})
	if err != nil || unseen != 1 || !reflect.DeepEqual(got, []provision.Result{{Email: "a", Action: provision.Removed}}) {
		t.Errorf("got %+v, %v", got, err)
	}
	const sent = `{"input":{"dryRun":false,"revokeApiTokens":true,"users":[{"email":"a"}]}}`
	if !slices.Equal(*asked, []string{sent, sent}) {
		t.Errorf("sent %q", *asked)
	}
}

func TestServerListsMembers(t *testing.T) {
	s, asked := api(t, `{"data":{"account":{"users":{"edges":[{"node":{"email":"a"}},{"node":{"email":"b"}}],"pageInfo":{"hasNextPage":true,"endCursor":"X"}}}}}`,
		`{"data":{"account":{"users":{"edges":[{"node":{"email":"c"}}],"pageInfo":{"hasNextPage":false,"endCursor":"Y"}}}}}`)
	var got []string
	err := s.Members(t.Context(), func(email string) { got = append(got, email) })
	if err != nil || !slices.Equal(got, []string{"a", "b", "c"}) || !slices.Equal(*asked, []string{`{}`, `{"after":"X"}`}) {
		t.Errorf("got %q, %v, sent %q", got, err, *asked)
	}
}
