package promise_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/internal/dbtest"
)

// bound is how long a revocation may take to reach a replica that did not answer it (docs/architecture.md). Where the
// feed works it takes milliseconds.
const bound = 2 * time.Second

// right is what a deed takes away: a request that is answered before and refused after.
type right struct {
	token   string
	account string
	query   string
	// status and code are those of the refusal.
	status int
	code   string
}

const viewer = "{ viewer { kind } }"

// held reports whether the node still honours the right. Any other answer than its refusal fails the test.
func (r right) held(n *node) bool {
	n.t.Helper()
	a := n.ask(r.token, r.account, r.query, nil)
	if a.status == http.StatusOK && len(a.Errors) == 0 {
		return true
	}
	if a.status != r.status || len(a.Errors) == 0 || a.Errors[0].Extensions.Code != r.code {
		n.t.Fatalf("refused with status %d: %s", a.status, a.body)
	}
	return false
}

// deeds are all the ways to take a right away. Each makes one, and returns it with what takes it.
func deeds(t *testing.T, h *house, n *node, session string) map[string]func() (right, func()) {
	issue := func(scopes ...string) issued {
		return n.issue(session, acme, vars{"name": "Some token", "scopes": scopes})
	}
	gone := func(token string) right {
		return right{token, acme, viewer, http.StatusUnauthorized, "UNAUTHENTICATED"}
	}
	return map[string]func() (right, func()){
		"revoked": func() (right, func()) {
			made := issue("account_read")
			return gone(made.access), func() { n.must(session, acme, revoke, vars{"in": vars{"ids": []string{made.id}}}) }
		},
		"revoked by itself": func() (right, func()) {
			made := issue("account_api_tokens_write")
			return gone(made.access), func() { n.must(made.access, acme, revoke, vars{"in": vars{"ids": []string{made.id}}}) }
		},
		"rotated at once": func() (right, func()) {
			made := issue("account_read")
			return gone(made.access), func() { n.must(session, acme, rotate, vars{"in": vars{"id": made.id, "overlapSeconds": 0}}) }
		},
		"rotated twice": func() (right, func()) {
			made := issue("account_read")
			return gone(made.access), func() {
				for range 2 {
					n.must(session, acme, rotate, vars{"in": vars{"id": made.id, "overlapSeconds": 3600}})
				}
			}
		},
		"granted to the client, whose token is revoked": func() (right, func()) {
			made := issue("account_read")
			return gone(n.granted(made)), func() { n.must(session, acme, revoke, vars{"in": vars{"ids": []string{made.id}}}) }
		},
		"granted to the client, which revokes it": func() (right, func()) {
			made := issue("account_read")
			granted := n.granted(made)
			return gone(granted), func() { n.asClient(made, "", "/oauth2/revoke", url.Values{"token": {granted}}) }
		},
		"revoked by its client": func() (right, func()) {
			made := issue("account_read")
			return gone(made.access), func() { n.asClient(made, "", "/oauth2/revoke", url.Values{"token": {made.access}}) }
		},
		"narrowed to fewer scopes": func() (right, func()) {
			made := issue("account_read", "account_stores_read")
			return right{made.access, acme, "{ account { accountInfo { name } } }", http.StatusOK, "FORBIDDEN"},
				func() {
					n.must(session, acme, update, vars{"in": vars{"id": made.id, "scopes": []string{"account_stores_read"}}})
				}
		},
		"narrowed to other addresses": func() (right, func()) {
			made := issue("account_read")
			return gone(made.access), func() {
				n.must(session, acme, update, vars{"in": vars{"id": made.id, "allowedIpRanges": []string{"192.0.2.0/24"}}})
			}
		},
		"revoked by command, in another process": func() (right, func()) {
			made := issue("account_read")
			return gone(made.access), func() { h.run("", "token", "revoke", made.id, "--account", acme) }
		},
		"no owner any more": func() (right, func()) {
			out, _ := h.run("", "session", "create", "--email", globexOwner, "--account", globex)
			owned := right{strings.TrimSpace(out), globex, `{ account { accountInfo { name } } }`, http.StatusOK, "FORBIDDEN"}
			return owned, func() {
				h.run(strings.ReplaceAll(manifest, globexOwner, "new.owner@globex.example"), "apply", "-f", "-")
			}
		},
	}
}

// A right that was taken away is refused at once by the node that took it, and by every other within the bound; and then
// for good. Until then all nodes honour it, from memory (mission: promise 2).
func TestARevocationHoldsEverywhere(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		here, there := h.serve(), h.serve()
		session := h.session(acmeOwner)
		var slowest time.Duration
		for name, make := range deeds(t, h, here, session) {
			t.Run(name, func(t *testing.T) {
				r, take := make()
				for range 3 {
					if !r.held(here) || !r.held(there) {
						t.Fatal("a right that nobody took is refused")
					}
				}
				take()
				answered := time.Now()
				// A command acts in a process of its own, so both nodes are others to it.
				if command := strings.Contains(name, "command") || strings.Contains(name, "owner"); !command && r.held(here) {
					t.Error("the node that answered still honours it")
				}
				for _, n := range []*node{here, there} {
					for r.held(n) {
						if time.Since(answered) > bound {
							t.Fatalf("a node still honours it after %v", time.Since(answered))
						}
					}
					slowest = max(slowest, time.Since(answered))
				}
				for range 3 {
					if r.held(here) || r.held(there) {
						t.Error("honoured again")
					}
				}
			})
		}
		t.Logf("the slowest took %v", slowest)
	})
}

// Requests that race with a revocation, on all nodes: of those that begin after it is answered, the node that answered
// takes none, and no node takes one that begins after the bound.
func TestRequestsThatRaceWithARevocation(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		nodes := []*node{h.serve(), h.serve()}
		session := h.session(acmeOwner)
		for range 3 {
			made := nodes[0].issue(session, acme, vars{"name": "Some token", "scopes": []string{"account_read"}})
			var answered atomic.Pointer[time.Time]
			stop := make(chan struct{})
			var clients sync.WaitGroup
			for i := range 4 {
				n := nodes[i%len(nodes)]
				clients.Go(func() {
					for refused := 0; refused < 20; {
						select {
						case <-stop:
							t.Error("still honoured")
							return
						default:
						}
						since := answered.Load()
						began := time.Now()
						if !n.works(made.access, acme) {
							refused++
							continue
						}
						if refused > 0 || since != nil && (n == nodes[0] || began.Sub(*since) > bound) {
							t.Errorf("honoured %v after the answer, after %d refusals", began.Sub(*since), refused)
							return
						}
					}
				})
			}
			time.Sleep(50 * time.Millisecond)
			nodes[0].must(session, acme, revoke, vars{"in": vars{"ids": []string{made.id}}})
			answered.Store(new(time.Now()))
			timer := time.AfterFunc(5*bound, func() { close(stop) })
			clients.Wait()
			timer.Stop()
		}
	})
}

// A replica whose feed is cut hears of nothing while it is, so it must not believe what it remembers: here of a revocation
// that is announced to nobody.
func TestAReplicaThatCannotHearTrustsNothing(t *testing.T) {
	eachHouse(t, func(t *testing.T, h *house) {
		n := h.serve()
		session := h.session(acmeOwner)
		made := n.issue(session, acme, vars{"name": "Some token", "scopes": []string{"account_read"}})
		for range 3 {
			if !n.works(made.access, acme) {
				t.Fatal("a token that nobody revoked is refused")
			}
		}
		// SQLite has no connection to cut: its feed looks at the file, which tells of every change.
		dbtest.Exec(t, h.url, "UPDATE api_tokens SET revoked_at = 1",
			`DO $$ DECLARE feeds integer; BEGIN
				SELECT count(pg_terminate_backend(pid)) INTO feeds FROM pg_stat_activity
					WHERE datname = current_database() AND application_name = 'latchkey feed';
				IF feeds = 0 THEN RAISE EXCEPTION 'there is no feed to cut'; END IF;
				UPDATE api_tokens SET revoked_at = now();
			END $$`)
		cut := time.Now()
		for n.works(made.access, acme) {
			if time.Since(cut) > bound {
				t.Fatal("a node that cannot hear still trusts its memory")
			}
		}
		for deadline := time.Now().Add(20 * time.Second); !n.ready(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the feed does not come back")
			}
		}
		if n.works(made.access, acme) {
			t.Error("honoured again once the feed is back")
		}
	})
}
