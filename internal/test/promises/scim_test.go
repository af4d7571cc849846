package promises_test

import (
	"net/http"
	"net/url"
	"regexp"
	"testing"
)

// providerScopes are the scopes of an identity provider's token.
var providerScopes = []string{"account_users_write", "account_users_delete"}

// scim sends a request to Acme's SCIM API, from an address behind the trusted proxy unless ip is empty.
func (n *node) scim(ip, token, method, path, body string) answer {
	n.t.Helper()
	headers := map[string]string{"Authorization": "Bearer " + token, "Content-Type": "application/scim+json"}
	if ip != "" {
		headers["X-Forwarded-For"] = ip
	}
	return n.send(method, "/accounts/"+acme+"/scim/v2"+path, body, headers)
}

// scimMust is scim for a request that must succeed.
func (n *node) scimMust(token, method, path, body string) answer {
	n.t.Helper()
	a := n.scim("", token, method, path, body)
	if a.status < 200 || a.status > 299 {
		n.t.Fatalf("%s %s: got %d %s, want success", method, path, a.status, a.body)
	}
	return a
}

var scimID = regexp.MustCompile(`"id":"([0-9a-f-]{36})"`)

// scimPath returns the path of the only resource that a filter selects, such as /Users/{id}.
func (n *node) scimPath(token, endpoint, filter string) string {
	n.t.Helper()
	a := n.scimMust(token, http.MethodGet, endpoint+"?attributes=id&filter="+url.QueryEscape(filter), "")
	found := scimID.FindAllStringSubmatch(a.body, -1)
	if len(found) != 1 {
		n.t.Fatalf("%s: got %d resources, want 1: %s", filter, len(found), a.body)
	}
	return endpoint + "/" + found[0][1]
}

// setActive is the body of a PATCH that deactivates or reactivates a user.
func setActive(value string) string {
	return `{"Operations": [{"op": "Replace", "path": "active", "value": ` + value + `}]}`
}

// deactivatedOverSCIM returns the ways in which an identity provider takes the access from a user, whose session is the
// right.
func deactivatedOverSCIM(h *deployment, n *node, provider string) map[string]func() (right, func()) {
	end := func(email, method, body string) func() (right, func()) {
		return func() (right, func()) {
			n.scimMust(provider, http.MethodPost, "/Users", `{"userName": "`+email+`"}`)
			at := n.scimPath(provider, "/Users", `userName eq "`+email+`"`)
			of := right{h.session(email), acme, viewer, http.StatusUnauthorized, "UNAUTHENTICATED"}
			return of, func() { n.scimMust(provider, method, at, body) }
		}
	}
	return map[string]func() (right, func()){
		"deactivated over SCIM": end("patched@acme.example", http.MethodPatch, setActive("false")),
		"deactivated over SCIM by PUT": end("put@acme.example", http.MethodPut,
			`{"userName": "put@acme.example", "active": false}`),
		"removed over SCIM": end("deleted@acme.example", http.MethodDelete, ""),
		"given another address over SCIM": end("renamed@acme.example", http.MethodPatch,
			`{"Operations": [{"op": "replace", "value": {"userName": "next@acme.example"}}]}`),
	}
}

// scimChanges returns what an identity provider does with one user and one group, with the events that it writes.
func (n *node) scimChanges(ip, provider string) []auditCase {
	const name, next = "Scim@acme.example", "next.scim@acme.example"
	by := actor("API_TOKEN", "Identity provider", ip)
	send := func(method, path, body string) func() answer {
		return func() answer { return n.scim(ip, provider, method, path, body) }
	}
	to := func(of, method, body string) func() answer {
		return func() answer {
			return n.scim(ip, provider, method, n.scimPath(provider, "/Users", `userName eq "`+of+`"`), body)
		}
	}
	patch := func(operation string) func() answer {
		return to(name, http.MethodPatch, `{"Operations": [`+operation+`]}`)
	}
	group := func(operation string) func() answer {
		return func() answer {
			of := n.scimPath(provider, "/Groups", `displayName eq "Acme EU"`)
			return n.scim(ip, provider, http.MethodPatch, of, `{"Operations": [`+operation+`]}`)
		}
	}
	member := func(op string) func() answer {
		return func() answer {
			id := scimID.FindStringSubmatch(n.scimMust(provider, http.MethodGet,
				"/Users?filter="+url.QueryEscape(`userName eq "`+name+`"`), "").body)[1]
			return group(`{"op": "` + op + `", "path": "members", "value": [{"value": "` + id + `"}]}`)()
		}
	}
	role := `{"op": "add", "path": "urn:latchkey:params:scim:schemas:extension:2.0:Group:defaultRole",
		"value": "SALES_STAFF"}`
	created := `{"userName": "` + name + `", "externalId": "hr-7", "name": {"familyName": "One"}}`
	return []auditCase{
		{"created over SCIM", send("POST", "/Users", created), by.with("*", name), 2},
		{"created again", send("POST", "/Users", created), event{}, 0},
		{"replaced", to(name, "PUT", `{"userName": "`+name+`", "name": {"familyName": "Two"}}`),
			by.with("user.updated", name), 1},
		{"replaced by the same", to(name, "PUT", `{"userName": "`+name+`", "name": {"familyName": "Two"}}`), event{},
			0},
		{"patched", patch(`{"op": "add", "path": "locale", "value": "de"}`), by.with("user.updated", name), 1},
		{"patched with a wrong value", patch(`{"op": "add", "path": "locale", "value": "?"}`), event{}, 0},
		{"deactivated", to(name, "PATCH", setActive(`"False"`)), by.with("user.deactivated", name), 1},
		{"deactivated again", to(name, "PATCH", setActive(`false`)), event{}, 0},
		{"reactivated", to(name, "PATCH", setActive(`"True"`)), by.with("user.reactivated", name), 1},
		{"reactivated again", to(name, "PATCH", setActive(`true`)), event{}, 0},
		{"an owner deactivated", to(acmeOwner, "PATCH", setActive(`false`)),
			by.with("user.removal_refused", acmeOwner), 1},
		{"a group's default role", group(role), by.with("store.updated", "Acme EU"), 1},
		{"the same role again", group(role), event{}, 0},
		{"added to the group", member("add"), by.with("store_user.added", name), 1},
		{"added again", member("add"), event{}, 0},
		{"removed from the group", member("remove"), by.with("store_user.removed", name), 1},
		{"removed again", member("remove"), event{}, 0},
		{"a group created", send("POST", "/Groups", `{"displayName": "New"}`), event{}, 0},
		{"spelled differently", patch(`{"op": "replace", "path": "userName", "value": "SCIM@acme.example"}`),
			event{}, 0},
		{"renamed", patch(`{"op": "replace", "path": "userName", "value": "` + next + `"}`),
			by.with("user.updated", next), 1},
		{"searched", send("POST", "/.search", "{}"), event{}, 0},
		{"deleted", to(next, "DELETE", ""), by.with("user.removed", next), 1},
		{"created as deactivated", send("POST", "/Users", `{"userName": "`+name+`", "active": false}`),
			by.with("*", name), 3},
		{"created when deactivated", send("POST", "/Users", `{"userName": "`+name+`"}`),
			by.with("user.reactivated", name), 1},
	}
}

// expectSCIM makes the changes of an identity provider, and checks the events that each adds to the audit log.
func (n *node) expectSCIM(t *testing.T, owner, ip string) {
	t.Helper()
	provider := n.issue(owner, acme, vars{"name": "Identity provider", "scopes": providerScopes})
	seen := len(n.events(owner, acme))
	for _, d := range n.scimChanges(ip, provider.access) {
		t.Run("SCIM: "+d.name, func(t *testing.T) { seen += n.expect(t, d, owner, seen) })
	}
	n.must(owner, acme, revoke, vars{"in": vars{"ids": []string{provider.id}}})
}
