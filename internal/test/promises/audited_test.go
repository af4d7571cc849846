package promises_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/internal/clock"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// event is an entry of the audit log as the API shows it.
type event struct {
	Actor      struct{ Kind, Name string }
	Action     string
	TargetName string
	IP         string
	RequestID  string
	At         time.Time
}

// events returns an account's audit log, oldest first.
func (n *node) events(owner, account string) []event {
	n.t.Helper()
	a := n.must(owner, account,
		`{ account { auditEvents(last: 250) { edges { node { action targetName ip requestId at actor { kind name } } } } } }`, nil)
	var read struct {
		Data struct {
			Account struct {
				AuditEvents struct{ Edges []struct{ Node event } }
			}
		}
	}
	body, _, _ := strings.Cut(a.body, "\n")
	if err := json.Unmarshal([]byte(body), &read); err != nil {
		n.t.Fatal(err)
	}
	var events []event
	for _, edge := range slices.Backward(read.Data.Account.AuditEvents.Edges) {
		events = append(events, edge.Node)
	}
	return events
}

// from sends a mutation from an address behind the trusted proxy.
func (n *node) from(ip, token, mutation string, in vars) answer {
	n.t.Helper()
	body, err := json.Marshal(map[string]any{"query": mutation, "variables": vars{"in": in}})
	if err != nil {
		n.t.Fatal(err)
	}
	return n.send("POST", "/accounts/"+acme+"/graphql", string(body),
		map[string]string{"X-Auth-Token": token, "X-Forwarded-For": ip})
}

// ids returns the IDs of all of Acme's tokens.
func (n *node) ids(owner string) []string {
	n.t.Helper()
	a := n.must(owner, acme,
		`{ account { apiTokens(first: 50) { edges { node { id } } } stores { edges { node { apiTokens { edges { node { id } } } } } } } }`, nil)
	return regexp.MustCompile(`bc/account/apiToken/[0-9a-f-]{36}`).FindAllString(a.body, -1)
}

// hookURL is the URL of newWebhook.
const hookURL = "https://hooks.example/latchkey"

func webhookMutation(name string) string { return userMutation("webhook", name) }

// webhook returns the ID of Acme's only webhook.
func (n *node) webhook(owner string) string {
	n.t.Helper()
	return n.must(owner, acme, `{ account { webhooks { nodes { id } } } }`, nil).text("account.webhooks.nodes.0.id")
}

// actor returns an event with its actor and source IP set.
func actor(kind, name, ip string) event {
	e := event{IP: ip}
	e.Actor.Kind, e.Actor.Name = kind, name
	return e
}

// with returns e with the action and target set.
func (e event) with(action, target string) event {
	e.Action, e.TargetName = action, target
	return e
}

// auditCase is an action, with the event that it must write and how many times. 0 means none.
type auditCase struct {
	name  string
	do    func() answer
	want  event
	times int
}

// Every change, by any actor and path, writes exactly one event with actor, action, time and source IP. A failed
// request writes none (docs/promises.md: 5).
func TestEveryChangeIsAudited(t *testing.T) {
	eachDeployment(t, func(t *testing.T, h *deployment) {
		n := h.serve()
		owner, shop := h.session(acmeOwner), h.session(shopOwner)
		made := n.issue(owner, acme, vars{"name": "Provisioning",
			"scopes": []string{"account_api_tokens_write", "store_cart"}})
		const ip = "203.0.113.9"
		byOwner, byStoreOwner := actor("USER", acmeOwner, ip), actor("USER", shopOwner, ip)
		byToken, byOperator := actor("API_TOKEN", "Provisioning", ip), actor("OPERATOR", "operator", "")
		send := func(token, mutation string, in vars) func() answer {
			return func() answer { return n.from(ip, token, mutation, in) }
		}
		command := func(args ...string) func() answer {
			return func() answer { h.run("", args...); return answer{} }
		}
		inWebhook := func(name, field string, more vars) func() answer {
			return func() answer {
				in := maps.Clone(more)
				if in == nil {
					in = vars{}
				}
				in[field] = n.webhook(owner)
				return n.from(ip, owner, webhookMutation(name), in)
			}
		}
		renamed := func() answer {
			newest := n.must(owner, acme, `{ account { stores(first: 1) { edges { node { storeHash } } } } }`, nil)
			return n.from(ip, owner, userMutation("store", "updateStore"),
				vars{"storeId": newest.text("account.stores.edges.0.node.storeHash"), "name": "Acme Japan"})
		}
		token := func(name, scope string) vars { return vars{"name": name, "scopes": []string{scope}} }
		storeToken := token("Second", "store_cart")
		storeToken["storeId"] = "acme2eu"
		seen := len(n.events(owner, acme))
		for _, d := range []auditCase{
			{"created by an owner", send(owner, create, token("First", "account_read")),
				byOwner.with("api_token.created", "First"), 1},
			{"created by a store's owner", send(shop, create, storeToken),
				byStoreOwner.with("api_token.created", "Second"), 1},
			{"created by a token", send(made.access, create, token("Third", "store_cart")),
				byToken.with("api_token.created", "Third"), 1},
			{"created by command", command("token", "create", "--account", acme, "--name", "Fourth", "--scope",
				"store_cart"), byOperator.with("api_token.created", "Fourth"), 1},
			{"refused", send(made.access, create, token("Fifth", "account_read")), event{}, 0},
			{"invalid", send(owner, create, token("x", "account_read")), event{}, 0},
			{"granted to its client", func() answer {
				return n.asClient(made, ip, "/oauth2/token", url.Values{"grant_type": {"client_credentials"}})
			},
				byToken.with("access_token.granted", "Provisioning"), 1},
			{"not granted", func() answer {
				return n.asClient(made, ip, "/oauth2/token",
					url.Values{"grant_type": {"password"}})
			}, event{}, 0},
			{"an access token revoked by its client",
				func() answer { return n.asClient(made, ip, "/oauth2/revoke", url.Values{"token": {made.access}}) },
				byToken.with("access_token.revoked", "Provisioning"), 1},
			{"the same again", func() answer {
				return n.asClient(made, ip, "/oauth2/revoke",
					url.Values{"token": {made.access}})
			}, event{}, 0},
			{"rotated", send(owner, rotate, vars{"id": made.id}), byOwner.with("api_token.rotated", "Provisioning"), 1},
			{"rotated by command", command("token", "rotate", made.id, "--account", acme),
				byOperator.with("api_token.rotated", "Provisioning"), 1},
			{"renamed", send(owner, update, vars{"id": made.id, "name": "Renamed"}),
				byOwner.with("api_token.updated", "Renamed"), 1},
			{"widened", send(owner, update, vars{"id": made.id, "scopes": []string{"account_read"}}), event{}, 0},
			{"one of two IDs unknown", send(owner, revoke,
				vars{"ids": []string{made.id, "bc/account/apiToken/" + acme}}), event{}, 0},
			{"revoked by command", command("token", "revoke", made.id, "--account", acme),
				byOperator.with("api_token.revoked", "Renamed"), 1},
			{"revoked again", send(owner, revoke, vars{"ids": []string{made.id}}), event{}, 0},
			{"all others revoked", func() answer { return n.from(ip, owner, revoke, vars{"ids": n.ids(owner)}) },
				byOwner.with("api_token.revoked", "*"), 4},
			{"a session", command("session", "create", "--email", shopOwner),
				byOperator.with("session.started", shopOwner), 1},
			{"all of a user's sessions ended", command("session", "end", "--email", shopOwner),
				byOperator.with("session.ended", shopOwner), 2},
			{"the same again", command("session", "end", "--email", shopOwner), event{}, 0},
			{"a legacy account", command("legacy", "create", "--account", acme, "--store", "acme2eu", "--username",
				"Old", "--allow-legacy"),
				byOperator.with("legacy_account.created", "Old"), 1},
			{"the off-boarding policy changed", send(owner, userMutation("account", "updateAccount"),
				vars{"offboardingPolicy": "REVOKE_TOKENS"}), byOwner.with("account.updated", "*"), 1},
			{"the same again", send(owner, userMutation("account", "updateAccount"),
				vars{"offboardingPolicy": "REVOKE_TOKENS"}), event{}, 0},
			{"the leak policy changed", send(owner, userMutation("account", "updateAccount"),
				vars{"leakPolicy": "NOTIFY"}), byOwner.with("account.updated", "*"), 1},
			{"the same again", send(owner, userMutation("account", "updateAccount"),
				vars{"leakPolicy": "NOTIFY"}), event{}, 0},
			{"a store created", send(owner, userMutation("store", "createStore"), vars{"name": "Acme Asia"}),
				byOwner.with("*", "*"), 2}, // the store, and its owner's membership
			{"a store with an invalid name", send(owner, userMutation("store", "createStore"), vars{"name": " "}),
				event{}, 0},
			{"a store renamed", renamed, byOwner.with("store.updated", "Acme Japan"), 1},
			{"renamed to the same", renamed, event{}, 0},
			{"a user provisioned", send(owner, provision,
				vars{"users": []vars{{"email": "New@acme.example", "firstName": "New", "lastName": "One",
					"stores": []string{"acme2eu"}}}}),
				byOwner.with("*", "New@acme.example"), 3}, // created, added to the account and to the store
			{"provisioned again", send(owner, provision, vars{"users": []vars{{"email": "new@acme.example"}}}), event{},
				0},
			{"provisioned with another locale",
				send(owner, provision, vars{"users": []vars{{"email": "new@acme.example", "locale": "de"}}}),
				byOwner.with("user.updated", "New@acme.example"), 1},
			{"deprovisioned in a dry run", send(owner, deprovision,
				vars{"users": []vars{{"email": "new@acme.example"}}, "dryRun": true}), event{}, 0},
			{"deprovisioned", send(owner, deprovision, vars{"users": []vars{{"email": "new@acme.example"}}}),
				byOwner.with("*", "New@acme.example"), 2},
			{"provisioned once more", send(owner, provision, vars{"users": []vars{{"email": "new@acme.example"}}}),
				byOwner.with("*", "new@acme.example"), 2},
			{"removed", send(owner, remove, vars{"email": "new@acme.example"}),
				byOwner.with("user.removed", "new@acme.example"), 1},
			{"a webhook created", send(owner, webhookMutation("createWebhook"), newWebhook),
				byOwner.with("webhook.created", hookURL), 1},
			{"a webhook with an invalid URL", send(owner, webhookMutation("createWebhook"),
				vars{"url": "ftp://hooks.example", "eventTypes": []string{"*"}}), event{}, 0},
			{"a webhook changed", inWebhook("updateWebhook", "id", vars{"description": "Billing"}),
				byOwner.with("webhook.updated", hookURL), 1},
			{"changed to the same", inWebhook("updateWebhook", "id", vars{"description": "Billing"}), event{}, 0},
			{"its secret rotated", inWebhook("rotateWebhookSecret", "id", nil),
				byOwner.with("webhook.updated", hookURL), 1},
			{"a test event sent", inWebhook("sendTestEvent", "id", nil), byOwner.with("webhook.test", hookURL), 1},
			{"deliveries replayed", inWebhook("replayDeliveries", "webhookId", vars{"since": "2026-01-01T00:00:00Z"}),
				byOwner.with("webhook.replayed", hookURL), 1},
			{"no deliveries replayed", inWebhook("replayDeliveries", "webhookId",
				vars{"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"}), event{}, 0},
			{"disabled", inWebhook("updateWebhook", "id", vars{"state": "DISABLED"}),
				byOwner.with("webhook.disabled", hookURL), 1},
			{"deleted", inWebhook("deleteWebhook", "id", nil), byOwner.with("webhook.deleted", hookURL), 1},
			{"only read", send(owner, "query { account { accountInfo { name } } }", nil), event{}, 0},
		} {
			t.Run(d.name, func(t *testing.T) { seen += n.expect(t, d, owner, seen) })
		}
		n.expectSCIM(t, owner, ip)
		h.run(strings.NewReplacer("Acme US", "Acme USA", "published}", "draft}").Replace(manifest), "apply", "-f", "-")
		n.stop()
		wantBalance(t, dbtest.Dump(t, h.url))
	})
}

// expect performs an action and compares the events that it adds to the first seen ones. It returns their number.
func (n *node) expect(t *testing.T, d auditCase, owner string, seen int) int {
	t.Helper()
	began := clock.Timestamp(time.Now())
	a := d.do()
	ended := time.Now()
	if d.times > 0 && len(a.Errors) > 0 {
		t.Fatalf("got %s, want no errors", a.body)
	}
	added := n.events(owner, acme)[seen:]
	if len(added) != d.times {
		t.Fatalf("%d events, want %d: %+v", len(added), d.times, added)
	}
	d.want.RequestID = a.requestID
	for _, got := range added {
		if got.At.Before(began) || got.At.After(ended) {
			t.Errorf("the event is dated %v, want a time between %v and %v", got.At, began, ended)
		}
		got.At = time.Time{}
		if d.want.Action == "*" {
			got.Action = "*"
		}
		if d.want.TargetName == "*" {
			got.TargetName = "*"
		}
		if d.want.Action == "*" {
			got.Action = "*"
		}
		check.Equal(t, got, d.want, "event")
	}
	return len(added)
}

// A new mutation must be added to the tests above.
func TestEveryMutationHasAnAuditTest(t *testing.T) {
	audited := []string{"createApiToken", "updateApiToken", "rotateApiToken", "revokeApiTokens", "addUserToAccount",
		"createUser", "createUserWithPassword",
		"addUserToStore", "removeUserFromStore", "updateUser", "setStoreUserPermissions", "setStoreUserStatus",
		"transferOwnership", "updateAccount", "createStore", "updateStore",
		"removeUserFromAccount", "provisionUsers", "deprovisionUsers",
		"createWebhook", "updateWebhook", "rotateWebhookSecret", "sendTestEvent", "replayDeliveries", "deleteWebhook"}
	// TestNoWriteOutlivesTheRightsOfItsActor wants an event of each change, and the property test of package billing
	// counts them. previewChange and advanceTime change nothing themselves.
	billing := []string{"createCheckout", "approveCheckout", "declineCheckout", "cancelSubscription", "previewChange",
		"suspendSubscription", "resumeSubscription", "createCharge", "deleteCharge", "creditCharge", "advanceTime",
		"createEventSource", "deleteEventSource"}
	h := &deployment{t: t, url: dbtest.SQLiteURL(t), key: filepath.Join(t.TempDir(), "test.key")}
	h.run("", "key", "create", h.key)
	h.run(manifest, "apply", "-f", "-")
	a := h.serve().must(h.session(acmeOwner), acme,
		`{ __schema { mutationType { fields { type { ofType { fields(includeDeprecated: true) { name } } } } } } }`,
		nil)
	names := regexp.MustCompile(`"name":"([^"]+)"`).FindAllStringSubmatch(a.body, -1)
	for _, name := range names {
		if !slices.Contains(audited, name[1]) && !slices.Contains(billing, name[1]) {
			t.Errorf("%s: got no test that it is audited, want one", name[1])
		}
	}
	if len(names) < len(audited) {
		t.Errorf("mutations of the schema: got %d, %q, want at least %d", len(names), names, len(audited))
	}
}

// wantBalance compares the number of rows in the tables with the events: there must be no row without an event, and no
// event without its row.
func wantBalance(t *testing.T, dump string) {
	t.Helper()
	rows, events := map[string]int{}, map[string]int{}
	for line := range strings.Lines(dump) {
		table, row, _ := strings.Cut(line, " ")
		rows[table]++
		if table == "audit_events" {
			for _, action := range []string{"api_token.created", "api_token.rotated", "api_token.revoked",
				"access_token.granted", "session.started", "account.created", "store.created",
				"store.updated", "app.created", "app.updated", "user.created", "user.added", "user.removed",
				"legacy_account.created"} {
				events[action] += strings.Count(row, action)
			}
		}
	}
	events["account.created"] -= events["legacy_account.created"] // which has the same suffix
	want := map[string]int{
		"api_tokens":    events["api_token.created"],
		"access_tokens": events["api_token.created"] + events["api_token.rotated"],
		"access_grants": events["access_token.granted"],
		"sessions":      events["session.started"], "accounts": events["account.created"],
		"stores":          events["store.created"],
		"legacy_accounts": events["legacy_account.created"],
		"apps":            events["app.created"], "users": events["user.created"],
		"members": events["user.added"] - events["user.removed"], // of accounts and of stores
	}
	rows["members"] = rows["account_users"] + rows["store_users"]
	const storeChanges = 3 // the manifest's, the renaming, and the default role of a group
	got := maps.Clone(rows)
	maps.DeleteFunc(got, func(table string, _ int) bool { _, known := want[table]; return !known })
	if fmt.Sprint(got) != fmt.Sprint(want) || events["api_token.revoked"] != rows["api_tokens"] ||
		events["store.updated"] != storeChanges || events["app.updated"] != 1 {
		t.Errorf("rows: got %v, want %v as in the audit log; events %v", got, want, events)
	}
}
