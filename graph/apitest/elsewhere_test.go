package apitest_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"latchkey/internal/auth"
	"latchkey/internal/test/check"
)

// elsewhereSteps are all ways to bring the person of an address, $e, into the account, each with its result read back.
var elsewhereSteps = []struct{ name, query string }{
	{"provision, dry run", provisionElsewhere("true")},
	{"provision", provisionElsewhere("false")},
	{"provision again", provisionElsewhere("false")},
	{"deprovision",
		`mutation($e: String!) { account { deprovisionUsers(input: {users: [{email: $e}]}) { items { action code message } } } }`},
	{"add to the account", `mutation($e: String!) { account { addUserToAccount(input: {email: $e}) { __typename } } }`},
	{"remove",
		`mutation($e: String!) { account { deprovisionUsers(input: {users: [{email: $e}]}) { items { action code message } } } }`},
	{"add to a store",
		`mutation($e: String!) { user { addUserToStore(input: {storeId: "<store0>", user: {email: $e}}) { __typename } } }`},
	{"remove once more",
		`mutation($e: String!) { account { deprovisionUsers(input: {users: [{email: $e}]}) { items { action code message } } } }`},
	{"create",
		`mutation($e: String!) { user { createUser(input: {email: $e, firstName: "A", lastName: "B", locale: "en"}) { user { id email pending } } } }`},
	{"create again",
		`mutation($e: String!) { user { createUser(input: {email: $e, firstName: "A", lastName: "B", locale: "en"}) { user { id email pending } } } }`},
	{"remove a third time",
		`mutation($e: String!) { account { deprovisionUsers(input: {users: [{email: $e}]}) { items { action code message } } } }`},
	{"create with a password", `mutation($e: String!) { user { createUserWithPassword(input: {email: $e, firstName: "A", lastName: "B", locale: "en",
		password: "a long sentence", passwordConfirmation: "a long sentence"}) { user { id email pending } } } }`},
	{"read",
		`query($e: String!) { account { users(filter: {emails: [$e]}) { edges { node { id email firstName lastName locale externalId pending createdAt } } } } }`},
}

func provisionElsewhere(dry string) string {
	return `mutation($e: String!) { account { provisionUsers(input: {users: [{email: $e, firstName: "A", lastName: "B", externalId: "hr-7", stores: ["<store0>"], role: SALES_STAFF}], dryRun: ` +
		dry + `}) { items { action field code message user { id email pending } changes { field before after } } } } }`
}

var variesByPerson = regexp.MustCompile(
	`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[0-9:.]+Z|request-\d+`)

// trail is what the steps leave of an address: answers, statements, and the account's audit events.
func (w *tenants) trail(t *testing.T, by *auth.Principal, email string) []string {
	t.Helper()
	total := func() int {
		var got struct {
			Account struct {
				AuditEvents struct{ CollectionInfo struct{ TotalItems int } }
			}
		}
		w.ask(t, w.home.Account.ID, by, `{ account { auditEvents { collectionInfo { totalItems } } } }`, nil).into(t,
			&got)
		return got.Account.AuditEvents.CollectionInfo.TotalItems
	}
	var trail []string
	add := func(name, text string) {
		text = strings.ReplaceAll(text, email, "ADDRESS")
		trail = append(trail, name+": "+variesByPerson.ReplaceAllString(text, "*"))
	}
	before := total()
	for _, step := range elsewhereSteps {
		w.statements.Take()
		got := w.ask(t, w.home.Account.ID, by, w.fill(step.query), map[string]any{"e": email})
		statements := w.statements.Take()
		add(step.name, got.text)
		add(step.name+", statements", strings.Join(statements, "\n"))
		if strings.Contains(got.text, "INTERNAL") || len(statements) == 0 {
			t.Errorf("%s: got %d statements, %s, want at least one and no internal error", step.name, len(statements),
				got.text)
		}
	}
	events := w.ask(t, w.home.Account.ID, by, fmt.Sprintf(`{ account { auditEvents(first: %d) { edges { node { action actor { kind name }
		targetName details { name value } } } } } }`, total()-before), nil)
	add("events", events.text)
	return trail
}

// Answers, statements and audit events are the same, whether no user has an address, another account invited its
// person, or the person is a member there, with a name and an external id.
func TestAddressKnownElsewhereIsTreatedAlike(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		there := w.session(t, w.away, w.away.Owner)
		member := w.away.Users[1].Email
		for _, query := range []string{
			fmt.Sprintf(
				`mutation { account { provisionUsers(input: {users: [{email: %q, firstName: "Known", externalId: "hr-7"}]}) { counts { updated failed } } } }`, member),
			`mutation { user { createUserWithPassword(input: {email: "invited@there.example", firstName: "K", lastName: "P", locale: "fr",
				password: "a long sentence", passwordConfirmation: "a long sentence"}) { user { id } } } }`,
		} {
			if got := w.ask(t, w.away.Account.ID, there, query, nil); len(got.errors) > 0 ||
				strings.Contains(got.data, `"failed":1`) {
				t.Fatalf("%s: got errors %q, %s, want none, and none failed", query, got.failures(), got.data)
			}
		}
		want := w.trail(t, w.owner, "nobody@there.example")
		events := want[len(want)-1]
		for _, action := range []string{"user.created", "user.added", "user.removed"} {
			if !strings.Contains(events, action) {
				t.Errorf("events: got %s, want %s among them", events, action)
			}
		}
		for _, email := range []string{"invited@there.example", member} {
			got := w.trail(t, w.owner, email)
			for i := range want {
				check.Equal(t, got[i], want[i], "%s differs from an unknown address", email)
			}
		}
	})
}
