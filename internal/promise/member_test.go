package promise_test

import (
	"regexp"
	"strings"
	"testing"

	"latchkey/internal/dbtest"
)

// Two addresses of one length: nobody has the first, and the second is that of somebody whom another account knows.
const freshAddress, knownAddress = "fresh@person.example", "known@person.example"

var varying = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[0-9:.]+Z|"(cursor|requestId)":"[^"]*"`)

// alike is an answer without what differs between any two people: address, ids and times.
func alike(a answer, email string) string {
	body, _, _ := strings.Cut(a.body, "\n")
	return varying.ReplaceAllString(strings.ReplaceAll(body, email, "ADDRESS"), "*")
}

// userFields are all fields of a user but for those of the account.
const userFields = `{ id email firstName lastName locale pending externalId createdAt updatedAt stores { edges { node { status permissions role lastLoginAt updatedAt } } collectionInfo { totalItems } } }`

// member is what a house's account does about a person by address, one request after the other.
func member(n *node, token, email string) []string {
	var told []string
	note := func(query string, v vars) answer {
		a := n.ask(token, acme, query, v)
		told = append(told, alike(a, email))
		return a
	}
	in := func(group, name string, of vars) { note(people(group, name), vars{"in": of}) }
	provision := `mutation($in: ProvisionUsersInput!) { account { provisionUsers(input: $in) { items { email action user ` + userFields + ` changes { field before after } field code message } counts { created added updated unchanged failed } } } }`
	deprovision := strings.NewReplacer("ProvisionUsersInput", "DeprovisionUsersInput", "provisionUsers", "deprovisionUsers").Replace(provision)
	listed := `query($e: [String!]) { account { users(filter: {emails: $e}) { edges { cursor node ` + userFields + ` } collectionInfo { totalItems } } } }`
	stores := `{ account { users(first: 50) { edges { node { email pending } } } stores { edges { node { users { edges { node { id email firstName lastName locale pending status permissions role lastLoginAt updatedAt } } } } } } } }`
	events := `query($id: ID!) { account { auditEvents(first: 100, filter: {targetId: $id}) { edges { node { action actor { kind name } targetName details { name value } } } } } }`
	one := func(more vars) []vars {
		item := vars{"email": email}
		for name, value := range more {
			item[name] = value
		}
		return []vars{item}
	}
	for _, dry := range []bool{true, false} {
		note(provision, vars{"in": vars{"users": one(vars{"firstName": "P", "stores": []string{"acme1us"}, "role": "SALES_STAFF"}), "dryRun": dry}})
		note(listed, vars{"e": []string{email}})
	}
	note(stores, nil)
	note(provision, vars{"in": vars{"users": one(vars{"firstName": "P", "lastName": "Q"})}})
	note(deprovision, vars{"in": vars{"users": one(nil), "dryRun": true}})
	note(deprovision, vars{"in": vars{"users": one(nil)}})
	in("account", "addUserToAccount", vars{"email": email})
	note(listed, vars{"e": []string{email}})
	in("user", "createUser", vars{"email": email, "firstName": "A", "lastName": "B", "locale": "en"})
	in("account", "removeUserFromAccount", vars{"email": email})
	in("user", "addUserToStore", vars{"storeId": "acme2eu", "user": vars{"email": email}})
	in("account", "removeUserFromAccount", vars{"email": email})
	in("user", "createUser", vars{"email": email, "firstName": "A", "lastName": "B", "locale": "de"})
	a := note(listed, vars{"e": []string{email}})
	_, afterID, _ := strings.Cut(a.body, "bc/account/user/")
	id := "bc/account/user/" + varying.FindString(afterID)
	note("query($id: ID!) { node(id: $id) { ... on User "+userFields+" } }", vars{"id": id})
	in("user", "addUserToStore", vars{"storeId": "acme1us", "user": vars{"email": email, "id": id}})
	in("user", "setStoreUserPermissions", vars{"storeId": "acme1us", "userId": id, "permissions": []string{"Add_Pages"}})
	in("user", "setStoreUserStatus", vars{"storeId": "acme1us", "userId": id, "status": "INACTIVE"})
	in("user", "updateUser", vars{"userId": id, "lastName": "C", "externalId": "hr"})
	in("account", "transferOwnership", vars{"userId": id})
	in("user", "removeUserFromStore", vars{"storeId": "acme1us", "userId": id})
	note(listed, vars{"e": []string{email}})
	note(stores, nil)
	note(deprovision, vars{"in": vars{"users": one(nil)}})
	in("user", "createUserWithPassword", vars{"email": email, "firstName": "A", "lastName": "B", "locale": "en", "password": "a long sentence", "passwordConfirmation": "a long sentence"})
	note(listed, vars{"e": []string{email}})
	note(deprovision, vars{"in": vars{"users": one(nil)}})
	note(events, vars{"id": id})
	return told
}

// Nothing that an account reads or does tells whether another account knows a person (mission: promise 4).
func TestNothingTellsWhoIsKnownElsewhere(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		n := h.serve()
		there := h.session(globexOwner)
		n.must(there, globex, people("user", "createUserWithPassword"), vars{"in": vars{"email": strings.ToUpper(knownAddress), "firstName": "Known", "lastName": "Person",
			"locale": "fr", "password": "a long sentence", "passwordConfirmation": "a long sentence"}})
		h.run("", "session", "create", "--email", knownAddress) // accepts
		here := h.session(acmeOwner)
		fresh, known := member(n, here, freshAddress), member(n, here, knownAddress)
		for i := range fresh {
			if fresh[i] != known[i] {
				t.Errorf("answer %d differs:\n%s\n%s", i, fresh[i], known[i])
			}
			if strings.Contains(fresh[i], "INTERNAL") {
				t.Errorf("answer %d: %s", i, fresh[i])
			}
		}
	})
}

// No account sees or changes what another has recorded of a person, and none takes a person over from another.
func TestNoAccountReachesWhatAnotherRecorded(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		n := h.serve()
		employer, other := h.session(globexOwner), h.session(acmeOwner)
		// The other account has the address first, with a name and a password of its own.
		n.must(other, acme, people("user", "createUserWithPassword"), vars{"in": vars{"email": knownAddress, "firstName": "Squatted", "lastName": "Name",
			"locale": "en", "password": "a long sentence", "passwordConfirmation": "a long sentence"}})
		n.must(employer, globex, people("user", "createUser"), vars{"in": vars{"email": knownAddress, "firstName": "Known", "lastName": "Person", "locale": "fr"}})
		listed := `query($e: [String!]) { account { users(filter: {emails: $e}) { edges { node { id firstName lastName locale pending } } } } }`
		read := func(token, account string) (id, body string) {
			a := n.must(token, account, listed, vars{"e": []string{knownAddress}})
			body, _, _ = strings.Cut(a.body, "\n")
			return "bc/account/user/" + varying.FindString(body), varying.ReplaceAllString(body, "*")
		}
		theirs, before := read(employer, globex)
		ours, _ := read(other, acme)
		if theirs == ours {
			t.Fatalf("both accounts know the person as %s", ours)
		}
		if !strings.Contains(before, `"firstName":"Known","lastName":"Person","locale":"fr","pending":true`) {
			t.Errorf("the employer reads %s", before)
		}
		n.must(other, acme, people("user", "updateUser"), vars{"in": vars{"userId": ours, "firstName": "Renamed", "locale": "de"}})
		wantNowhere(t, "by the other's id", n.ask(other, acme, people("user", "updateUser"), vars{"in": vars{"userId": theirs, "firstName": "Renamed"}}))
		wantNowhere(t, "by the other's id", n.ask(other, acme, people("account", "removeUserFromAccount"), vars{"in": vars{"userId": theirs}}))
		if _, after := read(employer, globex); after != before {
			t.Errorf("the employer reads %s, and read %s", after, before)
		}
		n.must(employer, globex, people("user", "updateUser"), vars{"in": vars{"userId": theirs, "lastName": "Married"}})
		h.run("", "session", "create", "--email", knownAddress, "--account", globex)
		n.must(other, acme, people("account", "removeUserFromAccount"), vars{"in": vars{"userId": ours}})
		if _, after := read(employer, globex); !strings.Contains(after, `"lastName":"Married","locale":"fr","pending":false`) {
			t.Errorf("the employer reads %s", after)
		}
	})
}

// A pending membership gives no rights, whatever permissions it has: no session, and so nothing of the store or the API.
func TestPendingGivesNoRights(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		n := h.serve()
		owner := h.session(acmeOwner)
		n.must(owner, acme, `mutation($in: ProvisionUsersInput!) { account { provisionUsers(input: $in) { counts { created } } } }`,
			vars{"in": vars{"users": []vars{{"email": freshAddress, "stores": []string{"acme1us"}, "permissions": []string{"Create_Store_API_Tokens", "Manage_Users"}}}}})
		session := h.session(freshAddress) // accepts
		if !n.works(session, acme) {
			t.Fatal("a session that the operator started does not work")
		}
		h.pending(freshAddress)
		if n2 := h.serve(); n2.works(session, acme) {
			t.Error("a session works although the membership is pending")
		}
	})
}

// pending makes a membership of Acme's pending again, which nothing but the database can.
func (h *house) pending(email string) {
	h.t.Helper()
	statement := "UPDATE account_users SET accepted_at = NULL WHERE email_folded = '" + email + "'"
	dbtest.Exec(h.t, h.url, statement, statement)
}
