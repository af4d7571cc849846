package apitest_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/membership"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/user"
)

// nullHere are the fields that are null in tests: no user signs in to a store here, and the user on the shortest route
// owns the account and cannot be deactivated.
var nullHere = []string{"StoreUser.lastLoginAt", "UserStore.lastLoginAt", "User.deactivatedAt"}

// survey asks for fields.
type survey struct {
	*tenants

	// times is how often a mutation was asked for that cannot be repeated.
	times *int
}

// Every field of the schema returns existing data: no made-up data, and no null that stands for something.
func TestEveryFieldIsAnswered(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.keepLives(t)
		w.keepHook(t)
		w.keepBilling(t)
		w.names["<Limited>"] = idIn(t, w.as(t, w.owner, `mutation { apiToken { createApiToken(input: {name: "Limited",
			scopes: ["account_charges_write"], chargeLimit: {amount: {currencyCode: USD, value: 5}, per: MONTH}}) {
			apiToken { id } } } }`, nil), "apiToken", "createApiToken", "apiToken", "id")
		w.place(t, w.home.Owner, user.Membership{ExternalID: "hr-1", ProvisionedBy: w.robot.ID},
			user.Place{StoreID: w.home.Stores[0].ID, Permissions: []string{"Add_Brands"}})
		got := w.ask(t, w.home.Account.ID, w.robot,
			w.fill(
				`mutation { apiToken { createApiToken(input: {name: "Last", scopes: ["account_read"]}) { __typename } } }`), nil)
		if len(got.errors) > 0 {
			t.Fatalf("createApiToken: got %q, want no errors", got.failures())
		}
		// The survey narrows, transfers and revokes, and goes on with principals as they were in the beginning.
		for _, by := range []*auth.Principal{w.owner, w.robot} {
			by.Credential, by.NoCredential = auth.Credential{}, "a test"
		}
		s := survey{w, new(int)}
		w.eventSource(t, 0, "orders")
		for _, def := range objects() {
			for _, f := range fieldsOf(def) {
				s.isAnswered(t, step{parent: def, field: f})
				if strings.HasSuffix(f.Type.Name(), "Connection") {
					name := def.Name + "." + f.Name
					if _, paged := connections[name]; !paged && !slices.Contains(billingLists, name) {
						t.Errorf("%s: got no test that pages through it, want one", name)
					}
				}
			}
		}
	})
}

// isAnswered asks for a field.
func (s survey) isAnswered(t *testing.T, target step) {
	t.Helper()
	way := routeTo(schema.Query, target, throughNode)
	if way == nil {
		way = routeTo(schema.Mutation, target, throughNode)
	}
	if way == nil {
		t.Errorf("route to %s: got none, want one", target.name())
		return
	}
	s.try(t, way)
}

// try asks for the last field of a route as both sorts of principal.
func (s survey) try(t *testing.T, way route) {
	t.Helper()
	query := way.query(3, s.rich(t, way))
	last := way[len(way)-1]
	if last.field.Name == "deactivatedAt" {
		s.deactivated(t)
	}
	for _, by := range []*auth.Principal{s.owner, s.robot} {
		got := s.ask(t, s.home.Account.ID, by, query, nil)
		if len(got.errors) > 0 {
			t.Errorf("%s: got %q, want a value", query, got.failures())
			return
		}
		var data any
		if err := json.Unmarshal([]byte(got.data), &data); err != nil {
			t.Fatal(err)
		}
		if hasValue(data, way) {
			return
		}
	}
	if !slices.Contains(nullHere, last.name()) {
		t.Errorf("%s: got no value, want one", query)
	}
}

// rich are arguments that lead to where the last field of a route has a value.
func (s survey) rich(t *testing.T, way route) func(step) string {
	return func(st step) string {
		if input, is := s.richBilling(t, way, st); is {
			return input
		}
		switch st.name() {
		case "AccountMutations.removeUserFromAccount":
			return `input: {email: "` + s.leaver(t) + `", revokeApiTokens: true}`
		case "AccountMutations.provisionUsers":
			if way.first(func(st step) bool { return st.name() == "ProvisionedUser.apiTokensToReview" }) >= 0 {
				s.leaver(t)
				return s.fill(`input: {users: [{email: "<owner.email>"}], removeOthers: true, dryRun: true}`)
			}
			return s.fill(
				`input: {users: [{email: "text"}, {email: "<user0.email>", lastName: "Other"}], dryRun: true}`)
		case "Query.node":
			return s.fill(`id: "<store0>"`)
		case "Query.nodes":
			return s.fill(`ids: ["<store0>"]`)
		case "Account.apiToken":
			if way.first(func(st step) bool { return st.name() == "ApiToken.chargeLimit" }) >= 0 {
				s.issue(t, s.owner, s.home,
					request{name: "Charging", scopes: []string{"account_charges_write"}, limit: "12.30"})
				return s.fill(`id: "<Charging>"`)
			}
			return s.fill(`id: "` + tokenWith(way) + `"`)
		case "Account.auditEvents":
			return "first: 50"
		case "AppMutations.createEventSource":
			return s.fill(strings.Replace(effective[st.name()], "made", uuid.NewString(), 1))
		case "AppMutations.deleteEventSource":
			return s.fill(`input: {appId: "<app0>", id: "` + s.eventSource(t, 0, uuid.NewString()) + `"}`)
		case "Account.webhook":
			return s.fill(`id: "<Hook>"`)
		case "Webhook.deliveries":
			return s.fill(`filter: {eventId: "<Event>"}`)
		case "WebhookMutations.deleteWebhook":
			s.hook(t, s.owner, "Doomed", "*")
			return s.fill(`input: {id: "<Doomed>"}`)
		case "ApiTokenMutations.revokeApiTokens":
			if way.first(func(st step) bool { return st.name() == "RevokeApiTokensResult.issuedTokensToReview" }) >= 0 {
				s.heir(t)
			}
			return s.fill(`input: {ids: ["<Gone>"], waitForReplicas: true}`) // a repeat: the others are needed
		case "UserMutations.createUser", "UserMutations.createUserWithPassword", "UserMutations.removeUserFromStore":
			*s.times++
			return s.fill(strings.NewReplacer("made@", fmt.Sprintf("made%d@", *s.times), "<user1>",
				fmt.Sprintf("<user%d>", *s.times%2),
				"<store1>", fmt.Sprintf("<store%d>", *s.times/2%3)).Replace(effective[st.name()]))
		}
		return s.effect(st)
	}
}

// keepHook gives the world the webhook "<Hook>", which has been failing, with a delivery that was attempted.
func (w *tenants) keepHook(t *testing.T) {
	t.Helper()
	hook := w.hook(t, w.owner, "Hook", "webhook.*").Webhook
	sent, err := w.Webhooks.SendTest(t.Context(), w.owner, hook.ID)
	if err != nil {
		t.Fatal(err)
	}
	w.names["<Event>"] = "bc/account/event/" + sent.ID.String()
	exec := func(statement string) {
		in := func(at string) string {
			return strings.NewReplacer("@account", "'"+w.home.Account.ID.String()+"'",
				"@hook", "'"+hook.ID.String()+"'", "@event", "'"+sent.ID.String()+"'", "@at", at).Replace(statement)
		}
		dbtest.Exec(t, w.URL, in("1767225600000000"), in("to_timestamp(1767225600)"))
	}
	exec("UPDATE webhooks SET failing_since = @at, state_reason = 'Gone.' WHERE id = @hook")
	exec(`INSERT INTO attempts (account_id, webhook_id, event_id, number, at, status, duration_ms, error, response_head)
		VALUES (@account, @hook, @event, 1, @at, 500, 20, 'The receiver answered 500.', 'oops')`)
}

// heir issues a token that looks as if the one that is revoked had issued it.
func (w *tenants) heir(t *testing.T) {
	t.Helper()
	issued := w.issue(t, w.owner, w.home, request{name: "Heir", scopes: []string{"account_read"}})
	update := "UPDATE api_tokens SET created_by_kind = 'API_TOKEN', created_by_id = '" + w.fill("<Gone.uuid>") +
		"' WHERE id = '" + issued.Token.ID.String() + "'"
	dbtest.Exec(t, w.URL, update, update)
}

// leaver is the address of a new user of the account, who created one of its tokens.
func (w *tenants) leaver(t *testing.T) string {
	t.Helper()
	email := uuid.NewString() + "@acme.example"
	report, err := w.Memberships.Provision(t.Context(), w.robot,
		membership.ProvisionRequest{Users: []membership.ProvisionItem{{Email: email, FirstName: new("A"),
			LastName: new("Leaver")}}})
	if err != nil {
		t.Fatal(err)
	}
	as := *w.owner
	as.ID, as.Name = report.Items[0].Person.ID, email
	as.Credential, as.NoCredential = auth.Credential{}, "a test"
	w.issue(t, &as, w.home, request{name: "The leaver's", scopes: []string{"account_read"}})
	return email
}

// deactivated adds a user to the first store who is deactivated, and the newest user of the account and the store.
func (w *tenants) deactivated(t *testing.T) user.Person {
	t.Helper()
	email := uuid.NewString() + "@acme.example"
	report, err := w.Memberships.Provision(t.Context(), w.robot, membership.ProvisionRequest{
		Users: []membership.ProvisionItem{{Email: email, Role: new(user.SalesStaff),
			Stores: []account.StoreRef{{ID: w.home.Stores[0].ID}}}}})
	if err != nil {
		t.Fatal(err)
	}
	done, err := w.Memberships.Deactivate(t.Context(), w.robot,
		membership.Deactivation{User: user.Ref{ID: &report.Items[0].Person.ID}})
	if err != nil {
		t.Fatal(err)
	}
	return done.Person
}

// tokenWith names the token that has a value where the route leads.
func tokenWith(way route) string {
	for _, s := range way {
		switch s.name() {
		case "ApiToken.store":
			return "<Till>"
		case "ApiToken.chargeLimit":
			return "<Limited>"
		case "ApiToken.allowedIpRanges":
			return "<Fresh>"
		case "ApiToken.revokedAt", "ApiToken.revokedBy", "ApiToken.revocationReason":
			return "<Gone>"
		case "AccessToken.expiresAt":
			return "<Rotating>"
		}
	}
	return "<Old One>"
}

// hasValue says whether there is anything but null at the end of the route, in any entry of its lists.
func hasValue(data any, way route) bool {
	if list, is := data.([]any); is {
		return slices.ContainsFunc(list, func(entry any) bool { return hasValue(entry, way) })
	}
	if len(way) == 0 {
		return data != nil
	}
	object, is := data.(map[string]any)
	return is && hasValue(object[way[0].field.Name], way[1:])
}
