package promises_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const (
	euStore  = "acme2eu"
	issueIn  = "Create_Store_API_Tokens"
	scopeSet = `account_api_tokens_write account_users_write account_users_read account_users_delete
		account_webhooks_write account_webhooks_read account_checkouts_create account_subscriptions_cancel
		account_charges_write account_stores_write`
)

// actors creates actors, all in the account Acme.
type actors struct {
	*deployment
	n                   *node
	owner               string // a session
	members, targetSets int
}

// actorKind is a kind of actor.
type actorKind struct {
	newFixture func() *fixture
	// mutations lists the mutations that it may call, by name.
	mutations []string
	// client reports whether it calls the OAuth endpoints and not the API.
	client bool
	// revocations lists all ways to revoke its rights, by name.
	revocations map[string]revocation
}

// revocation revokes the rights of an actor. The revocation has been answered when end returns.
type revocation struct {
	end func(p *fixture)
	// restore undoes side effects that would affect other actors. It may be nil.
	restore func()
	// codes are the error codes of the refusals afterwards.
	codes []string
	// stillAllowed lists the mutations that stay permitted.
	stillAllowed []string
}

// The error codes for a credential that does not work, and for one whose rights were reduced. Another server may notice
// the reduction only in the transaction of the write.
var unauthenticated, narrowed = []string{"UNAUTHENTICATED"}, []string{"FORBIDDEN", "CONFLICT"}

var (
	inStore = []string{"createApiToken", "updateApiToken", "rotateApiToken", "revokeApiTokens", "createUser",
		"createUserWithPassword",
		"addUserToStore", "removeUserFromStore", "setStoreUserPermissions", "setStoreUserStatus"}
	byOwners   = append(slices.Clone(inStore), "transferOwnership")
	bySessions = slices.Sorted(maps.Keys(writes))
	byTokens   = slices.DeleteFunc(slices.Clone(bySessions),
		func(name string) bool {
			return name == "transferOwnership" || name == "updateAccount" || slices.Contains(byMerchants, name)
		})
	// byMerchants are for the session of the owner of the store that is charged.
	byMerchants = []string{"approveCheckout", "declineCheckout", "suspendSubscription", "resumeSubscription"}
)

// kinds returns all kinds of actors, by name.
func (c *actors) kinds() map[string]actorKind {
	return map[string]actorKind{
		"an access token":        {c.tokenFixture, byTokens, false, c.tokenRevocations()},
		"a granted access token": {c.grantFixture, byTokens, false, c.grantRevocations()},
		"the account's owner":    {c.ownerFixture, bySessions, false, c.ownerRevocations()},
		"a member with rights":   {c.memberFixture, inStore, false, c.memberRevocations()},
		"a store's owner":        {c.storeOwnerFixture, byOwners, false, c.storeOwnerRevocations()},
		"an API token's client":  {c.tokenFixture, nil, true, c.clientRevocations()},
	}
}

// by returns a function that revokes a fixture's rights with a mutation of the account's owner.
func (c *actors) by(query string, in func(p *fixture) vars) func(*fixture) {
	return func(p *fixture) { p.revocationResponse += c.n.must(c.owner, acme, query, vars{"in": in(p)}).body }
}

func (c *actors) revoked() revocation {
	return revocation{end: c.by(revoke, func(p *fixture) vars { return vars{"ids": []string{p.id}} }),
		codes: unauthenticated}
}

func (c *actors) narrowedTo(scopes ...string) revocation {
	return revocation{end: c.by(update, func(p *fixture) vars { return vars{"id": p.id, "scopes": scopes} }),
		codes: narrowed}
}

// suspended suspends the account, and restore activates it again.
func (c *actors) suspended() revocation {
	apply := func(text string) { c.run(text, "apply", "-f", "-") }
	return revocation{
		end: func(*fixture) {
			apply(strings.Replace(manifest, "name: Acme Retail", "name: Acme Retail\n    status: suspended", 1))
		},
		restore: func() {
			apply(strings.Replace(manifest, "name: Acme Retail", "name: Acme Retail\n    status: active", 1))
		},
		codes: unauthenticated,
	}
}

func (c *actors) token() issued {
	return c.n.issue(c.owner, acme, vars{"name": "Some token", "scopes": strings.Fields(scopeSet)})
}

func (c *actors) tokenFixture() *fixture {
	made := c.token()
	return &fixture{credential: made.access, client: made, id: made.id}
}

func (c *actors) tokenRevocations() map[string]revocation {
	return map[string]revocation{
		"revoked":  c.revoked(),
		"narrowed": c.narrowedTo("account_users_read"),
		"limited to other addresses": {end: c.by(update, func(p *fixture) vars {
			return vars{"id": p.id, "allowedIpRanges": []string{"192.0.2.0/24"}}
		}), codes: append(slices.Clone(narrowed), unauthenticated...)},
		"rotated": {end: c.by(rotate, func(p *fixture) vars { return vars{"id": p.id, "overlapSeconds": 0} }),
			codes: unauthenticated},
		"revoked by its client": {end: func(p *fixture) {
			if a := c.n.asClient(p.client, "", "/oauth2/revoke",
				url.Values{"token": {p.credential}}); a.status != http.StatusOK {
				c.t.Fatalf("revoking: got %d %s, want 200", a.status, a.body)
			}
		}, codes: unauthenticated},
		"revoked by command": {end: func(p *fixture) { c.run("", "token", "revoke", p.id, "--account", acme) },
			codes: unauthenticated},
		"its account is suspended": c.suspended(),
	}
}

func (c *actors) grantFixture() *fixture {
	p := c.tokenFixture()
	p.credential = c.n.granted(p.client)
	return p
}

func (c *actors) grantRevocations() map[string]revocation {
	all := c.tokenRevocations()
	for _, onlyAccessTokens := range []string{"rotated", "revoked by command", "its account is suspended"} {
		delete(all, onlyAccessTokens)
	}
	return all
}

func (c *actors) clientRevocations() map[string]revocation {
	all := c.tokenRevocations()
	for _, onlyAccessTokens := range []string{"narrowed", "rotated", "revoked by its client"} {
		delete(all, onlyAccessTokens)
	}
	return all
}

func (c *actors) ownerFixture() *fixture {
	return &fixture{credential: c.session(acmeOwner), email: acmeOwner, id: c.userID(c.n, c.owner, acmeOwner)}
}

// signOut ends a session as a browser does.
func (c *actors) signOut(p *fixture) {
	a := c.n.send(http.MethodPost, "/signout", "", map[string]string{"Cookie": "__Host-latchkey=" + p.credential})
	if a.status >= http.StatusBadRequest {
		c.t.Fatalf("signing out: got %d, want below 400", a.status)
	}
}

func (c *actors) ownerRevocations() map[string]revocation {
	return map[string]revocation{
		"signed out":               {end: c.signOut, codes: unauthenticated},
		"its account is suspended": c.suspended(),
		"replaced by the operator": {
			end: func(*fixture) {
				c.run(strings.ReplaceAll(manifest, acmeOwner, "next@acme.example"), "apply", "-f", "-")
			},
			restore: func() { c.run(manifest, "apply", "-f", "-") },
			// The former owner stays in the account and, if they own a store, becomes its administrator.
			codes:        append(slices.Clone(narrowed), "NOT_FOUND"),
			stillAllowed: []string{"createUser", "createUserWithPassword"},
		},
	}
}

// member creates a user with permissions in Acme EU and signs them in.
func (c *actors) member() (id, email, session string) {
	c.members++
	email = fmt.Sprintf("member%d@acme.example", c.members)
	permissions := []string{issueIn, "List_Store_API_Tokens", "Delete_Store_API_Tokens", "Add_User", "Edit_Users",
		"Delete_Users"}
	a := c.n.must(c.owner, acme,
		`mutation($in: ProvisionUsersInput!) { account { provisionUsers(input: $in) { items { user { id } } } } }`,
		vars{"in": vars{"users": []vars{{"email": email, "firstName": "Mem", "lastName": "Ber",
			"stores": []string{euStore}, "permissions": permissions}}}})
	return a.text("account.provisionUsers.items.0.user.id"), email, c.session(email)
}

func (c *actors) memberFixture() *fixture {
	p := &fixture{inStore: true}
	p.id, p.email, p.credential = c.member()
	return p
}

func (c *actors) memberRevocations() map[string]revocation {
	inEU := func(more vars) func(p *fixture) vars {
		return func(p *fixture) vars {
			in := vars{"storeId": euStore, "userId": p.id}
			maps.Copy(in, more)
			return in
		}
	}
	return map[string]revocation{
		"removed": {end: c.by(remove, func(p *fixture) vars { return vars{"email": p.email} }),
			codes: unauthenticated},
		"deprovisioned": {end: c.by(deprovision,
			func(p *fixture) vars { return vars{"users": []vars{{"email": p.email}}} }), codes: unauthenticated},
		"no longer permitted": {end: c.by(userMutation("user", "setStoreUserPermissions"),
			inEU(vars{"permissions": []string{}})), codes: narrowed},
		"deactivated": {end: c.by(userMutation("user", "setStoreUserStatus"),
			inEU(vars{"status": "INACTIVE"})), codes: narrowed},
		"out of the store": {end: c.by(userMutation("user", "removeUserFromStore"), inEU(nil)),
			codes: narrowed},
		"signed out": {end: c.signOut, codes: unauthenticated},
		"sessions ended by command": {end: func(p *fixture) { c.run("", "session", "end", "--email", p.email) },
			codes: unauthenticated},
	}
}

// storeOwnerFixture returns a member and transfers the store to it.
func (c *actors) storeOwnerFixture() *fixture {
	p := c.memberFixture()
	p.ownsStore = true
	c.by(userMutation("account", "transferOwnership"),
		func(p *fixture) vars { return vars{"storeId": euStore, "userId": p.id} })(p)
	return p
}

func (c *actors) storeOwnerRevocations() map[string]revocation {
	return map[string]revocation{
		"replaced and out of the store": {end: func(p *fixture) {
			shop := c.userID(c.n, c.owner, shopOwner)
			c.by(userMutation("account", "transferOwnership"),
				func(*fixture) vars { return vars{"storeId": euStore, "userId": shop} })(p)
			c.by(userMutation("user", "removeUserFromStore"),
				func(p *fixture) vars { return vars{"storeId": euStore, "userId": p.id} })(p)
		}, codes: append(slices.Clone(narrowed), "NOT_FOUND")},
		"signed out": {end: c.signOut, codes: unauthenticated},
	}
}
