package promise_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// slowly sends a mutation of which the server has the header, and
// accepted the credential in it, before between is called. The body follows
// then.
func (n *node) slowly(token, query string, in vars, between func()) answer {
	n.t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": vars{"in": in}})
	if err != nil {
		n.t.Fatal(err)
	}
	rest, trickle := io.Pipe()
	// The server asks for the body only after it verified the credential.
	asked := make(chan struct{}, 1)
	ctx := httptrace.WithClientTrace(n.t.Context(), &httptrace.ClientTrace{Got100Continue: func() { asked <- struct{}{} }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.public+"/accounts/"+acme+"/graphql", rest)
	if err != nil {
		n.t.Fatal(err)
	}
	req.ContentLength = int64(len(body))
	req.Header = http.Header{"Content-Type": {"application/json"}, "X-Auth-Token": {token}, "Expect": {"100-continue"}}
	answered := make(chan answer, 1)
	go func() {
		defer close(answered)
		transport := &http.Transport{ExpectContinueTimeout: time.Minute}
		defer transport.CloseIdleConnections()
		res, err := transport.RoundTrip(req)
		if err != nil {
			n.t.Error(err)
			return
		}
		defer func() { _ = res.Body.Close() }()
		a := answer{status: res.StatusCode}
		text, err := io.ReadAll(res.Body)
		a.body = string(text)
		if err := errors.Join(err, json.Unmarshal(text, &a)); err != nil {
			n.t.Error(err)
		}
		answered <- a
	}()
	half := len(body) / 2
	select {
	case <-asked:
	case a := <-answered:
		n.t.Fatalf("refused before its body: %d %s", a.status, a.body)
	}
	_, err = trickle.Write(body[:half])
	between()
	_, more := trickle.Write(body[half:])
	if err := errors.Join(err, more, trickle.Close()); err != nil {
		n.t.Fatal(err)
	}
	return <-answered
}

// happened is how many events the audit log of Acme has.
func (n *node) happened(auditor string) int {
	n.t.Helper()
	a := n.must(auditor, acme, `{ account { auditEvents(first: 1) { collectionInfo { totalItems } } } }`, nil)
	_, rest, _ := strings.Cut(a.body, `"totalItems":`)
	count, err := strconv.Atoi(rest[:strings.IndexAny(rest, "},")])
	if err != nil {
		n.t.Fatal(err)
	}
	return count
}

// begun is an actor whose requests are under way when its rights are taken.
type begun struct {
	credential string
	// take takes them away, by a request that was answered when it returns.
	take func()
	// code is that of the refusal then.
	code string
}

// cast makes actors, all of them in Acme.
type cast struct {
	*house
	n       *node
	owner   string // a session
	members int
}

const (
	euStore  = "acme2eu"
	issueIn  = "Create_Store_API_Tokens"
	scopeSet = `account_api_tokens_write account_users_write account_users_read account_users_delete`
)

// member is somebody new in Acme EU with permissions there, and their session.
func (c *cast) member() (id, email, session string) {
	c.members++
	email = fmt.Sprintf("member%d@acme.example", c.members)
	c.n.must(c.owner, acme, people("user", "createUser"), vars{"in": vars{"email": email, "firstName": "Mem", "lastName": "Ber", "locale": "en"}})
	id = c.userID(c.n, c.owner, email)
	c.n.must(c.owner, acme, people("user", "addUserToStore"), vars{"in": vars{"storeId": euStore, "user": vars{"id": id}}})
	session = c.session(email)
	c.n.must(c.owner, acme, people("user", "setStoreUserPermissions"),
		vars{"in": vars{"storeId": euStore, "userId": id, "permissions": []string{issueIn, "Add_User", "Edit_Users"}}})
	return id, email, session
}

func (c *cast) token() issued {
	return c.n.issue(c.owner, acme, vars{"name": "Some token", "scopes": strings.Fields(scopeSet)})
}

// actors are of every kind, each with every way to lose its rights.
func (c *cast) actors() map[string]func() begun {
	by := func(mutation string, in vars) func() {
		return func() { c.n.must(c.owner, acme, mutation, vars{"in": in}) }
	}
	gone, narrowed := "UNAUTHENTICATED", "FORBIDDEN"
	return map[string]func() begun{
		"a token that is revoked": func() begun {
			made := c.token()
			return begun{made.access, by(revoke, vars{"ids": []string{made.id}}), gone}
		},
		"a token that is narrowed": func() begun {
			made := c.token()
			return begun{made.access, by(update, vars{"id": made.id, "scopes": []string{"account_users_read"}}), narrowed}
		},
		"a granted access token whose API token is revoked": func() begun {
			made := c.token()
			return begun{c.n.granted(made), by(revoke, vars{"ids": []string{made.id}}), gone}
		},
		"the owner, who signs out": func() begun {
			session := c.session(acmeOwner)
			return begun{session, func() {
				if a := c.n.send(http.MethodPost, "/signout", "", map[string]string{"Cookie": "__Host-latchkey=" + session}); a.status >= 400 {
					c.t.Fatalf("signing out: %d", a.status)
				}
			}, gone}
		},
		"a member who is removed": func() begun {
			_, email, session := c.member()
			return begun{session, by(remove, vars{"email": email}), gone}
		},
		"a member whose permissions are taken": func() begun {
			id, _, session := c.member()
			return begun{session, by(people("user", "setStoreUserPermissions"), vars{"storeId": euStore, "userId": id, "permissions": []string{}}), narrowed}
		},
		"the owner of a store that is given away": func() begun {
			id, _, session := c.member()
			give := func(to string) func() {
				return by(people("account", "transferOwnership"), vars{"storeId": euStore, "userId": to})
			}
			give(id)()
			return begun{session, func() {
				give(c.userID(c.n, c.owner, shopOwner))()
				by(people("user", "removeUserFromStore"), vars{"storeId": euStore, "userId": id})()
			}, narrowed}
		},
	}
}

// write is one of each service, with an input that works once for each number.
type write struct {
	mutation string
	in       func(i int) vars
}

func (c *cast) writes(store bool) map[string]write {
	id, _, _ := c.member()
	scopes := []string{"account_users_read"}
	token := vars{}
	if store {
		scopes, token["storeId"] = []string{"store_cart"}, euStore
	}
	all := map[string]write{
		"issue": {create, func(i int) vars {
			soon := time.Now().Add(5 * time.Minute).UTC().Format(time.RFC3339) // a granted access token issues nothing that outlives it
			return vars{"name": "Under way " + strconv.Itoa(i), "scopes": scopes, "storeId": token["storeId"], "expiresAt": soon}
		}},
		"create a user": {people("user", "createUser"), func(i int) vars {
			return vars{"email": fmt.Sprintf("new%d.%d@acme.example", c.members, i), "firstName": "New", "lastName": "User", "locale": "en"}
		}},
		"change a role": {people("user", "setStoreUserStatus"), func(i int) vars {
			return vars{"storeId": euStore, "userId": id, "status": []string{"INACTIVE", "ACTIVE"}[i%2]}
		}},
	}
	return all
}

// Whoever loses their rights while the body of their request arrives does
// nothing by it, on the server that took the rights and on others: whatever kind
// of actor it is, however the rights are lost, whatever it writes (docs/promises.md: 2).
func TestNothingUnderWayOutlivesItsRights(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		nodes := []*node{h.serve(), h.serve(), h.serve()}
		c := &cast{house: h, n: nodes[0], owner: h.session(acmeOwner)}
		auditor := nodes[0].issue(c.owner, acme, vars{"name": "Auditor", "scopes": []string{"account_audit_read"}}).access
		tried := 0
		for name, actor := range c.actors() {
			for what, w := range c.writes(strings.Contains(name, "member") || strings.Contains(name, "store")) {
				t.Run(name+"/"+what, func(t *testing.T) {
					a, on := actor(), nodes[tried%len(nodes)]
					tried++
					on.must(a.credential, acme, w.mutation, vars{"in": w.in(2 * tried)}) // it may
					before := 0
					got := on.slowly(a.credential, w.mutation, w.in(2*tried+1), func() {
						a.take()
						before = nodes[0].happened(auditor)
					})
					if after := nodes[0].happened(auditor); after != before {
						t.Errorf("%d changes were made after the rights were taken", after-before)
					}
					// Another server may hear only in the transaction that the rights are others.
					codes := []string{a.code}
					if on != nodes[0] {
						codes = append(codes, "CONFLICT")
					}
					if len(got.Errors) == 0 || !slices.Contains(codes, got.Errors[0].Extensions.Code) {
						t.Errorf("answered %d %s, want %s", got.status, got.body, codes)
					}
				})
			}
		}
		if tried != 7*3 {
			t.Errorf("%d writes were tried", tried)
		}
	})
}

// document is one of n mutations that issue tokens, after others.
func document(first string, n int, name string) string {
	var text strings.Builder
	text.WriteString("mutation { apiToken { " + first)
	for i := range n {
		fmt.Fprintf(&text, ` m%d: createApiToken(input: {name: "%s %d", scopes: ["account_users_read"]}) { apiToken { id } }`, i, name, i)
	}
	return text.String() + " } }"
}

// What one mutation of a document takes from its own actor, the next ones do
// not have.
func TestADocumentThatTakesItsOwnRights(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		c := &cast{house: h, n: h.serve(), owner: h.session(acmeOwner)}
		for name, tc := range map[string]struct{ first, code string }{
			"narrowed": {`updateApiToken(input: {id: "%s", scopes: ["account_users_read"]}) { apiToken { id } }`, "FORBIDDEN"},
			"revoked":  {`revokeApiTokens(input: {ids: ["%s"]}) { revokedIds }`, "UNAUTHENTICATED"},
		} {
			made := c.token()
			got := c.n.ask(made.access, acme, document(fmt.Sprintf(tc.first, made.id), 3, "After"), nil)
			if codes := got.codes(); !slices.Equal(codes, []string{tc.code, tc.code, tc.code}) {
				t.Errorf("%s: answered %d %s", name, got.status, got.body)
			}
		}
		// A change that takes nothing stands in nobody's way.
		made := c.token()
		c.n.must(made.access, acme, document(fmt.Sprintf(`updateApiToken(input: {id: %q, name: "Renamed"}) { apiToken { id } }`, made.id), 3, "After"), nil)
	})
}

// Of a document of a hundred mutations, those are not made that come after the
// revocation of its token.
func TestADocumentIsCutShortByARevocation(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		nodes := []*node{h.serve(), h.serve()}
		c := &cast{house: h, n: nodes[0], owner: h.session(acmeOwner)}
		auditor := nodes[0].issue(c.owner, acme, vars{"name": "Auditor", "scopes": []string{"account_audit_read"}}).access
		for round := range 20 {
			made := c.token()
			began := nodes[0].happened(auditor)
			answered := make(chan answer, 1)
			go func() {
				answered <- nodes[round%2].ask(made.access, acme, document("", 100, "Round "+strconv.Itoa(round)), nil)
			}()
			for len(answered) == 0 && nodes[0].happened(auditor) == began { // until some of them are made
			}
			nodes[0].must(c.owner, acme, revoke, vars{"in": vars{"ids": []string{made.id}}})
			before := nodes[0].happened(auditor)
			got := <-answered
			if after := nodes[0].happened(auditor); after != before {
				t.Fatalf("%d tokens were issued after the revocation was answered", after-before)
			}
			if slices.ContainsFunc(got.codes(), func(code string) bool { return code != "UNAUTHENTICATED" }) {
				t.Fatalf("answered %d %s", got.status, got.body)
			}
			for _, id := range c.ids(got) {
				c.n.must(c.owner, acme, revoke, vars{"in": vars{"ids": []string{id}}})
			}
			if n := len(got.Errors); n > 0 && n < 100 {
				return // it was caught in the middle
			}
		}
		t.Error("no document was caught in the middle")
	})
}

// ids are those of the tokens in the data of an answer.
func (c *cast) ids(a answer) []string {
	var ids []string
	group, _ := a.Data["apiToken"].(map[string]any)
	for alias := range group {
		if id := a.text("apiToken." + alias + ".apiToken.id"); id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}
