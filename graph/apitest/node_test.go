package apitest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	dbtest "latchkey/internal/test/db"
)

const (
	nodeQuery  = `query($id: ID!) { node(id: $id) { __typename id } }`
	nodesQuery = `query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }`
)

// keep gives the world tokens of both levels, home and away, "<Reader>", "<Till>" and "<Stray>", the webhooks "<Hook>"
// and "<Stray hook>", and an event, "<Event>".
func (w *tenants) keep(t *testing.T) {
	t.Helper()
	w.issue(t, w.owner, w.home, request{name: "Reader", scopes: []string{"account_read"}})
	w.issue(t, w.owner, w.home, request{name: "Till", scopes: []string{"store_cart"}, store: &w.home.Stores[0]})
	w.issue(t, w.session(t, w.away, w.away.Owner), w.away, request{name: "Stray", scopes: []string{"account_read"}})
	w.hook(t, w.owner, "Hook", "webhook.*")
	w.hook(t, w.session(t, w.away, w.away.Owner), "Stray hook", "*")
	sent, err := w.Webhooks.SendTest(t.Context(), w.owner, uuid.MustParse(w.fill("<Hook.uuid>")))
	if err != nil {
		t.Fatal(err)
	}
	w.names["<Event>"], w.names["<Event.uuid>"] = "bc/account/event/"+sent.ID.String(), sent.ID.String()
	w.keepBilling(t)
}

// Every kind of object is had by the id that it says it has.
func TestNode(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.keep(t)
		found := func(name, id, typeName string) scenario {
			return scenario{
				name: name, by: w.robot, query: nodeQuery, variables: map[string]any{"id": id},
				data: `{"node": {"__typename": "` + typeName + `", "id": "` + id + `"}}`,
			}
		}
		refused := func(name, id, failure string) scenario {
			return scenario{name: name, by: w.robot, query: nodeQuery, variables: map[string]any{"id": id},
				data: `{"node": null}`, errors: []string{"node: " + failure}}
		}
		missing := func(name, id string) scenario {
			return refused(name, id, "NOT_FOUND id: There is no such object in this account.")
		}
		malformed := func(name, id string) scenario {
			return refused(name, id, "INVALID id: This is not an ID such as bc/account/user/0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01. Pass an ID exactly as this API returned it.")
		}
		byHash := found("a store by its hash", "<store1>", "Store")
		byHash.variables = map[string]any{"id": "bc/account/store/<store1.hash>"}
		w.run(t, []scenario{
			found("the account", "<account>", "Account"),
			found("a store", "<store1>", "Store"),
			byHash,
			found("an app", "<app0>", "App"),
			found("a person", "<user0>", "User"),
			found("an owner", "<storeOwner>", "User"),
			found("an account-level token", "<Reader>", "ApiToken"),
			found("a store-level token", "<Till>", "ApiToken"),
			found("a webhook", "<Hook>", "Webhook"),
			found("an event", "<Event>", "Event"),
			found("a checkout", "<Checkout>", "Checkout"),
			found("a subscription", "<Subscription>", "Subscription"),
			found("a charge", "<Charge>", "Charge"),
			{name: "an invoice", by: w.owner, query: nodeQuery, variables: map[string]any{"id": "<Invoice>"},
				data: `{"node": {"__typename": "Invoice", "id": "<Invoice>"}}`},
			refused("an invoice, which only the owner reads", "<Invoice>", "FORBIDDEN id"),

			missing("another account", "<away.account>"),
			missing("another account's store", "<away.store0>"),
			missing("another account's store by its hash", "bc/account/store/<away.store0.hash>"),
			missing("another account's app", "<away.app0>"),
			missing("another account's person", "<away.owner>"),
			missing("another account's token", "<Stray>"),
			missing("another account's webhook", "<Stray hook>"),
			missing("an event that is not there", "bc/account/event/<account.uuid>"),
			missing("an audit event's id", "bc/account/auditEvent/<Event.uuid>"),
			missing("nothing of any account", "bc/account/user/"+uuid.NewString()),
			missing("no UUID", "bc/account/user/1"),
			missing("another spelling of a UUID", "bc/account/user/{<user0.uuid>}"),
			missing("a number without an app", "bc/account/app/0"),
			missing("no number", "bc/account/app/x"),
			missing("another spelling of a number", "bc/account/app/+<app0.number>"),
			missing("a number beyond all numbers", "bc/account/app/99999999999999999999"),
			missing("a hash where a key is", "bc/account/apiToken/<store1.hash>"),
			missing("a key of another kind", "bc/account/user/<store1.uuid>"),
			missing("a kind without objects", "bc/account/product/<app0.number>"),

			malformed("nothing", ""),
			malformed("a bare key", "<user0.uuid>"),
			malformed("another kind", "bc/account/thing/<user0.uuid>"),
			malformed("no key", "bc/account/user/"),
			malformed("another prefix", "gid://account/user/<user0.uuid>"),

			missing("no checkout", "bc/account/checkout/1"),
			missing("no subscription", "bc/account/subscription/<Checkout.uuid>"),
			missing("no charge", "bc/account/charge/<Checkout.uuid>"),
		})
	})
}

// A UUID in upper case is the same ID in every place where the API takes one. Answers have it in lower case.
func TestIDsInUpperCase(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.keep(t)
		dbtest.AwaitLog(t, w.DB, w.home.Account.ID)
		upper := func(kind, name string) string {
			return "bc/account/" + kind + "/" + strings.ToUpper(w.fill("<"+name+".uuid>"))
		}
		asked := []string{upper("account", "account"), upper("store", "store1"), upper("user", "user0"),
			upper("apiToken", "Till"), upper("webhook", "Hook"), upper("event", "Event")}
		w.run(t, []scenario{
			{name: "nodes", by: w.owner, query: nodesQuery, variables: map[string]any{"ids": asked},
				data: `{"nodes": [{"__typename": "Account", "id": "<account>"}, {"__typename": "Store", "id": "<store1>"}, {"__typename": "User", "id": "<user0>"},
					{"__typename": "ApiToken", "id": "<Till>"}, {"__typename": "Webhook", "id": "<Hook>"}, {"__typename": "Event", "id": "<Event>"}]}`},
			{name: "objects", by: w.owner, data: `{"account": {"webhook": {"id": "<Hook>"}, "apiToken": {"id": "<Till>"}}}`,
				query:     `query($hook: ID!, $token: ID!) { account { webhook(id: $hook) { id } apiToken(id: $token) { id } } }`,
				variables: map[string]any{"hook": upper("webhook", "Hook"), "token": upper("apiToken", "Till")}},
			{name: "events by their subject", by: w.owner,
				query:     `query($of: ID!) { account { events(last: 1, filter: {subjectId: $of}) { nodes { subjectId } } } }`,
				variables: map[string]any{"of": upper("apiToken", "Till")},
				data:      `{"account": {"events": {"nodes": [{"subjectId": "<Till>"}]}}}`},
			{name: "an event to replay", by: w.owner, data: `{"webhook": {"replayDeliveries": {"scheduled": 1}}}`,
				query: `mutation($input: ReplayDeliveriesInput!) { webhook { replayDeliveries(input: $input) { scheduled } } }`,
				variables: map[string]any{"input": map[string]any{"webhookId": upper("webhook", "Hook"),
					"eventIds": []string{upper("event", "Event")}}}},
		})
	})
}

func TestNodes(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.keep(t)
		many := slices.Repeat([]string{"<account>"}, 251)
		const noObject = "There is no such object in this account."
		w.run(t, []scenario{
			{
				name: "of every kind, in order, as often as asked", by: w.robot, query: nodesQuery,
				variables: map[string]any{"ids": []string{"<Till>", "<user1>", "<store0>", "<account>", "<app1>",
					"<user1>", "bc/account/store/<store0.hash>", "<Reader>"}},
				data: `{"nodes": [{"__typename": "ApiToken", "id": "<Till>"}, {"__typename": "User", "id": "<user1>"}, {"__typename": "Store", "id": "<store0>"},
					{"__typename": "Account", "id": "<account>"}, {"__typename": "App", "id": "<app1>"}, {"__typename": "User", "id": "<user1>"},
					{"__typename": "Store", "id": "<store0>"}, {"__typename": "ApiToken", "id": "<Reader>"}]}`,
			},
			{
				name: "some that cannot be had", by: w.robot, query: nodesQuery,
				variables: map[string]any{"ids": []string{"<away.store0>", "<store0>", "x", "<user0>", "<Stray>",
					"bc/account/checkout/1"}},
				data: `{"nodes": [null, {"__typename": "Store", "id": "<store0>"}, null, {"__typename": "User", "id": "<user0>"}, null, null]}`,
				errors: []string{
					"nodes.0: NOT_FOUND ids.0: " + noObject, "nodes.4: NOT_FOUND ids.4: " + noObject,
					"nodes.2: INVALID ids.2: This is not an ID such as bc/account/user/0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01. Pass an ID exactly as this API returned it.",
					"nodes.5: NOT_FOUND ids.5: " + noObject,
				},
			},
			{name: "none", by: w.robot, query: nodesQuery, variables: map[string]any{"ids": []string{}},
				data: `{"nodes": []}`},
			{
				name: "one too many", by: w.robot, query: nodesQuery, variables: map[string]any{"ids": many},
				data:   `null`,
				errors: []string{"nodes: INVALID ids: Request at most 250 objects at once."},
			},
			{name: "as many as may be", by: w.robot, query: `query($ids: [ID!]!) { nodes(ids: $ids) { id } }`,
				variables: map[string]any{"ids": many[:250]}, lacks: []string{"null"}},
			{
				name: "kinds that may not be read, among one that may", by: w.holding("account_stores_read"),
				query:     nodesQuery,
				variables: map[string]any{"ids": []string{"<user0>", "<store0>", "<account>", "<Till>", "<app0>"}},
				data:      `{"nodes": [null, {"__typename": "Store", "id": "<store0>"}, {"__typename": "Account", "id": "<account>"}, null, null]}`,
				errors: []string{
					"nodes.0: FORBIDDEN ids.0 [account_users_read]",
					"nodes.3: FORBIDDEN ids.3 [account_api_tokens_read]",
					"nodes.4: FORBIDDEN ids.4 [account_apps_read]",
				},
			},
			{
				name: "what a store's owner reaches", by: w.storeOwner, query: nodesQuery,
				variables: map[string]any{"ids": []string{"<store0>", "<store1>", "<Till>", "<Reader>", "<account>",
					"<user0>", "<storeOwner>"}},
				data: `{"nodes": [{"__typename": "Store", "id": "<store0>"}, null, {"__typename": "ApiToken", "id": "<Till>"}, null, {"__typename": "Account", "id": "<account>"}, null, null]}`,
				errors: []string{
					"nodes.1: NOT_FOUND ids.1: " + noObject, "nodes.3: NOT_FOUND ids.3: " + noObject,
					"nodes.5: FORBIDDEN ids.5 [account_users_read]", "nodes.6: FORBIDDEN ids.6 [account_users_read]",
				},
			},
			{
				name: "what is below", by: w.robot,
				query: `query($ids: [ID!]!) { nodes(ids: $ids) { id
					... on Store { storeHash owner { email } users(first: 1) { edges { node { id } } } }
					... on ApiToken { name store { storeHash } accessTokens { hint } }
					... on Account { accountInfo { name } } ... on User { email } ... on App { name } } }`,
				variables: map[string]any{"ids": []string{"<store0>", "<Till>", "<account>", "<user0>", "<app0>",
					"<Reader>"}},
				data: `{"nodes": [
					{"id": "<store0>", "storeHash": "<store0.hash>", "owner": {"email": "<storeOwner.email>"}, "users": {"edges": [{"node": {"id": "<user1>"}}]}},
					{"id": "<Till>", "name": "Till", "store": {"storeHash": "<store0.hash>"}, "accessTokens": [{"hint": "<Till.hint>"}]},
					{"id": "<account>", "accountInfo": {"name": "<account.name>"}}, {"id": "<user0>", "email": "<user0.email>"}, {"id": "<app0>", "name": "App 0"},
					{"id": "<Reader>", "name": "Reader", "store": null, "accessTokens": [{"hint": "<Reader.hint>"}]}]}`,
			},
		})
	})
}
