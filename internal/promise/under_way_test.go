package promise_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

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

// Whoever loses their rights while the bodies of their requests arrive does
// nothing by them: every kind of actor, every way to lose the rights, every
// write, on the server that ended the rights and on two others. In the end the
// same actor, alive, does each of the writes: they would have worked
// (docs/promises.md: 2).
func TestNothingUnderWayOutlivesItsRights(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		nodes := []*node{h.serve(), h.serve(), h.serve()}
		c := &cast{house: h, n: nodes[0], owner: h.session(acmeOwner)}
		auditor := nodes[0].issue(c.owner, acme, vars{"name": "Auditor", "scopes": []string{"account_audit_read"}}).access
		c.wantAllWrites(t)
		for name, k := range c.kinds() {
			t.Run(name, func(t *testing.T) {
				p := k.begin()
				c.targets(p)
				for how, w := range k.ways {
					t.Run(how, func(t *testing.T) { c.endUnderWay(t, nodes, k, w, p) })
				}
				c.live(t, auditor, k, k.begin().changing(p))
			})
		}
	})
}

// wantAllWrites fails the test for a mutation of the schema, or an endpoint of
// OAuth, that is not in the tables of writes.
func (c *cast) wantAllWrites(t *testing.T) {
	t.Helper()
	billing := []string{"createCheckout", "cancelSubscription", "createEventSource", "deleteEventSource"} // write nothing
	a := c.n.must(c.owner, acme, `{ __schema { mutationType { fields { type { ofType { fields(includeDeprecated: true) { name } } } } } } }`, nil)
	var names []string
	for _, match := range regexp.MustCompile(`"name":"([^"]+)"`).FindAllStringSubmatch(a.body, -1) {
		names = append(names, match[1])
		if _, known := writes[match[1]]; !known && !slices.Contains(billing, match[1]) {
			t.Errorf("the mutation %s is in no test of slow bodies", match[1])
		}
	}
	if len(names) != len(writes)+len(billing) {
		t.Errorf("the schema has %d mutations: %q", len(names), names)
	}
	a = c.n.send(http.MethodGet, "/.well-known/oauth-authorization-server", "", nil)
	for _, match := range regexp.MustCompile(`_endpoint":"https://keys.example([^"]+)"`).FindAllStringSubmatch(a.body, -1) {
		if forms[match[1]] == nil && match[1] != "/oauth2/introspect" {
			t.Errorf("the endpoint %s is in no test of slow bodies", match[1])
		}
	}
}

// requests are all writes of a kind of actor, but for those left out.
func (k kind) requests(t *testing.T, p *party, but []string) (names []string, all []request) {
	t.Helper()
	if k.client {
		for path, form := range forms {
			names, all = append(names, path), append(all, clientRequest(p.client, path, form(p)))
		}
		return names, all
	}
	for _, name := range k.may {
		if !slices.Contains(but, name) {
			names, all = append(names, name), append(all, mutation(t, p.credential, writes[name].query, writes[name].in(p)))
		}
	}
	return names, all
}

// endUnderWay ends the rights of a new actor while the bodies of all its writes
// arrive, which change what p's would.
func (c *cast) endUnderWay(t *testing.T, nodes []*node, k kind, w way, p *party) {
	t.Helper()
	actor := k.begin().changing(p)
	names, all := k.requests(t, actor, w.keeps)
	finish := make([]func() answer, len(all))
	for i, r := range all {
		finish[i] = nodes[i%len(nodes)].trickle(r)
	}
	w.end(actor)
	before := kept(t, c.house)
	answers := finishAll(finish)
	if after := kept(t, c.house); after != before {
		t.Errorf("something was written after the rights ended:\n%s", difference(before, after))
	}
	for i, a := range answers {
		if code := a.refusal(); !slices.Contains(w.codes, code) && !(k.client && a.status == http.StatusUnauthorized) {
			t.Errorf("%s: answered %d %s, want %s", names[i], a.status, a.body, w.codes)
		}
	}
	if w.restore != nil {
		w.restore()
	}
}

// refusal is the code of the first error in an answer, whether of the whole or
// of an item.
func (a answer) refusal() string {
	if codes := a.codes(); len(codes) > 0 {
		return codes[0]
	}
	for _, mutation := range []string{"provisionUsers", "deprovisionUsers"} {
		if code := a.text("account." + mutation + ".items.0.code"); code != "" {
			return code
		}
	}
	return ""
}

// difference are the lines that only one of two dumps has.
func difference(before, after string) string {
	var lines []string
	for line := range strings.Lines(before) {
		if !strings.Contains(after, line) {
			lines = append(lines, "- "+line)
		}
	}
	for line := range strings.Lines(after) {
		if !strings.Contains(before, line) {
			lines = append(lines, "+ "+line)
		}
	}
	return strings.Join(lines, "")
}

// live fails the test for a write that a live actor of the kind cannot do, each
// of which is an event at least, and for one that it can and that is not in the
// table.
func (c *cast) live(t *testing.T, auditor string, k kind, p *party) {
	t.Helper()
	if slices.Contains(k.may, "transferOwnership") {
		c.session(p.target("transferOwnership")) // accepts, so that they can own something
	}
	names, all := k.requests(t, p, []string{"transferOwnership"})
	if slices.Contains(k.may, "transferOwnership") { // last: it takes rights from its actor
		names, all = append(names, "transferOwnership"), append(all, mutation(t, p.credential, writes["transferOwnership"].query, writes["transferOwnership"].in(p)))
	}
	for name, w := range writes {
		if !k.client && !slices.Contains(k.may, name) {
			if a := c.n.ask(p.credential, acme, w.query, vars{"in": w.in(p)}); a.refusal() != "FORBIDDEN" {
				t.Errorf("%s, which it may not: answered %d %s", name, a.status, a.body)
			}
		}
	}
	for i, r := range all {
		before := c.n.happened(auditor)
		a := c.n.trickle(r)()
		if a.status != http.StatusOK || a.refusal() != "" || c.n.happened(auditor) == before {
			t.Errorf("%s by a live actor: answered %d %s", names[i], a.status, a.body)
		}
	}
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
