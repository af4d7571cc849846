package promise_test

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

	"latchkey/internal/dbtest"
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

// events reads an account's log, oldest first.
func (n *node) events(owner, account string) []event {
	n.t.Helper()
	a := n.must(owner, account, `{ account { auditEvents(last: 250) { edges { node { action targetName ip requestId at actor { kind name } } } } } }`, nil)
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
	return n.send("POST", "/accounts/"+acme+"/graphql", string(body), map[string]string{"X-Auth-Token": token, "X-Forwarded-For": ip})
}

// ids are those of all of Acme's tokens.
func (n *node) ids(owner string) []string {
	n.t.Helper()
	a := n.must(owner, acme, `{ account { apiTokens(first: 50) { edges { node { id } } } stores { edges { node { apiTokens { edges { node { id } } } } } } } }`, nil)
	return regexp.MustCompile(`bc/account/apiToken/[0-9a-f-]{36}`).FindAllString(a.body, -1)
}

// actor is an event's who and where from.
func actor(kind, name, ip string) event {
	e := event{IP: ip}
	e.Actor.Kind, e.Actor.Name = kind, name
	return e
}

// did is the event of a deed of e's.
func (e event) did(action, target string) event {
	e.Action, e.TargetName = action, target
	return e
}

// deed is something done, and what the log shall say of it: times over, or nothing.
type deed struct {
	name  string
	do    func() answer
	want  event
	times int
}

// Every change, by whatever way and whoever, is one event that says who, what, when and from where; what fails is none
// (mission: promise 5).
func TestEveryChangeIsAudited(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		n := h.serve()
		owner, shop := h.session(acmeOwner), h.session(shopOwner)
		made := n.issue(owner, acme, vars{"name": "Provisioning", "scopes": []string{"account_api_tokens_write", "store_cart"}})
		const ip = "203.0.113.9"
		byOwner, byShop := actor("USER", acmeOwner, ip), actor("USER", shopOwner, ip)
		byToken, byOperator := actor("API_TOKEN", "Provisioning", ip), actor("OPERATOR", "operator", "")
		send := func(token, mutation string, in vars) func() answer {
			return func() answer { return n.from(ip, token, mutation, in) }
		}
		command := func(args ...string) func() answer {
			return func() answer { h.run("", args...); return answer{} }
		}
		token := func(name, scope string) vars { return vars{"name": name, "scopes": []string{scope}} }
		ofShop := token("Second", "store_cart")
		ofShop["storeId"] = "acme2eu"
		told := len(n.events(owner, acme))
		for _, d := range []deed{
			{"created by an owner", send(owner, create, token("First", "account_read")), byOwner.did("api_token.created", "First"), 1},
			{"created by a store's owner", send(shop, create, ofShop), byShop.did("api_token.created", "Second"), 1},
			{"created by a token", send(made.access, create, token("Third", "store_cart")), byToken.did("api_token.created", "Third"), 1},
			{"created by command", command("token", "create", "--account", acme, "--name", "Fourth", "--scope", "store_cart"), byOperator.did("api_token.created", "Fourth"), 1},
			{"refused", send(made.access, create, token("Fifth", "account_read")), event{}, 0},
			{"invalid", send(owner, create, token("x", "account_read")), event{}, 0},
			{"granted to its client", func() answer {
				return n.asClient(made, ip, "/oauth2/token", url.Values{"grant_type": {"client_credentials"}})
			},
				byToken.did("access_token.granted", "Provisioning"), 1},
			{"not granted", func() answer { return n.asClient(made, ip, "/oauth2/token", url.Values{"grant_type": {"password"}}) }, event{}, 0},
			{"an access token revoked by its client", func() answer { return n.asClient(made, ip, "/oauth2/revoke", url.Values{"token": {made.access}}) },
				byToken.did("access_token.revoked", "Provisioning"), 1},
			{"and again", func() answer { return n.asClient(made, ip, "/oauth2/revoke", url.Values{"token": {made.access}}) }, event{}, 0},
			{"rotated", send(owner, rotate, vars{"id": made.id}), byOwner.did("api_token.rotated", "Provisioning"), 1},
			{"rotated by command", command("token", "rotate", made.id, "--account", acme), byOperator.did("api_token.rotated", "Provisioning"), 1},
			{"renamed", send(owner, update, vars{"id": made.id, "name": "Renamed"}), byOwner.did("api_token.updated", "Renamed"), 1},
			{"widened", send(owner, update, vars{"id": made.id, "scopes": []string{"account_read"}}), event{}, 0},
			{"revoked, but for one", send(owner, revoke, vars{"ids": []string{made.id, "bc/account/apiToken/" + acme}}), event{}, 0},
			{"revoked by command", command("token", "revoke", made.id, "--account", acme), byOperator.did("api_token.revoked", "Renamed"), 1},
			{"revoked again", send(owner, revoke, vars{"ids": []string{made.id}}), event{}, 0},
			{"all others revoked", func() answer { return n.from(ip, owner, revoke, vars{"ids": n.ids(owner)}) }, byOwner.did("api_token.revoked", "*"), 4},
			{"a session", command("session", "create", "--email", shopOwner), byOperator.did("session.started", shopOwner), 1},
			{"all of a person's sessions ended", command("session", "end", "--email", shopOwner), byOperator.did("session.ended", shopOwner), 2},
			{"and again", command("session", "end", "--email", shopOwner), event{}, 0},
			{"a legacy account", command("legacy", "create", "--account", acme, "--store", "acme2eu", "--username", "Old", "--allow-legacy"),
				byOperator.did("legacy_account.created", "Old"), 1},
			{"somebody provisioned", send(owner, provision, vars{"users": []vars{{"email": "New@acme.example", "firstName": "New", "lastName": "One", "stores": []string{"acme2eu"}}}}),
				byOwner.did("*", "New@acme.example"), 3}, // created, taken into the account, and into the store,
			{"provisioned again", send(owner, provision, vars{"users": []vars{{"email": "new@acme.example"}}}), event{}, 0},
			{"provisioned otherwise", send(owner, provision, vars{"users": []vars{{"email": "new@acme.example", "locale": "de"}}}),
				byOwner.did("user.updated", "New@acme.example"), 1},
			{"deprovisioned, to see what would be", send(owner, deprovision, vars{"users": []vars{{"email": "new@acme.example"}}, "dryRun": true}), event{}, 0},
			{"deprovisioned", send(owner, deprovision, vars{"users": []vars{{"email": "new@acme.example"}}}), byOwner.did("user.removed", "New@acme.example"), 2},
			{"provisioned once more", send(owner, provision, vars{"users": []vars{{"email": "new@acme.example"}}}), byOwner.did("*", "new@acme.example"), 2},
			{"removed", send(owner, remove, vars{"email": "new@acme.example"}), byOwner.did("user.removed", "new@acme.example"), 1},
			{"only read", send(owner, "query { account { accountInfo { name } } }", nil), event{}, 0},
		} {
			t.Run(d.name, func(t *testing.T) { told += n.expect(t, d, owner, told) })
		}
		h.run(strings.NewReplacer("Acme US", "Acme USA", "published}", "draft}").Replace(manifest), "apply", "-f", "-")
		n.stop()
		wantBalance(t, dbtest.Dump(t, h.url))
	})
}

// expect does a deed and compares what the log says of it beyond the events told already. It returns how many it says.
func (n *node) expect(t *testing.T, d deed, owner string, told int) int {
	t.Helper()
	began := time.Now().Truncate(time.Microsecond)
	a := d.do()
	ended := time.Now()
	if d.times > 0 && len(a.Errors) > 0 {
		t.Fatalf("answered %s", a.body)
	}
	added := n.events(owner, acme)[told:]
	if len(added) != d.times {
		t.Fatalf("%d events, want %d: %+v", len(added), d.times, added)
	}
	d.want.RequestID = a.requestID
	for _, got := range added {
		if got.At.Before(began) || got.At.After(ended) {
			t.Errorf("it happened at %v, by the log; not between %v and %v", got.At, began, ended)
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
		if got != d.want {
			t.Errorf("the event is %+v, want %+v", got, d.want)
		}
	}
	return len(added)
}

// Whoever adds a mutation adds it above, or it is none yet.
func TestEveryMutationHasItsPlace(t *testing.T) {
	audited := []string{"createApiToken", "updateApiToken", "rotateApiToken", "revokeApiTokens", "addUserToAccount", "createUser", "createUserWithPassword",
		"addUserToStore", "removeUserFromStore", "updateUser", "setStoreUserPermissions", "setStoreUserStatus", "transferOwnership",
		"removeUserFromAccount", "provisionUsers", "deprovisionUsers"}
	unavailable := []string{"createCheckout", "cancelSubscription", "createEventSource", "deleteEventSource"}
	h := &house{t: t, url: dbtest.SQLiteURL(t), key: filepath.Join(t.TempDir(), "test.key")}
	h.run("", "key", "create", h.key)
	h.run(manifest, "apply", "-f", "-")
	a := h.serve().must(h.session(acmeOwner), acme, `{ __schema { mutationType { fields { type { ofType { fields(includeDeprecated: true) { name } } } } } } }`, nil)
	names := regexp.MustCompile(`"name":"([^"]+)"`).FindAllStringSubmatch(a.body, -1)
	for _, name := range names {
		if !slices.Contains(audited, name[1]) && !slices.Contains(unavailable, name[1]) {
			t.Errorf("nobody looks whether %s is audited", name[1])
		}
	}
	if len(names) < len(audited) {
		t.Errorf("the schema has the mutations %q", names)
	}
}

// wantBalance compares what is in the tables with what the log says came there: there is nothing without its event, and
// no event without what it tells of.
func wantBalance(t *testing.T, dump string) {
	t.Helper()
	rows, events := map[string]int{}, map[string]int{}
	for line := range strings.Lines(dump) {
		table, row, _ := strings.Cut(line, " ")
		rows[table]++
		if table == "audit_events" {
			for _, action := range []string{"api_token.created", "api_token.rotated", "api_token.revoked", "access_token.granted", "session.started", "account.created", "store.created",
				"store.updated", "app.created", "app.updated", "user.created", "user.added", "user.removed", "legacy_account.created"} {
				events[action] += strings.Count(row, action)
			}
		}
	}
	events["account.created"] -= events["legacy_account.created"] // which ends in the same words
	want := map[string]int{
		"api_tokens": events["api_token.created"], "access_tokens": events["api_token.created"] + events["api_token.rotated"],
		"access_grants": events["access_token.granted"],
		"sessions":      events["session.started"], "accounts": events["account.created"], "stores": events["store.created"],
		"legacy_accounts": events["legacy_account.created"],
		"apps":            events["app.created"], "users": events["user.created"],
		"members": events["user.added"] - events["user.removed"], // of accounts and of stores
	}
	rows["members"] = rows["account_users"] + rows["store_users"]
	got := maps.Clone(rows)
	maps.DeleteFunc(got, func(table string, _ int) bool { _, known := want[table]; return !known })
	if fmt.Sprint(got) != fmt.Sprint(want) || events["api_token.revoked"] != rows["api_tokens"] || events["store.updated"] != 1 || events["app.updated"] != 1 {
		t.Errorf("there are %v, and by the log %v; events %v", got, want, events)
	}
}
