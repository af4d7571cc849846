package promise_test

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
	scopeSet = `account_api_tokens_write account_users_write account_users_read account_users_delete`
)

// cast makes actors, all of them in Acme.
type cast struct {
	*house
	n                *node
	owner            string // a session
	members, parties int
}

// kind is a kind of actor.
type kind struct {
	begin func() *party
	// may are the mutations that it may do, by name.
	may []string
	// client says that it acts at OAuth's endpoints and not on the API.
	client bool
	// ways are all ways to end its rights, by name.
	ways map[string]way
}

// way ends the rights of an actor by a request that is answered when it returns.
type way struct {
	end func(p *party)
	// restore undoes what would be in the way of other actors; nil for nothing.
	restore func()
	// codes are those of the refusals afterwards.
	codes []string
	// keeps are mutations that it does not take.
	keeps []string
}

// The refusals of a credential that does not work, and of one whose rights
// changed: another server may learn of that in the transaction of the write.
var gone, narrowed = []string{"UNAUTHENTICATED"}, []string{"FORBIDDEN", "CONFLICT"}

var (
	inStore = []string{"createApiToken", "updateApiToken", "rotateApiToken", "revokeApiTokens", "createUser", "createUserWithPassword",
		"addUserToStore", "removeUserFromStore", "setStoreUserPermissions", "setStoreUserStatus"}
	byOwners   = append(slices.Clone(inStore), "transferOwnership")
	bySessions = slices.Sorted(maps.Keys(writes))
	byTokens   = slices.DeleteFunc(slices.Clone(bySessions), func(name string) bool { return name == "transferOwnership" })
)

// kinds are all kinds of actors, by name.
func (c *cast) kinds() map[string]kind {
	return map[string]kind{
		"an access token":        {c.tokenParty, byTokens, false, c.waysOfTokens()},
		"a granted access token": {c.grantParty, byTokens, false, c.waysOfGrants()},
		"the account's owner":    {c.ownerParty, bySessions, false, c.waysOfOwners()},
		"a member with rights":   {c.memberParty, inStore, false, c.waysOfMembers()},
		"a store's owner":        {c.storeOwnerParty, byOwners, false, c.waysOfStoreOwners()},
		"an API token's client":  {c.tokenParty, nil, true, c.waysOfClients()},
	}
}

// by returns the end of a party's rights by a mutation of the account's owner.
func (c *cast) by(query string, in func(p *party) vars) func(*party) {
	return func(p *party) { p.ended += c.n.must(c.owner, acme, query, vars{"in": in(p)}).body }
}

func (c *cast) revoked() way {
	return way{end: c.by(revoke, func(p *party) vars { return vars{"ids": []string{p.id}} }), codes: gone}
}

func (c *cast) narrowedTo(scopes ...string) way {
	return way{end: c.by(update, func(p *party) vars { return vars{"id": p.id, "scopes": scopes} }), codes: narrowed}
}

// suspended ends everybody's rights, until the account is in business again.
func (c *cast) suspended() way {
	apply := func(text string) { c.run(text, "apply", "-f", "-") }
	return way{
		end: func(*party) {
			apply(strings.Replace(manifest, "name: Acme Retail", "name: Acme Retail\n    status: suspended", 1))
		},
		restore: func() {
			apply(strings.Replace(manifest, "name: Acme Retail", "name: Acme Retail\n    status: active", 1))
		},
		codes: gone,
	}
}

func (c *cast) token() issued {
	return c.n.issue(c.owner, acme, vars{"name": "Some token", "scopes": strings.Fields(scopeSet)})
}

func (c *cast) tokenParty() *party {
	made := c.token()
	return &party{credential: made.access, client: made, id: made.id}
}

func (c *cast) waysOfTokens() map[string]way {
	return map[string]way{
		"revoked":  c.revoked(),
		"narrowed": c.narrowedTo("account_users_read"),
		"limited to other addresses": {end: c.by(update, func(p *party) vars {
			return vars{"id": p.id, "allowedIpRanges": []string{"192.0.2.0/24"}}
		}), codes: append(slices.Clone(narrowed), gone...)},
		"rotated": {end: c.by(rotate, func(p *party) vars { return vars{"id": p.id, "overlapSeconds": 0} }), codes: gone},
		"revoked by its client": {end: func(p *party) {
			if a := c.n.asClient(p.client, "", "/oauth2/revoke", url.Values{"token": {p.credential}}); a.status != http.StatusOK {
				c.t.Fatalf("revoking: %d %s", a.status, a.body)
			}
		}, codes: gone},
		"revoked by command":       {end: func(p *party) { c.run("", "token", "revoke", p.id, "--account", acme) }, codes: gone},
		"its account is suspended": c.suspended(),
	}
}

func (c *cast) grantParty() *party {
	p := c.tokenParty()
	p.credential = c.n.granted(p.client)
	return p
}

func (c *cast) waysOfGrants() map[string]way {
	all := c.waysOfTokens()
	for _, ofAccessTokens := range []string{"rotated", "revoked by command", "its account is suspended"} {
		delete(all, ofAccessTokens)
	}
	return all
}

func (c *cast) waysOfClients() map[string]way {
	all := c.waysOfTokens()
	for _, ofAccessTokens := range []string{"narrowed", "rotated", "revoked by its client"} {
		delete(all, ofAccessTokens)
	}
	return all
}

func (c *cast) ownerParty() *party {
	return &party{credential: c.session(acmeOwner), email: acmeOwner, id: c.userID(c.n, c.owner, acmeOwner)}
}

// signOut ends a session as a browser does.
func (c *cast) signOut(p *party) {
	a := c.n.send(http.MethodPost, "/signout", "", map[string]string{"Cookie": "__Host-latchkey=" + p.credential})
	if a.status >= http.StatusBadRequest {
		c.t.Fatalf("signing out: %d", a.status)
	}
}

func (c *cast) waysOfOwners() map[string]way {
	return map[string]way{
		"signed out":               {end: c.signOut, codes: gone},
		"its account is suspended": c.suspended(),
		"replaced by the operator": {
			end:     func(*party) { c.run(strings.ReplaceAll(manifest, acmeOwner, "next@acme.example"), "apply", "-f", "-") },
			restore: func() { c.run(manifest, "apply", "-f", "-") },
			// They stay in the account, and in a store of theirs as an administrator.
			codes: append(slices.Clone(narrowed), "NOT_FOUND"), keeps: []string{"createUser", "createUserWithPassword"},
		},
	}
}

// member is a new user with permissions in Acme EU, and their session.
func (c *cast) member() (id, email, session string) {
	c.members++
	email = fmt.Sprintf("member%d@acme.example", c.members)
	permissions := []string{issueIn, "List_Store_API_Tokens", "Delete_Store_API_Tokens", "Add_User", "Edit_Users", "Delete_Users"}
	a := c.n.must(c.owner, acme, `mutation($in: ProvisionUsersInput!) { account { provisionUsers(input: $in) { items { user { id } } } } }`,
		vars{"in": vars{"users": []vars{{"email": email, "firstName": "Mem", "lastName": "Ber", "stores": []string{euStore}, "permissions": permissions}}}})
	return a.text("account.provisionUsers.items.0.user.id"), email, c.session(email)
}

func (c *cast) memberParty() *party {
	p := &party{inStore: true}
	p.id, p.email, p.credential = c.member()
	return p
}

func (c *cast) waysOfMembers() map[string]way {
	inEU := func(more vars) func(p *party) vars {
		return func(p *party) vars {
			in := vars{"storeId": euStore, "userId": p.id}
			maps.Copy(in, more)
			return in
		}
	}
	return map[string]way{
		"removed":                   {end: c.by(remove, func(p *party) vars { return vars{"email": p.email} }), codes: gone},
		"deprovisioned":             {end: c.by(deprovision, func(p *party) vars { return vars{"users": []vars{{"email": p.email}}} }), codes: gone},
		"no longer permitted":       {end: c.by(people("user", "setStoreUserPermissions"), inEU(vars{"permissions": []string{}})), codes: narrowed},
		"deactivated":               {end: c.by(people("user", "setStoreUserStatus"), inEU(vars{"status": "INACTIVE"})), codes: narrowed},
		"out of the store":          {end: c.by(people("user", "removeUserFromStore"), inEU(nil)), codes: narrowed},
		"signed out":                {end: c.signOut, codes: gone},
		"sessions ended by command": {end: func(p *party) { c.run("", "session", "end", "--email", p.email) }, codes: gone},
	}
}

// storeOwnerParty is a member whom the store is given to.
func (c *cast) storeOwnerParty() *party {
	p := c.memberParty()
	p.ownsStore = true
	c.by(people("account", "transferOwnership"), func(p *party) vars { return vars{"storeId": euStore, "userId": p.id} })(p)
	return p
}

func (c *cast) waysOfStoreOwners() map[string]way {
	return map[string]way{
		"replaced and out of the store": {end: func(p *party) {
			shop := c.userID(c.n, c.owner, shopOwner)
			c.by(people("account", "transferOwnership"), func(*party) vars { return vars{"storeId": euStore, "userId": shop} })(p)
			c.by(people("user", "removeUserFromStore"), func(p *party) vars { return vars{"storeId": euStore, "userId": p.id} })(p)
		}, codes: append(slices.Clone(narrowed), "NOT_FOUND")},
		"signed out": {end: c.signOut, codes: gone},
	}
}
