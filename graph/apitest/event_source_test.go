package apitest_test

import (
	"testing"

	"latchkey/graph"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
)

// Event sources are decoded and encoded, and errors name the input.
func TestEventSources(t *testing.T) {
	const create = `mutation($input: CreateEventSourceInput!) { app { createEventSource(input: $input) { eventSource { eventSourceName } } } }`
	const remove = `mutation($input: DeleteEventSourceInput!) { app { deleteEventSource(input: $input) { deletedEventSourceId } } }`
	input := func(app, awsAccount, name, region string) map[string]any {
		return map[string]any{"input": map[string]any{"appId": app, "awsAccount": awsAccount, "eventSourceName": name,
			"eventSourceRegion": region}}
	}
	source := func(app, id string) map[string]any {
		return map[string]any{"input": map[string]any{"appId": app, "id": id}}
	}
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.eventSource(t, 0, "orders")
		none := `{"app": {"createEventSource": null}}`
		kept := `{"app": {"deleteEventSource": null}}`
		w.run(t, []scenario{
			{name: "created", by: w.robot, query: create, variables: input("<app0>", "123456789012", "other",
				"US_EAST_1"),
				data: `{"app": {"createEventSource": {"eventSource": {"eventSourceName": "other"}}}}`},
			{name: "the same name", by: w.robot, query: create,
				variables: input("<app0>", "123456789012", "orders", "US_EAST_1"), data: none,
				errors: []string{"app.createEventSource: CONFLICT input.eventSourceName: The app has an event source with this name already."}},
			{name: "not an app", by: w.robot, query: create, variables: input("<store0>", "1", "n", "US_EAST_1"),
				data:   none,
				errors: []string{"app.createEventSource: INVALID input.appId: This is not an ID such as bc/account/user/0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01. Pass an ID exactly as this API returned it."}},
			{name: "another account's app", by: w.robot, query: create,
				variables: input("<away.app0>", "123456789012", "n", "US_EAST_1"), data: none,
				errors: []string{"app.createEventSource: NOT_FOUND input.appId: There is no such app in this account."}},
			{name: "another region", by: w.robot, query: create, variables: input("<app0>", "123456789012", "n",
				"EU_WEST_1"),
				data:   none,
				errors: []string{"app.createEventSource: INVALID input.eventSourceRegion: This server creates event sources in US_EAST_1 only."}},
			{name: "not an event source", by: w.robot, query: remove, variables: source("<app0>", "<store0>"),
				data:   kept,
				errors: []string{`app.deleteEventSource: INVALID input.id: "<store0>" is not an ID of this kind: bc/account/eventSource/…. Take it from the field id in App.eventSources.`}},
			{name: "another app's", by: w.robot, query: remove, variables: source("<app1>", "<orders>"), data: kept,
				errors: []string{"app.deleteEventSource: NOT_FOUND input.id: The app has no such event source."}},
			{name: "deleted", by: w.robot, query: remove, variables: source("<app0.number>", "<orders>"),
				data: `{"app": {"deleteEventSource": {"deletedEventSourceId": "<orders>"}}}`},
			{name: "those that are left", by: w.owner,
				query: `{ account { apps { edges { node { id eventSources { edges { node { eventSourceName } } } } } } } }`,
				data: `{"account": {"apps": {"edges": [{"node": {"id": "<app1>", "eventSources": {"edges": []}}},
					{"node": {"id": "<app0>",
						"eventSources": {"edges": [{"node": {"eventSourceName": "other"}}]}}}]}}}`},
			{name: "an app by its id", by: w.robot,
				query: `{ node(id: "<app0>") { ... on App { eventSources { edges { node { eventSourceName } } } } } }`,
				data:  `{"node": {"eventSources": {"edges": [{"node": {"eventSourceName": "other"}}]}}}`},
			{name: "an event source by its id", by: w.robot, query: `{ node(id: "<orders>") { id } }`,
				data:   `{"node": null}`,
				errors: []string{"node: NOT_FOUND id: There is no such object in this account."}},
		})
	})
}

// A server that does not send to Amazon EventBridge says so for every input.
func TestEventSourcesNotConfigured(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		var err error
		w.handler, err = graph.NewHandler(graph.Config{
			Accounts: w.Accounts, Users: w.Users, Tokens: w.Tokens, Memberships: w.Memberships, Audit: w.DB.Audit(),
			EventSources: w.eventSources(nil), Catalogue: scope.Default(), PublicURL: publicURL, Replicas: &w.confirm,
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, mutation := range []string{
			`createEventSource(input: {appId: "x", awsAccount: "", eventSourceName: "", eventSourceRegion: EU_WEST_1}) { eventSource { id } }`,
			`deleteEventSource(input: {appId: "<app0>", id: "x"}) { deletedEventSourceId }`,
		} {
			got := w.ask(t, w.home.Account.ID, w.robot, w.fill("mutation { app { "+mutation+" } }"), nil)
			if len(got.errors) != 1 || got.errors[0].Extensions.Code != "EVENT_BRIDGE_NOT_CONFIGURED" {
				t.Errorf("%s: got %q, want one EVENT_BRIDGE_NOT_CONFIGURED", mutation, got.failures())
			}
		}
		got := w.ask(t, w.home.Account.ID, w.robot,
			`{ account { apps { edges { node { eventSources { edges { cursor } } } } } } }`,
			nil)
		check.Equal(t, got.data,
			`{"account":{"apps":{"edges":[{"node":{"eventSources":{"edges":[]}}},{"node":{"eventSources":{"edges":[]}}}]}}}`, "data")
	})
}
