package promises_test

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// chaos counts the results of all rounds.
type chaos struct{ succeeded, refused int }

// Every actor loses its rights while its writes are under way on three servers: half of the bodies arrive at the same
// time as the revocation, the other half after its response. Nothing is written after the response, and everything
// written before it is in the lists of items to review (docs/promises.md: 2).
func TestWritesDuringARevocation(t *testing.T) {
	eachDeployment(t, func(t *testing.T, h *deployment) {
		nodes := []*node{h.serve(), h.serve(), h.serve()}
		c := &actors{deployment: h, n: nodes[0], owner: h.session(acmeOwner)}
		auditor := nodes[0].issue(c.owner, acme,
			vars{"name": "Auditor", "scopes": []string{"account_audit_read"}}).access
		var sum chaos
		began := time.Now()
		kinds := c.kinds()
		names := slices.Sorted(maps.Keys(kinds))
		all := rounds(t, 2*len(names))
		for round := range all {
			k := kinds[names[round%len(names)]]
			candidates := slices.DeleteFunc(slices.Sorted(maps.Keys(k.revocations)),
				func(name string) bool { return k.revocations[name].restore != nil })
			chosen := candidates[round/len(names)%len(candidates)]
			c.writeDuringRevocation(t, fmt.Sprintf("round %d, %s, %s", round, names[round%len(names)], chosen), nodes,
				auditor, k, k.revocations[chosen], round, &sum)
			if t.Failed() {
				return
			}
		}
		c.wantNoLeftovers(t)
		t.Logf("%d actors lost their rights; %d writes were made before and %d were refused, in %v",
			all, sum.succeeded, sum.refused, time.Since(began).Round(time.Second))
	})
}

func (c *actors) writeDuringRevocation(t *testing.T, what string, nodes []*node, auditor string, k actorKind,
	w revocation, round int, sum *chaos) {
	t.Helper()
	p := k.newFixture()
	c.targets(p)
	names, all := k.requests(t, p, w.stillAllowed)
	var finish [2][]func() answer
	for i, r := range all {
		finish[(i+round)%2] = append(finish[(i+round)%2], nodes[(i+round)%len(nodes)].trickle(r))
	}
	meanwhile := make(chan []answer, 1)
	go func() { meanwhile <- finishAll(finish[0]) }()
	w.end(p)
	before := c.eventCountOf(auditor, p)
	after := finishAll(finish[1])
	during := <-meanwhile
	check.Equal(t, c.eventCountOf(auditor, p), before, "%s: changes were made after the response, by one of %q, before",
		what, names)
	for _, a := range slices.Concat(during, after) {
		switch {
		case a.status == http.StatusOK && a.refusal() == "":
			sum.succeeded++
		case a.refusal() == "INTERNAL" || a.status == http.StatusInternalServerError:
			t.Errorf("%s: got %d %s, want success or a refusal", what, a.status, a.body)
		default:
			sum.refused++
		}
	}
	for _, a := range after {
		if a.status == http.StatusOK && a.refusal() == "" {
			t.Errorf("%s: a write after the response: got success %s, want it refused", what, a.body)
		}
	}
	c.cleanUp(t, what, p)
}

// eventCountOf returns the number of an actor's events in the audit log.
func (c *actors) eventCountOf(auditor string, p *fixture) string {
	c.t.Helper()
	a := c.n.must(auditor, acme,
		`query($id: ID!) { account { auditEvents(first: 1, filter: {actorId: $id}) { collectionInfo { totalItems } } } }`, vars{"id": p.id})
	total, _, _ := strings.Cut(a.body, "\n")
	return total
}

const (
	revokeWithReview = `mutation($in: RevokeApiTokensInput!) { apiToken { revokeApiTokens(input: $in) { revokedIds
		issuedTokensToReview { id } usersToReview(first: 250) { edges { node { email } } } } } }`
	usersByEmail = `query($e: [String!]) { account { users(filter: {emails: $e}, first: 250) { edges { node { email } } } } }`
)

var (
	tokenIDs   = regexp.MustCompile(`bc/account/apiToken/[0-9a-f-]{36}`)
	webhookIDs = regexp.MustCompile(`bc/account/webhook/[0-9a-f-]{36}`)
	addresses  = regexp.MustCompile(`"email":"([^"]+)"`)
)

// cleanUp deletes what the actor created, as far as the lists of items to review show it, and the targets. Anything
// missing from those lists stays for wantNoLeftovers to find. Webhooks and checkouts are in no list, and their number
// is limited.
func (c *actors) cleanUp(t *testing.T, what string, p *fixture) {
	t.Helper()
	var created, all []string // addresses
	for name := range writes {
		created, all = append(created, p.newEmail(name)), append(all, p.targetEmail(name))
	}
	review := p.revocationResponse
	switch {
	case p.client.id != "":
		a := c.n.must(c.owner, acme, revokeWithReview, vars{"in": vars{"ids": []string{p.id}}})
		existing := c.n.must(c.owner, acme, usersByEmail, vars{"e": created})
		for _, match := range addresses.FindAllStringSubmatch(existing.body, -1) {
			if !strings.Contains(a.body, match[0]) {
				t.Errorf("%s: items to review: got %s, want the user %s among them", what, a.body, match[1])
			}
		}
		review = a.body
	case p.email == acmeOwner: // the owner stays, with their tokens
		review = c.n.must(c.owner, acme, `{ account { apiTokens(first: 50) { edges { node { id name } } } } }`,
			nil).body
		review = strings.Join(regexp.MustCompile(`"id":"[^"]+","name":"In progress"`).FindAllString(review, -1), "\n")
	default:
		if p.ownsStore {
			shop := c.userID(c.n, c.owner, shopOwner)
			c.by(userMutation("account", "transferOwnership"),
				func(*fixture) vars { return vars{"storeId": euStore, "userId": shop} })(p)
		}
		review += c.n.ask(c.owner, acme, remove, vars{"in": vars{"email": p.email}}).body
	}
	ids := append(tokenIDs.FindAllString(review, -1), slices.Collect(maps.Values(p.tokens))...)
	slices.Sort(ids)
	c.n.must(c.owner, acme, revoke, vars{"in": vars{"ids": slices.Compact(ids)}})
	var removals []vars
	for _, email := range append(created, all...) {
		removals = append(removals, vars{"email": email})
	}
	c.n.must(c.owner, acme, deprovision, vars{"in": vars{"users": removals}})
	webhooks := c.n.must(c.owner, acme, `{ account { webhooks(first: 50) { edges { node { id } } } } }`, nil)
	for _, id := range webhookIDs.FindAllString(webhooks.body, -1) {
		c.n.must(c.owner, acme, `mutation($in: DeleteWebhookInput!) { webhook {
			deleteWebhook(input: $in) { deletedWebhookId } } }`, vars{"in": vars{"id": id}})
	}
	expired := "UPDATE checkouts SET expires_at = created_at WHERE state = 'OPEN'"
	dbtest.Exec(t, c.url, expired, expired)
}

// wantNoLeftovers fails the test for active API tokens and users that did not exist at the start.
func (c *actors) wantNoLeftovers(t *testing.T) {
	t.Helper()
	a := c.n.must(c.owner, acme, `{ account { apiTokens(first: 50) { edges { node { name } } } users(first: 50) { edges { node { email } } }
		stores { edges { node { apiTokens(first: 50) { edges { node { name } } } } } } } }`, nil)
	tokens := regexp.MustCompile(`"name":"[^"]+"`).FindAllString(a.body, -1)
	users := addresses.FindAllString(a.body, -1)
	slices.Sort(users)
	if !slices.Equal(tokens, []string{`"name":"Auditor"`}) ||
		!slices.Equal(users, []string{`"email":"` + shopOwner + `"`, `"email":"` + acmeOwner + `"`}) {
		t.Errorf("left after the chaos: got the API tokens %s and the users %s, want the auditor and the two owners",
			tokens, users)
	}
}
