package promises_test

import (
	"fmt"
	"net/url"
	"time"
)

// fixture is an actor with the users and API tokens that its writes change. Each write has its own, so that writes do
// not affect each other.
type fixture struct {
	// credential authenticates with the API, client with the OAuth endpoints.
	credential string
	client     issued
	// id and email identify a user; for an API token only id is set.
	id, email string
	// inStore reports whether the actor acts in one store only.
	inStore, ownsStore bool
	// revocationResponse holds the responses of the mutations that revoked its rights.
	revocationResponse string
	prefix             string
	users              map[string]string
	tokens             map[string]string
	// webhook is the ID of a webhook to change, and doomed of one to delete.
	webhook, doomed string
	// billed are IDs of a checkout, subscription or charge, by the write that changes it.
	billed map[string]string
}

// withTargetsOf returns an actor whose writes have the same targets as those of other.
func (p *fixture) withTargetsOf(other *fixture) *fixture {
	p.prefix, p.users, p.tokens = other.prefix, other.users, other.tokens
	p.webhook, p.doomed, p.billed = other.webhook, other.doomed, other.billed
	return p
}

// newEmail returns an address that no user of the account has.
func (p *fixture) newEmail(write string) string { return p.prefix + write + "@new.example" }

// targetEmail returns the address of the user that a write changes.
func (p *fixture) targetEmail(write string) string { return p.prefix + write + "@acme.example" }

// in returns the input about the user that a write changes, in the store.
func (p *fixture) in(write string, more vars) vars {
	in := vars{"storeId": euStore, "userId": p.users[write]}
	for name, value := range more {
		in[name] = value
	}
	return in
}

func (p *fixture) newUser(write string) vars {
	return vars{"email": p.newEmail(write), "firstName": "New", "lastName": "User", "locale": "en"}
}

// draft returns the input for an API token that the actor may issue and rotate. It expires before a granted access
// token does.
func (p *fixture) draft() vars {
	expiresAt := time.Now().Add(5 * time.Minute).UTC().Format(time.RFC3339)
	if p.inStore {
		return vars{"name": "In progress", "scopes": []string{"store_cart"}, "storeId": euStore, "expiresAt": expiresAt}
	}
	return vars{"name": "In progress", "scopes": []string{"account_users_read"}, "expiresAt": expiresAt}
}

// write is a mutation of the API.
type write struct {
	query string
	in    func(p *fixture) vars
}

// writes lists all mutations of the schema, by name.
var writes = map[string]write{
	"createApiToken": {create, (*fixture).draft},
	"updateApiToken": {update, func(p *fixture) vars {
		return vars{"id": p.tokens["updateApiToken"],
			"name": "Renamed"}
	}},
	"rotateApiToken": {rotate, func(p *fixture) vars {
		return vars{"id": p.tokens["rotateApiToken"],
			"overlapSeconds": 0}
	}},
	"revokeApiTokens": {revoke, func(p *fixture) vars { return vars{"ids": []string{p.tokens["revokeApiTokens"]}} }},
	"addUserToAccount": {userMutation("account", "addUserToAccount"),
		func(p *fixture) vars { return vars{"email": p.newEmail("addUserToAccount")} }},
	"removeUserFromAccount": {userMutation("account", "removeUserFromAccount"), func(p *fixture) vars {
		return vars{"email": p.targetEmail("removeUserFromAccount")}
	}},
	"transferOwnership": {userMutation("account", "transferOwnership"),
		func(p *fixture) vars { return p.in("transferOwnership", nil) }},
	"updateAccount": {userMutation("account", "updateAccount"),
		func(*fixture) vars { return vars{"offboardingPolicy": "REVOKE_TOKENS"} }},
	"createStore": {userMutation("store", "createStore"), func(*fixture) vars { return vars{"name": "Another"} }},
	"updateStore": {userMutation("store", "updateStore"),
		func(p *fixture) vars { return vars{"storeId": euStore, "name": p.prefix + "Store"} }},
	"provisionUsers": {provision, func(p *fixture) vars {
		return vars{"users": []vars{{"email": p.newEmail("provisionUsers"), "stores": []string{euStore}}}}
	}},
	"deprovisionUsers": {deprovision,
		func(p *fixture) vars { return vars{"users": []vars{{"email": p.targetEmail("deprovisionUsers")}}} }},
	"createUser": {userMutation("user", "createUser"), func(p *fixture) vars { return p.newUser("createUser") }},
	"createUserWithPassword": {userMutation("user", "createUserWithPassword"), func(p *fixture) vars {
		in := p.newUser("createUserWithPassword")
		in["password"], in["passwordConfirmation"] = "a long sentence", "a long sentence"
		return in
	}},
	"addUserToStore": {userMutation("user", "addUserToStore"), func(p *fixture) vars {
		return vars{"storeId": euStore, "user": vars{"email": p.newEmail("addUserToStore")}}
	}},
	"removeUserFromStore": {userMutation("user", "removeUserFromStore"),
		func(p *fixture) vars { return p.in("removeUserFromStore", nil) }},
	"updateUser": {userMutation("user", "updateUser"),
		func(p *fixture) vars { return vars{"userId": p.users["updateUser"], "lastName": "Renamed"} }},
	"setStoreUserPermissions": {userMutation("user", "setStoreUserPermissions"), func(p *fixture) vars {
		return p.in("setStoreUserPermissions", vars{"permissions": []string{"Add_User"}})
	}},
	"setStoreUserStatus": {userMutation("user", "setStoreUserStatus"), func(p *fixture) vars {
		return p.in("setStoreUserStatus", vars{"status": "INACTIVE"})
	}},
	"createWebhook": {userMutation("webhook", "createWebhook"), func(*fixture) vars { return newWebhook }},
	"updateWebhook": {userMutation("webhook", "updateWebhook"),
		func(p *fixture) vars { return vars{"id": p.webhook, "description": "Renamed"} }},
	"rotateWebhookSecret": {userMutation("webhook", "rotateWebhookSecret"),
		func(p *fixture) vars { return vars{"id": p.webhook} }},
	"sendTestEvent": {userMutation("webhook", "sendTestEvent"),
		func(p *fixture) vars { return vars{"id": p.webhook} }},
	"replayDeliveries": {userMutation("webhook", "replayDeliveries"), func(p *fixture) vars {
		return vars{"webhookId": p.webhook, "since": "2026-01-01T00:00:00Z"}
	}},
	"deleteWebhook": {userMutation("webhook", "deleteWebhook"),
		func(p *fixture) vars { return vars{"id": p.doomed} }},
	"createCheckout":      {userMutation("checkout", "createCheckout"), func(*fixture) vars { return newCheckout }},
	"approveCheckout":     changing("checkout", "approveCheckout"),
	"declineCheckout":     changing("checkout", "declineCheckout"),
	"cancelSubscription":  changing("subscription", "cancelSubscription"),
	"suspendSubscription": changing("subscription", "suspendSubscription"),
	"resumeSubscription":  changing("subscription", "resumeSubscription"),
	"deleteCharge":        changing("charge", "deleteCharge"),
	"createCharge": {userMutation("charge", "createCharge"),
		func(p *fixture) vars { return newCharge(p.billed["createCharge"], "new") }},
	"creditCharge": {userMutation("charge", "creditCharge"), func(p *fixture) vars {
		return vars{"chargeId": p.billed["creditCharge"], "amount": dollar, "reason": "Wrong", "idempotencyKey": "new"}
	}},
}

// newWebhook is the input for a webhook.
var newWebhook = vars{"url": hookURL, "eventTypes": []string{"webhook.*"}}

// forms lists the OAuth endpoints that write, by path.
var forms = map[string]func(p *fixture) url.Values{
	"/oauth2/token":  func(*fixture) url.Values { return url.Values{"grant_type": {"client_credentials"}} },
	"/oauth2/revoke": func(p *fixture) url.Values { return url.Values{"token": {p.client.access}} },
}

// targets creates the users and API tokens that the writes of an actor change.
func (c *actors) targets(p *fixture) {
	c.t.Helper()
	c.targetSets++
	p.prefix, p.users, p.tokens = fmt.Sprintf("p%d.", c.targetSets), map[string]string{}, map[string]string{}
	var users []vars
	for _, name := range []string{"transferOwnership", "removeUserFromAccount", "deprovisionUsers",
		"removeUserFromStore", "updateUser", "setStoreUserPermissions", "setStoreUserStatus"} {
		users = append(users, vars{"email": p.targetEmail(name), "firstName": "Tar", "lastName": "Get",
			"stores": []string{euStore}})
	}
	a := c.n.must(c.owner, acme,
		`mutation($in: ProvisionUsersInput!) { account { provisionUsers(input: $in) { items { email user { id } } } } }`, vars{"in": vars{"users": users}})
	for i, user := range users {
		name := user["email"].(string)[len(p.prefix):]
		p.users[name[:len(name)-len("@acme.example")]] = a.text(fmt.Sprintf("account.provisionUsers.items.%d.user.id",
			i))
	}
	for _, name := range []string{"updateApiToken", "rotateApiToken", "revokeApiTokens"} {
		p.tokens[name] = c.n.issue(c.owner, acme, p.draft()).id
	}
	for _, id := range []*string{&p.webhook, &p.doomed} {
		a := c.n.must(c.owner, acme,
			`mutation($in: CreateWebhookInput!) { webhook { createWebhook(input: $in) { webhook { id } } } }`, vars{"in": newWebhook})
		*id = a.text("webhook.createWebhook.webhook.id")
	}
	// So that updateAccount has an effect.
	c.n.must(c.owner, acme, userMutation("account", "updateAccount"),
		vars{"in": vars{"offboardingPolicy": "KEEP_TOKENS"}})
	p.billed = c.billingTargets()
}
