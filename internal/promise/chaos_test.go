package promise_test

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// chaos counts what the rounds came to.
type chaos struct{ made, refused int }

// Every actor's rights end while its writes are under way on three servers:
// the bodies of one half arrive at the same moment, those of the other half
// after the answer. Nothing is written after the answer, and what was written
// before it is in the lists of what to review (docs/promises.md: 2).
func TestWritesBesideTheEnd(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		nodes := []*node{h.serve(), h.serve(), h.serve()}
		c := &cast{house: h, n: nodes[0], owner: h.session(acmeOwner)}
		auditor := nodes[0].issue(c.owner, acme, vars{"name": "Auditor", "scopes": []string{"account_audit_read"}}).access
		var sum chaos
		began := time.Now()
		kinds := c.kinds()
		names := slices.Sorted(maps.Keys(kinds))
		all := rounds(t, 2*len(names))
		for round := range all {
			k := kinds[names[round%len(names)]]
			ways := slices.DeleteFunc(slices.Sorted(maps.Keys(k.ways)), func(how string) bool { return k.ways[how].restore != nil })
			how := ways[round/len(names)%len(ways)]
			c.beside(t, fmt.Sprintf("round %d, %s, %s", round, names[round%len(names)], how), nodes, auditor, k, k.ways[how], round, &sum)
			if t.Failed() {
				return
			}
		}
		c.wantNothingLeft(t)
		t.Logf("%d actors lost their rights; %d writes were made before and %d were refused, in %v",
			all, sum.made, sum.refused, time.Since(began).Round(time.Second))
	})
}

func (c *cast) beside(t *testing.T, what string, nodes []*node, auditor string, k kind, w way, round int, sum *chaos) {
	t.Helper()
	p := k.begin()
	c.targets(p)
	names, all := k.requests(t, p, w.keeps)
	var finish [2][]func() answer
	for i, r := range all {
		finish[(i+round)%2] = append(finish[(i+round)%2], nodes[(i+round)%len(nodes)].trickle(r))
	}
	meanwhile := make(chan []answer, 1)
	go func() { meanwhile <- finishAll(finish[0]) }()
	w.end(p)
	before := c.happenedBy(auditor, p)
	after := finishAll(finish[1])
	beside := <-meanwhile
	if then := c.happenedBy(auditor, p); then != before {
		t.Errorf("%s: changes were made after the answer, by one of %q: %s, before %s", what, names, then, before)
	}
	for _, a := range slices.Concat(beside, after) {
		switch {
		case a.status == http.StatusOK && a.refusal() == "":
			sum.made++
		case a.refusal() == "INTERNAL" || a.status == http.StatusInternalServerError:
			t.Errorf("%s: answered %d %s", what, a.status, a.body)
		default:
			sum.refused++
		}
	}
	for _, a := range after {
		if a.status == http.StatusOK && a.refusal() == "" {
			t.Errorf("%s: a write was acknowledged after the answer: %s", what, a.body)
		}
	}
	c.cleanUp(t, what, p)
}

// happenedBy is how many events of an actor the audit log has.
func (c *cast) happenedBy(auditor string, p *party) string {
	c.t.Helper()
	a := c.n.must(auditor, acme, `query($id: ID!) { account { auditEvents(first: 1, filter: {actorId: $id}) { collectionInfo { totalItems } } } }`, vars{"id": p.id})
	total, _, _ := strings.Cut(a.body, "\n")
	return total
}

const (
	revokeListing = `mutation($in: RevokeApiTokensInput!) { apiToken { revokeApiTokens(input: $in) { revokedIds
		issuedTokensToReview { id } usersToReview(first: 250) { edges { node { email } } } } } }`
	whoIsThere = `query($e: [String!]) { account { users(filter: {emails: $e}, first: 250) { edges { node { email } } } } }`
)

var (
	tokenIDs  = regexp.MustCompile(`bc/account/apiToken/[0-9a-f-]{36}`)
	addresses = regexp.MustCompile(`"email":"([^"]+)"`)
)

// cleanUp takes away what the actor made as far as the lists of what to review
// show it, and the targets. What no list shows stays (wantNothingLeft).
func (c *cast) cleanUp(t *testing.T, what string, p *party) {
	t.Helper()
	var mine, all []string // addresses
	for name := range writes {
		mine, all = append(mine, p.fresh(name)), append(all, p.target(name))
	}
	review := p.ended
	switch {
	case p.client.id != "":
		a := c.n.must(c.owner, acme, revokeListing, vars{"in": vars{"ids": []string{p.id}}})
		there := c.n.must(c.owner, acme, whoIsThere, vars{"e": mine})
		for _, match := range addresses.FindAllStringSubmatch(there.body, -1) {
			if !strings.Contains(a.body, match[0]) {
				t.Errorf("%s: user %s is in no list of what to review", what, match[1])
			}
		}
		review = a.body
	case p.email == acmeOwner: // stays, and so do their tokens
		review = c.n.must(c.owner, acme, `{ account { apiTokens(first: 50) { edges { node { id name } } } } }`, nil).body
		review = strings.Join(regexp.MustCompile(`"id":"[^"]+","name":"Under way"`).FindAllString(review, -1), "\n")
	default:
		if p.ownsStore {
			shop := c.userID(c.n, c.owner, shopOwner)
			c.by(people("account", "transferOwnership"), func(*party) vars { return vars{"storeId": euStore, "userId": shop} })(p)
		}
		review += c.n.ask(c.owner, acme, remove, vars{"in": vars{"email": p.email}}).body
	}
	ids := append(tokenIDs.FindAllString(review, -1), slices.Collect(maps.Values(p.tokens))...)
	slices.Sort(ids)
	c.n.must(c.owner, acme, revoke, vars{"in": vars{"ids": slices.Compact(ids)}})
	var leave []vars
	for _, email := range append(mine, all...) {
		leave = append(leave, vars{"email": email})
	}
	c.n.must(c.owner, acme, deprovision, vars{"in": vars{"users": leave}})
}

// wantNothingLeft fails the test for live API tokens and users that are not
// those it began with.
func (c *cast) wantNothingLeft(t *testing.T) {
	t.Helper()
	a := c.n.must(c.owner, acme, `{ account { apiTokens(first: 50) { edges { node { name } } } users(first: 50) { edges { node { email } } }
		stores { edges { node { apiTokens(first: 50) { edges { node { name } } } } } } } }`, nil)
	tokens := regexp.MustCompile(`"name":"[^"]+"`).FindAllString(a.body, -1)
	users := addresses.FindAllString(a.body, -1)
	slices.Sort(users)
	if !slices.Equal(tokens, []string{`"name":"Auditor"`}) || !slices.Equal(users, []string{`"email":"` + shopOwner + `"`, `"email":"` + acmeOwner + `"`}) {
		t.Errorf("there are left the API tokens %s and the users %s", tokens, users)
	}
}
