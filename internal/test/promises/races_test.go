package promises_test

import (
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// rounds returns how often a race is run: LATCHKEY_CHAOS_ROUNDS, which `make chaos` sets, or few, which takes seconds.
func rounds(t *testing.T, few int) int {
	t.Helper()
	text, set := os.LookupEnv("LATCHKEY_CHAOS_ROUNDS")
	if !set {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("LATCHKEY_CHAOS_ROUNDS: got %q, want a number of rounds", text)
	}
	return n
}

// race issues tokens with four clients on all nodes until they are refused, and calls take meanwhile, which revokes the
// credential's rights. It returns the IDs of the tokens, and the number of events just after take and at the end.
func race(t *testing.T, nodes []*node, credential, auditor string, in vars, revokeRights func()) (ids []string, before,
	after int) {
	t.Helper()
	var mu sync.Mutex
	var clients sync.WaitGroup
	started := make(chan struct{}, 1000)
	for i := range 4 {
		clients.Go(func() {
			for range 5000 {
				a := nodes[i%len(nodes)].ask(credential, acme, create, vars{"in": in})
				if a.status == http.StatusUnauthorized || slices.Contains(a.codes(), "UNAUTHENTICATED") {
					return
				}
				id := a.text("apiToken.createApiToken.apiToken.id")
				if slices.Contains(a.codes(), "LIMIT_REACHED") {
					continue // until the rights are revoked
				}
				if id == "" {
					t.Errorf("createApiToken: got %d %s, want a token, or LIMIT_REACHED", a.status, a.body)
					return
				}
				mu.Lock()
				ids = append(ids, id)
				mu.Unlock()
				started <- struct{}{}
			}
			t.Error("issuing after the revocation: got no refusal, want one")
		})
	}
	<-started
	revokeRights()
	before = nodes[0].eventCount(auditor)
	clients.Wait()
	return ids, before, nodes[0].eventCount(auditor)
}

// A user who is removed, or whose token is revoked, while they issue tokens, issues none afterwards. Tokens that a
// removed user issued before are in the list of items to review (docs/promises.md: 2).
func TestIssuingDuringARemoval(t *testing.T) {
	eachDeployment(t, func(t *testing.T, h *deployment) {
		nodes := []*node{h.serve(), h.serve(), h.serve()}
		c := &actors{deployment: h, n: nodes[0], owner: h.session(acmeOwner)}
		auditor := nodes[0].issue(c.owner, acme,
			vars{"name": "Auditor", "scopes": []string{"account_audit_read"}}).access
		made := 0
		check := func(round int, change string, ids []string, before, after int) {
			if after != before {
				t.Fatalf("round %d, %s: tokens issued after the response: got %d, want 0", round, change, after-before)
			}
			made += len(ids)
			for chunk := range slices.Chunk(ids, 50) {
				nodes[0].must(c.owner, acme, revoke, vars{"in": vars{"ids": chunk}})
			}
		}
		all := rounds(t, 2)
		for round := range all {
			_, email, session := c.member()
			var removed answer
			in := vars{"name": "Raced", "scopes": []string{"store_cart"}, "storeId": euStore}
			ids, before, after := race(t, nodes, session, auditor, in, func() {
				removed = nodes[round%3].must(c.owner, acme, remove, vars{"in": vars{"email": email}})
			})
			for _, id := range ids {
				if !strings.Contains(removed.body, id) {
					t.Fatalf("round %d: items to review: got %s, want the active token %s among them", round,
						removed.body, id)
				}
			}
			check(round, "removed", ids, before, after)
			token := c.token()
			in = vars{"name": "Raced", "scopes": []string{"account_users_read"}}
			ids, before, after = race(t, nodes, token.access, auditor, in, func() {
				nodes[round%3].must(c.owner, acme, revoke, vars{"in": vars{"ids": []string{token.id}}})
			})
			check(round, "revoked", ids, before, after)
		}
		t.Logf("%d removals and %d revocations raced with the issuing of %d tokens", all, all, made)
	})
}
