package cli_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"latchkey/internal/dbtest"
)

// ledger is what clients were told: which tokens were issued, and which are
// revoked for certain, or perhaps, since nobody answered.
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

// pick chooses a token to revoke, which is uncertain from now on.
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

// await waits for so many more answers.
func (l *ledger) await(t *testing.T, more int) {
	t.Helper()
	issued, revoked := l.acknowledged()
	goal := issued + revoked + more
	for deadline := time.Now().Add(time.Minute); issued+revoked < goal; issued, revoked = l.acknowledged() {
		if time.Now().After(deadline) {
			t.Fatalf("only %d of %d answers", issued+revoked, goal)
		}
		time.Sleep(time.Millisecond)
	}
}

// acknowledged counts what was answered.
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

// Whatever was acknowledged survives a crash, at any moment: an issued token
// works, a revoked one does not, the limit was never passed (mission: promise 3).
func TestKilled(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		survive(t, environment(t, dbtest.SQLiteURL(t)), func() {})
	})
	t.Run("postgres", func(t *testing.T) {
		cluster, url := dbtest.OwnCluster(t, dbtest.Options{Durable: true})
		env := environment(t, url)
		run(t, env, "migrate")
		survive(t, env, func() {
			// The database crashes with its client.
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
		t.Errorf("too little happened to tell: %d revoked, %d times the limit", revoked, l.limits)
	}
	t.Logf("%d issued, %d revoked, %d times the limit", issued, revoked, l.limits)
}

// load issues and revokes until the server is gone.
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
				t.Errorf("the answer is no JSON: %v", err)
				return
			}
			l.add(made.APIToken.CreateAPIToken.APIToken.ID, made.APIToken.CreateAPIToken.Credentials.AccessToken)
			continue
		case answer.Errors[0].Extensions.Code != "LIMIT_REACHED":
			t.Errorf("issuing is answered %+v", answer.Errors)
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
				t.Errorf("revoking is answered %+v", answer.Errors)
				return
			}
			l.revoked(id)
		}
	}
}

// check asks for every token. Where nobody answered a revocation either
// outcome is right, and certain from now on.
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
		if answer.status != want {
			t.Errorf("token %s, revoked %v, is answered %d", id, e.revoked, answer.status)
		}
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
		t.Errorf("%d tokens live, and %d may", len(list.APITokens), maxLive)
	}
}
