package promises_test

import (
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/membership"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
	"latchkey/internal/user"
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

// A user who is deactivated on another server while they issue tokens issues none afterwards. Those that they issued
// before are in the list of items to review, or are revoked by the account's policy (docs/promises.md: 2).
func TestIssuingDuringADeactivation(t *testing.T) {
	eachDeployment(t, func(t *testing.T, h *deployment) {
		nodes := []*node{h.serve(), h.serve(), h.serve()}
		c := &actors{deployment: h, n: nodes[0], owner: h.session(acmeOwner)}
		auditor := nodes[0].issue(c.owner, acme,
			vars{"name": "Auditor", "scopes": []string{"account_audit_read"}}).access
		service := membership.NewService(dbtest.Open(t, h.url).Memberships(), time.Now)
		by := auth.OperatorPrincipal()
		by.AccountID = uuid.MustParse(acme)
		for round := range rounds(t, 2) {
			policy := account.OffboardingPolicies()[round%2]
			if _, err := service.SetOffboardingPolicy(t.Context(), &by, policy); err != nil {
				t.Fatal(err)
			}
			_, email, session := c.member()
			var left membership.RemovalResult
			in := vars{"name": "Raced", "scopes": []string{"store_cart"}, "storeId": euStore}
			ids, before, after := race(t, nodes, session, auditor, in, func() {
				var err error
				left, err = service.Deactivate(t.Context(), &by,
					membership.Deactivation{User: user.Ref{Email: &email}})
				if err != nil {
					t.Fatal(err)
				}
			})
			if after != before {
				t.Fatalf("round %d: tokens issued after the deactivation: got %d, want 0", round, after-before)
			}
			listed := map[string]bool{}
			for _, each := range left.Review {
				listed[token.IDPrefix+each.ID.String()] = (each.Revocation != nil) == (policy == account.RevokeTokens)
			}
			for _, id := range ids {
				if !listed[id] {
					t.Fatalf("round %d, %s: token %s is not to review, or not handled by the policy", round, policy, id)
				}
			}
			if _, err := service.Reactivate(t.Context(), &by, user.Ref{Email: &email}); err != nil {
				t.Fatal(err)
			}
			if a := nodes[1].ask(session, acme, create, vars{"in": in}); a.status != http.StatusUnauthorized {
				t.Fatalf("round %d, the session after the reactivation: got %d %s, want 401", round, a.status, a.body)
			}
			for chunk := range slices.Chunk(ids, 50) {
				nodes[0].must(c.owner, acme, revoke, vars{"in": vars{"ids": chunk}})
			}
		}
	})
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
