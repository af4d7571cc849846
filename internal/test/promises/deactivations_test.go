package promises_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// perSecond is how many requests a second identity providers send.
const perSecond = 25

// slow returns the time within which 99 of 100 requests of others are answered meanwhile. It is longer if the race
// detector and other tests use the same processors.
func slow() time.Duration {
	if _, set := os.LookupEnv("LATCHKEY_CHAOS_ROUNDS"); set {
		return time.Second
	}
	return 5 * time.Second
}

// An identity provider deactivates many users at 25 requests a second, within the default rate limits, while others use
// the API: no request fails, those of others are answered in time, and sessions of the deactivated end at once.
func TestManyDeactivations(t *testing.T) {
	eachDeployment(t, func(t *testing.T, h *deployment) {
		h.settings = map[string]string{"LATCHKEY_RATE_LIMITS": "on"}
		n := h.serve()
		owner := h.session(acmeOwner)
		provider := n.issue(owner, acme, vars{"name": "Identity provider", "scopes": providerScopes}).access
		users := n.leavers(owner, provider, rounds(t, 50))
		sessions := map[string]string{}
		for i := 0; i < len(users); i += max(1, len(users)/10) {
			sessions[users[i].path] = h.session(users[i].email)
		}
		others := newCrowd(t, h, n, owner)
		began := time.Now()
		failures := make(chan error, 3*len(users))
		var sent sync.WaitGroup
		tick := time.NewTicker(time.Second / perSecond)
		defer tick.Stop()
		for _, u := range users {
			<-tick.C
			sent.Go(func() { failures <- n.deactivates(provider, u.path, sessions[u.path]) })
		}
		sent.Wait()
		took := time.Since(began)
		close(failures)
		for err := range failures {
			if err != nil {
				t.Error(err)
			}
		}
		others.stop(t)
		if most := time.Duration(len(users))*time.Second/perSecond + 2*slow(); took > most {
			t.Errorf("%d deactivations: got all answered after %v, want at most %v", len(users), took, most)
		}
		a := n.scimMust(provider, http.MethodGet, "/Users?count=0&filter="+url.QueryEscape("active eq false"), "")
		if want := fmt.Sprintf(`"totalResults":%d`, len(users)); !strings.Contains(a.body, want) {
			t.Errorf("deactivated users: got %s, want %s", a.body, want)
		}
		a = n.must(owner, acme,
			`{ account { auditEvents(filter: {actions: ["user.deactivated"]}) { totalCount } } }`, nil)
		if want := fmt.Sprintf(`"totalCount":%d`, len(users)); !strings.Contains(a.body, want) {
			t.Errorf("events: got %s, want %s", a.body, want)
		}
		t.Logf("%d users in %v; %s", len(users), took.Round(time.Millisecond), others)
	})
}

// leaver is a user to deactivate.
type leaver struct{ email, path string }

// leavers adds users to the account and its first store.
func (n *node) leavers(owner, provider string, count int) []leaver {
	n.t.Helper()
	all := make([]vars, count)
	for i := range all {
		all[i] = vars{"email": fmt.Sprintf("leaver%d@acme.example", i), "stores": []string{"acme1us"}}
	}
	for some := range slices.Chunk(all, 50) {
		n.must(owner, acme, provision, vars{"in": vars{"users": some}})
	}
	var found []leaver
	for start := 1; len(found) < count; start += 200 {
		a := n.scimMust(provider, http.MethodGet, fmt.Sprintf("/Users?attributes=userName&startIndex=%d", start), "")
		var page struct {
			Resources []struct{ ID, UserName string }
		}
		text, _, _ := strings.Cut(a.body, "\n")
		if err := json.Unmarshal([]byte(text), &page); err != nil || len(page.Resources) == 0 {
			n.t.Fatalf("list the users from %d: got %s, %v, want a page", start, a.body, err)
		}
		for _, u := range page.Resources {
			if strings.HasPrefix(u.UserName, "leaver") {
				found = append(found, leaver{u.UserName, "/Users/" + u.ID})
			}
		}
	}
	return found
}

// deactivates deactivates a user over SCIM. The user's session, if it is not empty, must be refused afterwards.
func (n *node) deactivates(provider, path, session string) error {
	status, body, err := n.post(http.MethodPatch, "/accounts/"+acme+"/scim/v2"+path, provider, setActive(`"False"`))
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("deactivate: got %d %s, want 200", status, body)
	}
	if session == "" || err != nil {
		return err
	}
	status, _, err = n.post(http.MethodPost, "/accounts/"+acme+"/graphql", session, `{"query": "`+viewer+`"}`)
	if err == nil && status != http.StatusUnauthorized {
		err = fmt.Errorf("the session of a deactivated user: got %d, want 401", status)
	}
	return err
}

// post sends a request with a body in JSON, from any goroutine.
func (n *node) post(method, path, token, body string) (status int, text string, err error) {
	req, err := http.NewRequestWithContext(n.t.Context(), method, n.public+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := n.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	all, err := io.ReadAll(res.Body)
	return res.StatusCode, string(all), errors.Join(err, res.Body.Close())
}

// crowd are clients of the API, which read and write all the time.
type crowd struct {
	ending chan struct{}
	done   sync.WaitGroup

	mu       sync.Mutex
	times    []time.Duration
	failures []string
}

// newCrowd starts clients that send 20 requests a second each: a token and two sessions that read, and a token that
// writes.
func newCrowd(t *testing.T, h *deployment, n *node, owner string) *crowd {
	t.Helper()
	c := &crowd{ending: make(chan struct{})}
	issue := func(scopes ...string) string {
		return n.issue(owner, acme, vars{"name": "Other", "scopes": scopes}).access
	}
	reader, writer := issue("account_read", "account_users_read"), issue("account_users_write")
	const read = `{"query": "{ account { accountInfo { name } users(first: 10) {
		edges { node { email stores { totalCount } } } } } }"}`
	shop := h.userID(n, owner, shopOwner)
	written := 0
	write := func() string {
		written++
		body, _ := json.Marshal(map[string]any{"query": userMutation("user", "updateUser"),
			"variables": vars{"in": vars{"userId": shop, "lastName": fmt.Sprint("Owner ", written)}}})
		return string(body)
	}
	reads := func() string { return strings.Join(strings.Fields(read), " ") }
	for _, client := range []struct {
		token string
		body  func() string
	}{{reader, reads}, {owner, reads}, {h.session(shopOwner), func() string { return `{"query": "` + viewer + `"}` }},
		{writer, write}} {
		c.done.Go(func() { c.sends(n, client.token, client.body) })
	}
	return c
}

// sends sends requests until the crowd is stopped.
func (c *crowd) sends(n *node, token string, body func() string) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-c.ending:
			return
		case <-tick.C:
		}
		began := time.Now()
		status, text, err := n.post(http.MethodPost, "/accounts/"+acme+"/graphql", token, body())
		took := time.Since(began)
		c.mu.Lock()
		c.times = append(c.times, took)
		if err != nil || status != http.StatusOK || strings.Contains(text, `"errors"`) {
			c.failures = append(c.failures, fmt.Sprintf("%d %.500s %v", status, text, err))
		}
		c.mu.Unlock()
	}
}

// stop ends the clients and checks what they got.
func (c *crowd) stop(t *testing.T) {
	t.Helper()
	close(c.ending)
	c.done.Wait()
	if len(c.failures) > 0 {
		t.Errorf("failed requests of others: got %d, the first %s, want none", len(c.failures), c.failures[0])
	}
	slices.Sort(c.times)
	if len(c.times) < 50 {
		t.Fatalf("requests of others: got %d, want at least 50", len(c.times))
	}
	if got := c.quantile(0.99); got > slow() {
		t.Errorf("99 of 100 requests of others: got an answer within %v, want within %v; %s", got, slow(), c)
	}
}

func (c *crowd) quantile(q float64) time.Duration { return c.times[int(q*float64(len(c.times)-1))] }

// String returns the distribution of the times of requests, which stop has sorted.
func (c *crowd) String() string {
	return fmt.Sprintf("%d requests of others, of which half were answered within %v and 99 of 100 within %v",
		len(c.times), c.quantile(0.5), c.quantile(0.99))
}
