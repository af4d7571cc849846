package promise_test

import (
	"fmt"
	"net/url"
	"time"
)

// party is an actor with the users and API tokens that its writes change. Each
// write has its own, so that one does not keep another from working.
type party struct {
	// credential authenticates with the API; client does with OAuth's endpoints.
	credential string
	client     issued
	// id and email are those of a user, id alone of an API token.
	id, email string
	// inStore says that the actor acts in one store only.
	inStore, ownsStore bool
	// ended is what the mutations answered that ended its rights.
	ended  string
	prefix string
	users  map[string]string
	tokens map[string]string
}

// changing is an actor whose writes change what another's do.
func (p *party) changing(what *party) *party {
	p.prefix, p.users, p.tokens = what.prefix, what.users, what.tokens
	return p
}

// fresh is an address that no user of the account has.
func (p *party) fresh(write string) string { return p.prefix + write + "@new.example" }

// target is the address of the user that a write changes.
func (p *party) target(write string) string { return p.prefix + write + "@acme.example" }

// in is an input about the user that a write changes, in the store.
func (p *party) in(write string, more vars) vars {
	in := vars{"storeId": euStore, "userId": p.users[write]}
	for name, value := range more {
		in[name] = value
	}
	return in
}

func (p *party) person(write string) vars {
	return vars{"email": p.fresh(write), "firstName": "New", "lastName": "User", "locale": "en"}
}

// draft is an API token that the actor may issue and rotate: it lives no longer
// than a granted access token.
func (p *party) draft() vars {
	soon := time.Now().Add(5 * time.Minute).UTC().Format(time.RFC3339)
	if p.inStore {
		return vars{"name": "Under way", "scopes": []string{"store_cart"}, "storeId": euStore, "expiresAt": soon}
	}
	return vars{"name": "Under way", "scopes": []string{"account_users_read"}, "expiresAt": soon}
}

// write is a mutation of the API.
type write struct {
	query string
	in    func(p *party) vars
}

// writes are all mutations of the schema, by name.
var writes = map[string]write{
	"createApiToken":   {create, (*party).draft},
	"updateApiToken":   {update, func(p *party) vars { return vars{"id": p.tokens["updateApiToken"], "name": "Renamed"} }},
	"rotateApiToken":   {rotate, func(p *party) vars { return vars{"id": p.tokens["rotateApiToken"], "overlapSeconds": 0} }},
	"revokeApiTokens":  {revoke, func(p *party) vars { return vars{"ids": []string{p.tokens["revokeApiTokens"]}} }},
	"addUserToAccount": {people("account", "addUserToAccount"), func(p *party) vars { return vars{"email": p.fresh("addUserToAccount")} }},
	"removeUserFromAccount": {people("account", "removeUserFromAccount"), func(p *party) vars {
		return vars{"email": p.target("removeUserFromAccount")}
	}},
	"transferOwnership": {people("account", "transferOwnership"), func(p *party) vars { return p.in("transferOwnership", nil) }},
	"provisionUsers": {provision, func(p *party) vars {
		return vars{"users": []vars{{"email": p.fresh("provisionUsers"), "stores": []string{euStore}}}}
	}},
	"deprovisionUsers": {deprovision, func(p *party) vars { return vars{"users": []vars{{"email": p.target("deprovisionUsers")}}} }},
	"createUser":       {people("user", "createUser"), func(p *party) vars { return p.person("createUser") }},
	"createUserWithPassword": {people("user", "createUserWithPassword"), func(p *party) vars {
		in := p.person("createUserWithPassword")
		in["password"], in["passwordConfirmation"] = "a long sentence", "a long sentence"
		return in
	}},
	"addUserToStore": {people("user", "addUserToStore"), func(p *party) vars {
		return vars{"storeId": euStore, "user": vars{"email": p.fresh("addUserToStore")}}
	}},
	"removeUserFromStore": {people("user", "removeUserFromStore"), func(p *party) vars { return p.in("removeUserFromStore", nil) }},
	"updateUser":          {people("user", "updateUser"), func(p *party) vars { return vars{"userId": p.users["updateUser"], "lastName": "Renamed"} }},
	"setStoreUserPermissions": {people("user", "setStoreUserPermissions"), func(p *party) vars {
		return p.in("setStoreUserPermissions", vars{"permissions": []string{"Add_User"}})
	}},
	"setStoreUserStatus": {people("user", "setStoreUserStatus"), func(p *party) vars {
		return p.in("setStoreUserStatus", vars{"status": "INACTIVE"})
	}},
}

// forms are OAuth's endpoints that write, by path.
var forms = map[string]func(p *party) url.Values{
	"/oauth2/token":  func(*party) url.Values { return url.Values{"grant_type": {"client_credentials"}} },
	"/oauth2/revoke": func(p *party) url.Values { return url.Values{"token": {p.client.access}} },
}

// targets makes the users and API tokens that the writes of an actor change.
func (c *cast) targets(p *party) {
	c.t.Helper()
	c.parties++
	p.prefix, p.users, p.tokens = fmt.Sprintf("p%d.", c.parties), map[string]string{}, map[string]string{}
	var users []vars
	for _, name := range []string{"transferOwnership", "removeUserFromAccount", "deprovisionUsers", "removeUserFromStore", "updateUser", "setStoreUserPermissions", "setStoreUserStatus"} {
		users = append(users, vars{"email": p.target(name), "firstName": "Tar", "lastName": "Get", "stores": []string{euStore}})
	}
	a := c.n.must(c.owner, acme, `mutation($in: ProvisionUsersInput!) { account { provisionUsers(input: $in) { items { email user { id } } } } }`, vars{"in": vars{"users": users}})
	for i, user := range users {
		name := user["email"].(string)[len(p.prefix):]
		p.users[name[:len(name)-len("@acme.example")]] = a.text(fmt.Sprintf("account.provisionUsers.items.%d.user.id", i))
	}
	for _, name := range []string{"updateApiToken", "rotateApiToken", "revokeApiTokens"} {
		p.tokens[name] = c.n.issue(c.owner, acme, p.draft()).id
	}
}
