package promises_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"latchkey/internal/test/check"
)

// eventCount returns the number of events in Acme's audit log.
func (n *node) eventCount(auditor string) int {
	n.t.Helper()
	a := n.must(auditor, acme, `{ account { auditEvents(first: 1) { collectionInfo { totalItems } } } }`, nil)
	_, rest, _ := strings.Cut(a.body, `"totalItems":`)
	count, err := strconv.Atoi(rest[:strings.IndexAny(rest, "},")])
	if err != nil {
		n.t.Fatal(err)
	}
	return count
}

// An actor that loses its rights while the bodies of its requests arrive changes nothing. The test covers every kind of
// actor, every way to lose the rights and every write, on the server that revoked the rights and on two others. At the
// end the same kind of actor, not revoked, makes each of the writes, to show that they would have succeeded
// (docs/promises.md: 2).
func TestNoWriteOutlivesTheRightsOfItsActor(t *testing.T) {
	eachDeployment(t, func(t *testing.T, h *deployment) {
		nodes := []*node{h.serve(), h.serve(), h.serve()}
		c := &actors{deployment: h, n: nodes[0], owner: h.session(acmeOwner)}
		auditor := nodes[0].issue(c.owner, acme,
			vars{"name": "Auditor", "scopes": []string{"account_audit_read"}}).access
		c.wantAllWrites(t)
		for name, k := range c.kinds() {
			t.Run(name, func(t *testing.T) {
				p := k.newFixture()
				c.targets(p)
				for revocationName, w := range k.revocations {
					t.Run(revocationName, func(t *testing.T) { c.revokeDuringWrites(t, nodes, k, w, p) })
				}
				c.wantLiveWrites(t, auditor, k, k.newFixture().withTargetsOf(p))
			})
		}
	})
}

// wantAllWrites fails the test for a mutation of the schema, or an OAuth endpoint, that is missing in the tables of
// writes.
func (c *actors) wantAllWrites(t *testing.T) {
	t.Helper()
	// They write nothing, move only a test clock, or need Amazon EventBridge.
	others := []string{"previewChange", "advanceTime", "createEventSource", "deleteEventSource"}
	a := c.n.must(c.owner, acme,
		`{ __schema { mutationType { fields { type { ofType { fields(includeDeprecated: true) { name } } } } } } }`,
		nil)
	var names []string
	for _, match := range regexp.MustCompile(`"name":"([^"]+)"`).FindAllStringSubmatch(a.body, -1) {
		names = append(names, match[1])
		if _, listed := writes[match[1]]; !listed && !slices.Contains(others, match[1]) {
			t.Errorf("the mutation %s: got no test of slow bodies, want one", match[1])
		}
	}
	check.Equal(t, len(names), len(writes)+len(others), "the schema: %q", names)
	a = c.n.send(http.MethodGet, "/.well-known/oauth-authorization-server", "", nil)
	for _, match := range regexp.MustCompile(`_endpoint":"https://keys.example([^"]+)"`).FindAllStringSubmatch(a.body,
		-1) {
		if forms[match[1]] == nil && match[1] != "/oauth2/introspect" {
			t.Errorf("the endpoint %s: got no test of slow bodies, want one", match[1])
		}
	}
}

// requests returns all writes of a kind of actor, except for those in but.
func (k actorKind) requests(t *testing.T, p *fixture, except []string) (names []string, all []request) {
	t.Helper()
	if k.client {
		for path, form := range forms {
			names, all = append(names, path), append(all, clientRequest(p.client, path, form(p)))
		}
		return names, all
	}
	for _, name := range k.mutations {
		if !slices.Contains(except, name) {
			names, all = append(names, name),
				append(all, mutation(t, p.credential, writes[name].query, writes[name].in(p)))
		}
	}
	return names, all
}

// revokeDuringWrites revokes the rights of a new actor while the bodies of all its writes arrive. The writes have the
// targets of p.
func (c *actors) revokeDuringWrites(t *testing.T, nodes []*node, k actorKind, w revocation, p *fixture) {
	t.Helper()
	actor := k.newFixture().withTargetsOf(p)
	names, all := k.requests(t, actor, w.stillAllowed)
	finish := make([]func() answer, len(all))
	for i, r := range all {
		finish[i] = nodes[i%len(nodes)].trickle(r)
	}
	w.end(actor)
	before := dumpRows(t, c.deployment)
	answers := finishAll(finish)
	if after := dumpRows(t, c.deployment); after != before {
		t.Errorf("rows after the rights were revoked: got these differences, want none:\n%s", difference(before, after))
	}
	for i, a := range answers {
		if code := a.refusal(); !slices.Contains(w.codes, code) && !(k.client && a.status == http.StatusUnauthorized) {
			t.Errorf("%s: got %d %s, want %s", names[i], a.status, a.body, w.codes)
		}
	}
	if w.restore != nil {
		w.restore()
	}
}

// refusal returns the code of the first error in a response, of the request or of an item.
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

// difference returns the lines that only one of two dumps has.
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

// wantLiveWrites fails the test for a permitted write that an actor of the kind cannot make or that writes no event,
// and for a write that succeeds but is missing in the table.
func (c *actors) wantLiveWrites(t *testing.T, auditor string, k actorKind, p *fixture) {
	t.Helper()
	if slices.Contains(k.mutations, "transferOwnership") {
		c.session(p.targetEmail("transferOwnership")) // accepts the membership, so that the user can own a store
	}
	names, all := k.requests(t, p, []string{"transferOwnership"})
	if slices.Contains(k.mutations, "transferOwnership") { // last, because it takes rights from its actor
		names, all = append(names, "transferOwnership"),
			append(all, mutation(t, p.credential, writes["transferOwnership"].query, writes["transferOwnership"].in(p)))
	}
	for name, w := range writes {
		if !k.client && !slices.Contains(k.mutations, name) {
			want := "FORBIDDEN"
			if p.ownsStore && (slices.Contains(byMerchants, name) || name == "cancelSubscription") {
				want = "NOT_FOUND" // they are for another store
			}
			if a := c.n.ask(p.credential, acme, w.query, vars{"in": w.in(p)}); a.refusal() != want {
				t.Errorf("%s without the permission: got %d %s, want %s", name, a.status, a.body, want)
			}
		}
	}
	for i, r := range all {
		before := c.n.eventCount(auditor)
		a := c.n.trickle(r)()
		if a.status != http.StatusOK || a.refusal() != "" || c.n.eventCount(auditor) == before {
			t.Errorf("%s by a live actor: got %d %s, want success and an audit event", names[i], a.status, a.body)
		}
	}
}

// document returns a document of first and n mutations that issue tokens.
func document(first string, n int, name string) string {
	var text strings.Builder
	text.WriteString("mutation { apiToken { " + first)
	for i := range n {
		fmt.Fprintf(&text,
			` m%d: createApiToken(input: {name: "%s %d", scopes: ["account_users_read"]}) { apiToken { id } }`, i, name,
			i)
	}
	return text.String() + " } }"
}

// If a mutation reduces the rights of its own actor, the following mutations of the document do not have them.
func TestADocumentThatRemovesItsOwnRights(t *testing.T) {
	eachDeployment(t, func(t *testing.T, h *deployment) {
		c := &actors{deployment: h, n: h.serve(), owner: h.session(acmeOwner)}
		for name, tc := range map[string]struct{ first, code string }{
			"narrowed": {`updateApiToken(input: {id: "%s", scopes: ["account_users_read"]}) { apiToken { id } }`,
				"FORBIDDEN"},
			"revoked": {`revokeApiTokens(input: {ids: ["%s"]}) { revokedIds }`, "UNAUTHENTICATED"},
		} {
			made := c.token()
			got := c.n.ask(made.access, acme, document(fmt.Sprintf(tc.first, made.id), 3, "After"), nil)
			if codes := got.codes(); !slices.Equal(codes, []string{tc.code, tc.code, tc.code}) {
				t.Errorf("%s: got %d %s, want three times %s", name, got.status, got.body, tc.code)
			}
		}
		// A change that reduces no rights affects no other mutation.
		made := c.token()
		c.n.must(made.access, acme,
			document(fmt.Sprintf(`updateApiToken(input: {id: %q, name: "Renamed"}) { apiToken { id } }`, made.id), 3,
				"After"), nil)
	})
}

// When a token is revoked during a document of a hundred mutations, the remaining mutations are refused.
func TestADocumentStopsAtARevocation(t *testing.T) {
	eachDeployment(t, func(t *testing.T, h *deployment) {
		nodes := []*node{h.serve(), h.serve()}
		c := &actors{deployment: h, n: nodes[0], owner: h.session(acmeOwner)}
		auditor := nodes[0].issue(c.owner, acme,
			vars{"name": "Auditor", "scopes": []string{"account_audit_read"}}).access
		for round := range 20 {
			made := c.token()
			began := nodes[0].eventCount(auditor)
			answered := make(chan answer, 1)
			go func() {
				answered <- nodes[round%2].ask(made.access, acme, document("", 100, "Round "+strconv.Itoa(round)), nil)
			}()
			for len(answered) == 0 && nodes[0].eventCount(auditor) == began { // until some of the mutations have run
			}
			nodes[0].must(c.owner, acme, revoke, vars{"in": vars{"ids": []string{made.id}}})
			before := nodes[0].eventCount(auditor)
			got := <-answered
			if after := nodes[0].eventCount(auditor); after != before {
				t.Fatalf("tokens issued after the response to the revocation: got %d, want 0", after-before)
			}
			if slices.ContainsFunc(got.codes(), func(code string) bool { return code != "UNAUTHENTICATED" }) {
				t.Fatalf("got %d %s, want UNAUTHENTICATED only", got.status, got.body)
			}
			for _, id := range c.ids(got) {
				c.n.must(c.owner, acme, revoke, vars{"in": vars{"ids": []string{id}}})
			}
			if n := len(got.Errors); n > 0 && n < 100 {
				return // the revocation interrupted the document
			}
		}
		t.Error("interrupted documents: got none in any round, want one")
	})
}

// ids returns the IDs of the tokens in the data of a response.
func (c *actors) ids(a answer) []string {
	var ids []string
	group, _ := a.Data["apiToken"].(map[string]any)
	for alias := range group {
		if id := a.text("apiToken." + alias + ".apiToken.id"); id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}
