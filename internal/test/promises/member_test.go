package promises_test

import (
	"regexp"
	"strings"
	"testing"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// Two addresses of the same length. No user has the first; a user of another account has the second.
const freshAddress, knownAddress = "fresh@person.example", "known@person.example"

var varying = regexp.MustCompile(
	`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[0-9:.]+Z|"(cursor|requestId)":"[^"]*"`)

// normalized returns a response without the values that differ between any two users: address, IDs and times.
func normalized(a answer, email string) string {
	body, _, _ := strings.Cut(a.body, "\n")
	return varying.ReplaceAllString(strings.ReplaceAll(body, email, "ADDRESS"), "*")
}

// userFields selects all fields of a user, but not the user's account.
const userFields = `{ id email firstName lastName locale pending externalId createdAt updatedAt stores { edges { node { status permissions role lastLoginAt updatedAt } } collectionInfo { totalItems } } }`

// memberResponses runs the account's operations on a user, by email address, and returns the responses.
func memberResponses(n *node, token, email string) []string {
	var responses []string
	send := func(query string, v vars) answer {
		a := n.ask(token, acme, query, v)
		responses = append(responses, normalized(a, email))
		return a
	}
	in := func(group, name string, of vars) { send(userMutation(group, name), vars{"in": of}) }
	provision := `mutation($in: ProvisionUsersInput!) { account { provisionUsers(input: $in) { items { email action user ` + userFields + ` changes { field before after } field code message } counts { created added updated unchanged failed } } } }`
	deprovision := strings.NewReplacer("ProvisionUsersInput", "DeprovisionUsersInput", "provisionUsers",
		"deprovisionUsers").Replace(provision)
	listByEmail := `query($e: [String!]) { account { users(filter: {emails: $e}) { edges { cursor node ` + userFields +
		` } collectionInfo { totalItems } } } }`
	stores := `{ account { users(first: 50) { edges { node { email pending } } } stores { edges { node { users { edges { node { id email firstName lastName locale pending status permissions role lastLoginAt updatedAt } } } } } } } }`
	events := `query($id: ID!) { account { auditEvents(first: 100, filter: {targetId: $id}) { edges { node { action actor { kind name } targetName details { name value } } } } } }`
	users := func(more vars) []vars {
		item := vars{"email": email}
		for name, value := range more {
			item[name] = value
		}
		return []vars{item}
	}
	for _, dryRun := range []bool{true, false} {
		send(provision,
			vars{"in": vars{"users": users(vars{"firstName": "P", "stores": []string{"acme1us"},
				"role": "SALES_STAFF"}), "dryRun": dryRun}})
		send(listByEmail, vars{"e": []string{email}})
	}
	send(stores, nil)
	send(provision, vars{"in": vars{"users": users(vars{"firstName": "P", "lastName": "Q"})}})
	send(deprovision, vars{"in": vars{"users": users(nil), "dryRun": true}})
	send(deprovision, vars{"in": vars{"users": users(nil)}})
	in("account", "addUserToAccount", vars{"email": email})
	send(listByEmail, vars{"e": []string{email}})
	in("user", "createUser", vars{"email": email, "firstName": "A", "lastName": "B", "locale": "en"})
	in("account", "removeUserFromAccount", vars{"email": email})
	in("user", "addUserToStore", vars{"storeId": "acme2eu", "user": vars{"email": email}})
	in("account", "removeUserFromAccount", vars{"email": email})
	in("user", "createUser", vars{"email": email, "firstName": "A", "lastName": "B", "locale": "de"})
	a := send(listByEmail, vars{"e": []string{email}})
	_, afterID, _ := strings.Cut(a.body, "bc/account/user/")
	id := "bc/account/user/" + varying.FindString(afterID)
	send("query($id: ID!) { node(id: $id) { ... on User "+userFields+" } }", vars{"id": id})
	in("user", "addUserToStore", vars{"storeId": "acme1us", "user": vars{"email": email, "id": id}})
	in("user", "setStoreUserPermissions", vars{"storeId": "acme1us", "userId": id,
		"permissions": []string{"Add_Pages"}})
	in("user", "setStoreUserStatus", vars{"storeId": "acme1us", "userId": id, "status": "INACTIVE"})
	in("user", "updateUser", vars{"userId": id, "lastName": "C", "externalId": "hr"})
	in("account", "transferOwnership", vars{"userId": id})
	in("user", "removeUserFromStore", vars{"storeId": "acme1us", "userId": id})
	send(listByEmail, vars{"e": []string{email}})
	send(stores, nil)
	send(deprovision, vars{"in": vars{"users": users(nil)}})
	in("user", "createUserWithPassword", vars{"email": email, "firstName": "A", "lastName": "B", "locale": "en",
		"password": "a long sentence", "passwordConfirmation": "a long sentence"})
	send(listByEmail, vars{"e": []string{email}})
	send(deprovision, vars{"in": vars{"users": users(nil)}})
	send(events, vars{"id": id})
	return responses
}

// Nothing that an account reads or does reveals whether another account has a user (docs/promises.md: 4).
func TestNoResponseRevealsUsersOfOtherAccounts(t *testing.T) {
	eachDeployment(t, func(t *testing.T, h *deployment) {
		n := h.serve()
		there := h.session(globexOwner)
		n.must(there, globex, userMutation("user", "createUserWithPassword"),
			vars{"in": vars{"email": strings.ToUpper(knownAddress), "firstName": "Known", "lastName": "Person",
				"locale": "fr", "password": "a long sentence", "passwordConfirmation": "a long sentence"}})
		h.run("", "session", "create", "--email", knownAddress) // accepts
		here := h.session(acmeOwner)
		fresh, known := memberResponses(n, here, freshAddress), memberResponses(n, here, knownAddress)
		for i := range fresh {
			check.Equal(t, fresh[i], known[i], "response %d differs", i)
			if strings.Contains(fresh[i], "INTERNAL") {
				t.Errorf("response %d: got %s, want no internal error", i, fresh[i])
			}
		}
	})
}

// No account sees or changes what another account has recorded of a user, and none can take over another account's
// user.
func TestAccountsDoNotShareUserRecords(t *testing.T) {
	eachDeployment(t, func(t *testing.T, h *deployment) {
		n := h.serve()
		employer, other := h.session(globexOwner), h.session(acmeOwner)
		// The other account registers the address first, with its own name and password.
		n.must(other, acme, userMutation("user", "createUserWithPassword"),
			vars{"in": vars{"email": knownAddress, "firstName": "Squatted", "lastName": "Name",
				"locale": "en", "password": "a long sentence", "passwordConfirmation": "a long sentence"}})
		n.must(employer, globex, userMutation("user", "createUser"),
			vars{"in": vars{"email": knownAddress, "firstName": "Known", "lastName": "Person", "locale": "fr"}})
		listByEmail := `query($e: [String!]) { account { users(filter: {emails: $e}) { edges { node { id firstName lastName locale pending } } } } }`
		read := func(token, account string) (id, body string) {
			a := n.must(token, account, listByEmail, vars{"e": []string{knownAddress}})
			body, _, _ = strings.Cut(a.body, "\n")
			return "bc/account/user/" + varying.FindString(body), varying.ReplaceAllString(body, "*")
		}
		theirs, before := read(employer, globex)
		ours, _ := read(other, acme)
		if theirs == ours {
			t.Fatalf("the user's ID in both accounts: got %s, want two IDs", ours)
		}
		if !strings.Contains(before, `"firstName":"Known","lastName":"Person","locale":"fr","pending":true`) {
			t.Errorf("the employer reads %s, want the user as it was provisioned and pending", before)
		}
		n.must(other, acme, userMutation("user", "updateUser"),
			vars{"in": vars{"userId": ours, "firstName": "Renamed", "locale": "de"}})
		wantNotFound(t, "by the other's id", n.ask(other, acme, userMutation("user", "updateUser"),
			vars{"in": vars{"userId": theirs, "firstName": "Renamed"}}))
		wantNotFound(t, "by the other's id", n.ask(other, acme, userMutation("account", "removeUserFromAccount"),
			vars{"in": vars{"userId": theirs}}))
		if _, after := read(employer, globex); after != before {
			t.Errorf("the employer reads %s, want it unchanged: %s", after, before)
		}
		n.must(employer, globex, userMutation("user", "updateUser"),
			vars{"in": vars{"userId": theirs, "lastName": "Married"}})
		h.run("", "session", "create", "--email", knownAddress, "--account", globex)
		n.must(other, acme, userMutation("account", "removeUserFromAccount"), vars{"in": vars{"userId": ours}})
		if _, after := read(employer, globex); !strings.Contains(after,
			`"lastName":"Married","locale":"fr","pending":false`) {
			t.Errorf("the employer reads %s, want the changed last name and no longer pending", after)
		}
	})
}

// A pending membership gives no rights, even if it lists permissions: no session, and so no access to the store or the
// API.
func TestPendingGivesNoRights(t *testing.T) {
	eachDeployment(t, func(t *testing.T, h *deployment) {
		n := h.serve()
		owner := h.session(acmeOwner)
		n.must(owner, acme,
			`mutation($in: ProvisionUsersInput!) { account { provisionUsers(input: $in) { counts { created } } } }`,
			vars{"in": vars{"users": []vars{{"email": freshAddress, "stores": []string{"acme1us"},
				"permissions": []string{"Create_Store_API_Tokens", "Manage_Users"}}}}})
		session := h.session(freshAddress) // accepts
		if !n.works(session, acme) {
			t.Fatal("a session that the operator started: got it refused, want it accepted")
		}
		h.pending(freshAddress)
		if n2 := h.serve(); n2.works(session, acme) {
			t.Error("a session of a pending membership: got it accepted, want it refused")
		}
	})
}

// pending makes a membership of Acme pending again. Only the database can do that.
func (h *deployment) pending(email string) {
	h.t.Helper()
	statement := "UPDATE account_users SET accepted_at = NULL WHERE email_folded = '" + email + "'"
	dbtest.Exec(h.t, h.url, statement, statement)
}
