package apitest_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// webhookFields are all fields of a webhook.
const webhookFields = `id url description eventTypes state stateReason failingSince createdAt createdBy { kind id name } secretHints`

// A webhook from its creation to its deletion. Its secrets are in the answers that create them and nowhere else.
func TestWebhook(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		const create = `mutation { webhook { createWebhook(input: {url: "https://hooks.example/a", eventTypes: ["webhook.*", "api_token.revoked"],
			description: "Billing"}) { secret webhook { ` + webhookFields + ` } } } }`
		var made struct {
			Webhook struct {
				CreateWebhook struct {
					Secret  string
					Webhook struct{ ID string }
				}
			}
		}
		w.ask(t, w.home.Account.ID, w.owner, create, nil).into(t, &made)
		first, err := secret.ParseWebhook(made.Webhook.CreateWebhook.Secret)
		if err != nil {
			t.Fatal(err)
		}
		w.names["<hook>"], w.names["<first>"] = made.Webhook.CreateWebhook.Webhook.ID, first.Hint()
		const fields = `"createdAt": "2026-03-04T12:00:00.123456Z", "createdBy": {"kind": "USER", "id": "<owner>", "name": "<owner.email>"}`
		w.run(t, []scenario{
			{name: "read", by: w.robot, query: `{ account { webhook(id: "<hook>") { ` + webhookFields + ` } } }`,
				data: `{"account": {"webhook": {"id": "<hook>", "url": "https://hooks.example/a", "description": "Billing",
					"eventTypes": ["api_token.revoked", "webhook.*"], "state": "ENABLED", "stateReason": null, "failingSince": null, ` + fields + `,
					"secretHints": ["<first>"]}}}`},
			{name: "paused and changed", by: w.robot, query: `mutation { webhook { updateWebhook(input: {id: "<hook>", state: PAUSED, url: "https://hooks.example/b",
				eventTypes: ["*"], description: ""}) { webhook { state url eventTypes description } } } }`,
				data: `{"webhook": {"updateWebhook": {"webhook": {"state": "PAUSED", "url": "https://hooks.example/b", "eventTypes": ["*"], "description": ""}}}}`},
			{name: "disabled", by: w.robot, query: `mutation { webhook { updateWebhook(input: {id: "<hook>", state: DISABLED}) { webhook { state stateReason } } } }`,
				data: `{"webhook": {"updateWebhook": {"webhook": {"state": "DISABLED", "stateReason": "Disabled by Robot."}}}}`},
			{name: "a test of a disabled webhook", by: w.owner, query: `mutation { webhook { sendTestEvent(input: {id: "<hook>"}) { eventId } } }`,
				data: `{"webhook": {"sendTestEvent": null}}`, errors: []string{
					"webhook.sendTestEvent: CONFLICT input.id: This webhook is not enabled, so nothing is sent to it. Enable it first."}},
			{name: "enabled", by: w.owner, query: `mutation { webhook { updateWebhook(input: {id: "<hook>", state: ENABLED}) { webhook { state stateReason } } } }`,
				data: `{"webhook": {"updateWebhook": {"webhook": {"state": "ENABLED", "stateReason": null}}}}`},
		})
		w.rotateHook(t)
		w.run(t, []scenario{
			{name: "replayed", by: w.owner, query: `mutation { webhook { replayDeliveries(input: {webhookId: "<hook>", since: "2026-03-04T12:00:00Z"}) { scheduled } } }`,
				has: []string{`"scheduled":`}, lacks: []string{`"scheduled":0`}},
			{name: "deleted", by: w.owner, query: `mutation { webhook { deleteWebhook(input: {id: "<hook>"}) { deletedWebhookId } } }`,
				data: `{"webhook": {"deleteWebhook": {"deletedWebhookId": "<hook>"}}}`},
			{name: "read after it was deleted", by: w.owner, query: `{ account { webhook(id: "<hook>") { id } } }`,
				data: `{"account": {"webhook": null}}`, errors: []string{"account.webhook: NOT_FOUND id: There is no such webhook in this account."}},
		})
		w.wantNoSecrets(t)
	})
}

// rotateHook rotates the secret of "<hook>" with an overlap, and then without one.
func (w *tenants) rotateHook(t *testing.T) {
	t.Helper()
	for _, tc := range []struct{ overlap, ends string }{{"60", "2026-03-04T12:01:00.123456Z"},
		{"0", "2026-03-04T12:00:00.123456Z"}} {
		var got struct {
			Webhook struct {
				RotateWebhookSecret struct {
					Secret, PreviousExpiresAt string
					Webhook                   struct{ SecretHints []string }
				}
			}
		}
		w.ask(t, w.home.Account.ID, w.owner, w.fill(`mutation { webhook { rotateWebhookSecret(input: {id: "<hook>", overlapSeconds: `+
			tc.overlap+`}) { secret previousExpiresAt webhook { secretHints } } } }`), nil).into(t, &got)
		rotated := got.Webhook.RotateWebhookSecret
		s, err := secret.ParseWebhook(rotated.Secret)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{s.Hint()}
		if tc.overlap != "0" {
			want = append(want, w.fill("<first>"))
		}
		check.Equal(t, rotated.Webhook.SecretHints, want, "the hints with an overlap of %s", tc.overlap)
		check.Equal(t, rotated.PreviousExpiresAt, tc.ends, "when the old secret ends with an overlap of %s", tc.overlap)
	}
}

// wantNoSecrets reads everything about webhooks and events, in which no secret may be. The database and the log are
// searched when the test ends.
func (w *tenants) wantNoSecrets(t *testing.T) {
	t.Helper()
	for _, query := range []string{
		`{ account { webhooks { nodes { ` + webhookFields + ` deliveries { nodes { event { data } } } } } } }`,
		`{ account { events(first: 250) { nodes { id type data } } } }`,
		`{ account { auditEvents(first: 250) { nodes { action details { name value } } } } }`,
	} {
		got := w.ask(t, w.home.Account.ID, w.owner, query, nil)
		if len(got.errors) > 0 || !strings.Contains(got.text, "webhook") && !strings.Contains(got.text, "nodes") {
			t.Errorf("%s: got errors %q, want webhooks or nodes: %s", query, got.failures(), got.text)
		}
		dbtest.NoSecrets(t, query, []byte(got.text))
	}
}

// Errors name the fields of the input. What another account has is not found.
func TestWebhookErrors(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.keep(t)
		users := w.verified(t, w.issue(t, w.owner, w.home,
			request{name: "Hooks", scopes: []string{"account_webhooks_write"}}))
		refused := func(name, mutation, input string, errors ...string) scenario {
			for i := range errors {
				errors[i] = "webhook." + mutation + ": " + errors[i]
			}
			return scenario{name: name, by: w.owner, errors: errors, data: `{"webhook": {"` + mutation + `": null}}`,
				query: `mutation { webhook { ` + mutation + `(input: {` + input + `}) { __typename } } }`}
		}
		const none = "There is no such webhook in this account."
		notTheirs := refused("types that the token may not read", "createWebhook",
			`url: "https://hooks.example/", eventTypes: ["webhook.*", "user.added", "api_token.*"]`,
			"INVALID input.eventTypes: This token does not hold account_api_tokens_read, so its webhooks cannot receive api_token.created. [account_api_tokens_read]",
			"INVALID input.eventTypes: This token does not hold account_users_read, so its webhooks cannot receive user.added. [account_users_read]")
		notTheirs.by = users
		w.run(t, []scenario{
			refused("everything is wrong", "createWebhook",
				`url: "ftp://x", eventTypes: [], description: "`+strings.Repeat("x", 256)+`"`,
				"INVALID input.description: A description has 0 to 255 characters.",
				"INVALID input.eventTypes: Choose at least one event type.",
				"INVALID input.url: This is not the URL of a receiver. It has the form https://example.com/path."),
			refused("an address that is not public", "createWebhook", `url: "https://127.0.0.1/", eventTypes: ["*"]`,
				"INVALID input.url: The URL's address is not on the Internet. The server's operator can allow addresses of private networks (--webhook-allow)."),
			notTheirs,
			refused("an unknown type", "updateWebhook", `id: "<Hook>", eventTypes: ["user.vanished"]`,
				`INVALID input.eventTypes: There is no event type "user.vanished". Query.eventTypes lists all.`),
			refused("too long an overlap", "rotateWebhookSecret", `id: "<Hook>", overlapSeconds: 604801`,
				"INVALID input.overlapSeconds: An overlap lasts 0 to 604800 seconds."),
			refused("no events to replay", "replayDeliveries", `webhookId: "<Hook>"`,
				"INVALID input.since: Name events, or give the time from which on to replay."),
			refused("wrong IDs", "replayDeliveries", `webhookId: "<Event>", eventIds: ["<Event>", "<Hook>"]`,
				`INVALID input.eventIds.1: "<Hook>" is not an ID of this kind: bc/account/event/…. Take it from the field id in Account.events.`,
				`INVALID input.webhookId: "<Event>" is not an ID of this kind: bc/account/webhook/…. Take it from the field id in Account.webhooks.`),
			refused("an event of another account", "replayDeliveries",
				`webhookId: "<Hook>", eventIds: ["bc/account/event/<account.uuid>"]`,
				"NOT_FOUND input.eventIds: There is no such event in this account that the webhook receives."),
			refused("another account's webhook, updated", "updateWebhook", `id: "<Stray hook>"`,
				"NOT_FOUND input.id: "+none),
			refused("another account's webhook, rotated", "rotateWebhookSecret", `id: "<Stray hook>"`,
				"NOT_FOUND input.id: "+none),
			refused("another account's webhook, tested", "sendTestEvent", `id: "<Stray hook>"`,
				"NOT_FOUND input.id: "+none),
			refused("another account's webhook, replayed", "replayDeliveries",
				`webhookId: "<Stray hook>", since: "2026-01-01T00:00:00Z"`,
				"NOT_FOUND input.webhookId: "+none),
			refused("another account's webhook, deleted", "deleteWebhook", `id: "<Stray hook>"`,
				"NOT_FOUND input.id: "+none),
			{name: "another account's webhook, read", by: w.owner,
				query: `{ account { webhook(id: "<Stray hook>") { url } } }`,
				data:  `{"account": {"webhook": null}}`, errors: []string{"account.webhook: NOT_FOUND id: " + none}},
			{name: "a wrong filter", by: w.owner, query: `{ account { webhook(id: "<Hook>") { deliveries(filter: {eventTypes: ["x"]}) { totalCount } } } }`,
				data: `{"account": {"webhook": null}}`, errors: []string{
					`account.webhook.deliveries: INVALID filter.eventTypes: There is no event type "x". Query.eventTypes lists all.`}},
		})
	})
}

// The deliveries of a webhook are filtered by everything that the filter has.
func TestDeliveries(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.keep(t)
		const query = `query($filter: DeliveryFilterInput) { account { webhook(id: "<Hook>") { deliveries(filter: $filter) { totalCount nodes {
			id state nextAttemptAt attempts { number } event { id type sequence subjectId actor { name } } } } } } }`
		one := func(name string, filter map[string]any, total int) scenario {
			s := scenario{name: name, by: w.owner, query: query, variables: map[string]any{"filter": filter},
				data: `{"account": {"webhook": {"deliveries": {"totalCount": 0, "nodes": []}}}}`}
			if total == 1 {
				s.data = ""
				s.has = []string{`"totalCount":1`, `"id":"bc/account/delivery/<Hook.uuid>:<Event.uuid>","state":"PENDING","nextAttemptAt":"`,
					`"attempts":[],"event":{"id":"<Event>","type":"webhook.test"`, `"subjectId":"<Hook>","actor":{"name":"<owner.email>"}`}
			}
			return s
		}
		w.run(t, []scenario{
			one("all", nil, 1),
			one("by state", map[string]any{"states": []string{"PENDING"}}, 1),
			one("by another state", map[string]any{"states": []string{"DEAD", "DELIVERED"}}, 0),
			one("by type", map[string]any{"eventTypes": []string{"webhook.*"}}, 1),
			one("by another type", map[string]any{"eventTypes": []string{"user.added"}}, 0),
			one("by event", map[string]any{"eventId": "<Event>"}, 1),
			one("by another event", map[string]any{"eventId": "bc/account/event/<account.uuid>"}, 0),
			one("by event, in upper case",
				map[string]any{"eventId": "bc/account/event/" + strings.ToUpper(w.fill("<Event.uuid>"))}, 1),
			one("by the zero UUID", map[string]any{"eventId": "bc/account/event/" + uuid.Nil.String()}, 0),
			one("by time", map[string]any{"after": "2026-01-01T00:00:00Z", "before": "2027-01-01T00:00:00Z"}, 1),
			one("before it", map[string]any{"before": "2026-01-01T00:00:00Z"}, 0),
		})
	})
}

// A reader that follows endCursor gets every event once, also those that are committed after it reached the end.
func TestEventsArePolled(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		const query = `query($after: String) { account { events(first: 2, after: $after) { pageInfo { hasNextPage endCursor } nodes { id type sequence version data } } } }`
		var cursor *string
		var read []string
		poll := func() {
			t.Helper()
			for more := true; more; {
				var got struct {
					Account struct {
						Events struct {
							PageInfo struct {
								HasNextPage bool
								EndCursor   *string
							}
							Nodes []struct {
								ID, Type, Data    string
								Sequence, Version int
							}
						}
					}
				}
				w.ask(t, w.home.Account.ID, w.owner, query, map[string]any{"after": cursor}).into(t, &got)
				events := got.Account.Events
				for _, e := range events.Nodes {
					if !json.Valid([]byte(e.Data)) || e.Version != 1 || e.Sequence < 1 {
						t.Errorf("the event is %+v, want JSON data, version 1 and a sequence", e)
					}
					read = append(read, e.ID)
				}
				cursor, more = events.PageInfo.EndCursor, events.PageInfo.HasNextPage
			}
		}
		dbtest.AwaitLog(t, w.DB, w.home.Account.ID)
		poll()
		before := len(read)
		end := *cursor
		poll()
		check.Equal(t, len(read), before, "events of a log that did not grow")
		check.Equal(t, *cursor, end, "the cursor of an empty page")
		for _, name := range []string{"One token", "Two tokens", "Three tokens"} {
			w.issue(t, w.owner, w.home, request{name: name, scopes: []string{"account_read"}})
		}
		dbtest.AwaitLog(t, w.DB, w.home.Account.ID)
		poll()
		check.Equal(t, len(read), before+3, "all events")
		slices.Sort(read)
		check.Equal(t, len(slices.Compact(read)), before+3, "different events")
	})
}

// What a token reads of the log depends on its scopes.
func TestEventsByScope(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.keep(t)
		dbtest.AwaitLog(t, w.DB, w.home.Account.ID)
		ask := func(name string, by []string, filter, data string, errors ...string) scenario {
			return scenario{name: name, by: w.holding(by...), errors: errors, data: data,
				query: `{ account { events(filter: {` + filter + `}, last: 1) { nodes { type subjectId } } } }`}
		}
		const (
			test   = `{"account": {"events": {"nodes": [{"type": "webhook.test", "subjectId": "<Hook>"}]}}}`
			issued = `{"account": {"events": {"nodes": [{"type": "api_token.created", "subjectId": "<Till>"}]}}}`
		)
		w.run(t, []scenario{
			ask("the audit log's scope", []string{"account_audit_read"}, `types: ["api_token.*"]`, issued),
			ask("by subject", []string{"account_audit_read"}, `subjectId: "<Till>"`, issued),
			ask("by time", []string{"account_audit_read"}, `before: "2026-01-01T00:00:00Z"`,
				`{"account": {"events": {"nodes": []}}}`),
			ask("the scope of webhooks", []string{"account_webhooks_read"}, "", test),
			ask("with that of tokens", []string{"account_webhooks_read", "account_api_tokens_read"},
				`types: ["api_token.created"]`, issued),
			ask("types that it may not read", []string{"account_webhooks_read"}, `types: ["api_token.created"]`,
				"null",
				"account.events: FORBIDDEN filter.types [account_api_tokens_read]"),
			ask("neither scope", []string{"account_api_tokens_read"}, "", "null",
				"account.events: FORBIDDEN [account_audit_read]"),
			ask("no ID", []string{"account_audit_read"}, `subjectId: "x"`, "null",
				"account.events: INVALID filter.subjectId: This is not an ID such as bc/account/user/0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01. Pass an ID exactly as this API returned it."),
			{name: "an event by its ID", by: w.holding("account_api_tokens_read"),
				query: `{ node(id: "<Event>") { id } }`,
				data:  `{"node": null}`, errors: []string{"node: FORBIDDEN id [account_audit_read]"}},
		})
	})
}

// Query.eventTypes lists every type with a description and an example.
func TestEventTypes(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		var got struct {
			EventTypes []struct{ Name, Description, Example string }
		}
		w.ask(t, w.home.Account.ID, w.storeOwner, `{ eventTypes { name description example } }`, nil).into(t, &got)
		var names []audit.Type
		for _, each := range got.EventTypes {
			names = append(names, audit.Type(each.Name))
			if !json.Valid([]byte(each.Example)) || !strings.HasSuffix(each.Description, ".") {
				t.Errorf("%s: got the description %q and the example %s, want a sentence and JSON", each.Name,
					each.Description, each.Example)
			}
		}
		check.Equal(t, names, audit.Types(), "the types")
	})
}
