package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// Restarting three servers one after the other behind HAProxy and nginx,
// without retries, fails no request.
func TestRollingRestartFailsNoRequest(t *testing.T) {
	keepRace(t)
	url := dbtest.PostgresDSN(t)
	env := environment(t, url)
	run(t, env, "migrate")
	f := startFleet(t, env)
	balancers := []balancer{startHAProxy(t, f.nodes), startNginxBalancer(t, f.nodes)}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var sending sync.WaitGroup
	tallies := make([]tally, len(balancers))
	for i, b := range balancers {
		for range 3 {
			sending.Go(func() { f.send(ctx, b, &tallies[i]) })
		}
	}
	enough := requestsPerBalancer(t)
	for restarts := 0; restarts == 0 || tallies[0].sent.Load() < enough || tallies[1].sent.Load() < enough; restarts++ {
		for i := range f.nodes {
			for _, b := range balancers {
				b.remove(t, i)
			}
			f.restart(t, i)
			for _, b := range balancers {
				b.restore(t, i)
			}
		}
	}
	cancel()
	sending.Wait()
	for i, b := range balancers {
		sent, failed := tallies[i].sent.Load(), tallies[i].failed.Load()
		t.Logf("%T: %d of %d requests failed", b, failed, sent)
		if failed > 0 {
			t.Errorf("%T: got %d failures, want 0; the first: %s", b, failed, *tallies[i].first.Load())
		}
		if sent < 100 {
			t.Errorf("%T: got %d requests, want at least 100", b, sent)
		}
	}
}

// requestsPerBalancer returns the minimum number of requests:
// LATCHKEY_CHAOS_REQUESTS, which `make chaos` sets, or as many as are sent
// during one restart of each server.
func requestsPerBalancer(t *testing.T) int64 {
	t.Helper()
	text, set := os.LookupEnv("LATCHKEY_CHAOS_REQUESTS")
	if !set {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		t.Fatalf("LATCHKEY_CHAOS_REQUESTS: got %q, want a number of requests", text)
	}
	return n
}

// fleet is three servers with fixed addresses on one database.
type fleet struct {
	env     map[string]string
	nodes   []node
	session string
	token   string // id of an API token
}

// node is the addresses and the process of a server.
type node struct {
	public, admin string // host:port
	*server
}

func (n node) args() []string {
	return []string{"--addr", n.public, "--admin-addr", n.admin, "--shutdown-delay", "1s"}
}

func startFleet(t *testing.T, env map[string]string) *fleet {
	t.Helper()
	f := &fleet{env: env}
	for i := range 3 {
		n := node{public: freeAddress(t), admin: freeAddress(t)}
		if i == 0 {
			n.server, f.session = demo(t, env, n.args()...)
		} else {
			n.server = serve(t, env, n.args()...)
		}
		n.shows(t, "/readyz", `{"ready":true`)
		f.nodes = append(f.nodes, n)
	}
	var made issued
	f.nodes[0].must(t, f.session, issue("First", `scopes: ["account_read"]`), &made)
	f.token = made.APIToken.CreateAPIToken.APIToken.ID
	return f
}

func freeAddress(t *testing.T) string { return fmt.Sprintf("127.0.0.1:%d", dbtest.FreePort(t)) }

func (f *fleet) restart(t *testing.T, i int) {
	t.Helper()
	n := &f.nodes[i]
	check.Equal(t, n.stop(t), 0, "server %d ended with status: %s", i, n.logged())
	n.server = serve(t, f.env, n.args()...)
	n.shows(t, "/readyz", `{"ready":true`)
}

// tally counts requests.
type tally struct {
	sent, failed atomic.Int64
	first        atomic.Pointer[string] // failure
}

// send sends requests until ctx ends: ten queries, then a mutation, repeatedly.
func (f *fleet) send(ctx context.Context, b balancer, tally *tally) {
	client := b.client()
	rename := fmt.Sprintf(
		`mutation { apiToken { updateApiToken(input: {id: %q, name: "Renamed"}) { apiToken { id } } } }`, f.token)
	for n := 0; ctx.Err() == nil; n++ {
		time.Sleep(2 * time.Millisecond) // leaves CPU time for the restarts
		query := "{ viewer { kind } }"
		if n%10 == 9 {
			query = rename
		}
		tally.sent.Add(1)
		if err := post(client, b.url(), f.session, query); err != nil {
			tally.failed.Add(1)
			failure := err.Error()
			tally.first.CompareAndSwap(nil, &failure)
		}
	}
}

// post sends a request to the API and returns an error unless the response has
// no errors.
func post(client *http.Client, url, token, query string) error {
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		return err
	}
	req, err := http.NewRequest("POST", url+"/accounts/"+acmeID+"/graphql", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("X-Auth-Token", token)
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || bytes.Contains(answer, []byte(`"errors"`))) {
		err = fmt.Errorf("got %d %s", res.StatusCode, answer)
	}
	return err
}
