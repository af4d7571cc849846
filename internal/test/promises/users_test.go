package promises_test

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	dbtest "latchkey/internal/test/db"
)

// userMutation returns the named mutation of a group, with an input type named after it.
func userMutation(group, name string) string {
	input := strings.ToUpper(name[:1]) + name[1:] + "Input!"
	return "mutation($in: " + input + ") { " + group + " { " + name + "(input: $in) { __typename } } }"
}

// Every change of a membership or its permissions writes one event. A mutation that changes nothing writes none
// (docs/promises.md: 5).
func TestEveryChangeOfUsersIsAudited(t *testing.T) {
	eachDeployment(t, func(t *testing.T, h *deployment) {
		n := h.serve()
		owner, shop := h.session(acmeOwner), h.session(shopOwner)
		made := n.issue(owner, acme, vars{"name": "Provisioning",
			"scopes": []string{"account_users_write", "account_users_delete", "account_users_read"}})
		const ip, ann, store = "203.0.113.9", "ann@acme.example", "acme2eu"
		byOwner, byStoreOwner, byToken := actor("USER", acmeOwner, ip), actor("USER", shopOwner, ip),
			actor("API_TOKEN", "Provisioning", ip)
		send := func(token, mutation string, in vars) func() answer {
			return func() answer { return n.from(ip, token, mutation, in) }
		}
		create, permissions, status := userMutation("user", "createUser"),
			userMutation("user", "setStoreUserPermissions"), userMutation("user", "setStoreUserStatus")
		person := vars{"email": ann, "firstName": "Ann", "lastName": "Ames", "locale": "en"}
		n.must(made.access, acme, create, vars{"in": person})
		id := h.userID(n, owner, ann)
		at := func(more vars) vars {
			in := vars{"storeId": store, "userId": id}
			for name, value := range more {
				in[name] = value
			}
			return in
		}
		// Accepts the membership, so that Ann can own a store.
		h.session(ann)
		// Not the owner, who changes during the test.
		auditor := n.issue(owner, acme, vars{"name": "Auditor", "scopes": []string{"account_audit_read"}}).access
		seen := len(n.events(auditor, acme))
		for _, d := range []auditCase{
			{"created again", send(made.access, create, person), event{}, 0},
			{"another, with a password", send(owner, userMutation("user", "createUserWithPassword"),
				vars{"email": "bob@acme.example", "firstName": "Bob", "lastName": "B",
					"locale": "en", "password": "a long sentence", "passwordConfirmation": "a long sentence"}),
				byOwner.with("*", "bob@acme.example"), 2},
			{"added to the account", send(made.access, userMutation("account", "addUserToAccount"),
				vars{"email": globexOwner}), byToken.with("user.added", globexOwner), 1},
			{"the same again", send(made.access, userMutation("account", "addUserToAccount"),
				vars{"email": globexOwner}), event{}, 0},
			{"added to a store", send(shop, userMutation("user", "addUserToStore"),
				vars{"storeId": store, "user": vars{"id": id}}), byStoreOwner.with("store_user.added", ann), 1},
			{"the same again", send(made.access, userMutation("user", "addUserToStore"),
				vars{"storeId": store, "user": vars{"email": ann}}), event{}, 0},
			{"renamed", send(made.access, userMutation("user", "updateUser"),
				vars{"userId": id, "lastName": "Avis", "externalId": "hr-1"}), byToken.with("user.updated", ann), 1},
			{"renamed to the same name", send(made.access, userMutation("user", "updateUser"),
				vars{"userId": id, "lastName": "Avis"}), event{}, 0},
			{"granted permissions", send(shop, permissions,
				at(vars{"permissions": []string{"Create_Store_API_Tokens"}})),
				byStoreOwner.with("store_user.updated", ann), 1},
			{"granted the same permissions", send(shop, permissions,
				at(vars{"permissions": []string{"Create_Store_API_Tokens"}})), event{}, 0},
			{"high-risk permissions removed by a token",
				send(made.access, permissions, at(vars{"permissions": []string{}})), event{}, 0},
			{"deactivated", send(made.access, status, at(vars{"status": "INACTIVE"})),
				byToken.with("store_user.updated", ann), 1},
			{"activated without permission", send(made.access, status, at(vars{"status": "ACTIVE"})), event{}, 0},
			{"removed from the store", send(made.access, userMutation("user", "removeUserFromStore"), at(nil)),
				byToken.with("store_user.removed", ann), 1},
			{"the store's owner removed from it",
				send(owner, userMutation("user", "removeUserFromStore"),
					vars{"storeId": store, "userId": h.userID(n, owner, shopOwner)}), event{}, 0},
			{"the store transferred", send(shop, userMutation("account", "transferOwnership"), at(nil)),
				byStoreOwner.with("*", "*"), 4},
			{"the account transferred without permission",
				send(shop, userMutation("account", "transferOwnership"), vars{"userId": id}), event{}, 0},
			{"the account transferred", send(owner, userMutation("account", "transferOwnership"), vars{"userId": id}),
				byOwner.with("*", "Acme Retail"), 2},
		} {
			t.Run(d.name, func(t *testing.T) { seen += n.expect(t, d, auditor, seen) })
		}
	})
}

// userID returns the ID of a user of Acme.
func (h *deployment) userID(n *node, owner, email string) string {
	h.t.Helper()
	a := n.must(owner, acme,
		`query($e: [String!]) { account { users(filter: {emails: $e}) { edges { node { id } } } } }`,
		vars{"e": []string{email}})
	return a.text("account.users.edges.0.node.id")
}

// A password appears in the request only. It is not in the response, whether the password is accepted or refused and
// however the request is malformed, nor in the log, the tables or the database's files (docs/promises.md: 1).
func TestAPasswordIsNeverStored(t *testing.T) {
	eachDeployment(t, func(t *testing.T, h *deployment) {
		n := h.serve()
		owner := h.session(acmeOwner)
		const chosen, typed = "correct horse 8c1f battery", "correct hxrse 8c1f battery"
		const named, numeric = "DefSecret8c1f", "98765432107"
		mutation := userMutation("user", "createUserWithPassword")
		in := func(email string, password, confirmation any) vars {
			return vars{"email": email, "firstName": "Ann", "lastName": "Ames", "locale": "en", "password": password,
				"passwordConfirmation": confirmation}
		}
		quoted := `mutation { user { createUserWithPassword(input: {email: "carl@acme.example", firstName: "C", lastName: "C", locale: "en",
			password: "` + chosen + `", passwordConfirmation: "` + chosen + `"%s}) { user { id } } } }`
		shown := n.must(owner, acme, mutation, vars{"in": in("ann@acme.example", chosen, chosen)}).body
		shown += n.must(owner, acme, strings.Replace(quoted, "%s", "", 1), nil).body
		for name, a := range map[string]answer{
			"an address in use": n.ask(owner, acme, mutation,
				vars{"in": in("ann@acme.example", chosen, chosen)}),
			"two different passwords": n.ask(owner, acme, mutation,
				vars{"in": in("bob@acme.example", chosen, typed)}),
			"a too long password": n.ask(owner, acme, mutation,
				vars{"in": in("bob@acme.example", strings.Repeat(chosen, 20), chosen)}),
			"a password of another type": n.ask(owner, acme, mutation,
				vars{"in": in("bob@acme.example", vars{"is": chosen}, []string{chosen})}),
			"a list of inputs": n.ask(owner, acme, mutation,
				vars{"in": []vars{in("bob@acme.example", chosen, chosen)}}),
			"an unknown field": n.ask(owner, acme, strings.Replace(quoted, "%s", ", pin: 1", 1), nil),
			"not GraphQL":      n.ask(owner, acme, strings.Replace(quoted, "%s", "} {", 1), nil),
			"without permission": n.ask(h.session(globexOwner), acme, mutation,
				vars{"in": in("bob@acme.example", chosen, chosen)}),
		} {
			if len(a.Errors) == 0 {
				t.Errorf("%s: got %s, want errors", name, a.body)
			}
			shown += a.body
		}
		// The password as other things than a string in the document: a name, numbers, in a list, as a field, at a
		// syntax error, as a default.
		for _, literal := range []string{named, numeric, numeric + ".5", numeric + numeric,
			`["` + chosen + `", ` + named + `]`, `{` + named + `: "` + chosen + `"}`, `"x" "` + chosen + `"`,
			`"x" ` + numeric} {
			shown += n.ask(owner, acme, strings.Replace(strings.Replace(quoted, `"`+chosen+`"`, literal, 1), "%s", "",
				1), nil).body
		}
		for _, byDefault := range []string{named, numeric, `["` + chosen + `"]`} {
			shown += n.ask(owner, acme, "query($p: String! = "+byDefault+") { viewer { kind } }", nil).body
		}
		n.stop()
		texts := h.files(t)
		texts["an answer"], texts["the server's output"], texts["a table"] = shown, n.printed(), dbtest.Dump(t, h.url)
		if !strings.Contains(texts["a table"], "$argon2id$v=19$m=19456,t=2,p=1$") {
			t.Error("the table of users: got no hash of the chosen parameters, want argon2id")
		}
		for where, text := range texts {
			for _, password := range []string{chosen, typed, named, numeric} {
				for _, form := range []string{password, hex.EncodeToString([]byte(password)),
					base64.RawStdEncoding.EncodeToString([]byte(password))[:14]} {
					if strings.Contains(text, form) {
						t.Errorf("a password is in %s, want none", where)
					}
				}
			}
		}
	})
}
