package cli_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// ledger records what clients know: the tokens issued, and those revoked for
// certain or, if the request got no response, possibly.
type ledger struct {
	mu     sync.Mutex
	tokens map[string]*entry // by id
	limits int
}

type entry struct {
	access             string
	revoked, uncertain bool
}

func (l *ledger) add(id, access string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tokens[id] = &entry{access: access}
}

func (l *ledger) limitReached() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limits++
}

// pick chooses a token to revoke, whose state is uncertain from now on.
func (l *ledger) pick() (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, e := range l.tokens {
		if !e.revoked && !e.uncertain {
			e.uncertain = true
			return id, true
		}
	}
	return "", false
}

func (l *ledger) revoked(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tokens[id].revoked, l.tokens[id].uncertain = true, false
}

// await waits for that many more responses.
func (l *ledger) await(t *testing.T, more int) {
	t.Helper()
	issued, revoked := l.acknowledged()
	goal := issued + revoked + more
	for deadline := time.Now().Add(time.Minute); issued+revoked < goal; issued, revoked = l.acknowledged() {
		if time.Now().After(deadline) {
			t.Fatalf("responses: got %d within 1m, want %d", issued+revoked, goal)
		}
		time.Sleep(time.Millisecond)
	}
}

// acknowledged returns the number of responses.
func (l *ledger) acknowledged() (issued, revoked int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.tokens {
		if e.revoked {
			revoked++
		}
	}
	return len(l.tokens), revoked
}

// Acknowledged changes survive a crash at any time: an issued token works, a
// revoked one does not, and the token limit is never exceeded
// (docs/promises.md: 3).
func TestKilled(t *testing.T) {
	keepRace(t)
	t.Run("sqlite", func(t *testing.T) {
		survive(t, environment(t, dbtest.SQLiteURL(t)), func() {})
	})
	t.Run("postgres", func(t *testing.T) {
		cluster, url := dbtest.OwnCluster(t, dbtest.Options{Durable: true})
		env := environment(t, url)
		run(t, env, "migrate")
		survive(t, env, func() {
			// The database crashes together with its client.
			if err := cluster.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := cluster.Restart(); err != nil {
				t.Fatal(err)
			}
		})
	})
}

const maxLive = 20

func survive(t *testing.T, env map[string]string, crash func()) {
	l := &ledger{tokens: map[string]*entry{}}
	limit := fmt.Sprint(maxLive)
	s, session := demo(t, env, "--max-tokens-per-account", limit)
	for round := range 3 {
		var workers sync.WaitGroup
		for range 8 {
			workers.Go(func() { l.load(t, s, session) })
		}
		l.await(t, 40+rand.N(40))
		s.kill()
		if round == 2 {
			crash()
		}
		workers.Wait()
		s = serve(t, env, "--max-tokens-per-account", limit)
		l.check(t, s)
		checkLimit(t, env)
	}
	issued, revoked := l.acknowledged()
	if l.limits == 0 || revoked == 0 {
		t.Errorf("operations: got %d revoked and %d at the limit, want at least one of each", revoked, l.limits)
	}
	t.Logf("%d issued, %d revoked, %d times the limit", issued, revoked, l.limits)
}

// load issues and revokes tokens until the server is down.
func (l *ledger) load(t *testing.T, s *server, session string) {
	for {
		answer, err := s.ask(session, issue("Under load", `scopes: ["account_read"]`))
		if err != nil {
			return
		}
		switch {
		case len(answer.Errors) == 0:
			var made issued
			if err := json.Unmarshal(answer.Data, &made); err != nil {
				t.Errorf("the response is not JSON: %v", err)
				return
			}
			l.add(made.APIToken.CreateAPIToken.APIToken.ID, made.APIToken.CreateAPIToken.Credentials.AccessToken)
			continue
		case answer.Errors[0].Extensions.Code != "LIMIT_REACHED":
			t.Errorf("issuing: got errors %+v, want none or LIMIT_REACHED", answer.Errors)
			return
		}
		l.limitReached()
		for range 3 {
			id, any := l.pick()
			if !any {
				break
			}
			answer, err := s.ask(session, revoke(id))
			if err != nil {
				return
			}
			if len(answer.Errors) > 0 {
				t.Errorf("revoking: got errors %+v, want none", answer.Errors)
				return
			}
			l.revoked(id)
		}
	}
}

// check verifies every token. If a revocation got no response, either result is
// correct, and certain from then on.
func (l *ledger) check(t *testing.T, s *server) {
	t.Helper()
	for id, e := range l.tokens {
		answer, err := s.ask(e.access, "{ viewer { kind } }")
		if err != nil {
			t.Fatal(err)
		}
		if e.uncertain {
			e.uncertain, e.revoked = false, answer.status == http.StatusUnauthorized
		}
		want := http.StatusOK
		if e.revoked {
			want = http.StatusUnauthorized
		}
		check.Equal(t, answer.status, want, "token %s, revoked %v", id, e.revoked)
	}
}

func checkLimit(t *testing.T, env map[string]string) {
	t.Helper()
	var list struct{ APITokens []struct{ ID string } }
	out := run(t, env, "token", "list", "--account", acmeID, "--status", "active", "--output", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.APITokens) > maxLive {
		t.Errorf("%d active tokens, want at most %d", len(list.APITokens), maxLive)
	}
}
