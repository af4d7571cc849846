package promise_test

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"latchkey/internal/dbtest"
)

// people is a mutation about people, with an input of its type.
func people(group, name string) string {
	input := strings.ToUpper(name[:1]) + name[1:] + "Input!"
	return "mutation($in: " + input + ") { " + group + " { " + name + "(input: $in) { __typename } } }"
}

// Every change of who is where, and of what they may do, is one event; what changes nothing is none (mission: promise 5).
func TestEveryChangeOfPeopleIsAudited(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		n := h.serve()
		owner, shop := h.session(acmeOwner), h.session(shopOwner)
		made := n.issue(owner, acme, vars{"name": "Provisioning", "scopes": []string{"account_users_write", "account_users_delete", "account_users_read"}})
		const ip, ann, store = "203.0.113.9", "ann@acme.example", "acme2eu"
		byOwner, byShop, byToken := actor("USER", acmeOwner, ip), actor("USER", shopOwner, ip), actor("API_TOKEN", "Provisioning", ip)
		send := func(token, mutation string, in vars) func() answer {
			return func() answer { return n.from(ip, token, mutation, in) }
		}
		create, permissions, status := people("user", "createUser"), people("user", "setStoreUserPermissions"), people("user", "setStoreUserStatus")
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
		h.session(ann)                                                                                            // accepts, so that she can own something
		auditor := n.issue(owner, acme, vars{"name": "Auditor", "scopes": []string{"account_audit_read"}}).access // the owner changes
		told := len(n.events(auditor, acme))
		for _, d := range []deed{
			{"created again", send(made.access, create, person), event{}, 0},
			{"another, with a password", send(owner, people("user", "createUserWithPassword"), vars{"email": "bob@acme.example", "firstName": "Bob", "lastName": "B",
				"locale": "en", "password": "a long sentence", "passwordConfirmation": "a long sentence"}), byOwner.did("*", "bob@acme.example"), 2},
			{"added to the account", send(made.access, people("account", "addUserToAccount"), vars{"email": globexOwner}), byToken.did("user.added", globexOwner), 1},
			{"and again", send(made.access, people("account", "addUserToAccount"), vars{"email": globexOwner}), event{}, 0},
			{"added to a store", send(shop, people("user", "addUserToStore"), vars{"storeId": store, "user": vars{"id": id}}), byShop.did("user.added", ann), 1},
			{"and again", send(made.access, people("user", "addUserToStore"), vars{"storeId": store, "user": vars{"email": ann}}), event{}, 0},
			{"renamed", send(made.access, people("user", "updateUser"), vars{"userId": id, "lastName": "Avis", "externalId": "hr-1"}), byToken.did("user.updated", ann), 1},
			{"renamed the same", send(made.access, people("user", "updateUser"), vars{"userId": id, "lastName": "Avis"}), event{}, 0},
			{"given permissions", send(shop, permissions, at(vars{"permissions": []string{"Create_Store_API_Tokens"}})), byShop.did("user.updated", ann), 1},
			{"the same ones", send(shop, permissions, at(vars{"permissions": []string{"Create_Store_API_Tokens"}})), event{}, 0},
			{"which no program takes", send(made.access, permissions, at(vars{"permissions": []string{}})), event{}, 0},
			{"deactivated", send(made.access, status, at(vars{"status": "INACTIVE"})), byToken.did("user.updated", ann), 1},
			{"activated by who may not", send(made.access, status, at(vars{"status": "ACTIVE"})), event{}, 0},
			{"taken out of the store", send(made.access, people("user", "removeUserFromStore"), at(nil)), byToken.did("user.removed", ann), 1},
			{"the store's owner taken out of it", send(owner, people("user", "removeUserFromStore"), vars{"storeId": store, "userId": h.userID(n, owner, shopOwner)}), event{}, 0},
			{"the store given to another", send(shop, people("account", "transferOwnership"), at(nil)), byShop.did("ownership.transferred", "Acme EU"), 1},
			{"the account given by who may not", send(shop, people("account", "transferOwnership"), vars{"userId": id}), event{}, 0},
			{"the account given", send(owner, people("account", "transferOwnership"), vars{"userId": id}), byOwner.did("ownership.transferred", "Acme Retail"), 1},
		} {
			t.Run(d.name, func(t *testing.T) { told += n.expect(t, d, auditor, told) })
		}
	})
}

// userID is the id of a person of Acme.
func (h *house) userID(n *node, owner, email string) string {
	h.t.Helper()
	a := n.must(owner, acme, `query($e: [String!]) { account { users(filter: {emails: $e}) { edges { node { id } } } } }`, vars{"e": []string{email}})
	return a.text("account.users.edges.0.node.id")
}

// A password is nowhere but in the request: not in the answer, whether it was taken or refused and whatever is wrong with
// the request, nor in the log, the tables, the database's files (mission: promise 1).
func TestAPasswordIsKeptNowhere(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		n := h.serve()
		owner := h.session(acmeOwner)
		const chosen, typed = "correct horse 8c1f battery", "correct hxrse 8c1f battery"
		const named, numeric = "DefSecret8c1f", "98765432107"
		mutation := people("user", "createUserWithPassword")
		in := func(email string, password, confirmation any) vars {
			return vars{"email": email, "firstName": "Ann", "lastName": "Ames", "locale": "en", "password": password, "passwordConfirmation": confirmation}
		}
		quoted := `mutation { user { createUserWithPassword(input: {email: "carl@acme.example", firstName: "C", lastName: "C", locale: "en",
			password: "` + chosen + `", passwordConfirmation: "` + chosen + `"%s}) { user { id } } } }`
		shown := n.must(owner, acme, mutation, vars{"in": in("ann@acme.example", chosen, chosen)}).body
		shown += n.must(owner, acme, strings.Replace(quoted, "%s", "", 1), nil).body
		for name, a := range map[string]answer{
			"an address that is taken":  n.ask(owner, acme, mutation, vars{"in": in("ann@acme.example", chosen, chosen)}),
			"two that differ":           n.ask(owner, acme, mutation, vars{"in": in("bob@acme.example", chosen, typed)}),
			"one that is too long":      n.ask(owner, acme, mutation, vars{"in": in("bob@acme.example", strings.Repeat(chosen, 20), chosen)}),
			"one of another type":       n.ask(owner, acme, mutation, vars{"in": in("bob@acme.example", vars{"is": chosen}, []string{chosen})}),
			"a list of inputs":          n.ask(owner, acme, mutation, vars{"in": []vars{in("bob@acme.example", chosen, chosen)}}),
			"a field that is not there": n.ask(owner, acme, strings.Replace(quoted, "%s", ", pin: 1", 1), nil),
			"no GraphQL":                n.ask(owner, acme, strings.Replace(quoted, "%s", "} {", 1), nil),
			"whoever may not":           n.ask(h.session(globexOwner), acme, mutation, vars{"in": in("bob@acme.example", chosen, chosen)}),
		} {
			if len(a.Errors) == 0 {
				t.Errorf("%s: nothing is wrong: %s", name, a.body)
			}
			shown += a.body
		}
		// As what is no string, in the document: a name, numbers, in a list, as a field, where a document cannot go on, by default.
		for _, literal := range []string{named, numeric, numeric + ".5", numeric + numeric, `["` + chosen + `", ` + named + `]`, `{` + named + `: "` + chosen + `"}`, `"x" "` + chosen + `"`, `"x" ` + numeric} {
			shown += n.ask(owner, acme, strings.Replace(strings.Replace(quoted, `"`+chosen+`"`, literal, 1), "%s", "", 1), nil).body
		}
		for _, byDefault := range []string{named, numeric, `["` + chosen + `"]`} {
			shown += n.ask(owner, acme, "query($p: String! = "+byDefault+") { viewer { kind } }", nil).body
		}
		n.stop()
		texts := h.files(t)
		texts["an answer"], texts["the server's output"], texts["a table"] = shown, n.printed(), dbtest.Dump(t, h.url)
		if !strings.Contains(texts["a table"], "$argon2id$v=19$m=19456,t=2,p=1$") {
			t.Error("the passwords are not kept as argon2id")
		}
		for where, text := range texts {
			for _, password := range []string{chosen, typed, named, numeric} {
				for _, form := range []string{password, hex.EncodeToString([]byte(password)), base64.RawStdEncoding.EncodeToString([]byte(password))[:14]} {
					if strings.Contains(text, form) {
						t.Errorf("a password stands in %s", where)
					}
				}
			}
		}
	})
}
