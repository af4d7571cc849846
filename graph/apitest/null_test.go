package apitest_test

import (
	"strings"
	"testing"
)

// A variable that was declared and not sent leaves its field out; null is null.
func TestVariableThatWasNotSentLeavesItsFieldOut(t *testing.T) {
	const change = `mutation($id: ID!, $f: String, $x: String) { user { updateUser(input: {userId: $id, firstName: $f, externalId: $x}) {
		user { firstName externalId } } } }`
	inFragments := `mutation($id: ID!, $f: String, $x: String) { ... { ...F } } fragment F on Mutation { user {
		updateUser(input: {userId: $id, firstName: $f, externalId: $x}) { user { firstName externalId } } } }`
	eachTenants(t, func(t *testing.T, w *tenants) {
		changed := func(name, query string, variables map[string]any, first, external string) scenario {
			variables["id"] = "<user0>"
			return scenario{name: name, by: w.robot, query: query, variables: variables,
				data: `{"user": {"updateUser": {"user": {"firstName": "` + first + `", "externalId": ` + external +
					`}}}}`}
		}
		w.run(t, []scenario{
			changed("both sent", change, map[string]any{"f": "Ada", "x": "hr-77"}, "Ada", `"hr-77"`),
			changed("external id not sent", change, map[string]any{"f": "Grace"}, "Grace", `"hr-77"`),
			changed("first name not sent", change, map[string]any{"x": "hr-78"}, "Grace", `"hr-78"`),
			changed("in fragments", inFragments, map[string]any{"f": "Ada"}, "Ada", `"hr-78"`),
			changed("a default", strings.Replace(change, "$x: String", `$x: String = "hr-79"`, 1),
				map[string]any{"f": "Ada"}, "Ada", `"hr-79"`),
			changed("null where that clears", change, map[string]any{"f": nil, "x": nil}, "Ada", `null`),
		})
	})
}

// A variable that is wrong is refused before anything runs.
func TestWrongVariableOfTheSecondMutationStopsTheFirst(t *testing.T) {
	const create = `mutation($expires: DateTime, $ids: [ID!]!) { apiToken {
		a: createApiToken(input: {name: "First", scopes: ["account_users_read"]}) { apiToken { id } }
		b: createApiToken(input: {name: "Second", scopes: ["account_users_read"], expiresAt: $expires}) { apiToken { id } }
		c: revokeApiTokens(input: {ids: $ids}) { revokedIds } } }`
	const list = `{ account { apiTokens { edges { node { name } } } } }`
	eachTenants(t, func(t *testing.T, w *tenants) {
		for _, s := range []scenario{
			{name: "a DateTime", query: create, variables: map[string]any{"expires": "soon", "ids": []any{"<user0>"}},
				errors: []string{`: INVALID expires: Variable $expires: "soon" is not of type DateTime. A DateTime is a string in RFC 3339: 2026-01-31T09:30:00Z.`}},
			{name: "an ID", query: create, variables: map[string]any{"ids": []any{true}},
				errors: []string{`: INVALID ids.0: Variable $ids.0: true is not of type ID. An ID is a string or a whole number.`}},
			{name: "a literal", query: strings.NewReplacer("$expires: DateTime, ", "", "$expires}",
				`"soon"}`).Replace(create), variables: map[string]any{"ids": []any{"<user0>"}},
				errors: []string{": INVALID input.expiresAt: A DateTime is a string in RFC 3339: 2026-01-31T09:30:00Z."}},
		} {
			s.by = w.owner
			t.Run(s.name, func(t *testing.T) {
				w.check(t, s)
				w.check(t, scenario{by: w.owner, query: list, lacks: []string{"First"}})
			})
		}
	})
}
