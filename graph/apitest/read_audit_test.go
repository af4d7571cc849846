package apitest_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/manifest"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/user"
)

func TestReadAuditEvents(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.Clock.Advance(time.Hour)
		created := w.ask(t, w.home.Account.ID, w.robot,
			`mutation { apiToken { createApiToken(input: {name: "Made over the API", scopes: ["store_cart"], storeId: "`+
				w.home.Stores[1].Hash+`", allowedIpRanges: ["203.0.113.7"]}) { apiToken { id } } } }`, nil)
		var made struct {
			APIToken struct {
				CreateAPIToken struct{ APIToken struct{ ID string } }
			}
		}
		created.into(t, &made)
		w.names["<made>"], w.names["<made.request>"] = made.APIToken.CreateAPIToken.APIToken.ID, created.requestID
		w.run(t, []scenario{
			{
				name: "what a token did over the API", by: w.robot,
				query: `{ account { auditEvents(first: 1) { edges { node { at actor { kind id name } action targetId targetName ip requestId details { name value } } } } } }`,
				data: `{"account": {"auditEvents": {"edges": [{"node": {"at": "2026-03-04T13:00:00.123456Z",
					"actor": {"kind": "API_TOKEN", "id": "<Robot>", "name": "Robot"}, "action": "api_token.created", "targetId": "<made>", "targetName": "Made over the API",
					"ip": "203.0.113.7", "requestId": "<made.request>", "details": [{"name": "level", "value": "STORE"}, {"name": "storeHash", "value": "<store1.hash>"},
						{"name": "scopes", "value": "store_cart store_cart_read_only"}, {"name": "allowedIpRanges", "value": "203.0.113.7/32"}]}}]}}}`,
			},
			{
				name: "what the operator did", by: w.robot,
				query: `{ account { auditEvents(last: 1) { edges { node { actor { kind id name } action targetName ip requestId } } } } }`,
				data: `{"account": {"auditEvents": {"edges": [{"node": {"actor": {"kind": "OPERATOR", "id": null, "name": "operator"},
					"action": "session.started", "targetName": "<owner.email>", "ip": null, "requestId": null}}]}}}`,
			},
		})
	})
}

func TestFilterAuditEvents(t *testing.T) {
	const list = `query($filter: AuditEventFilterInput) { account { auditEvents(filter: $filter) { edges { node { action targetName } } nodes { action targetName } collectionInfo { totalItems } totalCount } } }`
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.Clock.Advance(time.Hour)
		gone := w.issue(t, w.owner, w.home, request{name: "Gone", scopes: []string{"account_read"}})
		w.Clock.Advance(time.Hour)
		w.revoke(t, w.robot, "", gone)
		w.names["<session>"] = sessionOf(t, w)

		const revoked, created = `{"node": {"action": "api_token.revoked", "targetName": "Gone"}}`,
			`{"node": {"action": "api_token.created", "targetName": "Gone"}}`
		const robot = `{"node": {"action": "api_token.created", "targetName": "Robot"}}`
		const storeOwner = `{"node": {"action": "session.started", "targetName": "<storeOwner.email>"}}`
		const owner = `{"node": {"action": "session.started", "targetName": "<owner.email>"}}`
		filtered := func(name string, filter map[string]any, count, want string) scenario {
			return scenario{
				name: name, by: w.robot, query: list, variables: map[string]any{"filter": filter},
				data: `{"account": {"auditEvents": {"edges": [` + want + `], "nodes": [` + strings.NewReplacer(`{"node": `, "", "}}", "}").Replace(want) + `],
					"collectionInfo": {"totalItems": ` + count + `}, "totalCount": ` + count + `}}}`,
			}
		}
		w.run(t, []scenario{
			filtered("all, newest first", nil, "5", revoked+","+created+","+robot+","+storeOwner+","+owner),
			filtered("no actions are all", map[string]any{"actions": []string{}}, "5",
				revoked+","+created+","+robot+","+storeOwner+","+owner),
			filtered("by actions", map[string]any{"actions": []string{"api_token.revoked", "session.started"}}, "3",
				revoked+","+storeOwner+","+owner),
			filtered("by an unknown action", map[string]any{"actions": []string{"api_token.eaten"}}, "0", ""),
			filtered("by a person", map[string]any{"actorId": "<owner>"}, "2", created+","+robot),
			filtered("by a token", map[string]any{"actorId": "<Robot>"}, "1", revoked),
			filtered("by another user", map[string]any{"actorId": "<away.owner>"}, "0", ""),
			filtered("by a token in upper case",
				map[string]any{"actorId": "bc/account/apiToken/" + strings.ToUpper(w.fill("<Robot.uuid>"))},
				"1", revoked),
			filtered("by the zero UUID", map[string]any{"actorId": "bc/account/user/" + uuid.Nil.String()}, "0", ""),
			filtered("by what was changed, in upper case",
				map[string]any{"targetId": "bc/account/apiToken/" + strings.ToUpper(w.fill("<Gone.uuid>"))},
				"2", revoked+","+created),
			filtered("by what was changed", map[string]any{"targetId": "<Gone>"}, "2", revoked+","+created),
			filtered("by a session, as the log shows it", map[string]any{"targetId": "<session>"}, "1", owner),
			filtered("later than", map[string]any{"after": "2026-03-04T13:00:00.123456Z"}, "1", revoked),
			filtered("earlier than", map[string]any{"before": "2026-03-04T13:00:00.123456Z"}, "3",
				robot+","+storeOwner+","+owner),
			filtered("between, in another offset",
				map[string]any{"after": "2026-03-04T10:00:00-03:00", "before": "2026-03-04T11:00:00-03:00"}, "1",
				created),
			filtered("by several conditions",
				map[string]any{"actions": []string{"api_token.created"}, "actorId": "<owner>", "targetId": "<Gone>"},
				"1", created),
			{
				name: "every wrong id at once", by: w.robot, query: list, data: `null`,
				variables: map[string]any{"filter": map[string]any{"actorId": "<store0>", "targetId": "<Gone.uuid>"}},
				errors: []string{
					`account.auditEvents: INVALID filter.actorId: "<store0>" is not an ID of this kind: bc/account/user/…. Take it from the field id in Account.users.`,
					"account.auditEvents: INVALID filter.targetId: This is not an ID such as bc/account/user/0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01. Pass an ID exactly as this API returned it.",
				},
			},
		})
	})
}

// sessionOf is the id of the session of the account's owner, as the audit log has it.
func sessionOf(t *testing.T, w *tenants) string {
	t.Helper()
	var got struct {
		Account struct {
			AuditEvents struct {
				Edges []struct{ Node struct{ TargetID string } }
			}
		}
	}
	w.ask(t, w.home.Account.ID, w.owner, `{ account { auditEvents(last: 1) { edges { node { targetId } } } } }`,
		nil).into(t, &got)
	return got.Account.AuditEvents.Edges[0].Node.TargetID
}

// What the operator declares is in the log too, by ids that the log can be asked for and that objects have.
func TestAuditEventsOfDeclarations(t *testing.T) {
	const declared = `
accounts:
  - uuid: 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01
    name: Acme Retail
    owner: {email: owner@acme.example, first_name: Acme, last_name: Owner, locale: en}
    stores:
      - {hash: acme1us, name: Acme US}
    apps:
      - {id: 4711, name: Acme Subscriptions, status: published}
`
	eachAPI(t, func(t *testing.T, a *api) {
		m, err := manifest.Parse(strings.NewReader(declared))
		if err != nil {
			t.Fatal(err)
		}
		operator := auth.OperatorPrincipal()
		if _, err := manifest.NewService(a.DB.Manifest(), nil, a.Clock.Now).Apply(t.Context(), &operator, m,
			false); err != nil {
			t.Fatal(err)
		}
		accountID := uuid.MustParse("0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01")
		w := &tenants{api: a}
		owner := w.session(t, dbtest.World{Account: account.Account{ID: accountID}},
			user.User{Email: "owner@acme.example"})
		type events struct {
			Account struct {
				AuditEvents struct {
					Edges []struct {
						Node struct{ Action, TargetID string }
					}
				}
			}
		}
		const list = `query($target: ID) { account { auditEvents(filter: {targetId: $target}) { edges { node { action targetId } } } } }`
		var all events
		a.ask(t, accountID, owner, list, nil).into(t, &all)
		seen := map[string]bool{}
		for _, e := range all.Account.AuditEvents.Edges {
			seen[e.Node.Action] = true
			var same events
			a.ask(t, accountID, owner, list, map[string]any{"target": e.Node.TargetID}).into(t, &same)
			if !slices.Contains(same.Account.AuditEvents.Edges, e) {
				t.Errorf("events on %s: got %v, want %s among them", e.Node.TargetID, same.Account.AuditEvents.Edges,
					e.Node.Action)
			}
			if e.Node.Action == "session.started" {
				continue // the API has no session objects
			}
			got := a.ask(t, accountID, owner, nodeQuery, map[string]any{"id": e.Node.TargetID})
			if !strings.Contains(got.data, e.Node.TargetID) {
				t.Errorf("target of %s: got %s, want %s", e.Node.Action, got.text, e.Node.TargetID)
			}
		}
		for _, action := range []string{"account.created", "store.created", "app.created", "user.created",
			"user.added"} {
			if !seen[action] {
				t.Errorf("events: got none of the action %s, want one", action)
			}
		}
	})
}
