package apitest_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// clients are queries of programs written for the API that this one is compatible with, by the name of their file, with
// variables and the expected response.
var clients = map[string]struct {
	variables map[string]any
	data      string
	errors    []string
	// has is pieces of the answer, where there is more in it than can be known before.
	has []string
}{
	"account-info": {data: `{"account": {"id": "<account>", "accountInfo": {"name": "<account.name>"}}}`},
	"list-account-users": {variables: map[string]any{"first": 1}, data: `{"account": {"users": {
		"pageInfo": {"hasNextPage": true, "hasPreviousPage": false, "startCursor": "<user2.cursor>", "endCursor": "<user2.cursor>"},
		"edges": [{"cursor": "<user2.cursor>", "node": {"id": "<user2>", "email": "<user2.email>", "firstName": "First user2", "lastName": "Last user2", "locale": "en"}}],
		"collectionInfo": {"totalItems": 5}}}}`},
	"list-account-users-backward": {variables: map[string]any{"last": 1, "before": "<user2.cursor>"},
		data: `{"account": {"users": {"pageInfo": {"hasPreviousPage": false, "startCursor": null}, "edges": []}}}`},
	"stores-by-hash": {variables: map[string]any{"hashes": []string{"<store1.hash>"}},
		data: `{"account": {"stores": {"edges": [{"node": {"id": "<store1>", "name": "Store 1", "storeHash": "<store1.hash>"}}]}}}`},
	"stores-by-id": {variables: map[string]any{"filter": map[string]any{"ids": []string{"bc/account/store/<store1.hash>"}}}, data: `{"account": {"stores": {
		"pageInfo": {"hasNextPage": false, "endCursor": "<store1.cursor>"},
		"edges": [{"cursor": "<store1.cursor>", "node": {"id": "<store1>", "name": "Store 1", "storeHash": "<store1.hash>"}}]}}}`},
	"store-users": {variables: map[string]any{"storeHashes": []string{"<store0.hash>"}, "pageSize": 0}, data: `{"account": {"stores": {"edges": [{"node": {
		"storeHash": "<store0.hash>", "users": {"pageInfo": {"hasNextPage": true, "endCursor": null}, "edges": [], "collectionInfo": {"totalItems": 2}}}}]}}}`},
	"account-and-store-apps": {data: `{"account": {"apps": {"pageInfo": {"hasNextPage": false}, "edges": [{"node": {"id": "<app1>", "name": "App 1"}}, {"node": {"id": "<app0>", "name": "App 0"}}]},
		"stores": {"edges": [{"node": {"name": "Store 2", "apps": {"edges": [{"node": {"name": "App 1"}}, {"node": {"name": "App 0"}}]}}},
			{"node": {"name": "Store 1", "apps": {"edges": [{"node": {"name": "App 1"}}, {"node": {"name": "App 0"}}]}}},
			{"node": {"name": "Store 0", "apps": {"edges": [{"node": {"name": "App 1"}}, {"node": {"name": "App 0"}}]}}}]}}}`},
	"nodes": {variables: map[string]any{"one": "<store0>", "many": []string{"<user0>", "<app0>", "<account>"}}, data: `{
		"node": {"__typename": "Store", "id": "<store0>", "name": "Store 0", "storeHash": "<store0.hash>"},
		"nodes": [{"id": "<user0>", "email": "<user0.email>"}, {"id": "<app0>", "name": "App 0"}, {"id": "<account>", "accountInfo": {"name": "<account.name>"}}]}`},
	"system-time": {data: `{"system": {"time": 1772625600123}}`},

	"create-user": {variables: map[string]any{"createUserInput": map[string]any{"email": "new@acme.example",
		"firstName": "New", "lastName": "One", "locale": "en"}},
		has: []string{`{"user":{"createUser":{"user":{"id":"bc/account/user/`,
			`"email":"new@acme.example","firstName":"New","lastName":"One","locale":"en"}}}}`}},
	"create-user-with-password": {variables: map[string]any{"input": map[string]any{"email": "newer@acme.example",
		"firstName": "New", "lastName": "One", "locale": "en",
		"password": "a long sentence", "passwordConfirmation": "a long sentence"}},
		has: []string{`{"user":{"createUserWithPassword":{"user":{"id":"bc/account/user/`,
			`"email":"newer@acme.example"`}},
	"add-user-to-account": {variables: map[string]any{"email": "<user0.email>"},
		data: `{"account": {"addUserToAccount": {"account": {"id": "<account>", "accountInfo": {"name": "<account.name>"}}}}}`},
	"remove-user-from-account": {variables: map[string]any{"input": map[string]any{"userId": "<user0>"}},
		data: `{"account": {"removeUserFromAccount": {"accountId": "<account>", "userId": "<user0>"}}}`},
	"add-user-to-store": {variables: map[string]any{"storeId": "<store0>",
		"user": map[string]any{"email": "<user0.email>"}},
		data: `{"user": {"addUserToStore": {"storeId": "<store0>"}}}`},
	"remove-user-from-store": {variables: map[string]any{"input": map[string]any{"storeId": "<store0.hash>",
		"userId": "<user1>"}},
		data: `{"user": {"removeUserFromStore": {"storeId": "<store0>", "user": {"id": "<user1>", "email": "<user1.email>"}}}}`},
	"create-checkout": {variables: map[string]any{"checkout": map[string]any{"accountId": "<account>",
		"items": []any{map[string]any{
			"description": "Gold", "redirectUrl": "https://partner.example/",
			"product": map[string]any{"id": "<app0>", "type": "APPLICATION", "productLevel": "Gold"},
			"scope":   map[string]any{"id": "<store0>", "type": "STORE"},
			"pricingPlan": map[string]any{"interval": "MONTH",
				"price": map[string]any{"currencyCode": "USD", "value": 19.99}, "trialDays": 14}}}}},
		has: []string{`{"checkout":{"createCheckout":{"checkout":{"id":"bc/account/checkout/`, `"status":"PENDING"`,
			`"trialDays":14`, `"id":"bc/account/product/<app0.number>"`, `"id":"bc/account/scope/<store0.hash>"`}},
	// The account, app and store of the documentation do not exist.
	"create-checkout-inline": {data: `{"checkout": {"createCheckout": null}}`, errors: []string{
		"checkout.createCheckout: NOT_FOUND input.items.0.product.id: Product is not supported for your account.",
		"checkout.createCheckout: NOT_FOUND input.items.0.scope.id: Scope does not belong to account."}},
	"checkout": {variables: map[string]any{"id": "bc/account/checkout/<account.uuid>"},
		data:   `{"account": {"checkout": null}}`,
		errors: []string{"account.checkout: NOT_FOUND id: There is no such checkout in this account."}},
	"subscriptions": {variables: map[string]any{"filters": map[string]any{"productId": "<app0>",
		"productType": "APPLICATION", "scopeId": "<store0>", "scopeType": "STORE",
		"status": "ACTIVE", "updatedAfter": "2026-01-01T00:00:00Z"}},
		data: `{"account": {"subscriptions": {"pageInfo": {"hasNextPage": false, "endCursor": null}, "edges": []}}}`},
	"cancel-subscription": {variables: map[string]any{"input": map[string]any{
		"id": "bc/account/subscription/<account.uuid>"}},
		data: `{"subscription": {"cancelSubscription": null}}`,
		errors: []string{"subscription.cancelSubscription: NOT_FOUND input.id: " +
			"There is no such subscription in this account."}},
	"event-sources": {has: []string{`{"account":{"apps":{"edges":[{"node":{"id":"<app1>","eventSources":{"edges":[{"node":{"id":"<orders>","arn":"arn:aws:events:us-east-1::event-source/aws.partner/example.com/<app1.number>/orders","awsAccount":"123456789012","eventSourceName":"orders","eventSourceRegion":"US_EAST_1","webhooksCount":1}}]}}}]}}}`}},
	"create-event-source": {variables: map[string]any{"input": map[string]any{"appId": "<app0>",
		"awsAccount": "123456789012", "eventSourceName": "orders", "eventSourceRegion": "US_EAST_1"}},
		has: []string{`{"app":{"createEventSource":{"eventSource":{"id":"bc/account/eventSource/`,
			`"arn":"arn:aws:events:us-east-1::event-source/aws.partner/example.com/<app0.number>/orders","awsAccount":"123456789012","eventSourceName":"orders","eventSourceRegion":"US_EAST_1","webhooksCount":1}}}}`}},
	"delete-event-source": {variables: map[string]any{"appId": "<app1>", "id": "<orders>"},
		data: `{"app": {"deleteEventSource": {"deletedEventSourceId": "<orders>", "affectedWebhooksIds": ["<orders.webhook>"]}}}`},
}

// A program written for the API that this one is compatible with is understood and answered.
func TestClientsOfTheAccountAPI(t *testing.T) {
	const folder = "../testdata/compat"
	files, err := filepath.Glob(folder + "/*.graphql")
	if err != nil || len(files) != len(clients) {
		t.Fatalf("documents in %s: got %d, %v, want one for each of %d clients", folder, len(files), err, len(clients))
	}
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.nameCursors(t)
		w.eventSource(t, 1, "orders")
		var queries, mutations []scenario
		for _, name := range slices.Sorted(maps.Keys(clients)) {
			text, err := os.ReadFile(filepath.Join(folder, name+".graphql"))
			if err != nil {
				t.Fatal(err)
			}
			client := clients[name]
			s := scenario{name: name, by: w.robot, query: string(text), variables: client.variables, data: client.data,
				has: client.has, errors: client.errors}
			if strings.HasPrefix(s.query, "mutation") {
				mutations = append(mutations, s)
				continue
			}
			queries = append(queries, s)
		}
		w.run(t, append(queries, mutations...))
	})
}

// nameCursors names the cursors of users and stores.
func (w *tenants) nameCursors(t *testing.T) {
	t.Helper()
	type list struct {
		Edges []struct {
			Cursor string
			Node   struct{ ID string }
		}
	}
	var got struct{ Account struct{ Users, Stores list } }
	w.ask(t, w.home.Account.ID, w.robot,
		`{ account { users { edges { cursor node { id } } } stores { edges { cursor node { id } } } } }`, nil).into(t,
		&got)
	ids := map[string]string{}
	for name, value := range w.names {
		ids[value] = name
	}
	for _, e := range slices.Concat(got.Account.Users.Edges, got.Account.Stores.Edges) {
		w.names[strings.TrimSuffix(ids[e.Node.ID], ">")+".cursor>"] = e.Cursor
	}
}

// Together the clients ask for everything of the API that they were written for, so that nothing of it goes untried.
func TestClientsAskForEverything(t *testing.T) {
	sdl, err := os.ReadFile("../testdata/account-api.graphqls")
	if err != nil {
		t.Fatal(err)
	}
	theirs := gqlparser.MustLoadSchema(&ast.Source{Input: string(sdl)})
	asked := map[string]bool{}
	for name := range clients {
		text, err := os.ReadFile("../testdata/compat/" + name + ".graphql")
		if err != nil {
			t.Fatal(err)
		}
		doc, errs := gqlparser.LoadQueryWithRules(theirs, string(text), rules.NewDefaultRules())
		if errs != nil {
			t.Errorf("%s in their schema: got %v, want it valid", name, errs)
			continue
		}
		for _, op := range doc.Operations {
			collect(op.SelectionSet, asked)
		}
		for _, f := range doc.Fragments {
			collect(f.SelectionSet, asked)
		}
	}
	for _, def := range theirs.Types {
		if def.Kind != ast.Object || strings.HasPrefix(def.Name, "__") {
			continue
		}
		for _, f := range fieldsOf(def) {
			if !asked[def.Name+"."+f.Name] && f.Name != "pageInfo" && f.Name != "cursor" && def.Name != "PageInfo" {
				t.Errorf("%s.%s: got no client that asks for it, want one", def.Name, f.Name)
			}
		}
	}
}

// collect notes the fields of selections.
func collect(set ast.SelectionSet, asked map[string]bool) {
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			asked[s.ObjectDefinition.Name+"."+s.Name] = true
			collect(s.SelectionSet, asked)
		case *ast.InlineFragment:
			collect(s.SelectionSet, asked)
		}
	}
}
