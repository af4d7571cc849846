package graph_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/test/check"
)

const refused = `"message":"You do not have permission to do this operation."`

// everything is each field of the roots, with all that it takes.
var everything = []string{
	`{ account { id } }`, `{ system { time } }`, `{ viewer { kind scopes } }`,
	`{ scopeCatalog(level: ACCOUNT) { key } }`,
	`{ node(id: "bc/account/user/01980000-0000-7000-8000-000000000001") { id } }`, `{ nodes(ids: []) { id } }`,
	`mutation { account { addUserToAccount(input: {email: "a@b.example"}) { account { id } } } }`,
	`mutation { apiToken { createApiToken(input: {name: "A token", scopes: ["account_read"]}) { credentials { accessToken } } } }`,
	`mutation { apiToken { revokeApiTokens(input: {ids: ["bc/account/apiToken/01980000-0000-7000-8000-000000000001"]}) { revokedIds } } }`,
	`mutation { user { createUser(input: {email: "", firstName: "", lastName: "", locale: ""}) { user { id } } } }`,
	`mutation { checkout { createCheckout(input: {accountId: "a", items: []}) { checkout { id } } } }`,
	`mutation { subscription { cancelSubscription(input: {id: "a"}) { subscriptionId } } }`,
	`mutation { charge { deleteCharge(input: {id: "a"}) { charge { id } } } }`,
	`mutation { system { advanceTime(input: {seconds: 0}) { now } } }`,
	`mutation { app { deleteEventSource(input: {appId: "a", id: "b"}) { deletedEventSourceId } } }`,
}

// A principal of another account, and a store-level token, is denied every field
// of the account's API regardless of its scopes, and can read the schema.
func TestStrangers(t *testing.T) {
	mighty := holding("account_read", "account_stores_read", "account_users_read", "account_users_write",
		"account_api_tokens_read", "account_api_tokens_write")
	tests := []struct {
		name   string
		adjust func(*auth.Principal)
		path   string
	}{
		{"a token of another account", func(p *auth.Principal) { p.AccountID = uuid.New() }, ownAccount.String()},
		{"a session of another account's owner", func(p *auth.Principal) {
			p.Kind, p.AccountID, p.AccountOwner = auth.Session, uuid.New(), true
		}, ownAccount.String()},
		{"a token of a store", func(p *auth.Principal) { p.StoreID = uuid.New() }, ownAccount.String()},
		{"a principal of no account", func(p *auth.Principal) { p.AccountID = uuid.Nil }, uuid.Nil.String()},
		{"an address that names no account", func(*auth.Principal) {}, "acme"},
		{"an address without an account", func(*auth.Principal) {}, ""},
		{"an address that writes it in another way", func(*auth.Principal) {}, "{" + ownAccount.String() + "}"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := newAPI(t, nil) // without services, so that any resolver that runs panics
			by := *mighty
			tt.adjust(&by)
			send := func(query string) string {
				r := newRequest(http.MethodPost, "", body(query, nil))
				r.SetPathValue("account_uuid", tt.path)
				return strings.TrimSpace(a.send(r, &by).Body.String())
			}
			for _, query := range everything {
				if got := send(query); !strings.HasSuffix(got, `"data":null}`) &&
					!strings.HasSuffix(got, `"data":{"node":null}}`) ||
					strings.Count(got, refused) != 1 || strings.Count(got, "message") != 1 ||
					!strings.Contains(got, `"code":"FORBIDDEN"`) {
					t.Errorf("%s\ngot  %s\nwant one FORBIDDEN, and no data", query, got)
				}
			}
			check.Equal(t, send(`{ __typename __schema { queryType { name } } __type(name: "Viewer") { name } }`),
				`{"data":{"__typename":"Query","__schema":{"queryType":{"name":"Query"}},"__type":{"name":"Viewer"}}}`,
				"introspection")
			if log := a.log.String(); log != "" {
				t.Errorf("the log: got %s, want nothing, as no resolver is called", log)
			}
		})
	}
}

// A missing scope and another account have the same message and code.
func TestStrangerIsToldWhatAMissingScopeTells(t *testing.T) {
	a := newAPI(t, nil)
	const query = `mutation { apiToken { createApiToken(input: {name: "A token", scopes: []}) { apiToken { id } } } }`
	stranger := *holding()
	stranger.AccountID = uuid.New()
	for name, got := range map[string]string{"missing scope": a.query(holding(), query, nil),
		"stranger": a.query(&stranger, query, nil)} {
		if !strings.Contains(got, refused) || !strings.Contains(got, `"code":"FORBIDDEN"`) {
			t.Errorf("%s: got %s, want FORBIDDEN", name, got)
		}
	}
}

// Any live credential of any account may introspect, and all of the schema is
// there, without what is not offered.
func TestIntrospection(t *testing.T) {
	a := newAPI(t, nil)
	got := a.query(holding(), introspectionQuery(t), nil)
	for _, want := range []string{`"name":"ApiTokenMutations"`, `"name":"createUserWithPassword"`,
		`"isDeprecated":true`, `"name":"skip"`} {
		if !strings.Contains(got, want) {
			t.Errorf("introspection: got %.300s, want %s in it", got, want)
		}
	}
	if strings.Contains(got, `"name":"defer"`) || strings.Contains(got, `"errors"`) {
		t.Errorf("got %.300s, want neither defer nor errors", got)
	}
}
